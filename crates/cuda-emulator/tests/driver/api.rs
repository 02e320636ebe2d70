//! Initialisation, devices, contexts, names of errors, entry points, stubs.

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::sync::Mutex;

use cudarc::driver::sys::{self, CUdevice_attribute, CUresult};

use super::{Context, alloc, ok};

#[test]
fn the_device_is_of_the_h100_class() {
    let _context = Context::new();
    let attribute = |attribute| {
        let mut value = 0;
        // SAFETY: called as the API asks.
        ok(unsafe { sys::cuDeviceGetAttribute(&mut value, attribute, 0) });
        value
    };
    use CUdevice_attribute::*;
    assert_eq!(attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR), 9);
    assert_eq!(attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR), 0);
    assert_eq!(attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT), 132);
    assert_eq!(attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN), 227 * 1024);
    assert_eq!(attribute(CU_DEVICE_ATTRIBUTE_WARP_SIZE), 32);
    assert_eq!(attribute(CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED), 1);
    let mut name = [0 as c_char; 64];
    let (mut total, mut version) = (0, 0);
    // SAFETY: called as the API asks.
    unsafe {
        ok(sys::cuDeviceGetName(name.as_mut_ptr(), 64, 0));
        assert_eq!(CStr::from_ptr(name.as_ptr()).to_str(), Ok("cuda-emulator (sm_90a)"));
        ok(sys::cuDeviceGetName(name.as_mut_ptr(), 5, 0));
        assert_eq!(CStr::from_ptr(name.as_ptr()).to_str(), Ok("cuda"));
        ok(sys::cuDeviceTotalMem_v2(&mut total, 0));
        assert_eq!(total, 80 << 30);
        ok(sys::cuDriverGetVersion(&mut version));
        assert_eq!(version, 13000);
        let mut device = 0;
        assert_eq!(sys::cuDeviceGet(&mut device, 1), CUresult::CUDA_ERROR_INVALID_DEVICE);
        assert_eq!(sys::cuDeviceGet(&mut device, -1), CUresult::CUDA_ERROR_INVALID_DEVICE);
        assert_eq!(sys::cuDeviceGetCount(ptr::null_mut()), CUresult::CUDA_ERROR_INVALID_VALUE);
    }
}

#[test]
fn every_error_has_a_name_and_a_description() {
    let _context = Context::new();
    let (mut name, mut text) = (ptr::null(), ptr::null());
    // SAFETY: called as the API asks.
    unsafe {
        ok(sys::cuGetErrorName(CUresult::CUDA_ERROR_ILLEGAL_ADDRESS, &mut name));
        ok(sys::cuGetErrorString(CUresult::CUDA_ERROR_ILLEGAL_ADDRESS, &mut text));
        assert_eq!(CStr::from_ptr(name).to_str(), Ok("CUDA_ERROR_ILLEGAL_ADDRESS"));
        assert!(!CStr::from_ptr(text).is_empty());
        // A code that the API does not have.
        let get: extern "C" fn(u32, *mut *const c_char) -> CUresult =
            std::mem::transmute(entry("cuGetErrorName", 13000).unwrap());
        assert_eq!(get(12345, &mut name), CUresult::CUDA_ERROR_INVALID_VALUE);
        assert!(name.is_null());
    }
}

/// The entry point of a name, as the CUDA runtime asks for it.
pub fn entry(name: &str, version: c_int) -> Option<*mut c_void> {
    let name = CString::new(name).unwrap();
    let (mut function, mut result) = (ptr::null_mut(), None);
    let status = result.insert(sys::CUdriverProcAddressQueryResult::CU_GET_PROC_ADDRESS_SUCCESS);
    // SAFETY: called as the API asks.
    ok(unsafe { sys::cuGetProcAddress_v2(name.as_ptr(), &mut function, version, 0, status) });
    let found = *status == sys::CUdriverProcAddressQueryResult::CU_GET_PROC_ADDRESS_SUCCESS;
    assert_eq!(found, !function.is_null());
    found.then_some(function)
}

#[test]
fn entry_points_follow_the_version_asked_for() {
    let _context = Context::new();
    assert_eq!(entry("cuMemAlloc", 12000), entry("cuMemAlloc_v2", 12000));
    assert_eq!(entry("cuCtxCreate", 11000), entry("cuCtxCreate_v2", 11000));
    assert_eq!(entry("cuCtxCreate", 11040), entry("cuCtxCreate_v3", 11040));
    assert_eq!(entry("cuCtxCreate", 13000), entry("cuCtxCreate_v4", 13000));
    assert_eq!(entry("cuGraphInstantiate", 12000), entry("cuGraphInstantiateWithFlags", 12000));
    assert_ne!(entry("cuGraphInstantiate", 12000), entry("cuGraphInstantiate", 11000));
    assert!(entry("cuLaunchKernel", 12000).is_some());
    assert_eq!(entry("cuFrobnicate", 12000), None);
}

#[test]
fn what_is_not_emulated_says_so() {
    let _context = Context::new();
    let mut handle = 0u64;
    // SAFETY: called as the API asks.
    let result = unsafe { sys::cuMemCreate(&mut handle, 1 << 21, ptr::null(), 0) };
    assert_eq!(result, CUresult::CUDA_ERROR_NOT_SUPPORTED);
}

#[test]
fn contexts_are_a_stack_of_each_thread() {
    let own = Context::new();
    let mut current = ptr::null_mut();
    // SAFETY: called as the API asks.
    unsafe {
        ok(sys::cuCtxGetCurrent(&mut current));
        assert_eq!(current, own.0);
        ok(sys::cuCtxPushCurrent_v2(own.0));
        ok(sys::cuCtxPopCurrent_v2(&mut current));
        ok(sys::cuCtxSetCurrent(ptr::null_mut()));
        ok(sys::cuCtxGetCurrent(&mut current));
        assert!(current.is_null());
        let mut address = 0;
        assert_eq!(sys::cuMemAlloc_v2(&mut address, 16), CUresult::CUDA_ERROR_INVALID_CONTEXT);
        ok(sys::cuCtxSetCurrent(own.0));
        let other = std::thread::spawn(|| {
            let mut current = ptr::null_mut();
            ok(sys::cuCtxGetCurrent(&mut current));
            current.is_null()
        });
        assert!(other.join().unwrap(), "another thread starts without a context");
    }
}

#[test]
fn handles_are_never_trusted() {
    let _context = Context::new();
    let wild = 0x1234_5678usize as *mut c_void;
    // SAFETY: handles are looked up, not followed: that is what is tested.
    unsafe {
        assert_eq!(sys::cuStreamSynchronize(wild.cast()), CUresult::CUDA_ERROR_INVALID_HANDLE);
        assert_eq!(sys::cuEventSynchronize(wild.cast()), CUresult::CUDA_ERROR_INVALID_HANDLE);
        assert_eq!(sys::cuModuleUnload(wild.cast()), CUresult::CUDA_ERROR_INVALID_HANDLE);
        assert_eq!(sys::cuGraphDestroy(wild.cast()), CUresult::CUDA_ERROR_INVALID_HANDLE);
        assert_eq!(sys::cuCtxSetCurrent(wild.cast()), CUresult::CUDA_ERROR_INVALID_CONTEXT);
        let event = super::event();
        ok(sys::cuEventDestroy_v2(event));
        assert_eq!(sys::cuEventDestroy_v2(event), CUresult::CUDA_ERROR_INVALID_HANDLE);
        // A handle of one type is none of another.
        let stream = super::stream();
        assert_eq!(sys::cuEventQuery(stream.cast()), CUresult::CUDA_ERROR_INVALID_HANDLE);
        ok(sys::cuStreamDestroy_v2(stream));
        assert_eq!(sys::cuStreamQuery(stream), CUresult::CUDA_ERROR_INVALID_HANDLE);
    }
}

#[test]
fn a_destroyed_context_is_told_apart() {
    let context = Context::new();
    // SAFETY: called as the API asks, but for the last call, which is the test.
    unsafe {
        let raw = context.0;
        ok(sys::cuCtxPushCurrent_v2(raw));
        drop(context);
        assert_eq!(sys::cuCtxSynchronize(), CUresult::CUDA_ERROR_CONTEXT_IS_DESTROYED);
        ok(sys::cuCtxSetCurrent(ptr::null_mut()));
    }
}

#[test]
fn cudarc_opens_the_device() {
    cuda_emulator::install().unwrap();
    let context = cudarc::driver::CudaContext::new(0).unwrap();
    assert_eq!(context.compute_capability().unwrap(), (9, 0));
    let stream = context.new_stream().unwrap();
    let slice = stream.clone_htod(&[1.0f32, 2.0, 3.0]).unwrap();
    let copy = slice.try_clone().unwrap();
    assert_eq!(stream.clone_dtoh(&copy).unwrap(), [1.0, 2.0, 3.0]);
    let zeros = context.default_stream().alloc_zeros::<u64>(1000).unwrap();
    assert_eq!(context.default_stream().clone_dtoh(&zeros).unwrap(), [0; 1000]);
}

/// Frees its memory when its thread ends, and says what came of it.
struct Late(u64);

impl Drop for Late {
    fn drop(&mut self) {
        // SAFETY: called as the API asks.
        FREED.lock().unwrap().push(unsafe { sys::cuMemFree_v2(self.0) });
    }
}

static FREED: Mutex<Vec<CUresult>> = Mutex::new(Vec::new());

thread_local! {
    static BEFORE: RefCell<Option<Late>> = const { RefCell::new(None) };
    static AFTER: RefCell<Option<Late>> = const { RefCell::new(None) };
}

/// Whatever of a thread's variables is destroyed first, its context is still current.
#[test]
fn destructors_of_a_thread_may_call_the_driver() {
    let context = Context::new();
    let handle = context.0 as usize;
    let thread = std::thread::spawn(move || {
        BEFORE.with_borrow_mut(|_| {});
        // SAFETY: called as the API asks.
        ok(unsafe { sys::cuCtxSetCurrent(handle as sys::CUcontext) });
        AFTER.with_borrow_mut(|late| *late = Some(Late(alloc(16))));
        BEFORE.with_borrow_mut(|late| *late = Some(Late(alloc(16))));
    });
    thread.join().unwrap();
    assert_eq!(*FREED.lock().unwrap(), [CUresult::CUDA_SUCCESS; 2]);
}
