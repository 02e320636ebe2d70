//! Dot products of small integers packed into words: `dp4a`, `dp2a`.

use crate::code::{DecodeError, Decoder, Op};
use crate::machine::lanes::lane_op;
use crate::machine::ops::{Modifiers, emit};
use crate::ptx::ast::{Instruction, Type, Type::*};

/// c + the products of four bytes with four bytes. Sums wrap: the accumulator's sign does not matter.
fn four(types: (Type, Type)) -> Option<Op> {
    macro_rules! four {
        ($a:ty, $b:ty) => {
            lane_op!(|a: u32, b: u32, c: u32| -> u32 {
                (0..4).fold(c, |sum, n| {
                    let product = i32::from((a >> (8 * n)) as $a) * i32::from((b >> (8 * n)) as $b);
                    sum.wrapping_add(product as u32)
                })
            })
        };
    }
    Some(match types {
        (U32, U32) => four!(u8, u8),
        (U32, S32) => four!(u8, i8),
        (S32, U32) => four!(i8, u8),
        (S32, S32) => four!(i8, i8),
        _ => return None,
    })
}

/// c + the products of two halves with two bytes, the lower or the upper two.
fn two(upper: bool, types: (Type, Type)) -> Option<Op> {
    macro_rules! two {
        ($a:ty, $b:ty, $first:literal) => {
            lane_op!(|a: u32, b: u32, c: u32| -> u32 {
                (0..2).fold(c, |sum, n| {
                    let (half, byte) = ((a >> (16 * n)) as $a, (b >> (8 * ($first + n))) as $b);
                    sum.wrapping_add((i32::from(half) * i32::from(byte)) as u32)
                })
            })
        };
        ($a:ty, $b:ty) => {
            if upper { two!($a, $b, 2) } else { two!($a, $b, 0) }
        };
    }
    Some(match types {
        (U32, U32) => two!(u16, u8),
        (U32, S32) => two!(u16, i8),
        (S32, U32) => two!(i16, u8),
        (S32, S32) => two!(i16, i8),
        _ => return None,
    })
}

/// Decodes this family.
pub fn decode(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    let mut m = Modifiers::of(i);
    let upper = match i.opcode.as_str() {
        "dp2a" => m.take_if(|w| match w {
            "lo" => Some(Some(false)),
            "hi" => Some(Some(true)),
            _ => None,
        }),
        _ => Some(None),
    };
    let (Some(upper), Some(a), Some(b)) = (upper, m.ty(), m.last_ty()) else { return Err(d.unknown(i)) };
    let op = match upper {
        None => four((a, b)),
        Some(upper) => two(upper, (a, b)),
    };
    emit(d, i, op.ok_or_else(|| d.unknown(i))?, B32, &[B32; 3])
}
