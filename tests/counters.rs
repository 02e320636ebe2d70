//! What the Hopper GEMM does, counted on the emulator and held to what its tiling needs and to `docs/counters.md`.
//!
//! The table is of the nvcc that scripts/toolchain.sh installs; another one compiles other instructions, and only what
//! follows from the tiling is held then. `make counters` writes it anew.

#[path = "counters/compiler.rs"]
mod compiler;
#[path = "counters/table.rs"]
mod table;

use std::fs;
use std::sync::Mutex;

use cuda_emulator::{Arithmetic, LastLaunch};
use deepkern::{
    Device, Element, MatrixViewMut,
    cudarc::driver::ValidAsZeroBits,
    fp8::{Fp8Matrix, Fp8Weight, GemmPlan, GemmShape, GemmVariant, GemmWork},
};
use half::bf16;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/counters.md");

/// Projections of DeepSeek-V3 (n of 576 to 24576) with less of k, from decode to prefill; the last ones with edges.
const SHAPES: [[usize; 3]; 14] = [
    [1, 2112, 512],
    [1, 7168, 256],
    [16, 4096, 384],
    [16, 576, 1536],
    [64, 7168, 256],
    [64, 24576, 128],
    [128, 512, 1792],
    [128, 4096, 256],
    [512, 2112, 256],
    [512, 7168, 128],
    [512, 512, 384],
    [300, 1536, 384],
    [300, 1030, 336],
    [65, 2113, 144],
];

/// A launch, and what it was to do.
struct Counted {
    shape: GemmShape,
    variant: GemmVariant,
    work: GemmWork,
    launch: LastLaunch,
}

/// Runs a GEMM under the one schedule of the table: by `variant`, or by the one that the plan chooses.
fn count(shape: [usize; 3], variant: Option<GemmVariant>) -> Counted {
    count_under::<bf16>(0, shape, variant)
}

/// Runs a GEMM on zeros: counts do not depend on values.
fn count_under<D: Element + ValidAsZeroBits>(
    seed: u64,
    [m, n, k]: [usize; 3],
    variant: Option<GemmVariant>,
) -> Counted {
    // The last launch is the context's, which the tests share.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    // Whatever the machine has: a GPU counts nothing.
    cuda_emulator::install().expect("the emulator");
    cuda_emulator::set_arithmetic(Arithmetic::Exact);
    cuda_emulator::set_seed(seed);
    cuda_emulator::set_threads(1);
    let device = Device::new(0).expect("a device");
    let stream = device.context().default_stream();
    let shape = GemmShape { m, n, k };
    let a = Fp8Matrix::zeros(&stream, m, k).expect("allocates");
    let b = Fp8Weight::zeros(&stream, n, k).expect("allocates");
    let mut d = stream.alloc_zeros::<D>(m * n).expect("allocates");
    let plan = match variant {
        Some(variant) => GemmPlan::<D>::with_variant(&device, shape, variant),
        None => GemmPlan::<D>::new(&device, shape),
    };
    let mut plan = plan.expect("plans");
    plan.run(&stream, &a, &b, MatrixViewMut::new(d.as_view_mut(), m, n).expect("fits")).expect("runs");
    stream.synchronize().expect("ends well");
    let launch = cuda_emulator::last_launch().expect("a launch");
    Counted { shape, variant: plan.variant(), work: plan.work(), launch }
}

/// What must hold whatever the compiler makes of the kernel.
fn check(counted: &Counted) {
    let Counted { shape, work, launch, .. } = counted;
    let what = format!("{}, {shape:?}", launch.kernel);
    let counters = &launch.counters;
    assert_eq!(counters.blocks, u64::from(work.blocks), "{what}");
    assert_eq!(counters.tensor_multiply_adds, work.tensor_multiply_adds, "{what}");
    assert_eq!(counters.tensor_operations.values().sum::<u64>(), work.tensor_operations, "{what}");
    let ratio = counted.bytes_asked() as f64 / work.global_bytes as f64;
    assert!((1.0..=1.02).contains(&ratio), "{what}: asks for {ratio} of the bytes needed");
}

impl Counted {
    /// Bytes that go from and to global memory; of ordinary accesses those that they ask for.
    fn bytes_asked(&self) -> u64 {
        let counters = &self.launch.counters;
        let copies = counters.copies.global_read + counters.copies.global_written;
        counters.global_read.asked + counters.global_written.asked + copies
    }
}

#[test]
fn the_table_is_what_is_counted() {
    let counted: Vec<Counted> = SHAPES.into_iter().map(|shape| count(shape, None)).collect();
    counted.iter().for_each(check);
    let (used, pinned) = (compiler::used(), compiler::pinned());
    if used != pinned {
        println!("docs/counters.md is of nvcc {pinned}, this is {used}: not compared");
        return;
    }
    let table = table::table(&counted, &pinned);
    if std::env::var_os("DEEPKERN_UPDATE_COUNTERS").is_some() {
        fs::write(PATH, &table).expect("docs/ can be written");
    }
    let checked_in = fs::read_to_string(PATH).unwrap_or_default();
    for (line, (is, was)) in (1..).zip(table.lines().zip(checked_in.lines())) {
        assert_eq!(is, was, "docs/counters.md, line {line}, is not what is counted: see `make counters`");
    }
    assert!(table == checked_in, "docs/counters.md is not what is counted: see `make counters`");
}

/// Twice the blocks of k have as many bank conflicts.
#[test]
fn the_main_loop_has_no_bank_conflicts() {
    for variant in GemmVariant::all().filter(|variant| variant.uses_tensor_cores()) {
        let [once, twice] = [1024, 2048].map(|k| count([70, 136, k], Some(variant)).launch.counters);
        let [few, many] = [&once, &twice].map(|counters| counters.shared.least);
        assert!(many > few, "{variant:?} reads no shared memory in its main loop");
        assert_eq!(once.conflicts, twice.conflicts, "{variant:?}");
    }
}

/// Tiles of D of every width go through shared memory without conflicts in bf16. In f32 each store of a warp takes four
/// wavefronts in place of two: half a warp's lanes write 32 bytes of four rows, and meet in half of the banks.
#[test]
fn storing_has_the_known_bank_conflicts() {
    for variant in GemmVariant::hopper() {
        let [bf16, f32] = [count_under::<bf16>, count_under::<f32>].map(|count| {
            let counted = count(0, [140, 264, 128], Some(variant));
            (counted.launch.counters.shared.conflicts(), counted.work.tensor_multiply_adds)
        });
        // 128 of k, and 32 elements of D a wavefront.
        assert_eq!((bf16.0, f32.0), (0, f32.1 / 128 / 32), "{variant}");
    }
}

/// The counts are the schedule's only in so far as polls fail.
#[test]
fn every_schedule_counts_the_same_but_for_polls() {
    let without_polls = |seed| {
        let mut counters = count_under::<bf16>(seed, [130, 300, 1312], None).launch.counters;
        for role in &mut counters.roles {
            (role.failed_polls, role.polling) = Default::default();
        }
        counters
    };
    let first = without_polls(0);
    for seed in 1..=3 {
        assert_eq!(without_polls(seed), first, "seed {seed}");
    }
}
