//! The driver API, as C programs use it: every test calls the functions that
//! cudarc declares, in a context of its own.

mod api;
mod arithmetic;
mod capture;
mod copies;
mod explore;
mod findings;
mod kernels;
mod memory;
mod races;
mod streams;
mod tensor_map;
#[path = "../common/tensor_map.rs"]
mod tensor_maps;

use std::ffi::c_void;
use std::ptr;

use cudarc::driver::sys::{self, CUresult};

/// A context of the test's own, current on its thread; faults stay inside it.
struct Context(sys::CUcontext);

impl Context {
    fn new() -> Self {
        cuda_emulator::install().expect("the emulator is beside the test binary");
        let mut context = ptr::null_mut();
        // SAFETY: called as the API asks.
        unsafe {
            ok(sys::cuInit(0));
            ok(sys::cuCtxCreate_v4(&mut context, ptr::null_mut(), 0, 0));
        }
        Context(context)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the context is the test's own.
        let _ = unsafe { sys::cuCtxDestroy_v2(self.0) };
    }
}

#[track_caller]
fn ok(result: CUresult) {
    assert_eq!(result, CUresult::CUDA_SUCCESS);
}

/// Device memory of a number of bytes.
fn alloc(bytes: usize) -> u64 {
    let mut address = 0;
    // SAFETY: called as the API asks.
    ok(unsafe { sys::cuMemAlloc_v2(&mut address, bytes) });
    address
}

/// Device memory with these contents.
fn upload(data: &[u8]) -> u64 {
    let address = alloc(data.len());
    // SAFETY: both ends have that length.
    ok(unsafe { sys::cuMemcpyHtoD_v2(address, data.as_ptr().cast(), data.len()) });
    address
}

fn download(address: u64, bytes: usize) -> Vec<u8> {
    let mut data = vec![0; bytes];
    // SAFETY: both ends have that length.
    ok(unsafe { sys::cuMemcpyDtoH_v2(data.as_mut_ptr().cast(), address, bytes) });
    data
}

/// Pinned memory of a number of bytes.
fn pinned(bytes: usize) -> *mut u8 {
    let mut pointer: *mut c_void = ptr::null_mut();
    // SAFETY: called as the API asks.
    ok(unsafe { sys::cuMemHostAlloc(&mut pointer, bytes, 0) });
    pointer.cast()
}

/// A stream that does not wait for the default one.
fn stream() -> sys::CUstream {
    let mut stream = ptr::null_mut();
    // SAFETY: called as the API asks.
    ok(unsafe { sys::cuStreamCreate(&mut stream, 1) });
    stream
}

/// A stream that is ordered with the default one.
fn blocking_stream() -> sys::CUstream {
    let mut stream = ptr::null_mut();
    // SAFETY: called as the API asks.
    ok(unsafe { sys::cuStreamCreate(&mut stream, 0) });
    stream
}

fn event() -> sys::CUevent {
    let mut event = ptr::null_mut();
    // SAFETY: called as the API asks.
    ok(unsafe { sys::cuEventCreate(&mut event, 0) });
    event
}

/// Whether this is a process in which only the named test runs, with these
/// environment variables. If not, starts one and waits for it to pass.
fn alone(test: &str, environment: &[(&str, &str)]) -> bool {
    logged(test, environment).is_none()
}

/// The same; gives what such a process wrote to stderr, and nothing inside it.
fn logged(test: &str, environment: &[(&str, &str)]) -> Option<String> {
    const ALONE: &str = "DRIVER_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return None;
    }
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(ALONE, "1").envs(environment.iter().copied());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let passed = output.status.success() && text.contains("1 passed");
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(passed, "{text}\n{log}");
    Some(log)
}
