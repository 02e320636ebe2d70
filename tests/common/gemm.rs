//! A GEMM as the tests see it: operands on the host, and what surrounds them on the device.

use deepkern::{
    Element, MatrixView, MatrixViewMut,
    fp8::{
        BLOCK, Block128, F8E4M3, Fp8View, GemmOptions, GemmPlan, GemmShape, GemmVariant, ScaleLayout, Vec128,
    },
    reference::{self, Exact, Quantized},
};
use proptest::prelude::*;

use crate::{
    bounds::{Rounded, accuracy, check_bounds},
    device,
    planted::{Bits, Place, Planted, bits},
};

/// An element type of D.
pub trait Output: Element + Bits + Rounded {}

impl<D: Element + Bits + Rounded> Output for D {}

/// Operands on the host, scales row by row as the reference wants them.
#[derive(Debug, Clone)]
pub struct Problem {
    pub shape: GemmShape,
    pub a: Quantized,
    pub b: Quantized,
    pub c: Option<Vec<f32>>,
    /// For a plan that chooses its variant itself.
    pub options: GemmOptions,
}

/// Places of the codes of A and B, their scales, C and D.
#[derive(Debug, Clone)]
pub struct Places(pub [Place; 6]);

impl Places {
    pub const DENSE: Self = Self([Place::DENSE; 6]);
}

impl Problem {
    /// Codes and scales from a generator that repeats itself. The scales are around 1: a sum that is scaled too often
    /// or not at all is of the same size as the others.
    pub fn numbered(m: usize, n: usize, k: usize) -> Self {
        let mut state = (m * 31 + n * 17 + k) as u32;
        let mut next = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 8
        };
        let mut quantized = |rows: usize, groups: usize| Quantized {
            codes: (0..rows * k).map(|_| not_nan(next() as u8)).collect(),
            scales: (0..groups).map(|_| (next() % 1000 + 500) as f32 * 1e-3).collect(),
        };
        let groups = k.div_ceil(BLOCK);
        let a = quantized(m, m * groups);
        let b = quantized(n, n.div_ceil(BLOCK) * groups);
        Self { shape: GemmShape { m, n, k }, a, b, c: None, options: GemmOptions::new() }
    }

    pub fn exact(&self) -> Vec<Exact> {
        let GemmShape { m, n, k } = self.shape;
        reference::gemm(&self.a, &self.b, self.c.as_deref(), m, n, k)
    }

    /// Computes D on the device, each operand surrounded by NaN, and checks what surrounds D.
    pub fn run<D: Output>(&self, variant: Option<GemmVariant>, places: &Places) -> Vec<D> {
        let device = device::device();
        let plan = match variant {
            Some(variant) => GemmPlan::with_variant(&device, self.shape, variant),
            None => GemmPlan::with_options(&device, self.shape, self.options),
        };
        self.run_plan(&mut plan.unwrap(), places)
    }

    /// The same by a plan that is there already.
    pub fn run_plan<D: Output>(&self, plan: &mut GemmPlan<D>, places: &Places) -> Vec<D> {
        let device = device::device();
        let stream = device.context().default_stream();
        let GemmShape { m, n, k } = self.shape;
        let Places([place_a, place_a_scales, place_b, place_b_scales, place_c, place_d]) = *places;

        // The layout of the activations' scales: transposed, and padded with what must not be used.
        let (groups, padded) = Vec128::scale_shape(m, k);
        let a_scale =
            |group: usize, row: usize| if row < m { self.a.scales[row * groups + group] } else { f32::PLANT };
        let a_scales: Vec<f32> =
            (0..groups).flat_map(|group| (0..padded).map(move |row| a_scale(group, row))).collect();
        let a_scales = Planted::new(&stream, &a_scales, groups, padded, place_a_scales);
        let (outer, inner) = Block128::scale_shape(n, k);
        let b_scales = Planted::new(&stream, &self.b.scales, outer, inner, place_b_scales);
        let codes = |codes: &[u8]| codes.iter().map(|&code| F8E4M3::from_bits(code)).collect::<Vec<_>>();
        let a_codes = Planted::new(&stream, &codes(&self.a.codes), m, k, place_a);
        let b_codes = Planted::new(&stream, &codes(&self.b.codes), n, k, place_b);
        let c = self.c.as_ref().map(|c| Planted::new(&stream, c, m, n, place_c));
        let mut d = Planted::<D>::output(&stream, m, n, place_d);

        let a = Fp8View::with_strides(a_codes.view(), a_scales.view(), m, k, a_codes.stride, a_scales.stride)
            .unwrap();
        let b = Fp8View::with_strides(b_codes.view(), b_scales.view(), n, k, b_codes.stride, b_scales.stride)
            .unwrap();
        let stride = d.stride;
        let d_view = MatrixViewMut::with_stride(d.view_mut(), m, n, stride).unwrap();
        match &c {
            Some(c) => {
                let c = MatrixView::with_stride(c.view(), m, n, c.stride).unwrap();
                plan.run_add(&stream, a, b, c, d_view).unwrap();
            }
            None => plan.run(&stream, a, b, d_view).unwrap(),
        }
        d.read(&stream)
    }

    /// Runs the variants, holds each element against f64, and the variants against each other, bit by bit.
    pub fn check<D: Output>(&self, variants: &[GemmVariant], places: &Places) {
        let exact = self.exact();
        let mut first: Option<Vec<D>> = None;
        for &variant in variants {
            let d = self.run::<D>(Some(variant), places);
            match &first {
                Some(first) => {
                    assert_eq!(bits(&d), bits(first), "{variant:?} differs from {:?}", variants[0])
                }
                None => check_bounds(&d, &exact, self.shape.n, accuracy(variant)),
            }
            first.get_or_insert(d);
        }
    }
}

pub fn not_nan(code: u8) -> u8 {
    if code & 0x7f == 0x7f { code & 0x80 } else { code }
}

/// Random codes, or all the same, or mostly zeros; scales of any size whose products are f32 still.
pub fn any_problem(m: usize, n: usize, k: usize) -> impl Strategy<Value = Problem> {
    let codes = |len| {
        prop_oneof![
            4 => prop::collection::vec(any::<u8>().prop_map(not_nan), len),
            1 => any::<u8>().prop_map(move |code| vec![not_nan(code); len]),
            1 => prop::collection::vec(prop_oneof![5 => Just(0), 1 => any::<u8>().prop_map(not_nan)], len),
        ]
    };
    let scales = |len, exponents| {
        (exponents, prop::collection::vec((-4..4i32, 1.0..2.0f32), len)).prop_map(
            |(size, scales): (i32, Vec<_>)| {
                let scale = |(exponent, mantissa)| mantissa * 2f32.powi(size + exponent);
                scales.into_iter().map(scale).collect()
            },
        )
    };
    let quantized = |codes, scales| (codes, scales).prop_map(|(codes, scales)| Quantized { codes, scales });
    (0..=m, 0..=n, 0..=k).prop_flat_map(move |(m, n, k)| {
        let groups = k.div_ceil(BLOCK);
        let a = quantized(codes(m * k), scales(m * groups, -70..30));
        let b = quantized(codes(n * k), scales(n.div_ceil(BLOCK) * groups, -70..30));
        let c = (-100..100i32, prop::collection::vec(-1.0..1.0f32, m * n))
            .prop_map(|(size, c)| c.into_iter().map(|c| c * 2f32.powi(size)).collect::<Vec<_>>());
        (a, b, prop::option::of(c)).prop_map(move |(a, b, c)| Problem {
            shape: GemmShape { m, n, k },
            a,
            b,
            c,
            options: GemmOptions::new(),
        })
    })
}
