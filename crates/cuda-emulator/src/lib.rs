//! The CUDA driver in software.

pub mod code;
pub mod counters;
mod driver;
pub mod fatbin;
pub mod machine;
pub mod memory;
pub mod numeric;
pub mod ptx;
pub mod verdict;
