//! How fast the machine is: a tiled f32 GEMM, most of whose instructions are
//! multiply-adds and loads of shared memory, through the driver API.

use std::error::Error;
use std::ffi::{CString, c_void};
use std::time::Instant;

use cudarc::driver::{CudaContext, DevicePtr, DevicePtrMut, result};

/// The matrices are `N` by `N`.
const N: u32 = 512;

fn main() -> Result<(), Box<dyn Error>> {
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
