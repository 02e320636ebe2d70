//! The CUDA driver in software.

pub mod code;
pub mod counters;
pub mod machine;
mod driver;
pub mod memory;
pub mod ptx;
pub mod verdict;
