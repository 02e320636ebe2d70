//! Quantisation, for groups of any size.

use super::encode_e4m3;
use crate::fp8::ScaleFormat;

/// What [`quantize`] computes.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantized {
    /// Codes `[rows, columns]`.
    pub codes: Vec<u8>,
    /// One scale per group, `[ceil(rows / group rows), ceil(columns / group columns)]`.
    pub scales: Vec<f32>,
}

/// Quantises `x[rows, columns]` with one scale per group of `group.0` rows and `group.1` columns: `(1, 128)` for
/// activations, `(128, 128)` for weights. See [`QuantizePlan`](crate::fp8::QuantizePlan) for the rules.
///
/// # Panics
///
/// If `x` is shorter than its shape, or a group is empty.
pub fn quantize(
    x: &[f32],
    rows: usize,
    columns: usize,
    group: (usize, usize),
    format: ScaleFormat,
) -> Quantized {
    let mut codes = vec![0; rows * columns];
    let mut scales = Vec::new();
    for first_row in (0..rows).step_by(group.0) {
        for first_column in (0..columns).step_by(group.1) {
            let members = || {
                let in_rows = first_row..(first_row + group.0).min(rows);
                let in_columns = first_column..(first_column + group.1).min(columns);
                in_rows.flat_map(move |row| in_columns.clone().map(move |column| row * columns + column))
            };
            let finite = members().map(|i| x[i].abs()).filter(|magnitude| magnitude.is_finite());
            let scale = scale_from_amax(finite.fold(0.0, f32::max), format);
            for i in members() {
                codes[i] = if x[i].is_finite() { encode_e4m3(x[i] / scale) } else { 0x7f };
            }
            scales.push(scale);
        }
    }
    Quantized { codes, scales }
}

/// The scale of a group whose largest finite magnitude is `amax`.
pub fn scale_from_amax(amax: f32, format: ScaleFormat) -> f32 {
    let scale = (amax / 448.0).max(f32::MIN_POSITIVE);
    match format {
        ScaleFormat::F32 => scale,
        ScaleFormat::Pow2 => {
            // The least power of two that is not less, found by trying them all: nothing to get wrong.
            let powers = (-126..128).map(|exponent| 2f32.powi(exponent));
            powers.into_iter().find(|&power| power >= scale).expect("scales are far below 2^127")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_two_are_rounded_up_exactly() {
        let pow2 = |amax| scale_from_amax(amax, ScaleFormat::Pow2);
        assert_eq!(pow2(448.0), 1.0);
        assert_eq!(pow2(448f32.next_up()), 2.0);
        assert_eq!(pow2(448f32.next_down()), 1.0);
        assert_eq!(pow2(0.0), 2f32.powi(-126));
        assert_eq!(pow2(f32::MAX), 2f32.powi(120));
    }

    #[test]
    fn what_is_not_finite_becomes_nan_and_spoils_no_neighbour() {
        let x = [1.0, f32::INFINITY, -448.0, f32::NAN, f32::NEG_INFINITY, -0.0];
        let Quantized { codes, scales } = quantize(&x, 1, 6, (1, 128), ScaleFormat::F32);
        assert_eq!(scales, [1.0]);
        assert_eq!(codes, [0x38, 0x7f, 0xfe, 0x7f, 0x7f, 0x80]);
    }

    #[test]
    fn groups_are_cut_at_the_edges() {
        let x: Vec<f32> = (0..15).map(|i| i as f32).collect();
        let Quantized { scales, .. } = quantize(&x, 3, 5, (2, 4), ScaleFormat::F32);
        assert_eq!(scales, [8.0, 9.0, 13.0, 14.0].map(|amax| amax / 448.0));
    }
}
