#!/bin/sh
# Installs what is missing for building slant (deps.sh build), for its tests, its comparison with
# peers or clang-tidy (test, bench, tidy), and says what. Where nothing is missing it asks nobody for
# anything. Debian 12 and 13 are known.
set -eu

missing=""
need() { missing="$missing $1"; }
tool() { command -v "$2" >/dev/null 2>&1 && "$2" --version >/dev/null 2>&1 || need "$1"; }
library() { pkg-config --exists "$2" 2>/dev/null || need "$1"; }

# Each line: the Debian package, then what shows that it is there.
build_needs() {
    tool gcc gcc
    cc_includes stdio.h || need libc6-dev
    tool make make
    tool cmake cmake
    tool ninja-build ninja
    tool pkg-config pkg-config
    library libjansson-dev jansson
    library libpcre2-dev libpcre2-8
    library libutf8proc-dev libutf8proc
    library libgumbo-dev gumbo
    library zlib1g-dev zlib
    library libzstd-dev libzstd
    library libssl-dev libcrypto
}

test_needs() {
    library libcmocka-dev cmocka
    tool python3 python3
    tool zstd zstd
    tool clang clang
    tool clang-format-19 clang-format-19
    # Several machines: optional for building, and built and tested wherever it is there.
    tool openmpi-bin mpirun
    tool libopenmpi-dev mpicc
}

cc_includes() { echo "#include <$1>" | gcc -E - >/dev/null 2>&1; }

# The package of clang's sanitizer and fuzzer runtime carries clang's version in its name.
fuzzer_runtime() {
    work=$(mktemp -d)
    echo 'int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return d && n > 9; }' \
        >"$work/fuzz.c"
    clang -fsanitize=fuzzer,address "$work/fuzz.c" -o "$work/fuzz" >/dev/null 2>&1 ||
        need "libclang-rt-$(clang -dumpversion | cut -d. -f1)-dev"
    rm -rf "$work"
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    else
        echo "slant: not root and no sudo: have root run: $*" >&2
        exit 1
    fi
}

install_missing() {
    [ -n "$missing" ] || return 0
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "slant: this system has no apt-get; install what these Debian packages hold:$missing" >&2
        exit 1
    fi
    echo "slant: installing$missing"
    as_root apt-get update -qq
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        $missing >/dev/null
    missing=""
}

case "${1:-build}" in
build)
    build_needs
    install_missing
    ;;
test)
    build_needs
    test_needs
    install_missing
    fuzzer_runtime
    install_missing
    ;;
bench)
    build_needs
    tool python3 python3
    python3 -c 'import ensurepip, venv' 2>/dev/null || need python3-venv
    install_missing
    ;;
tidy)
    tool clang-tidy clang-tidy
    install_missing
    ;;
*)
    echo "usage: deps.sh build|test|bench|tidy" >&2
    exit 2
    ;;
esac
