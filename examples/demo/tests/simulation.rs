//! The errors that the demo expects are those of FP8, not of its kernels: a simulation finds them.

use std::convert::Infallible;

use deepkern::{
    fp8::{BLOCK, ScaleFormat},
    reference,
};
use half::bf16;

use super::load;
use crate::{
    checked::QUANTISATION_BOUND,
    checkpoint::Weight,
    demo::EXPECTED_ERRORS,
    layer::{Part, Projections, output},
    matrix::{Matrix, relative_error},
};

/// Activations quantised by the reference, products in f64.
struct Simulated {
    worst_gemm: f64,
}

impl Projections for Simulated {
    type Error = Infallible;

    fn project<const N: usize>(
        &mut self,
        x: &Matrix,
        weights: [&Weight; N],
    ) -> Result<[Matrix; N], Infallible> {
        let (m, k) = (x.rows, x.columns);
        let rounded: Vec<f32> = x.values.iter().map(|&value| bf16::from_f64(value).to_f32()).collect();
        let quantized = reference::quantize(&rounded, m, k, (1, BLOCK), ScaleFormat::F32);
        let dequantized = Matrix::from_fn(m, k, |i, j| {
            let code = f64::from(reference::decode_e4m3(quantized.codes[i * k + j]));
            code * f64::from(quantized.scales[i * k.div_ceil(BLOCK) + j / BLOCK])
        });
        let input = Matrix::from_fn(m, k, |i, j| f64::from(rounded[i * k + j]));
        Ok(weights.map(|weight| {
            let weight = weight.dequantized();
            let product = dequantized.times_transposed(&weight);
            let error = relative_error(&product, &input.times_transposed(&weight));
            self.worst_gemm = self.worst_gemm.max(error);
            product
        }))
    }
}

#[test]
fn expected_errors_are_those_of_quantisation() {
    let (model, golden) = load();
    let mut simulated = Simulated { worst_gemm: 0.0 };
    for (layer, expected) in EXPECTED_ERRORS.iter().enumerate() {
        for part in Part::ALL {
            let Ok(ours) = output(&mut simulated, &model, &golden, layer, part);
            let error = relative_error(&ours, golden.layers[layer].part(part));
            let expected = expected[part as usize];
            assert!(
                (error / expected - 1.0).abs() < 0.01,
                "layer {layer}, {}: {error}, not {expected}",
                part.name()
            );
        }
    }
    let bound = 1.3 * simulated.worst_gemm;
    assert!((QUANTISATION_BOUND / bound - 1.0).abs() < 0.01, "1.3 times the worst GEMM is {bound}");
}
