# Forwards to CMake; `make help` lists the targets. Everything is idempotent and works again without a
# network once it is in place.
BUILD := build/release
JOBS := $(shell nproc 2>/dev/null || echo 2)

.PHONY: all build test demo lint format asan tsan fuzz bench parity install clean help

all: build

help:
	@echo 'make           build build/release/netgaze (installs what it needs)'
	@echo 'make demo      fetch a real model and photographs, explain them, train a new head, say where the pictures are'
	@echo 'make test      build and run all tests'
	@echo 'make asan      all tests under address and undefined behaviour sanitizers'
	@echo 'make tsan      the threaded tests under the thread sanitizer'
	@echo 'make fuzz      fuzz the model reader for a minute (clang)'
	@echo 'make parity    compare with Keras itself (installs TensorFlow into build/parity)'
	@echo 'make bench     compare with ONNX Runtime, OpenVINO, PyTorch, Keras (installs them into build/bench); memory, exactness'
	@echo 'make lint      clang-format and clang-tidy'
	@echo 'make install   install the program, library and header (PREFIX, DESTDIR)'

build:
	@scripts/install-packages.sh build
	@cmake --preset release -DNETGAZE_TESTS=OFF >/dev/null
	@cmake --build $(BUILD) -j $(JOBS)

test:
	@scripts/install-packages.sh build test
	@cmake --preset release -DNETGAZE_TESTS=ON >/dev/null
	@cmake --build $(BUILD) -j $(JOBS)
	@ctest --test-dir $(BUILD) -j $(JOBS) --output-on-failure

demo: build
	@scripts/install-packages.sh demo
	@scripts/demo.sh

asan tsan:
	@scripts/install-packages.sh build test
	@cmake --preset $@ >/dev/null
	@cmake --build build/$@ -j $(JOBS)
	@ctest --test-dir build/$@ -j $(JOBS) --output-on-failure $(if $(filter tsan,$@),-L threads,)

fuzz:
	@scripts/install-packages.sh build fuzz
	@cmake --preset fuzz >/dev/null
	@cmake --build build/fuzz -j $(JOBS)
	@scripts/fuzz.sh

parity: build
	@scripts/install-packages.sh demo parity
	@scripts/parity.sh

bench: build
	@scripts/install-packages.sh demo bench
	@bench/memory.sh
	@mkdir -p bench/results
	@$(BUILD)/bench-peak | tee bench/results/peak.csv
	@[ -e demo/photos ] || scripts/demo.sh
	@$(BUILD)/bench-accuracy demo/model
	@bench/peers.sh

lint:
	@scripts/install-packages.sh build lint
	@scripts/lint.sh

format:
	@scripts/install-packages.sh lint
	@git ls-files '*.c' '*.h' | xargs clang-format -i

PREFIX ?= /usr/local
install: build
	@cmake --install $(BUILD) --prefix $(PREFIX)

clean:
	rm -rf build
