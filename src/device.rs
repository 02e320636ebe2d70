//! Getting at the GPU.

use std::{
    ffi::c_void,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use cudarc::driver::{CudaContext, CudaStream, result, sys};

use crate::{
    Error, Result,
    module::{Family, Module},
};

/// By their size, from 1 to 8 blocks: how many clusters are resident at a time.
pub(crate) type Clusters = [u32; 9];

/// A GPU that the kernels can run on. Cheap to clone.
///
/// Kernels are loaded into its context once, when the first plan that needs them is made. They stay there as long as
/// there is a `Device`, a plan or a captured graph of this context.
#[derive(Debug, Clone)]
pub struct Device {
    context: Arc<CudaContext>,
    capability: (u32, u32),
    clusters: Arc<OnceLock<Clusters>>,
    /// The families loaded so far.
    modules: Arc<Mutex<Vec<Arc<Module>>>>,
}

impl Device {
    /// The GPU with this ordinal, in its primary context.
    ///
    /// # Errors
    ///
    /// [`Error::NoDriver`], [`Error::NoSuchDevice`], [`Error::GpuTooOld`], or the driver's own.
    pub fn new(ordinal: usize) -> Result<Self> {
        require_driver()?;
        result::init()?;
        let count = usize::try_from(CudaContext::device_count()?).unwrap_or(0);
        if ordinal >= count {
            return Err(Error::NoSuchDevice { ordinal, count });
        }
        Self::from_context(&CudaContext::new(ordinal)?)
    }

    /// The GPU of a context that the caller has made.
    ///
    /// # Errors
    ///
    /// [`Error::GpuTooOld`], or the driver's own.
    pub fn from_context(context: &Arc<CudaContext>) -> Result<Self> {
        let (major, minor) = context.compute_capability()?;
        let capability = (major.unsigned_abs(), minor.unsigned_abs());
        check_capability(capability)?;
        Ok(Self { context: context.clone(), capability, clusters: Arc::default(), modules: Arc::default() })
    }

    /// The context that everything runs in; streams and memory come from it.
    pub fn context(&self) -> &Arc<CudaContext> {
        &self.context
    }

    /// The compute capability, major and minor.
    pub fn capability(&self) -> (u32, u32) {
        self.capability
    }

    /// How many clusters of blocks that fill a multiprocessor each are resident at a time; `ask` says it, once.
    pub(crate) fn clusters(&self, ask: impl FnOnce() -> Result<Clusters>) -> Result<Clusters> {
        match self.clusters.get() {
            Some(clusters) => Ok(*clusters),
            None => ask().map(|clusters| *self.clusters.get_or_init(|| clusters)),
        }
    }

    /// A family of kernels in this context, loaded on first use.
    pub(crate) fn module(&self, family: &Family) -> Result<Arc<Module>> {
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = modules.iter().find(|module| module.is(family)) {
            return Ok(module.clone());
        }
        let module = Module::get(&self.context, family)?;
        modules.push(module.clone());
        Ok(module)
    }

    /// A stream that belongs to someone else, such as an engine with its own CUDA bindings, as one that plans run on.
    ///
    /// # Safety
    ///
    /// `stream` is a `CUstream` of this device's context, and lives as long as what is returned. Ordering its work
    /// with that of other streams is the caller's business.
    pub unsafe fn wrap_stream(&self, stream: *mut c_void) -> Arc<CudaStream> {
        // SAFETY: passed on to the caller.
        unsafe { self.context.wrap_borrowed_stream(stream as sys::CUstream) }
    }
}

/// cudarc panics where there is no driver; this is asked first.
#[cfg(feature = "dynamic-loading")]
fn require_driver() -> Result<()> {
    // SAFETY: loads libcuda, whose initialisers are the driver's, as any use of it would.
    if unsafe { sys::is_culib_present() } { Ok(()) } else { Err(Error::NoDriver) }
}

/// A program linked to the driver does not start without one.
#[cfg(not(feature = "dynamic-loading"))]
fn require_driver() -> Result<()> {
    Ok(())
}

/// The kernels are there as PTX for compute_80, which runs on any GPU from there on.
pub(crate) fn check_capability(capability: (u32, u32)) -> Result<()> {
    if capability < (8, 0) { Err(Error::GpuTooOld { capability }) } else { Ok(()) }
}
