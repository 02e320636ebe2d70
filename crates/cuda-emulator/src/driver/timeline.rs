//! What comes before what among operations of streams, so that races between launches are found.
//!
//! An operation comes behind those before it in its stream, those that it was queued to come after, and those that the
//! program had waited for when it queued it: each with all that they come behind. Who queues from several threads of
//! the program is taken to know what any of them knows.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::queue::Ticket;
use super::state::Handle;
use crate::machine::{Earlier, Footprint, Ledger, Span};
use crate::verdict::Finding;

/// By stream, up to which position its operations are known to have ended.
#[derive(Debug, Clone, Default)]
pub struct Known(BTreeMap<Handle, u64>);

impl Known {
    /// An operation, and so those before it in its stream.
    pub fn add(&mut self, ticket: Ticket) {
        let position = self.0.entry(ticket.stream).or_default();
        *position = (*position).max(ticket.position);
    }

    /// All that the other one knows.
    pub fn join(&mut self, other: &Known) {
        for (stream, position) in &other.0 {
            self.add(Ticket { stream: *stream, position: *position });
        }
    }

    fn has(&self, ticket: Ticket) -> bool {
        self.0.get(&ticket.stream).is_some_and(|position| *position >= ticket.position)
    }
}

/// An operation that has touched memory.
struct Entry {
    ticket: Ticket,
    footprint: Arc<Footprint>,
}

/// What operations have touched memory that the program need not have waited for.
pub struct Timeline {
    /// What the program has waited for.
    pub host: Known,
    /// Who touched global memory.
    pub ledger: Arc<Ledger>,
    /// Is nothing queued but in the stream of the next operation?
    pub is_quiet: bool,
    log: Vec<Entry>,
    /// What recorded events know.
    records: BTreeMap<(Handle, u64), Known>,
    next_cluster: u32,
}

impl Default for Timeline {
    fn default() -> Self {
        let (host, ledger, log, records) = Default::default();
        Self { host, ledger, is_quiet: true, log, records, next_cluster: 1 }
    }
}

impl Timeline {
    /// What an event knows that was recorded so.
    pub fn record(&mut self, ticket: Ticket, known: Known) {
        self.records.insert((ticket.stream, ticket.position), known);
    }

    /// What one knows who has waited for an event.
    pub fn recorded(&self, ticket: Ticket) -> Option<&Known> {
        self.records.get(&(ticket.stream, ticket.position))
    }

    /// An operation begins that is of so many clusters, or copies. `footprint` is told the numbers of its clusters, and
    /// what need not have ended.
    pub fn begin(
        &mut self,
        ticket: Ticket,
        known: &Known,
        clusters: u64,
        footprint: impl FnOnce(Range<u32>) -> Footprint,
    ) -> Arc<Earlier> {
        // What the program has waited for, everything comes behind that it queues from now on.
        if self.is_quiet
            && self.log.iter().all(|entry| self.host.has(entry.ticket) && known.has(entry.ticket))
        {
            self.forget();
        }
        // Numbers run out after four thousand million clusters that nobody has waited for: then what they did is forgotten.
        let needed = u32::try_from(clusters).unwrap_or(u32::MAX - 1);
        if self.next_cluster.checked_add(needed).is_none() {
            self.forget();
        }
        let first = self.next_cluster;
        self.next_cluster = first.saturating_add(needed);
        let unordered = self.log.iter().filter(|entry| !known.has(entry.ticket));
        let unordered = unordered.map(|entry| entry.footprint.clone()).collect();
        self.log.push(Entry { ticket, footprint: Arc::new(footprint(first..self.next_cluster)) });
        Arc::new(Earlier { first, unordered })
    }

    /// A copy or fill touches these ranges.
    pub fn copy(&mut self, ticket: Ticket, known: &Known, spans: Vec<Span>) -> Result<(), Box<Finding>> {
        let name = "a copy or fill".to_owned();
        let earlier =
            self.begin(ticket, known, 1, |clusters| Footprint { clusters, name, ..Footprint::default() });
        self.ledger.copy(spans, earlier)
    }

    /// Everything that has been done is known to all.
    fn forget(&mut self) {
        if self.next_cluster > 1 {
            self.log.clear();
            self.records.clear();
            self.ledger.clear();
            self.next_cluster = 1;
        }
    }
}
