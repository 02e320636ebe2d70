//! The engine's projections, each step checked as it is done.

use deepkern::{
    Result,
    fp8::ScaleFormat,
    reference::{self, Quantized},
};
use half::bf16;

use crate::{
    checkpoint::Weight,
    engine::Engine,
    layer::Projections,
    matrix::{Matrix, relative_error},
    report::{Counted, GemmRow, Report},
};

/// What `GemmPlan` promises of f32 output: `|D - D64| <= bound S + 1e-37`, S being the sum of the terms' magnitudes.
/// On CUDA cores:
const ROUNDING_BOUND: f64 = 2e-6;
/// On Hopper's tensor cores: a sum keeps 13 fraction bits of its largest term, so that each of 32 products, what was
/// summed before, and the result loses less than 2^-13 of that; four such sums make 128 of k.
const TENSOR_CORE_BOUND: f64 = 4.0 * 34.0 / 8192.0;
const ROUNDING_FLOOR: f64 = 1e-37;

/// What quantising activations may cost one GEMM: 1.3 times the most that it costs in a simulation on the host, 0.023.
/// (Rounding one number to E4M3 costs 0.026 in the root mean square.)
pub const QUANTISATION_BOUND: f64 = 0.030;

pub struct Checked<'a> {
    pub engine: &'a mut Engine,
    pub report: &'a mut Report,
}

impl Projections for Checked<'_> {
    type Error = deepkern::Error;

    fn project<const N: usize>(&mut self, x: &Matrix, weights: [&Weight; N]) -> Result<[Matrix; N]> {
        let (m, k) = (x.rows, x.columns);
        let input: Vec<bf16> = x.values.iter().map(|&value| bf16::from_f64(value)).collect();
        self.engine.quantize(&input, m, k)?;

        let widened: Vec<f32> = input.iter().map(|value| value.to_f32()).collect();
        let quantized = reference::quantize(&widened, m, k, (1, deepkern::fp8::BLOCK), ScaleFormat::F32);
        let differing = count_differing(&self.engine.quantized(m, k)?, &quantized);
        let readers = weights.map(|weight| weight.name.as_str()).join(", ");
        self.report.check(format!("codes and scales of the input of {readers}"), differing as f64, 0.0);

        let input =
            Matrix { rows: m, columns: k, values: input.iter().map(|value| value.to_f64()).collect() };
        let mut outputs = weights.map(|weight| Matrix::zeros(m, weight.n));
        for (output, weight) in outputs.iter_mut().zip(weights) {
            *output = self.gemm(&input, &quantized, weight)?;
        }
        Ok(outputs)
    }
}

impl Checked<'_> {
    /// Multiplies what the engine quantised last with a weight. Compares with the exact product of the same codes and
    /// scales, which tells of the kernel, and of the input before it was quantised, which tells of FP8.
    pub fn gemm(&mut self, input: &Matrix, quantized: &Quantized, weight: &Weight) -> Result<Matrix> {
        let (m, n, k) = (input.rows, weight.n, weight.k);
        let product = self.engine.gemm(&weight.name, m)?;
        let exact = reference::gemm(quantized, &weight.quantized, None, m, n, k);
        let bound = if product.variant.uses_tensor_cores() { TENSOR_CORE_BOUND } else { ROUNDING_BOUND };
        let away = |values: &[f32], from: &dyn Fn(usize) -> f64| {
            let floor = ROUNDING_FLOOR / bound;
            let each = values.iter().zip(&exact).enumerate();
            each.map(|(i, (&value, exact))| (f64::from(value) - from(i)).abs() / (exact.magnitude + floor))
                .fold(0.0, largest)
        };
        let rounding = away(&product.values, &|i| exact[i].value);
        let apart = away(&product.values, &|i| f64::from(product.simple[i]));

        let output = product.values.iter().map(|&value| f64::from(value)).collect();
        let output = Matrix { rows: m, columns: n, values: output };
        let quantisation = relative_error(&output, &input.times_transposed(&weight.dequantized()));

        self.report.check(format!("rounding of {}", weight.name), rounding, bound);
        let name = format!("difference of {} from the simple kernel's", weight.name);
        self.report.check(name, apart, bound + ROUNDING_BOUND);
        self.report.check(format!("quantisation error of {}", weight.name), quantisation, QUANTISATION_BOUND);
        // A GPU does not count.
        if let Some(counted) = &product.counted {
            let [ours, needed] = [counted.tensor_multiply_adds, product.work.tensor_multiply_adds];
            let name = format!("multiply-adds of {} beside those needed", weight.name);
            self.report.check(name, ours.abs_diff(needed) as f64, 0.0);
        }
        self.report.gemm(GemmRow {
            name: weight.name.clone(),
            m,
            n,
            k,
            kernel: product.variant.to_string(),
            needed: product.work.tensor_operations,
            counted: product.counted.map(|counters| Counted {
                operations: counters.tensor_operations.values().sum(),
                multiply_adds: counters.tensor_multiply_adds,
                bytes: counters.global_bytes(),
                blocks: counters.blocks,
            }),
            rounding,
            quantisation,
            seconds: f64::from(product.milliseconds) / 1e3,
        });
        Ok(output)
    }
}

/// The larger of two, or NaN if one is: unlike `f64::max`, it lets no NaN get lost.
fn largest(a: f64, b: f64) -> f64 {
    if a >= b { a } else { b }
}

/// How many codes and scales are not the same bits.
pub fn count_differing(ours: &Quantized, reference: &Quantized) -> usize {
    let codes = ours.codes.iter().zip(&reference.codes).filter(|(ours, reference)| ours != reference);
    let scales = ours.scales.iter().zip(&reference.scales);
    codes.count() + scales.filter(|(ours, reference)| ours.to_bits() != reference.to_bits()).count()
}
