# The two commands of the README, and what they are made of.
#   make demo          train (TRAIN=1) or take the shipped model, compile, emit RTL, simulate, compare; then a real network
#   make demo-network  that second act alone: MobileNetV2 from float ONNX to classified photographs
#   make test          everything that must hold, the Python package and the notebooks too
#   make bench         every bar of speed
#   make python-tests  the Python package: wheel, tests against the command line, PYNQ's stand-in, PyTorch
#   make notebooks     every notebook of examples/, executed
CARGO ?= cargo
# Yosys for the tests that count DSPs, LUTs and block RAMs (scripts/setup puts it there).
export PYTHONPATH := $(CURDIR)/build/python
export CNNA_YOSYS ?= python3
OUT   ?= build/demo
SEED  ?= 1
BOARD ?= ultra96
ONLY  ?=

.PHONY: demo demo-build demo-network test fit lint setup build arm emulate bench bench-fit bench-stops bench-kills axi-model \
  readme tables bench-training bench-vgg16 networks node-tests mutations python-tests bench-python notebooks real-networks qdq-limits \
  ip-schema arm-wheel

setup:
	@./scripts/setup

build: setup
	$(CARGO) build --release -p cnna

# Less to install than `setup`, and no trainer where none is needed or there: the first result comes sooner.
demo-build:
	@./scripts/setup demo
	$(CARGO) build --release -p cnna \
	  $(if $(TRAIN),,$(shell target/release/cnna train --help >/dev/null 2>&1 || echo --no-default-features))

demo: demo-build
ifeq ($(TRAIN),1)
	mkdir -p $(OUT)
	target/release/cnna train --dataset fashion-mnist --arch vgg-small --seed $(SEED) \
	  --float-output $(OUT)/fashion-float.onnx -o $(OUT)/fashion.onnx
	target/release/cnna demo --model $(OUT)/fashion.onnx --float $(OUT)/fashion-float.onnx -o $(OUT)
else
	target/release/cnna demo -o $(OUT)
endif
	scripts/demo-network $(OUT) $(BOARD)

demo-network: demo-build
	scripts/demo-network $(OUT) $(BOARD)

test: setup
	$(CARGO) test --release --workspace
	$(MAKE) --no-print-directory fit
	$(MAKE) --no-print-directory python-tests
	$(MAKE) --no-print-directory notebooks WHEEL=built

# ENGINES=cycle,rtl drives the verilated RTL by PYNQ's stand-in too.
python-tests: setup
	scripts/python-env >/dev/null
	CNNA_ENGINES=$(or $(ENGINES),cycle) scripts/python-tests

# What the package promises in time, measured.
bench-python: setup
	scripts/python-env >/dev/null
	scripts/python-tests -s python/tests/bench_bars.py

# Each in build/notebooks, under two minutes. WHEEL=built takes the package as the tests left it.
notebooks: setup
	scripts/python-env >/dev/null
	WHEEL=$(WHEEL) scripts/notebooks $(ONLY)

# Synthesises ultra96 and pynq-z2 with Yosys and fails when one exceeds its chip, the depth of logic or the estimate.
fit: setup
	$(CARGO) test --release -p cnna-fit --test fit -- --nocapture

# The estimate of LUT and FF against Yosys over machines of every shape: half an hour of CPU. MACHINES=T1 only some.
bench-fit: setup
	$(CARGO) bench -p cnna-fit --bench fit -- $(MACHINES)

# Seeds mistakes into the RTL, one a time, and fails when the random networks do not see one; minutes. ONLY=pool runs some.
mutations: setup
	$(CARGO) bench -p cnna-tests --bench mutations -- $(ONLY)

# 1,000 stops and 250 errors of each kind at random cycles, the memory never re-made: the next run equal, no rule of AXI
# broken, as many cycles in the simulator as in the RTL.
bench-stops: setup
	CNNA_STOPS=1000 $(CARGO) test --release -p cnna-tests --test stops

# 1,000 times a host or a server killed at a random moment, a device lost, another bitstream, too little memory: no hang, no
# wrong result, and the next run works.
bench-kills: setup
	CNNA_KILLS=1000 $(CARGO) test --release -p cnna --test cli kills -- --nocapture

# Every command of the README, run literally, those that take minutes too. ONLY="cnna check" adds those that begin so.
readme: setup
	CNNA_README="$(or $(ONLY),all)" $(CARGO) test --release -p cnna --test cli readme -- --nocapture

# The RTL between bus models of others (cocotbext-axi): random traffic, whole programs, stops, resets; minutes. ONLY=port a part.
axi-model: build
	scripts/axi-model $(ONLY)

# The packaged IP of every board against the IP-XACT schema.
ip-schema: build
	scripts/ip-schema target/release/cnna

# VGG16 whole, 224 x 224: one image by reference, cycle simulator and RTL, then a batch without the RTL; minutes. Interrupted,
# the RTL goes on from its last checkpoint when started again.
bench-vgg16: build
	mkdir -p build/bench
	target/release/cnna compile zoo:vgg16 --seed 1 --board $(BOARD) -o build/bench/vgg16.cnna
	target/release/cnna check build/bench/vgg16.cnna --images 1
	target/release/cnna check build/bench/vgg16.cnna --images 4 --engines reference,cycle

# Whole networks: the zoo, ONNX's light topologies, and three small ones in RTL; minutes. ONLY=zoo, light or rtl runs a part.
networks: build
	scripts/networks $(ONLY)

# Real networks with real weights from packages, whole: decibels against float, classes, engines equal; minutes. RTL=1 adds the
# RTL. ONLY="MNIST-8" one.
real-networks: build
	scripts/real-networks target/release/cnna build/real $(if $(ONLY),"$(ONLY)")

# How near anything can be to an int8 file that ONNX Runtime made, ONNX Runtime included.
qdq-limits: build
	scripts/qdq-limits target/release/cnna

# ONNX's own node tests of the operators that are read, as the last package with them ships them: right, or refused with a reason.
node-tests: build
	[ -d build/onnx-tests/onnx ] || python3 -m pip install -q --disable-pip-version-check --root-user-action=ignore --no-deps \
	  --target build/onnx-tests onnx==1.17.0
	python3 tests/python/node_tests.py target/release/cnna build/onnx-tests/onnx/backend/test/data/node

# A training step beside PyTorch's; apt-get install python3-torch, or PYTHON=an interpreter that has torch.
bench-training:
	CNNA_PYTHON=$(or $(PYTHON),/usr/bin/python3) $(CARGO) bench -p cnna-quant --bench training

# The tables of docs/training.md: each block trained from three seeds, and a model made smaller. Hours; what is done lies
# in build/tables, so that the same command goes on where it was stopped. BUDGET="epochs=1 seeds=1 limit=20000" is minutes,
# ONLY=blur,gem makes the rows of some blocks.
tables:
	$(CARGO) run --release -p cnna-flow --example training -- blocks build/tables $(BUDGET) $(ONLY:%=only=%)
	$(if $(ONLY),,$(CARGO) run --release -p cnna-flow --example training -- compression build/tables $(BUDGET))

# Every bar of speed of the README's table: measured, printed, failed when missed; minutes. ONLY=growth runs a part.
bench: build
	CNNA=$(CURDIR)/target/release/cnna $(CARGO) bench -p cnna-tests --bench bars -- $(ONLY)

# cnna-host for ARM Linux, static, with Debian's cross compilers in build/arm; its unit tests under qemu-user, and a
# program with host steps. ARCH=armv7 one.
arm: build
	scripts/arm $(ARCH)
	scripts/arm-steps $(ARCH)

# The Python package's wheel for aarch64, imported and run by Debian's arm64 Python under qemu-user; minutes.
arm-wheel: build
	scripts/arm aarch64
	scripts/arm-wheel

# An emulated ARM machine classifies an image on the simulated accelerator outside of it, bit for bit; ENGINE=rtl the RTL.
emulate: build
	scripts/arm aarch64
	scripts/emulate $(ENGINE)

lint: setup
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
