//! How fast the machine is: the tensor core's sums, and kernels without tensor cores
//! through the driver API, with and without looking for races: a tiled f32 GEMM, most of
//! whose instructions are multiply-adds and loads of shared memory; four bytes and a byte a
//! thread from global memory and back, which is all memory.

use std::error::Error;
use std::ffi::{CString, c_void};
use std::hint::black_box;

use cpu_time::ProcessTime;
use cuda_emulator::Mode;
use cuda_emulator::numeric::tensor_core::{
    Accumulator, Arithmetic, Columns, Format, Operation, ROWS, Rows, Unit, WIDTH, multiply,
};
use cudarc::driver::{CudaContext, DevicePtr, DevicePtrMut, result};

/// The matrices are `N` by `N`.
const N: u32 = 512;

fn main() -> Result<(), Box<dyn Error>> {
    for (format, k) in [(Format::E4m3, 32), (Format::Bf16, 16)] {
        for arithmetic in [Arithmetic::Exact, Arithmetic::Hardware] {
            tensor_core(format, k, arithmetic);
        }
    }
    scalar()
}

/// One core, a warp's share of `wgmma`s, whose four warps turn B into numbers once.
fn tensor_core(format: Format, k: usize, arithmetic: Arithmetic) {
    const TIMES: usize = 20_000;
    let n = 128;
    let op =
        Operation { a: format, b: format, d: Accumulator::F32, unit: Unit::Warpgroup, negate: false, n, k };
    // Ordinary numbers: the exponent's top bit alternates with the bits below it.
    let code = |i: usize| (i * 37 % 64) as u8 | if i.is_multiple_of(2) { 0 } else { 0x80 };
    let a: Vec<u8> = (0..ROWS * k * format.bytes()).map(code).collect();
    let b: Vec<u8> = (0..n * k * format.bytes()).map(|i| code(i * 11)).collect();
    let mut d = vec![[0; 32]; n / 2];
    let (mut rows, mut columns) = (Rows::ZERO, vec![Columns::ZERO; n / WIDTH]);
    let start = ProcessTime::now();
    for time in 0..TIMES {
        rows.set(&op, arithmetic, black_box(&a));
        if time.is_multiple_of(4) {
            Columns::set(&mut columns, &op, arithmetic, black_box(&b));
        }
        multiply(&op, arithmetic, &rows, &columns, &mut d);
        black_box(&mut d);
    }
    let seconds = start.elapsed().as_secs_f64();
    let rate = (TIMES * ROWS * n * k) as f64 / seconds / 1e9;
    println!("{rate:.2} G multiply-adds/s of {format:?}, {arithmetic:?}");
}

/// Kernels that load and store more than they compute: what it costs to hold accesses against each other.
const MEMORY: &str = ".version 8.0
.target sm_80
.address_size 64
.visible .entry axpy(.param .u64 out, .param .u64 a, .param .u64 b, .param .u32 n)
{
.reg .b32 %t, %b, %r;
.reg .f32 %x, %y;
.reg .b64 %to, %from, %d;
ld.param.u64 %to, [out];
ld.param.u64 %from, [a];
mov.u32 %t, %tid.x;
mov.u32 %b, %ctaid.x;
mad.lo.u32 %t, %b, 256, %t;
mul.wide.u32 %d, %t, 4;
add.u64 %to, %to, %d;
add.u64 %from, %from, %d;
ld.global.f32 %x, [%from];
ld.global.f32 %y, [%to];
fma.rn.f32 %y, %x, 0f40000000, %y;
st.global.f32 [%to], %y;
ret;
}
.visible .entry bytes(.param .u64 out, .param .u64 a, .param .u64 b, .param .u32 n)
{
.shared .b8 s[1056];
.reg .b16 %h;
.reg .b32 %t, %b, %r, %at;
.reg .b64 %to, %from, %d;
ld.param.u64 %to, [out];
ld.param.u64 %from, [a];
mov.u32 %t, %tid.x;
mov.u32 %b, %ctaid.x;
mad.lo.u32 %r, %b, 256, %t;
cvt.u64.u32 %d, %r;
add.u64 %to, %to, %d;
add.u64 %from, %from, %d;
mov.u32 %at, s;
mad.lo.u32 %at, %t, 4, %at;
ld.global.u8 %h, [%from];
st.shared.u8 [%at], %h;
bar.sync 0;
xor.b32 %t, %t, 32;
mov.u32 %at, s;
mad.lo.u32 %at, %t, 4, %at;
ld.shared.u8 %h, [%at];
st.global.u8 [%to], %h;
ret;
}
";

/// Kernels without tensor cores, with and without looking for races: one core.
fn scalar() -> Result<(), Box<dyn Error>> {
    cuda_emulator::install()?;
    cuda_emulator::set_threads(1);
    let stream = CudaContext::new(0)?.default_stream();
    let values: Vec<f32> = (0..N * N).map(|i| (i % 17) as f32).collect();
    let (a, b) = (stream.clone_htod(&values)?, stream.clone_htod(&values)?);
    let mut c = stream.alloc_zeros::<f32>(values.len())?;
    let (mut a, mut b, mut c) =
        (a.device_ptr(&stream).0, b.device_ptr(&stream).0, c.device_ptr_mut(&stream).0);
    let mut n = N;
    let mut arguments =
        [(&raw mut c).cast::<c_void>(), (&raw mut a).cast(), (&raw mut b).cast(), (&raw mut n).cast()];
    let programs = include_str!("../tests/machine/programs.ptx");
    let kernels = [
        ("gemm", programs, (N / 32, N / 32), (8, 8)),
        ("axpy", MEMORY, (N * N / 256, 1), (256, 1)),
        ("bytes", MEMORY, (N * N / 256, 1), (256, 1)),
    ];
    for (name, text, grid, block) in kernels {
        let text = CString::new(text)?;
        // SAFETY: the text ends in a NUL.
        let module = unsafe { result::module::load_data(text.as_ptr().cast()) }?;
        // SAFETY: the module is loaded.
        let kernel = unsafe { result::module::get_function(module, CString::new(name)?) }?;
        let mut seconds = |mode| -> Result<f64, Box<dyn Error>> {
            cuda_emulator::set_mode(mode);
            let mut times = Vec::new();
            for _ in 0..7 {
                let start = ProcessTime::now();
                // SAFETY: these are the kernel's parameters, and the buffers have the size it is given.
                unsafe {
                    let (grid, block) = ((grid.0, grid.1, 1), (block.0, block.1, 1));
                    result::launch_kernel(kernel, grid, block, 0, stream.cu_stream(), &mut arguments)?;
                }
                stream.synchronize()?;
                times.push(start.elapsed().as_secs_f64());
            }
            times.sort_by(f64::total_cmp);
            Ok(times[times.len() / 2])
        };
        let (fast, full) = (seconds(Mode::Fast)?, seconds(Mode::Full)?);
        println!(
            "{name}: {:.1} ms fast, {:.1} ms full, {:.1} times as long",
            fast * 1e3,
            full * 1e3,
            full / fast
        );
    }
    Ok(())
}
