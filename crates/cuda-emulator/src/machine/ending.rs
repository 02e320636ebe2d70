//! What threads may not leave behind: asynchronous operations that nobody waits for
//! any more, and shared memory that others may still reach.

use super::Cpu;
use super::order::{Mark, Scope};
use crate::verdict::{Place, Verdict};

impl Cpu<'_> {
    /// The executing lanes are about to end.
    pub fn end_threads(&mut self) -> Result<(), Verdict> {
        let lanes = self.mask;
        for lane in (0..32).filter(|l| lanes >> l & 1 == 1) {
            let mut copies = self.warp.bulk_groups[lane].copies();
            if let Some(reading) = copies.find_map(|id| self.cluster.reading(id)) {
                let pending = Box::new(self.place_of(reading.mark));
                return Err(Verdict::InFlight { what: "the thread ends".to_owned(), pending });
            }
        }
        if lanes == self.warp.live {
            self.end_function()?;
            let group = &self.block.warpgroups[self.warp.index as usize / 4];
            if let Some((asked, _)) = group.next(self.warp.index) {
                let problem = "this warp ends, while another of the warpgroup has issued (2)".to_owned();
                let other = Some(Box::new(self.place(asked.pc, u32::MAX)));
                return Err(Verdict::Wgmma { problem, other });
            }
            self.end_warp();
        }
        if lanes.count_ones() == self.block.live_threads {
            return self.end_block();
        }
        Ok(())
    }

    /// The running function, and what it has called, is about to return.
    pub fn end_function(&mut self) -> Result<(), Verdict> {
        if let Some(multiply) = self.warp.wgmma.first(self.depth) {
            let pending = Box::new(self.place(multiply.pc, u32::MAX));
            return Err(Verdict::InFlight { what: "the function ends".to_owned(), pending });
        }
        self.warp.wgmma.forget(self.warp.registers.frame_start());
        Ok(())
    }

    /// Barriers wait for ended threads no longer, so that what they did counts as come before.
    fn end_warp(&mut self) {
        self.acting_clock();
        for barrier in &mut self.block.barriers {
            barrier.gate.arrive(&mut self.warp.clock, Scope::Cta, Scope::Cta, false);
        }
        let gate = &mut self.cluster.barrier.gate;
        gate.arrive(&mut self.warp.clock, Scope::Cluster, Scope::Cluster, false);
        self.block.ended.join(self.warp.clock.order());
    }

    fn end_block(&mut self) -> Result<(), Verdict> {
        let rank = self.block.rank;
        let what = || "the block ends".to_owned();
        if let Some(transfer) = self.cluster.transfers.concerning(rank) {
            let pending: Box<Place> = Box::new(transfer.origin.place(self.kernel));
            return Err(Verdict::InFlight { what: what(), pending });
        }
        let Some(watch) = &mut self.cluster.shared[rank as usize].watch else { return Ok(()) };
        watch.ended = true;
        let unseen = |mark: &&Mark| !self.block.ended.is_over(**mark);
        match watch.remote.iter().find(unseen).copied() {
            None => Ok(()),
            Some(mark) => Err(Verdict::InFlight { what: what(), pending: Box::new(self.place_of(mark)) }),
        }
    }
}
