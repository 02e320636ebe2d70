//! `setp` and `set` of floats: the order of the exact values.

use std::cmp::Ordering;

use super::exact::{self, BF16, F16, F32, F64, Format};
use super::half::pairs;
use super::instruction::{Bits, check};
use super::values::{Values, random_bits, two};
use half::{bf16, f16};

const WORDS: [&str; 14] =
    ["eq", "ne", "lt", "le", "gt", "ge", "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan"];

fn holds(word: &str, order: Option<Ordering>) -> bool {
    let Some(order) = order else { return word == "nan" || word.len() == 3 && word.ends_with('u') };
    match word.trim_end_matches('u') {
        "eq" => order.is_eq(),
        "ne" => order.is_ne(),
        "lt" => order.is_lt(),
        "le" => order.is_le(),
        "gt" => order.is_gt(),
        "ge" => order.is_ge(),
        word => word == "num",
    }
}

fn combined(operation: &str, holds: bool, c: bool) -> bool {
    match operation {
        ".and" => holds && c,
        ".or" => holds || c,
        ".xor" => holds != c,
        _ => holds,
    }
}

const COMBINATIONS: [&str; 4] = ["", ".and", ".or", ".xor"];

/// A type that can be compared.
trait Float: Values {
    const FORMAT: Format;
    const NAME: &str;
    /// `.ftz` or not, where there is the choice.
    const FTZ: &[&str];
}

macro_rules! floats {
    ($($ty:ty: $format:ident, $name:literal, $ftz:expr;)*) => {$(
        impl Float for $ty {
            const FORMAT: Format = $format;
            const NAME: &str = $name;
            const FTZ: &[&str] = $ftz;
        }
    )*};
}

floats! {
    f32: F32, "f32", &["", ".ftz"];
    f64: F64, "f64", &[""];
    f16: F16, "f16", &["", ".ftz"];
    bf16: BF16, "bf16", &[""];
}

/// The order of two codes as a form with or without `.ftz` sees it.
fn order(a: u64, b: u64, f: Format, ftz: &str) -> Option<Ordering> {
    let flush = |code| if ftz.is_empty() { code } else { exact::flush(code, f) };
    exact::order(flush(a), flush(b), f)
}

/// Operands, and one more predicate in the lowest bit.
fn operands<T: Float>() -> impl Iterator<Item = (T, T, u32)> {
    two::<T, T>().into_iter().zip(random_bits(10)).map(|((a, b), n)| (a, b, n as u32 & 1))
}

/// A bit for each word for which `holds` is true.
fn bits(holds: impl Fn(&str) -> bool) -> u32 {
    WORDS.iter().enumerate().map(|(n, word)| u32::from(holds(word)) << n).sum()
}

/// All comparisons at once: a bit of `%d` for each.
fn all_words(instruction: impl Fn(&str) -> String) -> String {
    let each = |(n, word): (usize, &&str)| {
        format!("{}\nselp.b32 %r0, {}, 0, %p;\nor.b32 %d, %d, %r0;\n", instruction(word), 1 << n)
    };
    format!("mov.b32 %d, 0;\n{}", WORDS.iter().enumerate().map(each).collect::<String>())
}

fn setp<T: Float>() {
    for ftz in T::FTZ {
        let code = all_words(|word| format!("setp.{word}{ftz}.{} %p, %a, %b;", T::NAME));
        check(&code, two(), |(a, b): (T, T)| {
            let order = order(a.bits(), b.bits(), T::FORMAT, ftz);
            bits(|word| holds(word, order))
        });
    }
}

/// The comparison, combined with a predicate or its opposite.
fn setp_combined<T: Float>() {
    for (ftz, combination) in
        T::FTZ.iter().flat_map(|ftz| COMBINATIONS.map(|c| (ftz, c))).filter(|(_, c)| !c.is_empty())
    {
        for not in ["", "!"] {
            let ty = T::NAME;
            let code = all_words(|word| format!("setp.{word}{combination}{ftz}.{ty} %p, %a, %b, {not}%s;"));
            let code = format!(".reg .pred %s;\nsetp.ne.u32 %s, %c, 0;\n{code}");
            check(&code, operands(), |(a, b, c): (T, T, u32)| {
                let order = order(a.bits(), b.bits(), T::FORMAT, ftz);
                bits(|word| combined(combination, holds(word, order), (c == 1) == not.is_empty()))
            });
        }
    }
}

#[test]
fn setp_of_one() {
    setp::<f32>();
    setp::<f64>();
    setp::<f16>();
    setp::<bf16>();
    setp_combined::<f32>();
    setp_combined::<f64>();
    setp_combined::<f16>();
    setp_combined::<bf16>();
}

/// The second predicate is the opposite, before it is combined.
#[test]
fn setp_with_its_opposite() {
    fn check_opposite<T: Float>() {
        for (ftz, combination) in T::FTZ.iter().flat_map(|ftz| COMBINATIONS.map(|c| (ftz, c))) {
            let third = if combination.is_empty() { "" } else { ", %s" };
            let code =
                all_words(|word| format!("setp.{word}{combination}{ftz}.{} %q|%p, %a, %b{third};", T::NAME));
            let code = format!(".reg .pred %s;\nsetp.ne.u32 %s, %c, 0;\n{code}");
            check(&code, operands(), |(a, b, c): (T, T, u32)| {
                let order = order(a.bits(), b.bits(), T::FORMAT, ftz);
                bits(|word| combined(combination, !holds(word, order), c == 1))
            });
        }
    }
    check_opposite::<f32>();
    check_opposite::<f64>();
}

/// One predicate for each half.
#[test]
fn setp_of_pairs() {
    fn check_pairs<T: Float>() {
        for (ftz, combination) in T::FTZ.iter().flat_map(|ftz| COMBINATIONS.map(|c| (ftz, c))) {
            let third = if combination.is_empty() { "" } else { ", %s" };
            for (shift, destination) in [(0, "%p"), (0, "%p|%q"), (16, "%q|%p")] {
                let code = all_words(|word| {
                    format!("setp.{word}{combination}{ftz}.{}x2 {destination}, %a, %b{third};", T::NAME)
                });
                let code = format!(".reg .pred %s;\nsetp.ne.u32 %s, %c, 0;\n{code}");
                let operands = operands::<T>().map(|(a, b, _)| [a.bits(), b.bits()]);
                let inputs = pairs(operands).zip(random_bits(11)).map(|([a, b], n)| (a, b, n as u32 & 1));
                check(&code, inputs, |(a, b, c): (u32, u32, u32)| {
                    let half = |pair: u32| u64::from(pair >> shift & 0xffff);
                    let order = order(half(a), half(b), T::FORMAT, ftz);
                    bits(|word| combined(combination, holds(word, order), c == 1))
                });
            }
        }
    }
    check_pairs::<f16>();
    check_pairs::<bf16>();
}

/// Checks `set` with a result of a type of which `truth` means true.
fn set<T: Float, R: Bits>(result: &str, truth: u64) {
    let forms = if result == "bf16" { &[""] } else { T::FTZ };
    for (word, ftz) in WORDS.iter().flat_map(|word| forms.iter().map(move |ftz| (word, ftz))) {
        let code = format!("set.{word}{ftz}.{result}.{} %d, %a, %b;", T::NAME);
        check(&code, two().into_iter().step_by(7), |(a, b): (T, T)| {
            let order = order(a.bits(), b.bits(), T::FORMAT, ftz);
            R::from_bits(if holds(word, order) { truth } else { 0 })
        });
    }
    for combination in [".and", ".or", ".xor"] {
        let code = format!(
            ".reg .pred %s;\nsetp.ne.u32 %s, %c, 0;\nset.ltu{combination}.{result}.{} %d, %a, %b, !%s;",
            T::NAME
        );
        check(&code, operands().step_by(7), |(a, b, c): (T, T, u32)| {
            let order = order(a.bits(), b.bits(), T::FORMAT, "");
            R::from_bits(if combined(combination, holds("ltu", order), c == 0) { truth } else { 0 })
        });
    }
}

const ONES: u64 = 0xffff_ffff;
const HALF_ONES: u64 = 0xffff;
const F16_ONE: u64 = 0x3c00;
const BF16_ONE: u64 = 0x3f80;

#[test]
fn set_of_f32() {
    set::<f32, u32>("u32", ONES);
    set::<f32, u32>("s32", ONES);
    set::<f32, u32>("f32", 0x3f80_0000);
    set::<f32, u16>("f16", F16_ONE);
    set::<f32, u16>("bf16", BF16_ONE);
}

#[test]
fn set_of_f64() {
    set::<f64, u32>("u32", ONES);
    set::<f64, u32>("s32", ONES);
    set::<f64, u32>("f32", 0x3f80_0000);
    set::<f64, u16>("f16", F16_ONE);
    set::<f64, u16>("bf16", BF16_ONE);
}

#[test]
fn set_of_halves() {
    set::<f16, u16>("u16", HALF_ONES);
    set::<f16, u16>("s16", HALF_ONES);
    set::<f16, u32>("u32", ONES);
    set::<f16, u32>("s32", ONES);
    set::<f16, u16>("f16", F16_ONE);
    set::<f16, u16>("bf16", BF16_ONE);
    set::<bf16, u16>("u16", HALF_ONES);
    set::<bf16, u16>("s16", HALF_ONES);
    set::<bf16, u32>("u32", ONES);
    set::<bf16, u32>("s32", ONES);
    set::<bf16, u16>("bf16", BF16_ONE);
}

/// Each half for itself.
#[test]
fn set_of_pairs() {
    fn check_pairs<T: Float>(result: &str, truth: u32) {
        for (word, ftz) in WORDS.iter().flat_map(|word| T::FTZ.iter().map(move |ftz| (word, ftz))) {
            let code = format!("set.{word}{ftz}.{result}.{}x2 %d, %a, %b;", T::NAME);
            let inputs = pairs(two::<T, T>().into_iter().step_by(7).map(|(a, b)| [a.bits(), b.bits()]));
            check(&code, inputs.map(|[a, b]| (a, b)), |(a, b): (u32, u32)| {
                let half = |shift: u32| {
                    let [a, b] = [a, b].map(|pair| u64::from(pair >> shift & 0xffff));
                    if holds(word, order(a, b, T::FORMAT, ftz)) { truth } else { 0 }
                };
                half(0) | half(16) << 16
            });
        }
    }
    for result in ["u32", "s32"] {
        check_pairs::<f16>(result, 0xffff);
        check_pairs::<bf16>(result, 0xffff);
    }
    check_pairs::<f16>("f16x2", 0x3c00);
    check_pairs::<bf16>("bf16x2", 0x3f80);
}
