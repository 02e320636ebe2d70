#!/usr/bin/env bash
# Makes the bundle that scripts/gpu.sh runs out of, on a GPU machine with neither Rust nor a network:
#
#   target/deepkern-gpu.tar.gz   gpu.sh; bin/: tests, benches, the demo, the emulator; what they read
#
# The tests are those of `make test` that use a device, from the same build.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/toolchain.sh
export DEEPKERN_REQUIRE_KERNELS=1

# Tests of deepkern that use no device, or are about the emulator alone.
hosts=" abi_bindings build_diagnostics counters fp8_orderings "

work=${CARGO_TARGET_DIR:-target}/deepkern-gpu
archive=$work.tar.gz
rm -rf "$work" "$archive"
mkdir -p "$work"/{bin,kernels,data,tests}

# What cargo builds, as messages in JSON, one a line.
messages=$(mktemp)
trap 'rm -f "$messages"' EXIT
build() { cargo "$@" --message-format=json-render-diagnostics >>"$messages"; }
build test --workspace --tests --no-run
build bench --workspace --benches --no-run
build build --release --example demo

# The kind, the name and the path of each program among them.
programs() {
    sed -n 's/.*"target":{"kind":\["\([a-z]*\)"\].*"name":"\([^"]*\)","src_path".*"executable":"\([^"]*\)".*/\1 \2 \3/p' "$messages"
}

while read -r kind name path; do
    [ "$kind" = test ] && [[ $hosts == *" $name "* ]] && continue
    case "$kind $name" in
        "test conformance" | "test vectors") place=$name ;;
        "test fp8_"* | "test misuse" | "test no_driver") place=test_$name ;;
        "bench fp8_"*) place=bench_$name ;;
        # Built twice, also as a test.
        "example demo") case $path in */examples/demo) place=demo ;; *) continue ;; esac ;;
        "test "*)
            # One that is new has to be named here, or among those that stay at home.
            if [ -e "tests/$name.rs" ]; then place=test_$name; else continue; fi
            ;;
        *) continue ;;
    esac
    cp "$path" "$work/bin/$place"
done < <(programs)
cp "$(grep -o '"[^"]*/libcuda_emulator\.so"' "$messages" | tail -1 | tr -d '"')" "$work/bin/"
for program in conformance vectors test_fp8_gemm bench_fp8_gemm demo libcuda_emulator.so; do
    [ -e "$work/bin/$program" ] || { echo "bundle.sh: cargo has built no $program" >&2; exit 1; }
done
strip --strip-all "$work"/bin/*

# What they read: the demo's model, cases that have failed once, recorded vectors. And the kernels, to look at.
cp -r data/devil-v3 "$work/data/"
cp tests/*.rs "$work/tests/"
find tests -maxdepth 1 -name '*.regressions' -exec cp {} "$work/tests/" \;
cp -r crates/cuda-emulator/tests/vectors/recorded "$work/vectors"
out=$(sed -n 's/.*"reason":"build-script-executed".*deepkern.*"out_dir":"\([^"]*\)".*/\1/p' "$messages" | tail -1)
cp "$out"/*.fatbin "$out"/*.ptxas "$work/kernels/"
cp scripts/gpu.sh "$work/"

{
    echo "commit: $(git rev-parse HEAD 2>/dev/null || echo unknown)$([ -z "$(git status --porcelain 2>/dev/null)" ] || echo ', with changes')"
    echo "made: $(date -u +%FT%TZ)"
    echo "needs: glibc $(objdump -T "$work"/bin/* | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -1 | cut -d_ -f2)"
} >"$work/bundle.txt"

tar -C "$(dirname "$work")" -czf "$archive" "$(basename "$work")"
size=$(($(stat -c %s "$archive") >> 20))
cat "$work/bundle.txt"
echo "$archive: $size MiB; on the GPU machine: tar xzf ${archive##*/} && ${work##*/}/gpu.sh"
[ "$size" -lt 38 ] || { echo "bundle.sh: that is too large" >&2; exit 1; }
