//! Quantising on the device gives exactly the reference's codes and scales, and touches nothing else.

#[path = "common/again.rs"]
mod again;
#[path = "common/capability.rs"]
mod capability;
#[path = "common/device.rs"]
mod device;
#[path = "common/mutants.rs"]
mod mutants;
#[path = "common/persistence.rs"]
mod persistence;
#[path = "common/planted.rs"]
mod planted;

use std::sync::Arc;

use deepkern::{
    CapturedGraph, Device, Element, MatrixView,
    cudarc::driver::CudaStream,
    fp8::{
        BLOCK, Block128, F8E4M3, Fp8Matrix, Fp8ViewMut, Fp8Weight, QuantizePlan, ScaleFormat, ScaleLayout,
        Vec128,
    },
    reference::{self, Quantized, decode_e4m3},
};
use half::bf16;
use planted::{Bits, Place, Planted, bits};
use proptest::prelude::*;

/// What the tests need to know about a layout beside what [`ScaleLayout`] says.
trait Layout: ScaleLayout {
    /// Rows and columns that share a scale.
    const GROUP: (usize, usize);
    /// The memory of the scales, from the reference's scales `[row groups, column groups]`.
    fn scales(reference: &[f32], rows: usize, columns: usize) -> Vec<f32>;
}

impl Layout for Vec128 {
    const GROUP: (usize, usize) = (1, BLOCK);

    fn scales(reference: &[f32], rows: usize, columns: usize) -> Vec<f32> {
        let (groups, padded) = Self::scale_shape(rows, columns);
        let scale = |group, row| if row < rows { reference[row * groups + group] } else { 0.0 };
        (0..groups).flat_map(|group| (0..padded).map(move |row| scale(group, row))).collect()
    }
}

impl Layout for Block128 {
    const GROUP: (usize, usize) = (BLOCK, BLOCK);

    fn scales(reference: &[f32], _: usize, _: usize) -> Vec<f32> {
        reference.to_vec()
    }
}

/// Places of x, of the codes, and of the scales.
type Places = (Place, Place, Place);

/// Quantises on the device and compares with the reference, bit by bit.
fn check<L: Layout, T: Element + Bits + Into<f32>>(
    x: &[T],
    rows: usize,
    columns: usize,
    format: ScaleFormat,
    (place_x, place_codes, place_scales): Places,
) {
    let device = device::device();
    let stream = device.context().default_stream();
    let (outer, inner) = L::scale_shape(rows, columns);
    let x_device = Planted::new(&stream, x, rows, columns, place_x);
    let mut codes = Planted::<F8E4M3>::output(&stream, rows, columns, place_codes);
    let mut scales = Planted::<f32>::output(&stream, outer, inner, place_scales);

    let x_view = MatrixView::with_stride(x_device.view(), rows, columns, x_device.stride).unwrap();
    let (stride, scale_stride) = (codes.stride, scales.stride);
    let q = Fp8ViewMut::<L>::with_strides(
        codes.view_mut(),
        scales.view_mut(),
        rows,
        columns,
        stride,
        scale_stride,
    );
    QuantizePlan::new(&device, rows, columns, format).unwrap().run(&stream, x_view, q.unwrap()).unwrap();

    let x: Vec<f32> = x.iter().map(|&x| x.into()).collect();
    let expected = reference::quantize(&x, rows, columns, L::GROUP, format);
    let codes: Vec<u8> = codes.read(&stream).iter().map(F8E4M3::to_bits).collect();
    for (i, (ours, expected)) in codes.iter().zip(&expected.codes).enumerate() {
        assert_eq!(ours, expected, "the code of element ({}, {}), {:e}", i / columns, i % columns, x[i]);
    }
    let scales = scales.read(&stream);
    assert_eq!(bits(&scales), bits(&L::scales(&expected.scales, rows, columns)), "the scales");
}

const ALIGNED: Place = Place { front: 16, gap: 0, multiple: 16, after: 0 };
const DENSE: Places = (Place::DENSE, Place::DENSE, Place::DENSE);
const FORMATS: [ScaleFormat; 2] = [ScaleFormat::F32, ScaleFormat::Pow2];

/// All kinds of f32, as bits: numbers of everyday size, of any size, zeros, and any pattern at all.
fn any_f32() -> impl Strategy<Value = f32> {
    prop_oneof![
        4 => -8.0..8.0f32,
        2 => (any::<bool>(), -149..128i32, 1.0..2.0f32)
            .prop_map(|(negative, exponent, mantissa)| {
                let magnitude = (f64::from(mantissa) * 2f64.powi(exponent)) as f32;
                if negative { -magnitude } else { magnitude }
            }),
        1 => prop_oneof![Just(0.0f32), Just(-0.0)],
        1 => any::<u32>().prop_map(f32::from_bits),
    ]
}

/// Values that share what a matrix has: all kinds, or one size throughout, or zeros.
fn any_values(len: usize) -> impl Strategy<Value = Vec<f32>> {
    let one_size = (-149..120i32, prop::collection::vec(-1.0..1.0f32, len)).prop_map(|(exponent, values)| {
        values.into_iter().map(|value| (f64::from(value) * 2f64.powi(exponent)) as f32).collect()
    });
    prop_oneof![
        4 => prop::collection::vec(any_f32(), len),
        2 => one_size,
        1 => Just(vec![0.0; len]),
    ]
}

fn any_matrix(rows: usize, columns: usize) -> impl Strategy<Value = (Vec<f32>, usize, usize)> {
    (0..=rows, 0..=columns)
        .prop_flat_map(|(rows, columns)| (any_values(rows * columns), Just(rows), Just(columns)))
}

/// The scales of activations keep their columns aligned.
fn any_places(scale_multiple: usize) -> impl Strategy<Value = Places> {
    let scales = (0..5usize, 0..9usize).prop_map(move |(front, gap)| Place {
        front,
        gap,
        multiple: scale_multiple,
        after: 0,
    });
    (Place::any(), Place::any(), scales)
}

fn any_format() -> impl Strategy<Value = ScaleFormat> {
    prop::sample::select(FORMATS.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        failure_persistence: persistence::persistence(),
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_activations(
        (x, rows, columns) in any_matrix(13, 300),
        places in any_places(4),
        format in any_format(),
    ) {
        check::<Vec128, f32>(&x, rows, columns, format, places);
        let x: Vec<bf16> = x.into_iter().map(bf16::from_f32).collect();
        check::<Vec128, bf16>(&x, rows, columns, format, places);
    }

    #[test]
    fn any_weights(
        (x, rows, columns) in any_matrix(150, 150),
        places in any_places(1),
        format in any_format(),
    ) {
        check::<Block128, f32>(&x, rows, columns, format, places);
        let x: Vec<bf16> = x.into_iter().map(bf16::from_f32).collect();
        check::<Block128, bf16>(&x, rows, columns, format, places);
    }
}

/// The largest magnitude counts wherever it lies, and an infinity or a NaN nowhere.
#[test]
fn every_element_counts() {
    fn check_at<L: Layout>(rows: usize, columns: usize, at: usize, special: f32) {
        let mut x: Vec<f32> = (0..rows * columns).map(|i| (i % 7 + 1) as f32 * -0.125).collect();
        x[at] = special;
        check::<L, f32>(&x, rows, columns, ScaleFormat::F32, DENSE);
        let x: Vec<bf16> = x.into_iter().map(bf16::from_f32).collect();
        check::<L, bf16>(&x, rows, columns, ScaleFormat::F32, DENSE);
    }
    let specials = [1000.0, f32::INFINITY, -f32::NAN];
    for columns in (1..=9).chain(126..=131) {
        for at in (0..columns).filter(|at| *at < 5 || at + 6 > columns) {
            specials.iter().for_each(|special| check_at::<Vec128>(1, columns, at, *special));
        }
        specials.iter().for_each(|special| check_at::<Block128>(1, columns, columns - 1, *special));
    }
    // A weight's piece is shared out over rows.
    for row in 0..131 {
        check_at::<Block128>(131, 6, row * 6 + row % 6, specials[row % 3]);
        check_at::<Block128>(131, 3, row * 3 + row % 3, 1000.0);
    }
}

/// Several pieces in both directions, whole ones and partial ones, each of a size of its own.
#[test]
fn every_piece_has_its_scale() {
    for (rows, columns) in [(260, 128), (130, 256), (256, 260), (384, 300), (5, 384)] {
        let size = |i: usize| (i / columns / 128 * 3 + i % columns / 128 + 1) as f32;
        let x: Vec<f32> = (0..rows * columns).map(|i| size(i) * ((i % 31) as f32 - 15.0)).collect();
        let halves: Vec<bf16> = x.iter().copied().map(bf16::from_f32).collect();
        check::<Block128, f32>(&x, rows, columns, ScaleFormat::F32, DENSE);
        check::<Block128, bf16>(&halves, rows, columns, ScaleFormat::F32, DENSE);
        check::<Vec128, f32>(&x, rows, columns, ScaleFormat::F32, DENSE);
        check::<Vec128, bf16>(&halves, rows, columns, ScaleFormat::F32, DENSE);
    }
}

/// Every bf16 there is, with the infinities and NaNs among finite neighbours.
#[test]
fn all_bf16() {
    let x: Vec<bf16> = (0..=u16::MAX).map(bf16::from_bits).collect();
    for format in FORMATS {
        check::<Vec128, bf16>(&x, 512, 128, format, DENSE);
    }
}

/// The scale is 1, so that the codes show the rounding: at each code, at each tie, and to both sides of each.
#[test]
fn rounding_of_codes() {
    let magnitudes = (0..0x7e).flat_map(|code| {
        let (low, high) = (decode_e4m3(code), decode_e4m3(code + 1));
        let tie = (low + high) / 2.0;
        [low, low.next_up(), tie.next_down(), tie, tie.next_up(), high.next_down()]
    });
    let mut x: Vec<f32> = magnitudes.flat_map(|x| [x, -x]).collect();
    x.resize(x.len().next_multiple_of(127), -0.0);
    // 448 in each group.
    let x: Vec<f32> = x.chunks(127).flat_map(|group| group.iter().copied().chain([448.0])).collect();
    for format in FORMATS {
        check::<Vec128, f32>(&x, x.len() / 128, 128, format, (ALIGNED, ALIGNED, Place::DENSE));
    }
}

/// Around every power of two that a scale can be, from both sides.
#[test]
fn rounding_of_scales() {
    let amax = (-149..=119).flat_map(|exponent| {
        let amax = (448.0 * 2f64.powi(exponent)) as f32;
        [amax.next_down(), amax, amax.next_up()]
    });
    let x: Vec<f32> = amax.chain([f32::MAX]).collect();
    for format in FORMATS {
        check::<Vec128, f32>(&x, x.len(), 1, format, DENSE);
    }
}

/// Nothing but NaN and infinities leaves no amax: the scale is the least one.
#[test]
fn nothing_finite() {
    let x = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -f32::NAN];
    check::<Vec128, f32>(&x, 2, 2, ScaleFormat::F32, DENSE);
    check::<Block128, f32>(&x, 2, 2, ScaleFormat::Pow2, DENSE);
}

#[test]
fn zero_sizes() {
    for (rows, columns) in [(0, 0), (0, 200), (200, 0)] {
        check::<Vec128, f32>(&[], rows, columns, ScaleFormat::F32, DENSE);
        check::<Block128, bf16>(&[], rows, columns, ScaleFormat::F32, DENSE);
    }
}

/// The row stride times the last row is beyond 32 bits; the memory is not touched in between.
#[test]
fn offsets_beyond_32_bits() {
    let device = device::device();
    let stream = device.context().default_stream();
    let (rows, stride) = (3, (1usize << 31) + 16);
    // SAFETY: codes are only read where they were written.
    let mut codes = unsafe { stream.alloc::<F8E4M3>(2 * stride + 1) }.unwrap();
    let mut scales = stream.alloc_zeros::<f32>(4).unwrap();
    let x = stream.clone_htod(&[1.0f32, 2.0, 3.0]).unwrap();

    let x = MatrixView::new(x.as_view(), rows, 1).unwrap();
    let q = Fp8ViewMut::<Vec128>::with_strides(codes.as_view_mut(), scales.as_view_mut(), rows, 1, stride, 4)
        .unwrap();
    QuantizePlan::new(&device, rows, 1, ScaleFormat::F32).unwrap().run(&stream, x, q).unwrap();
    for row in 0..rows {
        let code = stream.clone_dtoh(&codes.slice(row * stride..row * stride + 1)).unwrap();
        assert_eq!(code[0].to_bits(), 0x7e, "row {row}");
    }
}

fn owned<T: Element>(
    device: &Device,
    stream: &Arc<CudaStream>,
    x: &[T],
    rows: usize,
) -> (Fp8Matrix, Fp8Weight) {
    let columns = x.len() / rows;
    let x = stream.clone_htod(x).unwrap();
    let x = MatrixView::new(x.as_view(), rows, columns).unwrap();
    let mut matrix = Fp8Matrix::zeros(stream, rows, columns).unwrap();
    let mut weight = Fp8Weight::zeros(stream, rows, columns).unwrap();
    let format = ScaleFormat::F32;
    QuantizePlan::new(device, rows, columns, format).unwrap().run(stream, &x, &mut matrix).unwrap();
    QuantizePlan::new(device, rows, columns, format).unwrap().run(stream, &x, &mut weight).unwrap();
    (matrix, weight)
}

/// Replaying a captured plan on new input gives what running it does; the buffers live in the graph.
#[test]
fn a_captured_graph_replays() {
    let device = device::device();
    let stream = device.context().new_stream().unwrap();
    let (rows, columns) = (5, 130);
    let x = stream.alloc_zeros::<f32>(rows * columns).unwrap();
    let q = Fp8Matrix::zeros(&stream, rows, columns).unwrap();
    let mut graph = {
        let mut plan = QuantizePlan::new(&device, rows, columns, ScaleFormat::F32).unwrap();
        CapturedGraph::capture(&stream, (x, q), |capture, (x, q)| {
            plan.run(capture, MatrixView::new(x.as_view(), rows, columns)?, q)
        })
        .unwrap()
    };
    for round in 1..4 {
        let x: Vec<f32> = (0..rows * columns).map(|i| (i * round) as f32 - 300.0).collect();
        let (expected, _) = owned(&device, &stream, &x, rows);
        stream.memcpy_htod(&x, &mut graph.buffers_mut().0).unwrap();
        graph.launch().unwrap();

        let codes = |q: &Fp8Matrix| bits(&stream.clone_dtoh(q.codes()).unwrap());
        let scales = |q: &Fp8Matrix| bits(&stream.clone_dtoh(q.scales()).unwrap());
        assert_eq!(codes(&graph.buffers().1), codes(&expected), "round {round}");
        assert_eq!(scales(&graph.buffers().1), scales(&expected), "round {round}");
    }
    let (_, q) = graph.into_buffers();
    assert_eq!(q.rows(), rows);
}

/// The schedule changes nothing.
#[test]
fn five_seeds_give_the_same_bits() {
    let device = device::device();
    let stream = device.context().default_stream();
    let x: Vec<f32> = (0..40 * 300).map(|i| (i as f32).sin() * 10.0).collect();
    let run = |seed| {
        cuda_emulator::set_seed(seed);
        let (matrix, weight) = owned(&device, &stream, &x, 40);
        [
            bits(&stream.clone_dtoh(matrix.codes()).unwrap()),
            bits(&stream.clone_dtoh(matrix.scales()).unwrap()),
            bits(&stream.clone_dtoh(weight.codes()).unwrap()),
            bits(&stream.clone_dtoh(weight.scales()).unwrap()),
        ]
    };
    let first = run(1);
    for seed in 2..=5 {
        assert_eq!(run(seed), first, "seed {seed}");
    }
    let Quantized { codes, .. } = reference::quantize(&x, 40, 300, (1, BLOCK), ScaleFormat::F32);
    assert_eq!(first[0], codes.into_iter().map(u32::from).collect::<Vec<_>>());
}

/// The PTX for compute_80 gives what that for Hopper gives.
#[test]
fn on_every_gpu_since_ampere() {
    capability::passes_on("8.0");
}

/// See `mutants::Equivalent`.
const EQUIVALENT: &[mutants::Equivalent] = &[
    mutants::Equivalent {
        source: ("quantize_weight.cuh", "lane == 0) warp_amax"),
        change: ("setp.ne.s32", ""),
        because: "any lanes may write what all know",
    },
    mutants::Equivalent {
        source: ("quantize_weight.cuh", "lane == 0) warp_amax"),
        change: ("bra", ""),
        because: "any lanes may write what all know",
    },
    mutants::Equivalent {
        source: ("quantize_weight.cuh", "threadIdx.x == 0"),
        change: ("setp.ne.s32", "setp.eq.s32"),
        because: "any threads may write what all know",
    },
    mutants::Equivalent {
        source: ("quantize_weight.cuh", "threadIdx.x == 0"),
        change: ("bra", ""),
        because: "any threads may write what all know",
    },
    mutants::Equivalent {
        source: ("quantize_weight.cuh", "load_quad("),
        change: ("setp.ne.s32", ", 4;"),
        because: "one element at a time gives what a vector gives",
    },
    mutants::Equivalent {
        source: ("bf16.cuh", ""),
        change: ("mov.u32", ", 1;"),
        because: "as bf16 it is far below every scale, and its code is not stored",
    },
    mutants::Equivalent {
        source: ("quad.cuh", ""),
        change: ("mov.u32", ", 1;"),
        because: "as bf16 it is far below every scale, and its code is not stored",
    },
    mutants::Equivalent {
        source: ("quantize_weight.cuh", "for (uint32_t row = first_row"),
        change: ("mov.u32", ", 1;"),
        because: "no scale is below 2^-126",
    },
    mutants::Equivalent {
        source: ("quantize_weight.cuh", "lane = threadIdx.x % 32"),
        change: ("and.b32 %r118", "%r27, 31"),
        because: "the low bits of a bf16's amax are zero: all lanes write what all know",
    },
    mutants::Equivalent {
        source: ("quantize_weight.cuh", "max(amax, warp_amax[i])"),
        change: ("max.u32", ""),
        because: "its own amax comes to a warp through shared memory, too",
    },
    mutants::Equivalent {
        source: ("quad.cuh", "column < columns ?"),
        change: ("mov.f32", "0f3F800000"),
        because: "columns behind the last one are not stored",
    },
    mutants::Equivalent {
        source: ("quantize_weight.cuh", "end_row = min"),
        change: ("mov.u32", ", 1;"),
        because: "no scale is below 2^-126",
    },
    mutants::Equivalent {
        source: ("quantize_weight.cuh", "lane * 4;"),
        change: (", 124;", ", 125;"),
        because: "four times a number has no lowest bit",
    },
    mutants::Equivalent {
        source: ("scale.cuh", "bits < 0x7f800000 ? bits : 0"),
        change: (", 0, %p", ", 1, %p"),
        because: "no scale is below 2^-126",
    },
    mutants::Equivalent {
        source: ("scale.cuh", "& 0x7fffffff;"),
        change: (", 2147418112;", ", 2147418113;"),
        because: "a bf16 as f32 has no low bits",
    },
    mutants::Equivalent {
        source: ("quantize_weight.cuh", "uint32_t amax = 0;"),
        change: (", 0;", ", 1;"),
        because: "no scale is below 2^-126",
    },
    mutants::Equivalent {
        source: ("scale.cuh", "& 0x7f800000) != 0x7f800000"),
        change: (", 2139095040;", ", 2139095041;"),
        because: "the quotient of a NaN is a NaN too",
    },
    mutants::Equivalent {
        source: ("quad.cuh", "% bytes == 0"),
        change: (", 0;", ", 1;"),
        because: "one element at a time gives what a vector gives",
    },
    mutants::Equivalent {
        source: ("quad.cuh", "min(columns - column, 4u)"),
        change: (", 4;", ", 5;"),
        because: "one element at a time gives what a vector gives",
    },
    mutants::Equivalent {
        source: ("quad.cuh", "count == 4 && is_aligned"),
        change: (", 4;", ", 5;"),
        because: "one element at a time gives what a vector gives",
    },
    mutants::Equivalent {
        source: ("quad.cuh", "column < columns ?"),
        change: ("setp.gt.u32", "setp.ge.u32"),
        because: "a row that ends before the column has no elements left either way",
    },
    mutants::Equivalent {
        source: ("quad.cuh", "result.at[i] = i < count"),
        change: ("mov.u32", ", 1;"),
        because: "as bf16 it is far below every scale, and its code is not stored",
    },
    mutants::Equivalent {
        source: ("quantize.cuh", "lane == 0"),
        change: (", 0;", ", 1;"),
        because: "any lane may write what all know",
    },
    mutants::Equivalent {
        source: ("quantize.cuh", "lane == 0"),
        change: ("setp.ne.s32", "setp.eq.s32"),
        because: "any lanes may write what all know",
    },
    mutants::Equivalent {
        source: ("quantize.cuh", "lane == 0) *scale_out = scale"),
        change: ("bra", ""),
        because: "any lanes may write what all know",
    },
    mutants::Equivalent {
        source: ("quantize_weight.cuh", "threadIdx.x == 0"),
        change: (", 0;", ", 1;"),
        because: "any one thread may write what all know",
    },
    mutants::Equivalent {
        source: ("quantize_weight.cuh", "__syncthreads();"),
        change: ("bar.sync 0;", "bar.sync 1;"),
        because: "no other barrier is in use",
    },
];

#[test]
fn mutants_are_caught() {
    mutants::check("fp8", &["fp8_quantize"], 20, EQUIVALENT);
}
