//! Extended precision: `add.cc`, `addc`, `sub.cc`, `subc`, and the sums of
//! `mad.cc` and `madc`.
//!
//! `CC.CF` is a predicate that no instruction names. A difference is the sum
//! with the complement: a - b = a + !b + 1, and a - b - 1 = a + !b. So the flag
//! holds a carry always, and no borrow is the carry 1. The manual speaks of a
//! borrow; a chain of differences cannot tell, one that mixes them with sums
//! can, and gets from a GPU what it gets here.

use crate::code::{DecodeError, Decoder, Inst, Kind, Op, Slot};
use crate::machine::lanes::both;
use crate::machine::ops::{Modifiers, kept};
use crate::machine::registers::{Raw, blend};
use crate::machine::{Cpu, Flow};
use crate::ptx::ast::{Instruction, Type, Type::*};

/// What is added beside the operands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum In {
    /// Nothing.
    Nothing,
    /// One.
    One,
    /// `CC.CF`.
    Flag,
}

/// Is there a carry in this type?
pub fn has(ty: Type) -> bool {
    matches!(ty, U32 | S32 | U64 | S64)
}

/// A sum with carry: dst = a + b + carry, and the carry out of it if that is wanted.
macro_rules! sum {
    ($ty:ty, |$b:ident| $addend:expr) => {{
        #[inline(always)]
        fn body(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
            let r = &cpu.warp.registers;
            let (a, b) = (<$ty>::row(r, cpu.kernel, i.src[0]), <$ty>::row(r, cpu.kernel, i.src[1]));
            let carries = r.pred(cpu.kernel, i.src[2]);
            let (mut value, mut out) = ([0; 32], 0);
            for lane in 0..32 {
                let $b = b[lane];
                let (part, first) = a[lane].overflowing_add($addend);
                let (sum, second) = part.overflowing_add(<$ty>::from(carries >> lane & 1));
                value[lane] = sum;
                out |= u32::from(first | second) << lane;
            }
            let undefined = r.undefined(i.src[0]) | r.undefined(i.src[1]) | r.undefined(i.src[2]);
            let mask = cpu.mask;
            let r = &mut cpu.warp.registers;
            blend(<$ty>::row_mut(r, i.dst[0]), mask, &value);
            r.set_undefined(i.dst[0], mask, undefined);
            if i.dst[1].is_some() {
                r.set_pred(i.dst[1], mask, out, undefined);
            }
            Flow::Next
        }
        both!(body)
    }};
}

fn emit(d: &mut Decoder<'_>, op: Op, dst: Slot, src: [Slot; 2], carry: In, writes: bool) {
    let carry = match carry {
        In::Nothing => d.constant_pred(false),
        In::One => d.constant_pred(true),
        In::Flag => d.carry(),
    };
    let out = if writes { d.carry() } else { Slot::NONE };
    d.emit(op, Kind::Integer, &[dst, out], &[src[0], src[1], carry]);
}

/// `dst` = the sum of `src` and a carry; if it `writes`, the new carry goes to the flag.
pub fn emit_sum(d: &mut Decoder<'_>, ty: Type, dst: Slot, src: [Slot; 2], carry: In, writes: bool) {
    let op = if ty.bytes() == 4 { sum!(u32, |b| b) } else { sum!(u64, |b| b) };
    emit(d, op, dst, src, carry, writes);
}

fn emit_difference(d: &mut Decoder<'_>, ty: Type, dst: Slot, src: [Slot; 2], carry: In, writes: bool) {
    let op = if ty.bytes() == 4 { sum!(u32, |b| !b) } else { sum!(u64, |b| !b) };
    emit(d, op, dst, src, carry, writes);
}

/// Decodes `add.cc`, `addc`, `sub.cc` and `subc`.
pub fn decode(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    let mut m = Modifiers::of(i);
    let writes = m.flag("cc");
    let Some(ty) = m.last_ty().filter(|ty| has(*ty)) else { return Err(d.unknown(i)) };
    d.expect_operands(i, 3)?;
    let dst = kept(d, i, ty)?;
    let src = [d.source(&i.operands[1], ty)?, d.source(&i.operands[2], ty)?];
    match i.opcode.as_str() {
        "add" => emit_sum(d, ty, dst, src, In::Nothing, writes),
        "addc" => emit_sum(d, ty, dst, src, In::Flag, writes),
        "sub" => emit_difference(d, ty, dst, src, In::One, writes),
        "subc" => emit_difference(d, ty, dst, src, In::Flag, writes),
        _ => return Err(d.unknown(i)),
    }
    Ok(())
}
