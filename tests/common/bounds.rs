//! The bounds that every element of a GEMM's D keeps.

use cuda_emulator::Driver;
use deepkern::{fp8::GemmVariant, reference::Exact};
use half::bf16;

use crate::device;

/// An element of D, with the accuracy that it can have.
pub trait Rounded: Copy + Into<f64> {
    /// The error of rounding the result once more, relative to it.
    const ROUNDING: f64;
}

impl Rounded for f32 {
    const ROUNDING: f64 = 0.0;
}

impl Rounded for bf16 {
    const ROUNDING: f64 = 1.0 / 256.0;
}

/// The error that a variant's sums may have, relative to the sum of magnitudes. Tensor cores keep 13 fraction bits (see
/// [`GemmPlan`](deepkern::fp8::GemmPlan)); but the emulator's add exactly, as `device` has set them.
pub fn accuracy(variant: GemmVariant) -> f64 {
    let exact = device::driver() == Driver::Emulator || !variant.uses_tensor_cores();
    if exact { 2e-6 } else { 136.0 / 8192.0 }
}

/// Holds each element to its bound; `accuracy` is that of the sums.
pub fn check_bounds<D: Rounded>(d: &[D], exact: &[Exact], n: usize, accuracy: f64) {
    assert_eq!(d.len(), exact.len());
    for (i, (&d, exact)) in d.iter().zip(exact).enumerate() {
        let d: f64 = d.into();
        let bound = accuracy * exact.magnitude + 1e-37 + D::ROUNDING * exact.value.abs();
        assert!(
            (d - exact.value).abs() <= bound,
            "D[{}, {}] is {d:e}; exactly {exact:?}, and at most {bound:e} away",
            i / n,
            i % n
        );
    }
}
