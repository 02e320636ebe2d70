//! A launch: blocks handed to the host's cores.
//!
//! A block starts only when the device would have room for it, and blocks that
//! are resident take turns, so that a kernel whose blocks wait for each other
//! (a grid barrier, a flag) goes on however few cores the host has, while one
//! that needs more resident blocks than fit hangs here as it would there.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};

use super::block::{Block, Turn};
use crate::code::{Kernel, SHARED_START};
use crate::counters::Counters;
use crate::memory::AddressMap;
use crate::verdict::{Finding, Place, Verdict};

/// Instructions a block executes before others have their turn.
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
    /// Where the text of `printf` goes.
    pub print: Box<dyn Fn(&str) + Send + Sync>,
    /// 0: blocks and warps in order; anything else: an order drawn from it.
    pub seed: u64,
}

impl Launch {
    /// Static and dynamic shared memory together.
    pub fn shared_bytes(&self) -> u32 {
        self.kernel.shared_bytes(self.dynamic_shared)
    }

    fn blocks(&self) -> u64 {
        self.grid.iter().map(|n| u64::from(*n)).product()
    }

    fn index(&self, linear: u64) -> [u32; 3] {
        let [x, y, _] = self.grid.map(u64::from);
        [(linear % x) as u32, (linear / x % y) as u32, (linear / x / y) as u32]
    }
}

impl Kernel {
    /// Shared memory of a block, in bytes: static, and dynamic behind it.
    pub fn shared_bytes(&self, dynamic: u32) -> u32 {
        match dynamic {
            0 => self.static_shared,
            _ => self.dynamic_shared_start - SHARED_START + dynamic,
        }
    }
}

struct Queue {
    /// The next block to start, in the order of `order`.
    fresh: u64,
    waiting: VecDeque<Block>,
    running: u64,
    /// Instructions since anything happened.
    idle: u64,
    counters: Counters,
    finding: Option<Box<Finding>>,
}

/// Runs a launch to its end, or to the first finding.
pub fn run(launch: &Launch) -> Result<Counters, Box<Finding>> {
    let blocks = launch.blocks();
    let order = Order::new(blocks, launch.seed);
    let queue = Mutex::new(Queue {
        fresh: 0,
        waiting: VecDeque::new(),
        running: 0,
        idle: 0,
        counters: Counters::new(),
        finding: None,
    });
    let changed = Condvar::new();
    let workers = (rayon::current_num_threads() as u64).min(blocks).max(1);
    rayon::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|_| work(launch, blocks, &order, &queue, &changed));
        }
    });
    let queue = queue.into_inner().unwrap_or_else(|e| e.into_inner());
    match queue.finding {
        Some(finding) => Err(finding),
        None => Ok(queue.counters),
    }
}

fn work(launch: &Launch, blocks: u64, order: &Order, queue: &Mutex<Queue>, changed: &Condvar) {
    let lock = || queue.lock().unwrap_or_else(|e| e.into_inner());
    let mut q = lock();
    loop {
        if q.finding.is_some() {
            return;
        }
        let resident = q.waiting.len() as u64 + q.running;
        let mut block = if q.fresh < blocks && resident < u64::from(launch.resident.max(1)) {
            let linear = order.block(q.fresh);
            q.fresh += 1;
            q.running += 1;
            drop(q);
            let seed =
                if launch.seed == 0 { 0 } else { launch.seed ^ (linear + 1).wrapping_mul(0x9e37_79b9) };
            Block::new(launch, launch.index(linear), seed)
        } else if let Some(block) = q.waiting.pop_front() {
            q.running += 1;
            drop(q);
            block
        } else if q.running == 0 {
            return;
        } else {
            q = changed.wait(q).unwrap_or_else(|e| e.into_inner());
            continue;
        };
        let turn = block.run(launch, TURN);
        q = lock();
        q.running -= 1;
        match turn {
            Ok(Turn::Ended) => {
                q.counters.add(&block.state.counters);
                q.idle = 0;
            }
            Ok(Turn::Over { spent, progress }) => {
                q.idle = if progress { 0 } else { q.idle + spent };
                q.waiting.push_back(block);
                let resident = q.waiting.len() as u64 + q.running;
                let room = q.fresh < blocks && resident < u64::from(launch.resident.max(1));
                if !room && q.running == 0 && q.idle > LIVELOCK * resident {
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
    let kernel = &launch.kernel;
    let stands: Vec<_> = q.waiting.iter().flat_map(|b| b.stands(kernel)).collect();
    let instructions = q.counters.total() + q.waiting.iter().map(|b| b.state.counters.total()).sum::<u64>();
    let place = stands.first().map(|s| Place {
        kernel: kernel.name.clone(),
        ptx_line: s.ptx_line,
        ptx: kernel
            .source
            .text
            .get(s.ptx_line.wrapping_sub(1) as usize)
            .map(|t| t.trim().to_owned())
            .unwrap_or_default(),
        source: s.source.clone(),
        block: s.block,
        warp: s.warp,
        lanes: s.lanes,
    });
    Box::new(Finding {
        verdict: Verdict::Livelock { instructions, stands },
        place: place.unwrap_or_default(),
    })
}

/// The order in which blocks start: as numbered for seed 0, else a permutation
/// (an affine one: no table for grids of millions).
struct Order {
    blocks: u64,
    factor: u64,
    shift: u64,
}

impl Order {
    fn new(blocks: u64, seed: u64) -> Self {
        if seed == 0 || blocks < 2 {
            return Self { blocks, factor: 1, shift: 0 };
        }
        let gcd = |mut a: u64, mut b: u64| {
            while b != 0 {
                (a, b) = (b, a % b);
            }
            a
        };
        let mut factor = seed % blocks;
        while gcd(factor, blocks) != 1 {
            factor = (factor + 1) % blocks;
        }
        Self { blocks, factor, shift: seed / 7 % blocks }
    }

    fn block(&self, nth: u64) -> u64 {
        ((u128::from(nth) * u128::from(self.factor) + u128::from(self.shift)) % u128::from(self.blocks))
            as u64
    }
}
