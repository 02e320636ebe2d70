//! `mbarrier`: every executing lane does its own operation.

use crate::code::{Class, DecodeError, Decoder, Inst, Kind, SHARED_START, Slot};
use crate::machine::history::Touch;
use crate::machine::lanes::{both, lane_op};
use crate::machine::mbarrier::{self, Mbarrier, SIZE};
use crate::machine::ops::Modifiers;
use crate::machine::ops::address::address;
use crate::machine::ops::memory::space_of;
use crate::machine::order::Scope;
use crate::machine::registers::Raw;
use crate::machine::{Cpu, Flow, Wait};
use crate::ptx::ast::{Instruction, Operand, Space, Type};
use crate::verdict::{Access, Use, Verdict};

const EXPECT: u32 = 1;
const DROP: u32 = 2;
/// The arrival may not complete the phase.
const NO_COMPLETE: u32 = 4;
/// A wait names a phase by its parity, not by a token.
const PARITY: u32 = 8;
/// A wait may block.
const BLOCKS: u32 = 16;
/// The operation orders nothing but what a fence beside it does.
const RELAXED: u32 = 32;
/// It takes part in the scope of the cluster, not only of the block.
const CLUSTER: u32 = 64;
/// Under a seed one wait in so many gives up before its phase is complete; in an impatient block each does, once.
const GIVES_UP: usize = 8;
/// The state space is in the bits from here on.
const SPACE: u32 = 8;

fn space_in(i: &Inst) -> Space {
    match i.aux >> SPACE {
        0 => Space::Generic,
        1 => Space::Shared,
        _ => Space::Cluster,
    }
}

fn scope_in(flags: u32) -> Scope {
    if flags & CLUSTER != 0 { Scope::Cluster } else { Scope::Cta }
}

fn lanes_of(mask: u32) -> impl Iterator<Item = usize> {
    (0..32).filter(move |l| mask >> l & 1 == 1)
}

impl Cpu<'_> {
    /// Where the mbarrier of each executing lane lies: the block's rank and the address there.
    pub fn mbarrier_places(&mut self, space: Space, slot: Slot) -> Result<[(u32, u32); 32], Flow> {
        self.require_defined(slot, Use::Address)?;
        let addresses = self.addresses_at(slot, 0);
        let mut places = [(0, 0); 32];
        // Mostly it is the same for all.
        let mut last = None;
        for lane in lanes_of(self.mask) {
            if let Some((address, place)) = last
                && address == addresses[lane]
            {
                places[lane] = place;
                continue;
            }
            let place = self.shared_target(space, addresses[lane], SIZE, SIZE, Access::Atomic);
            let checked = place.and_then(|place| {
                self.reach(place.0)?;
                self.comes_behind_init(place)?;
                Ok(place)
            });
            match checked {
                Ok(place) => (places[lane], last) = (place, Some((addresses[lane], place))),
                Err(verdict) => return Err(self.fault(verdict, 1 << lane)),
            }
        }
        Ok(places)
    }

    /// Is the initialisation of an mbarrier ordered before this?
    pub fn comes_behind_init(&self, (rank, address): (u32, u32)) -> Result<(), Verdict> {
        let barrier = self.cluster.mbarriers[rank as usize].get(address);
        match barrier.filter(|b| !self.warp.clock.order().has_seen(b.init)) {
            None => Ok(()),
            Some(barrier) => {
                let line = self.place_of(barrier.init).ptx_line;
                let problem = format!("no barrier orders its initialisation (PTX line {line}) before this");
                Err(Verdict::Mbarrier { address, problem })
            }
        }
    }

    /// What the executing lanes did comes before the phase that they arrive in completes; if they are relaxed, what a
    /// fence says of it.
    fn release_to(&mut self, places: &[(u32, u32); 32], flags: u32) {
        let mut last = None;
        for lane in lanes_of(self.mask) {
            let (rank, address) = places[lane];
            if last.replace((rank, address)) != Some((rank, address))
                && let Some(barrier) = self.cluster.mbarriers[rank as usize].get_mut(address)
            {
                let clock = self.warp.clock.act(self.mask, self.warp.live);
                let from = clock.scope_of(self.cluster.crew.cluster, rank as usize * self.cluster.crew.each);
                barrier.gate.arrive(clock, from, scope_in(flags), flags & RELAXED != 0);
            }
        }
    }

    /// The same for operations that only the block's own mbarriers have.
    fn own_mbarrier_places(&mut self, i: &Inst) -> Result<[(u32, u32); 32], Flow> {
        let places = self.mbarrier_places(space_in(i), i.src[0])?;
        let own = self.block.rank;
        match lanes_of(self.mask).find(|lane| places[*lane].0 != own) {
            None => Ok(places),
            Some(lane) => {
                let (rank, address) = places[lane];
                let problem =
                    format!("it is block {rank}'s of the cluster, and block {own} may only arrive at it");
                Err(self.fault(Verdict::Mbarrier { address, problem }, 1 << lane))
            }
        }
    }

    /// Is the time of a wait up before its phase is complete?
    fn gives_up(&mut self, address: u32, phase: u64) -> bool {
        let again = self.warp.gave_up.replace((address, phase)) == Some((address, phase));
        self.block.impatient && !again || self.block.chance.one_in(GIVES_UP)
    }

    /// Does something with the mbarrier of a lane.
    fn with_mbarrier<T>(
        &mut self,
        lane: usize,
        (rank, address): (u32, u32),
        f: impl FnOnce(&mut Mbarrier) -> Result<T, String>,
    ) -> Result<T, Flow> {
        let outcome = match self.cluster.mbarriers[rank as usize].get_mut(address) {
            Some(barrier) => f(barrier),
            None => {
                Err("there is no mbarrier here: it was not initialised, or has been invalidated".to_owned())
            }
        };
        outcome.map_err(|problem| self.fault(Verdict::Mbarrier { address, problem }, 1 << lane))
    }
}

/// src: address, count.
#[inline(never)]
fn init(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    let places = match cpu.own_mbarrier_places(i) {
        Ok(places) => places,
        Err(flow) => return flow,
    };
    if let Err(flow) = cpu.require_defined(i.src[1], Use::Control) {
        return flow;
    }
    let counts = *u32::row(&cpu.warp.registers, cpu.kernel, i.src[1]);
    for lane in lanes_of(cpu.mask) {
        let (rank, address) = places[lane];
        let table = &mut cpu.cluster.mbarriers[rank as usize];
        let barrier = match table.get(address) {
            Some(_) => Err("it is initialised already: `mbarrier.inval` comes first".to_owned()),
            None => Mbarrier::new(counts[lane]),
        };
        match barrier {
            Ok(mut barrier) => {
                let offset = address - SHARED_START;
                if let Err(verdict) =
                    cpu.touch("an initialisation", rank, offset..offset + SIZE, Touch::Store(None))
                {
                    return cpu.fault(verdict, 1 << lane);
                }
                let table = &mut cpu.cluster.mbarriers[rank as usize];
                barrier.init = cpu.warp.clock.initialise(cpu.pc);
                table.insert(address, barrier);
                cpu.cluster.shared[rank as usize].forget(address, SIZE);
            }
            Err(problem) => return cpu.fault(Verdict::Mbarrier { address, problem }, 1 << lane),
        }
    }
    cpu.block.events += 1;
    Flow::Next
}

#[inline(never)]
fn inval(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    let places = match cpu.own_mbarrier_places(i) {
        Ok(places) => places,
        Err(flow) => return flow,
    };
    for lane in lanes_of(cpu.mask) {
        let (rank, address) = places[lane];
        if cpu.cluster.mbarriers[rank as usize].remove(address).is_none() {
            let problem = "there is no mbarrier here to invalidate".to_owned();
            return cpu.fault(Verdict::Mbarrier { address, problem }, 1 << lane);
        }
        let offset = address - SHARED_START;
        if let Err(verdict) = cpu.touch("`mbarrier.inval`", rank, offset..offset + SIZE, Touch::Store(None)) {
            return cpu.fault(verdict, 1 << lane);
        }
    }
    Flow::Next
}

/// dst: token or none. src: address, count of arrivals, bytes to expect.
#[inline(never)]
fn arrive(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    let places = match cpu.mbarrier_places(space_in(i), i.src[0]) {
        Ok(places) => places,
        Err(flow) => return flow,
    };
    for control in &i.src[1..3] {
        if let Err(flow) = cpu.require_defined(*control, Use::Control) {
            return flow;
        }
    }
    let counts = *u32::row(&cpu.warp.registers, cpu.kernel, i.src[1]);
    let bytes = *u32::row(&cpu.warp.registers, cpu.kernel, i.src[2]);
    cpu.release_to(&places, i.aux);
    let mut tokens = [0u64; 32];
    for lane in lanes_of(cpu.mask) {
        let done = cpu.with_mbarrier(lane, places[lane], |barrier| {
            if i.aux & EXPECT != 0 {
                barrier.expect(bytes[lane])?;
            }
            if i.aux & NO_COMPLETE != 0 && counts[lane] >= barrier.pending() {
                return Err("the arrival would complete the phase, which `.noComplete` rules out".to_owned());
            }
            barrier.arrive(counts[lane], i.aux & DROP != 0)
        });
        match done {
            Ok(token) => tokens[lane] = token,
            Err(flow) => return flow,
        }
    }
    if i.dst[0].is_some() {
        let mask = cpu.mask;
        crate::machine::registers::blend(u64::row_mut(&mut cpu.warp.registers, i.dst[0]), mask, &tokens);
        cpu.warp.registers.set_undefined(i.dst[0], mask, 0);
    }
    cpu.block.events += 1;
    Flow::Next
}

/// src: address, bytes. `aux` says whether they are expected or have come.
#[inline(never)]
fn transact(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    let places = match cpu.mbarrier_places(space_in(i), i.src[0]) {
        Ok(places) => places,
        Err(flow) => return flow,
    };
    if let Err(flow) = cpu.require_defined(i.src[1], Use::Control) {
        return flow;
    }
    let bytes = *u32::row(&cpu.warp.registers, cpu.kernel, i.src[1]);
    cpu.release_to(&places, i.aux);
    for lane in lanes_of(cpu.mask) {
        let done = cpu.with_mbarrier(lane, places[lane], |barrier| match i.aux & EXPECT {
            0 => barrier.complete(bytes[lane]),
            _ => barrier.expect(bytes[lane]),
        });
        if let Err(flow) = done {
            return flow;
        }
    }
    cpu.block.events += 1;
    Flow::Next
}

/// dst: predicate. src: address, token or parity. What is in flight to the
/// mbarrier lands now; if its phase is not complete even so, `try_wait` waits. Its time may be up
/// before the phase is: under a seed it gives up now and then, so that who does not ask again is found.
#[inline(never)]
fn wait(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    let places = match cpu.own_mbarrier_places(i) {
        Ok(places) => places,
        Err(flow) => return flow,
    };
    if let Err(flow) = cpu.require_defined(i.src[1], Use::Control) {
        return flow;
    }
    let awaited = cpu.addresses_at(i.src[1], 0);
    let passed = |barrier: &Mbarrier, lane: usize| match i.aux & PARITY {
        0 => barrier.has_passed(awaited[lane]),
        _ => barrier.has_passed_parity(awaited[lane] as u32),
    };
    let mask = cpu.mask;
    let mut done = 0;
    let mut waits = None;
    // Mostly it is the same for all.
    let mut last = None;
    for lane in lanes_of(mask) {
        let (rank, address) = places[lane];
        let asked = (places[lane], awaited[lane]);
        if let Some((same, now)) = last
            && same == asked
        {
            done |= u32::from(now) << lane;
            continue;
        }
        let now = match cpu.with_mbarrier(lane, places[lane], |b| Ok(passed(b, lane))) {
            Ok(now) => now,
            Err(flow) => return flow,
        };
        if !now && let Err(finding) = cpu.cluster.land_on(rank, address, cpu.launch) {
            cpu.fault = Some(finding);
            return Flow::Fault;
        }
        let now = match cpu.with_mbarrier(lane, places[lane], |b| Ok((passed(b, lane), b.phase()))) {
            Ok((true, _)) => {
                if let Some(barrier) = cpu.cluster.mbarriers[rank as usize].get(address) {
                    let relaxed = i.aux & RELAXED != 0;
                    barrier.gate.wait(&mut cpu.warp.clock, scope_in(i.aux), relaxed);
                }
                true
            }
            Ok((false, phase)) => {
                waits = waits.or(Some(Wait::Mbarrier(address, phase, 0)));
                false
            }
            Err(flow) => return flow,
        };
        done |= u32::from(now) << lane;
        last = Some((asked, now));
    }
    if let (0, Some(Wait::Mbarrier(address, phase, _)), false) = (done, waits, cpu.resumed)
        && i.aux & BLOCKS != 0
        && !cpu.gives_up(address, phase)
    {
        return Flow::Wait(Wait::Mbarrier(address, phase, cpu.cluster.polls));
    }
    cpu.polled(done != mask);
    cpu.warp.registers.set_pred(i.dst[0], mask, done, 0);
    if done == mask || i.aux & BLOCKS != 0 { Flow::Next } else { Flow::Yield }
}

/// Decodes this family.
pub fn decode(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    let mut m = Modifiers::of(i);
    let operation = m.advance();
    if operation == Some("pending_count") {
        let ([dst, token], true) = (i.operands.as_slice(), m.take("b64") && m.done()) else {
            return Err(d.unknown(i));
        };
        let (dst, token) = (d.dest(dst, Type::U32)?, d.source(token, Type::B64)?);
        let op = lane_op!(|a: u64| -> u32 { mbarrier::pending_of(a) });
        d.emit(op, Kind::Barrier, &[dst], &[token]);
        return Ok(());
    }
    let mut flags = 0;
    let arrives = matches!(operation, Some("arrive" | "arrive_drop"));
    let waits = matches!(operation, Some("test_wait" | "try_wait"));
    loop {
        match m.peek() {
            Some("expect_tx") if arrives => flags |= EXPECT,
            Some("noComplete") if arrives => flags |= NO_COMPLETE,
            Some("parity") if waits => flags |= PARITY,
            Some("relaxed") => flags |= RELAXED,
            // What is not relaxed is this, and in the scope of the block.
            Some("acquire" | "release" | "cta") => {}
            Some("cluster") => flags |= CLUSTER,
            _ => break,
        }
        m.advance();
    }
    let space = m.take_if(space_of).unwrap_or(Space::Generic);
    flags |= match space {
        Space::Generic => 0,
        Space::Shared => 1,
        // Only what arrives, and counts bytes, reaches other blocks.
        Space::Cluster if arrives || matches!(operation, Some("expect_tx" | "complete_tx")) => 2,
        _ => return Err(d.unknown(i)),
    } << SPACE;
    if !m.take("b64") || !m.done() {
        return Err(d.unknown(i));
    }
    let zero = d.constant32(0);
    match (operation, i.operands.as_slice()) {
        (Some("init"), [at, count]) => {
            let (at, count) = (address(d, at, space)?, d.source(count, Type::U32)?);
            d.hands_on_by_lanes = true;
            d.emit(both!(init), Kind::Barrier, &[], &[at, count]).aux = flags;
        }
        (Some("inval"), [at]) => {
            let at = address(d, at, space)?;
            d.emit(both!(inval), Kind::Barrier, &[], &[at]).aux = flags;
        }
        (Some(which @ ("expect_tx" | "complete_tx")), [at, bytes]) => {
            let (at, bytes) = (address(d, at, space)?, d.source(bytes, Type::U32)?);
            let expects = if which == "expect_tx" { EXPECT } else { 0 };
            // They are relaxed whether they say so or not.
            d.emit(both!(transact), Kind::Barrier, &[], &[at, bytes]).aux = flags | expects | RELAXED;
        }
        (Some(which @ ("arrive" | "arrive_drop")), operands) => {
            let (token, operands) = match operands {
                // Of another block there is no token: the destination is `_` or missing.
                [Operand::Memory { .. }, ..] => (Slot::NONE, operands),
                [Operand::Sink, rest @ ..] => (Slot::NONE, rest),
                [token, rest @ ..] => (d.dest_class(token, Class::R64)?, rest),
                [] => return Err(d.unknown(i)),
            };
            let one = d.constant32(1);
            let (at, count, bytes) = match (operands, flags & EXPECT) {
                ([at], 0) => (at, one, zero),
                ([at, count], 0) => (at, d.source(count, Type::U32)?, zero),
                ([at, bytes], _) => (at, one, d.source(bytes, Type::U32)?),
                _ => return Err(d.unknown(i)),
            };
            let at = address(d, at, space)?;
            if which == "arrive_drop" {
                flags |= DROP;
            }
            d.emit(both!(arrive), Kind::Barrier, &[token], &[at, count, bytes]).aux = flags;
        }
        // The last operand of `try_wait` may be a hint for how long to wait.
        (Some(which @ ("test_wait" | "try_wait")), [done, at, phase, rest @ ..])
            if rest.len() <= usize::from(which == "try_wait") =>
        {
            let ty = if flags & PARITY != 0 { Type::U32 } else { Type::B64 };
            let (done, at, phase) = (d.dest(done, Type::Pred)?, address(d, at, space)?, d.source(phase, ty)?);
            let blocks = if which == "try_wait" { BLOCKS } else { 0 };
            d.emit(both!(wait), Kind::Barrier, &[done], &[at, phase]).aux = flags | blocks;
        }
        _ => return Err(d.unknown(i)),
    }
    Ok(())
}
