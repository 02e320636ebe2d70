//! E4M3 by its definition (OCP 8-bit floating point specification, 2023): one sign, four exponent and three mantissa
//! bits, bias 7; subnormals; NaN where all of exponent and mantissa are ones; no infinity.

/// The value of a code.
pub fn decode_e4m3(code: u8) -> f32 {
    let sign = if code & 0x80 == 0 { 1.0 } else { -1.0 };
    let exponent = i32::from(code >> 3 & 0xf);
    let mantissa = f32::from(code & 7);
    match (exponent, code & 7) {
        (15, 7) => f32::NAN,
        (0, _) => sign * mantissa / 8.0 * 2f32.powi(-6),
        _ => sign * (1.0 + mantissa / 8.0) * 2f32.powi(exponent - 7),
    }
}

/// The code nearest to a value; of two equally near, the even one. Values beyond 448 become 448, with their sign;
/// NaN becomes `0x7f`.
pub fn encode_e4m3(value: f32) -> u8 {
    if value.is_nan() {
        return 0x7f;
    }
    let sign = if value.is_sign_negative() { 0x80 } else { 0 };
    let magnitude = f64::from(value).abs().min(448.0);
    let distance = |code: u8| (f64::from(decode_e4m3(code)) - magnitude).abs();
    // Positive codes ascend with their values, so this is the last one that is not greater.
    let below = (0..=0x7e).rev().find(|&code| f64::from(decode_e4m3(code)) <= magnitude).unwrap_or(0);
    let above = (below + 1).min(0x7e);
    let nearest = match distance(below).total_cmp(&distance(above)) {
        std::cmp::Ordering::Less => below,
        std::cmp::Ordering::Greater => above,
        std::cmp::Ordering::Equal => below + below % 2 * (above - below),
    };
    sign | nearest
}

#[cfg(test)]
mod tests {
    use float8::F8E4M3;

    use super::*;

    #[test]
    fn float8_decodes_all_codes_alike() {
        for code in 0..=255 {
            let (ours, theirs) = (decode_e4m3(code), F8E4M3::from_bits(code).to_f32());
            assert!(
                ours.to_bits() == theirs.to_bits() || ours.is_nan() && theirs.is_nan(),
                "{code:#04x}: {ours} and {theirs}"
            );
        }
    }

    #[test]
    fn every_code_encodes_to_itself() {
        for code in (0..=255).filter(|code| code & 0x7f != 0x7f) {
            assert_eq!(encode_e4m3(decode_e4m3(code)), code);
        }
        assert_eq!(encode_e4m3(f32::NAN), 0x7f);
        assert_eq!(encode_e4m3(-f32::NAN), 0x7f);
    }

    #[test]
    fn float8_encodes_neighbourhoods_of_values_and_ties_alike() {
        let magnitudes: Vec<f32> = (0..0x7e)
            .flat_map(|code| {
                let (low, high) = (decode_e4m3(code), decode_e4m3(code + 1));
                [low, (low + high) / 2.0]
            })
            .chain([
                448.0,
                463.0,
                464.0,
                465.0,
                480.0,
                1e30,
                f32::MAX,
                f32::INFINITY,
                1e-45,
                f32::MIN_POSITIVE,
            ])
            .collect();
        for magnitude in magnitudes {
            for value in [magnitude.next_down(), magnitude, magnitude.next_up()] {
                for value in [value, -value].into_iter().filter(|value| !value.is_nan()) {
                    let theirs = F8E4M3::from_f32(value).to_bits();
                    assert_eq!(encode_e4m3(value), theirs, "{value:e}");
                }
            }
        }
    }

    #[test]
    fn ties_go_to_even() {
        // Between 1 (0x38) and 1.125 (0x39); between 1.125 and 1.25 (0x3a); half of the least subnormal.
        assert_eq!(
            [1.0625, 1.1875, 2f32.powi(-10), 3.0 * 2f32.powi(-10)].map(encode_e4m3),
            [0x38, 0x3a, 0, 2]
        );
        assert_eq!([449.0, -1e9, f32::INFINITY].map(encode_e4m3), [0x7e, 0xfe, 0x7e]);
    }
}
