//! Asynchronous copies: what the bulk copy engine (TMA) does.
//!
//! A copy is recorded when it is issued and done when it lands: as late as the
//! program allows, when somebody waits for it, so that what touches it too early
//! meets memory as it was; or, under a seed, at any time before. All that can be
//! wrong with it is found at its issue. From then on
//!
//! - what it will write is undefined (unless it is added to what is there);
//! - what it will read of shared memory is held: a write there is a conflict.

use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed};

use super::cluster::ClusterState;
use super::grid::Launch;
use crate::code::Kernel;
use crate::verdict::{Finding, Place, Verdict};

/// Contiguous memory that a copy reads or writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// An address of global memory.
    Global(u64),
    /// Shared memory of the block with this rank: an address in its window.
    Shared(u32, u32),
    /// Nothing to read: every two bytes are these.
    Fill(u16),
}

/// A part of a copy.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// Where from.
    pub from: Memory,
    /// Where to.
    pub to: Memory,
    /// Bytes.
    pub len: u32,
}

/// How a copy's end is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completion {
    /// These bytes complete on the mbarrier of the block with this rank at this address.
    Mbarrier(u32, u32, u32),
    /// A bulk group of a thread waits for it: the block's rank, the thread.
    Group(u32, u32),
}

/// A reduction in place of a copy: element by element, what is there and what is
/// read become what is written, at once for whoever else looks at the element.
#[derive(Debug, Clone, Copy)]
pub struct Reduce {
    /// Bytes of an element: 2, 4 or 8.
    pub size: u32,
    /// On the elements' bits.
    pub apply: fn(there: u64, read: u64) -> u64,
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
    /// Its parts.
    pub runs: Vec<Run>,
    /// Not a copy but a reduction.
    pub reduce: Option<Reduce>,
    /// How its end is told.
    pub completion: Completion,
    /// Who issued it.
    pub origin: Origin,
    /// What was read, where the source has been released already.
    held: Option<Vec<(Vec<u8>, Vec<u8>)>>,
    id: u64,
}

impl Transfer {
    /// A copy about to be issued.
    pub fn new(runs: Vec<Run>, reduce: Option<Reduce>, completion: Completion, origin: Origin) -> Self {
        Self { runs, reduce, completion, origin, held: None, id: 0 }
    }

    /// What is said of another access that wants bytes which this one still needs.
    pub fn conflict(&self, kernel: &Kernel, rank: u32, address: u32, len: u32, what: &str) -> Verdict {
        let pending = Box::new(self.origin.place(kernel));
        Verdict::Conflict { what: what.to_owned(), rank, address, len, pending }
    }
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

    /// How many are in flight.
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// The one in flight, if any, that still has to read some of these bytes of shared memory.
    pub fn reader_of(&self, rank: u32, address: u32, len: u32) -> Option<&Transfer> {
        let overlaps = |m: Memory, n: u32| match m {
            Memory::Shared(r, a) => r == rank && a < address + len && address < a + n,
            _ => false,
        };
        self.pending.iter().find(|t| t.held.is_none() && t.runs.iter().any(|r| overlaps(r.from, r.len)))
    }

    /// The one in flight, if any, that will write some of these bytes of shared memory.
    pub fn writer_of(&self, rank: u32, address: u32, len: u32) -> Option<&Transfer> {
        let overlaps = |m: Memory, n: u32| match m {
            Memory::Shared(r, a) => r == rank && a < address + len && address < a + n,
            _ => false,
        };
        self.pending.iter().find(|t| t.runs.iter().any(|r| overlaps(r.to, r.len)))
    }
}

/// Where bytes lie on the host: data and shadow (`None`: all defined).
struct Bytes {
    data: *mut u8,
    shadow: Option<*mut u8>,
}

impl ClusterState {
    /// Puts a copy in flight. Its memory has been checked.
    pub fn issue(&mut self, mut transfer: Transfer, launch: &Launch) -> Result<u64, Verdict> {
        for run in &transfer.runs {
            if let Memory::Shared(rank, address) = run.to {
                let others = [
                    self.transfers.reader_of(rank, address, run.len),
                    self.transfers.writer_of(rank, address, run.len),
                ];
                if let Some(other) = others.into_iter().flatten().next() {
                    let what = "the destination of an asynchronous copy";
                    return Err(other.conflict(&launch.kernel, rank, address, run.len, what));
                }
            }
            if let Memory::Shared(rank, address) = run.from
                && let Some(other) = self.transfers.writer_of(rank, address, run.len)
            {
                let what = "the source of an asynchronous copy";
                return Err(other.conflict(&launch.kernel, rank, address, run.len, what));
            }
        }
        if transfer.reduce.is_none() {
            for run in &transfer.runs {
                let to = self.bytes(run.to, launch);
                if let Some(shadow) = to.and_then(|to| to.shadow) {
                    // SAFETY: the destination was checked when the copy was issued.
                    unsafe { fill(shadow, 0, run.len) };
                }
            }
        }
        self.transfers.issued += 1;
        transfer.id = self.transfers.issued;
        let id = transfer.id;
        self.transfers.pending.push(transfer);
        Ok(id)
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
        match self.transfers.pending.iter().position(|t| t.id == id) {
            Some(nth) => self.land_nth(nth, launch),
            None => Ok(()),
        }
    }

    /// Lets one read its source, which may be written from then on.
    pub fn release(&mut self, id: u64, launch: &Launch) {
        if let Some(nth) = self.transfers.pending.iter().position(|t| t.id == id && t.held.is_none()) {
            let held = self.read(&self.transfers.pending[nth].runs, launch);
            self.transfers.pending[nth].held = Some(held);
        }
    }

    /// Lands the nth in flight.
    pub fn land_nth(&mut self, nth: usize, launch: &Launch) -> Result<(), Box<Finding>> {
        let mut transfer = self.transfers.pending.remove(nth);
        let held = match transfer.held.take() {
            Some(held) => held,
            None => self.read(&transfer.runs, launch),
        };
        for (run, (data, shadow)) in transfer.runs.iter().zip(&held) {
            let Some(to) = self.bytes(run.to, launch) else { continue };
            // SAFETY: the destination was checked when the copy was issued, also for
            // the alignment of elements; memory that a launch can reach is not freed
            // while it runs.
            unsafe {
                match transfer.reduce {
                    None => write(to.data, data),
                    Some(Reduce { size, apply }) => {
                        let elements = data.chunks_exact(size as usize).enumerate();
                        for (i, read) in elements {
                            let read = read.iter().rev().fold(0, |bits, byte| bits << 8 | u64::from(*byte));
                            update(to.data.add(i * size as usize), size, |there| apply(there, read));
                        }
                    }
                }
                match (to.shadow, transfer.reduce) {
                    (Some(at), None) => write(at, shadow),
                    (Some(at), Some(_)) => {
                        let there = read(at, run.len);
                        write(at, &there.iter().zip(shadow).map(|(a, b)| a & b).collect::<Vec<_>>());
                    }
                    (None, _) => {}
                }
            }
        }
        match transfer.completion {
            Completion::Group(..) => Ok(()),
            Completion::Mbarrier(rank, address, bytes) => {
                let barrier = self.mbarriers[rank as usize].get_mut(address);
                let outcome = match barrier {
                    Some(barrier) => barrier.complete(bytes),
                    None => Err("it is no mbarrier any more".to_owned()),
                };
                outcome.map_err(|problem| {
                    let place = transfer.origin.place(&launch.kernel);
                    Box::new(Finding { verdict: Verdict::Mbarrier { address, problem }, place })
                })
            }
        }
    }

    fn read(&self, runs: &[Run], launch: &Launch) -> Vec<(Vec<u8>, Vec<u8>)> {
        let one = |run: &Run| {
            let len = run.len as usize;
            match (run.from, self.bytes(run.from, launch)) {
                // SAFETY: the source was checked when the copy was issued.
                (_, Some(from)) => unsafe {
                    let shadow = from.shadow.map_or_else(|| vec![0xff; len], |shadow| read(shadow, run.len));
                    (read(from.data, run.len), shadow)
                },
                (Memory::Fill(pair), None) => {
                    (pair.to_le_bytes().into_iter().cycle().take(len).collect(), vec![0xff; len])
                }
                (_, None) => (vec![0; len], vec![0; len]),
            }
        };
        runs.iter().map(one).collect()
    }

    fn bytes(&self, memory: Memory, launch: &Launch) -> Option<Bytes> {
        match memory {
            Memory::Global(address) => {
                let region = launch.memory.find(address)?;
                let offset = (address - region.base) as usize;
                let shadow = (!region.kind.host_writes()).then(|| region.shadow.wrapping_add(offset));
                Some(Bytes { data: region.data.wrapping_add(offset), shadow })
            }
            Memory::Shared(rank, address) => {
                let (data, shadow) = self.shared[rank as usize].at(address)?;
                Some(Bytes { data, shadow: Some(shadow) })
            }
            Memory::Fill(_) => None,
        }
    }
}

/// Bytes that others may write at the same time.
///
/// # Safety
/// `at` is valid for `len` bytes.
unsafe fn read(at: *mut u8, len: u32) -> Vec<u8> {
    let len = len as usize;
    let mut bytes = vec![0u8; len];
    // SAFETY: as the caller says; words are taken where they are aligned.
    unsafe {
        let words = if at.addr() % 8 == 0 { len / 8 } else { 0 };
        for (i, to) in bytes.chunks_exact_mut(8).enumerate().take(words) {
            to.copy_from_slice(&AtomicU64::from_ptr(at.add(8 * i).cast()).load(Relaxed).to_ne_bytes());
        }
        for (i, to) in bytes.iter_mut().enumerate().skip(8 * words) {
            *to = AtomicU8::from_ptr(at.add(i)).load(Relaxed);
        }
    }
    bytes
}

/// Writes bytes that others may read at the same time.
///
/// # Safety
/// `at` is valid for as many.
unsafe fn write(at: *mut u8, bytes: &[u8]) {
    // SAFETY: as the caller says; words are taken where they are aligned.
    unsafe {
        let words = if at.addr() % 8 == 0 { bytes.len() / 8 } else { 0 };
        for (i, from) in bytes.chunks_exact(8).enumerate().take(words) {
            let word = u64::from_ne_bytes(from.try_into().unwrap_or_default());
            AtomicU64::from_ptr(at.add(8 * i).cast()).store(word, Relaxed);
        }
        for (i, from) in bytes.iter().enumerate().skip(8 * words) {
            AtomicU8::from_ptr(at.add(i)).store(*from, Relaxed);
        }
    }
}

/// Changes an element in one step.
///
/// # Safety
/// `at` is valid for `size` bytes and aligned to them.
unsafe fn update(at: *mut u8, size: u32, f: impl Fn(u64) -> u64) {
    // SAFETY: as the caller says.
    unsafe {
        match size {
            2 => {
                let f = |there| Some(f(u64::from(there)) as u16);
                let _ = AtomicU16::from_ptr(at.cast()).fetch_update(Relaxed, Relaxed, f);
            }
            4 => {
                let f = |there| Some(f(u64::from(there)) as u32);
                let _ = AtomicU32::from_ptr(at.cast()).fetch_update(Relaxed, Relaxed, f);
            }
            _ => {
                let _ = AtomicU64::from_ptr(at.cast()).fetch_update(Relaxed, Relaxed, |there| Some(f(there)));
            }
        }
    }
}

/// Writes one byte `len` times.
///
/// # Safety
/// `at` is valid for as many.
unsafe fn fill(at: *mut u8, byte: u8, len: u32) {
    // SAFETY: as the caller says.
    unsafe { write(at, &vec![byte; len as usize]) };
}
