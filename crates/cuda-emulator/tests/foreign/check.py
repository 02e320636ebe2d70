"""The emulated driver as a Python program meets it, through NVIDIA's own bindings (cuda.bindings.driver).

scripts/foreign.sh runs it, with the emulator in LD_LIBRARY_PATH and no other help. Programs that are wrong run in
processes of their own: this file once more, with the program's name.
"""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

from cuda.bindings import driver

HERE = Path(__file__).parent

# Orders of blocks and warps (CUDA_EMULATOR_SEED).
SEEDS = range(8)

# Programs that are wrong, and the kind of what is found in every order.
PLANTED = [
    ("missing_barrier", "race"),
    ("missing_fence", "proxy"),
]


def ok(result):
    """The values of a call that has gone well."""
    status, *values = result
    assert status == driver.CUresult.CUDA_SUCCESS, status
    return values[0] if len(values) == 1 else values


def start():
    """A context on the first device, whose name it returns."""
    ok(driver.cuInit(0))
    assert ok(driver.cuDeviceGetCount()) == 1
    device = ok(driver.cuDeviceGet(0))
    ok(driver.cuCtxSetCurrent(ok(driver.cuDevicePrimaryCtxRetain(device))))
    return ok(driver.cuDeviceGetName(64, device)).partition(b"\0")[0].decode()


def function(ptx, name):
    module = ok(driver.cuModuleLoadData(ptx.encode()))
    return ok(driver.cuModuleGetFunction(module, name.encode()))


def launch(kernel, grid, block, values, types):
    ok(driver.cuLaunchKernel(kernel, grid, 1, 1, block, 1, 1, 0, 0, (values, types), 0))


def axpy(n):
    """A kernel gives right results."""
    x = (ctypes.c_float * n)(*(i / 4 for i in range(n)))
    y = (ctypes.c_float * n)(*(float(-i) for i in range(n)))
    size = ctypes.sizeof(x)
    on_device = [ok(driver.cuMemAlloc(size)) for _ in range(2)]
    for pointer, values in zip(on_device, (y, x)):
        ok(driver.cuMemcpyHtoD(pointer, ctypes.addressof(values), size))
    values = (*map(int, on_device), 3.0, n)
    types = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_float, ctypes.c_uint)
    launch(function((HERE / "axpy.ptx").read_text(), "axpy"), -(-n // 128), 128, values, types)
    ok(driver.cuMemcpyDtoH(ctypes.addressof(y), on_device[0], size))
    assert list(y) == [3 * i / 4 - i for i in range(n)]
    for pointer in on_device:
        ok(driver.cuMemFree(pointer))


def reverse(ptx):
    """Runs a program that turns 64 words round; how the launch ended."""
    out = ok(driver.cuMemAlloc(256))
    launch(function(ptx, "reverse"), 1, 64, (int(out),), (ctypes.c_void_p,))
    (status,) = driver.cuCtxSynchronize()
    if status == driver.CUresult.CUDA_SUCCESS:
        words = (ctypes.c_uint * 64)()
        ok(driver.cuMemcpyDtoH(ctypes.addressof(words), out, 256))
        assert list(words) == list(reversed(range(64)))
    return status


def run(name, seed, *mended):
    """Runs a planted program in a process of its own."""
    environment = os.environ | {"CUDA_EMULATOR_SEED": str(seed)}
    command = [sys.executable, __file__, name, *mended]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def planted(name, kind):
    """What is missing from a program is found, and with it nothing is."""
    for seed in SEEDS:
        right, wrong = run(name, seed, "mended"), run(name, seed)
        assert right.returncode == 0 and not right.stderr, right.stderr
        assert "CUDA_ERROR_LAUNCH_FAILED" in wrong.stdout, wrong
        assert wrong.stderr.startswith(f"cuda-emulator: error[{kind}]: "), wrong.stderr
    print(f"{name}: found in each of {len(SEEDS)} orders:\n{wrong.stderr}")


def main():
    if len(sys.argv) > 1:
        name, *mended = sys.argv[1:]
        start()
        ptx = (HERE / f"{name}.ptx").read_text()
        status = reverse(ptx.replace("// FIX: ", "") if mended else ptx)
        print(status.name)
        sys.exit(int(status != driver.CUresult.CUDA_SUCCESS))
    print(f"device: {start()}")
    for n in (1, 1000, 4096):
        axpy(n)
    print("axpy: right")
    for program in PLANTED:
        planted(*program)


if __name__ == "__main__":
    main()
