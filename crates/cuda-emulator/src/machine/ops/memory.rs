//! Loads and stores: all state spaces, widths and vectors.
//!
//! Memory is read and written element by element with relaxed atomics of the
//! host: kernels may race (a race is a finding of its own, not undefined
//! behaviour of the emulator).

use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::code::{Class, DecodeError, Decoder, Inst, Kind, List, Reference, Slot, class_of};
use crate::machine::access::Span;
use crate::machine::lanes::both;
use crate::machine::ops::Modifiers;
use crate::machine::registers::{Raw, blend};
use crate::machine::{Cpu, Flow};
use crate::ptx::ast::{Instruction, Operand, Space, Type};
use crate::verdict::{Access, Use};

/// What a load or store needs to know beside its operands, packed into `aux`.
#[derive(Clone, Copy)]
pub struct Shape {
    /// Where.
    pub space: Space,
    /// Bytes of an element: 1, 2, 4, 8.
    pub width: u32,
    /// Elements.
    pub count: u32,
    /// Sign-extend into the register.
    pub signed: bool,
}

impl Shape {
    /// Bits that `pack` uses.
    pub const BITS: u32 = 17;

    /// As a part of an instruction's `aux`.
    pub fn pack(self) -> u32 {
        self.space as u32 | self.width << 4 | self.count << 8 | u32::from(self.signed) << 16
    }

    /// From an instruction's `aux`.
    #[inline(always)]
    pub fn unpack(aux: u32) -> Self {
        let space = match aux & 15 {
            0 => Space::Generic,
            1 => Space::Global,
            2 => Space::Shared,
            3 => Space::Local,
            4 => Space::Const,
            _ => Space::Param,
        };
        Self { space, width: aux >> 4 & 15, count: aux >> 8 & 255, signed: aux >> 16 & 1 == 1 }
    }
}

/// Reads `width` bytes.
///
/// # Safety
/// `at` is valid for `width` bytes and aligned to them.
#[inline(always)]
pub unsafe fn read(at: *mut u8, width: u32) -> u64 {
    // SAFETY: as the caller says; atomics have the layout of their integers.
    unsafe {
        match width {
            1 => u64::from(AtomicU8::from_ptr(at).load(Relaxed)),
            2 => u64::from(AtomicU16::from_ptr(at.cast()).load(Relaxed)),
            4 => u64::from(AtomicU32::from_ptr(at.cast()).load(Relaxed)),
            _ => AtomicU64::from_ptr(at.cast()).load(Relaxed),
        }
    }
}

/// Writes `width` bytes.
///
/// # Safety
/// `at` is valid for `width` bytes and aligned to them.
#[inline(always)]
pub unsafe fn write(at: *mut u8, width: u32, value: u64) {
    // SAFETY: as the caller says; atomics have the layout of their integers.
    unsafe {
        match width {
            1 => AtomicU8::from_ptr(at).store(value as u8, Relaxed),
            2 => AtomicU16::from_ptr(at.cast()).store(value as u16, Relaxed),
            4 => AtomicU32::from_ptr(at.cast()).store(value as u32, Relaxed),
            _ => AtomicU64::from_ptr(at.cast()).store(value, Relaxed),
        }
    }
}

/// The shadow of `width` defined bytes.
#[inline(always)]
pub fn defined(width: u32) -> u64 {
    u64::MAX >> (64 - 8 * width)
}

/// Undefined bytes of an element, a bit each, from its shadow.
#[inline(always)]
pub fn undefined_bytes(shadow: u64, width: u32) -> u8 {
    (0..width).fold(0, |bits, byte| bits | u8::from(shadow >> (8 * byte) & 0xff != 0xff) << byte)
}

#[inline(always)]
fn load(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    let shape = Shape::unpack(i.aux);
    let Ok(spans) = locate(cpu, i, shape, Access::Read) else { return Flow::Fault };
    if matches!(shape.space, Space::Global | Space::Generic) {
        let lanes = u64::from(cpu.mask.count_ones());
        cpu.block.counters.global_read_bytes += lanes * u64::from(shape.width * shape.count);
    }
    let results = cpu.results(i);
    for (k, dst) in results.iter().enumerate() {
        let offset = k * shape.width as usize;
        match dst.class() {
            Class::R32 => load_element::<u32>(cpu, &spans, shape, offset, *dst, |v| v as u32),
            _ => load_element::<u64>(cpu, &spans, shape, offset, *dst, |v| v),
        }
    }
    Flow::Next
}

#[inline(always)]
fn load_element<T: Raw>(
    cpu: &mut Cpu<'_>,
    spans: &[Span; 32],
    shape: Shape,
    offset: usize,
    dst: Slot,
    narrow: impl Fn(u64) -> T,
) {
    let width = shape.width;
    let mask = cpu.mask;
    let mut value = [T::default(); 32];
    let mut partly = 0u32;
    for lane in 0..32 {
        if mask >> lane & 1 == 0 {
            continue;
        }
        // SAFETY: the span holds all elements of the access, aligned to the whole.
        unsafe {
            let at = spans[lane].add(offset);
            let mut v = read(at.data, width);
            if shape.signed {
                let shift = 64 - 8 * width;
                v = ((v << shift) as i64 >> shift) as u64;
            }
            value[lane] = narrow(v);
            if !at.shadow.is_null() && read(at.shadow, width) != defined(width) {
                partly |= 1 << lane;
            }
        }
    }
    blend(T::row_mut(&mut cpu.warp.registers, dst), mask, &value);
    cpu.warp.registers.set_undefined(dst, mask, 0);
    for lane in (0..32).filter(|l| partly >> l & 1 == 1) {
        // SAFETY: as above.
        let shadow = unsafe { read(spans[lane].add(offset).shadow, width) };
        let mut bytes = undefined_bytes(shadow, width);
        // A sign-extended value is as undefined as its sign.
        if shape.signed && bytes >> (width - 1) & 1 == 1 {
            bytes |= 0xff << (width - 1);
        }
        cpu.warp.registers.set_undefined_bytes(dst, lane, bytes);
    }
}

#[inline(always)]
fn store(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    let shape = Shape::unpack(i.aux);
    let Ok(spans) = locate(cpu, i, shape, Access::Write) else { return Flow::Fault };
    if matches!(shape.space, Space::Global | Space::Generic) {
        let lanes = u64::from(cpu.mask.count_ones());
        cpu.block.counters.global_written_bytes += lanes * u64::from(shape.width * shape.count);
    }
    cpu.block.events += 1;
    let width = shape.width;
    let mask = cpu.mask;
    for (k, src) in cpu.operands(i).iter().enumerate() {
        let undefined = cpu.warp.registers.undefined(*src);
        for lane in (0..32).filter(|l| mask >> l & 1 == 1) {
            let value = match src.class() {
                Class::R32 => u64::from(u32::row(&cpu.warp.registers, cpu.kernel, *src)[lane]),
                _ => u64::row(&cpu.warp.registers, cpu.kernel, *src)[lane],
            };
            let mut shadow = defined(width);
            if undefined >> lane & 1 == 1 {
                let bytes = cpu.warp.registers.undefined_bytes(*src, lane);
                for byte in (0..width).filter(|b| bytes >> b & 1 == 1) {
                    shadow &= !(0xff << (8 * byte));
                }
            }
            // SAFETY: the span holds all elements of the access, aligned to the whole.
            unsafe {
                let at = spans[lane].add(k * width as usize);
                write(at.data, width, value);
                if !at.shadow.is_null() {
                    write(at.shadow, width, shadow);
                }
            }
        }
    }
    Flow::Next
}

#[inline(always)]
fn locate(cpu: &mut Cpu<'_>, i: &Inst, shape: Shape, access: Access) -> Result<[Span; 32], Flow> {
    cpu.require_defined(i.src[0], Use::Address)?;
    let addresses = cpu.addresses(i, i.src[0]);
    cpu.spans(shape.space, &addresses, shape.width * shape.count, access)
}

/// Decodes this family.
pub fn decode(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    let mut m = Modifiers::of(i);
    let is_store = i.opcode == "st";
    while m
        .take_if(|w| {
            matches!(w, "volatile" | "relaxed" | "acquire" | "release" | "weak" | "mmio").then_some(())
        })
        .is_some()
        || m.take_if(|w| matches!(w, "cta" | "cluster" | "gpu" | "sys").then_some(())).is_some()
    {}
    let mut space = m.take_if(space_of).unwrap_or(Space::Generic);
    // Hints for caches, and the non-coherent path: the values are the same.
    while m.take_if(|w| is_cache_hint(w).then_some(())).is_some() {}
    let count = match m.take_if(|w| w.strip_prefix('v').and_then(|n| n.parse::<u32>().ok())) {
        Some(n) if matches!(n, 2 | 4 | 8) => n,
        None => 1,
        Some(_) => return Err(d.unknown(i)),
    };
    let Some(ty) = m.ty().filter(|_| m.done()) else { return Err(d.unknown(i)) };
    let (memory, value) = match i.operands.as_slice() {
        [memory, value, ..] if is_store && i.operands.len() <= 3 => (memory, value),
        [value, memory, ..] if i.operands.len() <= 3 => (memory, value),
        _ => return Err(d.unknown(i)),
    };
    // `.param` of a function or of a call lies in the frame.
    if space == Space::Param && (d.variable_space(memory) == Some(Space::Local) || !d.in_entry()) {
        space = Space::Local;
    }
    let parts = match value {
        Operand::Vector(parts) => parts.clone(),
        one if ty == Type::B128 => vec![one.clone()],
        one => vec![one.clone()],
    };
    if parts.len() as u32 != count {
        return Err(d.error(format!("{count} elements but {} registers", parts.len())));
    }
    let reference = d.reference(memory, space)?;
    let (width, count) = if ty == Type::B128 { (8, 2 * count) } else { (ty.bytes() as u32, count) };
    if width == 0 || width * count > 32 {
        return Err(d.unknown(i));
    }
    let signed = matches!(ty, Type::S8 | Type::S16 | Type::S32);
    let shape = Shape { space, width, count, signed };
    let mut slots = Vec::new();
    for part in &parts {
        match (d.rows(part), part) {
            (Some(halves), _) if ty == Type::B128 => slots.extend(halves),
            // A register may be wider than the element.
            (Some(rows), _) if rows.len() == 1 => {
                if rows[0].class() == Class::Pred
                    || d.register_type(part).is_some_and(|t| t.bytes() < ty.bytes())
                {
                    return Err(d.error(format!("{part:?} is too narrow for the element")));
                }
                slots.push(rows[0]);
            }
            (_, Operand::Sink) => slots.push(d.temporary(class_of(ty))),
            (_, other) if is_store => slots.push(d.source(other, ty)?),
            (_, other) => return Err(d.error(format!("{other:?} is no register"))),
        }
    }
    if is_store {
        let list = d.list(&[], &slots);
        emit(d, both!(store), shape, reference, list);
    } else {
        let list = d.list(&slots, &[]);
        emit(d, both!(load), shape, reference, list);
    }
    Ok(())
}

fn emit(d: &mut Decoder<'_>, op: crate::code::Op, shape: Shape, reference: Reference, list: List) {
    let kind = match shape.space {
        Space::Generic | Space::Global => Kind::Global,
        Space::Shared => Kind::Shared,
        Space::Local => Kind::Local,
        Space::Const | Space::Param => Kind::Constant,
    };
    let inst = d.emit(op, kind, &[], &[reference.base]);
    inst.imm = reference.offset;
    inst.aux = shape.pack();
    inst.list = list;
}

/// A state space by its suffix.
pub fn space_of(word: &str) -> Option<Space> {
    Some(match word {
        "global" => Space::Global,
        "shared" | "shared::cta" => Space::Shared,
        "local" => Space::Local,
        "const" => Space::Const,
        "param" | "param::entry" | "param::func" => Space::Param,
        _ => return None,
    })
}

fn is_cache_hint(word: &str) -> bool {
    matches!(word, "nc" | "ca" | "cg" | "cs" | "lu" | "cv" | "wb" | "wt" | "unified")
        || word.starts_with("L1::")
        || word.starts_with("L2::")
}
