//! The GEMM on Hopper's tensor cores, in the exact arithmetic of the emulator: every element against f64, as for the
//! simple kernel. What the hardware's own sums do to it: `fp8_gemm_hardware.rs`.

#[path = "common/device.rs"]
mod device;
#[path = "common/gemm.rs"]
mod gemm;
#[path = "common/planted.rs"]
mod planted;

use deepkern::{
    Error,
    fp8::{BLOCK, GemmPlan, GemmShape, GemmVariant},
    reference::Quantized,
};
use gemm::{Places, Problem, accuracy, any_problem, check_bounds};
use half::bf16;
use planted::{Place, bits};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

const HOPPER: [GemmVariant; 4] =
    [GemmVariant::HopperN128, GemmVariant::HopperN64, GemmVariant::HopperN32, GemmVariant::HopperN16];

/// Those that the device can run.
fn variants() -> Vec<GemmVariant> {
    let capability = device::device().capability();
    HOPPER.into_iter().filter(|variant| variant.runs_on(capability)).collect()
}

/// Rows that the copy engine can read: `front` and the stride are multiples of 16 bytes.
const ALIGNED: Places = {
    let codes = Place { front: 16, gap: 0, multiple: 16, after: 0 };
    let scales = Place { front: 4, gap: 0, multiple: 4, after: 0 };
    Places([codes, scales, codes, Place::DENSE, Place::DENSE, Place::DENSE])
};

fn any_aligned_places() -> impl Strategy<Value = Places> {
    let codes = || {
        (0..3usize, 0..40usize, prop_oneof![Just(0), Just(20)]).prop_map(|(front, gap, after)| Place {
            front: 16 * front,
            gap,
            multiple: 16,
            after,
        })
    };
    let scales = (0..3usize, 0..9usize).prop_map(|(front, gap)| Place {
        front: 4 * front,
        gap,
        multiple: 4,
        after: 0,
    });
    (codes(), scales, codes(), Place::any(), Place::any(), Place::any())
        .prop_map(|(a, a_scales, b, b_scales, c, d)| Places([a, a_scales, b, b_scales, c, d]))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 16,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_shape_f32(problem in any_problem(140, 140, 300), places in any_aligned_places()) {
        problem.check::<f32>(&variants(), &places);
    }

    #[test]
    fn any_shape_bf16(problem in any_problem(140, 140, 300), places in any_aligned_places()) {
        problem.check::<bf16>(&variants(), &places);
    }
}

/// Every tail of k, whole and partial blocks of it.
#[test]
fn every_tail_of_k() {
    for k in (1..=33).chain([127, 128, 129, 160, 255, 576]) {
        Problem::numbered(5, 18, k).check::<f32>(&variants(), &ALIGNED);
    }
}

/// Tiles that m and n fill, almost fill, and exceed.
#[test]
fn every_edge_of_a_tile() {
    for m in [1, 7, 8, 9, 15, 16, 63, 64, 65, 127, 128, 129, 200] {
        Problem::numbered(m, 20, 150).check::<bf16>(&variants(), &ALIGNED);
    }
    for n in (1..=17).chain([31, 32, 33, 63, 64, 65, 127, 128, 129, 257]) {
        Problem::numbered(3, n, 150).check::<f32>(&variants(), &ALIGNED);
    }
}

/// More tiles than multiprocessors: blocks take several, and the ring of stages goes on from one to the next.
#[test]
fn blocks_take_tile_after_tile() {
    for (m, n, k) in [(260, 2200, 32), (130, 2200, 150)] {
        let problem = Problem::numbered(m, n, k);
        let variant = GemmVariant::HopperN16;
        let d = problem.run::<f32>(Some(variant), &ALIGNED);
        check_bounds(&d, &problem.exact(), n, accuracy(variant));
    }
}

/// Longer than the ring, several times over.
#[test]
fn more_blocks_of_k_than_stages() {
    Problem::numbered(9, 40, 2048 + 64).check::<f32>(&variants(), &ALIGNED);
    Problem::numbered(2, 16, 7168).check::<f32>(&[GemmVariant::HopperN16], &ALIGNED);
}

#[test]
fn with_c() {
    for (n, front, gap) in [(64, 0, 0), (70, 1, 0), (70, 2, 1), (33, 3, 3)] {
        let mut problem = Problem::numbered(70, n, 140);
        problem.c = Some((0..70 * n).map(|i| (i as f32).sin()).collect());
        let Places(mut places) = ALIGNED;
        places[4] = Place { front, gap, ..Place::DENSE };
        places[5] = Place { front: gap, gap: front, ..Place::DENSE };
        problem.check::<f32>(&variants(), &Places(places));
        problem.check::<bf16>(&variants(), &Places(places));
    }
}

/// A NaN spoils its row, or its column, and nothing else.
#[test]
fn nan_stays_in_its_row_and_column() {
    let (m, n, k) = (20, 70, 144);
    let mut problem = Problem::numbered(m, n, k);
    problem.a.codes[3 * k + 129] = 0x7f;
    problem.b.codes[64 * k] = 0xff;
    for variant in variants() {
        let clean = Problem::numbered(m, n, k).run::<f32>(Some(variant), &ALIGNED);
        for (i, (d, clean)) in problem.run::<f32>(Some(variant), &ALIGNED).into_iter().zip(clean).enumerate()
        {
            match i / n == 3 || i % n == 64 {
                true => assert!(d.is_nan(), "D[{}, {}]", i / n, i % n),
                false => assert_eq!(d.to_bits(), clean.to_bits(), "D[{}, {}]", i / n, i % n),
            }
        }
    }
}

/// A row's bits depend neither on the other rows nor on how many there are.
#[test]
fn rows_do_not_depend_on_m() {
    let (n, k) = (33, 304usize);
    let groups = k.div_ceil(BLOCK);
    let all = Problem::numbered(140, n, k);
    let d = all.run::<f32>(Some(GemmVariant::HopperN64), &ALIGNED);
    for m in [1, 17, 64, 129] {
        let a =
            Quantized { codes: all.a.codes[..m * k].to_vec(), scales: all.a.scales[..m * groups].to_vec() };
        let first = Problem { shape: GemmShape { m, n, k }, a, ..all.clone() };
        let few = first.run::<f32>(Some(GemmVariant::HopperN16), &ALIGNED);
        assert_eq!(bits(&few), bits(&d[..m * n]), "m = {m}");
    }
}

/// The schedule changes nothing.
#[test]
fn five_seeds_give_the_same_bits() {
    let problem = Problem::numbered(140, 130, 700);
    let run = |seed| {
        cuda_emulator::set_seed(seed);
        bits(&problem.run::<f32>(Some(GemmVariant::HopperN32), &ALIGNED))
    };
    let first = run(1);
    for seed in 2..=5 {
        assert_eq!(run(seed), first, "seed {seed}");
    }
}

/// Operands that the copy engine cannot read: an error that names them, or the simple kernel where the plan may choose.
#[test]
fn operands_out_of_line() {
    let (m, n, k) = (5, 20, 40);
    let problem = Problem::numbered(m, n, k);
    let d = problem.run::<f32>(None, &Places::DENSE);
    assert_eq!(bits(&d), bits(&problem.run::<f32>(Some(GemmVariant::SimpleM16), &Places::DENSE)));

    let device = device::device();
    let stream = device.context().default_stream();
    let (a, b) = (
        deepkern::fp8::Fp8Matrix::zeros(&stream, m, k).unwrap(),
        deepkern::fp8::Fp8Weight::zeros(&stream, n, k).unwrap(),
    );
    let mut d = stream.alloc_zeros::<f32>(m * n).unwrap();
    let mut plan =
        GemmPlan::<f32>::with_variant(&device, GemmShape { m, n, k }, GemmVariant::HopperN16).unwrap();
    let refused = plan.run(&stream, &a, &b, deepkern::MatrixViewMut::new(d.as_view_mut(), m, n).unwrap());
    let expected = Error::StrideMisaligned { what: "the codes of a", stride: 40, multiple: 16 };
    assert_eq!(refused, Err(expected));
}
