//! How fast the machine is: the tensor core's sums, and a tiled f32 GEMM, most of
//! whose instructions are multiply-adds and loads of shared memory, through the
//! driver API.

use std::error::Error;
use std::ffi::{CString, c_void};
use std::hint::black_box;
use std::time::Instant;

use cpu_time::ProcessTime;
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
    gemm()
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

fn gemm() -> Result<(), Box<dyn Error>> {
    cuda_emulator::install()?;
    let stream = CudaContext::new(0)?.default_stream();
    let values: Vec<f32> = (0..N * N).map(|i| (i % 17) as f32).collect();
    let (a, b) = (stream.clone_htod(&values)?, stream.clone_htod(&values)?);
    let mut c = stream.alloc_zeros::<f32>(values.len())?;
    let (mut a, mut b, mut c) =
        (a.device_ptr(&stream).0, b.device_ptr(&stream).0, c.device_ptr_mut(&stream).0);
    let mut n = N;
    let mut arguments =
        [(&raw mut c).cast::<c_void>(), (&raw mut a).cast(), (&raw mut b).cast(), (&raw mut n).cast()];
    let ptx = CString::new(include_str!("../tests/machine/programs.ptx"))?;
    // SAFETY: the text ends in a NUL.
    let module = unsafe { result::module::load_data(ptx.as_ptr().cast()) }?;
    // SAFETY: the module is loaded.
    let gemm = unsafe { result::module::get_function(module, CString::new("gemm")?) }?;
    for _ in 0..5 {
        let start = Instant::now();
        // SAFETY: these are the kernel's parameters, and the matrices have the size it is given.
        unsafe {
            let (grid, block) = ((N / 32, N / 32, 1), (8, 8, 1));
            result::launch_kernel(gemm, grid, block, 0, stream.cu_stream(), &mut arguments)?;
        }
        stream.synchronize()?;
        let seconds = start.elapsed().as_secs_f64();
        println!("{:.2} G multiply-adds/s ({seconds:.2} s)", f64::from(N).powi(3) / seconds / 1e9);
    }
    Ok(())
}
