//! Arithmetic that is rounded once, to a format narrower than f64, in any direction.
//!
//! The host computes in f64 and rounds to nearest; what it has rounded off is
//! recovered exactly and the result *rounded to odd*: cut off, and its last bit
//! set if anything was cut off. Such a result lies on no number and no middle of
//! two numbers of a format that is two bits narrower, unless it is exact. So
//! rounding it again, to that format, is as if the exact value had been rounded.

/// How a value that lies between two numbers of a format becomes one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// `.rn`: the nearest, ties to even.
    NearestEven,
    /// `.rz`: towards zero.
    Zero,
    /// `.rm`: towards minus infinity.
    Down,
    /// `.rp`: towards plus infinity.
    Up,
}

/// The value and what was rounded off it, `value` being the nearest to their sum: rounded to odd.
#[inline(always)]
fn odd(value: f64, error: f64) -> f64 {
    let bits = value.to_bits();
    // The exact value lies between `value` and its neighbour on the error's side, and one of the two
    // is odd. Without branches, so that this becomes vector instructions.
    let inexact = u64::from(error.abs() > 0.0);
    let one_off = inexact & !bits;
    let towards_zero = one_off & (bits ^ error.to_bits()) >> 63;
    f64::from_bits(bits.wrapping_add(one_off).wrapping_sub(towards_zero << 1))
}

/// `a + b`, rounded to odd; the operands are of a narrower format, or products of two such.
/// The direction decides only the sign of a zero.
#[inline(always)]
pub fn add(a: f64, b: f64, rounding: Rounding) -> f64 {
    let sum = a + b;
    // Knuth's two-sum: what `a` and `b` have become within the sum, and what is missing of them.
    let of_b = sum - a;
    let of_a = sum - of_b;
    let error = (a - of_a) + (b - of_b);
    // Zeros of both signs, or a value less itself.
    let negative_zero =
        sum == 0.0 && rounding == Rounding::Down && (a.is_sign_negative() || b.is_sign_negative());
    if negative_zero { -0.0 } else { odd(sum, error) }
}

/// `a * b + c`, rounded to odd: f64 holds the product of two f32 exactly.
#[inline(always)]
pub fn mul_add(a: f64, b: f64, c: f64, rounding: Rounding) -> f64 {
    add(a * b, c, rounding)
}

/// `a / b`, rounded to odd.
#[inline(always)]
pub fn div(a: f64, b: f64) -> f64 {
    let quotient = a / b;
    // The remainder has the error's sign where the divisor is positive.
    let remainder = (-quotient).mul_add(b, a);
    let error = if b < 0.0 { -remainder } else { remainder };
    if quotient.is_finite() { odd(quotient, error) } else { quotient }
}

/// The square root, rounded to odd.
#[inline(always)]
pub fn sqrt(a: f64) -> f64 {
    let root = a.sqrt();
    let remainder = (-root).mul_add(root, a);
    if root.is_finite() { odd(root, remainder) } else { root }
}

/// To f32. What is too large becomes infinity, or the largest number where that
/// is the direction.
#[inline(always)]
pub fn to_f32(x: f64, rounding: Rounding) -> f32 {
    let nearest = x as f32;
    let back = f64::from(nearest);
    let too_far = match rounding {
        Rounding::NearestEven => false,
        Rounding::Zero => back.abs() > x.abs(),
        Rounding::Down => back > x,
        Rounding::Up => back < x,
    };
    if !too_far {
        return nearest;
    }
    match rounding {
        Rounding::Up => nearest.next_up(),
        Rounding::Down => nearest.next_down(),
        _ if nearest > 0.0 => nearest.next_down(),
        _ => nearest.next_up(),
    }
}
