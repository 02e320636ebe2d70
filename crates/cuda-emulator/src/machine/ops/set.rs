//! Choice and comparison without predicates: `set` and `slct`.

use crate::code::{Class, DecodeError, Decoder, Slot};
use crate::machine::ops::{Modifiers, compare};
use crate::ptx::ast::{Instruction, Type::*};

/// `set`: all ones or 1.0 where the comparison holds, else zero.
fn decode_set(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    let mut m = Modifiers::of(i);
    let (Some(word), combination) = (m.advance(), m.take_if(compare::combination)) else {
        return Err(d.unknown(i));
    };
    let (Some(to), Some(ty)) = (m.ty(), m.last_ty()) else { return Err(d.unknown(i)) };
    let holds = match to {
        U32 | S32 => u32::MAX,
        F32 => 1f32.to_bits(),
        _ => return Err(d.unknown(i)),
    };
    let (dst, a, b, with) = match (i.operands.as_slice(), combination) {
        ([dst, a, b], None) => (dst, a, b, None),
        ([dst, a, b, c], Some(how)) => (dst, a, b, Some((how, d.source(c, Pred)?))),
        _ => return Err(d.unknown(i)),
    };
    let (dst, a, b) = (d.dest(dst, to)?, d.source(a, ty)?, d.source(b, ty)?);
    let p = d.temporary(Class::Pred);
    compare::emit(d, word, ty, [p, Slot::NONE], [a, b], with).ok_or_else(|| d.unknown(i))?;
    let (one, zero) = (d.constant32(holds), d.constant32(0));
    compare::emit_select(d, dst, [one, zero, p]);
    Ok(())
}

/// `slct`: the first operand where the third is not negative, nor NaN.
fn decode_slct(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    let mut m = Modifiers::of(i);
    let flushes = m.flag("ftz");
    let (Some(ty), Some(selector)) = (m.ty(), m.last_ty()) else { return Err(d.unknown(i)) };
    if !compare::is_plain(ty) || !matches!((selector, flushes), (S32, false) | (F32, _)) {
        return Err(d.unknown(i));
    }
    d.expect_operands(i, 4)?;
    let (dst, a, b) =
        (d.dest(&i.operands[0], ty)?, d.source(&i.operands[1], ty)?, d.source(&i.operands[2], ty)?);
    let c = d.source(&i.operands[3], selector)?;
    // With subnormals as zero, all is well above the largest negative normal number.
    let (word, bound) = if flushes { ("gt", (-f32::MIN_POSITIVE).to_bits()) } else { ("ge", 0) };
    let bound = d.constant32(bound);
    let p = d.temporary(Class::Pred);
    compare::emit(d, word, selector, [p, Slot::NONE], [c, bound], None).ok_or_else(|| d.unknown(i))?;
    compare::emit_select(d, dst, [a, b, p]);
    Ok(())
}

/// Decodes this family.
pub fn decode(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    match i.opcode.as_str() {
        "set" => decode_set(d, i),
        _ => decode_slct(d, i),
    }
}
