//! What the 8-bit formats share.

/// The code nearest to `x`, which is no NaN, ties to even, magnitudes above
/// `max` becoming `max`: of a format with `MANTISSA` stored bits whose smallest
/// normal number is 2 to the `LEAST`.
#[inline(always)]
pub fn nearest<const MANTISSA: i32, const LEAST: i32>(x: f32, max: f32) -> u8 {
    let sign = (x.to_bits() >> 24) as u8 & 0x80;
    let magnitude = x.abs().min(max);
    // Adding 2^23 ulps of the target's spacing rounds to it: the hardware's own
    // round-to-nearest-even does the work. Below the normal numbers the spacing
    // stays what it is there.
    let exponent = (magnitude.to_bits() >> 23) as i32 - 127;
    let spacing = exponent.max(LEAST) - MANTISSA;
    let magic = f32::from_bits(((spacing + 23 + 127) as u32) << 23);
    let steps = ((magnitude + magic) - magic) * f32::from_bits(((127 - spacing) as u32) << 23);
    // There are at most 2^(MANTISSA + 1) `steps`: half as many at least with the
    // hidden bit, fewer where subnormal. A carry into the next binade carries
    // into the exponent field by itself.
    let field = (((spacing + MANTISSA - LEAST) as u32) << MANTISSA) + steps as u32;
    sign | field as u8
}
