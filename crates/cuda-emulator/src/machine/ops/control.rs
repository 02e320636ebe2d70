//! Control flow: branches, calls, returns, the end of threads.

use crate::code::{Class, DecodeError, Decoder, Edges, Inst, Kind, Slot};
use crate::machine::lanes::both;
use crate::machine::ops::{Modifiers, host_call};
use crate::machine::registers::Raw;
use crate::machine::{Cpu, Flow};
use crate::ptx::ast::{Instruction, Operand, Type};
use crate::verdict::{Use, Verdict};

/// Calls may nest this deep.
const MAX_DEPTH: u32 = 256;

#[inline(always)]
fn bra(cpu: &mut Cpu<'_>, _: &Inst) -> Flow {
    Flow::Jump(cpu.mask)
}

#[inline(always)]
fn exit(cpu: &mut Cpu<'_>, _: &Inst) -> Flow {
    match cpu.end_threads() {
        Ok(()) => Flow::Exit,
        Err(verdict) => {
            let mask = cpu.mask;
            cpu.fault(verdict, mask)
        }
    }
}

#[inline(always)]
fn yield_turn(_: &mut Cpu<'_>, _: &Inst) -> Flow {
    Flow::Yield
}

#[inline(always)]
fn nothing(_: &mut Cpu<'_>, _: &Inst) -> Flow {
    Flow::Next
}

#[inline(always)]
fn trap(cpu: &mut Cpu<'_>, _: &Inst) -> Flow {
    let mask = cpu.mask;
    cpu.fault(Verdict::Trap, mask)
}

/// `brx.idx`: each lane picks a label by its index.
#[inline(always)]
fn table(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    if let Err(flow) = cpu.require_defined(i.src[0], Use::Branch) {
        return flow;
    }
    let index = *u32::row(&cpu.warp.registers, cpu.kernel, i.src[0]);
    let targets = cpu.operands(i);
    let mut scatter: Vec<(u32, u32)> = Vec::new();
    for lane in (0..32).filter(|l| cpu.mask >> l & 1 == 1) {
        let Some(target) = targets.get(index[lane] as usize) else {
            let problem = format!("index {} into {} branch targets", index[lane], targets.len());
            return cpu.fault(Verdict::Operand { problem }, 1 << lane);
        };
        let target = target.index() as u32;
        match scatter.iter_mut().find(|(t, _)| *t == target) {
            Some((_, lanes)) => *lanes |= 1 << lane,
            None => scatter.push((target, 1 << lane)),
        }
    }
    cpu.scatter = scatter;
    Flow::Scatter
}

/// Call of the function whose index is in `imm`.
#[inline(always)]
fn call(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    let mask = cpu.mask;
    enter(cpu, i, i.imm as usize, mask)
}

/// Call through an address: the lanes of the first lane's target enter it; the
/// others come back to this instruction.
#[inline(always)]
fn call_indirect(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    if let Err(flow) = cpu.require_defined(i.src[0], Use::Address) {
        return flow;
    }
    let target = *u64::row(&cpu.warp.registers, cpu.kernel, i.src[0]);
    let first = target[cpu.mask.trailing_zeros() as usize];
    let same = (0..32).filter(|l| cpu.mask >> l & 1 == 1 && target[*l as usize] == first);
    let lanes = same.fold(0, |m, l| m | 1u32 << l);
    let found = cpu
        .kernel
        .functions
        .iter()
        .skip(1)
        .position(|f| f.address == first && f.params.len() + f.returns.len() == usize::from(i.list.ins));
    let Some(index) = found.map(|n| n + 1) else {
        return cpu.fault(Verdict::BadCall { target: first }, lanes);
    };
    // Lanes with other targets stay here and call after these.
    cpu.scatter = vec![(cpu.pc, cpu.mask & !lanes)];
    cpu.mask = lanes;
    enter(cpu, i, index, lanes)
}

#[inline(always)]
fn enter(cpu: &mut Cpu<'_>, i: &Inst, index: usize, lanes: u32) -> Flow {
    if cpu.depth + 1 >= MAX_DEPTH {
        let depth = cpu.depth + 1;
        return cpu.fault(Verdict::StackOverflow { depth }, lanes);
    }
    let depth = cpu.depth + 1;
    cpu.warp.registers.enter_frame(depth, lanes);
    let bytes = cpu.kernel.local_bytes as usize;
    for (lane, local) in cpu.warp.local.iter_mut().enumerate() {
        local.grow(bytes * (depth as usize + 1));
        // What an earlier call left there is not this one's.
        if lanes >> lane & 1 == 1 {
            local.forget(bytes * depth as usize);
        }
    }
    let kernel = cpu.kernel;
    let callee = &kernel.functions[index];
    let params = cpu.operands(i).iter().skip(callee.returns.len());
    for (from, (to, size)) in params.zip(&callee.params) {
        cpu.copy_frame(lanes, (cpu.depth, from.index() as u32), (depth, *to), *size);
    }
    Flow::Call(callee.entry)
}

/// `ret`: results go to the caller's variables; what was allocated is gone.
#[inline(always)]
fn ret(cpu: &mut Cpu<'_>, _: &Inst) -> Flow {
    let (lanes, depth) = (cpu.mask, cpu.depth);
    let ended = if depth == 0 { cpu.end_threads() } else { cpu.end_function() };
    if let Err(verdict) = ended {
        return cpu.fault(verdict, lanes);
    }
    for (_, stack) in cpu.warp.stacks.iter_mut().enumerate().filter(|(l, _)| lanes >> l & 1 == 1) {
        stack.leave(depth);
    }
    if let Some(back) = cpu.calls.last() {
        let kernel = cpu.kernel;
        let site = &kernel.code[*back as usize - 1];
        let function = kernel.functions.iter().rposition(|f| f.entry <= cpu.pc).unwrap_or(0);
        let callee = &kernel.functions[function];
        for (to, (from, size)) in cpu.operands(site).iter().zip(&callee.returns) {
            cpu.copy_frame(lanes, (depth, *from), (depth - 1, to.index() as u32), *size);
        }
    }
    Flow::Return
}

impl<'a> Cpu<'a> {
    /// The slots of an instruction's operand list, results left out.
    pub fn operands(&self, i: &Inst) -> &'a [Slot] {
        let start = i.list.start as usize + usize::from(i.list.outs);
        &self.kernel.lists[start..start + usize::from(i.list.ins)]
    }

    /// The result slots of an instruction's operand list.
    pub fn results(&self, i: &Inst) -> &'a [Slot] {
        let start = i.list.start as usize;
        &self.kernel.lists[start..start + usize::from(i.list.outs)]
    }

    /// Copies bytes between call frames of the lanes' local memory.
    fn copy_frame(&mut self, lanes: u32, from: (u32, u32), to: (u32, u32), size: u32) {
        let frame = self.kernel.local_bytes;
        let place = |(depth, offset): (u32, u32)| u64::from(depth * frame + offset);
        for lane in (0..32).filter(|l| lanes >> l & 1 == 1) {
            let local = &mut self.warp.local[lane];
            if let (Some(source), Some(target)) =
                (local.at(place(from), size.into()), local.at(place(to), size.into()))
            {
                // SAFETY: both are `size` bytes inside the buffer, of different frames.
                unsafe {
                    std::ptr::copy(source.0, target.0, size as usize);
                    std::ptr::copy(source.1, target.1, size as usize);
                }
            }
        }
    }
}

/// Decodes this family.
pub fn decode(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    let mut m = Modifiers::of(i);
    // A promise that all lanes take the branch together: checked by nothing, needed by nothing.
    let _uniform = m.take("uni");
    match (i.opcode.as_str(), i.operands.as_slice()) {
        ("bra", [Operand::Name { name, .. }]) if m.done() => {
            d.emit(both!(bra), Kind::Control, &[], &[]).edges = Edges::Jump;
            d.jump_to(name);
        }
        ("brx", [index, Operand::Name { name, .. }])
            if m.take("idx") && {
                m.take("uni");
                m.done()
            } =>
        {
            let index = d.source(index, Type::U32)?;
            let list = d.targets(name)?;
            let inst = d.emit(both!(table), Kind::Control, &[], &[index]);
            inst.list = list;
            inst.edges = Edges::Table;
        }
        ("call", _) if m.done() => return decode_call(d, i),
        ("ret", []) if m.done() => emit_return(d),
        ("exit", []) if m.done() => {
            d.emit(both!(exit), Kind::Control, &[], &[]).edges = Edges::End;
        }
        ("trap" | "brkpt", []) if m.done() => {
            d.emit(both!(trap), Kind::Control, &[], &[]);
        }
        ("nanosleep", [time]) if m.take("u32") && m.done() => {
            d.source(time, Type::U32)?;
            d.emit(both!(yield_turn), Kind::Control, &[], &[]);
        }
        // No counter of the profiler counts these events.
        ("pmevent", [Operand::Integer(event)])
            if (0..=if m.take("mask") { 0xffff } else { 15 }).contains(event) && m.done() =>
        {
            d.emit(both!(nothing), Kind::Control, &[], &[]);
        }
        // Grids of a stream run one after the other: those before have completed when
        // this one starts, and those behind start when it has. Both are allowed. That
        // it does not count on the first is checked at accesses.
        ("griddepcontrol", []) if m.take("launch_dependents") && m.done() => {
            d.emit(both!(nothing), Kind::Control, &[], &[]);
        }
        ("griddepcontrol", []) if m.take("wait") && m.done() => {
            d.emit(both!(wait_for_grids), Kind::Control, &[], &[]);
        }
        _ => return Err(d.unknown(i)),
    }
    Ok(())
}

#[inline(always)]
fn wait_for_grids(cpu: &mut Cpu<'_>, _: &Inst) -> Flow {
    cpu.wait_for_grids();
    Flow::Next
}

fn decode_call(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    let (returns, rest) = match i.operands.as_slice() {
        [Operand::List(returns), rest @ ..] => (returns.as_slice(), rest),
        rest => (&[][..], rest),
    };
    let (target, rest) = rest.split_first().ok_or_else(|| d.unknown(i))?;
    let params = match rest.first() {
        Some(Operand::List(params)) => params.as_slice(),
        _ => &[],
    };
    let Operand::Name { name, .. } = target else { return Err(d.unknown(i)) };
    let mut places = Vec::new();
    for variable in returns.iter().chain(params) {
        places.push(Slot::constant(Class::R32, d.frame_offset(variable)?));
    }
    let list = d.list(&[], &places);
    if let Some(index) = d.callee(name) {
        let inst = d.emit(both!(call), Kind::Control, &[], &[]);
        inst.imm = index as i64;
        inst.list = list;
        return Ok(());
    }
    if d.register_type(target).is_some() {
        let address = d.source(target, Type::U64)?;
        d.emit(both!(call_indirect), Kind::Control, &[], &[address]).list = list;
        return Ok(());
    }
    host_call::decode(d, name, list)
}

/// `ret`, also where a body ends without one.
pub fn emit_return(d: &mut Decoder<'_>) {
    d.emit(both!(ret), Kind::Control, &[], &[]).edges = Edges::End;
}

/// `dst` = the address `offset` within the running function's frame.
pub fn emit_frame_address(d: &mut Decoder<'_>, dst: Slot, offset: u64) {
    let op = match dst.class() {
        Class::R64 => both!(frame_address64),
        _ => both!(frame_address32),
    };
    d.emit(op, Kind::Integer, &[dst], &[]).imm = offset as i64;
}

#[inline(always)]
fn frame_address64(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    let value = i.imm as u64 + u64::from(cpu.depth * cpu.kernel.local_bytes);
    cpu.broadcast(i.dst[0], value);
    Flow::Next
}

#[inline(always)]
fn frame_address32(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    let value = i.imm as u32 + cpu.depth * cpu.kernel.local_bytes;
    cpu.broadcast(i.dst[0], value);
    Flow::Next
}
