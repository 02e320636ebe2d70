//! Kernels: loading them once per context, and launching them.

use std::{
    ffi::{CString, c_void},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use cudarc::driver::{
    CudaContext, result,
    sys::{self, CUfunction_attribute},
};

use crate::{Error, Result, queue::Launch};

/// A family of kernels: one fatbin.
pub(crate) struct Family {
    pub name: &'static str,
    /// `None` when built without nvcc.
    pub fatbin: Option<&'static [u8]>,
}

impl Family {
    fn image(&self) -> Result<&'static [u8]> {
        self.fatbin.ok_or(Error::KernelsMissing { family: self.name })
    }
}

/// Dynamic shared memory, in bytes, that a kernel has without asking.
const UNASKED_SHARED: u32 = 48 << 10;

/// A family loaded into a context.
#[derive(Debug)]
pub(crate) struct Module {
    family: &'static str,
    module: sys::CUmodule,
    context: Arc<CudaContext>,
}

// SAFETY: a CUmodule is a handle that the driver lets any thread use.
unsafe impl Send for Module {}
// SAFETY: as above.
unsafe impl Sync for Module {}

/// What is loaded, so that two [`Device`](crate::Device)s of one context share it. An entry dies with its last user.
static LOADED: Mutex<Vec<Weak<Module>>> = Mutex::new(Vec::new());

impl Module {
    /// The family in this context; loads it where that has not happened yet.
    pub fn get(context: &Arc<CudaContext>, family: &Family) -> Result<Arc<Self>> {
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.retain(|module| module.strong_count() > 0);
        let found = loaded
            .iter()
            .filter_map(Weak::upgrade)
            .find(|module| module.is(family) && module.context.cu_ctx() == context.cu_ctx());
        if let Some(module) = found {
            return Ok(module);
        }

        let fatbin = family.image()?;
        context.bind_to_thread()?;
        // SAFETY: a whole fatbin, aligned, as nvcc wrote it; it says its own length.
        let module = unsafe { result::module::load_data(fatbin.as_ptr().cast()) }?;
        let module = Arc::new(Self { family: family.name, module, context: context.clone() });
        loaded.push(Arc::downgrade(&module));
        Ok(module)
    }

    /// Whether it is this family.
    pub fn is(&self, family: &Family) -> bool {
        self.family == family.name
    }

    /// Looks up a kernel, to be launched with so many bytes of dynamic shared memory.
    pub fn kernel(self: &Arc<Self>, name: &str, shared: u32) -> Result<Kernel> {
        self.context.bind_to_thread()?;
        let name = CString::new(name).expect("kernel names are constants without zeros");
        // SAFETY: the module is loaded.
        let function = unsafe { result::module::get_function(self.module, name) }?;
        if shared > UNASKED_SHARED {
            let attribute = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            // SAFETY: the function is of a loaded module.
            unsafe { result::function::set_function_attribute(function, attribute, shared as i32) }?;
        }
        Ok(Kernel { function, shared, module: self.clone() })
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // The last plan may be gone before its work is done.
        self.context.record_err(self.context.synchronize());
        // SAFETY: nothing refers to the module any more, neither here nor on the device.
        self.context.record_err(unsafe { result::module::unload(self.module) });
    }
}

/// One kernel, ready to launch.
#[derive(Debug, Clone)]
pub(crate) struct Kernel {
    function: sys::CUfunction,
    shared: u32,
    module: Arc<Module>,
}

// SAFETY: a CUfunction is a handle that the driver lets any thread use.
unsafe impl Send for Kernel {}
// SAFETY: as above.
unsafe impl Sync for Kernel {}

impl Kernel {
    /// Queues the kernel on `blocks` blocks of `threads` threads.
    ///
    /// # Safety
    ///
    /// `Args` is the kernel's only parameter, and all that it points to is valid, for as long as the launch (or the
    /// graph that captures it) needs it.
    pub unsafe fn launch<Args: Copy>(
        &self,
        on: &Launch<'_>,
        blocks: u32,
        threads: u32,
        args: &Args,
    ) -> Result<()> {
        self.module.context.bind_to_thread()?;
        let mut parameters = [std::ptr::from_ref(args) as *mut c_void];
        // SAFETY: the driver copies the parameters before it returns, and does not write them. The rest is the
        // caller's promise.
        unsafe {
            let grid = (blocks, 1, 1);
            let block = (threads, 1, 1);
            let stream = on.stream().cu_stream();
            result::launch_kernel(self.function, grid, block, self.shared, stream, &mut parameters)?;
        }
        on.keep(&self.module);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_nvcc_kernels_are_missing() {
        let missing = Family { name: "fp8", fatbin: None };
        assert_eq!(missing.image(), Err(Error::KernelsMissing { family: "fp8" }));
        let there = Family { name: "fp8", fatbin: Some(b"fatbin") };
        assert_eq!(there.image(), Ok(b"fatbin".as_slice()));
    }
}
