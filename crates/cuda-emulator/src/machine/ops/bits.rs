//! Counting, finding and moving bits: `popc`, `clz`, `bfind`, `fns`, `brev`,
//! `bfe`, `bfi`, `bmsk`, `szext`.

use crate::code::{DecodeError, Decoder, Inst, Op};
use crate::machine::lanes::{both, lane_op, map3};
use crate::machine::ops::{Modifiers, emit};
use crate::machine::registers::Raw;
use crate::machine::{Cpu, Flow};
use crate::ptx::ast::{Instruction, Type, Type::*};
use crate::verdict::Verdict;

/// Where nothing is found.
const NONE: u32 = u32::MAX;

/// The lowest `n` bits.
#[inline(always)]
fn low32(n: u32) -> u32 {
    if n < 32 { (1 << n) - 1 } else { u32::MAX }
}

#[inline(always)]
fn low64(n: u32) -> u64 {
    if n < 64 { (1 << n) - 1 } else { u64::MAX }
}

/// The lowest `n` bits of `a`, extended by the highest of them; 0 for none.
#[inline(always)]
fn extend32(a: i32, n: u32) -> i32 {
    match n {
        0 => 0,
        1..32 => a << (32 - n) >> (32 - n),
        _ => a,
    }
}

#[inline(always)]
fn extend64(a: i64, n: u32) -> i64 {
    match n {
        0 => 0,
        1..64 => a << (64 - n) >> (64 - n),
        _ => a,
    }
}

/// Operations with one operand, whose type decides.
fn unary(opcode: &str, shift_amount: bool, ty: Type) -> Option<(Op, Type)> {
    let op = match (opcode, ty) {
        ("popc", B32) => lane_op!(|a: u32| -> u32 { a.count_ones() }),
        ("popc", B64) => lane_op!(|a: u64| -> u32 { a.count_ones() }),
        ("clz", B32) => lane_op!(|a: u32| -> u32 { a.leading_zeros() }),
        ("clz", B64) => lane_op!(|a: u64| -> u32 { a.leading_zeros() }),
        ("brev", B32) => return Some((lane_op!(|a: u32| -> u32 { a.reverse_bits() }), B32)),
        ("brev", B64) => return Some((lane_op!(|a: u64| -> u64 { a.reverse_bits() }), B64)),
        ("bfind", _) => find(shift_amount, ty)?,
        _ => return None,
    };
    Some((op, U32))
}

/// `bfind`: where the highest bit lies that is no copy of the sign, or how far
/// it is from the top.
fn find(shift_amount: bool, ty: Type) -> Option<Op> {
    macro_rules! find {
        ($ty:ty, |$a:ident| $magnitude:expr) => {
            if shift_amount {
                lane_op!(|$a: $ty| -> u32 {
                    let zeros = ($magnitude).leading_zeros();
                    if zeros == <$ty>::BITS { NONE } else { zeros }
                })
            } else {
                // Nothing found: one below the lowest.
                lane_op!(|$a: $ty| -> u32 { (<$ty>::BITS - 1).wrapping_sub(($magnitude).leading_zeros()) })
            }
        };
    }
    Some(match ty {
        U32 => find!(u32, |a| a),
        U64 => find!(u64, |a| a),
        S32 => find!(i32, |a| a ^ a >> 31),
        S64 => find!(i64, |a| a ^ a >> 63),
        _ => return None,
    })
}

/// `bfe`: positions and lengths are bytes, and may reach past the top.
fn extract(ty: Type) -> Option<Op> {
    Some(match ty {
        U32 => lane_op!(|a: u32, at: u8, n: u8| -> u32 {
            a.checked_shr(at.into()).unwrap_or(0) & low32(n.into())
        }),
        U64 => lane_op!(|a: u64, at: u8, n: u8| -> u64 {
            a.checked_shr(at.into()).unwrap_or(0) & low64(n.into())
        }),
        S32 => lane_op!(|a: i32, at: u8, n: u8| -> i32 { extend32(a >> at.min(31), n.into()) }),
        S64 => lane_op!(|a: i64, at: u8, n: u8| -> i64 { extend64(a >> at.min(63), n.into()) }),
        _ => return None,
    })
}

/// `bfi`: the field comes from `a`.
fn insert(ty: Type) -> Option<Op> {
    Some(match ty {
        B32 => lane_op!(|a: u32, b: u32, at: u8, n: u8| -> u32 {
            let field = low32(n.into()).checked_shl(at.into()).unwrap_or(0);
            b & !field | a.checked_shl(at.into()).unwrap_or(0) & field
        }),
        B64 => lane_op!(|a: u64, b: u64, at: u8, n: u8| -> u64 {
            let field = low64(n.into()).checked_shl(at.into()).unwrap_or(0);
            b & !field | a.checked_shl(at.into()).unwrap_or(0) & field
        }),
        _ => return None,
    })
}

/// `bmsk` and `szext`; a wrapping number counts modulo 32.
fn masked(opcode: &str, wraps: bool, ty: Type) -> Option<Op> {
    Some(match (opcode, wraps, ty) {
        ("bmsk", false, B32) => {
            lane_op!(|at: u32, n: u32| -> u32 { low32(n).checked_shl(at).unwrap_or(0) })
        }
        ("bmsk", true, B32) => lane_op!(|at: u32, n: u32| -> u32 { low32(n & 31) << (at & 31) }),
        ("szext", false, U32) => lane_op!(|a: u32, n: u32| -> u32 { a & low32(n) }),
        ("szext", true, U32) => lane_op!(|a: u32, n: u32| -> u32 { a & low32(n & 31) }),
        ("szext", false, S32) => lane_op!(|a: i32, n: u32| -> i32 { extend32(a, n) }),
        ("szext", true, S32) => lane_op!(|a: i32, n: u32| -> i32 { extend32(a, n & 31) }),
        _ => return None,
    })
}

/// `fns`: the position of the set bit of `mask` that is `offset` set bits from
/// `base` on, upwards or downwards; 1 and -1 count `base` itself, 0 is `base` alone.
#[inline(always)]
fn find_nth(mask: u32, base: u32, offset: i32) -> u32 {
    let found = match offset {
        0 => mask & 1 << base,
        1.. => {
            let above = mask & u32::MAX << base;
            (1..offset.min(33)).fold(above, |bits, _| bits & bits.wrapping_sub(1))
        }
        _ => {
            let below = mask & u32::MAX >> (31 - base);
            let rest = (1..offset.unsigned_abs().min(33))
                .fold(below.reverse_bits(), |bits, _| bits & bits.wrapping_sub(1));
            rest.reverse_bits()
        }
    };
    match (found, offset) {
        (0, _) => NONE,
        (bits, 0..) => bits.trailing_zeros(),
        (bits, _) => 31 - bits.leading_zeros(),
    }
}

#[inline(always)]
fn nth(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    let bases = *u32::row(&cpu.warp.registers, cpu.kernel, i.src[1]);
    let defined = cpu.mask & !cpu.warp.registers.undefined(i.src[1]);
    if let Some(lane) = (0..32).find(|l| defined >> l & 1 == 1 && bases[*l] > 31) {
        let problem = format!("the base of `fns` is {}: it must be 0 to 31", bases[lane]);
        return cpu.fault(Verdict::Operand { problem }, 1 << lane);
    }
    map3(cpu, i, |mask: u32, base: u32, offset: i32| -> u32 { find_nth(mask, base & 31, offset) })
}

/// Decodes this family.
pub fn decode(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    let mut m = Modifiers::of(i);
    let opcode = i.opcode.as_str();
    let shift_amount = opcode == "bfind" && m.flag("shiftamt");
    let wraps = match opcode {
        "bmsk" | "szext" => m.find(|w| match w {
            "clamp" => Some(false),
            "wrap" => Some(true),
            _ => None,
        }),
        _ => Some(false),
    };
    let (Some(wraps), Some(ty)) = (wraps, m.last_ty()) else { return Err(d.unknown(i)) };
    let found = match opcode {
        "bfe" => extract(ty).map(|op| (op, ty, vec![ty, U32, U32])),
        "bfi" => insert(ty).map(|op| (op, ty, vec![ty, ty, U32, U32])),
        "bmsk" | "szext" => masked(opcode, wraps, ty).map(|op| (op, ty, vec![ty, U32])),
        "fns" if ty == B32 => Some((both!(nth), ty, vec![B32, B32, S32])),
        _ => unary(opcode, shift_amount, ty).map(|(op, result)| (op, result, vec![ty])),
    };
    let (op, result, operands) = found.ok_or_else(|| d.unknown(i))?;
    emit(d, i, op, result, &operands)
}
