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

// An operand of asm cannot be indexed. So here are the names of the first 8, 16, ... operands, and the
// accumulators that stand for them.
#define DEEPKERN_NAMES_4 "%0, %1, %2, %3"
#define DEEPKERN_PLACES_4 DEEPKERN_FOUR(0)
#define DEEPKERN_NAMES_8 "%0, %1, %2, %3, %4, %5, %6, %7"
#define DEEPKERN_NAMES_16 DEEPKERN_NAMES_8 ", " "%8, %9, %10, %11, %12, %13, %14, %15"
#define DEEPKERN_NAMES_24 DEEPKERN_NAMES_16 ", " "%16, %17, %18, %19, %20, %21, %22, %23"
#define DEEPKERN_NAMES_32 DEEPKERN_NAMES_24 ", " "%24, %25, %26, %27, %28, %29, %30, %31"
#define DEEPKERN_NAMES_40 DEEPKERN_NAMES_32 ", " "%32, %33, %34, %35, %36, %37, %38, %39"
#define DEEPKERN_NAMES_48 DEEPKERN_NAMES_40 ", " "%40, %41, %42, %43, %44, %45, %46, %47"
#define DEEPKERN_NAMES_56 DEEPKERN_NAMES_48 ", " "%48, %49, %50, %51, %52, %53, %54, %55"
#define DEEPKERN_NAMES_64 DEEPKERN_NAMES_56 ", " "%56, %57, %58, %59, %60, %61, %62, %63"
#define DEEPKERN_NAMES_72 DEEPKERN_NAMES_64 ", " "%64, %65, %66, %67, %68, %69, %70, %71"
#define DEEPKERN_NAMES_80 DEEPKERN_NAMES_72 ", " "%72, %73, %74, %75, %76, %77, %78, %79"
#define DEEPKERN_NAMES_88 DEEPKERN_NAMES_80 ", " "%80, %81, %82, %83, %84, %85, %86, %87"
#define DEEPKERN_NAMES_96 DEEPKERN_NAMES_88 ", " "%88, %89, %90, %91, %92, %93, %94, %95"
#define DEEPKERN_PLACES_8 DEEPKERN_FOUR(0), DEEPKERN_FOUR(4)
#define DEEPKERN_PLACES_16 DEEPKERN_PLACES_8, DEEPKERN_FOUR(8), DEEPKERN_FOUR(12)
#define DEEPKERN_PLACES_24 DEEPKERN_PLACES_16, DEEPKERN_FOUR(16), DEEPKERN_FOUR(20)
#define DEEPKERN_PLACES_32 DEEPKERN_PLACES_24, DEEPKERN_FOUR(24), DEEPKERN_FOUR(28)
#define DEEPKERN_PLACES_40 DEEPKERN_PLACES_32, DEEPKERN_FOUR(32), DEEPKERN_FOUR(36)
#define DEEPKERN_PLACES_48 DEEPKERN_PLACES_40, DEEPKERN_FOUR(40), DEEPKERN_FOUR(44)
#define DEEPKERN_PLACES_56 DEEPKERN_PLACES_48, DEEPKERN_FOUR(48), DEEPKERN_FOUR(52)
#define DEEPKERN_PLACES_64 DEEPKERN_PLACES_56, DEEPKERN_FOUR(56), DEEPKERN_FOUR(60)
#define DEEPKERN_PLACES_72 DEEPKERN_PLACES_64, DEEPKERN_FOUR(64), DEEPKERN_FOUR(68)
#define DEEPKERN_PLACES_80 DEEPKERN_PLACES_72, DEEPKERN_FOUR(72), DEEPKERN_FOUR(76)
#define DEEPKERN_PLACES_88 DEEPKERN_PLACES_80, DEEPKERN_FOUR(80), DEEPKERN_FOUR(84)
#define DEEPKERN_PLACES_96 DEEPKERN_PLACES_88, DEEPKERN_FOUR(88), DEEPKERN_FOUR(92)
#define DEEPKERN_FOUR(I) "+f"(d[I]), "+f"(d[I + 1]), "+f"(d[I + 2]), "+f"(d[I + 3])

// N, its number of accumulators, and the names of the operands after them: A, B, `accumulate`.
#define DEEPKERN_WGMMA(N, COUNT, A, B, ACCUMULATE)                                                    \
    template <>                                                                                      \
    __device__ inline void wgmma_e4m3<N>(float (&d)[COUNT], uint64_t a, uint64_t b, bool accumulate) { \
        asm volatile(                                                                                \
            "{\n"                                                                                    \
            ".reg .pred accumulate;\n"                                                               \
            "setp.ne.b32 accumulate, " ACCUMULATE ", 0;\n"                                           \
            "wgmma.mma_async.sync.aligned.m64n" #N "k32.f32.e4m3.e4m3 {" DEEPKERN_NAMES_##COUNT "}, " A \
            ", " B ", accumulate, 1, 1;\n"                                                           \
            "}\n"                                                                                    \
            : DEEPKERN_PLACES_##COUNT                                                                \
            : "l"(a), "l"(b), "r"(int32_t(accumulate)));                                             \
    }

DEEPKERN_WGMMA(8, 4, "%4", "%5", "%6")
DEEPKERN_WGMMA(16, 8, "%8", "%9", "%10")
DEEPKERN_WGMMA(32, 16, "%16", "%17", "%18")
DEEPKERN_WGMMA(64, 32, "%32", "%33", "%34")
DEEPKERN_WGMMA(96, 48, "%48", "%49", "%50")
DEEPKERN_WGMMA(112, 56, "%56", "%57", "%58")
DEEPKERN_WGMMA(128, 64, "%64", "%65", "%66")
DEEPKERN_WGMMA(160, 80, "%80", "%81", "%82")
DEEPKERN_WGMMA(192, 96, "%96", "%97", "%98")

}  // namespace deepkern::ptx
