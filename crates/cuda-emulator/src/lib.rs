//! The CUDA driver in software.

pub mod ptx;
pub mod verdict;
