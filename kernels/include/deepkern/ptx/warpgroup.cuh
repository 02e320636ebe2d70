// Warpgroups: four warps that share out a block's registers and run wgmma together.

#pragma once

#include <stdint.h>

namespace deepkern::ptx {

constexpr uint32_t kWarpgroup = 128;

/// Gives registers back, down to `kCount` a thread.
template <uint32_t kCount>
__device__ inline void registers_give() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kCount));
}

/// Takes registers, up to `kCount` a thread.
template <uint32_t kCount>
__device__ inline void registers_take() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kCount));
}

/// The threads of one warpgroup meet; `id` (1 to 15) is theirs alone.
__device__ inline void warpgroup_sync(uint32_t id) {
    asm volatile("bar.sync %0, %1;" ::"r"(id), "n"(kWarpgroup) : "memory");
}

}  // namespace deepkern::ptx
