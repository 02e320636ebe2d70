#!/usr/bin/env bash
# Fills .toolchain/ with what this machine lacks for building and testing deepkern:
#
#   nvcc 13.0   unless an nvcc of CUDA 12.8 or later is found (in build.rs's order)
#   libclang    unless the system has one
#
# Both come as Python wheels through pip; nothing outside .toolchain/ is touched and no root
# is needed. Run again, it does nothing. `scripts/toolchain.sh cargo-deny` adds that tool
# for `make check`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
dest=$PWD/.toolchain

# cuobjdump and nvdisasm are the oldest still published; they read what 13.0 writes.
cuda_wheels=(
    nvidia-cuda-nvcc==13.0.88
    nvidia-cuda-crt==13.0.88
    nvidia-nvvm==13.0.88
    nvidia-cuda-runtime==13.0.96
    nvidia-cuda-cccl==13.0.85
    nvidia-cuda-cuobjdump==13.5.37
    nvidia-cuda-nvdisasm==13.5.37
)
libclang_wheels=(libclang==18.1.1)

# Is this nvcc of CUDA 12.8 or later?
nvcc_is_new_enough() {
    local version
    version=$("$1" --version 2>/dev/null | sed -n 's/.*release \([0-9]*\)\.\([0-9]*\).*/\1 \2/p') || return 1
    read -r major minor <<<"$version"
    [ "${major:-0}" -gt 12 ] || { [ "${major:-0}" -eq 12 ] && [ "${minor:-0}" -ge 8 ]; }
}

# The same order as build/nvcc.rs, which takes what NVCC names or nothing.
system_nvcc() {
    [ -z "${NVCC:-}" ] || return 0
    local candidate
    for candidate in "$(command -v nvcc || true)" \
        "${CUDA_HOME:+$CUDA_HOME/bin/nvcc}" "${CUDA_PATH:+$CUDA_PATH/bin/nvcc}" /usr/local/cuda/bin/nvcc; do
        if [ -n "$candidate" ] && nvcc_is_new_enough "$candidate"; then return 0; fi
    done
    return 1
}

# The folders that bindgen's loader (clang-sys) looks into.
system_libclang() {
    [ -z "${LIBCLANG_PATH:-}" ] || return 0
    compgen -G '/usr/lib*/libclang[.-][s0-9]*' >/dev/null ||
        compgen -G '/usr/lib*/*/libclang[.-][s0-9]*' >/dev/null ||
        compgen -G '/usr/lib*/*/lib/libclang[.-][s0-9]*' >/dev/null ||
        compgen -G '/usr/local/lib*/libclang[.-][s0-9]*' >/dev/null ||
        compgen -G '/usr/local/llvm*/lib*/libclang[.-][s0-9]*' >/dev/null
}

# pip's own record of an installed wheel is the stamp: <name>-<version>.dist-info.
stamp() {
    local name=${1%%==*}
    echo "${name//-/_}-${1##*==}.dist-info"
}

install_wheels() {
    local missing=() wheel
    for wheel in "$@"; do
        [ -d "$dest/$(stamp "$wheel")" ] || missing+=("$wheel")
    done
    [ ${#missing[@]} -gt 0 ] || return 0

    if ! python3 -m pip --version >/dev/null 2>&1; then
        echo "toolchain.sh: python3 with pip is needed to fetch: ${missing[*]}" >&2
        echo "Install it (Debian, Ubuntu: apt-get install python3-pip), or install CUDA 12.8 or later and libclang." >&2
        exit 1
    fi
    echo "toolchain.sh: installing into .toolchain/: ${missing[*]}" >&2
    unpacked=$(mktemp -d "$dest/unpacked.XXXXXX")
    trap 'rm -rf "$unpacked"' EXIT
    PIP_USER=0 python3 -m pip install --quiet --no-input --disable-pip-version-check --root-user-action=ignore \
        --no-deps --no-compile --only-binary :all: --target "$unpacked" "${missing[@]}"

    # The wheels share one tree, so they are merged by hard links. Each stamp goes in after
    # its files: an interrupted run is one that has not happened.
    mkdir "$unpacked/stamps"
    mv "$unpacked"/*.dist-info "$unpacked/stamps/"
    for wheel in "${missing[@]}"; do
        name=$(stamp "$wheel")
        rm -rf "$dest/${name%-*}"-*.dist-info
    done
    (cd "$unpacked" && find . -mindepth 1 -maxdepth 1 ! -name stamps -exec cp -rlf {} "$dest/" \;)
    mv "$unpacked"/stamps/* "$dest/"
    rm -rf "$unpacked"
    trap - EXIT
}

mkdir -p "$dest"
exec 9>"$dest/.lock"
flock 9

wheels=()
system_nvcc || wheels+=("${cuda_wheels[@]}")
system_libclang || wheels+=("${libclang_wheels[@]}")
[ ${#wheels[@]} -eq 0 ] || install_wheels "${wheels[@]}"

if [ "${1:-}" = cargo-deny ] && ! command -v cargo-deny >/dev/null && [ ! -x "$dest/bin/cargo-deny" ]; then
    echo "toolchain.sh: building cargo-deny into .toolchain/ (some minutes)" >&2
    cargo install --quiet --locked --root "$dest" cargo-deny@0.20.2
fi
