//! What holds the FP8 kernels' threads, copies and multiplications in order, removed or weakened piece by piece: each time
//! a result must be wrong, or the emulator must find something.
//!
//! `make mutants` tries all of it, with this binary: the tests that have a kernel's name run that kernel. Here are a few, always
//! the same, and what sums are made of.

#[path = "common/dense.rs"]
mod dense;
#[path = "common/device.rs"]
mod device;

use std::{env, fs, path::Path, time::Duration};

use cuda_emulator::{
    fatbin,
    mutation::{self, Change, Equivalent, Family, Outcome, Score, Trial},
};
use deepkern::{
    Element, MatrixView,
    fp8::{
        BLOCK, Block128, Fp8Tensor, GemmShape, GemmVariant, QuantizePlan, ScaleFormat, ScaleLayout, Vec128,
    },
    reference::{self, Quantized},
};
use half::bf16;

/// Numbers that repeat: codes of any size, scales around 1.
fn quantized(seed: u32, codes: usize, scales: usize) -> Quantized {
    let mut state = seed;
    let mut next = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 8
    };
    let not_nan = |code: u8| if code & 0x7f == 0x7f { 0 } else { code };
    Quantized {
        codes: (0..codes).map(|_| not_nan(next() as u8)).collect(),
        scales: (0..scales).map(|_| (next() % 1000 + 500) as f32 * 1e-3).collect(),
    }
}

/// Multiplies on the device, and holds every element against f64.
fn check<D: Element + Default + Into<f64>>(
    variant: GemmVariant,
    m: usize,
    n: usize,
    k: usize,
    rounding: f64,
) {
    let groups = k.div_ceil(BLOCK);
    let (a, b) = (quantized(1, m * k, m * groups), quantized(2, n * k, n.div_ceil(BLOCK) * groups));
    let d: Vec<D> = dense::multiply(&a, &b, GemmShape { m, n, k }, variant);
    for (i, (d, exact)) in d.into_iter().zip(reference::gemm(&a, &b, None, m, n, k)).enumerate() {
        let (d, bound): (f64, f64) = (d.into(), 2e-6 * exact.magnitude + rounding * exact.value.abs());
        let away = (d - exact.value).abs();
        assert!(away <= bound, "{variant}: D[{}, {}] is {d:e}; exactly {exact:?}", i / n, i % n);
    }
}

fn hopper(width: u32, pair: bool) -> GemmVariant {
    GemmVariant::Hopper { width, pair }
}

fn decode(tokens: u32, split: u32) -> GemmVariant {
    GemmVariant::Decode { tokens, split }
}

/// Runs `check` in several orders of events.
fn in_orders(count: u64, check: impl Fn()) {
    for seed in 0..count {
        cuda_emulator::set_seed(seed);
        check();
    }
}

/// One of each way in which blocks work together, tiles on all edges, sums longer than the ring of stages; and more tasks than
/// the device has room for.
#[test]
fn fp8_gemm_hopper() {
    if !hopper(64, false).runs_on(device::device().capability()) {
        return;
    }
    in_orders(3, || {
        for variant in [hopper(64, false), hopper(160, true), hopper(256, true)] {
            check::<f32>(variant, 130, 144, 1200, 0.0);
            check::<bf16>(variant, 7, 320, 400, 1.0 / 256.0);
        }
    });
    check::<f32>(hopper(16, true), 130, 40, 1360, 0.0);
    check::<f32>(hopper(64, false), 3, 64 * 140, 144, 0.0);
}

/// The same with k in one piece and in several.
#[test]
fn fp8_gemm_decode() {
    if !decode(8, 1).runs_on(device::device().capability()) {
        return;
    }
    in_orders(3, || {
        check::<f32>(decode(32, 6), 130, 144, 1200, 0.0);
        check::<bf16>(decode(32, 6), 7, 320, 400, 1.0 / 256.0);
        check::<f32>(decode(8, 1), 9, 144, 2064, 0.0);
        check::<bf16>(decode(8, 1), 7, 32, 400, 1.0 / 256.0);
    });
    check::<f32>(decode(8, 3), 3, 128 * 50, 400, 0.0);
}

#[test]
fn fp8_gemm_simple() {
    in_orders(3, || {
        for rows in [16, 64] {
            check::<f32>(GemmVariant::Simple { rows }, 70, 70, 200, 0.0);
            check::<bf16>(GemmVariant::Simple { rows }, 5, 130, 300, 1.0 / 256.0);
        }
    });
}

/// Quantises on the device, and compares with the reference. The largest numbers of a piece are anywhere in it.
fn check_quantized<L: ScaleLayout, T: Element + Into<f32>>(group: (usize, usize), from: impl Fn(f32) -> T) {
    let (rows, columns, format) = (140, 300, ScaleFormat::F32);
    let device = device::device();
    let stream = device.context().default_stream();
    let number = |i: usize| from((i as f32 * 0.37).sin() * (i % 509) as f32);
    let x: Vec<T> = (0..rows * columns).map(number).collect();
    let values = stream.clone_htod(&x).unwrap();
    let mut quantized = Fp8Tensor::<L>::zeros(&stream, rows, columns).unwrap();
    let mut plan = QuantizePlan::new(&device, rows, columns, format).unwrap();
    plan.run(&stream, MatrixView::new(values.as_view(), rows, columns).unwrap(), &mut quantized).unwrap();

    let x: Vec<f32> = x.into_iter().map(Into::into).collect();
    let codes = stream.clone_dtoh(quantized.codes()).unwrap();
    let codes: Vec<u8> = codes.iter().map(|code| code.to_bits()).collect();
    let expected = reference::quantize(&x, rows, columns, group, format);
    assert_eq!(codes, expected.codes);
    // Where each one lies is for `fp8_quantize.rs`.
    let sorted = |mut scales: Vec<f32>| {
        scales.retain(|scale| *scale != 0.0);
        scales.sort_by(f32::total_cmp);
        scales
    };
    assert_eq!(sorted(stream.clone_dtoh(quantized.scales()).unwrap()), sorted(expected.scales));
}

/// Both kinds: a scale of a row's 128, and of 128 rows'.
#[test]
fn fp8_quantize() {
    in_orders(3, || {
        check_quantized::<Vec128, f32>((1, BLOCK), |x| x);
        check_quantized::<Vec128, bf16>((1, BLOCK), bf16::from_f32);
        check_quantized::<Block128, f32>((BLOCK, BLOCK), |x| x);
        check_quantized::<Block128, bf16>((BLOCK, BLOCK), bf16::from_f32);
    });
}

/// What the kernels' names begin with; so the tests are called that run them.
const FAMILIES: [&str; 4] = ["fp8_gemm_hopper", "fp8_gemm_decode", "fp8_gemm_simple", "fp8_quantize"];
/// One change in so many is tried here.
const STEP: usize = 3;

/// Each family with all changes of its orderings.
fn families() -> Vec<Family> {
    let fatbin = fs::read(Path::new(env!("OUT_DIR")).join("fp8").with_extension("fatbin")).expect("a fatbin");
    let images = fatbin::images(&fatbin).expect("a fatbin");
    let ptx = fatbin::select(&images, (9, 0)).and_then(|image| image.ptx()).expect("PTX for Hopper");
    let family = |name: &&str| {
        let program = env::current_exe().expect("this binary");
        let trial = Trial {
            command: vec![program.into(), name.into(), "--exact".into()],
            environment: vec![("DEEPKERN_DEVICE".into(), "emulator".into())],
            seeds: 1,
            limit: Duration::from_secs(120),
        };
        Family::new(name, &ptx, trial, is_wrapper).expect("it parses")
    };
    FAMILIES.iter().map(family).collect()
}

/// Wrappers of instructions, and what nvcc brings.
fn is_wrapper(file: &str) -> bool {
    file.contains("/ptx/") || file.contains("nvidia/")
}

#[test]
fn a_sample_of_orderings_is_needed() {
    let list = fs::read_to_string("tests/mutants/fp8.txt").expect("the list of equivalents");
    let equivalents =
        Equivalent::list(&list).unwrap_or_else(|error| panic!("tests/mutants/fp8.txt: {error}"));
    let mut families = families();
    assert_eq!(mutation::untrue(&families, &equivalents, &[]), Vec::<String>::new());
    let mut number = 0;
    for family in &mut families {
        family.edits.retain(|_| {
            number += 1;
            number % STEP == 0
        });
    }
    let tried = mutation::survey(&families, &equivalents, |one| println!("{one}")).unwrap();
    println!("{}", Score::of(&tried));
    let is_surprise = |one: &&mutation::Tried<'_>| match (&one.outcome, one.edit.change) {
        (_, Change::Hint) => false,
        (outcome, _) => (*outcome == Outcome::Passed) != one.equivalent.is_some(),
    };
    let surprises: Vec<_> = tried.iter().filter(is_surprise).map(ToString::to_string).collect();
    assert!(surprises.is_empty(), "\n{}", surprises.join("\n"));
    // Kernels without any of these would be others.
    for instruction in ["mbarrier.try_wait", "wgmma.wait_group", "cp.async.bulk", "bar.sync"] {
        assert!(tried.iter().any(|one| one.edit.instruction.starts_with(instruction)), "no {instruction}");
    }
}

/// What a sum is made of: scaled products of every block of k, the last one too, each column with its own scale of B.
#[test]
fn nothing_is_summed_for_nothing() {
    let mut families = families();
    for family in &mut families {
        family.edits.clear();
        let mutants = mutation::mutants(&family.ptx, |kernel| kernel.starts_with(&family.name));
        let mutants = mutants.expect("it parses");
        for (kernel, words) in [
            ("fp8_gemm_hopper_n16_f32", "fmaf(product[i]"),
            ("fp8_gemm_hopper_n64_f32", "fmaf(product[i]"),
            ("fp8_gemm_hopper_n64_f32", "(k + FP8_BLOCK - 1) / FP8_BLOCK"),
            ("fp8_gemm_hopper_n160_f32", "is_first ?"),
            ("fp8_gemm_decode_m8_f32", "fmaf(product[i]"),
            ("fp8_gemm_decode_m8_f32", "(k + FP8_BLOCK - 1) / FP8_BLOCK"),
            ("fp8_gemm_decode_m32_f32", "min(begin_k + each"),
            ("fp8_gemm_decode_m32_f32", "sum.x + more.x"),
        ] {
            let (mut seen, before) = (Vec::new(), family.edits.len());
            for mutant in mutants.iter().filter(|mutant| mutant.kernel == kernel) {
                let is_here = mutant.source.iter().any(|(file, line)| line_of(file, *line).contains(words));
                // (A number that is one off may compute the same: k rounded up too far adds zeros.)
                if is_here && mutant.change != Change::Constant && !seen.contains(&mutant.change) {
                    seen.push(mutant.change);
                    family.edits.extend(mutation::edits(vec![mutant.clone()], is_wrapper));
                }
            }
            let is_ours = kernel.starts_with(&family.name);
            assert_eq!(is_ours, family.edits.len() > before, "`{words}` in {kernel}");
        }
    }
    let tried = mutation::survey(&families, &[], |one| println!("{one}")).unwrap();
    assert_eq!(Score::of(&tried).caught, tried.len());
}

fn line_of(file: &str, line: u32) -> String {
    let file = fs::read_to_string(file).unwrap_or_default();
    file.lines().nth(line.saturating_sub(1) as usize).unwrap_or_default().to_owned()
}
