//! Streams: creation, waiting, functions of the program in them, capture.

use std::ffi::{c_int, c_uint, c_ulonglong, c_void};
use std::thread;

use super::arguments::{HostFunction, Out};
use super::capture::{self, Mode};
use super::operation::{HostCall, Operation};
use super::queue::{Kind, Stream};
use super::state::{Handle, Recorded, State};
use super::status::{Outcome, Status, refuse, require};
use super::{Driver, export};

/// Priorities run from 0 down to this.
pub const GREATEST_PRIORITY: c_int = -5;

/// Handles with a meaning of their own.
const LEGACY: Handle = 1;
const PER_THREAD: Handle = 2;

/// `CU_STREAM_NON_BLOCKING`.
const NON_BLOCKING: c_uint = 1;

impl State {
    /// The stream that a handle names: the default ones are the current context's.
    pub fn stream(&mut self, handle: Handle) -> Outcome<Handle> {
        match handle {
            0 | LEGACY => Ok(self.context(self.usable()?)?.legacy),
            PER_THREAD => {
                let context = self.usable()?;
                let thread = thread::current().id();
                let found = self.context(context)?;
                if let Some(&stream) = found.per_thread.get(&thread) {
                    return Ok(stream);
                }
                let stream = Stream::new(context, found.device, Kind::Blocking, 0);
                let stream = self.streams.insert(stream);
                self.context_mut(context)?.per_thread.insert(thread, stream);
                Ok(stream)
            }
            _ => {
                let found = self.streams.get(handle)?;
                require(!found.destroyed, Status::InvalidHandle, || "the stream was destroyed".into())?;
                let context = found.context;
                self.check_context(context)?;
                Ok(handle)
            }
        }
    }
}

impl Driver {
    fn create_stream(&'static self, out: Out<Handle>, flags: c_uint, priority: c_int) -> Outcome {
        out.check()?;
        let mut state = self.lock();
        let context = state.usable()?;
        require(flags <= NON_BLOCKING, Status::InvalidValue, || format!("unknown flags {flags:#x}"))?;
        let kind = if flags == NON_BLOCKING { Kind::NonBlocking } else { Kind::Blocking };
        let device = state.context(context)?.device;
        let priority = priority.clamp(GREATEST_PRIORITY, 0);
        out.set(state.streams.insert(Stream::new(context, device, kind, priority)))
    }

    fn call_in_stream(
        &'static self,
        stream: Handle,
        function: Option<HostFunction>,
        argument: *mut c_void,
    ) -> Outcome {
        let mut state = self.lock();
        let stream = state.stream(stream)?;
        let Some(function) = function else {
            return refuse(Status::InvalidValue, "the function is a null pointer");
        };
        let ticket = state.enqueue(stream, Operation::Host(HostCall { function, argument }))?;
        self.submitted(state, ticket);
        Ok(())
    }
}

/// `CUstreamCaptureStatus`.
fn capture_status(state: &State, stream: Handle) -> Outcome<c_uint> {
    Ok(match state.streams.get(stream)?.capture {
        None => 0,
        Some((capture, _)) if state.captures.get(capture)?.invalid => 2,
        Some(_) => 1,
    })
}

export! {
    |driver| fn cuStreamCreate(stream: Out<Handle>, flags: c_uint) {
        driver.create_stream(stream, flags, 0)
    }

    |driver| fn cuStreamCreateWithPriority(stream: Out<Handle>, flags: c_uint, priority: c_int) {
        driver.create_stream(stream, flags, priority)
    }

    |driver| fn cuStreamDestroy_v2(stream: Handle) {
        let mut state = driver.lock();
        require(stream > PER_THREAD, Status::InvalidHandle, || "a default stream stays".into())?;
        let found = state.streams.get_mut(stream)?;
        require(!found.destroyed, Status::InvalidHandle, || "the stream was destroyed".into())?;
        let context = found.context;
        if let Some((capture, _)) = found.capture.take() {
            state.captures.get_mut(capture)?.invalid = true;
        }
        state.retire(stream);
        driver.changed.notify_all();
        state.check_context(context).map(drop)
    }

    |driver| fn cuStreamSynchronize(stream: Handle) {
        let mut state = driver.lock();
        let stream = state.stream(stream)?;
        state.forbid_capturing(stream)?;
        state.forbid_in_capture()?;
        let context = state.streams.get(stream)?.context;
        let last = state.last(stream);
        driver.wait(state, [last]).check_context(context).map(drop)
    }

    |driver| fn cuStreamQuery(stream: Handle) {
        let mut state = driver.lock();
        let stream = state.stream(stream)?;
        state.forbid_capturing(stream)?;
        state.forbid_in_capture()?;
        let last = state.last(stream);
        if state.is_done(last) {
            state.learn_all(&[last]);
            return Ok(());
        }
        driver.ask(&mut state, [last]);
        Err(Status::NotReady.into())
    }

    |driver| fn cuStreamWaitEvent(stream: Handle, event: Handle, flags: c_uint) {
        let mut state = driver.lock();
        let stream = state.stream(stream)?;
        require(flags == 0, Status::InvalidValue, || {
            "events as nodes of graphs (flags 1) are not emulated".into()
        })?;
        match state.events.get(event)?.recorded.clone() {
            Recorded::Never => Ok(()),
            Recorded::Captured { capture, tail } => state.join_capture(stream, capture, &tail),
            Recorded::Queued(ticket) => {
                if let Some((capture, _)) = state.captured(stream)? {
                    state.captures.get_mut(capture)?.invalid = true;
                    return refuse(
                        Status::StreamCaptureIsolation,
                        "a capturing stream cannot wait for an event recorded outside the capture",
                    );
                }
                let ticket = state.submit(stream, Operation::Wait, vec![ticket]);
                driver.submitted(state, Some(ticket));
                Ok(())
            }
        }
    }

    |driver| fn cuLaunchHostFunc(
        stream: Handle,
        function: Option<HostFunction>,
        argument: *mut c_void,
    ) {
        driver.call_in_stream(stream, function, argument)
    }

    |driver| fn cuLaunchHostFunc_v2(
        stream: Handle,
        function: Option<HostFunction>,
        argument: *mut c_void,
        _sync_mode: c_uint,
    ) {
        driver.call_in_stream(stream, function, argument)
    }

    |driver| fn cuStreamGetFlags(stream: Handle, flags: Out<c_uint>) {
        let mut state = driver.lock();
        let stream = state.stream(stream)?;
        flags.set(u32::from(state.streams.get(stream)?.kind == Kind::NonBlocking))
    }

    |driver| fn cuStreamGetPriority(stream: Handle, priority: Out<c_int>) {
        let mut state = driver.lock();
        let stream = state.stream(stream)?;
        priority.set(state.streams.get(stream)?.priority)
    }

    |driver| fn cuStreamGetCtx(stream: Handle, context: Out<Handle>) {
        let mut state = driver.lock();
        let stream = state.stream(stream)?;
        context.set(state.streams.get(stream)?.context)
    }

    |driver| fn cuStreamGetDevice(stream: Handle, device: Out<c_int>) {
        let mut state = driver.lock();
        let stream = state.stream(stream)?;
        device.set(state.streams.get(stream)?.device as c_int)
    }

    |driver| fn cuStreamGetId(stream: Handle, id: Out<c_ulonglong>) {
        let mut state = driver.lock();
        id.set(state.stream(stream)?)
    }

    |driver| fn cuStreamBeginCapture_v2(stream: Handle, mode: c_uint) {
        let mut state = driver.lock();
        let stream = state.stream(stream)?;
        state.begin_capture(stream, Mode::from_code(mode)?)
    }

    |driver| fn cuStreamEndCapture(stream: Handle, graph: Out<Handle>) {
        graph.check()?;
        let mut state = driver.lock();
        let stream = state.stream(stream)?;
        match state.end_capture(stream) {
            Ok(captured) => graph.set(state.graphs.insert(captured)),
            Err(failure) => {
                graph.set(0)?;
                Err(failure)
            }
        }
    }

    |driver| fn cuStreamIsCapturing(stream: Handle, status: Out<c_uint>) {
        let mut state = driver.lock();
        let stream = state.stream(stream)?;
        status.set(capture_status(&state, stream)?)
    }

    |driver| fn cuStreamGetCaptureInfo(stream: Handle, status: Out<c_uint>, id: Out<c_ulonglong>) {
        let mut state = driver.lock();
        let stream = state.stream(stream)?;
        status.set(capture_status(&state, stream)?)?;
        if let Some((capture, _)) = state.streams.get(stream)?.capture {
            id.set_if_wanted(capture);
        }
        Ok(())
    }

    |_| fn cuThreadExchangeStreamCaptureMode(mode: Out<c_uint>) {
        let previous = capture::exchange_thread_mode(Mode::from_code(mode.get()?)?);
        mode.set(previous as c_uint)
    }
}
