//! Accesses held against each other: each goes by the history of what it touches, in
//! shared memory (`watch`) or global memory (`ledger`). What that says becomes a verdict.

use std::ops::Range;

use super::Cpu;
use super::cluster::ClusterState;
use super::cpu::place;
use super::flags::{Flags, Semantics};
use super::grid::Launch;
use super::history::{Clash, Touch, parts_of_lanes};
use super::order::{Clock, Mark, Scope, Side};
use super::pattern::Lanes;
use super::transfer::{Completion, Transfer};
use crate::code::{SHARED_START, Windowed};
use crate::ptx::ast::Space;
use crate::verdict::{Access, Place, Verdict};

/// An asynchronous copy that reads shared memory, and whose reading nobody has waited for.
pub struct Reading {
    id: u64,
    rank: u32,
    ranges: Vec<Range<u32>>,
    /// The copy.
    pub mark: Mark,
}

/// An asynchronous copy to global memory that nobody has waited for.
pub struct Writing {
    /// Addresses and lengths.
    ranges: Vec<(u64, u64)>,
    mark: Mark,
}

/// What an instruction has copied to global memory for a lane.
#[derive(PartialEq, Eq)]
pub struct Written {
    /// The block, and the instruction among all that it has executed.
    step: (u32, u64),
    /// Where from.
    source: Option<(u32, Vec<Range<u32>>)>,
    /// Addresses and lengths.
    ranges: Vec<(u64, u64)>,
}

impl ClusterState {
    /// A copy whose source in shared memory nobody has seen released.
    pub fn reading(&self, id: u64) -> Option<&Reading> {
        self.readings.iter().find(|r| r.id == id)
    }

    /// The source of a copy may be written by those who have seen `mark`.
    pub fn end_reading(&mut self, id: u64, mark: impl FnOnce(Mark) -> Mark) {
        let Some(nth) = self.readings.iter().position(|r| r.id == id) else { return };
        let reading = self.readings.swap_remove(nth);
        let mark = mark(reading.mark);
        if let Some(watch) = &mut self.shared[reading.rank as usize].watch {
            for range in reading.ranges {
                watch.history.end_read((range.start - SHARED_START, range.end - range.start), mark);
            }
        }
    }

    /// A copy to global memory is over for those who have seen what becomes of its mark.
    pub fn end_writing(&mut self, id: u64, launch: &Launch, over: impl Fn(Mark) -> Mark) {
        let Some(writing) = self.writings.remove(&id) else { return };
        if let Some(ledger) = &launch.ledger {
            writing.ranges.iter().for_each(|range| ledger.end_write(*range, writing.mark, &over));
        }
    }

    /// A copy has landed: whoever waits for it on its mbarrier has seen that.
    pub fn mark_landed(&mut self, transfer: &Transfer, launch: &Launch) {
        let Completion::Mbarrier(rank, address, _) = transfer.completion else { return };
        let landing = self.landings.next((rank, address));
        if let Some(ledger) = &launch.ledger {
            let mark = transfer.mark.landed(landing);
            transfer.global_reads(|at, len| ledger.end_read((at, len.into()), mark));
        }
        if let Some((rank, ranges)) = transfer.written()
            && let Some(watch) = &mut self.shared[rank as usize].watch
        {
            for range in ranges {
                watch.history.land(
                    (range.start - SHARED_START, range.end - range.start),
                    transfer.mark,
                    landing,
                );
            }
        }
        if let Some(barrier) = self.mbarriers[rank as usize].get_mut(address) {
            barrier.gate.arriving.near.join_landing(landing, self.crew.warps);
        }
        self.end_reading(transfer.id(), |mark| mark.landed(landing));
    }
}

impl Cpu<'_> {
    /// A strong write at these addresses: what the warp hands on is there before the value is.
    pub fn hand_on(&mut self, space: Space, addresses: &[u64; 32], semantics: Semantics) {
        self.acting_clock();
        self.each_flag(space, addresses, |cpu, at, flags| flags.write(at, &mut cpu.warp.clock, semantics));
    }

    /// A strong read at these addresses, which has been done: what was handed on there is seen.
    pub fn take_over(&mut self, space: Space, addresses: &[u64; 32], semantics: Semantics) {
        self.each_flag(space, addresses, |cpu, at, flags| flags.read(at, &mut cpu.warp.clock, semantics));
    }

    /// What is handed on at the address of each executing lane.
    fn each_flag(
        &mut self,
        space: Space,
        addresses: &[u64; 32],
        mut f: impl FnMut(&mut Self, u64, &mut Flags),
    ) {
        let (mask, mut last) = (self.mask, None);
        for lane in (0..32).filter(|l| mask >> l & 1 == 1) {
            let address = addresses[lane];
            if last.replace(address) == Some(address) {
                continue;
            }
            let shared = match (space, Windowed::of(address)) {
                (Space::Shared | Space::Cluster, _) => Some(address),
                (Space::Generic, Windowed::Shared(at)) => Some(at),
                (Space::Generic | Space::Global, Windowed::Global(_)) => None,
                _ => continue,
            };
            match shared {
                Some(at) => {
                    let Some((rank, at)) = self.shared_place(at) else { continue };
                    let mut flags = std::mem::take(&mut self.cluster.flags);
                    f(self, u64::from(rank) << 32 | u64::from(at), &mut flags);
                    self.cluster.flags = flags;
                }
                None => {
                    if let Some(ledger) = &self.launch.ledger {
                        ledger.flags(address, |flags| f(self, address, flags));
                    }
                }
            }
        }
    }

    /// A fence between accesses of threads.
    pub fn fence(&mut self, scope: Scope) {
        self.acting_clock().fence(scope);
    }

    /// The warp's clock, which is told who acts.
    pub fn acting_clock(&mut self) -> &mut Clock {
        let (mask, live) = (self.mask, self.warp.live);
        self.warp.clock.act(mask, live)
    }

    /// `fence.proxy.async`
    pub fn fence_proxies(&mut self, side: Side) {
        self.warp.clock.fence_proxies(side);
        if side == Side::Global {
            return;
        }
        let order = self.warp.clock.order();
        for barrier in self.cluster.mbarriers.iter_mut().flat_map(|m| m.iter_mut()) {
            barrier.is_visible |= order.has_seen(barrier.init);
        }
    }

    /// `fence.mbarrier_init`: the warp's own mbarriers are visible to the copy engine, and even a relaxed arrival
    /// makes them known.
    pub fn fence_mbarriers(&mut self) {
        self.warp.clock.fence_initialisations();
        let warp = self.warp.clock.mark(0).warp;
        for barrier in self.cluster.mbarriers.iter_mut().flat_map(|m| m.iter_mut()) {
            barrier.is_visible |= barrier.init.warp == warp;
        }
    }

    /// The executing lanes access `len` bytes each of a block's shared memory. Is something wrong with that?
    #[inline(never)]
    pub fn meets(&mut self, rank: u32, offsets: &[u32; 32], len: u32, access: Access) -> bool {
        let mbarriers = &self.cluster.mbarriers[rank as usize];
        if mbarriers.are_among(SHARED_START, offsets, len, self.mask) || self.reach(rank).is_err() {
            return true;
        }
        let touch = self.touch_of(access);
        match &mut self.cluster.shared[rank as usize].watch {
            Some(watch) => {
                let mut toucher = watch.history.toucher(touch, &self.warp.clock, self.pc);
                !parts_of_lanes(offsets, len, self.mask, |part| toucher.touch_part(part).is_ok())
            }
            None => false,
        }
    }

    /// The same of global memory, where lanes are `distances` from an address away.
    #[inline(never)]
    pub fn meets_global(&mut self, start: u64, distances: &[u32; 32], size: u32, access: Access) -> bool {
        let touch = self.touch_of(access);
        let lanes = Lanes { size, mask: self.mask, start, distances };
        self.launch
            .ledger
            .as_ref()
            .is_some_and(|ledger| ledger.touch_lanes(&lanes, touch, &self.warp.clock, self.pc))
    }

    /// The same for one access.
    pub fn access_shared(&mut self, rank: u32, offset: u32, len: u32, access: Access) -> Result<(), Verdict> {
        self.reach(rank)?;
        self.touch(access.with_article(), rank, offset..offset + len, self.touch_of(access))
    }

    /// The same of global memory.
    pub fn access_global(&mut self, address: u64, len: u32, access: Access) -> Result<(), Verdict> {
        let touch = self.touch_of(access);
        self.touch_global(access.with_article(), (address, len.into()), touch)
    }

    /// How the running instruction touches memory.
    fn touch_of(&self, access: Access) -> Touch {
        let strong = self.semantics.map(|semantics| semantics.scope);
        match access {
            Access::Read => Touch::Load(strong),
            Access::Write => Touch::Store(strong),
            Access::Atomic => Touch::Atomic(strong),
        }
    }

    /// Touches offsets in a block's shared memory.
    pub fn touch(&mut self, what: &str, rank: u32, offsets: Range<u32>, touch: Touch) -> Result<(), Verdict> {
        let len = offsets.end - offsets.start;
        if let Some((at, barrier)) =
            self.cluster.mbarriers[rank as usize].among(SHARED_START + offsets.start, len)
        {
            let line = self.place_of(barrier.init).ptx_line;
            let problem = format!(
                "{what} touches it: until `mbarrier.inval` only operations on mbarriers may (it was initialised at PTX \
                 line {line})"
            );
            return Err(Verdict::Mbarrier { address: at, problem });
        }
        let Some(watch) = &mut self.cluster.shared[rank as usize].watch else { return Ok(()) };
        let touched = watch.history.touch((offsets.start, len), touch, &self.warp.clock, self.pc);
        touched.map_err(|(offset, clash)| {
            self.clash(what, touch, Some(rank), (SHARED_START + offset).into(), offsets.end - offset, clash)
        })
    }

    /// Touches global memory.
    pub fn touch_global(&mut self, what: &str, range: (u64, u64), touch: Touch) -> Result<(), Verdict> {
        let Some(ledger) = &self.launch.ledger else { return Ok(()) };
        ledger.touch(range, touch, &self.warp.clock, self.pc).map_err(|(address, clash)| {
            self.clash(what, touch, None, address, (range.0 + range.1 - address) as u32, clash)
        })
    }

    /// What is said of it.
    pub fn clash(
        &self,
        what: &str,
        touch: Touch,
        rank: Option<u32>,
        address: u64,
        len: u32,
        clash: Clash,
    ) -> Verdict {
        let what = what.to_owned();
        match clash {
            Clash::Unordered(mark, writes) => {
                let other = Box::new(self.place_of(mark));
                let are_threads =
                    matches!(touch, Touch::Load(_) | Touch::Store(_) | Touch::Atomic(_)) && mark.is_threads();
                match are_threads {
                    true => Verdict::Race { what, rank, address, len, other, writes },
                    false => Verdict::Conflict { what, rank, address, len, pending: other },
                }
            }
            Clash::Unfenced(mark, ordered) => {
                Verdict::Proxy { what, rank, address, written: Box::new(self.place_of(mark)), ordered }
            }
        }
    }

    /// Puts a copy in flight. Its memory has been checked.
    pub fn issue(&mut self, mut transfer: Transfer) -> Result<u64, Verdict> {
        transfer.mark = self.warp.clock.mark(self.pc);
        let (read, written) = (transfer.read(), transfer.written());
        let source = read.clone();
        let write = if transfer.reduction.is_some() { Touch::AsyncReduce } else { Touch::AsyncWrite };
        let mark = transfer.mark;
        let (mut global_reads, mut global_writes) = (Vec::new(), Vec::new());
        if self.launch.ledger.is_some() {
            transfer.global_reads(|at, len| global_reads.push((at, len.into())));
            transfer.global_writes(|at, len| global_writes.push((at, len.into())));
        }
        let id = self.cluster.issue(transfer, self.launch)?;
        for range in global_reads {
            self.touch_global("the source of an asynchronous copy", range, Touch::AsyncRead)?;
        }
        if !global_writes.is_empty() {
            let written =
                Written { step: (self.block.rank, self.block.tally.steps), source, ranges: global_writes };
            // Lanes that copy the same to the same place by one instruction are one copy.
            if self.cluster.last_written.as_ref() != Some(&written) {
                for range in &written.ranges {
                    self.touch_global("the destination of an asynchronous copy", *range, write)?;
                }
            }
            self.cluster.writings.insert(id, Writing { ranges: written.ranges.clone(), mark });
            self.cluster.last_written = Some(written);
        }
        if let Some((rank, ranges)) = read {
            for range in &ranges {
                let offsets = range.start - SHARED_START..range.end - SHARED_START;
                self.touch("the source of an asynchronous copy", rank, offsets, Touch::AsyncRead)?;
            }
            self.cluster.readings.push(Reading { id, rank, ranges, mark });
        }
        if let Some((rank, ranges)) = written {
            // The block may not end before it has landed; who knows that knows that it was issued.
            self.has_started(rank)?;
            for range in ranges {
                let offsets = range.start - SHARED_START..range.end - SHARED_START;
                self.touch("the destination of an asynchronous copy", rank, offsets, write)?;
            }
        }
        Ok(id)
    }

    /// May this warp reach a block's shared memory, and does so: the block may not end before this is over.
    pub fn reach(&mut self, rank: u32) -> Result<(), Verdict> {
        self.has_started(rank)?;
        let mark = self.warp.clock.mark(self.pc);
        if rank != self.block.rank
            && let Some(watch) = &mut self.cluster.shared[rank as usize].watch
        {
            watch.remote[usize::from(mark.warp)] = mark;
        }
        Ok(())
    }

    /// Has a block started, as far as this warp can know, and not ended?
    fn has_started(&self, rank: u32) -> Result<(), Verdict> {
        let Some(watch) = &self.cluster.shared[rank as usize].watch else { return Ok(()) };
        let warps = self.launch.warps();
        let first = rank as usize * warps;
        let problem = match self.warp.clock.order().has_seen_any(first..first + warps) {
            _ if rank == self.block.rank => return Ok(()),
            _ if watch.ended => "it has ended, and its shared memory with it",
            false => "it may not have started: nothing here comes behind anything of it",
            true => return Ok(()),
        };
        Err(Verdict::Remote { rank, problem: problem.to_owned() })
    }

    /// Where something was done.
    pub fn place_of(&self, mark: Mark) -> Place {
        let (launch, warps) = (self.launch, self.launch.warps());
        if let Some(footprint) = launch.earlier.unordered(mark.cluster) {
            return footprint.place(mark);
        }
        let (rank, warp) = (usize::from(mark.warp) / warps, usize::from(mark.warp) % warps);
        let block = match mark.cluster.checked_sub(launch.earlier.first) {
            Some(number) if mark.cluster != 0 => launch.extent().block_of(number.into(), rank as u32),
            _ => launch.block_of_rank(self.block.index, rank as u32),
        };
        place(self.kernel, mark.pc, block, warp as u32, u32::MAX)
    }
}
