# The house's doors. `make help` lists them. CMake does the building (CMakePresets.json).

JOBS ?= $(shell nproc)
PREFIX ?= /usr/local
FUZZ_SECONDS ?= 600
TORTURE_SECONDS ?= 600
FRACTION ?= 0.1
BENCH_PYTHON = .venv/bin/python

.PHONY: all release deps demo test check fuzz torture reproduce-card bench install format tidy clean help

all: release

release: build/release/build.ninja
	cmake --build build/release -j $(JOBS)

build/%/build.ninja: CMakeLists.txt CMakePresets.json cmake/Rooms.cmake
	cmake --preset $*

deps:
	tools/deps.sh build

# What a newcomer runs first: the articles of examples/, answered by the embedded model.
demo: deps
	$(MAKE) --no-print-directory release
	build/release/slant classify --format table examples/*.txt examples/*.html

# Everything: unit and end-to-end tests, layers, format, all of it again under the address and
# undefined-behaviour sanitizers, and each fuzz target for a few seconds.
test:
	tools/deps.sh test
	$(MAKE) --no-print-directory check

check:
	cmake --preset release -DSLANT_TESTS=ON
	cmake --build build/release -j $(JOBS)
	cmake --preset asan -DSLANT_TESTS=ON
	cmake --build build/asan -j $(JOBS)
	cmake --preset fuzz
	cmake --build build/fuzz -j $(JOBS)
	ctest --test-dir build/fuzz --output-on-failure -j $(JOBS)
	ctest --test-dir build/asan --output-on-failure -j $(JOBS)
	ctest --test-dir build/release --output-on-failure -j $(JOBS)

# Each fuzz target for FUZZ_SECONDS, one after the other; what it finds stays in fuzz-out/.
fuzz:
	tools/deps.sh test
	cmake --preset fuzz
	cmake --build build/fuzz -j $(JOBS)
	tools/fuzz.sh build/fuzz $(FUZZ_SECONDS)

# Training runs killed at random moments, for TORTURE_SECONDS: each must end with the same bits.
torture: deps release
	tools/torture.sh build/release/slant $(TORTURE_SECONDS)

# The model card's run at a FRACTION of its size, on the articles of DATA; goes on where it stopped.
reproduce-card:
	@test -n "$(DATA)" || { echo 'make reproduce-card DATA=FILE [FRACTION=0.1]' >&2; exit 2; }
	$(MAKE) --no-print-directory deps release
	tools/reproduce_card.py build/release/slant $(DATA) $(FRACTION)

# slant beside its peers on the same work in one run; the peers live in a virtual environment.
bench:
	tools/deps.sh bench
	$(MAKE) --no-print-directory release
	test -x $(BENCH_PYTHON) || python3 -m venv .venv
	$(BENCH_PYTHON) -m pip install --quiet --requirement bench/requirements.txt
	$(BENCH_PYTHON) bench/compare.py $(BENCH_ARGS)

install: release
	cmake --install build/release --prefix $(DESTDIR)$(PREFIX)

format:
	find include src tests -name '*.[ch]' -print0 | xargs -0 clang-format-19 -i

tidy:
	tools/deps.sh tidy
	cmake --preset debug
	tools/tidy.sh build/debug

clean:
	rm -rf build fuzz-out

help:
	@echo 'make          build/release/slant'
	@echo 'make deps     install what building needs (apt-get)'
	@echo 'make demo     install, build, classify the articles in examples/'
	@echo 'make test     install, build, run every test'
	@echo 'make fuzz     every fuzz target for FUZZ_SECONDS ($(FUZZ_SECONDS)) each'
	@echo 'make torture  kill and resume training for TORTURE_SECONDS ($(TORTURE_SECONDS))'
	@echo 'make reproduce-card DATA=FILE  the model card at FRACTION ($(FRACTION)) of its size'
	@echo 'make bench    slant beside its peers'
	@echo 'make install  into PREFIX ($(PREFIX))'
	@echo 'make format   clang-format over all C files'
	@echo 'make tidy     clang-tidy over all C files'
