//! `testp`: what kind of number a float is.

use std::num::FpCategory;

use crate::code::{DecodeError, Decoder, Inst, Kind, Op};
use crate::machine::lanes::{both, test1};
use crate::machine::ops::Modifiers;
use crate::machine::{Cpu, Flow};
use crate::ptx::ast::{Instruction, Type};

macro_rules! test {
    ($ty:ty, $category:pat) => {{
        #[inline(always)]
        fn body(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
            let holds = test1::<$ty>(cpu, i, |a| matches!(a.classify(), $category));
            let (mask, undefined) = (cpu.mask, cpu.warp.registers.undefined(i.src[0]));
            cpu.warp.registers.set_pred(i.dst[0], mask, holds, undefined);
            Flow::Next
        }
        both!(body)
    }};
}

macro_rules! property {
    ($ty:ty, $word:expr) => {
        match $word {
            "finite" => test!($ty, FpCategory::Zero | FpCategory::Subnormal | FpCategory::Normal),
            "infinite" => test!($ty, FpCategory::Infinite),
            "number" => test!(
                $ty,
                FpCategory::Zero | FpCategory::Subnormal | FpCategory::Normal | FpCategory::Infinite
            ),
            "notanumber" => test!($ty, FpCategory::Nan),
            // The manual counts zeros among the normal numbers.
            "normal" => test!($ty, FpCategory::Zero | FpCategory::Normal),
            "subnormal" => test!($ty, FpCategory::Subnormal),
            _ => return None,
        }
    };
}

fn operation(word: &str, ty: Type) -> Option<Op> {
    Some(match ty {
        Type::F32 => property!(f32, word),
        Type::F64 => property!(f64, word),
        _ => return None,
    })
}

/// Decodes `testp`.
pub fn decode(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    let mut m = Modifiers::of(i);
    let (word, ty) = (m.advance(), m.ty().filter(|_| m.done()));
    let (Some(word), Some(ty)) = (word, ty) else { return Err(d.unknown(i)) };
    let op = operation(word, ty).ok_or_else(|| d.unknown(i))?;
    d.expect_operands(i, 2)?;
    let (dst, a) = (d.dest(&i.operands[0], Type::Pred)?, super::source(d, &i.operands[1], ty)?);
    d.emit(op, Kind::Integer, &[dst], &[a]);
    Ok(())
}
