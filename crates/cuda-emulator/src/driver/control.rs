//! The emulator's own exports, through which the Rust API of the rlib, or any
//! other program, asks what was found. Results of any length are JSON, handed
//! to a function that the caller gives.

use std::ffi::{c_int, c_uint, c_void};
use std::sync::MutexGuard;

use serde::Serialize;

use super::arguments::Out;
use super::state::State;
use super::status::{Outcome, Status};
use super::{Driver, guard};
use crate::CONTROL_VERSION;
use crate::memory::MemoryError;
use crate::numeric::tensor_core::Arithmetic;
use crate::verdict::{Access, Finding, Place, Verdict};

/// Takes `len` bytes of JSON; the bytes are gone when it returns.
pub type Sink = extern "C" fn(user: *mut c_void, json: *const u8, len: usize);

fn send(sink: Sink, user: *mut c_void, value: &impl Serialize) -> Outcome {
    match serde_json::to_vec(value) {
        Ok(json) => sink(user, json.as_ptr(), json.len()),
        Err(_) => return Err(Status::Unknown.into()),
    }
    Ok(())
}

impl Driver {
    /// Waits until all work has been done of the current context, or of every
    /// one where none is current.
    fn settle(&self) -> MutexGuard<'_, State> {
        let state = self.lock();
        let pending = match state.current() {
            Ok(context) => state.last_of_context(context),
            Err(_) => (0..state.primaries.len()).flat_map(|device| state.last_of_device(device)).collect(),
        };
        self.wait(state, pending)
    }
}

/// The version of the emulator's own exports.
#[unsafe(no_mangle)]
#[allow(non_snake_case)]
pub extern "C" fn cudaEmulatorVersion() -> c_uint {
    CONTROL_VERSION
}

/// Gives all findings so far, as a JSON array, and forgets them if `take` is not 0.
#[unsafe(no_mangle)]
#[allow(non_snake_case)]
pub extern "C" fn cudaEmulatorFindings(take: c_int, sink: Sink, user: *mut c_void) -> Status {
    guard("cudaEmulatorFindings", || {
        let mut state = Driver::initialise()?.lock();
        let findings = match take {
            0 => state.findings.clone(),
            _ => std::mem::take(&mut state.findings),
        };
        // The sink runs without the lock.
        drop(state);
        send(sink, user, &findings)
    })
}

/// Waits until all work of all devices has been done.
#[unsafe(no_mangle)]
#[allow(non_snake_case)]
pub extern "C" fn cudaEmulatorSettle() -> Status {
    guard("cudaEmulatorSettle", || {
        let driver = Driver::initialise()?;
        let state = driver.lock();
        let pending: Vec<_> =
            (0..state.primaries.len()).flat_map(|device| state.last_of_device(device)).collect();
        drop(driver.wait(state, pending));
        Ok(())
    })
}

/// Gives the seed of the schedule and the threads of the host for a launch, as they are set.
#[unsafe(no_mangle)]
#[allow(non_snake_case)]
pub extern "C" fn cudaEmulatorSchedule(seed: Out<u64>, threads: Out<c_uint>) -> Status {
    guard("cudaEmulatorSchedule", || {
        let state = Driver::initialise()?.lock();
        seed.set_if_wanted(state.seed);
        threads.set_if_wanted(state.threads as c_uint);
        Ok(())
    })
}

/// Sets the seed of the schedule for launches from now on.
#[unsafe(no_mangle)]
#[allow(non_snake_case)]
pub extern "C" fn cudaEmulatorSetSeed(seed: u64) -> Status {
    guard("cudaEmulatorSetSeed", || {
        Driver::initialise()?.lock().seed = seed;
        Ok(())
    })
}

/// Sets how many threads of the host run a launch, from now on; 0 for as many as it has cores.
#[unsafe(no_mangle)]
#[allow(non_snake_case)]
pub extern "C" fn cudaEmulatorSetThreads(threads: c_uint) -> Status {
    guard("cudaEmulatorSetThreads", || {
        Driver::initialise()?.lock().threads = threads as usize;
        Ok(())
    })
}

/// Sets whether tensor cores add exactly, for launches from now on.
#[unsafe(no_mangle)]
#[allow(non_snake_case)]
pub extern "C" fn cudaEmulatorSetExact(exact: c_int) -> Status {
    guard("cudaEmulatorSetExact", || {
        Driver::initialise()?.lock().arithmetic = match exact {
            0 => Arithmetic::Hardware,
            _ => Arithmetic::Exact,
        };
        Ok(())
    })
}

/// Sets whether accesses are held against each other, for launches from now on.
#[unsafe(no_mangle)]
#[allow(non_snake_case)]
pub extern "C" fn cudaEmulatorSetJudges(judges: c_int) -> Status {
    guard("cudaEmulatorSetJudges", || {
        Driver::initialise()?.lock().judges = judges != 0;
        Ok(())
    })
}

/// Waits for the current context's work, and gives the finding, as JSON, if a
/// byte of the range was never written or is not in an allocation.
#[unsafe(no_mangle)]
#[allow(non_snake_case)]
pub extern "C" fn cudaEmulatorRequireDefined(
    address: u64,
    bytes: u64,
    sink: Sink,
    user: *mut c_void,
) -> Status {
    guard("cudaEmulatorRequireDefined", || {
        let state = Driver::initialise()?.settle();
        let verdict = match state.memory.first_undefined(address, bytes) {
            Ok(None) => return Ok(()),
            Ok(Some(first)) => {
                Verdict::UndefinedOutput { address: first, offset: first - address, len: bytes }
            }
            Err(MemoryError::OutOfBounds { .. }) => Verdict::OutOfBounds {
                access: Access::Read,
                space: "global".into(),
                address,
                size: u32::try_from(bytes).unwrap_or(u32::MAX),
                nearest: state.memory.explain(address, bytes),
            },
            Err(error) => return Err(error.into()),
        };
        drop(state);
        send(sink, user, &Finding { verdict, place: Place::default() })
    })
}

/// Forgets all findings, and lets contexts go on whose work has failed.
#[unsafe(no_mangle)]
#[allow(non_snake_case)]
pub extern "C" fn cudaEmulatorReset() -> Status {
    guard("cudaEmulatorReset", || {
        let mut state = Driver::initialise()?.settle();
        state.findings.clear();
        state.contexts.iter_mut().for_each(|(_, context)| context.error = None);
        Ok(())
    })
}

/// Waits for the current context's work, and gives its last launch's kernel and
/// counters as JSON, `null` if there was none.
#[unsafe(no_mangle)]
#[allow(non_snake_case)]
pub extern "C" fn cudaEmulatorLastLaunch(sink: Sink, user: *mut c_void) -> Status {
    guard("cudaEmulatorLastLaunch", || {
        let state = Driver::initialise()?.settle();
        let last = state.current().and_then(|context| Ok(state.context(context)?.last_launch.clone()));
        drop(state);
        let last = last.ok().flatten();
        send(sink, user, &last)
    })
}

/// Copies memory that devices see to the host, also where the API no longer
/// does because work has failed.
///
/// # Safety
/// `to` is valid for writes of `bytes` bytes.
#[unsafe(no_mangle)]
#[allow(non_snake_case)]
pub unsafe extern "C" fn cudaEmulatorRead(address: u64, to: *mut u8, bytes: u64) -> Status {
    guard("cudaEmulatorRead", || {
        let state = Driver::initialise()?.settle();
        // SAFETY: by contract.
        unsafe { state.memory.read(address, to, bytes)? };
        Ok(())
    })
}
