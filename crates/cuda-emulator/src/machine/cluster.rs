//! A cluster: blocks that are resident together and reach each other's shared
//! memory. A block that is launched without clusters is a cluster of its own.
//!
//! A cluster runs on one thread of the host at a time, its blocks in turns, so
//! that no two of them touch what they share at the same time.

use std::collections::HashMap;
use std::sync::Arc;

use super::block::{Block, Random, Stop};
use super::flags::Flags;
use super::grid::Launch;
use super::judge::{Reading, Writing, Written};
use super::mbarrier::Mbarriers;
use super::order::{Crew, Gate, Landings, Mark};
use super::shared::Shared;
use super::tally::Tally;
use super::transfer::Transfers;
use super::watch::Watch;
use crate::verdict::{Finding, Stand, Verdict};

/// Instructions of a block's turn among the blocks of its cluster.
const TURN: u64 = 1 << 16;
/// The same under a seed: between turns copies may land.
const SEEDED_TURN: u64 = 1 << 12;
/// Rounds in which nothing but failed polls happened, after which blocks that
/// poll are taken to wait for ever.
const IDLE_ROUNDS: u32 = 3;

/// What the blocks of a cluster share.
pub struct ClusterState {
    /// Shared memory of each block, by its rank.
    pub shared: Vec<Shared>,
    /// The mbarriers in each block's shared memory.
    pub mbarriers: Vec<Mbarriers>,
    /// `barrier.cluster`.
    pub barrier: ClusterBarrier,
    /// Asynchronous copies that have not landed.
    pub transfers: Transfers,
    /// Copies out of shared memory whose reading nobody has waited for.
    pub readings: Vec<Reading>,
    /// Copies that have landed on each mbarrier.
    pub landings: Landings,
    /// Where warps have waited for the grids before (`griddepcontrol.wait`).
    pub waits: Vec<Mark>,
    /// Copies to global memory that nobody has waited for, by their numbers.
    pub writings: HashMap<u64, Writing>,
    /// The last of them that an instruction has begun.
    pub last_written: Option<Written>,
    /// What is handed on through values in shared memory: by rank and address.
    pub flags: Flags,
    /// What its warps have in common.
    pub crew: Arc<Crew>,
    /// Counts the times that all polls were told to give up waiting.
    pub polls: u64,
    /// Threads of all blocks that have not ended.
    live_threads: u32,
}

/// `barrier.cluster`: all threads of all blocks.
#[derive(Default)]
pub struct ClusterBarrier {
    /// Threads that have arrived in the running phase.
    arrived: u32,
    /// Completed phases.
    pub generation: u64,
    /// What the phases order.
    pub gate: Gate,
}

impl ClusterState {
    fn new(launch: &Launch, number: u64, blocks: usize) -> Self {
        let threads: u32 = launch.block.iter().product();
        let warps = blocks * launch.warps();
        let watch = || launch.ledger.as_ref().map(|_| Watch::new(launch.shared_bytes(), warps));
        let earlier = launch.earlier.clone();
        let cluster = earlier.first.wrapping_add(number as u32);
        Self {
            shared: (0..blocks).map(|_| Shared::new(launch.shared_bytes(), watch())).collect(),
            mbarriers: (0..blocks).map(|_| Mbarriers::default()).collect(),
            barrier: ClusterBarrier::default(),
            transfers: Transfers::default(),
            readings: Vec::new(),
            landings: Landings::default(),
            waits: Vec::new(),
            writings: HashMap::new(),
            last_written: None,
            flags: Flags::default(),
            crew: Arc::new(Crew {
                cluster,
                warps,
                each: launch.warps(),
                earlier,
                tells_lanes: launch.kernel.hands_on_by_lanes,
            }),
            polls: 0,
            live_threads: threads * blocks as u32,
        }
    }

    /// `threads` arrive at the cluster's barrier. Gives the phase that they wait for.
    pub fn arrive(&mut self, threads: u32) -> u64 {
        let generation = self.barrier.generation;
        self.barrier.arrived += threads;
        self.complete_if_full();
        generation
    }

    /// Threads have ended, of which some had arrived: the cluster's barrier waits for the others.
    pub fn threads_ended(&mut self, threads: u32, arrived: u32) {
        self.live_threads -= threads;
        self.barrier.arrived -= arrived;
        if self.barrier.arrived > 0 {
            self.complete_if_full();
        }
    }

    fn complete_if_full(&mut self) {
        if self.barrier.arrived >= self.live_threads {
            self.barrier.arrived = 0;
            self.barrier.generation += 1;
            self.barrier.gate.complete();
        }
    }

    /// "96 of 256 threads arrived"
    pub fn progress(&self) -> String {
        format!("{} of {} threads arrived", self.barrier.arrived, self.live_threads)
    }
}

/// A resident cluster.
pub struct Cluster {
    state: ClusterState,
    blocks: Vec<Block>,
    next: usize,
    random: Random,
    /// Of blocks that have ended.
    pub tally: Tally,
    /// Rounds without an event, while all wait.
    idle_rounds: u32,
}

/// What a cluster's turn came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// All threads have ended.
    Ended,
    /// It can go on later.
    Over {
        /// Instructions executed.
        spent: u64,
        /// Did anything happen that others could see (`BlockState::events`)?
        progress: bool,
    },
}

impl Cluster {
    /// A cluster about to start, by its number. `seed` orders everything in it.
    pub fn new(launch: &Launch, number: u64, seed: u64) -> Self {
        let blocks = launch.blocks_of(number);
        let state = ClusterState::new(launch, number, blocks.len());
        let block_seed =
            |rank: u64| if seed == 0 { 0 } else { seed ^ rank.wrapping_mul(0xa24b_aed4_963e_e407) };
        let blocks: Vec<Block> = blocks
            .zip(0u32..)
            .map(|(index, rank)| Block::new(launch, &state.crew, index, rank, block_seed(rank.into())))
            .collect();
        Self { state, blocks, next: 0, random: Random::new(seed), tally: Tally::default(), idle_rounds: 0 }
    }

    /// Runs its blocks in turns until it ends, or has executed about `budget`
    /// instructions, or has done nothing for so long that it may be waiting for
    /// other clusters.
    pub fn run(&mut self, launch: &Launch, budget: u64) -> Result<Turn, Box<Finding>> {
        let mut left = budget;
        let mut progress = false;
        // Blocks in a row that could not go on, or only spun.
        let (mut blocked, mut spun) = (0, 0);
        while !self.blocks.is_empty() {
            if left == 0 || blocked + spun >= self.blocks.len() && spun > 0 {
                return Ok(Turn::Over { spent: budget - left, progress });
            }
            if blocked >= self.blocks.len() {
                if !self.blocks.iter().any(|b| b.is_ready(&self.state)) {
                    self.unblock(launch)?;
                }
                blocked = 0;
            }
            self.next %= self.blocks.len();
            let given = match (launch.seed, self.blocks.len()) {
                (0, 1) => left,
                (0, _) => TURN.min(left),
                _ => SEEDED_TURN.min(left),
            };
            let block = &mut self.blocks[self.next];
            let (stop, spent, events) = block.run(&mut self.state, launch, given)?;
            left -= spent;
            if events {
                (progress, blocked, spun) = (true, 0, 0);
                self.idle_rounds = 0;
            }
            match stop {
                Stop::Ended => {
                    let block = self.blocks.swap_remove(self.next);
                    self.tally.add(&block.state.tally);
                    launch.written.lock().unwrap_or_else(|e| e.into_inner()).extend(block.state.written);
                    (blocked, spun) = (0, 0);
                    continue;
                }
                Stop::Blocked => blocked += 1,
                Stop::Turn if events => {}
                Stop::Turn => spun += 1,
            }
            self.next += self.random.step(self.blocks.len());
            self.land_early(launch)?;
        }
        self.state.land_all(launch)?;
        Ok(Turn::Ended)
    }

    /// Nobody can go on: what is in flight lands; then polls may look again; then it is a deadlock.
    fn unblock(&mut self, launch: &Launch) -> Result<(), Box<Finding>> {
        if self.state.land_all(launch)? {
            return Ok(());
        }
        let polls = self.blocks.iter().any(|b| b.polls());
        self.idle_rounds += 1;
        if !polls || self.idle_rounds > IDLE_ROUNDS {
            return Err(self.deadlock(launch));
        }
        self.state.polls += 1;
        Ok(())
    }

    /// Under a seed, what is in flight may land at any time.
    fn land_early(&mut self, launch: &Launch) -> Result<(), Box<Finding>> {
        if !self.state.transfers.is_empty() && self.random.one_in(4) {
            let nth = self.random.below(self.state.transfers.len());
            self.state.land_nth(nth, launch)?;
        }
        Ok(())
    }

    /// Instructions executed so far.
    pub fn steps(&self) -> u64 {
        self.tally.steps + self.blocks.iter().map(|b| b.state.tally.steps).sum::<u64>()
    }

    /// Where all its threads stand.
    pub fn stands(&self, launch: &Launch) -> Vec<Stand> {
        self.blocks.iter().flat_map(|b| b.stands(&self.state, &launch.kernel)).collect()
    }

    fn deadlock(&self, launch: &Launch) -> Box<Finding> {
        let stands = self.stands(launch);
        let place = launch.place_of(&stands[0]);
        Box::new(Finding { verdict: Verdict::Deadlock { stands }, place })
    }
}
