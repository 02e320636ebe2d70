#!/usr/bin/env bash
# The emulator from outside: programs that know nothing of it, and find it as their CUDA driver because
# LD_LIBRARY_PATH names target/emulator (`make emulator`). They are
#
#   Python programs that use NVIDIA's own bindings (cuda-bindings, cuda-core), fetched by pip into target/foreign/
#   a C program, where there is a C compiler
#
# in crates/cuda-emulator/tests/foreign/. Nothing outside target/ is touched.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
programs=crates/cuda-emulator/tests/foreign
dest=target/foreign
emulator=$PWD/target/emulator
wheels=(cuda-bindings==13.5.0 cuda-core==1.2.2 numpy==2.4.6)

[ -e "$emulator/libcuda.so.1" ] || { echo "foreign.sh: no target/emulator; run \`make emulator\`" >&2; exit 1; }

# The environment's stamp is written last: an interrupted installation is made anew.
if [ "$(cat "$dest/stamp" 2>/dev/null)" != "${wheels[*]}" ]; then
    echo "foreign.sh: installing ${wheels[*]} into $dest/" >&2
    rm -rf "$dest"
    mkdir -p "$dest"
    python3 -m venv "$dest/venv"
    "$dest/venv/bin/pip" install --quiet --no-input --disable-pip-version-check --only-binary :all: "${wheels[@]}"
    echo "${wheels[*]}" >"$dest/stamp"
fi

# What a user may have set must not help.
for name in $(compgen -e CUDA_EMULATOR || true); do unset "$name"; done
export LD_LIBRARY_PATH=$emulator

"$dest/venv/bin/python" "$programs/check.py"
"$dest/venv/bin/python" "$programs/axpy_core.py"

header=
for folder in "${CUDA_HOME:+$CUDA_HOME/include}" "${CUDA_PATH:+$CUDA_PATH/include}" /usr/local/cuda/include \
    .toolchain/nvidia/cu13/include; do
    if [ -n "$folder" ] && [ -e "$folder/cuda.h" ]; then header=$folder && break; fi
done
if [ -n "$header" ] && command -v "${CC:-cc}" >/dev/null; then
    "${CC:-cc}" -Wall -Werror -I "$header" "$programs/axpy.c" -o "$dest/axpy" -L "$emulator" -lcuda
    "$dest/axpy" "$programs/axpy.ptx"
else
    echo "foreign.sh: the C program is SKIPPED: no C compiler or no cuda.h"
fi
