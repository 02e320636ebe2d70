//! A block: its warps, its shared memory, its barriers.

use std::sync::Arc;

use super::access::NoShadow;
use super::cluster::ClusterState;
use super::grid::Launch;
use super::ops::wgmma::Warpgroup;
use super::order::{Clock, Crew, Gate, Order};
use super::pattern::Patterns;
use super::tally::Tally;
pub use super::warp::Stop;
use super::warp::Warp;
use crate::code::Kernel;
use crate::memory::Region;
use crate::verdict::{Finding, Stand, Verdict};

/// A block that has executed so many instructions without doing anything that
/// others could see lets other blocks run.
const SPIN: u64 = 1 << 16;
/// Named barriers of a block.
pub const BARRIERS: usize = 16;

/// One of a block's barriers.
#[derive(Default, Clone)]
pub struct Barrier {
    /// Threads that have arrived, warps counted as whole (for barriers with a count).
    arrived_by_warp: u32,
    /// Threads that have arrived.
    arrived: u32,
    /// The count given by those that arrived, if they gave one.
    count: Option<u32>,
    /// Completed phases.
    pub generation: u64,
    /// Reduction in the running phase, and the result of the last one: predicates
    /// true for how many threads, of how many.
    sum: (u32, u32),
    /// The last phase's (threads with a true predicate, threads).
    pub result: (u32, u32),
    /// What the phases order.
    pub gate: Gate,
}

impl Barrier {
    /// "64 of 128 threads arrived"
    pub fn progress(&self, block: &BlockState) -> String {
        match self.count {
            Some(count) => format!("{} of {count} threads arrived", self.arrived_by_warp),
            None => format!("{} of {} threads arrived", self.arrived, block.live_threads),
        }
    }

    fn complete(&mut self) {
        self.generation += 1;
        self.arrived = 0;
        self.arrived_by_warp = 0;
        self.count = None;
        self.result = std::mem::take(&mut self.sum);
        self.gate.complete();
    }
}

/// A block without its warps: what an executing warp may touch.
pub struct BlockState {
    /// `%ctaid`.
    pub index: [u32; 3],
    /// `%cluster_ctarank`.
    pub rank: u32,
    /// Barriers 0 to 15.
    pub barriers: Vec<Barrier>,
    /// What its warpgroups have asked of the tensor cores.
    pub warpgroups: Vec<Warpgroup>,
    /// What a count of all threads says: they, in whole warps.
    pub all_threads: u32,
    /// Threads that have not ended.
    pub live_threads: u32,
    /// Counts so far, but for instructions of warps that go on.
    pub tally: Tally,
    /// What accesses cost.
    pub patterns: Patterns,
    /// Counts what others could see: stores, atomics that change a value,
    /// completed barriers, ends of threads.
    pub events: u64,
    /// The region of global memory touched last.
    pub region: Option<Region>,
    /// The regions written so far, by their addresses, the last one last.
    pub written: Vec<u64>,
    /// What warps that have ended had seen.
    pub ended: Order,
    /// Stands in for the shadow of memory that has none.
    pub no_shadow: NoShadow,
    /// What the manual leaves open happens by it.
    pub chance: Random,
}

impl BlockState {
    /// `threads` arrive at a barrier; `by_warp` counts their warp as whole.
    /// Gives the generation to wait for, or what is wrong.
    pub fn arrive(
        &mut self,
        barrier: u32,
        count: Option<u32>,
        threads: u32,
        by_warp: u32,
        predicates: u32,
    ) -> Result<u64, Verdict> {
        let (all, live) = (self.all_threads, self.live_threads);
        let b = &mut self.barriers[barrier as usize];
        let problem = |problem: String| Verdict::Barrier { barrier, problem };
        if b.arrived > 0 && b.count.unwrap_or(all) != count.unwrap_or(all) {
            let say = |c: Option<u32>| c.map_or("all threads".to_owned(), |c| format!("{c} threads"));
            return Err(problem(format!(
                "used for {} here, while {} threads have arrived at it for {}",
                say(count),
                b.arrived,
                say(b.count)
            )));
        }
        // Who gives the count of all threads may meet those who give none.
        let count = count.or(b.count);
        if let Some(count) = count
            && b.arrived_by_warp + by_warp > count
        {
            return Err(problem(format!(
                "{} threads arrived at a barrier for {count}",
                b.arrived_by_warp + by_warp
            )));
        }
        let generation = b.generation;
        b.count = count;
        b.arrived += threads;
        b.arrived_by_warp += by_warp;
        b.sum.0 += predicates;
        b.sum.1 += threads;
        let full = match count {
            Some(count) => b.arrived_by_warp == count,
            None => b.arrived == live,
        };
        if full {
            b.complete();
            self.events += 1;
        }
        Ok(generation)
    }

    /// Threads have ended: a barrier that waits for all threads waits for them no longer.
    pub fn threads_ended(&mut self, threads: u32) {
        self.live_threads -= threads;
        self.events += 1;
        for b in &mut self.barriers {
            if b.arrived > 0 && b.count.is_none() && b.arrived == self.live_threads {
                b.complete();
            }
        }
    }
}

/// A resident block.
pub struct Block {
    /// What its warps share.
    pub state: BlockState,
    warps: Vec<Warp>,
    next: usize,
    random: Random,
}

impl Block {
    /// A block about to start. `seed` orders its warps.
    pub fn new(launch: &Launch, crew: &Arc<Crew>, index: [u32; 3], rank: u32, seed: u64) -> Self {
        let kernel = &launch.kernel;
        let threads: u32 = launch.block.iter().product();
        let warps = threads.div_ceil(32);
        let lanes = |w: u32| if threads - w * 32 >= 32 { u32::MAX } else { (1 << (threads % 32)) - 1 };
        let clock = |w: usize| match &launch.ledger {
            Some(_) => Clock::new(crew, rank as usize * crew.each + w),
            None => Clock::default(),
        };
        Self {
            state: BlockState {
                index,
                rank,
                barriers: vec![Barrier::default(); BARRIERS],
                warpgroups: Warpgroup::of(warps),
                all_threads: warps * 32,
                live_threads: threads,
                tally: Tally::of_block(),
                patterns: Patterns::new(kernel.code.len()),
                events: 0,
                region: None,
                written: Vec::new(),
                ended: Order::default(),
                no_shadow: NoShadow::new(),
                chance: Random::new(seed.rotate_left(32)),
            },
            warps: (0..warps).map(|w| Warp::new(launch, w, lanes(w), clock(w as usize))).collect(),
            next: 0,
            random: Random::new(seed),
        }
    }

    /// Runs its warps in turns until it ends, or none can go on, or it has
    /// executed about `budget` instructions, or has done nothing for so long that
    /// it may be waiting for other blocks. Also gives the instructions executed,
    /// and whether anything happened that others could see.
    pub fn run(
        &mut self,
        cluster: &mut ClusterState,
        launch: &Launch,
        budget: u64,
    ) -> Result<(Stop, u64, bool), Box<Finding>> {
        let kernel = launch.kernel.as_ref();
        let events = self.state.events;
        let mut left = budget;
        let mut last = (events, left);
        let mut stuck = 0;
        while !self.warps.is_empty() {
            if self.state.events != last.0 {
                last = (self.state.events, left);
            }
            if left == 0 || last.1 - left >= SPIN {
                return Ok((Stop::Turn, budget - left, self.state.events != events));
            }
            if stuck >= self.warps.len() {
                if self.is_ready(cluster) {
                    stuck = 0;
                } else {
                    return Ok((Stop::Blocked, budget - left, self.state.events != events));
                }
            }
            self.next %= self.warps.len();
            let mut slice = self.random.slice().min(left);
            let before = slice;
            let stop = self.warps[self.next].run(&mut self.state, cluster, kernel, launch, &mut slice)?;
            left -= before - slice;
            stuck = if before == slice { stuck + 1 } else { 0 };
            match stop {
                Stop::Ended => {
                    let warp = self.warps.swap_remove(self.next);
                    self.state.tally.add_role(warp.index, &warp.role);
                }
                Stop::Turn | Stop::Blocked => self.next += self.random.step(self.warps.len()),
            }
        }
        Ok((Stop::Ended, budget - left, true))
    }

    /// Can any of its warps go on?
    pub fn is_ready(&self, cluster: &ClusterState) -> bool {
        self.warps.iter().any(|w| w.is_ready(&self.state, cluster))
    }

    /// Does a warp wait for something only until it may look again?
    pub fn polls(&self) -> bool {
        self.warps.iter().any(Warp::polls)
    }

    /// Where all its threads stand.
    pub fn stands(&self, cluster: &ClusterState, kernel: &Kernel) -> Vec<Stand> {
        let mut warps: Vec<_> = self.warps.iter().collect();
        warps.sort_by_key(|w| w.index);
        warps.into_iter().flat_map(|w| w.stands(&self.state, cluster, kernel)).collect()
    }
}

/// The order of warps and the length of their turns: one fixed order for seed
/// 0, a random one otherwise (splitmix64).
pub struct Random(u64);

impl Random {
    /// Instructions of a warp's turn at most: so few that warps which share matrices come to them while they are in the
    /// host's caches.
    const SLICE: u64 = 128;

    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn slice(&mut self) -> u64 {
        if self.0 == 0 { Self::SLICE } else { 1 + self.next() % Self::SLICE }
    }

    /// How far to go on from one of `n` to the next.
    pub fn step(&mut self, n: usize) -> usize {
        if self.0 == 0 { 1 } else { 1 + self.below(n.max(1)) }
    }

    /// True once in `n`; never for seed 0.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.0 != 0 && self.below(n) == 0
    }

    /// Below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}
