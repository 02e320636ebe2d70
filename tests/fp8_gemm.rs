//! Every element of the GEMM on CUDA cores against f64, with `S = |A||B| + |C|`: f32 within `2e-6 S + 1e-37`, bf16 within
//! `2^-8 |D|` more.

#[path = "common/again.rs"]
mod again;
#[path = "common/bounds.rs"]
mod bounds;
#[path = "common/capability.rs"]
mod capability;
#[path = "common/device.rs"]
mod device;
#[path = "common/gemm.rs"]
mod gemm;
#[path = "common/mutants.rs"]
mod mutants;
#[path = "common/persistence.rs"]
mod persistence;
#[path = "common/planted.rs"]
mod planted;

use bounds::{accuracy, check_bounds};
use deepkern::{
    fp8::{BLOCK, GemmShape, GemmVariant},
    reference::Quantized,
};
use gemm::{Places, Problem, any_problem};
use half::bf16;
use planted::{Place, bits};
use proptest::prelude::*;

const LARGE: GemmVariant = GemmVariant::Simple { rows: 64 };
const SIMPLE: [GemmVariant; 2] = [LARGE, GemmVariant::Simple { rows: 16 }];

fn any_places() -> impl Strategy<Value = Places> {
    let a_scales =
        (0..5usize, 0..9usize).prop_map(|(front, gap)| Place { front, gap, multiple: 4, after: 0 });
    let any = Place::any;
    (any(), a_scales, any(), any(), any(), any())
        .prop_map(|(a, a_scales, b, b_scales, c, d)| Places([a, a_scales, b, b_scales, c, d]))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        failure_persistence: persistence::persistence(),
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_shape_f32(problem in any_problem(70, 140, 300), places in any_places()) {
        problem.check::<f32>(&SIMPLE, &places);
    }

    #[test]
    fn any_shape_bf16(problem in any_problem(70, 140, 300), places in any_places()) {
        problem.check::<bf16>(&SIMPLE, &places);
    }
}

/// Every tail of k, in rows that can be read in chunks and in rows that cannot, with nothing behind them.
#[test]
fn every_tail_of_k() {
    for k in (1..=33).chain([127, 128, 129, 143, 255]) {
        let problem = Problem::numbered(5, 7, k);
        for (front, multiple) in [(0, 1), (0, 16), (3, 16)] {
            let place = Place { front, multiple, ..Place::DENSE };
            let scales = Place { multiple: 4, ..Place::DENSE };
            let places = Places([place, scales, place, Place::DENSE, Place::DENSE, Place::DENSE]);
            problem.check::<f32>(&SIMPLE, &places);
            problem.check::<bf16>(&SIMPLE, &places);
        }
    }
}

/// Tiles that m and n fill, almost fill, and exceed.
#[test]
fn every_edge_of_a_tile() {
    for m in (1..=17).chain(31..=33).chain(60..=66) {
        Problem::numbered(m, 66, 40).check::<f32>(&SIMPLE, &Places::DENSE);
        Problem::numbered(m, 6, 300).check::<f32>(&SIMPLE, &Places::DENSE);
        Problem::numbered(m, 5, 130).check::<bf16>(&SIMPLE, &Places::DENSE);
    }
    for n in (1..=9).chain(60..=68).chain(127..=130) {
        Problem::numbered(18, n, 40).check::<bf16>(&SIMPLE, &Places::DENSE);
        Problem::numbered(3, n, 130).check::<f32>(&SIMPLE, &Places::DENSE);
        Problem::numbered(66, n, 20).check::<f32>(&SIMPLE, &Places::DENSE);
        Problem::numbered(66, n, 20).check::<bf16>(&SIMPLE, &Places::DENSE);
    }
}

/// C and D move as vectors where both alignment and the row's end allow it.
#[test]
fn c_and_d_at_every_alignment() {
    for (n, front, gap) in [3, 8, 66]
        .into_iter()
        .flat_map(|n| (0..4).flat_map(move |front| (0..4).map(move |gap| (n, front, gap))))
    {
        let mut problem = Problem::numbered(9, n, 20);
        problem.c = Some((0..9 * n).map(|i| (i as f32).sin()).collect());
        let moved = Place { front, gap, ..Place::DENSE };
        let Places(mut places) = Places::DENSE;
        places[4] = moved;
        problem.check::<f32>(&SIMPLE, &Places(places));
        places[5] = Place { front: 3 - front, ..moved };
        problem.check::<bf16>(&SIMPLE, &Places(places));
        places[4] = Place::DENSE;
        problem.check::<f32>(&SIMPLE, &Places(places));
    }
}

/// The sizes of the model, each as n and as k, with partial blocks: 576 = 4.5 x 128.
#[test]
fn sizes_of_the_model() {
    for (m, n, k) in [
        (3, 576, 160),
        (2, 5, 576),
        (17, 130, 1536),
        (1, 64, 7168),
        (1, 7168, 64),
        (2, 3, 18432),
        (1, 18432, 32),
    ] {
        let problem = Problem::numbered(m, n, k);
        let variant = SIMPLE[usize::from(m <= 16)];
        let d = problem.run::<f32>(Some(variant), &Places::DENSE);
        check_bounds(&d, &problem.exact(), n, accuracy(variant));
    }
}

/// A NaN spoils its row, or its column, and nothing else; so does an infinite scale.
#[test]
fn nan_stays_in_its_row_and_column() {
    let (m, n, k) = (20, 70, 130);
    let mut problem = Problem::numbered(m, n, k);
    problem.a.codes[3 * k + 129] = 0x7f;
    problem.a.scales[5 * 2] = f32::INFINITY;
    problem.b.codes[64 * k] = 0xff;
    let spoilt = |i: usize| [3, 5].contains(&(i / n)) || i % n == 64;
    let clean = Problem::numbered(m, n, k).run::<f32>(Some(LARGE), &Places::DENSE);
    for (i, (d, clean)) in problem.run::<f32>(Some(LARGE), &Places::DENSE).into_iter().zip(clean).enumerate()
    {
        if spoilt(i) {
            assert!(!d.is_finite(), "D[{}, {}]", i / n, i % n);
        } else {
            assert_eq!(d.to_bits(), clean.to_bits(), "D[{}, {}]", i / n, i % n);
        }
    }
}

/// With k zero, D is zero, or C; with m or n zero there is nothing.
#[test]
fn zero_sizes() {
    for (m, n, k) in [(0, 0, 0), (0, 9, 200), (9, 0, 200)] {
        Problem::numbered(m, n, k).check::<f32>(&SIMPLE, &Places::DENSE);
    }
    let mut problem = Problem::numbered(9, 70, 0);
    assert!(problem.run::<f32>(Some(LARGE), &Places::DENSE).iter().all(|d| d.to_bits() == 0));
    let c: Vec<f32> = (0..9 * 70).map(|i| i as f32).collect();
    problem.c = Some(c.clone());
    assert_eq!(problem.run::<f32>(Some(LARGE), &Places::DENSE), c);
}

/// A row's bits depend neither on the other rows nor on how many there are.
#[test]
fn rows_do_not_depend_on_m() {
    let (n, k) = (65, 300);
    let all = Problem::numbered(70, n, k);
    let d = all.run::<f32>(Some(LARGE), &Places::DENSE);
    for m in [1, 16, 17, 64, 65] {
        let groups = k.div_ceil(BLOCK);
        let a =
            Quantized { codes: all.a.codes[..m * k].to_vec(), scales: all.a.scales[..m * groups].to_vec() };
        let first = Problem { shape: GemmShape { m, n, k }, a, ..all.clone() };
        assert_eq!(bits(&first.run::<f32>(Some(LARGE), &Places::DENSE)), bits(&d[..m * n]), "m = {m}");
    }
}

/// The schedule changes nothing.
#[test]
fn five_seeds_give_the_same_bits() {
    let problem = Problem::numbered(70, 130, 200);
    let run = |seed| {
        cuda_emulator::set_seed(seed);
        bits(&problem.run::<f32>(Some(LARGE), &Places::DENSE))
    };
    let first = run(1);
    for seed in 2..=5 {
        assert_eq!(run(seed), first, "seed {seed}");
    }
}

/// The PTX for compute_80 gives what that for Hopper gives.
#[test]
fn on_every_gpu_since_ampere() {
    capability::passes_on("8.0");
}

/// See `mutants::Equivalent`.
const EQUIVALENT: &[mutants::Equivalent] = &[
    mutants::Equivalent {
        source: ("gemm_simple.cuh", "__syncthreads();"),
        change: ("bar.sync 0;", "bar.sync 1;"),
        because: "one barrier is as good as another",
    },
    mutants::Equivalent {
        source: ("gemm_simple.cuh", "i < kRows * kStepK / kChunk"),
        change: (", -129;", ""),
        because: "a step has no more chunks than the block has threads: there is no second round",
    },
    mutants::Equivalent {
        source: ("gemm_simple.cuh", "i < kRows * kStepK / kChunk"),
        change: ("add.s32", ", 12"),
        because: "a step has no more chunks than the block has threads: there is no second round",
    },
    mutants::Equivalent {
        source: ("gemm_simple.cuh", "count == kChunk && is_aligned"),
        change: (", 16;", ", 17;"),
        because: "one code at a time gives what sixteen at once give",
    },
    mutants::Equivalent {
        source: ("quad.cuh", "% bytes == 0"),
        change: (", 0;", ", 1;"),
        because: "one element at a time gives what a vector gives",
    },
    mutants::Equivalent {
        source: ("gemm_simple.cuh", "< count ? p[2 * i"),
        change: ("mov.u32", ", 1;"),
        because: "behind the last k the other operand is zero still",
    },
    mutants::Equivalent {
        source: ("gemm_simple.cuh", "min(k - chunk_k, kChunk)"),
        change: (", 16;", ", 17;"),
        because: "one code at a time gives what sixteen at once give",
    },
    mutants::Equivalent {
        source: ("gemm_simple.cuh", "chunk_k < k;"),
        change: ("setp.gt.u32", "setp.ge.u32"),
        because: "a chunk behind the last k has no codes",
    },
    mutants::Equivalent {
        source: ("gemm_simple.cuh", ""),
        change: (", 127;", ", 128;"),
        because: "the block has no thread 128",
    },
    mutants::Equivalent {
        source: ("gemm_simple.cuh", "thread_column ="),
        change: (", 60;", ", 61;"),
        because: "four times a number has no lowest bit",
    },
    mutants::Equivalent {
        source: ("gemm_simple.cuh", "thread_row ="),
        change: ("setp.ge.u32", "setp.gt.u32"),
        because: "the row behind the last one has a scale, if only one of padding, and is not stored",
    },
    mutants::Equivalent {
        source: ("gemm_simple.cuh", "for (uint32_t step_k = block_k;"),
        change: ("mov.f32", ""),
        because: "the way around the loop, to which these go, is never taken",
    },
    mutants::Equivalent {
        source: ("gemm_simple.cuh", "block_end = min(block_k"),
        change: ("add.s32 %r132,", ", 129;"),
        because: "it decides whether the loop is entered, and it always is",
    },
    mutants::Equivalent {
        source: ("gemm_simple.cuh", "for (uint32_t step_k = block_k;"),
        change: ("setp.ge.u32", "setp.gt.u32"),
        because: "a block of k that is begun has a first step",
    },
    mutants::Equivalent {
        source: ("gemm_simple.cuh", "block_end = min(block_k"),
        change: ("min.u32", ""),
        because: "steps behind the last k multiply zeros",
    },
    mutants::Equivalent {
        source: ("gemm_simple.cuh", "row < args.m ? args.a_scale"),
        change: ("mov.f32", "0f3F800000"),
        because: "rows behind the last one are not stored",
    },
    mutants::Equivalent {
        source: ("quad.cuh", "result.at[i] = i < count"),
        change: ("mov.f32", "0f3F800000"),
        because: "columns behind the last one are not stored",
    },
];

#[test]
fn mutants_are_caught() {
    mutants::check("fp8", &["fp8_gemm_simple"], 20, EQUIVALENT);
}
