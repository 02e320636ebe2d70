//! One sum as `hardware` says, of any numbers: integers in place of vectors.

use super::half;
use super::hardware::{Precision, Rule};
use super::operands::{NONE, exponent_of};

/// A factor: its value, and its exponent in its format.
pub type Factor = (f32, i16);

/// The accumulator plus all products. An f16 result comes as an f32.
#[inline(never)]
pub fn sum(products: impl Iterator<Item = [Factor; 2]> + Clone, c: f32, rule: Rule) -> f32 {
    let exact = products.clone().map(|[a, b]| f64::from(a.0) * f64::from(b.0));
    let special: f64 =
        exact.filter(|p| !p.is_finite()).sum::<f64>() + if c.is_finite() { 0.0 } else { c.into() };
    if special != 0.0 {
        return special as f32;
    }
    let c_exponent = exponent_of(c, -126);
    let exponents = products.clone().map(|[a, b]| a.1 + b.1).filter(|e| *e > NONE / 2);
    let top = i32::from(exponents.fold(rule.floor.max(c_exponent), i16::max));
    // The sum counts in units of 2^unit.
    let unit = top - rule.fraction;
    let mut total = shifted(significand(c, c_exponent), i32::from(c_exponent) - 23 - unit);
    for [a, b] in products {
        let product = significand(a.0, a.1) * significand(b.0, b.1);
        total += shifted(product, i32::from(a.1) + i32::from(b.1) - 46 - unit);
    }
    match rule.result {
        Precision::F16 => half::round(total as f64 * half::power(unit)),
        Precision::F32(bits) => truncated(total, unit, bits as i32),
    }
}

/// `value` as a multiple of 2^(exponent - 23).
fn significand(value: f32, exponent: i16) -> i64 {
    if value == 0.0 {
        return 0;
    }
    (f64::from(value) * half::power(23 - i32::from(exponent))) as i64
}

/// `x * 2^by`, cut off towards zero.
fn shifted(x: i64, by: i32) -> i64 {
    let magnitude = match by {
        0.. => x.unsigned_abs() << by.min(63),
        _ => x.unsigned_abs().checked_shr(by.unsigned_abs()).unwrap_or(0),
    };
    if x < 0 { -(magnitude as i64) } else { magnitude as i64 }
}

/// `total * 2^unit` as an f32 with `bits` bits behind the leading one, cut off.
fn truncated(total: i64, unit: i32, bits: i32) -> f32 {
    let leading = 63 - total.unsigned_abs().leading_zeros() as i32 + unit;
    let last = leading.max(-126) - bits;
    let kept = shifted(total, unit - last) as f64 * half::power(last);
    if total < 0 { -kept.abs() as f32 } else { kept as f32 }
}
