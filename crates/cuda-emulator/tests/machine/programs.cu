// Programs for programs.rs, each a test of one thing that the machine must do.

#include <cstdio>
#include <cuda_bf16.h>

using u32 = unsigned int;
using u64 = unsigned long long;

__device__ __forceinline__ u32 thread() { return blockIdx.x * blockDim.x + threadIdx.x; }

// Branches within branches, all of which join again.
extern "C" __global__ void nested(u32* out)
{
    u32 t = thread(), v = 1;
    if (t & 1) {
        v += 10;
        if (t & 2) {
            v *= 3;
            if (t & 4) v ^= 0x55; else v += 7;
        } else {
            v -= 4;
        }
    } else if (t % 3 == 0) {
        v = t * t;
    }
    // All lanes must be together again here.
    out[2 * t] = v;
    out[2 * t + 1] = __activemask();
}

// Each lane has a trip count of its own.
extern "C" __global__ void loops(u32* out)
{
    u32 t = thread(), n = 0;
    for (u32 x = t + 1; x != 1; x = x % 2 ? 3 * x + 1 : x / 2) {
        if (x % 5 == 0) continue;
        if (n > 100) break;
        n++;
    }
    out[t] = n;
}

// Threads that return before a barrier are waited for by none.
extern "C" __global__ void early(u32* out, u32 n)
{
    __shared__ u32 buffer[256];
    u32 t = threadIdx.x;
    if (t >= n) return;
    buffer[t] = t * 2;
    __syncthreads();
    out[t] = buffer[n - 1 - t];
}

// A lock that lanes of one warp, warps, and blocks take.
extern "C" __global__ void lock(u32* mutex, u32* count)
{
    bool done = false;
    while (!done) {
        if (atomicCAS(mutex, 0, 1) == 0) {
            __threadfence();
            *(volatile u32*)count = *(volatile u32*)count + 1;
            __threadfence();
            atomicExch(mutex, 0);
            done = true;
        }
    }
}

// The lock as one would write it for a CPU: the holder leaves the loop in which the others spin.
extern "C" __global__ void spin(u32* mutex, u32* count)
{
    while (atomicCAS(mutex, 0, 1) != 0) {}
    __threadfence();
    *(volatile u32*)count = *(volatile u32*)count + 1;
    __threadfence();
    atomicExch(mutex, 0);
}

// Blocks wait for each other.
extern "C" __global__ void grid_barrier(u32* arrived, u32* out)
{
    if (threadIdx.x == 0) {
        out[blockIdx.x] = blockIdx.x * 11;
        __threadfence();
        atomicAdd(arrived, 1);
        while (*(volatile u32*)arrived < gridDim.x) {}
        __threadfence();
        u32 neighbour = ((volatile u32*)out)[(blockIdx.x + 1) % gridDim.x];
        ((volatile u32*)out)[gridDim.x + blockIdx.x] = neighbour;
    }
}

__device__ __noinline__ u32 ackermann(u32 m, u32 n)
{
    if (m == 0) return n + 1;
    if (n == 0) return ackermann(m - 1, 1);
    return ackermann(m - 1, ackermann(m, n - 1));
}

// Recursion to depths that differ by lane.
extern "C" __global__ void recursion(u32* out)
{
    u32 t = thread();
    out[t] = ackermann(t % 3, t % 7);
}

__device__ __noinline__ u32 twice(u32 v) { return 2 * v; }
__device__ __noinline__ u32 square(u32 v) { return v * v; }
__device__ __noinline__ u32 negate(u32 v) { return 0 - v; }
typedef u32 (*Function)(u32);
__device__ Function functions[3] = {twice, square, negate};

// Calls through pointers, other ones in other lanes.
extern "C" __global__ void pointers(u32* out)
{
    u32 t = thread();
    out[t] = functions[t % 3](t + 1);
}

// An array indexed at run time lies in local memory.
extern "C" __global__ void local_array(u32* out)
{
    u32 t = thread(), a[16];
    for (u32 i = 0; i < 16; i++) a[(i * 5 + t) % 16] = i + t;
    u32 sum = 0;
    for (u32 i = 0; i < 16; i++) sum = sum * 3 + a[(t + i * i) % 16];
    out[t] = sum;
}

// Two arrays in dynamic shared memory, behind a static one.
extern "C" __global__ void shared_memory(float* out, const float* in)
{
    extern __shared__ __align__(128) float dynamic[];
    __shared__ float fixed[64];
    u32 t = threadIdx.x;
    fixed[t] = in[t];
    dynamic[t] = 2 * in[t];
    dynamic[64 + t] = 3 * in[t];
    __syncthreads();
    out[t] = fixed[63 - t] + dynamic[(t + 1) % 64] + dynamic[64 + t / 2];
}

__device__ __noinline__ u32 load_generic(const u32* p) { return *p; }
__constant__ u32 primes[8] = {2, 3, 5, 7, 11, 13, 17, 19};
__device__ u32 powers[4] = {1, 10, 100, 1000};

// One function reads all spaces.
extern "C" __global__ void generic(u32* out)
{
    __shared__ u32 shared[32];
    u32 t = threadIdx.x, own[4] = {t, t + 1, t + 2, t + 3};
    shared[t] = 7 * t;
    __syncthreads();
    const u32* p = t % 4 == 0 ? &shared[31 - t] : t % 4 == 1 ? &powers[t / 8] : t % 4 == 2 ? &primes[t / 4] : &own[t / 8];
    out[t] = load_generic(p);
}

// Constants, indexed by lane.
extern "C" __global__ void constants(u32* out)
{
    u32 t = thread();
    out[t] = primes[t % 8] * powers[t % 4];
}

// Text from every lane that has something to say.
extern "C" __global__ void print()
{
    u32 t = thread();
    if (t % 16 == 3) printf("thread %u of block %d: %s %5.2f %c %lld %p %%\n", t, blockIdx.x, t > 10 ? "late" : "early", 2.5, 'a' + t, -(1ll << t), (void*)(size_t)(t * 16));
    if (t == 1) printf("no arguments\n");
}

// Where each thread is.
extern "C" __global__ void indices(u32* out)
{
    u32 block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    u32 thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    u32 threads = blockDim.x * blockDim.y * blockDim.z;
    u32 lane;
    asm("mov.u32 %0, %%laneid;" : "=r"(lane));
    out[block * threads + thread] = lane | threadIdx.x << 8 | threadIdx.y << 12 | threadIdx.z << 16 | blockIdx.x << 20 | blockIdx.y << 24 | blockIdx.z << 28;
}

// The sum of a block by shuffles and shared memory.
extern "C" __global__ void block_sum(u32* out, const u32* in, u32 n)
{
    __shared__ u32 partial[32];
    u32 t = threadIdx.x, sum = 0;
    for (u32 i = t; i < n; i += blockDim.x) sum += in[i];
    for (u32 d = 16; d > 0; d /= 2) sum += __shfl_down_sync(~0u, sum, d);
    if (t % 32 == 0) partial[t / 32] = sum;
    __syncthreads();
    if (t < 32) {
        sum = t < blockDim.x / 32 ? partial[t] : 0;
        sum = __reduce_add_sync(~0u, sum);
        if (t == 0) *out = sum;
    }
}

// Shuffles of every kind; 12 values a lane.
extern "C" __global__ void shuffles(u32* out)
{
    u32 t = threadIdx.x, v = t * 100 + 1;
    u32* o = out + t * 12;
    o[0] = __shfl_up_sync(~0u, v, 3);
    o[1] = __shfl_up_sync(~0u, v, 3, 8);
    o[2] = __shfl_down_sync(~0u, v, 5);
    o[3] = __shfl_down_sync(~0u, v, 5, 16);
    o[4] = __shfl_xor_sync(~0u, v, 9);
    o[5] = __shfl_xor_sync(~0u, v, 9, 8);
    o[6] = __shfl_sync(~0u, v, 37);
    o[7] = __shfl_sync(~0u, v, t * 7, 4);
    // The two halves shuffle among themselves, in different branches.
    if (t < 16) o[8] = __shfl_xor_sync(0x0000ffff, v, 1);
    else o[8] = __shfl_xor_sync(0xffff0000, v, 2);
    // At one instruction, each quarter with a mask of its own.
    o[9] = __shfl_xor_sync(0xffu << (t & 24), v, 7);
    u32 inside;
    asm("{ .reg .pred p; shfl.sync.up.b32 %0|p, %2, 4, 0, -1; selp.u32 %1, 1, 0, p; }" : "=r"(o[10]), "=r"(inside) : "r"(v));
    o[11] = inside;
}

// Votes of every kind; 10 values a lane.
extern "C" __global__ void votes(u32* out, const u32* in)
{
    u32 t = threadIdx.x, v = in[t];
    u32* o = out + t * 10;
    o[0] = __all_sync(~0u, v < 8);
    o[1] = __any_sync(~0u, v == 3);
    o[2] = __ballot_sync(~0u, v & 1);
    o[3] = __uni_sync(~0u, v & 1);
    o[4] = __match_any_sync(~0u, v);
    int same;
    o[5] = __match_all_sync(0xffu << (t & 24), v & 16, &same);
    o[6] = same;
    o[7] = __reduce_min_sync(~0u, (int)v - 4);
    o[8] = __reduce_xor_sync(0xffffu << (t & 16), v);
    u32 elected;
    asm("{ .reg .pred p; elect.sync _|p, %1; selp.u32 %0, 1, 0, p; }" : "=r"(elected) : "r"(0xffu << (t & 24)));
    o[9] = elected;
}

// Producer and consumer warps hand over through named barriers.
extern "C" __global__ void named_barriers(u32* out)
{
    __shared__ u32 slot[32];
    u32 t = threadIdx.x, lane = t % 32;
    for (u32 round = 0; round < 5; round++) {
        if (t < 32) {
            asm volatile("bar.sync 2, 64;" ::: "memory"); // The slot is free.
            slot[lane] = round * 100 + lane;
            asm volatile("bar.arrive 1, 64;" ::: "memory"); // The slot is full.
        } else {
            asm volatile("bar.arrive 2, 64;" ::: "memory");
            asm volatile("bar.sync 1, 64;" ::: "memory");
            out[round * 32 + lane] = slot[31 - lane];
        }
    }
}

// Barriers that reduce.
extern "C" __global__ void barrier_votes(u32* out)
{
    u32 t = threadIdx.x;
    out[t * 3] = __syncthreads_count(t % 3 == 0);
    out[t * 3 + 1] = __syncthreads_and(t < 1000);
    out[t * 3 + 2] = __syncthreads_or(t == 70);
}

// Integer atomics: each operation on a word of its own, all threads at once.
extern "C" __global__ void atomics(u32* words, u64* longs, u32* old)
{
    u32 t = thread();
    atomicAdd(&words[0], t);
    atomicMin(&words[1], t + 5);
    atomicMax((int*)&words[2], -(int)t);
    atomicAnd(&words[3], ~t | 0xff);
    atomicOr(&words[4], 1u << (t % 32));
    atomicXor(&words[5], t);
    atomicInc(&words[6], 9);
    atomicDec(&words[7], 9);
    old[t] = atomicAdd(&words[8], 1);
    atomicAdd(&longs[0], (u64)t << 30);
    atomicMax(&longs[1], (u64)t << 40);
    __shared__ u32 shared;
    if (threadIdx.x == 0) shared = 0;
    __syncthreads();
    atomicAdd(&shared, 2);
    __syncthreads();
    if (threadIdx.x == 0) words[16 + blockIdx.x] = shared;
}

// Floating-point atomics; the sums are exact.
extern "C" __global__ void float_atomics(float* f, double* d, __nv_bfloat162* b, float4* v)
{
    u32 t = thread();
    atomicAdd(f, t * 0.25f);
    atomicAdd(d, 0.5);
    atomicAdd(b, __nv_bfloat162(1.0f, t % 2 ? 1.0f : -1.0f));
    atomicAdd(v, make_float4(1.0f, 2.0f, 0.5f, t));
}

// C = A B, n a multiple of 32, through shared memory; blocks of 8 x 8 threads with 4 x 4 values each.
extern "C" __global__ void __launch_bounds__(64) gemm(float* c, const float* a, const float* b, u32 n)
{
    __shared__ float as[32][33], bs[32][32];
    u32 tx = threadIdx.x, ty = threadIdx.y, row = blockIdx.y * 32, column = blockIdx.x * 32;
    float sum[4][4] = {};
    for (u32 k0 = 0; k0 < n; k0 += 32) {
        for (u32 i = ty; i < 32; i += 8)
            for (u32 j = tx; j < 32; j += 8) {
                as[i][j] = a[(row + i) * n + k0 + j];
                bs[i][j] = b[(k0 + i) * n + column + j];
            }
        __syncthreads();
#pragma unroll 8
        for (u32 k = 0; k < 32; k++)
            for (u32 i = 0; i < 4; i++)
                for (u32 j = 0; j < 4; j++) sum[i][j] = fmaf(as[ty * 4 + i][k], bs[k][tx * 4 + j], sum[i][j]);
        __syncthreads();
    }
    for (u32 i = 0; i < 4; i++)
        for (u32 j = 0; j < 4; j++) c[(row + ty * 4 + i) * n + column + tx * 4 + j] = sum[i][j];
}
