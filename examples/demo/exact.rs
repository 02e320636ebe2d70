//! The truth: f64, the weights as the checkpoint has them, activations as they are.

use std::convert::Infallible;

use crate::{checkpoint::Weight, layer::Projections, matrix::Matrix};

pub struct Exact;

impl Projections for Exact {
    type Error = Infallible;

    fn project<const N: usize>(
        &mut self,
        x: &Matrix,
        weights: [&Weight; N],
    ) -> Result<[Matrix; N], Infallible> {
        Ok(weights.map(|weight| x.times_transposed(&weight.dequantized())))
    }
}
