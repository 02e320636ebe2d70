//! What holds the Hopper GEMM's threads, copies and multiplications in order, taken out of it piece by piece: each
//! time its results must be wrong, or the emulator must find something.
//!
//! The pieces are statements of the source: all instructions in all kernels that come from one call of a wrapper of
//! `ptx/`. So it is the statements that are listed and argued about, however often the compiler unrolls them.

#[path = "common/device.rs"]
mod device;

use std::{
    collections::BTreeMap,
    env, fs,
    path::Path,
    process::{Command, Stdio},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use cuda_emulator::{
    fatbin,
    mutation::{self, Mutant},
};
use deepkern::{
    Element, MatrixViewMut,
    fp8::{BLOCK, F8E4M3, Fp8Matrix, Fp8Weight, GemmPlan, GemmShape, GemmVariant, ScaleLayout, Vec128},
    reference::{self, Quantized},
};
use half::bf16;

/// Set in a process of this binary that runs changed kernels.
const INSIDE: &str = "DEEPKERN_TEST_REMOVALS";
/// Kernels that have not ended by then never do.
const LIMIT: Duration = Duration::from_secs(60);

/// The kernels whose names begin so.
const KERNELS: &str = "fp8_gemm_hopper";

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

/// Every kind of them.
fn variants() -> Vec<GemmVariant> {
    let capability = device::device().capability();
    let is_hopper = |variant: &GemmVariant| format!("{variant:?}").starts_with("Hopper");
    GemmVariant::ALL.into_iter().filter(|v| is_hopper(v) && v.runs_on(capability)).collect()
}

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
    (m, n, k): (usize, usize, usize),
    rounding: f64,
) {
    let device = device::device();
    let stream = device.context().default_stream();
    let groups = k.div_ceil(BLOCK);
    let (a, b) = (quantized(1, m * k, m * groups), quantized(2, n * k, n.div_ceil(BLOCK) * groups));
    let codes = |q: &Quantized| q.codes.iter().map(|&code| F8E4M3::from_bits(code)).collect::<Vec<_>>();
    // The layout of the activations' scales: transposed, and padded.
    let (_, padded) = Vec128::scale_shape(m, k);
    let scale = |group: usize, row: usize| if row < m { a.scales[row * groups + group] } else { 0.0 };
    let scales: Vec<f32> =
        (0..groups).flat_map(|group| (0..padded).map(move |row| scale(group, row))).collect();
    let on_device = (
        Fp8Matrix::from_host(&stream, &codes(&a), &scales, m, k).unwrap(),
        Fp8Weight::from_host(&stream, &codes(&b), &b.scales, n, k).unwrap(),
    );
    let mut d = stream.clone_htod(&vec![D::default(); m * n]).unwrap();
    let mut plan = GemmPlan::<D>::with_variant(&device, GemmShape { m, n, k }, variant).unwrap();
    let view = MatrixViewMut::new(d.as_view_mut(), m, n).unwrap();
    plan.run(&stream, &on_device.0, &on_device.1, view).unwrap();
    let d = stream.clone_dtoh(&d).unwrap();
    for (i, (d, exact)) in d.into_iter().zip(reference::gemm(&a, &b, None, m, n, k)).enumerate() {
        let (d, bound): (f64, f64) = (d.into(), 2e-6 * exact.magnitude + rounding * exact.value.abs());
        let away = (d - exact.value).abs();
        assert!(away <= bound, "{variant:?}: D[{}, {}] is {d:e}; exactly {exact:?}", i / n, i % n);
    }
}

/// What must fail without a statement: every kind of variant, tiles on all edges, sums longer than the ring of stages;
/// and more tiles than the device has multiprocessors. In several orders of events.
#[test]
fn it_computes() {
    for seed in 0..3 {
        cuda_emulator::set_seed(seed);
        for variant in variants() {
            check::<f32>(variant, (130, 144, 1200), 0.0);
            check::<bf16>(variant, (7, 32, 400), 1.0 / 256.0);
        }
        if let Some(narrowest) = variants().last() {
            check::<f32>(*narrowest, (3, 2208, 144), 0.0);
        }
    }
}

#[test]
fn nothing_is_there_for_nothing() {
    if env::var_os(INSIDE).is_some() {
        return;
    }
    let fatbin = fs::read(Path::new(env!("OUT_DIR")).join("fp8").with_extension("fatbin")).expect("a fatbin");
    let images = fatbin::images(&fatbin).expect("a fatbin");
    let ptx = fatbin::select(&images, (9, 0)).and_then(|image| image.ptx()).expect("PTX for Hopper");
    let mut statements: BTreeMap<Statement, Vec<Mutant>> = BTreeMap::new();
    for mutant in mutation::removals(&ptx, |name| name.starts_with(KERNELS)).expect("it parses") {
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

    let folder = env::temp_dir().join(format!("deepkern-removals-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder for the programs");
    let original = folder.join("original.ptx");
    fs::write(&original, &ptx).expect("room for a program");
    assert!(!fails(&original), "the tests fail on the kernels as they are");

    let queue = Mutex::new(statements.iter().enumerate());
    let surprises = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((number, (statement, mutants))) = { queue.lock().unwrap().next() } {
                    let path = folder.join(format!("{number}.ptx"));
                    fs::write(&path, without(&ptx, mutants)).expect("room for a program");
                    let caught = fails(&path);
                    let known = statement.survives();
                    let says = match (caught, known) {
                        (true, None) => "caught".to_owned(),
                        (false, Some(known)) => format!("survives, {}", known.because),
                        (true, Some(_)) => "CAUGHT, but said to survive".to_owned(),
                        (false, None) => "SURVIVES".to_owned(),
                    };
                    println!("{statement}: {says}");
                    if caught == known.is_some() {
                        surprises.lock().unwrap().push(format!("{statement}: {says}"));
                    }
                    let _ = fs::remove_file(path);
                }
            });
        }
    });
    let _ = fs::remove_dir_all(&folder);
    let surprises = surprises.into_inner().unwrap();
    assert!(surprises.is_empty(), "\n{}", surprises.join("\n"));
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
        let is_wrapper =
            |(file, _): &&(String, u32)| file.contains("/ptx/") || file.contains("/include/crt/");
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
        let file = fs::read_to_string(&self.file).unwrap_or_default();
        file.lines().nth(self.line.saturating_sub(1) as usize).unwrap_or_default().trim().to_owned()
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
    let mut child = Command::new(env::current_exe().expect("this binary"))
        .env(INSIDE, "1")
        .env("DEEPKERN_DEVICE", "emulator")
        .env("CUDA_EMULATOR_SUBSTITUTE", ptx)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("this binary runs");
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child") {
            return !status.success();
        }
        if started.elapsed() > LIMIT {
            let _ = child.kill();
            let _ = child.wait();
            return true;
        }
        thread::sleep(Duration::from_millis(10));
    }
}
