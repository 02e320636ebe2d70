"""The emulated driver under cuda.core, NVIDIA's Python interface above the bindings: streams, pinned and device memory,
a kernel from PTX, and a right result. scripts/foreign.sh runs it.
"""

from pathlib import Path

import numpy
from cuda.core import Device, LaunchConfig, LegacyPinnedMemoryResource, ObjectCode, launch

N = 1000


def main():
    device = Device()
    device.set_current()
    stream = device.create_stream()
    kernel = ObjectCode.from_ptx((Path(__file__).parent / "axpy.ptx").read_bytes()).get_kernel("axpy")

    pinned = LegacyPinnedMemoryResource()
    on_host = [pinned.allocate(4 * N) for _ in range(2)]
    x, y = (numpy.from_dlpack(buffer).view(numpy.float32) for buffer in on_host)
    x[:] = numpy.arange(N)
    y[:] = 1
    on_device = [device.allocate(4 * N, stream=stream) for _ in range(2)]
    for to, buffer in zip(on_device, on_host):
        to.copy_from(buffer, stream=stream)
    pointers = [buffer.handle for buffer in on_device]
    config = LaunchConfig(grid=-(-N // 128), block=128)
    launch(stream, config, kernel, pointers[1], pointers[0], numpy.float32(3), numpy.uint32(N))
    on_device[1].copy_to(on_host[1], stream=stream)
    stream.sync()
    assert (y == 3 * numpy.arange(N) + 1).all(), y
    print(f"cuda.core on {device.name}: right")


if __name__ == "__main__":
    main()
