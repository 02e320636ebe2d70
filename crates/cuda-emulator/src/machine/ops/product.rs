//! Products, and sums with products: `mul`, `mad`, `madc`, `mul24`, `mad24`.

use crate::code::{DecodeError, Decoder, Kind, Op, Slot};
use crate::machine::lanes::lane_op;
use crate::machine::ops::{Modifiers, carry, emit, kept};
use crate::ptx::ast::{Instruction, Type, Type::*};

/// What is taken of a product.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The lower half of its bits.
    Low,
    /// The upper half.
    High,
    /// All.
    Wide,
}

/// A product of two operands, and the same with a third added, which is of the
/// result's type.
struct Product {
    alone: Op,
    with_sum: Op,
    result: Type,
}

macro_rules! product {
    ($ty:ty, $r:ty, $result:expr, |$a:ident, $b:ident| $e:expr) => {
        Product {
            alone: lane_op!(|$a: $ty, $b: $ty| -> $r { $e }),
            with_sum: lane_op!(|$a: $ty, $b: $ty, c: $r| -> $r {
                let p: $r = $e;
                p.wrapping_add(c)
            }),
            result: $result,
        }
    };
}

/// The part of the product of two numbers that is in `$ty` after `$shift` bits,
/// taken in the type `$twice`, which holds it all.
macro_rules! high {
    ($ty:ty, $twice:ty, $result:expr) => {
        product!($ty, $ty, $result, |a, b| {
            ((<$twice>::from(a) * <$twice>::from(b)) >> <$ty>::BITS) as $ty
        })
    };
}

fn product(part: Part, ty: Type) -> Option<Product> {
    Some(match (part, ty) {
        (Part::Low, U16 | S16) => product!(u16, u16, ty, |a, b| a.wrapping_mul(b)),
        (Part::Low, U32 | S32) => product!(u32, u32, ty, |a, b| a.wrapping_mul(b)),
        (Part::Low, U64 | S64) => product!(u64, u64, ty, |a, b| a.wrapping_mul(b)),
        (Part::High, U16) => high!(u16, u32, ty),
        (Part::High, S16) => high!(i16, i32, ty),
        (Part::High, U32) => high!(u32, u64, ty),
        (Part::High, S32) => high!(i32, i64, ty),
        (Part::High, U64) => high!(u64, u128, ty),
        (Part::High, S64) => high!(i64, i128, ty),
        (Part::Wide, U16) => product!(u16, u32, U32, |a, b| u32::from(a) * u32::from(b)),
        (Part::Wide, S16) => product!(i16, i32, S32, |a, b| i32::from(a) * i32::from(b)),
        (Part::Wide, U32) => product!(u32, u64, U64, |a, b| u64::from(a) * u64::from(b)),
        (Part::Wide, S32) => product!(i32, i64, S64, |a, b| i64::from(a) * i64::from(b)),
        _ => return None,
    })
}

/// The 48 bits of the product of two numbers' lower 24 bits.
#[inline(always)]
fn product24_unsigned(a: u32, b: u32) -> u64 {
    u64::from(a & 0xff_ffff) * u64::from(b & 0xff_ffff)
}

#[inline(always)]
fn product24_signed(a: i32, b: i32) -> i64 {
    i64::from(a << 8 >> 8) * i64::from(b << 8 >> 8)
}

/// Of 24-bit numbers in 32-bit registers; the halves are bits 0 to 31 and 16 to 47.
fn product24(part: Part, ty: Type) -> Option<Product> {
    Some(match (part, ty) {
        (Part::Low, U32) => product!(u32, u32, ty, |a, b| product24_unsigned(a, b) as u32),
        (Part::Low, S32) => product!(i32, i32, ty, |a, b| product24_signed(a, b) as i32),
        (Part::High, U32) => product!(u32, u32, ty, |a, b| (product24_unsigned(a, b) >> 16) as u32),
        (Part::High, S32) => product!(i32, i32, ty, |a, b| (product24_signed(a, b) >> 16) as i32),
        _ => return None,
    })
}

/// Decodes this family.
pub fn decode(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    let mut m = Modifiers::of(i);
    let part = m.take_if(|w| match w {
        "lo" => Some(Part::Low),
        "hi" => Some(Part::High),
        "wide" => Some(Part::Wide),
        _ => None,
    });
    let (saturates, carries) = (m.flag("sat"), m.flag("cc"));
    let (Some(part), Some(ty)) = (part, m.last_ty()) else { return Err(d.unknown(i)) };
    let found = match i.opcode.as_str() {
        "mul24" | "mad24" => product24(part, ty),
        _ => product(part, ty),
    };
    let Some(Product { alone, with_sum, result }) = found else { return Err(d.unknown(i)) };
    match (i.opcode.as_str(), saturates, carries) {
        ("mul" | "mul24", false, false) => emit(d, i, alone, result, &[ty, ty]),
        ("mad" | "mad24", false, false) => emit(d, i, with_sum, result, &[ty, ty, result]),
        ("mad" | "mad24", true, false) if (part, ty) == (Part::High, S32) => {
            sum(d, i, alone, ty, |d, dst, src| {
                let op = lane_op!(|a: i32, b: i32| -> i32 { a.saturating_add(b) });
                d.emit(op, Kind::Integer, &[dst], &src);
            })
        }
        ("mad", false, true) | ("madc", false, _) if part != Part::Wide && carry::has(ty) => {
            let adds = if i.opcode == "madc" { carry::In::Flag } else { carry::In::Nothing };
            sum(d, i, alone, ty, |d, dst, src| carry::emit_sum(d, ty, dst, src, adds, carries))
        }
        _ => Err(d.unknown(i)),
    }
}

/// The product, then the sum of a kind of its own.
fn sum(
    d: &mut Decoder<'_>,
    i: &Instruction,
    product: Op,
    ty: Type,
    sum: impl FnOnce(&mut Decoder<'_>, Slot, [Slot; 2]),
) -> Result<(), DecodeError> {
    d.expect_operands(i, 4)?;
    let dst = kept(d, i, ty)?;
    let (a, b) = (d.source(&i.operands[1], ty)?, d.source(&i.operands[2], ty)?);
    let c = d.source(&i.operands[3], ty)?;
    let temporary = d.temporary(dst.class());
    d.emit(product, Kind::Integer, &[temporary], &[a, b]);
    sum(d, dst, [temporary, c]);
    Ok(())
}
