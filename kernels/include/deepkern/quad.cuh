// Four neighbouring elements of a row, moved as one vector where alignment and the
// row's end allow it and one by one where they do not. Nothing outside of the row
// is ever touched: what lies there may belong to someone else.

#pragma once

#include <deepkern/bf16.cuh>
#include <stddef.h>
#include <stdint.h>

namespace deepkern {

template <class T>
struct alignas(4 * sizeof(T)) Quad {
    T at[4];
};

__device__ inline bool is_aligned(const void *p, size_t bytes) {
    return reinterpret_cast<uintptr_t>(p) % bytes == 0;
}

/// How many of the four elements from `column` on lie in a row of `columns`.
__device__ inline uint32_t quad_columns(uint32_t column, uint32_t columns) {
    return column < columns ? min(columns - column, 4u) : 0;
}

/// The first `count` elements at `p` as f32; the others are zero.
template <class T>
__device__ Quad<float> load_quad(const T *p, uint32_t count) {
    Quad<float> result;
    if (count == 4 && is_aligned(p, sizeof(Quad<T>))) {
        const Quad<T> quad = *reinterpret_cast<const Quad<T> *>(p);
        for (uint32_t i = 0; i < 4; ++i) result.at[i] = to_float(quad.at[i]);
    } else {
        for (uint32_t i = 0; i < 4; ++i) result.at[i] = i < count ? to_float(p[i]) : 0.0f;
    }
    return result;
}

/// Writes the first `count` elements to `p`.
template <class T>
__device__ void store_quad(T *p, const Quad<T> &quad, uint32_t count) {
    if (count == 4 && is_aligned(p, sizeof(Quad<T>))) {
        *reinterpret_cast<Quad<T> *>(p) = quad;
    } else {
        for (uint32_t i = 0; i < 4; ++i) {
            if (i < count) p[i] = quad.at[i];
        }
    }
}

}  // namespace deepkern
