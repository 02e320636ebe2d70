//! What is done with tensor maps as objects in memory: `tensormap.replace`, `tensormap.cp_fenceproxy` and
//! `fence.proxy.tensormap::generic`; and where copies get theirs.

use std::sync::atomic::{Ordering::SeqCst, fence};

use crate::code::{DecodeError, Decoder, Inst, Kind, Reference, Slot, Windowed};
use crate::machine::access::{Span, space_name};
use crate::machine::lanes::both;
use crate::machine::ops::Modifiers;
use crate::machine::ops::memory::{read, write};
use crate::machine::pattern::Cost;
use crate::machine::tensor_map::{BYTES, Field, TensorMap, replace as put};
use crate::machine::{Cpu, Flow};
use crate::ptx::ast::{Instruction, Operand, Space, Type};
use crate::verdict::{Access, Use, Verdict};

/// What a copy's tensor map is aligned to, as the host's type is.
const ALIGNMENT: u64 = 64;
/// What one is aligned to for instructions that take it as a value of 1024 bits.
const WHOLE: u64 = BYTES as u64;
/// Bytes that are checked and found at a time.
const PART: usize = 32;

/// A tensor map's memory, part by part.
type Parts = [Span; BYTES / PART];

impl Cpu<'_> {
    /// The tensor map that a lane's copy names by a generic address.
    pub fn tensor_map(&mut self, lane: usize, address: u64) -> Result<TensorMap, Verdict> {
        if let Windowed::Shared(_) | Windowed::Local(_) = Windowed::of(address) {
            let problem = format!(
                "a copy's tensor map is in global, constant or parameter memory, which {address:#x} is not"
            );
            return Err(Verdict::TensorMap { problem });
        }
        let parts = self.tensor_map_parts(Space::Generic, lane, address, ALIGNMENT, Access::Read)?;
        TensorMap::decode(&bytes_of(&parts)?)
    }

    fn tensor_map_parts(
        &mut self,
        space: Space,
        lane: usize,
        address: u64,
        align: u64,
        access: Access,
    ) -> Result<Parts, Verdict> {
        if !address.is_multiple_of(align) {
            let (space, align) = (space_name(space).to_owned(), align as u32);
            return Err(Verdict::Misaligned { access, space, address, align });
        }
        let mut part = |n: u64| self.span(space, lane, address + n * PART as u64, PART as u32, access);
        Ok([part(0)?, part(1)?, part(2)?, part(3)?])
    }

    /// Does something for each executing lane that has other addresses than the last: a warp that works on one
    /// tensor map does so once.
    fn each_tensor_map(
        &mut self,
        addresses: [&[u64; 32]; 2],
        mut f: impl FnMut(&mut Self, usize) -> Result<(), Verdict>,
    ) -> Flow {
        let mut last = None;
        let mask = self.mask;
        for lane in (0..32).filter(|lane| mask >> lane & 1 == 1) {
            let this = Some(addresses.map(|row| row[lane]));
            if this != last
                && let Err(verdict) = f(self, lane)
            {
                return self.fault(verdict, 1 << lane);
            }
            last = this;
        }
        Flow::Next
    }
}

/// The words of a part, by their offset.
fn words() -> impl Iterator<Item = usize> {
    (0..PART).step_by(8)
}

/// A tensor map, all of it defined.
fn bytes_of(parts: &Parts) -> Result<[u8; BYTES], Verdict> {
    let mut bytes = [0; BYTES];
    let places = parts.iter().flat_map(|part| words().map(move |at| (part, at)));
    for ((part, at), to) in places.zip(bytes.chunks_exact_mut(8)) {
        // SAFETY: the words are inside the part, and aligned as it is.
        let (word, shadow) = unsafe { (read(part.data.add(at), 8), read(part.shadow.add(at), 8)) };
        if shadow != u64::MAX {
            let problem = "some of the tensor map's bytes are undefined".to_owned();
            return Err(Verdict::TensorMap { problem });
        }
        to.copy_from_slice(&word.to_ne_bytes());
    }
    Ok(bytes)
}

// ---- Replacement -----------------------------------------------------------------------

/// A field by its name in PTX; those of one value for each dimension are made with its number.
type Named = (&'static str, Type, fn(u32) -> Field);

const WHOLE_FIELDS: &[Named] =
    &[("global_address", Type::B64, |_| Field::GlobalAddress), ("rank", Type::B32, |_| Field::Rank)];
const DIMENSION_FIELDS: &[Named] = &[
    ("box_dim", Type::B32, Field::BoxDim),
    ("global_dim", Type::B32, Field::GlobalDim),
    ("global_stride", Type::B64, Field::GlobalStride),
    ("element_stride", Type::B32, Field::ElementStride),
];
/// Their values are immediates.
const CHOICE_FIELDS: &[Named] = &[
    ("elemtype", Type::B32, |_| Field::ElementType),
    ("interleave_layout", Type::B32, |_| Field::InterleaveLayout),
    ("swizzle_mode", Type::B32, |_| Field::SwizzleMode),
    ("fill_mode", Type::B32, |_| Field::FillMode),
];

fn fields() -> impl Iterator<Item = &'static Named> {
    WHOLE_FIELDS.iter().chain(DIMENSION_FIELDS).chain(CHOICE_FIELDS)
}

/// In `aux`: the field's number, the dimension from bit 8 on, the space from bit 16 on.
const DIMENSION: u32 = 8;
const SPACE: u32 = 16;
const SPACES: [(&str, Space); 3] =
    [("", Space::Generic), ("global", Space::Global), ("shared::cta", Space::Shared)];

/// src: address, value. The lanes go one after the other, since each changes a part of the whole.
#[inline(never)]
fn replace(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    for (slot, used_as) in [(i.src[0], Use::Address), (i.src[1], Use::Control)] {
        if let Err(flow) = cpu.require_defined(slot, used_as) {
            return flow;
        }
    }
    let (addresses, values) = (cpu.addresses(i, i.src[0]), cpu.addresses(&Inst { imm: 0, ..*i }, i.src[1]));
    let (number, dimension) = (i.aux as u8 as usize, i.aux >> DIMENSION & 255);
    let Some((_, _, field)) = fields().nth(number) else { return Flow::Next };
    let space = SPACES[(i.aux >> SPACE) as usize].1;
    cpu.each_tensor_map([&addresses, &values], |cpu, lane| {
        let address = addresses[lane];
        if space == Space::Generic
            && let Windowed::Local(_) | Windowed::Param(_) = Windowed::of(address)
        {
            let problem = format!(
                "a tensor map that is changed is in global or shared memory, which {address:#x} is not"
            );
            return Err(Verdict::TensorMap { problem });
        }
        let parts = cpu.tensor_map_parts(space, lane, address, WHOLE, Access::Write)?;
        let mut bytes = bytes_of(&parts)?;
        put(&mut bytes, field(dimension), values[lane])?;
        for (part, bytes) in parts.iter().zip(bytes.chunks_exact(PART)) {
            for (at, word) in words().zip(bytes.chunks_exact(8)) {
                let word = u64::from_ne_bytes(std::array::from_fn(|i| word[i]));
                // SAFETY: the words are inside the part, and aligned as it is.
                unsafe { write(part.data.add(at), 8, word) };
            }
        }
        Ok(())
    })
}

fn decode_replace(d: &mut Decoder<'_>, i: &Instruction, m: &mut Modifiers<'_>) -> Result<(), DecodeError> {
    let tile = m.take("tile");
    let found = m.take_if(|word| fields().position(|(name, ..)| *name == word));
    let space = m.take_if(|word| SPACES.iter().position(|(name, _)| *name == word)).unwrap_or(0);
    let sized = m.take("b1024");
    let ty = m.ty();
    let Some((number, &(name, of, field))) = found.and_then(|n| Some((n, fields().nth(n)?))) else {
        return Err(d.unknown(i));
    };
    if !(tile && sized && ty == Some(of) && m.done()) {
        return Err(d.unknown(i));
    }
    let has = |fields: &[Named]| fields.iter().any(|(other, ..)| *other == name);
    let (at, dimension, value) = match i.operands.as_slice() {
        [at, Operand::Integer(dimension @ 0..=4), value] if has(DIMENSION_FIELDS) => (at, *dimension, value),
        [at, value @ Operand::Integer(choice)] if has(CHOICE_FIELDS) => {
            // Whether there is such a choice can be tried on a map of zeros.
            match put(&mut [0; BYTES], field(0), *choice as u64) {
                Ok(()) => (at, 0, value),
                Err(_) => return Err(d.unknown(i)),
            }
        }
        [at, value] if has(WHOLE_FIELDS) => (at, 0, value),
        _ => return Err(d.unknown(i)),
    };
    let Reference { base, offset } = d.reference(at, SPACES[space].1)?;
    let value = d.source(value, of)?;
    let kind = if SPACES[space].1 == Space::Shared { Kind::Shared } else { Kind::Global };
    let inst = d.emit(both!(replace), kind, &[], &[base, value]);
    inst.imm = offset;
    inst.aux = number as u32 | (dimension as u32) << DIMENSION | (space as u32) << SPACE;
    Ok(())
}

// ---- Copy and fences -------------------------------------------------------------------

/// src: destination, source. The offset of the source is in `aux`.
#[inline(never)]
fn copy(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    // All lanes of the warp that have not ended come together.
    if cpu.mask != cpu.warp.live {
        return Flow::Park(cpu.warp.live);
    }
    for slot in &i.src[..2] {
        if let Err(flow) = cpu.require_defined(*slot, Use::Address) {
            return flow;
        }
    }
    let to = cpu.addresses(i, i.src[0]);
    let from = cpu.addresses(&Inst { imm: i64::from(i.aux as i32), ..*i }, i.src[1]);
    let flow = cpu.each_tensor_map([&to, &from], |cpu, lane| {
        let from = cpu.tensor_map_parts(Space::Shared, lane, from[lane], WHOLE, Access::Read)?;
        let to = cpu.tensor_map_parts(Space::Global, lane, to[lane], WHOLE, Access::Write)?;
        for (from, to) in from.iter().zip(&to) {
            for at in words() {
                // SAFETY: the words are inside the parts, and aligned as those are.
                unsafe {
                    write(to.data.add(at), 8, read(from.data.add(at), 8));
                    write(to.shadow.add(at), 8, read(from.shadow.add(at), 8));
                }
            }
        }
        cpu.block.tally.global(Access::Write, Cost { least: BYTES as u32, needed: BYTES as u32 });
        Ok(())
    });
    fence(SeqCst);
    flow
}

fn decode_copy(d: &mut Decoder<'_>, i: &Instruction, m: &mut Modifiers<'_>) -> Result<(), DecodeError> {
    let known = m.take("global")
        && m.take("shared::cta")
        && m.take("tensormap::generic")
        && m.take("release")
        && m.take_if(scope).is_some()
        && m.take("sync")
        && m.take("aligned")
        && m.done();
    let (true, [to, from, Operand::Integer(size)]) = (known, i.operands.as_slice()) else {
        return Err(d.unknown(i));
    };
    if *size != BYTES as i64 {
        return Err(d.unknown(i));
    }
    let (to, from) = (d.reference(to, Space::Global)?, d.reference(from, Space::Shared)?);
    let inst = d.emit(both!(copy), Kind::Global, &[], &[to.base, from.base]);
    (inst.imm, inst.aux) = (to.offset, from.offset as u32);
    Ok(())
}

/// src: an address in global memory of 128 bytes, or none. A full fence of the host is at least what is asked.
#[inline(never)]
fn proxy_fence(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    fence(SeqCst);
    if !i.src[0].is_some() {
        return Flow::Next;
    }
    if let Err(flow) = cpu.require_defined(i.src[0], Use::Address) {
        return flow;
    }
    let addresses = cpu.addresses(i, i.src[0]);
    cpu.each_tensor_map([&addresses, &addresses], |cpu, lane| {
        let first = addresses[lane];
        if !matches!(Windowed::of(first), Windowed::Global(_)) {
            let problem =
                format!("a fence acquires a tensor map in global memory, in which {first:#x} is not");
            return Err(Verdict::TensorMap { problem });
        }
        for at in [first, first.wrapping_add(WHOLE - 1)] {
            cpu.span(Space::Generic, lane, at, 1, Access::Read)?;
        }
        Ok(())
    })
}

fn scope(word: &str) -> Option<()> {
    matches!(word, "cta" | "cluster" | "gpu" | "sys").then_some(())
}

/// Decodes `fence.proxy.tensormap::generic`.
pub fn decode_fence(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    let mut m = Modifiers::of(i);
    if !(m.take("proxy") && m.take("tensormap::generic")) {
        return Err(d.unknown(i));
    }
    let releases = m.take("release");
    if !((releases || m.take("acquire")) && m.take_if(scope).is_some() && m.done()) {
        return Err(d.unknown(i));
    }
    let reference = match i.operands.as_slice() {
        [] if releases => Reference { base: Slot::NONE, offset: 0 },
        [at, Operand::Integer(size)] if !releases && *size == BYTES as i64 => {
            d.reference(at, Space::Generic)?
        }
        _ => return Err(d.unknown(i)),
    };
    d.emit(both!(proxy_fence), Kind::Barrier, &[], &[reference.base]).imm = reference.offset;
    Ok(())
}

/// Decodes `tensormap`.
pub fn decode(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    let mut m = Modifiers::of(i);
    match m.advance() {
        Some("replace") => decode_replace(d, i, &mut m),
        Some("cp_fenceproxy") => decode_copy(d, i, &mut m),
        _ => Err(d.unknown(i)),
    }
}
