//! The GEMM on Hopper's tensor cores, in the exact arithmetic of the emulator: every element against f64, as for the
//! simple kernel. What the hardware's own sums do to it: `fp8_gemm_hardware.rs`.

#[path = "common/bounds.rs"]
mod bounds;
#[path = "common/device.rs"]
mod device;
#[path = "common/gemm.rs"]
mod gemm;
#[path = "common/planted.rs"]
mod planted;

use cuda_emulator::Driver;
use deepkern::{
    Error, MatrixViewMut,
    cudarc::driver::DevicePtr,
    fp8::{
        BLOCK, Fp8Matrix, Fp8MatrixView, Fp8Weight, Fp8WeightView, GemmOptions, GemmPlan, GemmShape,
        GemmVariant,
    },
    reference::Quantized,
};
use gemm::{Places, Problem, any_problem};
use half::bf16;
use planted::{Place, bits};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

/// Those that the device can run and that sum k in one piece: they give the same bits.
fn variants() -> Vec<GemmVariant> {
    let whole = |variant: &GemmVariant| !matches!(variant, GemmVariant::Decode { split: 2.., .. });
    runnable(GemmVariant::hopper().chain(GemmVariant::decode()).filter(whole))
}

/// Those that sum k in parts.
fn split_variants() -> Vec<GemmVariant> {
    runnable(
        GemmVariant::decode().filter(|variant| matches!(variant, GemmVariant::Decode { split: 2.., .. })),
    )
}

fn runnable(variants: impl Iterator<Item = GemmVariant>) -> Vec<GemmVariant> {
    let capability = device::device().capability();
    variants.filter(|variant| variant.runs_on(capability)).collect()
}

fn only(variants: &[GemmVariant]) -> Vec<GemmVariant> {
    runnable(variants.iter().copied())
}

const WIDE: GemmVariant = GemmVariant::Hopper { width: 128, pair: false };
/// Each block brings one atom of B's swizzle, eight rows, to both.
const THIN: GemmVariant = GemmVariant::Hopper { width: 16, pair: true };
const NARROW: GemmVariant = GemmVariant::Decode { tokens: 16, split: 1 };

/// A few of either kind.
fn any_variants() -> impl Strategy<Value = (Vec<GemmVariant>, Vec<GemmVariant>)> {
    let some = |all: Vec<GemmVariant>, count: usize| {
        let count = count.min(all.len());
        prop::sample::subsequence(all, count).prop_shuffle()
    };
    (some(variants(), 5), some(split_variants(), 2))
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
    fn any_shape_f32(
        problem in any_problem(280, 280, 300),
        places in any_aligned_places(),
        (whole, split) in any_variants(),
    ) {
        problem.check::<f32>(&whole, &places);
        split.iter().for_each(|&variant| problem.check::<f32>(&[variant], &places));
    }

    #[test]
    fn any_shape_bf16(
        problem in any_problem(280, 280, 300),
        places in any_aligned_places(),
        (whole, split) in any_variants(),
    ) {
        problem.check::<bf16>(&whole, &places);
        split.iter().for_each(|&variant| problem.check::<bf16>(&[variant], &places));
    }
}

/// Every tail of k, whole and partial blocks of it.
#[test]
fn every_tail_of_k() {
    for k in (1..=33).chain([127, 128, 129, 160, 255, 576]) {
        Problem::numbered(5, 18, k).check::<f32>(&only(&[WIDE, THIN, NARROW]), &ALIGNED);
    }
}

/// Tiles that m and n fill, almost fill, and exceed.
#[test]
fn every_edge_of_a_tile() {
    for m in [1, 7, 8, 9, 15, 16, 63, 64, 65, 127, 128, 129, 255, 256, 257] {
        let pair = GemmVariant::Hopper { width: 64, pair: true };
        Problem::numbered(m, 20, 150).check::<bf16>(&only(&[WIDE, THIN, NARROW, pair]), &ALIGNED);
    }
    for n in [
        1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 95, 97, 111, 113, 127, 128, 129, 159, 161, 191, 193,
        257, 400,
    ] {
        Problem::numbered(3, n, 150).check::<f32>(&variants(), &ALIGNED);
    }
}

/// Wide tiles begin in one row of B's blocks and end in the next; each of its columns has its own scale.
#[test]
fn tiles_across_blocks_of_scales() {
    for (m, n, k) in [(130, 900, 260), (3, 1000, 130)] {
        let problem = Problem::numbered(m, n, k);
        problem.check::<f32>(&runnable(GemmVariant::hopper()), &ALIGNED);
        problem.check::<bf16>(&runnable(GemmVariant::hopper()), &ALIGNED);
    }
}

/// More tasks than multiprocessors: blocks take several, and the ring of stages, the buffers that are stored from,
/// and the parts of k go on from one to the next.
#[test]
fn blocks_take_task_after_task() {
    let decode = |tokens, split| GemmVariant::Decode { tokens, split };
    for (m, n, k, variant) in [
        (130, 64 * 70, 150, GemmVariant::Hopper { width: 64, pair: false }),
        (260, 64 * 35, 32, GemmVariant::Hopper { width: 64, pair: true }),
        (140, 96 * 70, 32, GemmVariant::Hopper { width: 96, pair: false }),
        (300, 16 * 70, 150, THIN),
        (140, 32 * 140, 150, GemmVariant::Hopper { width: 32, pair: false }),
        (9, 128 * 70, 150, decode(8, 1)),
        (20, 128 * 30, 300, decode(8, 4)),
        (70, 128 * 3, 1100, decode(8, 8)),
    ] {
        Problem::numbered(m, n, k).check::<bf16>(&only(&[variant]), &ALIGNED);
    }
}

/// The same for each kernel: a task more than the device has clusters, few rows or columns of each.
#[test]
fn each_kernel_takes_another_task() {
    let clusters = |blocks| 132 / blocks as usize + 1;
    for variant in variants().into_iter().chain(split_variants()) {
        let (m, n, k) = match variant {
            GemmVariant::Hopper { width, pair: false } => (1, width as usize * clusters(1), 16),
            GemmVariant::Hopper { pair: true, .. } => (256 * clusters(2), 16, 16),
            GemmVariant::Decode { tokens, split: split @ ..=2 } => {
                (tokens as usize * clusters(split), 16, 144)
            }
            _ => continue,
        };
        Problem::numbered(m, n, k).check::<bf16>(&[variant], &ALIGNED);
    }
}

/// Longer than the ring, several times over; and longer than the scales of B that a warp has on hand.
#[test]
fn more_blocks_of_k_than_stages() {
    let narrow = GemmVariant::Hopper { width: 32, pair: false };
    Problem::numbered(9, 40, 2048 + 64).check::<f32>(&only(&[WIDE, THIN, narrow, NARROW]), &ALIGNED);
    Problem::numbered(2, 140, 9000).check::<f32>(&only(&[WIDE, THIN, NARROW]), &ALIGNED);
    Problem::numbered(2, 140, 9000)
        .check::<f32>(&only(&[GemmVariant::Decode { tokens: 8, split: 2 }]), &ALIGNED);
}

/// Every number of parts, also of a k that has fewer blocks; each sums in its own order, the same each time.
#[test]
fn k_in_parts() {
    for variant in split_variants() {
        for (m, n, k) in [(5, 140, 1200), (17, 20, 130)] {
            let problem = Problem::numbered(m, n, k);
            problem.check::<f32>(&[variant, variant], &ALIGNED);
        }
    }
}

#[test]
fn with_c() {
    let split = only(&[GemmVariant::Decode { tokens: 16, split: 3 }]);
    for (n, front, gap) in [(64, 0, 0), (72, 4, 0), (70, 1, 0), (70, 2, 1), (33, 3, 3)] {
        let mut problem = Problem::numbered(70, n, 140);
        problem.c = Some((0..70 * n).map(|i| (i as f32).sin()).collect());
        let Places(mut places) = ALIGNED;
        places[4] = Place { front, gap, ..Place::DENSE };
        places[5] = Place { front: gap, gap: front, ..Place::DENSE };
        let places = Places(places);
        problem.check::<f32>(&variants(), &places);
        problem.check::<bf16>(&variants(), &places);
        problem.check::<bf16>(&split, &places);
    }
}

/// D that the copy engine can write in slices of each width, and D that it cannot.
#[test]
fn wherever_d_lies() {
    let problem = Problem::numbered(66, 200, 64);
    for (front, multiple) in [(0, 8), (8, 8), (4, 4), (1, 8), (8, 1)] {
        let Places(mut places) = ALIGNED;
        places[5] = Place { front, gap: 1, multiple, after: 0 };
        problem.check::<f32>(&variants(), &Places(places));
        problem.check::<bf16>(&variants(), &Places(places));
    }
}

/// A plan keeps what it told the copy engine, and has to notice when operands lie elsewhere, or otherwise.
#[test]
fn one_plan_for_operands_here_and_there() {
    let problem = Problem::numbered(66, 72, 150);
    for variant in only(&[WIDE, NARROW]) {
        let expected = bits(&problem.run::<bf16>(Some(variant), &ALIGNED));
        let mut plan =
            GemmPlan::<bf16>::with_variant(&device::device(), problem.shape, variant).expect("plans");
        for (front, gap) in [(0, 0), (1, 0), (1, 1), (2, 1), (0, 0)] {
            let Places(mut places) = ALIGNED;
            // A, its scales, B, D.
            for (place, grain) in [(0, 16), (1, 4), (2, 16), (5, 8)] {
                places[place] = Place { front: front * grain, gap: gap * grain, ..places[place] };
            }
            places[5].multiple = 8;
            let d = problem.run_plan(&mut plan, &Places(places));
            assert_eq!(bits(&d), expected, "{variant}, front {front}, gap {gap}");
        }
    }
}

/// A NaN spoils its row, or its column, and nothing else.
#[test]
fn nan_stays_in_its_row_and_column() {
    let (m, n, k) = (20, 130, 144);
    let mut problem = Problem::numbered(m, n, k);
    problem.a.codes[3 * k + 129] = 0x7f;
    problem.b.codes[64 * k] = 0xff;
    for variant in variants().into_iter().chain(split_variants()) {
        let clean = Problem::numbered(m, n, k).run::<f32>(Some(variant), &ALIGNED);
        for (i, (d, clean)) in problem.run::<f32>(Some(variant), &ALIGNED).into_iter().zip(clean).enumerate()
        {
            match i / n == 3 || i % n == 64 {
                true => assert!(d.is_nan(), "{variant}: D[{}, {}]", i / n, i % n),
                false => assert_eq!(d.to_bits(), clean.to_bits(), "{variant}: D[{}, {}]", i / n, i % n),
            }
        }
    }
}

/// A row's bits depend neither on the other rows nor on how many there are, nor, with the option, on what the plan
/// chooses for so many.
#[test]
fn rows_do_not_depend_on_m() {
    let (n, k) = (33, 528usize);
    let groups = k.div_ceil(BLOCK);
    let all = Problem { options: GemmOptions::new().batch_invariant(), ..Problem::numbered(300, n, k) };
    let d = all.run::<f32>(None, &ALIGNED);
    for m in [1, 9, 17, 64, 129, 257] {
        let a =
            Quantized { codes: all.a.codes[..m * k].to_vec(), scales: all.a.scales[..m * groups].to_vec() };
        let first = Problem { shape: GemmShape { m, n, k }, a, ..all.clone() };
        for variant in only(&[WIDE, THIN, NARROW]).into_iter().map(Some).chain([None]) {
            assert_eq!(bits(&first.run::<f32>(variant, &ALIGNED)), bits(&d[..m * n]), "m = {m}, {variant:?}");
        }
    }
}

/// What a batch-invariant plan chooses is among those that give the same bits; without the option it would not be.
#[test]
fn batch_invariant_plans_sum_k_in_one_piece() {
    let whole = variants();
    if whole.is_empty() {
        return;
    }
    let device = device::device();
    for (n, k) in [(33, 528), (512, 7168), (2112, 7168), (7168, 16384)] {
        let chosen = |m, options| {
            GemmPlan::<f32>::with_options(&device, GemmShape { m, n, k }, options).unwrap().variant()
        };
        assert!(!whole.contains(&chosen(1, GemmOptions::new())), "n = {n}, k = {k}: nothing to forgo");
        for m in [1, 8, 9, 16, 17, 64, 65, 128, 129, 256, 512, 4096] {
            let variant = chosen(m, GemmOptions::new().batch_invariant());
            assert!(whole.contains(&variant), "m = {m}, n = {n}, k = {k}: {variant}");
        }
    }
}

/// `GemmVariant::select` knows an H100 as the emulator is one: in what its GPCs hold, too.
#[test]
fn plans_choose_as_documented() {
    let device = device::device();
    if device::driver() != Driver::Emulator {
        return;
    }
    for (n, k) in [(512, 7168), (2112, 7168), (4096, 7168), (7168, 2048)] {
        for m in [1, 64, 128, 256, 512, 4096] {
            let shape = GemmShape { m, n, k };
            let plan = GemmPlan::<f32>::new(&device, shape).unwrap();
            let selected = GemmVariant::select(shape, device.capability(), GemmOptions::new()).unwrap();
            assert_eq!(plan.variant(), selected, "{shape:?}");
        }
    }
}

/// The schedule changes nothing.
#[test]
fn five_seeds_give_the_same_bits() {
    let problem = Problem::numbered(260, 200, 700);
    for variant in only(&[
        GemmVariant::Hopper { width: 96, pair: true },
        GemmVariant::Hopper { width: 64, pair: false },
        THIN,
        GemmVariant::Decode { tokens: 32, split: 4 },
    ]) {
        let run = |seed| {
            cuda_emulator::set_seed(seed);
            bits(&problem.run::<bf16>(Some(variant), &ALIGNED))
        };
        let first = run(1);
        for seed in 2..=5 {
            assert_eq!(run(seed), first, "{variant}, seed {seed}");
        }
    }
}

/// Operands that the copy engine cannot read: an error that names them, or the simple kernel where the plan may choose.
/// One row is refused for its stride as many are: else its bits would depend on how many there are.
#[test]
fn operands_out_of_line() {
    let device = device::device();
    let stream = device.context().default_stream();
    let (n, k) = (20, 40);
    for m in [1, 5] {
        let problem = Problem::numbered(m, n, k);
        let d = problem.run::<f32>(None, &Places::DENSE);
        let simple = GemmVariant::Simple { rows: 16 };
        assert_eq!(bits(&d), bits(&problem.run::<f32>(Some(simple), &Places::DENSE)));

        let (a, b) = (Fp8Matrix::zeros(&stream, m, k).unwrap(), Fp8Weight::zeros(&stream, n, k).unwrap());
        let mut d = stream.alloc_zeros::<f32>(m * n).unwrap();
        let (codes, scales) = (a.codes().device_ptr(&stream).0, a.scales().device_ptr(&stream).0);
        let misaligned = |address| Error::Misaligned { what: "the codes of a", address, alignment: 16 };
        for (codes, stride, expected) in [
            (codes, 40, Error::StrideMisaligned { what: "the codes of a", stride: 40, multiple: 16 }),
            (codes + 8, 48, misaligned(codes + 8)),
            (
                codes,
                1 << 40,
                Error::TooLarge { what: "the codes of a", value: 1 << 40, limit: (1 << 40) - 16 },
            ),
        ] {
            for variant in only(&[WIDE, NARROW]) {
                let shape = GemmShape { m, n, k };
                let mut plan = GemmPlan::<f32>::with_variant(&device, shape, variant).unwrap();
                // SAFETY: refused before use.
                let a = unsafe { Fp8MatrixView::from_raw(codes, scales, m, k, stride, 8) }.unwrap();
                assert_eq!(plan.variant_for(&stream, &a, &b), Err(expected.clone()), "m = {m}");
                let refused = plan.run(&stream, a, &b, MatrixViewMut::new(d.as_view_mut(), m, n).unwrap());
                assert_eq!(refused, Err(expected.clone()), "m = {m}");
            }
        }
    }
}

/// A plan that may choose says beforehand what its choice falls to; each operand that is out of line counts.
#[test]
fn plans_say_which_kernel_operands_get() {
    let device = device::device();
    let stream = device.context().default_stream();
    let (m, n, k) = (5, 20, 48);
    let (a, b) = (Fp8Matrix::zeros(&stream, m, k).unwrap(), Fp8Weight::zeros(&stream, n, k).unwrap());
    let (a_codes, a_scales) = (a.codes().device_ptr(&stream).0, a.scales().device_ptr(&stream).0);
    let (b_codes, b_scales) = (b.codes().device_ptr(&stream).0, b.scales().device_ptr(&stream).0);
    let plan = GemmPlan::<f32>::new(&device, GemmShape { m, n, k }).unwrap();
    let simple = GemmVariant::Simple { rows: 16 };
    for (front, expected) in
        [([0, 0, 0], plan.variant()), ([8, 0, 0], simple), ([0, 4, 0], simple), ([0, 0, 1], simple)]
    {
        // SAFETY: nothing reads them.
        let (a, b) = unsafe {
            let a = Fp8MatrixView::from_raw(a_codes + front[0], a_scales + front[1], m, k, k, 8).unwrap();
            (a, Fp8WeightView::from_raw(b_codes + front[2], b_scales, n, k, k, 1).unwrap())
        };
        assert_eq!(plan.variant_for(&stream, a, b), Ok(expected), "{front:?}");
    }
    let wide = Fp8Matrix::zeros(&stream, m, k + 1).unwrap();
    let wrong = Error::Shape { what: "the number of columns of a", expected: k, actual: k + 1 };
    assert_eq!(plan.variant_for(&stream, &wide, &b), Err(wrong));
}

#[test]
fn variants_that_are_not_there() {
    let device = device::device();
    for variant in [
        GemmVariant::Hopper { width: 100, pair: false },
        GemmVariant::Decode { tokens: 8, split: 9 },
        GemmVariant::Simple { rows: 8 },
    ] {
        let plan = GemmPlan::<f32>::with_variant(&device, GemmShape { m: 1, n: 1, k: 1 }, variant);
        assert_eq!(plan.err(), Some(Error::NoSuchVariant { variant: variant.to_string() }));
    }
}
