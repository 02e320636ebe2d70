//! The CUDA driver in software.

pub mod code;
pub mod counters;
mod driver;
pub mod fatbin;
mod host;
pub mod machine;
pub mod memory;
pub mod numeric;
pub mod ptx;
pub mod verdict;

pub use counters::LastLaunch;
pub use host::{
    Driver, InstallError, choose, findings, install, last_launch, read_memory, require_defined, reset,
    set_seed, take_findings,
};

/// The version of the functions through which the two copies of this crate, the
/// library and the shared library, speak to each other.
const CONTROL_VERSION: u32 = 1;
