//! The driver at hand: the real one where there is one, the emulator otherwise; `DEEPKERN_DEVICE=cuda` or `emulator`
//! decides.

use std::ffi::{CStr, CString, c_void};
use std::ptr;
use std::sync::OnceLock;

use cudarc::driver::sys::{self, CUdevice_attribute, CUresult};

use crate::vector::{BEFORE_TENSOR, UNTOUCHED, Vector};

/// Device 0 in its primary context, current on the thread that made this.
pub struct Device {
    name: String,
    description: String,
}

/// The call's result as an error that says more.
fn ok(result: CUresult) -> Result<(), String> {
    match result {
        CUresult::CUDA_SUCCESS => Ok(()),
        _ => Err(format!("{result:?} {:?}", cuda_emulator::findings())),
    }
}

impl Device {
    pub fn new() -> Self {
        static CONTEXT: OnceLock<usize> = OnceLock::new();
        let context = *CONTEXT.get_or_init(|| {
            let request = std::env::var("DEEPKERN_DEVICE").ok();
            println!("{}", cuda_emulator::choose(request.as_deref()).unwrap_or_else(|e| panic!("{e}")));
            let mut context = ptr::null_mut();
            // SAFETY: called as the API asks.
            unsafe {
                ok(sys::cuInit(0)).expect("a driver");
                ok(sys::cuDevicePrimaryCtxRetain(&mut context, 0)).expect("a device");
            }
            context as usize
        });
        let (mut name, mut driver, mut capability) = ([0; 128], 0, [0; 2]);
        // SAFETY: the context is never released; called as the API asks.
        unsafe {
            ok(sys::cuCtxSetCurrent(context as sys::CUcontext)).expect("the context");
            ok(sys::cuDeviceGetName(name.as_mut_ptr(), name.len() as i32, 0)).expect("a name");
            ok(sys::cuDriverGetVersion(&mut driver)).expect("a version");
            let [major, minor] = &mut capability;
            for (number, attribute) in [
                (major, CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR),
                (minor, CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR),
            ] {
                ok(sys::cuDeviceGetAttribute(number, attribute, 0)).expect("the capability");
            }
        }
        // SAFETY: the driver ends it with a zero.
        let name = unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned();
        let [major, minor] = capability;
        let description = format!("{name}, compute capability {major}.{minor}, driver {driver}");
        Self { name, description }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn description(&self) -> String {
        self.description.clone()
    }

    /// What the vector's kernel leaves in the output.
    pub fn run(&self, vector: &Vector) -> Result<Vec<u8>, String> {
        let text = CString::new(vector.ptx.as_str()).map_err(|error| error.to_string())?;
        let mut output = vec![UNTOUCHED; vector.output.len()];
        // SAFETY: every call is given what the API asks for; buffers are as long as the copies say.
        unsafe {
            let (mut module, mut function) = (ptr::null_mut(), ptr::null_mut());
            ok(sys::cuModuleLoadData(&mut module, text.as_ptr().cast()))?;
            ok(sys::cuModuleGetFunction(&mut function, module, c"test".as_ptr()))?;
            let (mut input_at, mut output_at) = (0, 0);
            ok(sys::cuMemAlloc_v2(&mut input_at, vector.input.len()))?;
            ok(sys::cuMemAlloc_v2(&mut output_at, output.len()))?;
            ok(sys::cuMemcpyHtoD_v2(input_at, vector.input.as_ptr().cast(), vector.input.len()))?;
            ok(sys::cuMemcpyHtoD_v2(output_at, output.as_ptr().cast(), output.len()))?;
            let mut map = sys::CUtensorMap { opaque: [0; 16] };
            if let Some(wanted) = &vector.map {
                let address = if wanted.output { output_at } else { input_at + BEFORE_TENSOR as u64 };
                let mut tiled = wanted.tiled.clone();
                tiled.address = address;
                map = tiled.encode().map_err(|error| format!("no tensor map: {error:?}"))?;
            }
            let mut arguments: [*mut c_void; 3] =
                [(&raw mut input_at).cast(), (&raw mut output_at).cast(), (&raw mut map).cast()];
            ok(sys::cuLaunchKernel(
                function,
                vector.blocks,
                1,
                1,
                vector.threads,
                1,
                1,
                0,
                ptr::null_mut(),
                arguments.as_mut_ptr(),
                ptr::null_mut(),
            ))?;
            ok(sys::cuMemcpyDtoH_v2(output.as_mut_ptr().cast(), output_at, output.len()))?;
            ok(sys::cuMemFree_v2(input_at))?;
            ok(sys::cuMemFree_v2(output_at))?;
            ok(sys::cuModuleUnload(module))?;
        }
        Ok(output)
    }
}
