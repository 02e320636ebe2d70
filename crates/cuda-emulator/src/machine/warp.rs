//! A warp: 32 threads, of which those that stand at the same place run together.
//!
//! A warp is a set of fragments: a position in the code, a call stack and the
//! lanes that stand there. Usually there is one. A branch that not all lanes
//! take splits it; fragments that come to stand at the same place are one
//! again. The fragment deepest in calls, then the one earliest in the code,
//! runs first: compilers put the place where paths join behind the paths, so
//! the others wait there. That rule alone would starve a lane that others spin
//! on (threads of a warp make progress independently since Volta), so it holds
//! within rounds: in each, every fragment runs until it has had its share.
//!
//! An instruction that needs certain lanes together parks its fragment until
//! they have come.

use super::async_copy::AsyncCopies;
use super::block::BlockState;
use super::cluster::ClusterState;
use super::cpu::{self, Cpu, Flow, Wait};
use super::grid::Launch;
use super::ops::bulk::BulkGroups;
use super::ops::wgmma;
use super::order::Clock;
use super::registers::Registers;
use super::shared::Bytes;
use super::stack::Stack;
use super::tally::Poll;
use crate::code::{Guard, Kernel};
use crate::counters::Role;
use crate::verdict::{Finding, Stand, Use, Verdict};

/// A fragment has had its share of a round after so many steps,
const SHARE: u32 = 1 << 16;
/// or, since it may be spinning, so many in which it did nothing that others could see.
const IDLE_SHARE: u32 = 1 << 10;

/// One warp.
pub struct Warp {
    /// Index in the block.
    pub index: u32,
    /// Lanes that exist and have not ended.
    pub live: u32,
    /// Its registers.
    pub registers: Registers,
    /// What it has done.
    pub role: Role,
    /// Each lane's local memory.
    pub local: Vec<Bytes>,
    /// The phase in which each lane has arrived at the cluster's barrier, until it has waited.
    pub cluster_arrivals: [Option<u64>; 32],
    /// Each lane's bulk copies.
    pub bulk_groups: Vec<BulkGroups>,
    /// What it has asked of the tensor cores and not waited for.
    pub wgmma: wgmma::Pending,
    /// What each lane has allocated, once there was something.
    pub stacks: Vec<Stack>,
    /// Each lane's copies on their way, once there was one.
    pub async_copies: Vec<AsyncCopies>,
    /// What comes before what it does.
    pub clock: Clock,
    /// Whether the grids that were launched before are known to have ended.
    pub has_waited: bool,
    fragments: Vec<Fragment>,
}

struct Fragment {
    pc: u32,
    mask: u32,
    calls: Vec<u32>,
    state: State,
    /// What is left of its share of this round.
    share: Share,
    resumed: bool,
    /// Its last poll, if that failed.
    poll: Option<Box<Poll>>,
}

impl Fragment {
    fn is_parked(&self) -> bool {
        matches!(self.state, State::Parked { .. })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    /// At an instruction that needs these lanes together.
    Parked {
        needed: u32,
    },
    Waiting(Wait),
}

/// What is left of a fragment's share of a round.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Share {
    idle: u32,
    steps: u32,
    /// The block's events when last looked at.
    events: u64,
}

impl Share {
    const NEW: Share = Share { idle: IDLE_SHARE, steps: SHARE, events: 0 };
    const USED_UP: Share = Share { idle: 0, steps: 0, events: 0 };

    fn is_used_up(&self) -> bool {
        self.idle == 0
    }

    /// Counts a step.
    #[inline]
    fn count(&mut self, events: u64) {
        self.idle = if self.events != events { IDLE_SHARE } else { self.idle.saturating_sub(1) };
        self.events = events;
        self.steps = self.steps.saturating_sub(1);
        if self.steps == 0 {
            self.idle = 0;
        }
    }
}

/// Why a warp stopped running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// It can go on; its turn is over.
    Turn,
    /// It waits for others.
    Blocked,
    /// All its lanes have ended.
    Ended,
}

impl Warp {
    /// A warp about to execute the kernel's first instruction.
    pub fn new(launch: &Launch, index: u32, lanes: u32, clock: Clock) -> Self {
        let kernel = launch.kernel.as_ref();
        let mut local = vec![Bytes::default(); if kernel.local_bytes > 0 { 32 } else { 0 }];
        local.iter_mut().for_each(|l| l.grow(kernel.local_bytes as usize));
        Self {
            index,
            live: lanes,
            registers: Registers::new(kernel),
            role: Role::default(),
            local,
            cluster_arrivals: [None; 32],
            bulk_groups: vec![BulkGroups::default(); 32],
            wgmma: wgmma::Pending::default(),
            stacks: Vec::new(),
            async_copies: Vec::new(),
            clock,
            has_waited: !launch.overlaps,
            fragments: vec![Fragment {
                pc: 0,
                mask: lanes,
                calls: Vec::new(),
                state: State::Ready,
                share: Share::NEW,
                resumed: false,
                poll: None,
            }],
        }
    }

    /// Runs until blocked, ended, or `budget` instructions have been executed.
    pub fn run(
        &mut self,
        block: &mut BlockState,
        cluster: &mut ClusterState,
        kernel: &Kernel,
        launch: &Launch,
        budget: &mut u64,
    ) -> Result<Stop, Box<Finding>> {
        let given = *budget;
        loop {
            if self.fragments.is_empty() {
                return Ok(Stop::Ended);
            }
            if *budget == 0 {
                return Ok(Stop::Turn);
            }
            self.wake(block, cluster);
            let Some(chosen) = self.choose() else {
                if self.new_round() {
                    match *budget == given {
                        true => continue,
                        // All may be spinning: let other warps run.
                        false => return Ok(Stop::Turn),
                    }
                }
                return match self.fragments.iter().all(|f| f.is_parked()) {
                    true => Err(self.divergence(block, cluster, kernel)),
                    false => Ok(Stop::Blocked),
                };
            };
            let fragment = self.fragments.swap_remove(chosen);
            let yielded = self.run_fragment(fragment, block, cluster, kernel, launch, budget)?;
            if yielded {
                return Ok(if self.fragments.is_empty() { Stop::Ended } else { Stop::Turn });
            }
        }
    }

    /// Runs one fragment until it meets, splits, stops or has had its share.
    fn run_fragment(
        &mut self,
        mut f: Fragment,
        block: &mut BlockState,
        cluster: &mut ClusterState,
        kernel: &Kernel,
        launch: &Launch,
        budget: &mut u64,
    ) -> Result<bool, Box<Finding>> {
        let alone = self.fragments.is_empty();
        let depth = f.calls.len() as u32;
        self.registers.select_frame(depth);
        let resumed = std::mem::take(&mut f.resumed);
        let poll = f.poll.take().map(|poll| poll.turned(self.role.instructions));
        let mut cpu = Cpu {
            warp: self,
            block,
            cluster,
            kernel,
            launch,
            mask: f.mask,
            standing: f.mask,
            pc: f.pc,
            depth,
            calls: std::mem::take(&mut f.calls),
            resumed,
            semantics: None,
            poll,
            fault: None,
            scatter: Vec::new(),
        };
        let flow = loop {
            let inst = &kernel.code[cpu.pc as usize];
            let guard = match guarded(&mut cpu, inst.guard) {
                Ok(mask) => mask,
                Err(flow) => break flow,
            };
            cpu.mask = guard;
            cpu.warp.role.instructions.count(inst.kind);
            cpu.block.tally.steps += 1;
            let flow = if guard == 0 {
                Flow::Next
            } else if inst.touches_wgmma
                && let Err(flow) = cpu.touch_registers(inst)
            {
                flow
            } else {
                // SAFETY: `exec` was chosen by `Op::best` for this CPU.
                unsafe { (inst.exec)(&mut cpu, inst) }
            };
            *budget = budget.saturating_sub(1);
            match flow {
                Flow::Next => cpu.pc += 1,
                Flow::Jump(taken) if taken == cpu.standing => cpu.pc = inst.aux,
                Flow::Jump(0) => cpu.pc += 1,
                other => break other,
            }
            cpu.resumed = false;
            // It must stop at another fragment's place, and behind one that goes first.
            let may_go_on = alone || {
                f.share.count(cpu.block.events);
                !f.share.is_used_up() && !cpu.warp.gives_way(cpu.pc, &cpu.calls)
            };
            if !may_go_on || *budget == 0 {
                break Flow::Next;
            }
        };
        let (pc, mask, scatter, fault) =
            (cpu.pc, cpu.mask, std::mem::take(&mut cpu.scatter), cpu.fault.take());
        f.calls = std::mem::take(&mut cpu.calls);
        if matches!(flow, Flow::Park(_) | Flow::Wait(_)) {
            // It is tried again, and counts once.
            cpu.warp.role.instructions.take_back(kernel.code[pc as usize].kind);
        }
        f.poll = cpu.poll.take().map(|poll| poll.turned(cpu.warp.role.instructions));
        f.pc = pc;
        let aux = kernel.code.get(pc as usize).map_or(0, |i| i.aux);
        match flow {
            Flow::Fault => return Err(fault.unwrap_or_else(|| unreachable_fault(kernel, pc))),
            Flow::Next => self.stand(f),
            Flow::Jump(taken) => {
                self.split(&mut f, taken, aux);
                f.pc += 1;
                self.stand(f);
            }
            Flow::Scatter => {
                for (target, lanes) in scatter {
                    self.split(&mut f, lanes, target);
                }
                f.pc += 1;
                self.stand(f);
            }
            Flow::Call(target) => {
                for (elsewhere, lanes) in scatter {
                    self.split(&mut f, lanes, elsewhere);
                }
                let calls = f.calls.iter().copied().chain([pc + 1]).collect();
                self.leave(&mut f, mask, target, calls);
                f.pc += 1;
                self.stand(f);
            }
            Flow::Return => {
                let (back, calls) = match f.calls.split_last() {
                    Some((back, rest)) => (*back, rest.to_vec()),
                    None => {
                        self.end(mask, block, cluster);
                        f.mask &= !mask;
                        f.pc += 1;
                        self.stand(f);
                        return Ok(false);
                    }
                };
                self.leave(&mut f, mask, back, calls);
                f.pc += 1;
                self.stand(f);
            }
            Flow::Exit => {
                self.end(mask, block, cluster);
                f.mask &= !mask;
                f.pc += 1;
                self.stand(f);
            }
            Flow::Park(_) | Flow::Wait(_) => {
                // Lanes whose guard is false do not wait.
                let rest = f.mask & !mask;
                self.split(&mut f, rest, pc + 1);
                f.state = match flow {
                    Flow::Wait(wait) => State::Waiting(wait),
                    Flow::Park(needed) => State::Parked { needed },
                    _ => State::Ready,
                };
                self.stand(f);
            }
            Flow::Yield => {
                f.pc += 1;
                f.share = Share::USED_UP;
                self.stand(f);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Does a fragment at `pc` meet another, or come behind one that goes first?
    #[inline]
    fn gives_way(&self, pc: u32, calls: &[u32]) -> bool {
        self.fragments.iter().any(|o| {
            o.calls.len() == calls.len()
                && !matches!(o.state, State::Waiting(_))
                && (o.pc == pc || o.state == State::Ready && !o.share.is_used_up() && o.pc < pc)
        })
    }

    /// Puts a fragment back, joining one that stands at the same place.
    fn stand(&mut self, f: Fragment) {
        if f.mask == 0 {
            return;
        }
        let meets = |o: &&mut Fragment| {
            o.pc == f.pc && o.calls == f.calls && !matches!(o.state, State::Waiting(_)) && !o.resumed
        };
        if !matches!(f.state, State::Waiting(_))
            && !f.resumed
            && let Some(other) = self.fragments.iter_mut().find(meets)
        {
            other.mask |= f.mask;
            other.share = other.share.max(f.share);
            // Lanes have come: what was parked is tried again.
            other.state = State::Ready;
            return;
        }
        self.fragments.push(f);
    }

    fn split(&mut self, f: &mut Fragment, lanes: u32, pc: u32) {
        let calls = f.calls.clone();
        self.leave(f, lanes, pc, calls);
    }

    fn leave(&mut self, f: &mut Fragment, lanes: u32, pc: u32, calls: Vec<u32>) {
        f.mask &= !lanes;
        self.stand(Fragment {
            pc,
            mask: lanes,
            calls,
            state: State::Ready,
            share: f.share,
            resumed: false,
            poll: None,
        });
    }

    fn end(&mut self, lanes: u32, block: &mut BlockState, cluster: &mut ClusterState) {
        self.live &= !lanes;
        // What waits for all lanes of the warp may have them now.
        for f in &mut self.fragments {
            if f.is_parked() {
                f.state = State::Ready;
            }
        }
        block.threads_ended(lanes.count_ones());
        if self.live == 0 {
            block.warpgroups[self.index as usize / 4].end(self.index);
        }
        let phase = Some(cluster.barrier.generation);
        let arrived = (0..32).filter(|l| lanes >> l & 1 == 1 && self.cluster_arrivals[*l] == phase).count();
        cluster.threads_ended(lanes.count_ones(), arrived as u32);
    }

    /// Fragments whose wait is over go on.
    fn wake(&mut self, block: &BlockState, cluster: &ClusterState) {
        for f in &mut self.fragments {
            if let State::Waiting(wait) = f.state
                && wait.is_over(block, cluster)
            {
                f.state = State::Ready;
                f.resumed = true;
            }
        }
    }

    /// The fragment that goes first, of those that have something left of their share.
    fn choose(&self) -> Option<usize> {
        let fresh = |f: &Fragment| f.state == State::Ready && !f.share.is_used_up();
        let first = |(_, f): &(usize, &Fragment)| (std::cmp::Reverse(f.calls.len()), f.pc);
        self.fragments.iter().enumerate().filter(|(_, f)| fresh(f)).min_by_key(first).map(|(index, _)| index)
    }

    /// Starts a round if a fragment waits for one.
    fn new_round(&mut self) -> bool {
        let waits = self.fragments.iter().any(|f| f.state == State::Ready);
        self.fragments.iter_mut().for_each(|f| f.share = Share::NEW);
        waits
    }

    /// Can any lane go on, given the barriers as they are?
    pub fn is_ready(&self, block: &BlockState, cluster: &ClusterState) -> bool {
        self.fragments.iter().any(|f| match f.state {
            State::Ready => true,
            State::Parked { .. } => false,
            State::Waiting(wait) => wait.is_over(block, cluster),
        })
    }

    /// Does a fragment wait for something only until it may look again?
    pub fn polls(&self) -> bool {
        self.fragments.iter().any(|f| matches!(f.state, State::Waiting(Wait::Mbarrier(..))))
    }

    /// Where the lanes stand, for messages.
    pub fn stands(&self, block: &BlockState, cluster: &ClusterState, kernel: &Kernel) -> Vec<Stand> {
        self.fragments
            .iter()
            .map(|f| {
                let place = cpu::place(kernel, f.pc, block.index, self.index, f.mask);
                let waits_for = match f.state {
                    State::Ready => "nothing: it can go on".to_owned(),
                    State::Parked { .. } => "the other lanes of the warp".to_owned(),
                    State::Waiting(wait) => wait.describe(block, cluster),
                };
                Stand {
                    block: block.index,
                    warp: self.index,
                    lanes: f.mask,
                    ptx_line: place.ptx_line,
                    source: place.source,
                    waits_for,
                }
            })
            .collect()
    }

    fn divergence(&self, block: &BlockState, cluster: &ClusterState, kernel: &Kernel) -> Box<Finding> {
        let mut stands = self.stands(block, cluster, kernel);
        stands.sort_by_key(|s| s.ptx_line);
        let earliest = self.fragments.iter().min_by_key(|f| f.pc);
        let (pc, came) = earliest.map(|f| (f.pc, f.mask)).unwrap_or_default();
        let needed = match earliest.map(|f| f.state) {
            Some(State::Parked { needed }) => needed,
            _ => self.live,
        };
        Box::new(Finding {
            verdict: Verdict::Divergence { needed, came, stands },
            place: cpu::place(kernel, pc, block.index, self.index, came),
        })
    }
}

fn guarded(cpu: &mut Cpu<'_>, guard: Guard) -> Result<u32, Flow> {
    if !guard.slot.is_some() {
        return Ok(cpu.standing);
    }
    cpu.mask = cpu.standing;
    cpu.require_defined(guard.slot, Use::Branch)?;
    Ok((cpu.warp.registers.pred(cpu.kernel, guard.slot) ^ guard.flip) & cpu.standing)
}

/// An operation returned `Flow::Fault` without a finding: a defect of that operation, still reported as one.
fn unreachable_fault(kernel: &Kernel, pc: u32) -> Box<Finding> {
    let problem = "the emulator stopped here without a reason: please report it".to_owned();
    Box::new(Finding { verdict: Verdict::Operand { problem }, place: cpu::place(kernel, pc, [0; 3], 0, 0) })
}
