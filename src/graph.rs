//! CUDA graphs that own what their kernels use.
//!
//! A graph holds plain device addresses. Whoever frees the memory behind them, or unloads the kernels, and then
//! launches the graph, has undefined behaviour; so [`CapturedGraph`] takes the buffers, and keeps the kernels, until
//! it is dropped.

use std::{cell::RefCell, fmt, ops::Range, sync::Arc};

use cudarc::driver::{
    CudaContext, CudaGraph, CudaSlice, CudaStream, CudaViewMut, DevicePtrMut, DeviceRepr, SyncOnDrop, result,
    sys::{self, CUgraphInstantiate_flags, CUstreamCaptureMode},
};

use crate::{Error, Result, module::Module};

/// Device memory that a graph owns: a `CudaSlice`, an [`Fp8Tensor`](crate::fp8::Fp8Tensor), or a tuple of such.
///
/// # Safety
///
/// - [`acquire`](Self::acquire) acquires every buffer that [`views_mut`](Self::views_mut) gives access to.
/// - Neither a shared reference nor the views can free, replace or move a buffer.
pub unsafe trait GraphBuffers: 'static {
    /// Mutable views of all of the buffers.
    type ViewsMut<'a>;

    /// Mutable views of all of the buffers.
    fn views_mut(&mut self) -> Self::ViewsMut<'_>;

    /// Makes `stream` wait for every earlier user of the buffers, and every later user wait for what is on `stream`
    /// by the time that `acquired` is dropped.
    fn acquire<'a>(&'a mut self, stream: &'a CudaStream, acquired: &mut Vec<Acquired<'a>>);
}

/// A buffer that a stream has acquired.
#[derive(Debug)]
pub struct Acquired<'a> {
    range: Range<u64>,
    _order: SyncOnDrop<'a>,
}

// SAFETY: there is one buffer, and the view cannot free it.
unsafe impl<T: DeviceRepr + 'static> GraphBuffers for CudaSlice<T> {
    type ViewsMut<'a> = CudaViewMut<'a, T>;

    fn views_mut(&mut self) -> CudaViewMut<'_, T> {
        self.as_view_mut()
    }

    fn acquire<'a>(&'a mut self, stream: &'a CudaStream, acquired: &mut Vec<Acquired<'a>>) {
        let bytes = self.num_bytes() as u64;
        let (start, order) = self.device_ptr_mut(stream);
        acquired.push(Acquired { range: start..start + bytes, _order: order });
    }
}

macro_rules! tuples {
    ($($name:ident)*) => {
        // SAFETY: each element upholds it.
        unsafe impl<$($name: GraphBuffers),*> GraphBuffers for ($($name,)*) {
            type ViewsMut<'a> = ($($name::ViewsMut<'a>,)*);

            #[allow(non_snake_case, reason = "type parameters name the variables")]
            fn views_mut(&mut self) -> Self::ViewsMut<'_> {
                let ($($name,)*) = self;
                ($($name.views_mut(),)*)
            }

            #[allow(non_snake_case, reason = "type parameters name the variables")]
            fn acquire<'a>(&'a mut self, stream: &'a CudaStream, acquired: &mut Vec<Acquired<'a>>) {
                let ($($name,)*) = self;
                $($name.acquire(stream, acquired);)*
            }
        }
    };
}

tuples!(A);
tuples!(A B);
tuples!(A B C);
tuples!(A B C D);
tuples!(A B C D E);
tuples!(A B C D E F);
tuples!(A B C D E F G);
tuples!(A B C D E F G H);

/// A graph being captured: pass `&Capture` to plans in place of a stream.
///
/// Nothing runs meanwhile. Operands have to lie in the graph's own buffers ([`Error::NotInGraph`] otherwise), or be
/// views made from raw pointers.
pub struct Capture<'g> {
    stream: &'g Arc<CudaStream>,
    aside: Aside,
    owned: Vec<Range<u64>>,
    kept: RefCell<Vec<Arc<Module>>>,
}

impl Capture<'_> {
    pub(crate) fn stream(&self) -> &CudaStream {
        self.stream
    }

    /// Asking cudarc for an address queues a wait for the memory's last writer. Inside of a capture that would be an
    /// error, so the wait goes here.
    pub(crate) fn aside(&self) -> &CudaStream {
        &self.aside.0
    }

    pub(crate) fn owns(&self, address: u64, bytes: usize) -> bool {
        let end = address.saturating_add(bytes as u64);
        bytes == 0 || self.owned.iter().any(|range| range.start <= address && end <= range.end)
    }

    pub(crate) fn keep(&self, module: &Arc<Module>) {
        let mut kept = self.kept.borrow_mut();
        if !kept.iter().any(|other| Arc::ptr_eq(other, module)) {
            kept.push(module.clone());
        }
    }
}

impl fmt::Debug for Capture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture").field("stream", &self.stream).field("owned", &self.owned).finish()
    }
}

/// A stream on which nothing runs. It is not made by cudarc, since a second stream of cudarc's switches the context
/// to tracking events.
struct Aside(Arc<CudaStream>);

impl Aside {
    fn new(context: &Arc<CudaContext>) -> Result<Self> {
        context.bind_to_thread()?;
        let stream = result::stream::create(result::stream::StreamKind::NonBlocking)?;
        // SAFETY: made in this context, and destroyed only by the drop below.
        Ok(Self(unsafe { context.wrap_borrowed_stream(stream) }))
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        let context = self.0.context();
        context.record_err(context.bind_to_thread());
        // SAFETY: made by `new`; the wrapper does not leave this file.
        context.record_err(unsafe { result::stream::destroy(self.0.cu_stream()) });
    }
}

/// A graph that owns its buffers and keeps its kernels loaded.
///
/// ```no_run
/// use deepkern::{CapturedGraph, Device, MatrixView, fp8::{Fp8Matrix, QuantizePlan, ScaleFormat}};
///
/// # fn main() -> deepkern::Result<()> {
/// let device = Device::new(0)?;
/// let stream = device.context().new_stream()?;
/// let (m, k) = (64, 512);
/// let x = stream.alloc_zeros::<f32>(m * k)?;
/// let q = Fp8Matrix::zeros(&stream, m, k)?;
/// let mut plan = QuantizePlan::new(&device, m, k, ScaleFormat::F32)?;
///
/// let mut graph = CapturedGraph::capture(&stream, (x, q), |capture, (x, q)| {
///     plan.run(capture, MatrixView::new(x.as_view(), m, k)?, q)
/// })?;
/// // Write new input, run, read the result: as often as you like.
/// stream.memcpy_htod(&vec![1.0; m * k], &mut graph.buffers_mut().0)?;
/// graph.launch()?;
/// let codes = stream.clone_dtoh(graph.buffers().1.codes())?;
/// # Ok(())
/// # }
/// ```
pub struct CapturedGraph<B: GraphBuffers> {
    // Dropped in this order: the graph before what it refers to.
    graph: CudaGraph,
    kept: Vec<Arc<Module>>,
    buffers: B,
    stream: Arc<CudaStream>,
}

impl<B: GraphBuffers> CapturedGraph<B> {
    /// Captures what `record` queues into a graph that will run on `stream`.
    ///
    /// `stream` must not be the default stream, which CUDA cannot capture. `record` gets views of the buffers; it
    /// runs once, and nothing runs on the device yet. Make the plans before: kernels cannot be loaded in a capture.
    ///
    /// # Errors
    ///
    /// Those of `record`; the driver's, which ends a capture in which something was done that graphs cannot hold.
    pub fn capture(
        stream: &Arc<CudaStream>,
        mut buffers: B,
        record: impl FnOnce(&Capture<'_>, B::ViewsMut<'_>) -> Result<()>,
    ) -> Result<Self> {
        let owned = {
            let mut acquired = Vec::new();
            buffers.acquire(stream, &mut acquired);
            acquired.iter().map(|buffer| buffer.range.clone()).collect()
        };
        let aside = Aside::new(stream.context())?;
        let capture = Capture { stream, aside, owned, kept: RefCell::default() };

        stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)?;
        let abandon = EndCapture(stream);
        record(&capture, buffers.views_mut())?;
        std::mem::forget(abandon);

        let graph = stream.end_capture(CUgraphInstantiate_flags(0))?.ok_or(Error::CaptureFailed)?;
        let kept = capture.kept.take();
        Ok(Self { graph, kept, buffers, stream: stream.clone() })
    }

    /// Queues the graph's work on its stream, after all earlier uses of its buffers.
    ///
    /// # Errors
    ///
    /// The driver's.
    pub fn launch(&mut self) -> Result<()> {
        let mut acquired = Vec::new();
        self.buffers.acquire(&self.stream, &mut acquired);
        Ok(self.graph.launch()?)
    }

    /// The buffers, to read results from.
    pub fn buffers(&self) -> &B {
        &self.buffers
    }

    /// Views of the buffers, to write inputs to.
    pub fn buffers_mut(&mut self) -> B::ViewsMut<'_> {
        self.buffers.views_mut()
    }

    /// Ends the graph and gives the buffers back.
    pub fn into_buffers(self) -> B {
        self.buffers
    }
}

impl<B: GraphBuffers + fmt::Debug> fmt::Debug for CapturedGraph<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CapturedGraph")
            .field("stream", &self.stream)
            .field("kept", &self.kept)
            .field("buffers", &self.buffers)
            .finish_non_exhaustive()
    }
}

/// Ends a capture that failed, or panicked, half way: a stream must not stay in it.
struct EndCapture<'a>(&'a CudaStream);

impl Drop for EndCapture<'_> {
    fn drop(&mut self) {
        let context = self.0.context();
        // SAFETY: the capture was begun on this stream; the graph is destroyed unused.
        let ended = unsafe { result::stream::end_capture(self.0.cu_stream()) };
        // An error here follows from the one that is on its way to the caller.
        if let Ok(graph) = ended
            && !graph.is_null()
        {
            // SAFETY: just made.
            context.record_err(unsafe { sys::cuGraphDestroy(graph) }.result());
        }
    }
}
