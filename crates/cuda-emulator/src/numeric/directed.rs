//! f64 arithmetic in any direction. The host has no wider format that could
//! hold what it rounds off, so this is done in software.

use rustc_apfloat::ieee::Double;
use rustc_apfloat::{Float, Round};

use super::rounding::Rounding;

fn round(rounding: Rounding) -> Round {
    match rounding {
        Rounding::NearestEven => Round::NearestTiesToEven,
        Rounding::Zero => Round::TowardZero,
        Rounding::Down => Round::TowardNegative,
        Rounding::Up => Round::TowardPositive,
    }
}

fn soft(x: f64) -> Double {
    Double::from_bits(x.to_bits().into())
}

fn hard(x: Double) -> f64 {
    f64::from_bits(x.to_bits() as u64)
}

/// `a + b`.
pub fn add(a: f64, b: f64, rounding: Rounding) -> f64 {
    hard(soft(a).add_r(soft(b), round(rounding)).value)
}

/// `a * b`.
pub fn mul(a: f64, b: f64, rounding: Rounding) -> f64 {
    hard(soft(a).mul_r(soft(b), round(rounding)).value)
}

/// `a * b + c`.
pub fn mul_add(a: f64, b: f64, c: f64, rounding: Rounding) -> f64 {
    hard(soft(a).mul_add_r(soft(b), soft(c), round(rounding)).value)
}

/// `a / b`.
pub fn div(a: f64, b: f64, rounding: Rounding) -> f64 {
    hard(soft(a).div_r(soft(b), round(rounding)).value)
}

/// The square root.
pub fn sqrt(a: f64, rounding: Rounding) -> f64 {
    let nearest = a.sqrt();
    if !nearest.is_normal() {
        return nearest;
    }
    // The remainder tells on which side of the root its nearest number lies. The
    // scale keeps a small one from falling below the smallest number.
    let scale = if a < 1.0 { (1u64 << 60) as f64 } else { 1.0 };
    let remainder = (-nearest * scale).mul_add(nearest * scale, a * scale * scale);
    match rounding {
        Rounding::Up if remainder > 0.0 => nearest.next_up(),
        Rounding::Down | Rounding::Zero if remainder < 0.0 => nearest.next_down(),
        _ => nearest,
    }
}
