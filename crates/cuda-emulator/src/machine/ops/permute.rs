//! `prmt`: any four bytes of two registers.

use crate::code::{DecodeError, Decoder, Op};
use crate::machine::lanes::lane_op;
use crate::machine::ops::{Modifiers, emit};
use crate::ptx::ast::{Instruction, Type::*};

/// Byte `n` of the result is the one that `choose(n)` numbers, those of `a`
/// first; with bit 3 set, eight copies of its sign.
#[inline(always)]
fn permute(a: u32, b: u32, choose: impl Fn(u32) -> u32) -> u32 {
    let bytes = u64::from(b) << 32 | u64::from(a);
    (0..4).fold(0, |result, n| {
        let choice = choose(n);
        let byte = (bytes >> (8 * (choice & 7))) as u8;
        let byte = if choice & 8 == 0 { byte } else { (byte as i8 >> 7) as u8 };
        result | u32::from(byte) << (8 * n)
    })
}

/// The modes are patterns that depend on the two lowest bits of the third operand.
fn operation(mode: Option<&str>) -> Option<Op> {
    macro_rules! pattern {
        (|$from:ident, $n:ident| $choice:expr) => {
            lane_op!(|a: u32, b: u32, c: u32| -> u32 {
                let $from = c & 3;
                permute(a, b, |$n| $choice)
            })
        };
    }
    Some(match mode {
        None => lane_op!(|a: u32, b: u32, c: u32| -> u32 { permute(a, b, |n| c >> (4 * n) & 15) }),
        // Four from there on: forwards, and backwards around the end.
        Some("f4e") => pattern!(|from, n| from + n),
        Some("b4e") => pattern!(|from, n| (8 + from - n) & 7),
        // One byte, one half, everywhere.
        Some("rc8") => pattern!(|from, _n| from),
        Some("rc16") => pattern!(|from, n| from << 1 & 2 | n & 1),
        // What is below, or above, becomes the same as that byte.
        Some("ecl") => pattern!(|from, n| n.max(from)),
        Some("ecr") => pattern!(|from, n| n.min(from)),
        Some(_) => return None,
    })
}

/// Decodes `prmt`.
pub fn decode(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    let mut m = Modifiers::of(i);
    if !m.flag("b32") {
        return Err(d.unknown(i));
    }
    let op = operation(m.advance()).filter(|_| m.done()).ok_or_else(|| d.unknown(i))?;
    emit(d, i, op, B32, &[B32; 3])
}
