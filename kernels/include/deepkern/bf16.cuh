// bfloat16, as the upper half of an f32.

#pragma once

#include <stdint.h>

namespace deepkern {

struct Bf16 {
    uint16_t bits;
};

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(Bf16 x) {
    return __uint_as_float(static_cast<uint32_t>(x.bits) << 16);
}

/// Rounds to the nearest value of type T, ties to even.
template <class T>
__device__ T from_float(float x);

template <>
__device__ inline float from_float<float>(float x) { return x; }

template <>
__device__ inline Bf16 from_float<Bf16>(float x) {
    Bf16 y;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
}

/// Two of them, `low` in the lower half.
__device__ inline uint32_t bf16_pair(float low, float high) {
    uint32_t pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}

}  // namespace deepkern
