//! Asynchronous copies: what the bulk copy engine (TMA) does.
//!
//! A copy is recorded when it is issued and done when it lands: as late as the
//! program allows, when somebody waits for it, so that what touches it too early
//! meets memory as it was; or, under a seed, earlier. All that can be wrong with
//! its memory is found at its issue. From then on
//!
//! - what it will write is undefined (unless it is combined with what is there);
//! - what it will read of shared memory is held: another copy may not go there.
//!
//! Copies against all other accesses: `judge`.

use std::ops::Range;

use super::cluster::ClusterState;
use super::grid::Launch;
use super::order::Mark;
use super::tensor_map::{self, Memory as Bytes, Reduction, Tile, Way};
use crate::code::Kernel;
use crate::verdict::{Finding, Place, Verdict};

/// Contiguous memory that a copy reads or writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// An address of global memory.
    Global(u64),
    /// Shared memory of the block with this rank: an address in its window.
    Shared(u32, u32),
}

/// What is copied.
#[derive(Debug, Clone)]
pub enum Work {
    /// A range of bytes.
    Range {
        /// Where from.
        from: Memory,
        /// Where to.
        to: Memory,
        /// Bytes.
        len: u32,
    },
    /// The box of a tensor, between global memory and the shared memory of the block with this rank.
    Tile(Box<Tile>, Way, u32),
}

/// How a copy's end is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completion {
    /// These bytes complete on the mbarrier of the block with this rank at this address.
    Mbarrier(u32, u32, u32),
    /// A bulk group of the thread that issued it waits for it.
    Group,
}

/// The instruction and the threads that did something which ends later.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    /// Position in the code.
    pub pc: u32,
    /// Block index.
    pub block: [u32; 3],
    /// Warp in the block.
    pub warp: u32,
    /// Lanes, a bit each.
    pub lanes: u32,
}

impl Origin {
    /// As a finding says it.
    pub fn place(self, kernel: &Kernel) -> Place {
        super::cpu::place(kernel, self.pc, self.block, self.warp, self.lanes)
    }
}

/// A copy in flight.
pub struct Transfer {
    /// What is copied.
    pub work: Work,
    /// Not a copy but a reduction.
    pub reduction: Option<Reduction>,
    /// How its end is told.
    pub completion: Completion,
    /// Who issued it.
    pub origin: Origin,
    /// The same, to those who ask for order.
    pub mark: Mark,
    /// Bytes and shadow of its source in shared memory, once that has been released.
    held: Option<(Vec<u64>, Vec<u64>)>,
    id: u64,
}

impl Transfer {
    /// A copy about to be issued.
    pub fn new(work: Work, reduction: Option<Reduction>, completion: Completion, origin: Origin) -> Self {
        Self { work, reduction, completion, origin, mark: Mark::default(), held: None, id: 0 }
    }

    /// What is said of another access that wants bytes which this one still needs.
    pub fn conflict(&self, kernel: &Kernel, (rank, range): (u32, Range<u32>), what: &str) -> Verdict {
        let pending = Box::new(self.origin.place(kernel));
        Verdict::Conflict {
            what: what.to_owned(),
            rank: Some(rank),
            address: range.start.into(),
            len: range.end - range.start,
            pending,
        }
    }

    /// Its number, once it is in flight.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The shared memory that it reads, without gaps: the block's rank and the addresses.
    pub fn read(&self) -> Option<(u32, Vec<Range<u32>>)> {
        self.reads().map(|(rank, whole)| (rank, self.parts(whole)))
    }

    /// The same of the shared memory that it writes.
    pub fn written(&self) -> Option<(u32, Vec<Range<u32>>)> {
        self.writes().map(|(rank, whole)| (rank, self.parts(whole)))
    }

    /// Calls out the ranges of global memory that it reads.
    pub fn global_reads(&self, mut each: impl FnMut(u64, u32)) {
        match &self.work {
            Work::Range { from: Memory::Global(at), len, .. } => each(*at, *len),
            Work::Tile(tile, Way::Load, _) => tile.ranges(each),
            _ => {}
        }
    }

    /// The same of those that it writes.
    pub fn global_writes(&self, mut each: impl FnMut(u64, u32)) {
        match &self.work {
            Work::Range { to: Memory::Global(at), len, .. } => each(*at, *len),
            Work::Tile(tile, Way::Store, _) => tile.ranges(each),
            _ => {}
        }
    }

    /// What is touched of a range: a box may have gaps between its rows.
    fn parts(&self, whole: Range<u32>) -> Vec<Range<u32>> {
        match &self.work {
            Work::Tile(tile, ..) if tile.bytes() != u64::from(whole.end - whole.start) => {
                let mut parts = Vec::new();
                tile.runs(|run| parts.push(run.shared..run.shared + run.bytes));
                parts
            }
            _ => vec![whole],
        }
    }

    /// Has it still to read or write shared memory of the block with this rank?
    pub fn concerns(&self, rank: u32) -> bool {
        let reads = self.reads().filter(|_| self.held.is_none());
        [reads, self.writes()].into_iter().flatten().any(|(r, _)| r == rank)
    }

    /// The shared memory that it reads: the block's rank and the addresses.
    fn reads(&self) -> Option<(u32, Range<u32>)> {
        match &self.work {
            Work::Range { from: Memory::Shared(rank, at), len, .. } => Some((*rank, *at..*at + *len)),
            Work::Tile(tile, Way::Store, rank) => Some((*rank, shared_range(tile))),
            _ => None,
        }
    }

    /// The shared memory that it writes.
    fn writes(&self) -> Option<(u32, Range<u32>)> {
        match &self.work {
            Work::Range { to: Memory::Shared(rank, at), len, .. } => Some((*rank, *at..*at + *len)),
            Work::Tile(tile, Way::Load, rank) => Some((*rank, shared_range(tile))),
            _ => None,
        }
    }
}

fn shared_range(tile: &Tile) -> Range<u32> {
    let range = tile.shared();
    range.start as u32..range.end as u32
}

/// The copies of a cluster that have not landed, in the order of their issue.
#[derive(Default)]
pub struct Transfers {
    pending: Vec<Transfer>,
    issued: u64,
}

impl Transfers {
    /// None in flight?
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// One in flight that has still to read or write shared memory of the block with this rank.
    pub fn concerning(&self, rank: u32) -> Option<&Transfer> {
        self.pending.iter().find(|t| t.concerns(rank))
    }

    /// How many are in flight.
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Where the one with this number is: they stand in the order of their issue.
    fn nth(&self, id: u64) -> Option<usize> {
        self.pending.binary_search_by_key(&id, |t| t.id).ok()
    }

    /// The one in flight, if any, that still has to read some of this shared memory.
    fn reader_of(&self, place: &(u32, Range<u32>)) -> Option<&Transfer> {
        self.pending.iter().find(|t| t.held.is_none() && t.reads().is_some_and(|r| overlap(&r, place)))
    }

    /// The one in flight, if any, that will write some of this shared memory.
    fn writer_of(&self, place: &(u32, Range<u32>)) -> Option<&Transfer> {
        self.pending.iter().find(|t| t.writes().is_some_and(|w| overlap(&w, place)))
    }
}

fn overlap((rank, a): &(u32, Range<u32>), (other, b): &(u32, Range<u32>)) -> bool {
    rank == other && a.start < b.end && b.start < a.end
}

impl ClusterState {
    /// Puts a copy in flight. Its memory has been checked.
    pub fn issue(&mut self, mut transfer: Transfer, launch: &Launch) -> Result<u64, Verdict> {
        if let Some(to) = transfer.writes() {
            // Reductions change element by element: two may go to one place.
            let both_reduce = |other: &&Transfer| other.reduction.is_some() && transfer.reduction.is_some();
            let writer = self.transfers.writer_of(&to).filter(|other| !both_reduce(other));
            if let Some(other) = self.transfers.reader_of(&to).or(writer) {
                return Err(other.conflict(&launch.kernel, to, "the destination of an asynchronous copy"));
            }
        }
        if let Some(from) = transfer.reads()
            && let Some(other) = self.transfers.writer_of(&from)
        {
            return Err(other.conflict(&launch.kernel, from, "the source of an asynchronous copy"));
        }
        if transfer.reduction.is_none() {
            self.forget(&transfer.work, launch);
        }
        self.transfers.issued += 1;
        transfer.id = self.transfers.issued;
        let id = transfer.id;
        self.transfers.pending.push(transfer);
        Ok(id)
    }

    /// What a copy will write is undefined until it lands.
    fn forget(&mut self, work: &Work, launch: &Launch) {
        // SAFETY: the memory was checked before the copy was issued; memory that a
        // launch can reach is not freed while it runs.
        unsafe {
            match work {
                Work::Range { to, len, .. } => tensor_map::undefine(self.bytes(*to, launch), *len),
                Work::Tile(tile, Way::Load, rank) => tile.forget(self.shared_bytes(tile, *rank, launch)),
                Work::Tile(tile, Way::Store, _) => {
                    tile.ranges(|at, len| tensor_map::undefine(self.bytes(Memory::Global(at), launch), len));
                }
            }
        }
    }

    /// Lands everything in flight. Was there anything?
    pub fn land_all(&mut self, launch: &Launch) -> Result<bool, Box<Finding>> {
        let any = !self.transfers.is_empty();
        while !self.transfers.is_empty() {
            self.land_nth(0, launch)?;
        }
        Ok(any)
    }

    /// Lands what completes on an mbarrier.
    pub fn land_on(&mut self, rank: u32, address: u32, launch: &Launch) -> Result<(), Box<Finding>> {
        let completes =
            |t: &Transfer| matches!(t.completion, Completion::Mbarrier(r, a, _) if (r, a) == (rank, address));
        while let Some(nth) = self.transfers.pending.iter().position(completes) {
            self.land_nth(nth, launch)?;
        }
        Ok(())
    }

    /// Lands one by its number, if it is still in flight.
    pub fn land(&mut self, id: u64, launch: &Launch) -> Result<(), Box<Finding>> {
        self.transfers.nth(id).map_or(Ok(()), |nth| self.land_nth(nth, launch))
    }

    /// Lets one read its source, which may be written from then on.
    pub fn release(&mut self, id: u64, launch: &Launch) {
        let Some(nth) = self.transfers.nth(id).filter(|nth| self.transfers.pending[*nth].held.is_none())
        else {
            return;
        };
        if let Some((rank, range)) = self.transfers.pending[nth].reads() {
            let len = range.end - range.start;
            let words = (len as usize).div_ceil(8);
            let (mut data, mut shadow) = (vec![0u64; words], vec![0u64; words]);
            let held = Bytes { data: data.as_mut_ptr().cast(), shadow: Some(shadow.as_mut_ptr().cast()) };
            // SAFETY: the source was checked when the copy was issued, and the vectors are as long.
            unsafe { tensor_map::copy(self.bytes(Memory::Shared(rank, range.start), launch), held, len) };
            self.transfers.pending[nth].held = Some((data, shadow));
        }
    }

    /// Lands the nth in flight.
    pub fn land_nth(&mut self, nth: usize, launch: &Launch) -> Result<(), Box<Finding>> {
        let mut transfer = self.transfers.pending.remove(nth);
        let held = transfer.held.as_mut().map(|(data, shadow)| Bytes {
            data: data.as_mut_ptr().cast(),
            shadow: Some(shadow.as_mut_ptr().cast()),
        });
        // SAFETY: all memory was checked when the copy was issued, also for the
        // alignment of elements; memory that a launch can reach is not freed while it runs.
        unsafe {
            match (&transfer.work, transfer.reduction) {
                (Work::Range { from, to, len }, reduction) => {
                    let from = held.unwrap_or_else(|| self.bytes(*from, launch));
                    let to = self.bytes(*to, launch);
                    match reduction {
                        None => tensor_map::copy(from, to, *len),
                        Some(reduction) => reduction.apply(from, to, *len),
                    }
                }
                (Work::Tile(tile, way, rank), reduction) => {
                    let shared = held.unwrap_or_else(|| self.shared_bytes(tile, *rank, launch));
                    let mut global = |at: u64, _: u32| self.bytes(Memory::Global(at), launch);
                    match (way, reduction) {
                        (Way::Load, _) => tile.load(shared, &mut global),
                        (Way::Store, None) => tile.store(shared, &mut global),
                        (Way::Store, Some(reduction)) => tile.reduce(reduction, shared, &mut global),
                    }
                }
            }
        }
        self.mark_landed(&transfer, launch);
        let Completion::Mbarrier(rank, address, bytes) = transfer.completion else { return Ok(()) };
        let outcome = match self.mbarriers[rank as usize].get_mut(address) {
            Some(barrier) => barrier.complete(bytes),
            None => Err("it is no mbarrier any more".to_owned()),
        };
        outcome.map_err(|problem| {
            let place = transfer.origin.place(&launch.kernel);
            Box::new(Finding { verdict: Verdict::Mbarrier { address, problem }, place })
        })
    }

    fn shared_bytes(&mut self, tile: &Tile, rank: u32, launch: &Launch) -> Bytes {
        self.bytes(Memory::Shared(rank, shared_range(tile).start), launch)
    }

    /// Where memory that has been checked lies on the host.
    fn bytes(&mut self, memory: Memory, launch: &Launch) -> Bytes {
        let nowhere = Bytes { data: std::ptr::null_mut(), shadow: None };
        match memory {
            Memory::Global(address) => launch.memory.find(address).map_or(nowhere, |region| {
                let offset = (address - region.base) as usize;
                let shadow = (!region.kind.host_writes()).then(|| region.shadow.wrapping_add(offset));
                Bytes { data: region.data.wrapping_add(offset), shadow }
            }),
            Memory::Shared(rank, address) => self.shared[rank as usize]
                .at(address)
                .map_or(nowhere, |(data, shadow)| Bytes { data, shadow: Some(shadow) }),
        }
    }
}
