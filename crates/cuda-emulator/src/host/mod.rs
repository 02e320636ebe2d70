//! What Rust programs use: install the emulated driver, and ask what it found.
//!
//! The driver lives in a shared library of its own, with all its state. What is
//! here finds that library, loads it under the driver's name, and speaks to it
//! through the C functions that it exports.

mod choose;
mod explore;
mod library;
mod name;

use std::ffi::c_void;
use std::path::PathBuf;

pub use choose::{Driver, choose};
pub use explore::{ExploreError, explore};
pub use library::install;

use crate::counters::LastLaunch;
use crate::numeric::tensor_core::Arithmetic;
use crate::verdict::Finding;
use library::Library;

/// Why no driver could be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// The real driver is in the process already; the two cannot change places.
    #[error(
        "a CUDA driver is loaded in this process already: choose the emulator before the first call of CUDA"
    )]
    DriverLoaded,
    /// The emulator's shared library is nowhere.
    #[error(
        "libcuda_emulator.so was not found; looked for it in {}: name cuda-emulator as a (dev-)dependency, or set CUDA_EMULATOR_LIBRARY to its path",
        folders(.0)
    )]
    NotFound(Vec<PathBuf>),
    /// The library cannot be used.
    #[error("{path} cannot be used as the emulated driver: {problem}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What the system or the library says.
        problem: String,
    },
    /// The real driver was asked for and is not there.
    #[error("there is no usable CUDA driver: {0}")]
    NoRealDriver(String),
    /// A request that is neither `cuda` nor `emulator`.
    #[error("there is no device called {0:?}: ask for \"cuda\" or \"emulator\", or for nothing")]
    UnknownRequest(String),
}

fn folders(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Collects what the library hands over.
extern "C" fn collect(user: *mut c_void, json: *const u8, len: usize) {
    // SAFETY: `user` is the vector that `ask` passes, and the library gives
    // `len` bytes that are valid during this call.
    unsafe { (*user.cast::<Vec<u8>>()).extend_from_slice(std::slice::from_raw_parts(json, len)) };
}

/// Calls one of the library's functions with a place for its answer. Nothing
/// if the emulator is not installed, or has nothing to say.
fn ask<T: serde::de::DeserializeOwned>(
    call: impl FnOnce(&Library, library::Sink, *mut c_void) -> u32,
) -> Option<T> {
    let library = Library::installed()?;
    let mut json = Vec::<u8>::new();
    let status = call(library, collect, (&raw mut json).cast());
    debug_assert_eq!(status, 0, "the emulator refuses a call of its own");
    serde_json::from_slice(&json).ok()
}

/// What has been found wrong since the start, or since somebody took it.
/// Empty with a real driver.
pub fn findings() -> Vec<Finding> {
    ask(|library, sink, user| (library.findings)(0, sink, user)).unwrap_or_default()
}

/// The same as [`findings`], and forgets them.
pub fn take_findings() -> Vec<Finding> {
    ask(|library, sink, user| (library.findings)(1, sink, user)).unwrap_or_default()
}

/// Sets the seed of the schedule for launches from now on; 0 is blocks and
/// warps in order. Without effect on a real driver.
pub fn set_seed(seed: u64) {
    if let Some(library) = Library::installed() {
        (library.set_seed)(seed);
    }
}

/// Sets how many threads of the host run a launch, from now on; 0, the default, for as many as it has cores. With one,
/// a seed's schedule is the same on every machine, also where blocks wait for each other. Without effect on a real
/// driver.
pub fn set_threads(threads: u32) {
    if let Some(library) = Library::installed() {
        (library.set_threads)(threads);
    }
}

/// Sets how tensor cores add for launches from now on: as an H100 does, which is
/// the default, or exactly. Without effect on a real driver.
pub fn set_arithmetic(arithmetic: Arithmetic) {
    if let Some(library) = Library::installed() {
        (library.set_exact)((arithmetic == Arithmetic::Exact).into());
    }
}

/// How much is looked for (`CUDA_EMULATOR`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// All but what order decides: accesses are not held against each other, in a fraction of the time.
    Fast,
    /// Everything.
    Full,
}

/// Sets how much is looked for in launches from now on. Without effect on a real driver.
pub fn set_mode(mode: Mode) {
    if let Some(library) = Library::installed() {
        (library.set_judges)((mode == Mode::Full).into());
    }
}

/// Declares `bytes` bytes at the device address `address` to be output: waits
/// for the current context's work, and fails if one of them was never written.
/// A real driver cannot tell, and is believed.
pub fn require_defined(address: u64, bytes: u64) -> Result<(), Box<Finding>> {
    let found = ask(|library, sink, user| (library.require_defined)(address, bytes, sink, user));
    found.map_or(Ok(()), |finding| Err(Box::new(finding)))
}

/// Forgets all findings, and lets contexts go on whose work has failed.
pub fn reset() {
    if let Some(library) = Library::installed() {
        (library.reset)();
    }
}

/// The last launch of the current context that ended well: its kernel, and what
/// it did. Waits for the context's work first.
pub fn last_launch() -> Option<LastLaunch> {
    ask::<Option<LastLaunch>>(|library, sink, user| (library.last_launch)(sink, user)).flatten()
}

/// Reads memory that devices see, also where the driver API no longer does
/// because work has failed; `None` outside an allocation.
pub fn read_memory(address: u64, bytes: usize) -> Option<Vec<u8>> {
    let library = Library::installed()?;
    let mut data = vec![0; bytes];
    let status = (library.read)(address, data.as_mut_ptr(), bytes as u64);
    (status == 0).then_some(data)
}
