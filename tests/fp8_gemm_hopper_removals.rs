//! What holds the Hopper GEMM's threads, copies and multiplications in order, taken out of it piece by piece: each
//! time its results must be wrong, or the emulator must find something.
//!
//! The pieces are statements of the source: all instructions in all kernels that come from one call of a wrapper of
//! `ptx/`. So it is the statements that are listed and argued about, however often the compiler unrolls them.

#[path = "common/again.rs"]
mod again;
#[path = "common/device.rs"]
mod device;
#[path = "common/gemm.rs"]
mod gemm;
#[path = "common/planted.rs"]
mod planted;

use std::{collections::BTreeMap, env, fs, path::Path, sync::Mutex, thread};

use cuda_emulator::{
    fatbin,
    mutation::{self, Mutant},
};
use deepkern::fp8::GemmVariant;
use gemm::{Places, Problem, check_bounds};
use half::bf16;
use planted::Place;

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

/// Rows that the copy engine can read: `front` and the stride are multiples of 16 bytes.
const ALIGNED: Places = {
    let codes = Place { front: 16, gap: 0, multiple: 16, after: 0 };
    let scales = Place { front: 4, gap: 0, multiple: 4, after: 0 };
    Places([codes, scales, codes, Place::DENSE, Place::DENSE, Place::DENSE])
};

/// One of each way in which blocks work together.
fn variants() -> impl Iterator<Item = GemmVariant> {
    let capability = device::device().capability();
    let hopper = |width, pair| GemmVariant::Hopper { width, pair };
    let decode = |tokens, split| GemmVariant::Decode { tokens, split };
    let all = [hopper(64, false), hopper(160, true), hopper(256, true), decode(8, 1), decode(32, 3)];
    all.into_iter().filter(move |variant| variant.runs_on(capability))
}

/// What must fail without a statement: tiles on all edges, sums longer than the ring of stages, and more tasks than the
/// device has room for. In several orders of events.
#[test]
fn it_computes() {
    for seed in 0..3 {
        cuda_emulator::set_seed(seed);
        for variant in variants() {
            for (m, n, k) in [(130, 140, 1300), (7, 32, 400)] {
                let problem = Problem::numbered(m, n, k);
                check_bounds(&problem.run::<bf16>(Some(variant), &ALIGNED), &problem.exact(), n);
            }
        }
    }
    for (m, n, k, variant) in [
        (3, 64 * 140, 140, GemmVariant::Hopper { width: 64, pair: false }),
        (3, 128 * 50, 400, GemmVariant::Decode { tokens: 8, split: 3 }),
    ] {
        let problem = Problem::numbered(m, n, k);
        check_bounds(&problem.run::<f32>(Some(variant), &ALIGNED), &problem.exact(), n);
    }
}

#[test]
fn nothing_is_there_for_nothing() {
    if again::is_inside() {
        return;
    }
    let fatbin = fs::read(Path::new(env!("OUT_DIR")).join("fp8").with_extension("fatbin")).expect("a fatbin");
    let images = fatbin::images(&fatbin).expect("a fatbin");
    let ptx = fatbin::select(&images, (9, 0)).and_then(|image| image.ptx()).expect("PTX for Hopper");
    let mut statements: BTreeMap<Statement, Vec<Mutant>> = BTreeMap::new();
    for mutant in mutation::removals(&ptx, |name| {
        KERNELS.iter().any(|kernel| name.starts_with(kernel))
    }).expect("it parses") {
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
    again::run(&[("CUDA_EMULATOR_SUBSTITUTE", ptx.as_os_str())]).is_none_or(|(status, _)| !status.success())
}
