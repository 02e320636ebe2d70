//! The truth that the kernels are tested against: plain loops on the CPU, to be read rather than to be fast.
//!
//! It models the quantisation and nothing else: what a kernel does about tiles, partial sums and the order of
//! addition is not in here. It shares no code with the kernels, nor with [`float8`].

mod e4m3;
mod gemm;
mod quantize;

pub use e4m3::{decode_e4m3, encode_e4m3};
pub use gemm::{Exact, gemm};
pub use quantize::{Quantized, quantize, scale_from_amax};
