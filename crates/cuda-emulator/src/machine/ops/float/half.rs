//! f16 and bf16, alone and in pairs. Sums and products are made in f64 and
//! rounded once.

use super::Operation;
use super::form::{FTZ, Flags, Form, Mode, NAN, Precision, RELU, SAT, XORSIGN, mode_op};
use crate::code::{Kind, Op};
use crate::numeric::narrow::{BF16, F16};
use crate::numeric::rounding::{self, Rounding};
use crate::ptx::ast::Type;

/// A function of codes of one format: of a register, or of each half of one.
macro_rules! codes {
    ($ty:expr, $map:ident, |$f:ident, $mode:ident, $($x:ident),+| $code:expr) => {
        match $ty {
            Type::F16 => codes!(@one F16, $map, |$f, $mode, $($x),+| $code),
            Type::Bf16 => codes!(@one BF16, $map, |$f, $mode, $($x),+| $code),
            Type::F16x2 => codes!(@two F16, $map, |$f, $mode, $($x),+| $code),
            _ => codes!(@two BF16, $map, |$f, $mode, $($x),+| $code),
        }
    };
    (@one $format:ident, $map:ident, |$f:ident, $mode:ident, $($x:ident),+| $code:expr) => {{
        codes!(@function each, $format, |$f, $mode, $($x),+| $code);
        mode_op!($map, |mode, $($x: u16),+| -> u16 { each(mode, $($x.into()),+) as u16 })
    }};
    (@two $format:ident, $map:ident, |$f:ident, $mode:ident, $($x:ident),+| $code:expr) => {{
        codes!(@function each, $format, |$f, $mode, $($x),+| $code);
        mode_op!($map, |mode, $($x: u32),+| -> u32 {
            each(mode, $($x & 0xffff),+) | each(mode, $($x >> 16),+) << 16
        })
    }};
    (@function $each:ident, $format:ident, |$f:ident, $mode:ident, $($x:ident),+| $code:expr) => {
        #[inline(always)]
        fn $each($mode: Mode, $($x: u32),+) -> u32 {
            let $f = $format;
            $code
        }
    };
}

/// A function of values, over f64.
macro_rules! values {
    ($ty:expr, $map:ident, |$($x:ident),+| $value:expr) => {
        codes!($ty, $map, |f, mode, $($x),+| {
            $(let $x = f.widen(mode.operand(f, $x));)+
            mode.result(f, f.narrow($value))
        })
    };
}

const NEAREST: Rounding = Rounding::NearestEven;

/// The operation, and how many operands it takes.
fn family(opcode: &str, ty: Type) -> Option<(Op, usize)> {
    Some(match opcode {
        "add" => (values!(ty, map2, |a, b| rounding::add(a, b, NEAREST)), 2),
        "sub" => (values!(ty, map2, |a, b| rounding::add(a, -b, NEAREST)), 2),
        // f64 holds the product exactly.
        "mul" => (values!(ty, map2, |a, b| a * b), 2),
        "fma" => (values!(ty, map3, |a, b, c| rounding::mul_add(a, b, c, NEAREST)), 3),
        "min" => (codes!(ty, map2, |f, m, a, b| m.min(f, a, b)), 2),
        "max" => (codes!(ty, map2, |f, m, a, b| m.max(f, a, b)), 2),
        "abs" => (codes!(ty, map1, |f, m, a| m.result(f, f.magnitude(a))), 1),
        "neg" => (codes!(ty, map1, |f, m, a| m.result(f, a ^ f.sign())), 1),
        // Far more exact than their bounds ask for, as in f32.
        "ex2" => (values!(ty, map1, |a| a.exp2()), 1),
        "tanh" => (values!(ty, map1, |a| a.tanh()), 1),
        _ => return None,
    })
}

/// Is there such a form? f16 has `.ftz`, bf16 has not, but for `ex2`, where it is the other way round.
fn exists(opcode: &str, form: &Form) -> bool {
    let f16 = matches!(form.ty, Type::F16 | Type::F16x2);
    let ftz = if f16 { FTZ } else { Flags::NONE };
    let saturation = if f16 { FTZ.or(SAT) } else { Flags::NONE };
    match (opcode, form.precision) {
        ("add" | "sub" | "mul", Precision::Unsaid | Precision::Rounded(NEAREST)) => form.within(saturation),
        ("fma", Precision::Rounded(NEAREST)) => form.within(saturation) || form.within(ftz.or(RELU)),
        ("min" | "max", Precision::Unsaid) => form.within(ftz.or(NAN).or(XORSIGN)),
        ("abs" | "neg", Precision::Unsaid) => form.within(ftz),
        ("ex2", Precision::Approx) => form.flags == if f16 { Flags::NONE } else { FTZ },
        ("tanh", Precision::Approx) => form.flags == Flags::NONE,
        _ => false,
    }
}

/// The operation of a form.
pub fn operation(opcode: &str, form: &Form) -> Option<Operation> {
    let (op, operands) = family(opcode, form.ty).filter(|_| exists(opcode, form))?;
    let kind = if form.precision == Precision::Approx { Kind::Special } else { Kind::Half };
    Some(Operation { op, kind, operands })
}
