//! One thread per device that carries operations out, and ways to wait for it.
//!
//! The lock is held while memory is copied and filled, and released while a
//! kernel runs. Functions of the program run on threads of their own, since
//! they may wait for other streams' work.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use super::launch::Work;
use super::operation::{HostCall, Operation};
use super::queue::Ticket;
use super::state::{Handle, Recorded, State};
use super::status::{Outcome, Status, refuse};
use super::timeline::Known;
use super::{Driver, IN_HOST_FUNCTION};
use crate::counters::LastLaunch;
use crate::machine::{self, Launch, Span};
use crate::memory::MemoryError;
use crate::verdict::{Access, Finding, Place, Verdict};

/// Starts the thread of a device.
pub fn start(driver: &'static Driver, device: usize) -> Outcome {
    let body = move || {
        let mut state = driver.lock();
        loop {
            state = match state.next(device) {
                Some((ticket, operation, known)) => execute(driver, state, ticket, operation, &known),
                None => driver.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    };
    match thread::Builder::new().name(format!("cuda-emulator {device}")).spawn(body) {
        Ok(_) => Ok(()),
        Err(error) => refuse(Status::OperatingSystem, format!("no thread for device {device}: {error}")),
    }
}

impl Driver {
    /// Waits until operations have ended, and asks for them first.
    pub fn wait<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        tickets: impl IntoIterator<Item = Ticket>,
    ) -> MutexGuard<'a, State> {
        let tickets: Vec<Ticket> = tickets.into_iter().collect();
        for &ticket in &tickets {
            state.want(ticket);
        }
        if !tickets.iter().all(|&ticket| state.is_done(ticket)) {
            self.changed.notify_all();
        }
        while !tickets.iter().all(|&ticket| state.is_done(ticket)) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.learn_all(&tickets);
        state
    }

    /// Ends a call that has queued an operation: with `CUDA_EMULATOR_EAGER` it runs at once.
    pub fn submitted(&self, state: MutexGuard<'_, State>, ticket: Option<Ticket>) {
        if state.eager {
            drop(self.wait(state, ticket));
        }
    }

    /// Asks for operations without waiting.
    pub fn ask(&self, state: &mut State, tickets: impl IntoIterator<Item = Ticket>) {
        for ticket in tickets {
            state.want(ticket);
        }
        self.changed.notify_all();
    }
}

/// Carries out one operation of a stream.
fn execute<'a>(
    driver: &'static Driver,
    mut state: MutexGuard<'a, State>,
    ticket: Ticket,
    operation: Operation,
    known: &Known,
) -> MutexGuard<'a, State> {
    let context = state.streams.get(ticket.stream).map_or(0, |stream| stream.context);
    let failed = state.check_context(context).is_err();
    // All but kernels wait for kernels to end.
    if !matches!(operation, Operation::Launch(_))
        && let Ok(stream) = state.streams.get_mut(ticket.stream)
    {
        stream.written.clear();
    }
    state.timeline.is_quiet = state.is_quiet_but_for(ticket.stream);
    match operation {
        // Memory goes back even where the work before it has failed.
        Operation::Free(address) => state.release(address),
        _ if failed => {}
        Operation::Wait => {}
        Operation::Launch(work) => state = launch(driver, state, ticket, context, &work, known),
        Operation::Record(event) => stamp(&mut state, event, ticket),
        Operation::Copy(copy) => {
            touch(&mut state, context, ticket, known, copy.spans());
            let result = copy.run(&state.memory);
            settle(&mut state, context, Access::Read, result);
        }
        Operation::Fill(fill) => {
            touch(&mut state, context, ticket, known, fill.spans());
            let result = fill.run(&state.memory);
            settle(&mut state, context, Access::Write, result);
        }
        Operation::Host(call) => {
            if spawn(driver, call, ticket).is_ok() {
                return state;
            }
            state.fail(context, Status::OperatingSystem);
        }
    }
    state.finish(ticket);
    driver.changed.notify_all();
    state
}

/// Runs a kernel, with the lock released.
fn launch<'a>(
    driver: &'a Driver,
    mut state: MutexGuard<'a, State>,
    ticket: Ticket,
    context: Handle,
    work: &Work,
    known: &Known,
) -> MutexGuard<'a, State> {
    let stream = ticket.stream;
    // What kernels ahead have written, that may not have ended if nothing has waited for them.
    let ahead =
        state.streams.get_mut(stream).map(|stream| std::mem::take(&mut stream.written)).unwrap_or_default();
    let Ok(device) = state.context(context).map(|context| context.device) else { return state };
    let (ledger, earlier) = match state.judges {
        true => {
            let clusters = work.shape.clusters();
            let earlier = state.timeline.begin(ticket, known, clusters, |clusters| work.footprint(clusters));
            (Some(state.timeline.ledger.clone()), earlier)
        }
        false => Default::default(),
    };
    let launch = Launch {
        kernel: work.kernel.clone(),
        grid: work.shape.grid,
        block: work.shape.block,
        cluster: work.shape.cluster,
        dynamic_shared: work.shape.dynamic_shared,
        params: work.parameters.clone(),
        memory: state.memory.map(device),
        resident: work.resident,
        overlaps: work.shape.overlaps,
        unready: if work.shape.overlaps { ahead.iter().copied().collect() } else { Vec::new() },
        written: Mutex::default(),
        print: Box::new(print),
        seed: state.seed,
        threads: state.threads,
        arithmetic: state.arithmetic,
        ledger,
        earlier,
    };
    drop(state);
    let outcome = catch_unwind(AssertUnwindSafe(|| machine::run(&launch)));
    let mut state = driver.lock();
    if let Ok(stream) = state.streams.get_mut(stream) {
        stream.written = launch.written.into_inner().unwrap_or_else(PoisonError::into_inner);
        stream.written.extend(launch.unready);
    }
    match outcome {
        Ok(Ok(counters)) => {
            if let Ok(context) = state.context_mut(context) {
                let kernel = work.kernel.name.clone();
                context.last_launch = Some(LastLaunch { kernel, counters });
            }
        }
        Ok(Err(finding)) => {
            let status = status_of(&finding.verdict);
            state.report(*finding);
            state.fail(context, status);
        }
        Err(_) => {
            eprintln!("cuda-emulator: a fault of the emulator in {}, please report it", work.kernel.name);
            state.fail(context, Status::Unknown);
        }
    }
    state
}

/// Where the text of a kernel's `printf` goes.
fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    // Nobody can be told that nobody reads.
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// The result code that a GPU would give for a finding, or the nearest to it.
fn status_of(verdict: &Verdict) -> Status {
    match verdict {
        Verdict::OutOfBounds { .. } | Verdict::ReadOnly { .. } | Verdict::Early { .. } => {
            Status::IllegalAddress
        }
        Verdict::Misaligned { .. } => Status::MisalignedAddress,
        Verdict::Deadlock { .. } | Verdict::Livelock { .. } => Status::LaunchTimeout,
        Verdict::Assert { .. } => Status::Assert,
        Verdict::BadCall { .. } => Status::InvalidPc,
        Verdict::StackOverflow { .. } => Status::HardwareStackError,
        Verdict::Operand { .. } | Verdict::TensorMap { .. } => Status::IllegalInstruction,
        _ => Status::LaunchFailed,
    }
}

/// Notes when an event was passed, unless it has been recorded again since.
fn stamp(state: &mut State, event: Handle, ticket: Ticket) {
    if let Ok(event) = state.events.get_mut(event)
        && event.recorded == Recorded::Queued(ticket)
    {
        event.time = Some(Instant::now());
    }
}

/// Calls a function of the program on a thread of its own.
fn spawn(driver: &'static Driver, call: HostCall, ticket: Ticket) -> std::io::Result<()> {
    let body = move || {
        // The whole pair moves to the thread, not its parts.
        let HostCall { function, argument } = { call };
        IN_HOST_FUNCTION.set(true);
        // SAFETY: the program gave the function and its argument to be called so.
        let outcome = catch_unwind(AssertUnwindSafe(|| unsafe { function(argument) }));
        IN_HOST_FUNCTION.set(false);
        debug_assert!(outcome.is_ok());
        driver.lock().finish(ticket);
        driver.changed.notify_all();
    };
    thread::Builder::new().name("cuda-emulator host".into()).spawn(body).map(drop)
}

/// Holds a copy or fill against what need not have ended.
fn touch(state: &mut State, context: Handle, ticket: Ticket, known: &Known, spans: Vec<Span>) {
    if state.judges
        && let Err(finding) = state.timeline.copy(ticket, known, spans)
    {
        let status = status_of(&finding.verdict);
        state.report(*finding);
        state.fail(context, status);
    }
}

/// A copy or fill that no longer finds its memory fails as a kernel would.
fn settle(state: &mut State, context: Handle, access: Access, result: Result<(), MemoryError>) {
    let Err(error) = result else { return };
    if let MemoryError::OutOfBounds { address, bytes } = error {
        let nearest = state.memory.explain(address, bytes);
        let size = u32::try_from(bytes).unwrap_or(u32::MAX);
        let verdict = Verdict::OutOfBounds { access, space: "global".into(), address, size, nearest };
        state.report(Finding { verdict, place: Place::default() });
    }
    state.fail(context, Status::IllegalAddress);
}

impl State {
    /// Notes that a context's work has failed; the first reason stays.
    pub fn fail(&mut self, context: Handle, status: Status) {
        if let Ok(context) = self.context_mut(context) {
            context.error.get_or_insert(status);
        }
    }
}
