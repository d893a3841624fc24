#!/bin/sh
# Runs every fuzz target of a build folder for some seconds each, from its seeds. New inputs and
# whatever crashes stay in fuzz-out/TARGET/.
#   tools/fuzz.sh BUILD_DIR SECONDS [TARGET]
set -eu
build=$1
seconds=$2
only=${3:-}
source=$(cd "$(dirname "$0")/.." && pwd)

for target in "$build"/fuzz_*; do
    name=$(basename "$target")
    if [ ! -x "$target" ] || { [ -n "$only" ] && [ "$name" != "$only" ]; }; then
        continue
    fi
    out="$source/fuzz-out/$name"
    mkdir -p "$out/corpus"
    echo "== $name, $seconds s"
    "$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$out/" "$out/corpus" "$source/tests/fuzz/seeds/$name"
done
