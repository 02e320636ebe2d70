//! `wgmma`: the four warps of a warpgroup multiply matrices, asynchronously.
//!
//! Each warp makes its 16 of the 64 rows. An operation is only recorded when it is
//! issued: that its matrices are in shared memory is checked, and its accumulators
//! become undefined. It lands when `wait_group` demands it, as late as is legal:
//! only then are its memory and registers read, so that whatever touched them too
//! early has done so. (B is read for all four warps when the first of them waits: of what touches it after
//! that, the watch alone tells.)

mod pending;
mod shared;
mod warpgroup;

pub use pending::Pending;
use pending::{Misuse, Multiply};
use shared::Part;
use warpgroup::Asked;
pub use warpgroup::Warpgroup;

use super::tensor::{self, COLUMNS, Undefined};
use crate::code::{Class, DecodeError, Decoder, Inst, Kind, Slot};
use crate::machine::lanes::both;
use crate::machine::matrix::descriptor::Major;
use crate::machine::matrix::fragment::{DEPTH, ROWS};
use crate::machine::ops::Modifiers;
use crate::machine::registers::Raw;
use crate::machine::{Cpu, Flow, Wait};
use crate::numeric::tensor_core::{self, Accumulator, Format, Operation, REGISTERS, Unit};
use crate::ptx::ast::{Instruction, Operand, Type};
use crate::verdict::{Use, Verdict};

const TRANSPOSED_A: u32 = 1 << tensor::BITS;
const TRANSPOSED_B: u32 = 2 << tensor::BITS;

/// How many times eight columns are multiplied at once: so few that their accumulators stay in the host's first cache.
const AT_ONCE: usize = 4;

/// Registers of A, if it is in registers.
const A_REGISTERS: usize = 4;

/// List: D; A, where it is in registers; D. src: A's descriptor, or none; B's; `scale-d`.
#[inline(always)]
fn issue(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    match prepare(cpu, i) {
        Ok(multiply) => {
            if !multiply.continues {
                hold(cpu, i);
            }
            cpu.warp.wgmma.issue(multiply);
            let op = tensor::unpack(i.aux);
            cpu.block.tally.multiply(&op, ROWS);
            Flow::Next
        }
        Err(flow) => flow,
    }
}

/// Everything that can be wrong with an operation.
fn prepare(cpu: &mut Cpu<'_>, i: &Inst) -> Result<Multiply, Flow> {
    cpu.whole_warp()?;
    whole_warpgroup(cpu)?;
    let a = match i.src[0].is_some() {
        true => descriptor(cpu, i.src[0])?,
        false => 0,
    };
    let b = descriptor(cpu, i.src[1])?;
    cpu.require_defined(i.src[2], Use::Control)?;
    let accumulate = match cpu.warp.registers.pred(cpu.kernel, i.src[2]) {
        0 => false,
        u32::MAX => true,
        _ => return Err(differs(cpu, "scale-d")),
    };
    let mut multiply = Multiply::new(cpu.pc, cpu.depth, a, b, accumulate);
    let asked = Asked { pc: cpu.pc, a, b };
    check_others(cpu, asked)?;
    multiply.continues = continues(cpu, i);
    if !multiply.continues {
        check_registers(cpu, i)?;
    }
    let mark = cpu.warp.clock.issue(cpu.pc);
    if i.src[0].is_some() {
        let part = part_of_a(cpu, i, &multiply);
        cpu.check_part(&part)?;
        cpu.begin_part(&part, mark)?;
    }
    let (part, warp) = (part_of_b(i, &multiply), cpu.warp.index);
    let begun = cpu.block.warpgroups[warp as usize / 4].next(warp).map(|(_, written)| written.to_vec());
    let written = match begun {
        Some(written) => {
            cpu.join_part(&part, &written)?;
            None
        }
        None => {
            cpu.check_part(&part)?;
            Some(cpu.begin_part(&part, mark)?)
        }
    };
    cpu.block.warpgroups[warp as usize / 4].issue(warp, asked, written);
    Ok(multiply)
}

/// Do the warps of the warpgroup ask the same, as far as they have come?
fn check_others(cpu: &mut Cpu<'_>, asked: Asked) -> Result<(), Flow> {
    let warp = cpu.warp.index;
    let group = &cpu.block.warpgroups[warp as usize / 4];
    if let Some(ended) = group.has_ended() {
        let problem = format!("warp {} of the warpgroup has ended", warp / 4 * 4 + ended as u32);
        return Err(cpu.fault(Verdict::Wgmma { problem, other: None }, u32::MAX));
    }
    let Some((other, _)) = group.next(warp).filter(|(other, _)| *other != asked) else { return Ok(()) };
    let differ = |what: &str, a: u64, b: u64| {
        format!("{what} is {a:#x}, and {b:#x} in another warp of the warpgroup, at (2)")
    };
    let problem = if other.pc != asked.pc {
        "another warp of the warpgroup has issued (2) in its place".to_owned()
    } else if other.a != asked.a {
        differ("A's descriptor", asked.a, other.a)
    } else {
        differ("B's descriptor", asked.b, other.b)
    };
    let other = Some(Box::new(cpu.place(other.pc, u32::MAX)));
    Err(cpu.fault(Verdict::Wgmma { problem, other }, u32::MAX))
}

/// Does it go on with the accumulators of the operation before it, as most do? Then what has been found out about them
/// still holds.
fn continues(cpu: &Cpu<'_>, i: &Inst) -> bool {
    cpu.warp.wgmma.to_continue().is_some_and(|last| {
        let before = &cpu.kernel.code[last.pc as usize];
        last.depth == cpu.depth && i.src[0].is_some() && cpu.results(before) == cpu.results(i)
    })
}

/// A is in registers: those.
fn registers_of_a<'a>(cpu: &Cpu<'a>, i: &Inst) -> &'a [Slot] {
    if i.src[0].is_some() { &[] } else { &cpu.operands(i)[..A_REGISTERS] }
}

/// Was all that others did with the registers fenced, and is it over?
fn check_registers(cpu: &mut Cpu<'_>, i: &Inst) -> Result<(), Flow> {
    if !cpu.warp.wgmma.has_fenced() {
        let problem = "no `wgmma.fence` comes before it".to_owned();
        return Err(cpu.fault(Verdict::Wgmma { problem, other: None }, u32::MAX));
    }
    for (slots, as_d) in [(cpu.results(i), true), (registers_of_a(cpu, i), false)] {
        for slot in slots.iter().filter(|slot| !slot.is_constant()) {
            let row = cpu.warp.registers.row_of(*slot);
            if let Some(misuse) = cpu.warp.wgmma.may_use(row, as_d) {
                let which = if as_d { "an accumulator" } else { "a register of A" };
                let problem = match misuse {
                    Misuse::Unfenced(_) => {
                        format!("{which} was touched by (2), and no `wgmma.fence` is between")
                    }
                    Misuse::Written(_) => {
                        format!("{which} is an accumulator of (2), which has not been waited for")
                    }
                    Misuse::Read(_) => {
                        format!("{which} is a part of A of (2), which has not been waited for")
                    }
                };
                return Err(cpu.misused(problem, misuse));
            }
        }
    }
    Ok(())
}

impl Cpu<'_> {
    /// An instruction of another family names registers that `wgmma` uses too: are they in use?
    #[inline(never)]
    pub fn touch_registers(&mut self, i: &Inst) -> Result<(), Flow> {
        for named in [&i.dst[..], &i.src, self.results(i), self.operands(i)] {
            for slot in named.iter().filter(|s| s.is_some() && !s.is_constant() && s.class() == Class::R32) {
                let row = self.warp.registers.row_of(*slot);
                if let Some(misuse) = self.warp.wgmma.touch(row, self.pc) {
                    let a = matches!(misuse, Misuse::Read(_));
                    let what = if a { "a register of A" } else { "an accumulator" };
                    let problem = format!("touches {what} of (2), which has not been waited for");
                    return Err(self.misused(problem, misuse));
                }
            }
        }
        Ok(())
    }

    fn misused(&mut self, problem: String, misuse: Misuse) -> Flow {
        let (Misuse::Unfenced(pc) | Misuse::Written(pc) | Misuse::Read(pc)) = misuse;
        let other = Some(Box::new(self.place(pc, u32::MAX)));
        let mask = self.mask;
        self.fault(Verdict::Wgmma { problem, other }, mask)
    }
}

fn whole_warpgroup(cpu: &mut Cpu<'_>) -> Result<(), Flow> {
    let threads: u32 = cpu.launch.block.iter().product();
    if (cpu.warp.index / 4 + 1) * 128 <= threads {
        return Ok(());
    }
    let problem = format!(
        "wgmma is for four whole warps, the first of them a multiple of four: warp {} is in no such group of a \
         block of {threads} threads",
        cpu.warp.index
    );
    Err(cpu.fault(Verdict::Operand { problem }, u32::MAX))
}

/// A descriptor, which all lanes must agree on.
fn descriptor(cpu: &mut Cpu<'_>, slot: Slot) -> Result<u64, Flow> {
    cpu.require_defined(slot, Use::Address)?;
    let row = u64::row(&cpu.warp.registers, cpu.kernel, slot);
    match row.iter().all(|bits| *bits == row[0]) {
        true => Ok(row[0]),
        false => Err(differs(cpu, "matrix descriptor")),
    }
}

fn differs(cpu: &mut Cpu<'_>, what: &str) -> Flow {
    let problem = format!("the lanes of a warp have different values of a {what}");
    cpu.fault(Verdict::Operand { problem }, u32::MAX)
}

fn part_of_a(cpu: &Cpu<'_>, i: &Inst, multiply: &Multiply) -> Part {
    let major = if i.aux & TRANSPOSED_A != 0 { Major::Mn } else { Major::K };
    let first = cpu.warp.index % 4 * ROWS as u32;
    Part { name: "A", bits: multiply.a, major, lines: first..first + ROWS as u32 }
}

fn part_of_b(i: &Inst, multiply: &Multiply) -> Part {
    let major = if i.aux & TRANSPOSED_B != 0 { Major::Mn } else { Major::K };
    Part { name: "B", bits: multiply.b, major, lines: 0..tensor::unpack(i.aux).n as u32 }
}

/// The accumulators are undefined from now on.
fn hold(cpu: &mut Cpu<'_>, i: &Inst) {
    for slot in registers_of_a(cpu, i).iter().filter(|slot| !slot.is_constant()) {
        cpu.warp.wgmma.read(cpu.warp.registers.row_of(*slot), cpu.pc);
    }
    for slot in cpu.results(i) {
        let registers = &mut cpu.warp.registers;
        cpu.warp.wgmma.hold(registers.row_of(*slot), cpu.pc, || {
            let before = tensor::undefined_halves(registers, *slot);
            registers.set_undefined(*slot, u32::MAX, u32::MAX);
            before
        });
    }
}

/// Lets the operations land that are not of the `imm` last groups, and waits until those of the other warps have.
#[inline(always)]
fn wait(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    if let Err(flow) = cpu.whole_warp() {
        return flow;
    }
    let warp = cpu.warp.index;
    if cpu.resumed {
        cpu.warp.clock.land_others(warp);
        return Flow::Next;
    }
    let depth = cpu.depth;
    while let Some(multiply) = cpu.warp.wgmma.due(i.imm as u64) {
        // Its registers are those of the function that issued it.
        cpu.warp.registers.select_frame(multiply.depth);
        land(cpu, &multiply);
        cpu.warp.clock.land();
        cpu.warp.registers.select_frame(depth);
    }
    let groups = cpu.warp.wgmma.landed();
    let warpgroup = &mut cpu.block.warpgroups[warp as usize / 4];
    cpu.block.events += u64::from(warpgroup.land(warp, groups));
    if warpgroup.have_landed(groups) {
        cpu.warp.clock.land_others(warp);
        return Flow::Next;
    }
    Flow::Wait(Wait::Warpgroup(warp / 4, groups))
}

#[inline(always)]
fn land(cpu: &mut Cpu<'_>, multiply: &Multiply) {
    let i = &cpu.kernel.code[multiply.pc as usize];
    let undefined = add_product(cpu, i, multiply);
    cpu.block.warpgroups[cpu.warp.index as usize / 4].pass(cpu.warp.index);
    settle(cpu, i, multiply, &undefined);
}

/// Reads A and B, and gives D its value. Says what of the factors is undefined.
#[inline(always)]
fn add_product(cpu: &mut Cpu<'_>, i: &Inst, multiply: &Multiply) -> Undefined {
    let (op, slots) = (tensor::unpack(i.aux), cpu.results(i));
    let arithmetic = cpu.launch.arithmetic;
    let (warp, group) = (cpu.warp.index, cpu.warp.index as usize / 4);
    if cpu.block.warpgroups[group].is_unread(warp) {
        let mut numbers = cpu.block.warpgroups[group].spare();
        cpu.read_b(&op, &part_of_b(i, multiply), &mut numbers);
        cpu.block.warpgroups[group].share(warp, numbers);
    }
    let mut codes = [0; ROWS * DEPTH];
    let mut undefined = Undefined::NOTHING;
    if i.src[0].is_some() {
        let part = part_of_a(cpu, i, multiply);
        cpu.read_part(&part, &mut codes, |row| undefined.rows |= 1 << row);
    } else {
        for slot in registers_of_a(cpu, i).iter().filter(|slot| !slot.is_constant()) {
            cpu.warp.wgmma.end_read(cpu.warp.registers.row_of(*slot));
        }
        tensor::read_a(cpu, &cpu.operands(i)[..A_REGISTERS], DEPTH, &mut codes, &mut undefined);
    }
    let warpgroup = &mut cpu.block.warpgroups[group];
    let (rows, b) = warpgroup.operands(warp);
    rows.set(&op, arithmetic, &codes);
    let undefined = Undefined { rows: undefined.rows, ..b.undefined };
    let registers = &mut cpu.warp.registers;
    for (columns, slots) in
        b.columns.chunks(AT_ONCE).zip(slots.chunks(AT_ONCE * slots.len() / b.columns.len()))
    {
        let mut d = [[0; 32]; AT_ONCE * REGISTERS];
        let d = &mut d[..columns.len() * REGISTERS];
        if multiply.accumulate {
            tensor::read_d(registers, cpu.kernel, &op, slots, d);
        }
        tensor_core::multiply(&op, arithmetic, rows, columns, d);
        tensor::write_d(registers, &op, slots, d);
    }
    undefined
}

/// What D's registers are like now, if no other operation goes on with them, or will be like then.
#[inline(always)]
fn settle(cpu: &mut Cpu<'_>, i: &Inst, multiply: &Multiply, undefined: &Undefined) {
    let continued = cpu.warp.wgmma.is_continued();
    if continued && multiply.accumulate && !undefined.any() {
        return;
    }
    let (op, slots) = (tensor::unpack(i.aux), cpu.results(i));
    let registers = &mut cpu.warp.registers;
    for (n, slot) in slots.iter().enumerate() {
        let row = registers.row_of(*slot);
        let before = if multiply.accumulate { cpu.warp.wgmma.held(row) } else { [0; 2] };
        let after = tensor::undefined_result(undefined, op.d, n, before);
        if continued {
            cpu.warp.wgmma.hand_on(row, after);
        } else if cpu.warp.wgmma.release(row, after) {
            tensor::set_undefined_halves(registers, *slot, after);
        }
    }
}

#[inline(always)]
fn commit(cpu: &mut Cpu<'_>, _: &Inst) -> Flow {
    if let Err(flow) = cpu.whole_warp() {
        return flow;
    }
    cpu.warp.wgmma.commit();
    Flow::Next
}

/// Orders registers and operations. Values are in the program's order anyway; fences are counted, so that an operation
/// is found that uses a register touched since the last one (`Misuse::Unfenced`).
#[inline(always)]
fn fence(cpu: &mut Cpu<'_>, _: &Inst) -> Flow {
    match cpu.whole_warp() {
        Ok(()) => {
            cpu.warp.wgmma.fence();
            Flow::Next
        }
        Err(flow) => flow,
    }
}

/// Decodes this family.
pub fn decode(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    let mut m = Modifiers::of(i);
    let name = m.advance().unwrap_or_default();
    if !(m.take("sync") && m.take("aligned")) {
        return Err(d.unknown(i));
    }
    match (name, i.operands.as_slice()) {
        ("fence", []) if m.done() => {
            d.emit(both!(fence), Kind::Barrier, &[], &[]);
            Ok(())
        }
        ("commit_group", []) if m.done() => {
            d.emit(both!(commit), Kind::Barrier, &[], &[]);
            Ok(())
        }
        ("wait_group", [Operand::Integer(allowed @ 0..)]) if m.done() => {
            d.emit(both!(wait), Kind::Barrier, &[], &[]).imm = *allowed;
            d.waits_for_late_uses();
            Ok(())
        }
        ("mma_async", _) => decode_multiply(d, i, m),
        _ => Err(d.unknown(i)),
    }
}

fn decode_multiply(d: &mut Decoder<'_>, i: &Instruction, mut m: Modifiers<'_>) -> Result<(), DecodeError> {
    let shape = m.take_if(|w| {
        let (n, k) = w.strip_prefix("m64n")?.split_once('k')?;
        Some((n.parse::<usize>().ok()?, k.parse::<usize>().ok()?))
    });
    let before = m.take("satfinite");
    let sum = m.advance().unwrap_or_default();
    let (a, b) = (m.take_if(tensor::format_of), m.take_if(tensor::format_of));
    let saturate = before || m.take("satfinite");
    let sum = tensor::accumulator_of(sum, saturate);
    let (true, Some((n, k)), Some(sum), Some(a), Some(b)) = (m.done(), shape, sum, a, b) else {
        return Err(d.unknown(i));
    };
    let integer = matches!(sum, Accumulator::S32 { .. });
    // Bytes have fewer shapes.
    let step = if integer && n > 32 { 16 } else { 8 };
    let shape = matches!(n, 8..=COLUMNS) && n.is_multiple_of(step) && k * a.bytes() == DEPTH;
    if !shape || !tensor::exists(a, b, sum) || saturate && !integer {
        return Err(d.unknown(i));
    }
    let [accumulators, first, second, scale, rest @ ..] = i.operands.as_slice() else {
        return Err(d.unknown(i));
    };
    // Bytes have no signs. Matrices in shared memory may be transposed if their elements have 16 bits.
    let in_registers = matches!(first, Operand::Vector(_));
    let may_transpose = matches!(a, Format::F16 | Format::Bf16);
    let (signs, transposed) = rest.split_at(if integer { 0 } else { 2.min(rest.len()) });
    let negate = match signs {
        [a, b] => choice(d, i, a, [1, -1])? != choice(d, i, b, [1, -1])?,
        [] if integer => false,
        _ => return Err(d.unknown(i)),
    };
    let (transposed_a, transposed_b) = match (may_transpose, in_registers, transposed) {
        (false, _, []) => (false, false),
        (true, true, [b]) => (false, choice(d, i, b, [0, 1])?),
        (true, false, [a, b]) => (choice(d, i, a, [0, 1])?, choice(d, i, b, [0, 1])?),
        _ => return Err(d.unknown(i)),
    };
    let op = Operation { a, b, d: sum, unit: Unit::Warpgroup, negate, n, k };
    // D is operand and result.
    if matches!(accumulators, Operand::Vector(parts) if parts.contains(&Operand::Sink)) {
        return Err(d.unknown(i));
    }
    let slots = tensor::results(d, accumulators, tensor::accumulator_registers(sum, n))?;
    let (mut operands, a_slot) = match in_registers {
        true => (tensor::sources(d, first, A_REGISTERS, Type::B32)?, Slot::NONE),
        false => (Vec::new(), d.source(first, Type::B64)?),
    };
    operands.extend(&slots);
    let src = [a_slot, d.source(second, Type::B64)?, d.source(scale, Type::Pred)?];
    let list = d.list(&slots, &operands);
    let inst = d.emit(both!(issue), Kind::Tensor, &[], &src);
    inst.list = list;
    inst.aux = tensor::pack(&op);
    inst.aux |= if transposed_a { TRANSPOSED_A } else { 0 };
    inst.aux |= if transposed_b { TRANSPOSED_B } else { 0 };
    d.uses_late(&operands);
    Ok(())
}

/// An immediate that has one of two values: is it the second?
fn choice(
    d: &Decoder<'_>,
    i: &Instruction,
    operand: &Operand,
    values: [i64; 2],
) -> Result<bool, DecodeError> {
    match operand {
        Operand::Integer(value) if values.contains(value) => Ok(*value == values[1]),
        Operand::Integer(value) => {
            Err(d.error(format!("{value} is neither {} nor {}", values[0], values[1])))
        }
        _ => Err(d.unknown(i)),
    }
}
