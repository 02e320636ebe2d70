//! The GEMM in f64.

use super::{Quantized, decode_e4m3};
use crate::fp8::BLOCK;

/// An element of D, and what to measure its error by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exact {
    /// The sum in f64: products of two codes and two scales, and C.
    pub value: f64,
    /// The sum of the magnitudes of the same terms: S = |A||B| + |C|.
    pub magnitude: f64,
}

/// `D[m, n] = A[m, k] B[n, k]^T + C[m, n]` of dequantised values. A's scales are one per 1x128, B's one per 128x128,
/// both row by row as [`quantize`](super::quantize) makes them.
///
/// # Panics
///
/// If an operand is shorter than its shape.
pub fn gemm(a: &Quantized, b: &Quantized, c: Option<&[f32]>, m: usize, n: usize, k: usize) -> Vec<Exact> {
    let groups = k.div_ceil(BLOCK);
    let a_value = |i: usize, j: usize| {
        f64::from(decode_e4m3(a.codes[i * k + j])) * f64::from(a.scales[i * groups + j / BLOCK])
    };
    let b_value = |i: usize, j: usize| {
        f64::from(decode_e4m3(b.codes[i * k + j])) * f64::from(b.scales[i / BLOCK * groups + j / BLOCK])
    };

    let a_rows: Vec<Vec<f64>> = (0..m).map(|i| (0..k).map(|j| a_value(i, j)).collect()).collect();
    let b_rows: Vec<Vec<f64>> = (0..n).map(|i| (0..k).map(|j| b_value(i, j)).collect()).collect();
    let mut d = Vec::with_capacity(m * n);
    for (row, a_row) in a_rows.iter().enumerate() {
        for (column, b_row) in b_rows.iter().enumerate() {
            let c = c.map_or(0.0, |c| f64::from(c[row * n + column]));
            let mut exact = Exact { value: c, magnitude: c.abs() };
            for (a, b) in a_row.iter().zip(b_row) {
                exact.value += a * b;
                exact.magnitude += (a * b).abs();
            }
            d.push(exact);
        }
    }
    d
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_belong_to_their_blocks() {
        // One row of A and two rows of B, a block and a bit of k. All codes are 1.0 (0x38).
        let k = BLOCK + 2;
        let a = Quantized { codes: vec![0x38; k], scales: vec![1.0, 100.0] };
        let b = Quantized { codes: vec![0x38; 2 * k], scales: vec![0.5, 0.25] };
        let d = gemm(&a, &b, Some(&[-1000.0, 0.0]), 1, 2, k);
        let dot = 128.0 * 0.5 + 2.0 * 100.0 * 0.25;
        assert_eq!(d[0], Exact { value: dot - 1000.0, magnitude: dot + 1000.0 });
        assert_eq!(d[1], Exact { value: dot, magnitude: dot });
    }
}
