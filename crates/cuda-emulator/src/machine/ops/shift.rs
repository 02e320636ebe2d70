//! Shifts: `shl`, `shr`, and `shf` of two registers as one.

use crate::code::{DecodeError, Decoder, Op};
use crate::machine::lanes::lane_op;
use crate::machine::ops::{Modifiers, emit};
use crate::ptx::ast::{Instruction, Type, Type::*};

/// Amounts are 32 bits; those above the width clamp to it.
fn shift(opcode: &str, ty: Type) -> Option<Op> {
    Some(match (opcode, ty) {
        ("shl", B16) => lane_op!(|a: u16, n: u32| -> u16 { if n < 16 { a << n } else { 0 } }),
        ("shl", B32) => lane_op!(|a: u32, n: u32| -> u32 { if n < 32 { a << n } else { 0 } }),
        ("shl", B64) => lane_op!(|a: u64, n: u32| -> u64 { if n < 64 { a << n } else { 0 } }),
        ("shr", B16 | U16) => lane_op!(|a: u16, n: u32| -> u16 { if n < 16 { a >> n } else { 0 } }),
        ("shr", B32 | U32) => lane_op!(|a: u32, n: u32| -> u32 { if n < 32 { a >> n } else { 0 } }),
        ("shr", B64 | U64) => lane_op!(|a: u64, n: u32| -> u64 { if n < 64 { a >> n } else { 0 } }),
        ("shr", S16) => lane_op!(|a: i16, n: u32| -> i16 { a >> n.min(15) }),
        ("shr", S32) => lane_op!(|a: i32, n: u32| -> i32 { a >> n.min(31) }),
        ("shr", S64) => lane_op!(|a: i64, n: u32| -> i64 { a >> n.min(63) }),
        _ => return None,
    })
}

/// `shf`'s operand: the first register is the lower half.
#[inline(always)]
fn pair(a: u32, b: u32) -> u64 {
    u64::from(b) << 32 | u64::from(a)
}

/// To the left the upper half is wanted, to the right the lower.
fn funnel(direction: &str, amount: &str) -> Option<Op> {
    Some(match (direction, amount) {
        ("l", "clamp") => {
            lane_op!(|a: u32, b: u32, n: u32| -> u32 { (pair(a, b) << n.min(32) >> 32) as u32 })
        }
        ("l", "wrap") => {
            lane_op!(|a: u32, b: u32, n: u32| -> u32 { (pair(a, b) << (n & 31) >> 32) as u32 })
        }
        ("r", "clamp") => lane_op!(|a: u32, b: u32, n: u32| -> u32 { (pair(a, b) >> n.min(32)) as u32 }),
        ("r", "wrap") => lane_op!(|a: u32, b: u32, n: u32| -> u32 { (pair(a, b) >> (n & 31)) as u32 }),
        _ => return None,
    })
}

/// Decodes this family.
pub fn decode(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    let mut m = Modifiers::of(i);
    if i.opcode == "shf" {
        let (Some(direction), Some(amount), Some(B32)) = (m.advance(), m.advance(), m.last_ty()) else {
            return Err(d.unknown(i));
        };
        let op = funnel(direction, amount).ok_or_else(|| d.unknown(i))?;
        return emit(d, i, op, B32, &[B32, B32, U32]);
    }
    let Some(ty) = m.last_ty() else { return Err(d.unknown(i)) };
    let op = shift(&i.opcode, ty).ok_or_else(|| d.unknown(i))?;
    emit(d, i, op, ty, &[ty, U32])
}
