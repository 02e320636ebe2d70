//! The two proxies through which a kernel reaches shared memory, held against each
//! other: every access goes by `watch`, what it says becomes a verdict.

use std::ops::Range;

use super::Cpu;
use super::cluster::ClusterState;
use super::cpu::place;
use super::order::Mark;
use super::transfer::{Completion, Transfer};
use super::watch::{Clash, Touch};
use crate::code::SHARED_START;
use crate::verdict::{Access, Place, Verdict};

/// An asynchronous copy that reads shared memory, and whose reading nobody has waited for.
pub struct Reading {
    id: u64,
    rank: u32,
    ranges: Vec<Range<u32>>,
    /// The copy.
    pub mark: Mark,
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
                watch.end_read((range.start - SHARED_START, range.end - range.start), mark);
            }
        }
    }

    /// A copy has landed: whoever waits for it on its mbarrier has seen that.
    pub fn mark_landed(&mut self, transfer: &Transfer) {
        let Completion::Mbarrier(rank, address, _) = transfer.completion else { return };
        let landing = self.landings.next((rank, address));
        if let Some((rank, ranges)) = transfer.written()
            && let Some(watch) = &mut self.shared[rank as usize].watch
        {
            for range in ranges {
                watch.land((range.start - SHARED_START, range.end - range.start), transfer.mark, landing);
            }
        }
        if let Some(barrier) = self.mbarriers[rank as usize].get_mut(address) {
            barrier.gate.arriving.join_landing(landing, self.flags.warps());
        }
        self.end_reading(transfer.id(), |mark| mark.landed(landing));
    }
}

impl Cpu<'_> {
    /// What only values in memory can tell of: atomics, fences and volatile accesses order all that came before
    /// all that comes behind.
    pub fn synchronise(&mut self) {
        self.warp.clock.acquire(&self.cluster.flags);
        self.warp.clock.release(&mut self.cluster.flags);
    }

    /// A fence between accesses of threads.
    pub fn fence(&mut self) {
        self.warp.clock.acquire(&self.cluster.flags);
        self.warp.clock.fence();
        self.warp.clock.release(&mut self.cluster.flags);
    }

    /// `fence.proxy.async`, for shared memory.
    pub fn fence_proxies(&mut self) {
        self.warp.clock.fence_proxies();
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
        match &mut self.cluster.shared[rank as usize].watch {
            Some(watch) => {
                watch.touch_lanes(offsets, len, self.mask, touch_of(access), &self.warp.clock, self.pc)
            }
            None => false,
        }
    }

    /// The same for one access.
    pub fn access_shared(&mut self, rank: u32, offset: u32, len: u32, access: Access) -> Result<(), Verdict> {
        self.reach(rank)?;
        let what = match access {
            Access::Read => "a load",
            Access::Write => "a store",
            Access::Atomic => "an atomic operation",
        };
        self.touch(what, rank, offset..offset + len, touch_of(access))
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
        let touched = watch.touch((offsets.start, len), touch, &self.warp.clock, self.pc);
        touched.map_err(|(offset, clash)| self.clash(what, rank, offset..offsets.end, clash))
    }

    /// What is said of it.
    pub fn clash(&self, what: &str, rank: u32, offsets: Range<u32>, clash: Clash) -> Verdict {
        let (what, address) = (what.to_owned(), SHARED_START + offsets.start);
        match clash {
            Clash::Unordered(mark) => {
                let pending = Box::new(self.place_of(mark));
                Verdict::Conflict { what, rank, address, len: offsets.end - offsets.start, pending }
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
        let write = if transfer.reduction.is_some() { Touch::AsyncReduce } else { Touch::AsyncWrite };
        let mark = transfer.mark;
        let id = self.cluster.issue(transfer, self.launch)?;
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
        let warps = self.launch.warps();
        let (rank, warp) = (usize::from(mark.warp) / warps, usize::from(mark.warp) % warps);
        let block = self.launch.block_of_rank(self.block.index, rank as u32);
        place(self.kernel, mark.pc, block, warp as u32, u32::MAX)
    }
}

fn touch_of(access: Access) -> Touch {
    match access {
        Access::Read => Touch::Load,
        Access::Write | Access::Atomic => Touch::Store,
    }
}
