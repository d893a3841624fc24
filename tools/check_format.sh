#!/bin/sh
# Every C file as clang-format would write it. `make format` puts things right. Versions differ in
# what they write; Debian 12 and 13 both have version 19.
set -eu
cd "$(dirname "$0")/.."
find include src tests -name '*.[ch]' -print0 | xargs -0 clang-format-19 --dry-run --Werror
