//! Events: marks in streams, and the time at which the device passed them.

use std::ffi::c_uint;

use super::arguments::Out;
use super::operation::Operation;
use super::queue::Ticket;
use super::state::{Event, Handle, Recorded, State};
use super::status::{Outcome, Status, refuse, require};
use super::{Driver, export};

/// `CU_EVENT_DISABLE_TIMING`.
const DISABLE_TIMING: c_uint = 2;
/// `CU_EVENT_INTERPROCESS`.
const INTERPROCESS: c_uint = 4;

impl Driver {
    fn record(&'static self, event: Handle, stream: Handle, flags: c_uint) -> Outcome {
        let mut state = self.lock();
        let stream = state.stream(stream)?;
        require(flags == 0, Status::InvalidValue, || {
            "events as nodes of graphs (flags 1) are not emulated".into()
        })?;
        let own = state.events.get(event)?.context;
        require(state.streams.get(stream)?.context == own, Status::InvalidHandle, || {
            "the event and the stream belong to different contexts".into()
        })?;
        if let Some((capture, tail)) = state.captured(stream)? {
            state.events.get_mut(event)?.recorded = Recorded::Captured { capture, tail };
            return Ok(());
        }
        let ticket = state.enqueue(stream, Operation::Record(event))?;
        let found = state.events.get_mut(event)?;
        found.time = None;
        found.recorded = match ticket {
            Some(ticket) => Recorded::Queued(ticket),
            None => Recorded::Never,
        };
        self.submitted(state, ticket);
        Ok(())
    }

    fn elapsed(&'static self, milliseconds: Out<f32>, start: Handle, end: Handle) -> Outcome {
        let state = self.lock();
        let mut times = [None; 2];
        for (time, event) in times.iter_mut().zip([start, end]) {
            let found = state.events.get(event)?;
            state.check_context(found.context)?;
            require(found.timing, Status::InvalidHandle, || "the event keeps no time".into())?;
            match state.ticket(event)? {
                None => return refuse(Status::InvalidHandle, "the event was never recorded"),
                Some(ticket) if !state.is_done(ticket) => return Err(Status::NotReady.into()),
                Some(_) => *time = found.time,
            }
        }
        let [Some(start), Some(end)] = times else { return Err(Status::NotReady.into()) };
        let signed = match end.checked_duration_since(start) {
            Some(after) => after.as_secs_f64(),
            None => -start.duration_since(end).as_secs_f64(),
        };
        milliseconds.set((signed * 1e3) as f32)
    }
}

impl State {
    /// What an event waits for; none if it was never recorded.
    fn ticket(&self, event: Handle) -> Outcome<Option<Ticket>> {
        match &self.events.get(event)?.recorded {
            Recorded::Never => Ok(None),
            Recorded::Queued(ticket) => Ok(Some(*ticket)),
            Recorded::Captured { .. } => Err(Status::CapturedEvent.into()),
        }
    }
}

export! {
    |driver| fn cuEventCreate(event: Out<Handle>, flags: c_uint) {
        event.check()?;
        let mut state = driver.lock();
        let context = state.usable()?;
        require(flags <= 7, Status::InvalidValue, || format!("unknown flags {flags:#x}"))?;
        require(flags & INTERPROCESS == 0, Status::NotSupported, || {
            "events between processes are not emulated".into()
        })?;
        let timing = flags & DISABLE_TIMING == 0;
        event.set(state.events.insert(Event { context, timing, recorded: Recorded::Never, time: None }))
    }

    |driver| fn cuEventDestroy_v2(event: Handle) {
        let mut state = driver.lock();
        let context = state.events.remove(event)?.context;
        state.check_context(context).map(drop)
    }

    |driver| fn cuEventRecord(event: Handle, stream: Handle) {
        driver.record(event, stream, 0)
    }

    |driver| fn cuEventRecordWithFlags(event: Handle, stream: Handle, flags: c_uint) {
        driver.record(event, stream, flags)
    }

    |driver| fn cuEventQuery(event: Handle) {
        let mut state = driver.lock();
        let context = state.events.get(event)?.context;
        state.check_context(context)?;
        let ticket = state.ticket(event)?;
        state.forbid_in_capture()?;
        match ticket.filter(|&ticket| !state.is_done(ticket)) {
            None => {
                state.learn_all(ticket.as_slice());
                Ok(())
            }
            Some(ticket) => {
                driver.ask(&mut state, [ticket]);
                Err(Status::NotReady.into())
            }
        }
    }

    |driver| fn cuEventSynchronize(event: Handle) {
        let mut state = driver.lock();
        let context = state.events.get(event)?.context;
        state.check_context(context)?;
        let ticket = state.ticket(event)?;
        state.forbid_in_capture()?;
        driver.wait(state, ticket).check_context(context).map(drop)
    }

    |driver| fn cuEventElapsedTime(milliseconds: Out<f32>, start: Handle, end: Handle) {
        driver.elapsed(milliseconds, start, end)
    }

    |driver| fn cuEventElapsedTime_v2(milliseconds: Out<f32>, start: Handle, end: Handle) {
        driver.elapsed(milliseconds, start, end)
    }
}
