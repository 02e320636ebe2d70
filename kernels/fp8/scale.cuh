// How a group of numbers becomes E4M3 codes and one scale. Both quantise kernels
// use these functions, and `reference::fp8` in Rust states them once more.
//
//   amax  = the largest magnitude of the group's finite elements
//   scale = max(amax / 448, 2^-126), the quotient rounded to nearest even;
//           with FP8_SCALE_POW2 rounded up to a power of two
//   code  = e4m3(x / scale): the quotient rounded to f32, then to E4M3, each to
//           nearest even; 0x7f (NaN) where x is NaN or infinite
//
// The lower bound keeps the scale a normal number, so that quotients never
// overflow and no unit flushes it to zero. A group of zeros has that scale and
// the codes 0x00 and 0x80. An infinity does not fit E4M3: it becomes a NaN, so
// that it stays visible, and does not spoil the precision of its neighbours.

#pragma once

#include <deepkern/abi.h>
#include <deepkern/e4m3.cuh>
#include <deepkern/quad.cuh>
#include <stdint.h>

namespace deepkern::fp8 {

/// The bits of |x|, or 0 where x is not finite. For finite magnitudes the order of
/// the bits is the order of the numbers: amax is found by integer maximum.
__device__ inline uint32_t finite_magnitude_bits(float x) {
    const uint32_t bits = __float_as_uint(x) & 0x7fffffff;
    return bits < 0x7f800000 ? bits : 0;
}

__device__ inline uint32_t amax_bits(const Quad<float> &x) {
    return max(max(finite_magnitude_bits(x.at[0]), finite_magnitude_bits(x.at[1])),
               max(finite_magnitude_bits(x.at[2]), finite_magnitude_bits(x.at[3])));
}

/// The scale of a group whose amax has these bits.
__device__ inline float scale_from_amax(uint32_t amax_bits, uint32_t scale_format) {
    const float quotient = __fdiv_rn(__uint_as_float(amax_bits), float(FP8_E4M3_MAX));
    const float scale = fmaxf(quotient, 0x1p-126f);
    if (scale_format == FP8_SCALE_F32) return scale;
    // Any mantissa bit carries into the exponent; then the mantissa is cleared.
    // The scale is at most 2^128 / 448, so the exponent has room.
    return __uint_as_float((__float_as_uint(scale) + 0x007fffff) & 0x7f800000);
}

/// The codes of four elements, the first in the lowest byte.
__device__ inline Quad<uint8_t> quantize_quad(const Quad<float> &x, float scale) {
    float quotient[4];
    for (uint32_t i = 0; i < 4; ++i) {
        const bool finite = (__float_as_uint(x.at[i]) & 0x7f800000) != 0x7f800000;
        quotient[i] = finite ? __fdiv_rn(x.at[i], scale) : __uint_as_float(0x7fffffff);
    }
    const uint32_t lo = encode_e4m3x2(quotient[0], quotient[1]);
    const uint32_t hi = encode_e4m3x2(quotient[2], quotient[3]);
    return {static_cast<uint8_t>(lo), static_cast<uint8_t>(lo >> 8),
            static_cast<uint8_t>(hi), static_cast<uint8_t>(hi >> 8)};
}

}  // namespace deepkern::fp8
