//! Streams as queues of operations.
//!
//! A [`Ticket`] names an operation by its stream and its position there. An
//! operation runs when it is wanted, when the one before it in its stream has
//! ended, and when every ticket that it comes after is done. To want an
//! operation is to want all before it, and what they come after.
//!
//! The default stream's ordering is expressed by tickets too: an operation in
//! it comes after the last one of every blocking stream, and theirs after the
//! last one in it.

use std::collections::{BTreeSet, VecDeque};

use super::operation::{Operation, Place};
use super::state::{Handle, State};
use super::timeline::Known;

/// Which streams wait for which without being told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The default stream.
    Legacy,
    /// Ordered with the default stream.
    Blocking,
    /// On its own.
    NonBlocking,
}

/// An operation in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    pub stream: Handle,
    /// Counted from 1.
    pub position: u64,
}

#[derive(Debug)]
struct Queued {
    operation: Operation,
    after: Vec<Ticket>,
    /// What it comes behind.
    known: Known,
}

/// A stream: what it has been asked to do and has not done yet.
#[derive(Debug)]
pub struct Stream {
    pub context: Handle,
    pub device: usize,
    pub kind: Kind,
    pub priority: i32,
    /// The program has destroyed it; it goes when its queue is empty.
    pub destroyed: bool,
    /// The capture that it takes part in, and the nodes that come before its next.
    pub capture: Option<(Handle, Vec<usize>)>,
    queue: VecDeque<Queued>,
    /// What its last operation comes behind.
    known: Known,
    /// What its last kernels have written, since anything else came between them.
    pub written: BTreeSet<u64>,
    /// An operation is being carried out.
    busy: bool,
    submitted: u64,
    completed: u64,
    wanted: u64,
    /// Bytes of host memory that wait in the queue.
    staged: usize,
}

/// More operations than this in one stream, and the device starts on them.
const DEPTH: usize = 1024;

/// More bytes than this staged in one stream, and the next copy waits.
const STAGED: usize = 64 << 20;

impl Stream {
    pub fn new(context: Handle, device: usize, kind: Kind, priority: i32) -> Self {
        Stream {
            context,
            device,
            kind,
            priority,
            destroyed: false,
            capture: None,
            queue: VecDeque::new(),
            known: Known::default(),
            written: BTreeSet::new(),
            busy: false,
            submitted: 0,
            completed: 0,
            wanted: 0,
            staged: 0,
        }
    }

    fn pending(&self) -> bool {
        self.completed < self.submitted
    }

    /// Whether another copy of this many bytes has to wait for the earlier ones.
    pub fn is_full(&self, bytes: usize) -> bool {
        self.staged > 0 && self.staged + bytes > STAGED
    }
}

fn staged(operation: &Operation) -> usize {
    match operation {
        Operation::Copy(copy) => match &copy.from {
            Place::Staged(bytes) => bytes.len(),
            _ => 0,
        },
        _ => 0,
    }
}

impl State {
    /// Queues an operation behind what is in its stream and after `after`.
    pub fn submit(&mut self, stream: Handle, operation: Operation, mut after: Vec<Ticket>) -> Ticket {
        after.extend(self.implied(stream));
        let mut known = self.timeline.host.clone();
        after.iter().for_each(|ticket| self.learn(&mut known, *ticket));
        let Ok(target) = self.streams.get_mut(stream) else {
            // The stream went with its context: nothing is left to wait for.
            return Ticket { stream, position: 0 };
        };
        known.join(&target.known);
        known.add(Ticket { stream, position: target.submitted });
        target.known = known.clone();
        target.submitted += 1;
        target.staged += staged(&operation);
        let ticket = Ticket { stream, position: target.submitted };
        if let Operation::Record(_) = operation {
            self.timeline.record(ticket, known.clone());
        }
        target.queue.push_back(Queued { operation, after, known });
        if target.queue.len() > DEPTH {
            self.want(ticket);
        }
        ticket
    }

    /// What comes with an operation that is known to have ended.
    fn learn(&self, known: &mut Known, ticket: Ticket) {
        known.add(ticket);
        let of_stream = self.streams.get(ticket.stream).ok().filter(|s| s.submitted == ticket.position);
        if let Some(more) = self.timeline.recorded(ticket).or(of_stream.map(|s| &s.known)) {
            known.join(more);
        }
    }

    /// The program has waited for these.
    pub fn learn_all(&mut self, tickets: &[Ticket]) {
        let mut host = std::mem::take(&mut self.timeline.host);
        tickets.iter().for_each(|ticket| self.learn(&mut host, *ticket));
        self.timeline.host = host;
    }

    /// The tickets that the default stream's ordering adds.
    fn implied(&self, stream: Handle) -> Vec<Ticket> {
        let Ok(Stream { context, kind, .. }) = self.streams.get(stream) else { return Vec::new() };
        let waits_for = match kind {
            Kind::Legacy => Kind::Blocking,
            Kind::Blocking => Kind::Legacy,
            Kind::NonBlocking => return Vec::new(),
        };
        let others = self.streams.iter();
        let others = others.filter(|(_, s)| s.context == *context && s.kind == waits_for && s.submitted > 0);
        others.map(|(stream, s)| Ticket { stream, position: s.submitted }).collect()
    }

    /// The last operation of a stream.
    pub fn last(&self, stream: Handle) -> Ticket {
        let position = self.streams.get(stream).map_or(0, |s| s.submitted);
        Ticket { stream, position }
    }

    /// The last operations of all streams of a context.
    pub fn last_of_context(&self, context: Handle) -> Vec<Ticket> {
        let mine = self.streams.iter().filter(|(_, s)| s.context == context);
        mine.map(|(stream, s)| Ticket { stream, position: s.submitted }).collect()
    }

    /// The last operations of all streams of a device.
    pub fn last_of_device(&self, device: usize) -> Vec<Ticket> {
        let mine = self.streams.iter().filter(|(_, s)| s.device == device);
        mine.map(|(stream, s)| Ticket { stream, position: s.submitted }).collect()
    }

    /// Is nothing queued but in this stream?
    pub fn is_quiet_but_for(&self, stream: Handle) -> bool {
        self.streams.iter().all(|(other, s)| other == stream || !s.pending())
    }

    /// Whether an operation has ended. A stream that is gone has nothing left to do.
    pub fn is_done(&self, ticket: Ticket) -> bool {
        self.streams.get(ticket.stream).map_or(true, |s| s.completed >= ticket.position)
    }

    /// Asks for an operation to be carried out; whether that is news.
    pub fn want(&mut self, ticket: Ticket) -> bool {
        match self.streams.get_mut(ticket.stream) {
            Ok(stream) if stream.wanted < ticket.position => {
                stream.wanted = ticket.position;
                true
            }
            _ => false,
        }
    }

    /// The next operation for a device, if one is wanted and can run.
    pub fn next(&mut self, device: usize) -> Option<(Ticket, Operation, Known)> {
        loop {
            let mut unmet = Vec::new();
            let ready = self.streams.iter().find_map(|(handle, stream)| {
                let wanted = stream.device == device && !stream.busy && stream.completed < stream.wanted;
                let head = stream.queue.front().filter(|_| wanted)?;
                let before = unmet.len();
                unmet.extend(head.after.iter().copied().filter(|&ticket| !self.is_done(ticket)));
                (unmet.len() == before).then_some(handle)
            });
            if let Some(handle) = ready {
                let stream = self.streams.get_mut(handle).ok()?;
                let queued = stream.queue.pop_front()?;
                stream.busy = true;
                stream.staged -= staged(&queued.operation);
                let ticket = Ticket { stream: handle, position: stream.completed + 1 };
                return Some((ticket, queued.operation, queued.known));
            }
            // What stands in the way is wanted now, which may open a way.
            let mut news = false;
            for ticket in unmet {
                news |= self.want(ticket);
            }
            if !news {
                return None;
            }
        }
    }

    /// Notes that an operation has ended.
    pub fn finish(&mut self, ticket: Ticket) {
        let Ok(stream) = self.streams.get_mut(ticket.stream) else { return };
        stream.busy = false;
        stream.completed = ticket.position;
        if stream.destroyed && !stream.pending() {
            // Nobody can ask for it any more, so what it did and knew is known to all.
            let mut known = std::mem::take(&mut stream.known);
            known.add(ticket);
            self.timeline.host.join(&known);
            let gone = self.streams.remove(ticket.stream);
            debug_assert!(gone.is_ok());
        }
    }

    /// Lets go of a stream: it stays until its work has been done.
    pub fn retire(&mut self, stream: Handle) {
        let last = self.last(stream);
        if self.is_done(last) {
            self.learn_all(&[last]);
            let gone = self.streams.remove(stream);
            debug_assert!(gone.is_ok());
        } else if let Ok(found) = self.streams.get_mut(stream) {
            found.destroyed = true;
            self.want(last);
        }
    }
}
