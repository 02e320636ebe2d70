# Each target first installs what is missing into .toolchain/ (scripts/toolchain.sh).
#
#   make demo      FP8 projections of a real model's weights, against its golden values
#   make test      all tests
#   make mutants   whether a test notices when something that orders the FP8 kernels' threads is missing, or weaker
#   make bench     all benches
#   make bundle    all that a GPU machine without Rust and network needs (docs/hardware.md)
#   make check     formatting, clippy, docs, licences, advisories
#   make emulator  the emulated driver as a library, for programs of any language: target/emulator/
#   make foreign   Python's and C's programs on it, which fetches Python's bindings
#   make counters  docs/counters.md anew, after a change to the FP8 GEMM
#   make messages  the emulator's messages anew, after a change to them (crates/cuda-emulator/tests/fail/)
#
# They use the GPU where there is one and the emulator otherwise; DEEPKERN_DEVICE=cuda|emulator decides.

export DEEPKERN_REQUIRE_KERNELS := 1
test lint: export DEEPKERN_DENY_PTXAS := 1

.PHONY: demo test mutants bench bundle check lint deny emulator foreign bindings counters messages toolchain

demo: toolchain
	cargo run --release --quiet --example demo

test: toolchain
	cargo test --workspace

# Cargo runs the test by way of the tool, which runs the test anew for each change. The last line is the score.
target := $(or $(CARGO_TARGET_DIR),target)
families := fp8_gemm_hopper fp8_gemm_decode fp8_gemm_simple fp8_quantize
mutants: export DEEPKERN_DEVICE := emulator
mutants: runner := $(target)/debug/examples/mutants --least 98 --equivalents tests/mutants/fp8.txt \
	$(families:%=--family %) --
mutants: toolchain
	cargo build --package cuda-emulator --example mutants
	cargo test --quiet --test fp8_orderings --config 'target."cfg(all())".runner = "$(runner)"' -- '{family}' --exact

bench: toolchain
	cargo bench --workspace --benches

bundle:
	scripts/bundle.sh

check: lint deny

lint: toolchain
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# The advisories are a database of their own, which must be fetched; the rest needs no network.
deny: export PATH := $(CURDIR)/.toolchain/bin:$(PATH)
deny:
	scripts/toolchain.sh cargo-deny
	cargo deny check --hide-inclusion-graph licenses bans sources
	@if cargo deny fetch db; then cargo fetch --locked && cargo deny --offline check advisories; \
	else echo "make check: advisories SKIPPED: their database could not be fetched"; fi

# With LD_LIBRARY_PATH there a program finds it as its CUDA driver. It needs no toolchain but Rust's.
emulator:
	cargo build --release --package cuda-emulator --lib
	@mkdir -p target/emulator
	cp target/release/libcuda_emulator.so target/emulator/libcuda.so.1
	ln -sf libcuda.so.1 target/emulator/libcuda.so

foreign: emulator
	scripts/foreign.sh

# After a change to a kernel of the FP8 GEMM: docs/counters.md.
counters: toolchain
	DEEPKERN_UPDATE_COUNTERS=1 cargo test --test counters

# After a change to the emulator's messages, or to the programs that bring them about.
messages:
	DEEPKERN_UPDATE_MESSAGES=1 cargo test --package cuda-emulator --test machine twins::wrong_programs_are_found

# After a change to kernels/include/deepkern/abi.h.
bindings: toolchain
	DEEPKERN_UPDATE_BINDINGS=1 cargo test --test abi_bindings

toolchain:
	@scripts/toolchain.sh
