// wgmma: a warpgroup multiplies tiles in shared memory into accumulators in registers.
//
// D[64, N] += A[64, 32] B[N, 32]^T on E4M3, summed by the tensor cores. Thread t of the
// warpgroup holds rows t / 32 * 16 + t % 32 / 4 (and 8 more), columns 8 j + t % 4 * 2
// (and 1 more) of D: accumulators 4 j to 4 j + 3, row by row.
//
// It runs asynchronously: between `wgmma_fence` and `wgmma_wait` nobody may touch the
// accumulators. The compiler does not know; `wgmma_wait` therefore claims to change them,
// so that nothing that reads them moves up, and no copy of them is made before.

#pragma once

#include "mbarrier.cuh"

namespace deepkern::ptx {

/// Describes a tile of rows of 128 bytes, K innermost, with the 128-byte swizzle: eight rows
/// are an atom of 1024 bytes, to which the tile is aligned. Thirty-two elements of k further
/// on are 32 bytes, 2 in the description.
__device__ inline uint64_t wgmma_tile(const void *tile) {
    constexpr uint64_t kSwizzle128 = uint64_t{1} << 62;
    constexpr uint64_t kAtom = uint64_t{1024 / 16} << 32;
    constexpr uint64_t kUnused = uint64_t{1} << 16;  // the leading distance: a row is one atom wide
    return kSwizzle128 | kAtom | kUnused | (shared_address(tile) & 0x3ffff) >> 4;
}

/// Orders what was done to the accumulators, and to shared memory, before.
__device__ inline void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }

/// Closes the group of what was issued.
__device__ inline void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

/// Waits for all groups.
template <uint32_t kCount>
__device__ inline void wgmma_wait(float (&accumulators)[kCount]) {
    asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
    for (uint32_t i = 0; i < kCount; ++i) asm volatile("" : "+f"(accumulators[i])::"memory");
}

/// D (+)= A B^T for one step of 32 in k; without `accumulate` D is overwritten.
template <uint32_t kN>
__device__ void wgmma_e4m3(float (&d)[kN / 2], uint64_t a, uint64_t b, bool accumulate);

// An operand of asm cannot be indexed, so each width is written out.
#define DEEPKERN_WGMMA(N, REGISTERS, A, B, ACCUMULATE, ...)                                          \
    template <>                                                                                      \
    __device__ inline void wgmma_e4m3<N>(float (&d)[N / 2], uint64_t a, uint64_t b, bool accumulate) { \
        asm volatile(                                                                                \
            "{\n"                                                                                    \
            ".reg .pred accumulate;\n"                                                               \
            "setp.ne.b32 accumulate, " ACCUMULATE ", 0;\n"                                           \
            "wgmma.mma_async.sync.aligned.m64n" #N "k32.f32.e4m3.e4m3 {" REGISTERS "}, " A ", " B     \
            ", accumulate, 1, 1;\n"                                                                  \
            "}\n"                                                                                    \
            : __VA_ARGS__                                                                            \
            : "l"(a), "l"(b), "r"(int32_t(accumulate)));                                             \
    }

DEEPKERN_WGMMA(
    16,
    "%0, %1, %2, %3, %4, %5, %6, %7",
    "%8", "%9", "%10",
    "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]),
    "+f"(d[7]))

DEEPKERN_WGMMA(
    32,
    "%0, %1, %2, %3, %4, %5, %6, %7, "
    "%8, %9, %10, %11, %12, %13, %14, %15",
    "%16", "%17", "%18",
    "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]),
    "+f"(d[7]), "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]),
    "+f"(d[14]), "+f"(d[15]))

DEEPKERN_WGMMA(
    64,
    "%0, %1, %2, %3, %4, %5, %6, %7, "
    "%8, %9, %10, %11, %12, %13, %14, %15, "
    "%16, %17, %18, %19, %20, %21, %22, %23, "
    "%24, %25, %26, %27, %28, %29, %30, %31",
    "%32", "%33", "%34",
    "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]),
    "+f"(d[7]), "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]),
    "+f"(d[14]), "+f"(d[15]), "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]),
    "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), "+f"(d[24]), "+f"(d[25]),
    "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31]))

DEEPKERN_WGMMA(
    128,
    "%0, %1, %2, %3, %4, %5, %6, %7, "
    "%8, %9, %10, %11, %12, %13, %14, %15, "
    "%16, %17, %18, %19, %20, %21, %22, %23, "
    "%24, %25, %26, %27, %28, %29, %30, %31, "
    "%32, %33, %34, %35, %36, %37, %38, %39, "
    "%40, %41, %42, %43, %44, %45, %46, %47, "
    "%48, %49, %50, %51, %52, %53, %54, %55, "
    "%56, %57, %58, %59, %60, %61, %62, %63",
    "%64", "%65", "%66",
    "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]),
    "+f"(d[7]), "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]),
    "+f"(d[14]), "+f"(d[15]), "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]),
    "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), "+f"(d[24]), "+f"(d[25]),
    "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31]),
    "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35]), "+f"(d[36]), "+f"(d[37]),
    "+f"(d[38]), "+f"(d[39]), "+f"(d[40]), "+f"(d[41]), "+f"(d[42]), "+f"(d[43]),
    "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]), "+f"(d[48]), "+f"(d[49]),
    "+f"(d[50]), "+f"(d[51]), "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55]),
    "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59]), "+f"(d[60]), "+f"(d[61]),
    "+f"(d[62]), "+f"(d[63]))

#undef DEEPKERN_WGMMA

}  // namespace deepkern::ptx
