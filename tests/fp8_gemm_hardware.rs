//! The GEMM on Hopper's tensor cores with the sums that the hardware makes: about 13 fraction bits are kept of 32
//! products and the sum before them. The emulator's model of these sums is held to a plain-loop one by its own tests.

#[path = "common/dense.rs"]
mod dense;
#[path = "common/device.rs"]
mod device;

use cuda_emulator::{
    Arithmetic,
    numeric::tensor_core::{Accumulator, Format, Operation, ROWS, Unit, multiply_accumulate},
};
use deepkern::{
    MatrixViewMut,
    fp8::{
        BLOCK, F8E4M3, Fp8MatrixView, Fp8Weight, GemmOptions, GemmPlan, GemmShape, GemmVariant, ScaleFormat,
    },
    reference::{self, Exact, Quantized},
};

/// Operands on the host, scales row by row.
struct Problem {
    shape: GemmShape,
    a: Quantized,
    b: Quantized,
}

impl Problem {
    fn exact(&self) -> Vec<Exact> {
        let GemmShape { m, n, k } = self.shape;
        reference::gemm(&self.a, &self.b, None, m, n, k)
    }
}

/// One operation of the tensor cores: 16 rows, 32 of k, and columns of two blocks of scales.
const STEP: Operation = Operation {
    a: Format::E4m3,
    b: Format::E4m3,
    d: Accumulator::F32,
    unit: Unit::Warpgroup,
    negate: false,
    n: 144,
    k: 32,
};

/// Numbers from N(0, 1), or their magnitudes, quantised.
fn normal(m: usize, n: usize, k: usize, magnitudes: bool) -> Problem {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut uniform = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    // Box and Muller's method.
    let mut next = move || {
        let radius = (-2.0 * (1.0 - uniform()).ln()).sqrt();
        let x = radius * (std::f64::consts::TAU * uniform()).cos();
        if magnitudes { x.abs() as f32 } else { x as f32 }
    };
    let x: Vec<f32> = (0..m * k).map(|_| next()).collect();
    let w: Vec<f32> = (0..n * k).map(|_| next()).collect();
    Problem {
        shape: GemmShape { m, n, k },
        a: reference::quantize(&x, m, k, (1, BLOCK), ScaleFormat::F32),
        b: reference::quantize(&w, n, k, (BLOCK, BLOCK), ScaleFormat::F32),
    }
}

/// `||D - D64|| / ||D64||`
fn error(d: &[f32], exact: &[Exact]) -> f64 {
    let square = |x: f64| x * x;
    let difference: f64 = d.iter().zip(exact).map(|(d, e)| square(f64::from(*d) - e.value)).sum();
    (difference / exact.iter().map(|e| square(e.value)).sum::<f64>()).sqrt()
}

/// The kernel as plain loops over the tensor core's operation, promoted every 128 of k, or never: then all scales
/// count as 1.
fn model(problem: &Problem, promote: bool) -> Vec<f32> {
    let GemmShape { m, n, k } = problem.shape;
    assert_eq!((m, n), (ROWS, STEP.n));
    let (groups, step) = (k.div_ceil(BLOCK), STEP.k);
    let columns = |codes: &[u8], first: usize| -> Vec<u8> {
        let code = |row: &[u8], j: usize| row.get(j).copied().unwrap_or(0);
        codes.chunks(k).flat_map(|row| (first..first + step).map(move |j| code(row, j))).collect()
    };
    let mut sum = vec![0f32; m * n];
    let mut product = vec![0u32; m * n];
    for group in 0..groups {
        if promote {
            product.fill(0);
        }
        for first in (group * BLOCK..(group + 1) * BLOCK).step_by(step) {
            let (a, b) = (columns(&problem.a.codes, first), columns(&problem.b.codes, first));
            multiply_accumulate(&STEP, Arithmetic::Hardware, &a, &b, &mut product);
        }
        for (i, (sum, product)) in sum.iter_mut().zip(&product).enumerate().filter(|_| promote) {
            let (row, column) = (i / n, i % n);
            let b_scale = problem.b.scales[column / BLOCK * groups + group];
            let scale = problem.a.scales[row * groups + group] * b_scale;
            *sum = f32::from_bits(*product).mul_add(scale, *sum);
        }
    }
    if promote { sum } else { product.into_iter().map(f32::from_bits).collect() }
}

fn on_device(problem: &Problem, variant: GemmVariant) -> Vec<f32> {
    device::device();
    cuda_emulator::set_arithmetic(Arithmetic::Hardware);
    dense::multiply(&problem.a, &problem.b, problem.shape, variant)
}

const WIDE: GemmVariant = GemmVariant::Hopper { width: 128, pair: false };
/// Its second tile lies across blocks of scales.
const ACROSS: GemmVariant = GemmVariant::Hopper { width: 96, pair: false };
const PAIR: GemmVariant = GemmVariant::Hopper { width: 160, pair: true };
const NARROW: GemmVariant = GemmVariant::Hopper { width: 32, pair: false };
const THIN: GemmVariant = GemmVariant::Hopper { width: 16, pair: true };
const FEW: GemmVariant = GemmVariant::Decode { tokens: 16, split: 1 };

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn runs_here() -> bool {
    WIDE.runs_on(device::device().capability())
}

/// Bit by bit, what the model says; and close enough to what is exact.
#[test]
fn sums_are_the_hardwares() {
    if !runs_here() {
        return;
    }
    for (magnitudes, bound) in [(false, 3e-4), (true, 1e-3)] {
        let problem = normal(ROWS, STEP.n, 7168, magnitudes);
        let expected = model(&problem, true);
        for variant in [WIDE, ACROSS, PAIR, NARROW, THIN, FEW] {
            assert_eq!(bits(&on_device(&problem, variant)), bits(&expected), "{variant:?}");
        }
        let error = error(&expected, &problem.exact());
        println!("k = 7168, magnitudes: {magnitudes}: error {error:.2e}");
        assert!(error <= bound, "{error:e}");
    }
}

#[test]
fn every_tail_of_k_sums_alike() {
    if !runs_here() {
        return;
    }
    for k in [16, 32, 48, 112, 128, 144, 576] {
        let problem = normal(ROWS, STEP.n, k, false);
        let expected = model(&problem, true);
        for variant in [ACROSS, PAIR, THIN, FEW] {
            assert_eq!(bits(&on_device(&problem, variant)), bits(&expected), "k = {k}, {variant}");
        }
    }
}

/// A row's bits do not depend on how many there are, where the copy engine cannot read them either. (In exact
/// arithmetic the simple kernel's bits are the tensor cores'.)
#[test]
fn rows_out_of_line_do_not_depend_on_m() {
    let (n, k) = (STEP.n, 272);
    let problem = normal(ROWS, n, k, false);
    let device = device::device();
    cuda_emulator::set_arithmetic(Arithmetic::Hardware);
    let stream = device.context().default_stream();
    let code = |&code| F8E4M3::from_bits(code);
    let mut codes = Vec::new();
    for row in problem.a.codes.chunks(k) {
        codes.extend(row.iter().map(code));
        codes.push(F8E4M3::ZERO);
    }
    let groups = k.div_ceil(BLOCK);
    let scales: Vec<f32> =
        (0..groups * ROWS).map(|i| problem.a.scales[i % ROWS * groups + i / ROWS]).collect();
    let (codes, scales) = (stream.clone_htod(&codes).unwrap(), stream.clone_htod(&scales).unwrap());
    let b_codes: Vec<_> = problem.b.codes.iter().map(code).collect();
    let b = Fp8Weight::from_host(&stream, &b_codes, &problem.b.scales, n, k).unwrap();
    let first_row = |m| {
        let a = Fp8MatrixView::with_strides(codes.as_view(), scales.as_view(), m, k, k + 1, ROWS).unwrap();
        let mut d = stream.alloc_zeros::<f32>(m * n).unwrap();
        let options = GemmOptions::new().batch_invariant();
        let mut plan = GemmPlan::with_options(&device, GemmShape { m, n, k }, options).unwrap();
        plan.run(&stream, a, &b, MatrixViewMut::new(d.as_view_mut(), m, n).unwrap()).unwrap();
        bits(&stream.clone_dtoh(&d).unwrap()[..n])
    };
    assert_eq!(first_row(1), first_row(2));
    assert_eq!(first_row(1), first_row(ROWS));
}

/// Without promotion, the sum of many magnitudes outgrows the bits that are kept: why the kernels promote. This is a
/// property of the model, to which `sums_are_the_hardwares` holds the kernels.
#[test]
fn a_model_without_promotion_loses_much() {
    let mut problem = normal(ROWS, STEP.n, 7168, true);
    problem.a.scales.fill(1.0);
    problem.b.scales.fill(1.0);
    let exact = problem.exact();
    let (promoted, plain) = (error(&model(&problem, true), &exact), error(&model(&problem, false), &exact));
    println!("k = 7168: error {promoted:.2e} with promotion, {plain:.2e} without");
    assert!(promoted < 1e-3 && plain > 20.0 * promoted, "{promoted:e}, {plain:e}");
}
