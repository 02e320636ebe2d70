//! What holds the Hopper GEMM's threads, copies and multiplications in order, taken out of it piece by piece: each
//! time its results must be wrong, or the emulator must find something.
//!
//! The pieces are statements of the source: all instructions in all kernels that come from one call of a wrapper of
//! `ptx/`. So it is the statements that are listed and argued about, however often the compiler unrolls them.

#[path = "common/again.rs"]
mod again;
#[path = "common/dense.rs"]
mod dense;
#[path = "common/device.rs"]
mod device;

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use cuda_emulator::{
    fatbin,
    mutation::{self, Change, Mutant},
};
use deepkern::{
    Element,
    fp8::{BLOCK, GemmShape, GemmVariant},
    reference::{self, Quantized},
};
use half::bf16;

/// The kernels: their names begin so.
const KERNELS: [&str; 2] = ["fp8_gemm_hopper", "fp8_gemm_decode"];

/// A statement without which nothing changes that could be seen: what stands in its line, and the instruction.
struct Survivor {
    words: &'static str,
    instruction: &'static str,
    /// Why nobody can tell. Printed with each.
    because: &'static str,
}

const SURVIVORS: &[Survivor] = &[Survivor {
    words: "__syncwarp",
    instruction: "bar.warp.sync",
    because: "the emulator runs the lanes of a warp together, and takes what one did as before what the next does",
}];

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

/// What must fail without a statement: one of each way in which blocks work together, tiles on all edges, sums longer
/// than the ring of stages; and more tasks than the device has room for. In several orders of events.
#[test]
fn it_computes() {
    let hopper = |width, pair| GemmVariant::Hopper { width, pair };
    let decode = |tokens, split| GemmVariant::Decode { tokens, split };
    let capability = device::device().capability();
    if !hopper(64, false).runs_on(capability) {
        return;
    }
    for seed in 0..3 {
        cuda_emulator::set_seed(seed);
        for variant in [hopper(64, false), hopper(160, true), hopper(256, true), decode(32, 6)] {
            check::<f32>(variant, 130, 144, 1200, 0.0);
            check::<bf16>(variant, 7, 320, 400, 1.0 / 256.0);
        }
        check::<f32>(decode(8, 1), 9, 144, 2064, 0.0);
        check::<bf16>(decode(8, 1), 7, 32, 400, 1.0 / 256.0);
    }
    check::<f32>(hopper(16, true), 130, 40, 1360, 0.0);
    check::<f32>(hopper(64, false), 3, 64 * 140, 144, 0.0);
    check::<f32>(decode(8, 3), 3, 128 * 50, 400, 0.0);
}

fn is_ours(kernel: &str) -> bool {
    KERNELS.iter().any(|name| kernel.starts_with(name))
}

#[test]
fn nothing_is_there_for_nothing() {
    if again::is_inside() {
        return;
    }
    let ptx = ptx();
    let mut statements: BTreeMap<Statement, Vec<Mutant>> = BTreeMap::new();
    for mutant in mutation::removals(&ptx, is_ours).expect("it parses") {
        let statement = Statement::of(&mutant);
        // One that is several instructions, such as a barrier's two halves, is removed as a whole too.
        statements.entry(statement.whole()).or_default().push(mutant.clone());
        statements.entry(statement).or_default().push(mutant);
    }
    let parts = statements.keys().filter(|s| !s.is_whole()).map(Statement::whole);
    let mut counts = BTreeMap::<Statement, usize>::new();
    parts.for_each(|whole| *counts.entry(whole).or_default() += 1);
    statements.retain(|statement, _| !statement.is_whole() || counts[statement] > 1);
    // A kernel without any of these would be another one.
    for class in
        ["mbarrier.try_wait", "mbarrier.arrive", "wgmma.fence", "wgmma.commit_group", "wgmma.wait_group"]
    {
        assert!(statements.keys().any(|s| s.instruction.starts_with(class)), "there is no {class}");
    }

    let programs =
        statements.iter().map(|(statement, mutants)| (statement.to_string(), without(&ptx, mutants)));
    let survived = survivors(&ptx, programs.collect());
    let mut surprises = Vec::new();
    for statement in statements.keys() {
        let name = statement.to_string();
        match (survived.contains(&name), statement.survives()) {
            (true, Some(known)) => println!("{name} survives: {}", known.because),
            (true, None) => surprises.push(format!("{name} survives")),
            (false, Some(_)) => surprises.push(format!("{name} is said to survive, and does not")),
            (false, None) => {}
        }
    }
    assert!(surprises.is_empty(), "\n{}", surprises.join("\n"));
}

/// What a sum is made of: scaled products of every block of k, the last one too, each column with its own scale of B.
#[test]
fn nothing_is_summed_for_nothing() {
    if again::is_inside() {
        return;
    }
    let ptx = ptx();
    let mutants = mutation::mutants(&ptx, is_ours).expect("it parses");
    let mut programs = Vec::new();
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
        // (A number that is one off may compute the same: k rounded up too far adds zeros.)
        let here = |mutant: &&Mutant| {
            mutant.kernel == kernel
                && mutant.change != Change::Constant
                && mutant.source.iter().any(|(file, line)| line_of(file, *line).contains(words))
        };
        let mut seen = Vec::new();
        let first = mutants.iter().filter(here).filter(|mutant| {
            let fresh = !seen.contains(&mutant.change);
            seen.push(mutant.change);
            fresh
        });
        let before = programs.len();
        programs.extend(first.map(|mutant| (mutant.to_string(), mutant.apply(&ptx))));
        assert!(programs.len() > before, "there is no `{words}` in {kernel}");
    }
    let survived = survivors(&ptx, programs);
    assert!(survived.is_empty(), "nobody notices:\n{}", survived.join("\n"));
}

/// The PTX that a Hopper GPU gets.
fn ptx() -> String {
    let fatbin = fs::read(Path::new(env!("OUT_DIR")).join("fp8").with_extension("fatbin")).expect("a fatbin");
    let images = fatbin::images(&fatbin).expect("a fatbin");
    fatbin::select(&images, (9, 0)).and_then(|image| image.ptx()).expect("PTX for Hopper")
}

/// Those of these programs, named, on which the other tests of this binary pass.
fn survivors(original: &str, programs: Vec<(String, String)>) -> Vec<String> {
    let folder = fresh_folder();
    let path = folder.join("original.ptx");
    fs::write(&path, original).expect("room for a program");
    assert!(!fails(&path), "the tests fail on the kernels as they are");

    let queue = Mutex::new(programs.iter().enumerate());
    let survivors = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((number, (name, text))) = { queue.lock().unwrap().next() } {
                    let path = folder.join(format!("{number}.ptx"));
                    fs::write(&path, text).expect("room for a program");
                    let caught = fails(&path);
                    println!("{} {name}", if caught { "caught  " } else { "survives" });
                    if !caught {
                        survivors.lock().unwrap().push(name.clone());
                    }
                    let _ = fs::remove_file(path);
                }
            });
        }
    });
    let _ = fs::remove_dir_all(&folder);
    survivors.into_inner().unwrap()
}

/// A folder that no other test uses.
fn fresh_folder() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = env::temp_dir().join(format!("deepkern-removals-{}-{number}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder for the programs");
    folder
}

fn line_of(file: &str, line: u32) -> String {
    let file = fs::read_to_string(file).unwrap_or_default();
    file.lines().nth(line.saturating_sub(1) as usize).unwrap_or_default().trim().to_owned()
}

/// A statement of the source.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Statement {
    file: String,
    line: u32,
    /// What it is in the PTX, up to the operands.
    instruction: String,
}

impl Statement {
    fn of(mutant: &Mutant) -> Self {
        // What a wrapper does, its caller does.
        let is_wrapper = |(file, _): &&(String, u32)| file.contains("/ptx/") || file.contains("nvidia/");
        let place = mutant.source.iter().find(|place| !is_wrapper(place)).or(mutant.source.first());
        let (file, line) = place.cloned().unwrap_or_default();
        let opcode =
            |text: &str| text.split_whitespace().find(|word| !word.starts_with('@')).map(str::to_owned);
        let instruction = opcode(&mutant.before).unwrap_or_default().trim_end_matches(';').to_owned();
        Self { file, line, instruction }
    }

    /// All instructions of its line.
    fn whole(&self) -> Self {
        Self { file: self.file.clone(), line: self.line, instruction: String::new() }
    }

    fn is_whole(&self) -> bool {
        self.instruction.is_empty()
    }

    fn text(&self) -> String {
        line_of(&self.file, self.line)
    }

    fn survives(&self) -> Option<&'static Survivor> {
        let text = self.text();
        SURVIVORS.iter().find(|s| text.contains(s.words) && self.instruction.starts_with(s.instruction))
    }
}

impl std::fmt::Display for Statement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let instruction = if self.is_whole() { "all of it" } else { &self.instruction };
        write!(f, "{}:{}: `{}` ({instruction})", self.file, self.line, self.text())
    }
}

/// The program without the instructions of a statement.
fn without(ptx: &str, mutants: &[Mutant]) -> String {
    let changed: BTreeMap<u32, &str> = mutants.iter().map(|m| (m.line, m.after.as_str())).collect();
    let lines = ptx.lines().zip(1u32..).map(|(line, number)| changed.get(&number).copied().unwrap_or(line));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Whether the other tests of this binary fail, or do not end, when the kernels are those of `ptx`.
fn fails(ptx: &Path) -> bool {
    again::run(&[("CUDA_EMULATOR_SUBSTITUTE", ptx.as_os_str())]).is_none_or(|(status, _)| !status.success())
}
