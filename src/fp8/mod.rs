//! FP8 with block scales: quantisation and GEMM, as DeepSeek-V3 uses them.
//!
//! A value is a code times a scale. Codes are E4M3 (finite: up to 448, no infinity); scales are f32, and may be powers
//! of two. Activations have one scale per row and 128 columns, weights one per 128x128 elements; at the edges,
//! what is left of these counts as whole (k = 576 has 4.5 groups, and so 5 scales).
//!
//! | what | type | computed by |
//! | --- | --- | --- |
//! | activations `[m, k]` | [`Fp8Matrix`], [`Fp8MatrixView`] | [`QuantizePlan`] |
//! | weights `[n, k]` | [`Fp8Weight`], [`Fp8WeightView`] | the checkpoint, or [`QuantizePlan`] |
//! | `D[m, n] = A B^T (+ C)` | [`MatrixViewMut`](crate::MatrixViewMut) | [`GemmPlan`] |
//!
//! Codes are [`float8::F8E4M3`]. Its conversions round to nearest even and saturate like the hardware's, with one
//! difference: it keeps the sign of a NaN (`0xff`), where the hardware and the kernels here write `0x7f`.

mod gemm;
mod layout;
mod quantize;
mod select;
mod tensor;
mod tensor_map;
mod variant;
mod work;

pub use float8::F8E4M3;
pub use gemm::GemmPlan;
pub use layout::{BLOCK, Block128, ScaleLayout, Vec128};
pub use quantize::{QuantizePlan, ScaleFormat};
pub use select::{GemmOptions, GemmShape};
pub use tensor::{
    Fp8Matrix, Fp8MatrixView, Fp8MatrixViewMut, Fp8Tensor, Fp8View, Fp8ViewMut, Fp8Weight, Fp8WeightView,
    Fp8WeightViewMut,
};
pub use variant::GemmVariant;
pub use work::GemmWork;

use crate::module::Family;

/// The kernels of `kernels/fp8.cu`.
pub(crate) const FAMILY: Family = Family { name: "fp8", fatbin: crate::kernels::FP8 };
