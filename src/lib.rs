//! Hopper kernels for DeepSeek-class models.

// Public for tests and benches that launch a kernel by hand; no part of the API.
#[doc(hidden)]
pub mod abi;
mod device;
mod error;
#[cfg(feature = "fp8")]
pub mod fp8;
mod graph;
mod kernels;
mod matrix;
mod memory;
mod module;
mod queue;
#[cfg(feature = "fp8")]
pub mod reference;

/// The CUDA bindings that this crate's types are made of.
pub use cudarc;
pub use device::Device;
pub use error::{Error, Result};
pub use graph::{Acquired, Capture, CapturedGraph, GraphBuffers};
pub use matrix::{Element, MatrixView, MatrixViewMut};
pub use queue::Queue;
