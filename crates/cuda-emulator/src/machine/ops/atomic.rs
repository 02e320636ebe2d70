//! `atom` and `red`.
//!
//! Lanes of a warp act in the order of their numbers. Blocks run on several
//! host threads, so each update is one of the host's compare-and-swap loops.
//! The vector forms are atomic element by element, as PTX promises no more.

use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering::AcqRel, Ordering::Acquire};

use half::{bf16, f16};

use crate::code::{Class, DecodeError, Decoder, Inst, Kind, Slot, Windowed, class_of};
use crate::machine::access::{Apart, Places};
use crate::machine::flags::Semantics;
use crate::machine::lanes::both;
use crate::machine::ops::memory::{Shape, read, scope_of, shadow_of, space_of, undefined_bytes, write};
use crate::machine::ops::moves::{value_of, write_any};
use crate::machine::ops::{Modifiers, atomic128};
use crate::machine::order::Scope;
use crate::machine::{Cpu, Flow};
use crate::ptx::ast::{Instruction, Operand, Space, Type, Type::*};
use crate::verdict::{Access, Use, Verdict};

/// The new value of (old value, first operand, second operand).
pub type Update = fn(u64, u64, u64) -> u64;

/// Every operation, with the types that it has.
const OPERATIONS: &[(&str, &[Type], Update)] = &[
    ("add", &[U32, S32], |a, b, _| u64::from((a as u32).wrapping_add(b as u32))),
    ("add", &[U64], |a, b, _| a.wrapping_add(b)),
    ("add", &[F32], |a, b, _| add_f32(a, b)),
    ("add", &[F64], |a, b, _| (f64::from_bits(a) + f64::from_bits(b)).to_bits()),
    ("add", &[F16], |a, b, _| add_f16(a, b)),
    ("add", &[F16x2], |a, b, _| halves(a, b, add_f16)),
    ("add", &[Bf16], |a, b, _| add_bf16(a, b)),
    ("add", &[Bf16x2], |a, b, _| halves(a, b, add_bf16)),
    ("min", &[U32, U64], |a, b, _| a.min(b)),
    ("max", &[U32, U64], |a, b, _| a.max(b)),
    ("min", &[S32], |a, b, _| (a as i32).min(b as i32) as u32 as u64),
    ("max", &[S32], |a, b, _| (a as i32).max(b as i32) as u32 as u64),
    ("min", &[S64], |a, b, _| (a as i64).min(b as i64) as u64),
    ("max", &[S64], |a, b, _| (a as i64).max(b as i64) as u64),
    ("min", &[F16], |a, b, _| lesser(a, b, 0x7c00)),
    ("max", &[F16], |a, b, _| greater(a, b, 0x7c00)),
    ("min", &[F16x2], |a, b, _| halves(a, b, |a, b| lesser(a, b, 0x7c00))),
    ("max", &[F16x2], |a, b, _| halves(a, b, |a, b| greater(a, b, 0x7c00))),
    ("min", &[Bf16], |a, b, _| lesser(a, b, 0x7f80)),
    ("max", &[Bf16], |a, b, _| greater(a, b, 0x7f80)),
    ("min", &[Bf16x2], |a, b, _| halves(a, b, |a, b| lesser(a, b, 0x7f80))),
    ("max", &[Bf16x2], |a, b, _| halves(a, b, |a, b| greater(a, b, 0x7f80))),
    ("inc", &[U32], |a, b, _| if a >= b { 0 } else { a + 1 }),
    ("dec", &[U32], |a, b, _| if a == 0 || a > b { b } else { a - 1 }),
    ("and", &[B32, B64], |a, b, _| a & b),
    ("or", &[B32, B64], |a, b, _| a | b),
    ("xor", &[B32, B64], |a, b, _| a ^ b),
    ("exch", &[B32, B64], |_, b, _| b),
    ("cas", &[B16, B32, B64], |a, b, c| if a == b { c } else { a }),
];

/// The operation of this name on this type, if there is one.
pub fn operation(name: &str, ty: Type) -> Option<Update> {
    OPERATIONS.iter().find(|(known, types, _)| *known == name && types.contains(&ty)).map(|(_, _, f)| *f)
}

/// The NaN that NVIDIA's f32 units give.
const NAN_F32: u32 = 0x7fff_ffff;
/// The same in f16 and bf16.
const NAN_HALF: u64 = 0x7fff;

fn add_f32(a: u64, b: u64) -> u64 {
    let sum = f32::from_bits(a as u32) + f32::from_bits(b as u32);
    u64::from(if sum.is_nan() { NAN_F32 } else { sum.to_bits() })
}

/// In global memory `add.f32` flushes subnormal operands and results to zero.
pub fn add_f32_flushing(a: u64, b: u64, _: u64) -> u64 {
    let flush = |v: u64| if f32::from_bits(v as u32).is_subnormal() { v & 0x8000_0000 } else { v };
    flush(add_f32(flush(a), flush(b)))
}

/// f32 has more than twice the digits: rounding twice gives what rounding once does.
fn add_f16(a: u64, b: u64) -> u64 {
    let sum = f16::from_f32(f16::from_bits(a as u16).to_f32() + f16::from_bits(b as u16).to_f32());
    if sum.is_nan() { NAN_HALF } else { sum.to_bits().into() }
}

fn add_bf16(a: u64, b: u64) -> u64 {
    let sum = bf16::from_f32(bf16::from_bits(a as u16).to_f32() + bf16::from_bits(b as u16).to_f32());
    if sum.is_nan() { NAN_HALF } else { sum.to_bits().into() }
}

/// The lesser of two 16-bit floats whose infinity is `infinity`: a number
/// rather than a NaN, -0 before +0.
fn lesser(a: u64, b: u64, infinity: u64) -> u64 {
    let nan = |v: u64| v & 0x7fff > infinity;
    // Sign and magnitude to two's complement: ordered as integers.
    let key = |v: u64| if v & 0x8000 != 0 { -((v & 0x7fff) as i64) - 1 } else { v as i64 };
    match (nan(a), nan(b)) {
        (true, true) => NAN_HALF,
        (true, false) => b,
        (false, true) => a,
        _ if key(a) <= key(b) => a,
        _ => b,
    }
}

fn greater(a: u64, b: u64, infinity: u64) -> u64 {
    match lesser(a ^ 0x8000, b ^ 0x8000, infinity) {
        NAN_HALF => NAN_HALF,
        least => least ^ 0x8000,
    }
}

/// Both 16-bit halves of a pair.
fn halves(a: u64, b: u64, f: impl Fn(u64, u64) -> u64) -> u64 {
    f(a & 0xffff, b & 0xffff) | f(a >> 16 & 0xffff, b >> 16 & 0xffff) << 16
}

/// Replaces a value in memory by what `f` makes of it; gives the old and the new one.
///
/// # Safety
/// `at` is valid for `width` bytes and aligned to them.
#[inline(always)]
pub unsafe fn update(at: *mut u8, width: u32, f: impl Fn(u64) -> u64) -> (u64, u64) {
    macro_rules! exchange {
        ($atomic:ty, $bits:ty) => {{
            // SAFETY: as the caller says; atomics have the layout of their integers.
            let place = unsafe { <$atomic>::from_ptr(at.cast()) };
            let mut old = place.load(Acquire);
            loop {
                let new = f(old.into()) as $bits;
                match place.compare_exchange_weak(old, new, AcqRel, Acquire) {
                    Ok(_) => return (old.into(), new.into()),
                    Err(now) => old = now,
                }
            }
        }};
    }
    match width {
        2 => exchange!(AtomicU16, u16),
        4 => exchange!(AtomicU32, u32),
        _ => exchange!(AtomicU64, u64),
    }
}

/// list: results; first operand of each element, and for `cas` the second of the only one.
#[inline(always)]
fn atomic(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    let shape = Shape::unpack(i.aux);
    let (name, types, f) = OPERATIONS[(i.aux >> Shape::BITS) as usize];
    if let Err(flow) = cpu.require_defined(i.src[0], Use::Address) {
        return flow;
    }
    let addresses = cpu.addresses(i, i.src[0]);
    let bytes = shape.width * shape.count;
    let places = match cpu.begin_atomic(shape, &addresses, bytes) {
        Ok(places) => places,
        Err(flow) => return flow,
    };
    let mask = cpu.mask;
    let global = global_lanes(shape.space, &addresses) & mask;
    if shape.count > 1 && global != mask {
        let problem = "a vector's atomic outside global memory".to_owned();
        return cpu.fault(Verdict::Operand { problem }, mask & !global);
    }
    cpu.count_apart(shape.space, &addresses, bytes, Access::Atomic);
    let flushes = name == "add" && types == [F32];
    let (results, operands) = (cpu.results(i), cpu.operands(i));
    let second = operands[operands.len() - 1];
    for (k, first) in operands.iter().take(shape.count as usize).enumerate() {
        let (mut old_values, mut old_undefined) = ([0; 32], [0; 32]);
        for lane in (0..32).filter(|l| mask >> l & 1 == 1) {
            let (b, b_undefined) = operand(cpu, *first, lane);
            let (c, c_undefined) = operand(cpu, second, lane);
            let f = if flushes && global >> lane & 1 == 1 { add_f32_flushing } else { f };
            // SAFETY: the place holds all elements of the access, aligned to the whole.
            unsafe {
                let offset = k * shape.width as usize;
                let (data, at_shadow) = (places.data(lane, offset), places.shadow(lane, offset));
                let (old, new) = update(data, shape.width, |old| f(old, b, c));
                cpu.block.events += u64::from(new != old);
                old_values[lane] = old;
                let shadow = read(at_shadow, shape.width);
                old_undefined[lane] = undefined_bytes(shadow, shape.width);
                let undefined = match name {
                    "exch" => b_undefined,
                    "cas" if old_undefined[lane] | b_undefined == 0 && old != b => 0,
                    "cas" if old_undefined[lane] | b_undefined == 0 => c_undefined,
                    _ if old_undefined[lane] | b_undefined == 0 => 0,
                    _ => 0xff,
                };
                let after = shadow_of(undefined, shape.width);
                if after != shadow {
                    write(at_shadow, shape.width, after);
                }
            }
        }
        if let Some(dst) = results.get(k) {
            write_any(cpu, *dst, mask, &old_values, &old_undefined);
        }
    }
    cpu.end_atomic(shape, &addresses);
    Flow::Next
}

impl Cpu<'_> {
    /// The places of atomics. What the warp hands on there is handed on.
    pub fn begin_atomic(&mut self, shape: Shape, addresses: &[u64; 32], bytes: u32) -> Result<Apart, Flow> {
        if let Some(semantics) = shape.semantics {
            self.hand_on(shape.space, addresses, semantics);
        }
        self.semantics = shape.semantics;
        let places = self.apart(shape.space, addresses, bytes, Access::Atomic);
        self.semantics = None;
        places
    }

    /// The atomics have been done. What was handed on there is taken over.
    pub fn end_atomic(&mut self, shape: Shape, addresses: &[u64; 32]) {
        if let Some(semantics) = shape.semantics {
            self.take_over(shape.space, addresses, semantics);
            self.warp.clock.released();
        }
    }
}

/// The lanes whose addresses are in global memory.
pub fn global_lanes(space: Space, addresses: &[u64; 32]) -> u32 {
    match space {
        Space::Generic => addresses.iter().enumerate().fold(0, |lanes, (lane, address)| {
            lanes | u32::from(matches!(Windowed::of(*address), Windowed::Global(_))) << lane
        }),
        Space::Global => u32::MAX,
        _ => 0,
    }
}

/// A lane of an operand, and its undefined bytes.
fn operand(cpu: &Cpu<'_>, slot: Slot, lane: usize) -> (u64, u8) {
    (value_of(cpu, slot, lane), cpu.warp.registers.undefined_bytes(slot, lane))
}

/// Decodes this family.
pub fn decode(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    let mut m = Modifiers::of(i);
    let returns = i.opcode == "atom";
    // Every update is acquired and released on the host: at least as strong as any of these ask.
    let order = m.find(|w| match w {
        "relaxed" => Some((false, false)),
        "release" => Some((true, false)),
        "acquire" if returns => Some((false, true)),
        "acq_rel" if returns => Some((true, true)),
        _ => None,
    });
    let (releases, acquires) = order.unwrap_or_default();
    let scope = m.find(scope_of).unwrap_or(Scope::Gpu);
    let semantics = Some(Semantics { scope, releases, acquires });
    let space = m.find(space_of).unwrap_or(Space::Generic);
    let name =
        m.find(|w| OPERATIONS.iter().map(|(name, ..)| *name).find(|name| *name == w)).unwrap_or_default();
    // Half-precision forms say that they keep subnormals.
    let noftz = m.flag("noftz");
    // The hint's policy is one more operand, which nobody reads.
    let hint = m.flag("L2::cache_hint");
    let vector = m.find(|w| match w {
        "v2" => Some(2),
        "v4" => Some(4),
        "v8" => Some(8),
        _ => None,
    });
    let count = vector.unwrap_or(1);
    let Some(ty) = m.last_ty() else { return Err(d.unknown(i)) };
    let is_half = matches!(ty, F16 | F16x2 | Bf16 | Bf16x2);
    let width = ty.bytes() as u32;
    let exists = noftz == is_half
        && (count == 1 || is_half || ty == F32)
        && width * count <= 16
        // Scalars have `add` only, and `red` nothing that needs the old value.
        && (name == "add" || count > 1 || !is_half)
        && (returns || !matches!(name, "exch" | "cas"))
        && match space {
            Space::Generic | Space::Global => true,
            Space::Shared | Space::Cluster => count == 1 && !hint,
            _ => false,
        };
    if !exists {
        return Err(d.unknown(i));
    }
    d.hands_on_by_lanes = true;
    if ty == B128 {
        return decode128(d, i, name, space, semantics, hint);
    }
    let found = OPERATIONS.iter().position(|(known, types, _)| *known == name && types.contains(&ty));
    let Some(operation) = found else { return Err(d.unknown(i)) };

    let mut operands = i.operands.as_slice();
    let mut results = Vec::new();
    if let ([first, rest @ ..], true) = (operands, returns) {
        for part in elements(first) {
            results.push(d.dest(part, ty)?);
        }
        operands = rest;
    }
    let (memory, value, rest) = match operands {
        [memory, value, rest @ ..] => (memory, value, rest),
        _ => return Err(d.unknown(i)),
    };
    let mut sources = Vec::new();
    for part in elements(value) {
        sources.push(d.source(part, ty)?);
    }
    if sources.len() as u32 != count || returns && results.len() as u32 != count {
        return Err(d.error(format!("{count} elements but {} registers", sources.len())));
    }
    match (name, rest, hint) {
        ("cas", [swap], false) | ("cas", [swap, _], true) => sources.push(d.source(swap, ty)?),
        ("cas", ..) => return Err(d.unknown(i)),
        (_, [], false) | (_, [_], true) => {}
        _ => return Err(d.unknown(i)),
    }
    debug_assert!(sources.iter().all(|s| s.class() == class_of(ty) && s.class() != Class::Pred));
    let reference = d.reference(memory, space)?;
    let shape = Shape { space, width, count, signed: false, semantics };
    let list = d.list(&results, &sources);
    let inst = d.emit(both!(atomic), Kind::Atomic, &[], &[reference.base]);
    inst.imm = reference.offset;
    inst.aux = shape.pack() | (operation as u32) << Shape::BITS;
    inst.list = list;
    Ok(())
}

fn decode128(
    d: &mut Decoder<'_>,
    i: &Instruction,
    name: &str,
    space: Space,
    semantics: Option<Semantics>,
    hint: bool,
) -> Result<(), DecodeError> {
    match (name, i.operands.as_slice(), hint) {
        ("exch", [dst, memory, value], false) | ("exch", [dst, memory, value, _], true) => {
            atomic128::emit(d, space, semantics, dst, memory, &[value])
        }
        ("cas", [dst, memory, expected, value], false) => {
            atomic128::emit(d, space, semantics, dst, memory, &[expected, value])
        }
        _ => Err(d.unknown(i)),
    }
}

fn elements(operand: &Operand) -> &[Operand] {
    match operand {
        Operand::Vector(parts) => parts,
        one => std::slice::from_ref(one),
    }
}
