//! Kernels that make a DeepSeek-V3/R1-class model cheap to run, hand-written in CUDA C++ for Hopper and compiled ahead
//! of time, called from safe Rust through [`cudarc`].
//!
//! | concept | type |
//! | --- | --- |
//! | a GPU, and its context | [`Device`] |
//! | a matrix of bf16 or f32 in device memory, with shape and row stride | [`MatrixView`], [`MatrixViewMut`] |
//! | an FP8 matrix with its scales | [`fp8::Fp8Matrix`] (activations), [`fp8::Fp8Weight`] |
//! | a kernel chosen for a shape | a plan: [`fp8::QuantizePlan`], [`fp8::GemmPlan`] |
//! | where a plan's work goes | [`Queue`]: a `CudaStream`, or a [`Capture`] |
//! | a CUDA graph that owns its buffers | [`CapturedGraph`] |
//! | what was wrong with a call | [`Error`] |
//! | the same on the CPU, to test against | [`mod@reference`] |
//!
//! # What running a plan does
//!
//! It checks shapes, strides, alignment and devices, and launches a kernel on the caller's stream. It allocates no
//! device memory, copies nothing and waits for nothing. Results are there when the stream has come that far:
//! `stream.synchronize()`, or any copy to the host.
//!
//! Memory that comes as `cudarc` slices and views is ordered between streams by cudarc. Engines with memory of their
//! own make views by the `unsafe` `from_raw` constructors and a stream by [`Device::wrap_stream`]; their order is theirs.
//!
//! # Without a GPU
//!
//! This crate has no other backend. The `cuda-emulator` crate is a CUDA driver in software: install it before the first
//! call, and the same kernels run on the CPU.

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

/// The README's code compiles and runs.
#[cfg(all(doctest, feature = "fp8"))]
#[doc = include_str!("../README.md")]
mod readme {}
