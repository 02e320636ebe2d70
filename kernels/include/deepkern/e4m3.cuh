// E4M3 (finite): to and from f32.
//
// 1 sign, 4 exponent (bias 7) and 3 mantissa bits; subnormals are multiples of
// 2^-9; exponent 15 with mantissa 7 is NaN, and there is no infinity.
//
// From sm_89 on the hardware converts. Before, the same function of bits is
// computed by hand; a test holds both to the same table.

#pragma once

#include <stdint.h>

namespace deepkern {

/// Rounds to the nearest code, ties to the even one. What lies beyond 448, infinity
/// included, becomes +-448; NaN becomes 0x7f. The low byte is `lo`.
__device__ inline uint16_t encode_e4m3x2(float lo, float hi) {
#if __CUDA_ARCH__ >= 890
    uint16_t codes;
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(codes) : "f"(hi), "f"(lo));
    return codes;
#else
    auto encode = [](float x) -> uint32_t {
        const uint32_t sign = __float_as_uint(x) >> 24 & 0x80;
        const uint32_t bits = __float_as_uint(x) & 0x7fffffff;

        // From 2^-6 on, codes are normal. Keep 3 of the 23 mantissa bits: add just
        // under half of the last one kept, and a whole half when it is odd. A carry
        // runs into the exponent.
        const uint32_t rounded = (bits + 0x7ffff + (bits >> 20 & 1)) >> 20;
        const uint32_t normal = min(rounded - ((127 - 7) << 3), 0x7eu);
        // Below, adding 2^14 leaves exactly the multiples of 2^-9 in the mantissa,
        // rounded by the adder.
        const uint32_t subnormal =
            __float_as_uint(__uint_as_float(bits) + 0x1p14f) - __float_as_uint(0x1p14f);

        if (bits > 0x7f800000) return 0x7f;
        return sign | (bits < 0x3c800000 ? subnormal : normal);
    };
    return static_cast<uint16_t>(encode(lo) | encode(hi) << 8);
#endif
}

/// The exact values of two codes; `x` is the low byte's.
__device__ inline float2 decode_e4m3x2(uint16_t codes) {
#if __CUDA_ARCH__ >= 890
    float2 value;
    asm("{\n"
        ".reg .b32 halves;\n"
        ".reg .b16 lo, hi;\n"
        "cvt.rn.f16x2.e4m3x2 halves, %2;\n"
        "mov.b32 {lo, hi}, halves;\n"
        "cvt.f32.f16 %0, lo;\n"
        "cvt.f32.f16 %1, hi;\n"
        "}"
        : "=f"(value.x), "=f"(value.y)
        : "h"(codes));
    return value;
#else
    auto decode = [](uint32_t code) -> float {
        // As an f32 the exponent is too small by 127 - 7, subnormals included;
        // multiplying by a power of two puts it right, and is exact. NaN starts
        // out as one.
        const uint32_t magnitude = code & 0x7f;
        const uint32_t bits = magnitude == 0x7f ? 0x7fffffff : magnitude << 20;
        return __uint_as_float((code & 0x80) << 24 | bits) * 0x1p120f;
    };
    return make_float2(decode(codes & 0xff), decode(codes >> 8));
#endif
}

}  // namespace deepkern
