//! Where a plan's work goes: onto a stream, or into a graph that is being captured.

use std::sync::Arc;

use cudarc::driver::{CudaStream, sys::CUstreamCaptureStatus};

use crate::{Device, Error, Result, graph::Capture, module::Module};

/// Where a plan's work goes: onto a `&CudaStream` or, inside [`CapturedGraph::capture`], into a `&Capture`. Plans take
/// either, by `impl Into<Queue>`.
///
/// On a stream, cudarc's events order the work with what other streams do to the same memory, if the context uses
/// several streams. A stream that is being captured by other means takes only views made from raw pointers
/// ([`Error::StreamCapturing`] otherwise).
///
/// [`CapturedGraph::capture`]: crate::CapturedGraph::capture
#[derive(Debug, Clone, Copy)]
pub struct Queue<'q>(Kind<'q>);

#[derive(Debug, Clone, Copy)]
enum Kind<'q> {
    Stream(&'q CudaStream),
    Capture(&'q Capture<'q>),
}

impl<'q> From<&'q CudaStream> for Queue<'q> {
    fn from(stream: &'q CudaStream) -> Self {
        Self(Kind::Stream(stream))
    }
}

impl<'q> From<&'q Arc<CudaStream>> for Queue<'q> {
    fn from(stream: &'q Arc<CudaStream>) -> Self {
        Self(Kind::Stream(stream))
    }
}

impl<'q> From<&'q Capture<'q>> for Queue<'q> {
    fn from(capture: &'q Capture<'q>) -> Self {
        Self(Kind::Capture(capture))
    }
}

impl<'q> Queue<'q> {
    /// Begins a launch: checks that the queue belongs to the device.
    pub(crate) fn open(self, device: &'q Device) -> Result<Launch<'q>> {
        let stream = match self.0 {
            Kind::Stream(stream) => stream,
            Kind::Capture(capture) => capture.stream(),
        };
        check_context("the stream", stream, device)?;
        let borrow = match self.0 {
            Kind::Capture(capture) => Borrow::Owned(capture),
            Kind::Stream(stream) => match stream.capture_status()? {
                CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_NONE => Borrow::Ordered,
                _ => Borrow::Refused,
            },
        };
        Ok(Launch { device, stream, borrow })
    }
}

/// One launch on its way: how its operands are turned into addresses.
pub(crate) struct Launch<'q> {
    device: &'q Device,
    stream: &'q CudaStream,
    borrow: Borrow<'q>,
}

/// What happens to operands in memory that cudarc manages.
#[derive(Clone, Copy)]
enum Borrow<'q> {
    /// The stream waits for their earlier users, and later users wait for it.
    Ordered,
    /// They have to belong to the graph.
    Owned(&'q Capture<'q>),
    /// Someone else captures the stream: nothing would keep them alive.
    Refused,
}

impl<'q> Launch<'q> {
    pub fn stream(&self) -> &'q CudaStream {
        self.stream
    }

    /// Admits an operand that lives in memory of `owner`'s context. Returns the stream whose order with the operand's
    /// other users cudarc is to maintain.
    pub fn admit(&self, what: &'static str, owner: &CudaStream) -> Result<&'q CudaStream> {
        check_context(what, owner, self.device)?;
        match self.borrow {
            Borrow::Ordered => Ok(self.stream),
            Borrow::Owned(capture) => Ok(capture.aside()),
            Borrow::Refused => Err(Error::StreamCapturing { what }),
        }
    }

    /// Whether cudarc has to be told when the work is done with an operand. In a capture nothing runs.
    pub fn is_ordered(&self) -> bool {
        matches!(self.borrow, Borrow::Ordered)
    }

    /// In a capture, checks that the graph owns this memory.
    pub fn check_owned(&self, what: &'static str, address: u64, bytes: usize) -> Result<()> {
        match self.borrow {
            Borrow::Owned(capture) if !capture.owns(address, bytes) => {
                Err(Error::NotInGraph { what, address })
            }
            _ => Ok(()),
        }
    }

    /// In a capture, lets the graph keep the kernels loaded.
    pub fn keep(&self, module: &Arc<Module>) {
        if let Borrow::Owned(capture) = self.borrow {
            capture.keep(module);
        }
    }
}

fn check_context(what: &'static str, stream: &CudaStream, device: &Device) -> Result<()> {
    let (context, expected) = (stream.context(), device.context());
    if context.cu_ctx() == expected.cu_ctx() {
        return Ok(());
    }
    Err(Error::ContextMismatch { what, expected: expected.ordinal(), actual: context.ordinal() })
}
