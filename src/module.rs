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

/// How a kernel is launched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    pub blocks: u32,
    pub threads: u32,
    /// Blocks of a cluster, which divides `blocks`. More than one is for Hopper alone.
    pub cluster: u32,
    /// Dynamic shared memory, in bytes.
    pub shared: u32,
    /// Programmatic dependent launch: the kernel waits itself (`griddepcontrol.wait`, of Hopper) for what was queued
    /// before it, and may begin earlier.
    pub overlaps: bool,
}

impl Grid {
    /// Blocks that have nothing to do with each other.
    pub fn plain(blocks: u32, threads: u32) -> Self {
        Self { blocks, threads, cluster: 1, shared: 0, overlaps: false }
    }

    /// What goes beyond the first CUDA, for the driver.
    fn attributes(self) -> Vec<sys::CUlaunchAttribute> {
        let overlaps = sys::CUlaunchAttribute {
            id: sys::CUlaunchAttributeID_enum::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION,
            pad: [0; 4],
            value: sys::CUlaunchAttributeValue { programmaticStreamSerializationAllowed: 1 },
        };
        let cluster = (self.cluster > 1).then(|| self.cluster_attribute());
        cluster.into_iter().chain(self.overlaps.then_some(overlaps)).collect()
    }

    fn cluster_attribute(self) -> sys::CUlaunchAttribute {
        let extent = sys::CUlaunchAttributeValue_union__bindgen_ty_1 { x: self.cluster, y: 1, z: 1 };
        sys::CUlaunchAttribute {
            id: sys::CUlaunchAttributeID_enum::CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION,
            pad: [0; 4],
            value: sys::CUlaunchAttributeValue { clusterDim: extent },
        }
    }
}

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

    /// Looks up a kernel, to be launched so.
    pub fn kernel(self: &Arc<Self>, name: &str, grid: Grid) -> Result<Kernel> {
        self.context.bind_to_thread()?;
        let name = CString::new(name).expect("kernel names are constants without zeros");
        // SAFETY: the module is loaded.
        let function = unsafe { result::module::get_function(self.module, name) }?;
        if grid.shared > UNASKED_SHARED {
            let attribute = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            // SAFETY: the function is of a loaded module.
            unsafe { result::function::set_function_attribute(function, attribute, grid.shared as i32) }?;
        }
        Ok(Kernel { function, grid, module: self.clone() })
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
    grid: Grid,
    module: Arc<Module>,
}

// SAFETY: a CUfunction is a handle that the driver lets any thread use.
unsafe impl Send for Kernel {}
// SAFETY: as above.
unsafe impl Sync for Kernel {}

impl Kernel {
    /// Blocks of a launch.
    pub fn blocks(&self) -> u32 {
        self.grid.blocks
    }

    /// Clusters that the device can hold at a time: each in one of its GPCs, whose sizes differ.
    pub fn resident_clusters(&self) -> Result<u32> {
        self.module.context.bind_to_thread()?;
        // That attribute alone, also where a block is its own cluster: nothing else is asked about.
        let mut attributes = [self.grid.cluster_attribute()];
        let (config, mut count) = (self.config(std::ptr::null_mut(), &mut attributes), 0);
        // SAFETY: the function is of a loaded module; the driver reads the configuration and writes the count.
        unsafe { sys::cuOccupancyMaxActiveClusters(&mut count, self.function, &config) }.result()?;
        Ok(count.unsigned_abs())
    }

    /// For the driver.
    fn config(
        &self,
        stream: sys::CUstream,
        attributes: &mut [sys::CUlaunchAttribute],
    ) -> sys::CUlaunchConfig {
        sys::CUlaunchConfig {
            gridDimX: self.grid.blocks,
            gridDimY: 1,
            gridDimZ: 1,
            blockDimX: self.grid.threads,
            blockDimY: 1,
            blockDimZ: 1,
            sharedMemBytes: self.grid.shared,
            hStream: stream,
            attrs: attributes.as_mut_ptr(),
            numAttrs: attributes.len() as u32,
        }
    }

    /// Queues the kernel.
    ///
    /// # Safety
    ///
    /// `Args` is the kernel's only parameter, and all that it points to is valid, for as long as the launch (or the
    /// graph that captures it) needs it.
    pub unsafe fn launch<Args: Copy>(&self, on: &Launch<'_>, args: &Args) -> Result<()> {
        self.module.context.bind_to_thread()?;
        let mut parameters = [std::ptr::from_ref(args) as *mut c_void];
        let mut attributes = self.grid.attributes();
        let config = self.config(on.stream().cu_stream(), &mut attributes);
        // SAFETY: the driver copies the configuration and the parameters before it returns, and does not write them.
        // The rest is the caller's promise.
        unsafe {
            sys::cuLaunchKernelEx(&config, self.function, parameters.as_mut_ptr(), std::ptr::null_mut())
                .result()?;
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
