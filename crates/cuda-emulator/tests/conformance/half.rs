//! f16 and bf16, alone and in pairs: exact fractions, rounded once.

use super::exact::{self, BF16, F16, Format, Number, Rounding, decode};
use super::instruction::{Bits, check};
use super::values::{Values, one, random_bits, three, two};
use half::{bf16, f16};

const NAN: u64 = 0x7fff;
const NEAREST: Rounding = Rounding::NearestEven;

/// A definition over codes, with what the form says of operands and result.
fn modified<const N: usize>(
    form: &str,
    f: Format,
    operands: [u64; N],
    definition: impl Fn([u64; N]) -> u64,
) -> u64 {
    let flush = |code| if form.contains(".ftz") { exact::flush(code, f) } else { code };
    let result = flush(definition(operands.map(flush)));
    let result = if form.contains(".relu") { exact::rectify(result, f) } else { result };
    if form.contains(".sat") { exact::saturate(result, f) } else { result }
}

/// One of the two formats.
pub trait Half: Values {
    const FORMAT: Format;
    const NAME: &str;
}

impl Half for f16 {
    const FORMAT: Format = F16;
    const NAME: &str = "f16";
}

impl Half for bf16 {
    const FORMAT: Format = BF16;
    const NAME: &str = "bf16";
}

/// Checks an instruction of one operand, of all codes, alone and in pairs.
fn unary<H: Half>(form: &str, definition: impl Fn(u64) -> u64) {
    let define = |a: u64| modified(form, H::FORMAT, [a], |[a]| definition(a));
    let name = H::NAME;
    check(&format!("{form}.{name} %d, %a;"), one(), |(a,): (H,)| H::from_bits(define(a.bits())));
    let all = (0..1u32 << 16).map(|code| (code | code.rotate_left(20) & 0xffff_0000,));
    check(&format!("{form}.{name}x2 %d, %a;"), all, |(a,): (u32,)| {
        (define(a.low()) | define(a.high()) << 16) as u32
    });
}

/// Checks an instruction of two operands.
fn binary<H: Half>(form: &str, definition: impl Fn(u64, u64) -> u64) {
    let define = |a: u64, b: u64| modified(form, H::FORMAT, [a, b], |[a, b]| definition(a, b));
    let name = H::NAME;
    check(&format!("{form}.{name} %d, %a, %b;"), two(), |(a, b): (H, H)| {
        H::from_bits(define(a.bits(), b.bits()))
    });
    let pairs = pairs(two::<H, H>().into_iter().map(|(a, b)| [a.bits(), b.bits()]));
    check(&format!("{form}.{name}x2 %d, %a, %b;"), pairs.map(|[a, b]| (a, b)), |(a, b): (u32, u32)| {
        let (low, high) = (define(a.low(), b.low()), define(a.high(), b.high()));
        (low | high << 16) as u32
    });
}

/// Checks an instruction of three operands.
fn ternary<H: Half>(form: &str, definition: impl Fn(u64, u64, u64) -> u64) {
    let define = |[a, b, c]: [u64; 3]| modified(form, H::FORMAT, [a, b, c], |[a, b, c]| definition(a, b, c));
    let name = H::NAME;
    let alone = three::<H, H, H>();
    check(&format!("{form}.{name} %d, %a, %b, %c;"), alone.iter().copied(), |(a, b, c): (H, H, H)| {
        H::from_bits(define([a.bits(), b.bits(), c.bits()]))
    });
    let pairs = pairs(alone.into_iter().map(|(a, b, c)| [a.bits(), b.bits(), c.bits()]));
    check(&format!("{form}.{name}x2 %d, %a, %b, %c;"), pairs.map(|[a, b, c]| (a, b, c)), |(a, b, c)| {
        let operands = [a, b, c];
        (define(operands.map(Pair::low)) | define(operands.map(Pair::high)) << 16) as u32
    });
}

/// Operands side by side with others.
pub fn pairs<const N: usize>(operands: impl Iterator<Item = [u64; N]>) -> impl Iterator<Item = [u32; N]> {
    let all: Vec<[u64; N]> = operands.collect();
    let upper: Vec<[u64; N]> = random_bits(8).take(all.len()).map(|n| all[n as usize % all.len()]).collect();
    all.into_iter().zip(upper).map(|(low, high)| std::array::from_fn(|k| (low[k] | high[k] << 16) as u32))
}

/// The two halves of a register.
trait Pair {
    fn low(self) -> u64;
    fn high(self) -> u64;
}

impl Pair for u32 {
    fn low(self) -> u64 {
        u64::from(self & 0xffff)
    }

    fn high(self) -> u64 {
        u64::from(self >> 16)
    }
}

#[test]
fn f16_add_sub_mul() {
    for form in ["", ".rn", ".ftz", ".sat", ".rn.ftz.sat"] {
        binary::<f16>(&format!("add{form}"), |a, b| exact::add(a, b, F16, NEAREST, NAN));
        binary::<f16>(&format!("sub{form}"), |a, b| exact::add(a, b ^ F16.sign(), F16, NEAREST, NAN));
        binary::<f16>(&format!("mul{form}"), |a, b| exact::mul(a, b, F16, NEAREST, NAN));
    }
}

#[test]
fn bf16_add_sub_mul() {
    for form in ["", ".rn"] {
        binary::<bf16>(&format!("add{form}"), |a, b| exact::add(a, b, BF16, NEAREST, NAN));
        binary::<bf16>(&format!("sub{form}"), |a, b| exact::add(a, b ^ BF16.sign(), BF16, NEAREST, NAN));
        binary::<bf16>(&format!("mul{form}"), |a, b| exact::mul(a, b, BF16, NEAREST, NAN));
    }
}

#[test]
fn fma() {
    for form in ["fma.rn", "fma.rn.ftz", "fma.rn.sat", "fma.rn.ftz.sat", "fma.rn.relu", "fma.rn.ftz.relu"] {
        ternary::<f16>(form, |a, b, c| exact::fma(a, b, c, F16, NEAREST, NAN));
    }
    for form in ["fma.rn", "fma.rn.relu"] {
        ternary::<bf16>(form, |a, b, c| exact::fma(a, b, c, BF16, NEAREST, NAN));
    }
}

/// Sums near the middle of two numbers, moved off it, or not, by the last bit of
/// a product: rounding twice shows here.
#[test]
fn fma_rounds_once() {
    fn near_middles<H: Half>() -> Vec<(H, H, H)> {
        let f = H::FORMAT;
        let half_spacing = |c: u64| exact::power(-1) * spacing(c, f);
        let mut inputs = Vec::new();
        for n in random_bits(9).take(3000) {
            let c = H::random(n).bits() & !f.sign();
            if c >= f.infinity() {
                continue;
            }
            // A product of about half of c's spacing: powers of two, and next to them.
            let middle = exact::round(&half_spacing(c), false, f, NEAREST);
            let (shift, off) = ((n >> 8 & 7) << f.mantissa, n >> 16 & 1);
            let a = (((1 << (f.exponent - 1)) - 1) << f.mantissa) + shift + off;
            let b = middle.saturating_sub(shift) + (n >> 17 & 1);
            let sign = if n >> 18 & 1 == 1 { f.sign() } else { 0 };
            inputs.push((H::from_bits(a), H::from_bits(b | sign), H::from_bits(c)));
        }
        inputs
    }
    fn spacing(c: u64, f: Format) -> num_rational::BigRational {
        let value = |code| exact::value(&decode(code, f)).expect("finite");
        value(c + 1 - u64::from(c + 1 == f.infinity())) - value(c - u64::from(c + 1 == f.infinity()))
    }
    check("fma.rn.f16 %d, %a, %b, %c;", near_middles(), |(a, b, c): (f16, f16, f16)| {
        f16::from_bits(exact::fma(a.bits(), b.bits(), c.bits(), F16, NEAREST, NAN) as u16)
    });
    check("fma.rn.bf16 %d, %a, %b, %c;", near_middles(), |(a, b, c): (bf16, bf16, bf16)| {
        bf16::from_bits(exact::fma(a.bits(), b.bits(), c.bits(), BF16, NEAREST, NAN) as u16)
    });
}

#[test]
fn abs_neg() {
    fn canonical(code: u64, f: Format) -> u64 {
        if decode(code, f) == Number::Nan { NAN } else { code }
    }
    for form in ["", ".ftz"] {
        unary::<f16>(&format!("abs{form}"), |a| canonical(a & !F16.sign(), F16));
        unary::<f16>(&format!("neg{form}"), |a| canonical(a ^ F16.sign(), F16));
    }
    unary::<bf16>("abs", |a| canonical(a & !BF16.sign(), BF16));
    unary::<bf16>("neg", |a| canonical(a ^ BF16.sign(), BF16));
}

#[test]
fn min_max() {
    for opcode in ["min", "max"] {
        for form in exact::extreme_forms(&["", ".ftz"]) {
            binary::<f16>(&format!("{opcode}{form}"), |a, b| exact::extreme(opcode, &form, a, b, F16, NAN));
        }
        for form in exact::extreme_forms(&[""]) {
            binary::<bf16>(&format!("{opcode}{form}"), |a, b| exact::extreme(opcode, &form, a, b, BF16, NAN));
        }
    }
}
