//! `cp.async`: copies from global to shared memory that a thread waits for later.

use crate::code::{DecodeError, Decoder, Inst, Kind, SHARED_START, Slot};
use crate::machine::async_copy::AsyncCopy;
use crate::machine::history::Touch;
use crate::machine::lanes::both;
use crate::machine::ops::Modifiers;
use crate::machine::ops::address::emit_sum;
use crate::machine::ops::memory::{check_hint, defined, read, write};
use crate::machine::ops::moves::value_of;
use crate::machine::pattern::{self, Cost, Memory};
use crate::machine::registers::Raw;
use crate::machine::{Cpu, Flow};
use crate::ptx::ast::{Instruction, Operand, Space, Type};
use crate::verdict::{Access, Use, Verdict};

/// In place of a number of groups: all of them, and the copies of none.
const ALL: u32 = u32::MAX;

/// src: destination, source, bytes to take of the source or none, predicate to
/// ignore the source or none; `aux`: bytes to write.
#[inline(always)]
fn copy(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    let uses = [Use::Address, Use::Address, Use::Control, Use::Control];
    for (slot, used_as) in i.src.into_iter().zip(uses).filter(|(slot, _)| slot.is_some()) {
        if let Err(flow) = cpu.require_defined(slot, used_as) {
            return flow;
        }
    }
    let (mask, size) = (cpu.mask, i.aux);
    let targets = cpu.addresses(i, i.src[0]);
    let ignored = if i.src[3].is_some() { cpu.warp.registers.pred(cpu.kernel, i.src[3]) } else { 0 };
    let wanted =
        if i.src[2].is_some() { *u32::row(&cpu.warp.registers, cpu.kernel, i.src[2]) } else { [size; 32] };
    let (mut sources, mut taken) = ([0; 32], [0; 32]);
    for lane in (0..32).filter(|l| mask >> l & 1 == 1) {
        sources[lane] = value_of(cpu, i.src[1], lane);
        taken[lane] = if ignored >> lane & 1 == 1 { 0 } else { wanted[lane] };
        if let Err(verdict) = issue(cpu, lane, targets[lane], sources[lane], size, taken[lane]) {
            return cpu.fault(verdict, 1 << lane);
        }
    }
    count(cpu, &sources, &taken, size);
    Flow::Next
}

/// Counts what is read. Of a source that is not taken whole, nothing counts as shared with other lanes.
fn count(cpu: &mut Cpu<'_>, sources: &[u64; 32], taken: &[u32; 32], size: u32) {
    let lanes = |is: &dyn Fn(u32) -> bool| {
        (0..32).filter(|l| is(taken[*l])).fold(0, |lanes, l| lanes | 1u32 << l) & cpu.mask
    };
    let (all, whole) = (lanes(&|bytes| bytes > 0), lanes(&|bytes| bytes == size));
    let cost = |lanes| pattern::cost(Memory::Global, sources, lanes, size);
    let parts: u32 = (0..32).filter(|l| (all & !whole) >> l & 1 == 1).map(|l| taken[l as usize]).sum();
    let cost = Cost { least: cost(whole).least + parts, needed: cost(all).needed };
    cpu.block.tally.global(Access::Read, cost);
}

/// Starts the copy of one lane: `taken` bytes of the source, zeros up to `size`.
fn issue(cpu: &mut Cpu<'_>, lane: usize, to: u64, from: u64, size: u32, taken: u32) -> Result<(), Verdict> {
    if taken > size {
        return Err(Verdict::Operand {
            problem: format!("{taken} bytes of the source for a copy of {size}"),
        });
    }
    let (rank, address) = cpu.shared_target(Space::Shared, to, size, size, Access::Write)?;
    let at = address - SHARED_START;
    cpu.touch("a copy", rank, at..at + size, Touch::Copy)?;
    let (data, shadow) = take(cpu, lane, from, size, taken)?;
    // Undefined until it has landed.
    cpu.cluster.shared[rank as usize].forget(address, size);
    let copies = &mut cpu.warp.async_copies;
    copies.resize_with(32, Default::default);
    copies[lane].issue(AsyncCopy { to: at, size, data, shadow });
    Ok(())
}

/// The first `taken` bytes of a source of `size`, then zeros; and what is defined of them.
fn take(
    cpu: &mut Cpu<'_>,
    lane: usize,
    from: u64,
    size: u32,
    taken: u32,
) -> Result<([u64; 2], [u64; 2]), Verdict> {
    let (mut data, mut shadow) = ([0; 2], [u64::MAX; 2]);
    if taken > 0 && from & u64::from(size - 1) != 0 {
        let space = "global".to_owned();
        return Err(Verdict::Misaligned { access: Access::Read, space, address: from, align: size });
    }
    // Where not all is taken, memory need not go on: byte by byte.
    let piece = if taken == size { size } else { 1 };
    let width = piece.min(8);
    for start in (0..taken).step_by(piece as usize) {
        let span = cpu.span(Space::Global, lane, from + u64::from(start), piece, Access::Read)?;
        for offset in (0..piece).step_by(width as usize) {
            let (word, shift) = ((start + offset) as usize / 8, 8 * ((start + offset) % 8));
            // SAFETY: the span holds `piece` bytes, aligned to them.
            let (value, is_defined) = unsafe {
                let at = offset as usize;
                (read(span.data.add(at), width), read(span.shadow.add(at), width))
            };
            data[word] |= value << shift;
            shadow[word] &= is_defined << shift | !(defined(width) << shift);
        }
    }
    Ok((data, shadow))
}

/// Writes 4, 8 or 16 bytes.
///
/// # Safety
/// `at` is valid for `size` bytes and aligned to them.
unsafe fn put(at: *mut u8, value: [u64; 2], size: u32) {
    for (word, value) in value.iter().enumerate().take(size.div_ceil(8) as usize) {
        // SAFETY: as the caller says.
        unsafe { write(at.add(8 * word), size.min(8), *value) };
    }
}

#[inline(always)]
fn commit(cpu: &mut Cpu<'_>, _: &Inst) -> Flow {
    let mask = cpu.mask;
    cpu.warp.async_copies.resize_with(32, Default::default);
    for lane in (0..32).filter(|l| mask >> l & 1 == 1) {
        cpu.warp.async_copies[lane].commit_group();
    }
    Flow::Next
}

/// Lands what the lanes wait for: all but the `aux` latest groups, or all.
#[inline(always)]
fn wait(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    let mask = cpu.mask;
    let (data, shadow) = cpu.cluster.shared[cpu.block.rank as usize].start();
    let mut landed = 0;
    for (_, copies) in cpu.warp.async_copies.iter_mut().enumerate().filter(|(l, _)| mask >> l & 1 == 1) {
        let mut land = |copy: AsyncCopy| {
            let to = copy.to as usize;
            // SAFETY: where it goes was checked when it was issued, and shared memory stays as it is.
            unsafe {
                put(data.add(to), copy.data, copy.size);
                put(shadow.add(to), copy.shadow, copy.size);
            }
            landed += 1;
        };
        match i.aux {
            ALL => copies.wait_all().for_each(&mut land),
            pending => copies.wait_group(pending as usize).for_each(&mut land),
        }
    }
    cpu.block.events += landed;
    Flow::Next
}

/// Decodes this family.
pub fn decode(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    let mut m = Modifiers::of(i);
    if !m.take("async") {
        return Err(d.unknown(i));
    }
    let operation = m.take_if(|w| match w {
        "commit_group" => Some(both!(commit)),
        "wait_group" | "wait_all" => Some(both!(wait)),
        _ => None,
    });
    let Some(op) = operation else { return decode_copy(d, i, m) };
    let groups = match (i.modifiers[1].as_str(), i.operands.as_slice()) {
        ("wait_group", [Operand::Integer(n)]) => u32::try_from(*n).ok().filter(|n| *n != ALL),
        ("wait_all" | "commit_group", []) => Some(ALL),
        _ => None,
    };
    let Some(groups) = groups.filter(|_| m.done()) else { return Err(d.unknown(i)) };
    d.emit(op, Kind::Barrier, &[], &[]).aux = groups;
    Ok(())
}

fn decode_copy(d: &mut Decoder<'_>, i: &Instruction, mut m: Modifiers<'_>) -> Result<(), DecodeError> {
    // In L2 alone, or in L1 too: a hint, but one that limits the size.
    let everywhere = m.take("ca");
    let cache = everywhere || m.take("cg");
    let spaces = cache && (m.take("shared") || m.take("shared::cta")) && m.take("global");
    let hint = m.take("L2::cache_hint");
    m.take_if(|w| matches!(w, "L2::64B" | "L2::128B" | "L2::256B").then_some(()));
    let [to, from, Operand::Integer(size), rest @ ..] = i.operands.as_slice() else {
        return Err(d.unknown(i));
    };
    if !spaces || !m.done() || !matches!((size, everywhere), (16, _) | (4 | 8, true)) {
        return Err(d.unknown(i));
    }
    let (rest, policy) = rest.split_at(rest.len().saturating_sub(usize::from(hint)));
    check_hint(d, i, hint, policy)?;
    let (mut taken, mut ignored) = (Slot::NONE, Slot::NONE);
    match rest {
        [] => {}
        [Operand::Integer(n)] if !(0..=*size).contains(n) => return Err(d.unknown(i)),
        [predicate]
            if matches!(predicate, Operand::Not(_)) || d.register_type(predicate) == Some(Type::Pred) =>
        {
            ignored = d.source(predicate, Type::Pred)?;
        }
        [bytes] => taken = d.source(bytes, Type::U32)?,
        _ => return Err(d.unknown(i)),
    }
    let (to, from) = (d.reference(to, Space::Shared)?, d.reference(from, Space::Global)?);
    let source = emit_sum(d, from.base, from.offset);
    let inst = d.emit(both!(copy), Kind::Copy, &[], &[to.base, source, taken, ignored]);
    inst.imm = to.offset;
    inst.aux = *size as u32;
    Ok(())
}
