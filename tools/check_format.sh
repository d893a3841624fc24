#!/bin/sh
# Every C file as clang-format would write it. `make format` puts things right.
set -eu
cd "$(dirname "$0")/.."
find include src tests -name '*.[ch]' -print0 | xargs -0 clang-format --dry-run --Werror
