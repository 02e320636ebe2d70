//! A launch: clusters of blocks handed to the host's cores.
//!
//! A cluster starts only when the device would have room for it, and those that
//! are resident take turns, so that a kernel whose blocks wait for each other
//! (a grid barrier, a flag) goes on however few cores the host has, while one
//! that needs more resident blocks than fit hangs here as it would there.

use std::any::Any;
use std::collections::{BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex};

use super::cluster::{Cluster, Turn};
use super::footprint::{Extent, index_in};
use super::ledger::Ledger;
use super::order::Earlier;
use super::tally::Tally;
use crate::code::{Kernel, SHARED_START};
use crate::counters::Counters;
use crate::memory::AddressMap;
use crate::numeric::tensor_core::Arithmetic;
use crate::verdict::{Finding, Place, Stand, Verdict};

/// Instructions a cluster executes before others have their turn.
const TURN: u64 = 1 << 20;
/// A launch none of whose resident blocks has done anything that others could
/// see for this many instructions each is taken to spin for ever.
const LIVELOCK: u64 = 1 << 26;

/// Everything that one launch needs.
pub struct Launch {
    /// What runs.
    pub kernel: Arc<Kernel>,
    /// Blocks.
    pub grid: [u32; 3],
    /// Threads of a block.
    pub block: [u32; 3],
    /// Blocks of a cluster.
    pub cluster: [u32; 3],
    /// Dynamic shared memory, in bytes.
    pub dynamic_shared: u32,
    /// The parameter buffer.
    pub params: Vec<u8>,
    /// The device memory as it is while the kernel runs.
    pub memory: Arc<AddressMap>,
    /// Blocks that the device can hold at a time.
    pub resident: u32,
    /// It may begin before the grids ahead of it have ended (programmatic dependent launch).
    pub overlaps: bool,
    /// Allocations that those write, by their addresses.
    pub unready: Vec<u64>,
    /// Allocations that this one has written.
    pub written: Mutex<BTreeSet<u64>>,
    /// Where the text of `printf` goes.
    pub print: Box<dyn Fn(&str) + Send + Sync>,
    /// 0: blocks and warps in order; anything else: an order drawn from it.
    pub seed: u64,
    /// Threads of the host at most; 0: as many as it has cores. With one, a seed has one schedule.
    pub threads: usize,
    /// How tensor cores add.
    pub arithmetic: Arithmetic,
    /// Who touched global memory; nothing where nobody asks for order.
    pub ledger: Option<Arc<Ledger>>,
    /// What ran before, as the numbers of clusters tell.
    pub earlier: Arc<Earlier>,
}

impl Launch {
    /// Static and dynamic shared memory together.
    pub fn shared_bytes(&self) -> u32 {
        self.kernel.shared_bytes(self.dynamic_shared)
    }

    /// Warps of a block.
    pub fn warps(&self) -> usize {
        self.extent().warps()
    }

    /// The index of the block of some rank in the cluster of a block.
    pub fn block_of_rank(&self, block: [u32; 3], rank: u32) -> [u32; 3] {
        let within = index_in(self.cluster, rank.into());
        [0, 1, 2].map(|axis| block[axis] - block[axis] % self.cluster[axis] + within[axis])
    }

    /// How it is divided.
    pub fn extent(&self) -> Extent {
        Extent { grid: self.grid, block: self.block, cluster: self.cluster }
    }

    /// Blocks of a cluster.
    pub fn cluster_size(&self) -> u32 {
        self.cluster.iter().product()
    }

    /// How many clusters the grid has in each direction. It is whole clusters.
    pub fn clusters(&self) -> [u32; 3] {
        self.extent().clusters()
    }

    /// The blocks of a cluster by its number, in the order of their ranks.
    pub fn blocks_of(&self, cluster: u64) -> impl ExactSizeIterator<Item = [u32; 3]> + use<> {
        let extent = self.extent();
        (0..self.cluster_size()).map(move |rank| extent.block_of(cluster, rank))
    }

    /// The place of a deadlock or livelock: where the first of its threads stands.
    pub fn place_of(&self, stand: &Stand) -> Place {
        let text = self.kernel.source.text.get(stand.ptx_line.wrapping_sub(1) as usize);
        Place {
            kernel: self.kernel.name.clone(),
            ptx_line: stand.ptx_line,
            ptx: text.map(|t| t.trim().to_owned()).unwrap_or_default(),
            source: stand.source.clone(),
            block: stand.block,
            warp: stand.warp,
            lanes: stand.lanes,
        }
    }
}

impl Kernel {
    /// Shared memory of a block, in bytes: static, and dynamic behind it.
    pub fn shared_bytes(&self, dynamic: u32) -> u32 {
        match dynamic {
            0 => self.static_shared,
            _ => (self.dynamic_shared_start - SHARED_START).saturating_add(dynamic),
        }
    }
}

struct Queue {
    /// The next cluster to start, in the order of `order`.
    fresh: u64,
    waiting: VecDeque<Cluster>,
    running: u64,
    /// Instructions since anything happened.
    idle: u64,
    tally: Tally,
    finding: Option<Box<Finding>>,
    /// What a worker panicked with.
    fault: Option<Box<dyn Any + Send>>,
}

/// Runs a launch to its end, or to the first finding.
pub fn run(launch: &Launch) -> Result<Counters, Box<Finding>> {
    let clusters: u64 = launch.clusters().iter().map(|n| u64::from(*n)).product();
    let order = Order::new(clusters, launch.seed);
    let queue = Mutex::new(Queue {
        fresh: 0,
        waiting: VecDeque::new(),
        running: 0,
        idle: 0,
        tally: Tally::default(),
        finding: None,
        fault: None,
    });
    let changed = Condvar::new();
    let allowed = if launch.threads == 0 { usize::MAX } else { launch.threads };
    let workers = (rayon::current_num_threads().min(allowed) as u64).min(clusters).max(1);
    rayon::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|_| work(launch, clusters, &order, &queue, &changed));
        }
    });
    let queue = queue.into_inner().unwrap_or_else(|e| e.into_inner());
    if let Some(fault) = queue.fault {
        resume_unwind(fault);
    }
    match queue.finding {
        Some(finding) => Err(finding),
        None => Ok(queue.tally.counters(&launch.kernel)),
    }
}

fn work(launch: &Launch, clusters: u64, order: &Order, queue: &Mutex<Queue>, changed: &Condvar) {
    let lock = || queue.lock().unwrap_or_else(|e| e.into_inner());
    // Clusters that the device can hold at a time.
    let room = u64::from((launch.resident / launch.cluster_size()).max(1));
    let mut q = lock();
    loop {
        if q.finding.is_some() || q.fault.is_some() {
            return;
        }
        let resident = q.waiting.len() as u64 + q.running;
        let mut cluster = if q.fresh < clusters && resident < room {
            let number = order.place(q.fresh);
            q.fresh += 1;
            q.running += 1;
            drop(q);
            let seed =
                if launch.seed == 0 { 0 } else { launch.seed ^ (number + 1).wrapping_mul(0x9e37_79b9) };
            Cluster::new(launch, number, seed)
        } else if let Some(cluster) = q.waiting.pop_front() {
            q.running += 1;
            drop(q);
            cluster
        } else if q.running == 0 {
            return;
        } else {
            q = changed.wait(q).unwrap_or_else(|e| e.into_inner());
            continue;
        };
        // A fault of the emulator must not leave the other workers waiting.
        let turn = catch_unwind(AssertUnwindSafe(|| cluster.run(launch, TURN)));
        q = lock();
        q.running -= 1;
        let turn = match turn {
            Ok(turn) => turn,
            Err(fault) => {
                q.fault.get_or_insert(fault);
                changed.notify_all();
                return;
            }
        };
        match turn {
            Ok(Turn::Ended) => {
                q.tally.add(&cluster.tally);
                q.idle = 0;
            }
            Ok(Turn::Over { spent, progress }) => {
                q.idle = if progress { 0 } else { q.idle + spent };
                q.waiting.push_back(cluster);
                let resident = q.waiting.len() as u64 + q.running;
                let may_start = q.fresh < clusters && resident < room;
                if !may_start
                    && q.running == 0
                    && q.idle > LIVELOCK * resident * u64::from(launch.cluster_size())
                {
                    q.finding = Some(livelock(launch, &q));
                }
            }
            Err(finding) => {
                // The first one found; the others are most likely its echoes.
                q.finding.get_or_insert(finding);
            }
        }
        changed.notify_all();
    }
}

fn livelock(launch: &Launch, q: &Queue) -> Box<Finding> {
    let stands: Vec<_> = q.waiting.iter().flat_map(|c| c.stands(launch)).collect();
    let instructions = q.tally.steps + q.waiting.iter().map(Cluster::steps).sum::<u64>();
    let place = stands.first().map(|stand| launch.place_of(stand));
    Box::new(Finding {
        verdict: Verdict::Livelock { instructions, stands },
        place: place.unwrap_or_default(),
    })
}

/// The order in which clusters start: as numbered for seed 0, else a permutation
/// (an affine one: no table for grids of millions).
struct Order {
    clusters: u64,
    factor: u64,
    shift: u64,
}

impl Order {
    fn new(clusters: u64, seed: u64) -> Self {
        if seed == 0 || clusters < 2 {
            return Self { clusters, factor: 1, shift: 0 };
        }
        let gcd = |mut a: u64, mut b: u64| {
            while b != 0 {
                (a, b) = (b, a % b);
            }
            a
        };
        let mut factor = seed % clusters;
        while gcd(factor, clusters) != 1 {
            factor = (factor + 1) % clusters;
        }
        Self { clusters, factor, shift: seed / 7 % clusters }
    }

    fn place(&self, nth: u64) -> u64 {
        ((u128::from(nth) * u128::from(self.factor) + u128::from(self.shift)) % u128::from(self.clusters))
            as u64
    }
}
