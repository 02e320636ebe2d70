//! The driver API: what the shared library exports.
//!
//! One file per chapter of the API holds its exported functions; under them lie
//!
//! - [`state`]: every object a handle can name, behind one lock;
//! - [`queue`]: streams as queues of operations, and what each waits for;
//! - [`executor`]: one thread per device that carries operations out;
//! - [`capture`]: the same operations recorded into graphs.
//!
//! Work runs as late as the API allows: an operation waits in its stream until
//! somebody wants its result. So a program that forgets to synchronise sees
//! old data every time, not once in a thousand runs.
//!
//! Handles are numbers that are looked up in tables and never dereferenced.
//! All state lives in the shared library. The copy of this code in the rlib is
//! never called.

mod arguments;
mod capture;
mod executor;
mod findings;
mod image;
mod operation;
mod queue;
mod settings;
mod state;
mod status;

mod context;
mod control;
mod copy;
mod device;
mod entry;
mod error_names;
mod event;
mod fill;
mod function;
mod graph;
mod host_memory;
mod init;
mod launch;
mod library;
mod memory;
mod module;
mod occupancy;
mod pointer;
mod pool;
mod stream;
mod stubs;
mod tensor_map;
mod timeline;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use settings::Settings;
use state::State;
use status::{Failure, Outcome, Status};

/// The driver: what `cuInit` makes, once per process.
struct Driver {
    settings: Settings,
    state: Mutex<State>,
    /// Notified whenever an operation ends or one is wanted.
    changed: Condvar,
}

static DRIVER: OnceLock<Driver> = OnceLock::new();

thread_local! {
    /// This thread is inside a function that a stream called.
    static IN_HOST_FUNCTION: Cell<bool> = const { Cell::new(false) };
}

impl Driver {
    /// The driver, if `cuInit` has been called.
    fn get() -> Outcome<&'static Driver> {
        DRIVER.get().ok_or(Status::NotInitialized.into())
    }

    /// Makes the driver if there is none yet, and starts its devices.
    fn initialise() -> Outcome<&'static Driver> {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(driver) = DRIVER.get() {
            return Ok(driver);
        }
        let settings = Settings::from_environment()?;
        let state = State::new(&settings)?;
        let devices = settings.devices;
        let driver =
            DRIVER.get_or_init(|| Driver { settings, state: Mutex::new(state), changed: Condvar::new() });
        for device in 0..devices {
            executor::start(driver, device)?;
        }
        Ok(driver)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs the inside of an API function that needs the driver.
fn call(name: &str, body: impl FnOnce(&'static Driver) -> Outcome) -> Status {
    guard(name, || {
        if IN_HOST_FUNCTION.get() {
            return status::refuse(
                Status::NotPermitted,
                "a host function in a stream may not call the driver",
            );
        }
        body(Driver::get()?)
    })
}

/// Turns what an API function did into its result code; a panic stays inside.
fn guard(name: &str, body: impl FnOnce() -> Outcome) -> Status {
    let outcome = catch_unwind(AssertUnwindSafe(body));
    let Failure { status, why } = match outcome {
        Ok(Ok(())) => return Status::Success,
        Ok(Err(failure)) => failure,
        Err(_) => {
            Failure { status: Status::Unknown, why: "a fault of the emulator, please report it".into() }
        }
    };
    if settings::log() && status != Status::NotReady {
        eprintln!("cuda-emulator: {name} returns {status:?} ({}) {why}", status as u32);
    }
    status
}

/// Defines exported functions. The body sees the driver under the name given
/// between bars, and its arguments; it returns an [`Outcome`].
macro_rules! export {
    ($(|$driver:pat_param| fn $name:ident($($argument:ident: $type:ty),* $(,)?) $body:block)*) => {
        $(
            #[unsafe(no_mangle)]
            #[allow(non_snake_case)] // The API's own names.
            pub extern "C" fn $name($($argument: $type),*) -> $crate::driver::status::Status {
                $crate::driver::call(stringify!($name), |$driver| $body)
            }
        )*
    };
}
use export;
