//! The same work under many schedules.

use std::cell::Cell;
use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::library::Library;
use super::{findings, set_seed, set_threads};
use crate::verdict::Finding;

/// What [`explore`] has against a piece of work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExploreError<T> {
    /// Something was found wrong.
    #[error("with CUDA_EMULATOR_SEED={seed}: {}", .findings.iter().map(Finding::to_string).collect::<Vec<_>>().join("\n\n"))]
    Found {
        /// The first seed under which it was found.
        seed: u64,
        /// What was found; not empty.
        findings: Vec<Finding>,
    },
    /// The results are not the same.
    #[error(
        "with CUDA_EMULATOR_SEED={seed} the result is another than with {first}, and nothing was found wrong"
    )]
    Differs {
        /// The first seed whose result differs,
        seed: u64,
        /// from that of this one.
        first: u64,
        /// The result under the seed that differs,
        result: T,
        /// and that under the first.
        expected: T,
    },
}

/// Does a piece of work under `schedules` orders of blocks, warps and landings of asynchronous copies, those of the seeds
/// from 0 on, and demands that nothing is found wrong and that each gives the same result: which it returns.
///
/// Kernels must not depend on what runs first, and a test with one schedule does not show that they do not. The error
/// names the seed that differs, and `CUDA_EMULATOR_SEED` repeats it: then the work is done with the seed 0, for its
/// result, and with that one.
///
/// ```
/// use cudarc::driver::{CudaContext, DriverError};
///
/// cuda_emulator::install()?;
/// let numbers = cuda_emulator::explore(20, || -> Result<Vec<u32>, DriverError> {
///     let stream = CudaContext::new(0)?.default_stream();
///     let numbers = stream.clone_htod(&[1, 2, 3])?;
///     // ... kernels ...
///     stream.clone_dtoh(&numbers)
/// })??;
/// assert_eq!(numbers, [1, 2, 3]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The work begins anew each time: its inputs must be the same, and what it measures the time of is no result. It may
/// panic once something has been found, as by unwrapping the error of a launch. Floating-point numbers are best returned
/// as their bits (`to_bits`), since 0 equals -0, and a NaN nothing.
///
/// A launch has one thread of the host meanwhile, with which a seed means one schedule. Seed and number of threads are
/// the process's, and so are findings: whoever else launches kernels at the same time has these seeds too, and what is
/// found of him is found of this work. Calls from several threads take turns. Findings stay to be taken, and a context
/// whose work has failed stays so, until [`reset`](super::reset).
///
/// The emulator must have been installed before, not by the work. With a real driver the work is done as often, and what
/// it gives is compared.
pub fn explore<T: PartialEq>(schedules: u64, mut work: impl FnMut() -> T) -> Result<T, ExploreError<T>> {
    let _turn = Turn::take();
    let _schedule = Schedule::keep();
    set_threads(1);
    let first = 0;
    let others: Vec<u64> = match repeated() {
        Some(seed) => vec![seed].into_iter().filter(|&seed| seed != first).collect(),
        None => (1..schedules).collect(),
    };
    let expected = run(first, &mut work)?;
    for seed in others {
        let result = run(seed, &mut work)?;
        if result != expected {
            return Err(ExploreError::Differs { seed, first, result, expected });
        }
    }
    Ok(expected)
}

/// The one seed that the user asks for.
fn repeated() -> Option<u64> {
    env::var("CUDA_EMULATOR_SEED").ok()?.parse().ok()
}

/// Does the work under one seed, to its end.
fn run<T>(seed: u64, work: &mut impl FnMut() -> T) -> Result<T, ExploreError<T>> {
    settle();
    let before = findings().len();
    set_seed(seed);
    let result = catch_unwind(AssertUnwindSafe(work));
    settle();
    let new: Vec<Finding> = findings().into_iter().skip(before).collect();
    match result {
        _ if !new.is_empty() => Err(ExploreError::Found { seed, findings: new }),
        Ok(result) => Ok(result),
        Err(panic) => resume_unwind(panic),
    }
}

/// Waits for all work of all devices.
fn settle() {
    if let Some(library) = Library::installed() {
        (library.settle)();
    }
}

/// The seed and the threads that were set, and will be again.
struct Schedule {
    seed: u64,
    threads: u32,
}

impl Schedule {
    /// Nothing with a real driver.
    fn keep() -> Option<Self> {
        let mut now = Schedule { seed: 0, threads: 0 };
        let status = (Library::installed()?.schedule)(&mut now.seed, &mut now.threads);
        debug_assert_eq!(status, 0, "the emulator refuses a call of its own");
        Some(now)
    }
}

impl Drop for Schedule {
    fn drop(&mut self) {
        set_seed(self.seed);
        set_threads(self.threads);
    }
}

/// One thread explores at a time; within its work it may again.
struct Turn {
    guard: Option<MutexGuard<'static, ()>>,
}

thread_local! {
    static MINE: Cell<bool> = const { Cell::new(false) };
}

impl Turn {
    fn take() -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        let guard = (!MINE.replace(true)).then(|| TURN.lock().unwrap_or_else(PoisonError::into_inner));
        Turn { guard }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.guard.is_some() {
            MINE.set(false);
        }
    }
}
