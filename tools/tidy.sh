#!/bin/sh
# clang-tidy with the checks of .clang-tidy over every C file of src/ that BUILD_DIR compiles.
#   tools/tidy.sh BUILD_DIR [FILE...]
set -eu
build=$1
shift
cd "$(dirname "$0")/.."
if [ $# -eq 0 ]; then
    # shellcheck disable=SC2046
    set -- $(git ls-files 'src/*.c')
fi
# The compile commands are gcc's; what clang does not know of them is no finding.
printf '%s\n' "$@" | xargs -P "$(nproc)" -n 4 clang-tidy -p "$build" --quiet \
    --extra-arg=-Wno-unknown-warning-option --extra-arg=-Wno-ignored-optimization-argument
