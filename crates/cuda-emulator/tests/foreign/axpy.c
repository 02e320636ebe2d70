/* The emulated driver as a C program meets it. It is built with nothing but a C compiler and NVIDIA's <cuda.h>:
 *
 *     cc axpy.c -o axpy -L target/emulator -lcuda
 *     LD_LIBRARY_PATH=target/emulator ./axpy axpy.ptx
 */
#include <cuda.h>
#include <stdio.h>
#include <stdlib.h>

#define N 1000

static void check(CUresult result, const char *call) {
    const char *name = "?";
    if (result == CUDA_SUCCESS) return;
    cuGetErrorName(result, &name);
    fprintf(stderr, "%s: %s\n", call, name);
    exit(1);
}
#define CHECK(call) check(call, #call)

int main(int count, char **arguments) {
    CUdevice device;
    CUcontext context;
    CUmodule module;
    CUfunction kernel;
    CUdeviceptr x, y;
    static float numbers[N];
    float a = 3;
    unsigned n = N;
    void *parameters[] = {&y, &x, &a, &n};

    CHECK(cuInit(0));
    CHECK(cuDeviceGet(&device, 0));
    CHECK(cuDevicePrimaryCtxRetain(&context, device));
    CHECK(cuCtxSetCurrent(context));
    CHECK(cuModuleLoad(&module, count > 1 ? arguments[1] : "axpy.ptx"));
    CHECK(cuModuleGetFunction(&kernel, module, "axpy"));

    CHECK(cuMemAlloc(&x, sizeof numbers));
    CHECK(cuMemAlloc(&y, sizeof numbers));
    for (int i = 0; i < N; i++) numbers[i] = (float)i;
    CHECK(cuMemcpyHtoD(x, numbers, sizeof numbers));
    CHECK(cuMemsetD32(y, 0, N));
    CHECK(cuLaunchKernel(kernel, (N + 127) / 128, 1, 1, 128, 1, 1, 0, 0, parameters, 0));
    CHECK(cuMemcpyDtoH(numbers, y, sizeof numbers));

    for (int i = 0; i < N; i++) {
        if (numbers[i] != a * (float)i) {
            fprintf(stderr, "element %d is %g\n", i, numbers[i]);
            return 1;
        }
    }
    printf("axpy.c: right\n");
    return 0;
}
