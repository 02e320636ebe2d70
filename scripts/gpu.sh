#!/usr/bin/env bash
# Everything that waits for a GPU, in less than ten minutes, without Rust or a network. scripts/bundle.sh (make bundle)
# makes the bundle that this lies in; unpack it on the GPU machine and run
#
#   deepkern-gpu/gpu.sh              on the GPU
#   deepkern-gpu/gpu.sh --emulator   the same on the emulator, to try the script; times say nothing then
#
# It leaves deepkern-results-*.tar.gz where it was started: a log of each part, summary.txt, hardware vectors, tables.
# Each part has its own limit, and one that fails does not stop the others. Exit status: 0 if all went well, 1 if not,
# 2 if it could not run.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
device=cuda
case "${1:-}" in
    --emulator) device=emulator ;;
    "") ;;
    *) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
if [ ! -d "$root/bin" ]; then
    echo "gpu.sh: this is no bundle: run make bundle, and gpu.sh out of what it makes" >&2
    exit 2
fi

results=$PWD/deepkern-results-$device-$(date -u +%Y%m%d-%H%M%S)
mkdir -p "$results/vectors" || exit 2
cd "$root" || exit 2
export root results
export DEEPKERN_DEVICE=$device
export CUDA_EMULATOR_LIBRARY=$root/bin/libcuda_emulator.so
export CRITERION_HOME=$results/criterion
export DEEPKERN_BENCH_OUT=$results

deadline=$((SECONDS + 580))
failures=0
printf '%-20s %-10s %s\n' part outcome seconds | tee "$results/summary.txt"

# part NAME LIMIT COMMAND...: runs it for so many seconds at most, and writes NAME.log.
part() {
    local name=$1 limit=$2 started=$SECONDS left=$((deadline - SECONDS)) outcome
    shift 2
    [ "$left" -ge "$limit" ] || limit=$left
    if [ "$limit" -lt 5 ]; then
        outcome="no time"
    else
        timeout --kill-after=3 "$limit" "$@" >"$results/$name.log" 2>&1 </dev/null
        case $? in
            0) outcome=ok ;;
            77) outcome=skipped ;;
            124 | 137) outcome="too long" ;;
            *) outcome=FAILED ;;
        esac
    fi
    case $outcome in ok | skipped) ;; *) failures=$((failures + 1)) ;; esac
    printf '%-20s %-10s %s\n' "$name" "$outcome" $((SECONDS - started)) | tee -a "$results/summary.txt"
}

describe() {
    cat "$root/bundle.txt"
    uname -a
    ldd --version | head -1
    grep -m1 'model name' /proc/cpuinfo
    nproc
    [ "$DEEPKERN_DEVICE" = cuda ] || { echo "the emulator"; return 0; }
    nvidia-smi && nvidia-smi -q
}

# Runs a program's tests, then once more alone those that failed: a fault spoils the context that all share.
tests() {
    local program=$1 status test log
    shift
    log=$(mktemp)
    "$root/bin/$program" "$@" 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    sed -n 's/^test \([^ ]*\) .*\.\.\. FAILED$/\1/p; s/^test \([^ ]*\) \.\.\. FAILED$/\1/p' "$log" | sort -u |
        while read -r test; do
            echo
            echo "=== $test, alone"
            "$root/bin/$program" --exact "$test" --nocapture 2>&1
        done
    rm -f "$log"
    return "$status"
}

# What earlier devices made of given bytes, and this one makes of them twice; then what it makes of them is recorded,
# and the emulator, here and now, is held to it.
vectors() {
    local status=0
    CUDA_EMULATOR_VECTORS=$root/vectors "$root/bin/vectors" --nocapture || status=1
    export CUDA_EMULATOR_VECTORS=$results/vectors
    "$root/bin/vectors" --ignored --nocapture || status=1
    DEEPKERN_DEVICE=emulator "$root/bin/vectors" --nocapture || status=1
    return $status
}

# The newest cuBLASLt of this machine, also one that came with a Python package, by the name that is looked for.
find_cublaslt() {
    local found
    found=$(timeout 15 find / \( -path /proc -o -path /sys \) -prune -o -name 'libcublasLt.so.[0-9]*' -print 2>/dev/null |
        while read -r path; do echo "$(basename "$(readlink -f "$path")") $path"; done | sort -V | tail -1 | cut -d' ' -f2-)
    [ -n "$found" ] || return 0
    echo "cuBLASLt: $found"
    mkdir -p "$results/lib"
    ln -sf "$found" "$results/lib/libcublasLt.so"
    export LD_LIBRARY_PATH=$results/lib:$(dirname "$found")${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
}

bench() {
    local sampler=
    if [ "$DEEPKERN_DEVICE" = cuda ]; then
        find_cublaslt
        nvidia-smi --query-gpu=timestamp,clocks.sm,clocks.mem,power.draw,temperature.gpu --format=csv -lms 500 \
            >"$results/$1-clocks.csv" 2>&1 &
        sampler=$!
    fi
    "$root/bin/$1" --bench
    local status=$?
    [ -z "$sampler" ] || kill "$sampler"
    return $status
}

# A profile of the main kernels: one launch each, of a large GEMM, of decode, and of one that is bound by latency.
profile() {
    local ncu shape status=0
    [ "$DEEPKERN_DEVICE" = cuda ] || { echo "ncu wants a GPU"; return 77; }
    ncu=$(ls -d "$(command -v ncu)" /usr/local/cuda*/bin/ncu /opt/nvidia/nsight-compute/*/ncu 2>/dev/null | tail -1)
    [ -n "$ncu" ] || { echo "there is no ncu"; return 77; }
    mkdir -p "$results/ncu"
    for shape in 4096x7168x16384 64x7168x16384 64x2112x7168 1x4096x7168; do
        echo "=== $shape"
        "$ncu" --set full --kernel-name regex:fp8_gemm --launch-skip 3 --launch-count 1 --kill yes --force-overwrite \
            --export "$results/ncu/$shape" "$root/bin/bench_fp8_gemm" --bench "deepkern/$shape\$"
        "$ncu" --import "$results/ncu/$shape.ncu-rep" --page details || status=1
    done
    return $status
}

export -f describe tests vectors find_cublaslt bench profile

part device 20 bash -c describe
part vectors 60 bash -c vectors
# Those that are skipped are about the emulator, and long: mutants of the kernels, and the PTX for other GPUs.
for program in bin/test_*; do
    program=${program##*/}
    part "$program" 90 bash -c 'tests "$@"' - "$program" --skip mutants_are_caught --skip on_every_gpu_since_ampere
done
part demo 60 bin/demo --quiet --model data/devil-v3
part bench_fp8_gemm 200 bash -c 'bench bench_fp8_gemm'
part bench_fp8_quantize 60 bash -c 'bench bench_fp8_quantize'
part profile 90 bash -c profile
# Last, for the driver has nine thousand small modules to compile here, and how long it takes is not known.
export CUDA_CACHE_DISABLE=1
part conformance 300 bash -c 'tests conformance'

rm -rf "$results/lib"
echo "$failures parts failed; $SECONDS seconds in all" | tee -a "$results/summary.txt"
tar -C "$(dirname "$results")" -czf "$results.tar.gz" "$(basename "$results")" && rm -rf "$results" &&
    echo "results: $results.tar.gz"
[ "$failures" -eq 0 ]
