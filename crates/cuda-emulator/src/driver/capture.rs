//! Stream capture: operations become nodes of a graph instead of work.
//!
//! A capture begins in one stream. Another stream joins it by waiting for an
//! event that was recorded in it, and must be joined back before the end. Each
//! stream in it remembers its tail: the nodes that come before its next one.

use std::thread::{self, ThreadId};

use super::operation::Operation;
use super::queue::{Kind, Ticket};
use super::state::{Handle, State};
use super::status::{Outcome, Status, refuse};

/// Which calls of which threads a capture forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Mode {
    /// Unsafe calls of every thread.
    Global = 0,
    /// Unsafe calls of the thread that began it.
    ThreadLocal = 1,
    /// None.
    Relaxed = 2,
}

impl Mode {
    pub fn from_code(code: u32) -> Outcome<Self> {
        match code {
            0 => Ok(Mode::Global),
            1 => Ok(Mode::ThreadLocal),
            2 => Ok(Mode::Relaxed),
            _ => refuse(Status::InvalidValue, format!("there is no capture mode {code}")),
        }
    }
}

/// A node of a graph: an operation and the nodes before it.
#[derive(Debug, Clone)]
pub struct Node {
    pub operation: Operation,
    pub after: Vec<usize>,
}

/// Operations in an order in which they may run.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    pub nodes: Vec<Node>,
}

/// A capture under way.
#[derive(Debug)]
pub struct Capture {
    pub context: Handle,
    /// The stream in which it began.
    pub origin: Handle,
    pub mode: Mode,
    pub thread: ThreadId,
    /// An error has spoiled it; it can only be ended.
    pub invalid: bool,
    pub graph: Graph,
}

thread_local! {
    static THREAD_MODE: std::cell::Cell<Mode> = const { std::cell::Cell::new(Mode::Global) };
}

/// Changes which captures this thread minds, and returns what it minded before.
pub fn exchange_thread_mode(mode: Mode) -> Mode {
    THREAD_MODE.replace(mode)
}

impl State {
    /// Queues an operation, or adds it to the graph that its stream captures;
    /// the ticket to wait for if it was queued.
    pub fn enqueue(&mut self, stream: Handle, operation: Operation) -> Outcome<Option<Ticket>> {
        let found = self.streams.get(stream)?;
        self.check_context(found.context)?;
        if found.kind == Kind::Legacy {
            self.forbid_implicit(stream)?;
        }
        let Some((capture, tail)) = self.captured(stream)? else {
            return Ok(Some(self.submit(stream, operation, Vec::new())));
        };
        if matches!(operation, Operation::Free(_)) {
            self.captures.get_mut(capture)?.invalid = true;
            return refuse(Status::StreamCaptureUnsupported, "memory nodes in graphs are not emulated");
        }
        let nodes = &mut self.captures.get_mut(capture)?.graph.nodes;
        nodes.push(Node { operation, after: tail });
        let node = nodes.len() - 1;
        self.streams.get_mut(stream)?.capture = Some((capture, vec![node]));
        Ok(None)
    }

    /// The live capture that a stream takes part in, and its tail there.
    pub fn captured(&self, stream: Handle) -> Outcome<Option<(Handle, Vec<usize>)>> {
        let Some((capture, tail)) = &self.streams.get(stream)?.capture else { return Ok(None) };
        match self.captures.get(*capture)?.invalid {
            true => Err(Status::StreamCaptureInvalidated.into()),
            false => Ok(Some((*capture, tail.clone()))),
        }
    }

    /// Work in the default stream would wait for every capturing stream.
    fn forbid_implicit(&mut self, legacy: Handle) -> Outcome {
        let context = self.streams.get(legacy)?.context;
        let capturing = self.streams.iter().find_map(|(_, stream)| {
            let ordered = stream.context == context && stream.kind == Kind::Blocking;
            stream.capture.as_ref().filter(|_| ordered).map(|(capture, _)| *capture)
        });
        let Some(capture) = capturing else { return Ok(()) };
        self.captures.get_mut(capture)?.invalid = true;
        refuse(Status::StreamCaptureImplicit, "the default stream waits for a stream that is capturing")
    }

    /// Refuses a call that does not belong into a capture, and spoils the
    /// captures that forbid it to this thread.
    pub fn forbid_in_capture(&mut self) -> Outcome {
        let this = thread::current().id();
        let minded = THREAD_MODE.get();
        let mut refused = false;
        for (_, capture) in self.captures.iter_mut() {
            let own = capture.thread == this && capture.mode != Mode::Relaxed;
            let foreign = capture.mode == Mode::Global && minded == Mode::Global;
            if minded != Mode::Relaxed && (own || foreign) {
                capture.invalid = true;
                refused = true;
            }
        }
        match refused {
            true => refuse(Status::StreamCaptureUnsupported, "a capture is under way that forbids this call"),
            false => Ok(()),
        }
    }

    /// Refuses a call about a stream that is capturing, and spoils its capture.
    pub fn forbid_capturing(&mut self, stream: Handle) -> Outcome {
        let Some((capture, _)) = self.streams.get(stream)?.capture else { return Ok(()) };
        self.captures.get_mut(capture)?.invalid = true;
        refuse(Status::StreamCaptureUnsupported, "the stream is capturing")
    }

    /// Begins a capture in a stream.
    pub fn begin_capture(&mut self, stream: Handle, mode: Mode) -> Outcome {
        let found = self.streams.get(stream)?;
        let context = found.context;
        self.check_context(context)?;
        if found.kind == Kind::Legacy {
            return refuse(Status::StreamCaptureUnsupported, "the default stream cannot capture");
        }
        if found.capture.is_some() {
            return refuse(Status::IllegalState, "the stream is capturing already");
        }
        let thread = thread::current().id();
        let graph = Graph::default();
        let capture = Capture { context, origin: stream, mode, thread, invalid: false, graph };
        let capture = self.captures.insert(capture);
        self.streams.get_mut(stream)?.capture = Some((capture, Vec::new()));
        Ok(())
    }

    /// Ends the capture that began in a stream; its graph.
    pub fn end_capture(&mut self, stream: Handle) -> Outcome<Graph> {
        let Some((handle, tail)) = self.streams.get(stream)?.capture.clone() else {
            return refuse(Status::IllegalState, "the stream is not capturing");
        };
        let capture = self.captures.get(handle)?;
        if capture.origin != stream {
            return refuse(Status::StreamCaptureUnmatched, "the capture began in another stream");
        }
        if capture.mode != Mode::Relaxed && capture.thread != thread::current().id() {
            return refuse(Status::StreamCaptureWrongThread, "the capture was begun by another thread");
        }
        let joined = capture.graph.ancestors(&tail);
        let mut unjoined = false;
        for (_, other) in self.streams.iter_mut() {
            if let Some((_, tail)) = other.capture.take_if(|(capture, _)| *capture == handle) {
                unjoined |= tail.iter().any(|&node| !joined[node]);
            }
        }
        let capture = self.captures.remove(handle)?;
        if capture.invalid {
            return Err(Status::StreamCaptureInvalidated.into());
        }
        if unjoined {
            return refuse(
                Status::StreamCaptureUnjoined,
                "a stream that joined the capture was not waited for before its end",
            );
        }
        Ok(capture.graph)
    }

    /// Makes a stream's next node come after nodes of a capture, which the
    /// stream joins if it is not in it.
    pub fn join_capture(&mut self, stream: Handle, capture: Handle, nodes: &[usize]) -> Outcome {
        let Ok(joined) = self.captures.get(capture) else {
            return refuse(Status::CapturedEvent, "the event was recorded in a capture that has ended");
        };
        if joined.invalid {
            return Err(Status::StreamCaptureInvalidated.into());
        }
        let found = self.streams.get_mut(stream)?;
        match &mut found.capture {
            Some((own, tail)) if *own == capture => {
                tail.extend(nodes);
                tail.sort_unstable();
                tail.dedup();
            }
            Some((own, _)) => {
                let own = *own;
                self.captures.get_mut(own)?.invalid = true;
                self.captures.get_mut(capture)?.invalid = true;
                return refuse(Status::StreamCaptureMerge, "the event belongs to another capture");
            }
            None if found.kind == Kind::Legacy => {
                self.captures.get_mut(capture)?.invalid = true;
                return refuse(Status::StreamCaptureImplicit, "the default stream cannot join a capture");
            }
            None => found.capture = Some((capture, nodes.to_vec())),
        }
        Ok(())
    }
}

impl Graph {
    /// For each node, whether it is one of `nodes` or comes before one.
    fn ancestors(&self, nodes: &[usize]) -> Vec<bool> {
        let mut found = vec![false; self.nodes.len()];
        let mut stack = nodes.to_vec();
        while let Some(node) = stack.pop() {
            if !std::mem::replace(&mut found[node], true) {
                stack.extend(&self.nodes[node].after);
            }
        }
        found
    }
}
