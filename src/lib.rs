//! Hopper kernels for DeepSeek-class models.

// Public for tests and benches that launch a kernel by hand; no part of the API.
#[doc(hidden)]
pub mod abi;
mod kernels;
