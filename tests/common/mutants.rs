//! Mutants of the kernels' PTX, each of which must make a test of this binary fail.
//!
//! The binary runs itself once a mutant, with `CUDA_EMULATOR_SUBSTITUTE`. In `make test` a few are drawn by a seed
//! that is printed; `DEEPKERN_MUTANTS=all` (or a number) and `DEEPKERN_MUTANTS_SEED` say otherwise.

use std::{collections::HashSet, env, fs, path::Path, sync::Mutex, thread};

use cuda_emulator::{
    code::Program,
    fatbin,
    mutation::{self, Mutant},
};

use crate::again;

/// Mutants that compute the same, with the reason.
pub struct Equivalent {
    /// The end of a source file's name, and what stands in the line there (anything, if empty): of the mutant's place
    /// itself or of one that it was inlined at.
    pub source: (&'static str, &'static str),
    /// Parts of the PTX line, and of what it becomes.
    pub change: (&'static str, &'static str),
    /// Why no test can tell. Printed with each.
    pub because: &'static str,
}

impl Equivalent {
    fn is(&self, mutant: &Mutant) -> bool {
        let (file, words) = self.source;
        let here = mutant.source.iter().any(|(path, line)| {
            let stands = || {
                let text = fs::read_to_string(path).unwrap_or_default();
                (*line as usize)
                    .checked_sub(1)
                    .and_then(|n| text.lines().nth(n))
                    .is_some_and(|t| t.contains(words))
            };
            path.ends_with(file) && (words.is_empty() || stands())
        });
        here && mutant.before.contains(self.change.0) && mutant.after.contains(self.change.1)
    }
}

/// Draws `count` mutants of the family's kernels whose names begin with one of `kernels`, and demands that this binary's tests
/// fail on each that is not in `equivalent`.
pub fn check(family: &str, kernels: &[&str], count: usize, equivalent: &[Equivalent]) {
    if again::is_inside() {
        return;
    }
    let fatbin =
        fs::read(Path::new(env!("OUT_DIR")).join(family).with_extension("fatbin")).expect("a fatbin");
    let images = fatbin::images(&fatbin).expect("a fatbin");
    let ptx = fatbin::select(&images, (9, 0)).and_then(|image| image.ptx()).expect("PTX for Hopper");
    let seed: u64 = setting("DEEPKERN_MUTANTS_SEED").unwrap_or(1);
    let all = mutation::mutants(&ptx, |name| kernels.iter().any(|k| name.starts_with(k))).expect("it parses");
    let drawn = match env::var("DEEPKERN_MUTANTS").as_deref() {
        Ok("all") => one_a_place(&all),
        _ => draw(all, setting("DEEPKERN_MUTANTS").unwrap_or(count), seed),
    };
    let reason = |m: &Mutant| equivalent.iter().find(|e| e.is(m)).map(|e| e.because);
    let (known, drawn): (Vec<_>, Vec<_>) = drawn.into_iter().partition(|m| reason(m).is_some());
    println!("mutants: seed {seed}, {} of {kernels:?}, and {} that are equivalent", drawn.len(), known.len());
    for mutant in &known {
        println!("the same {mutant}: {}", reason(mutant).unwrap_or_default());
    }

    let folder = env::temp_dir().join(format!("deepkern-mutants-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder for the mutants");
    let original = folder.join("original.ptx");
    fs::write(&original, &ptx).expect("room for the mutants");
    assert!(!fails(&original), "the tests fail on the kernels as they are");

    let queue = Mutex::new(drawn.iter().enumerate());
    let survivors = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((number, mutant)) = { queue.lock().unwrap().next() } {
                    let text = mutant.apply(&ptx);
                    // One that is no program would fail for that alone.
                    Program::load(&text, &mut |_| 0).unwrap_or_else(|error| panic!("{mutant}\n{error}"));
                    let path = folder.join(format!("{number}.ptx"));
                    fs::write(&path, text).expect("room for the mutants");
                    let caught = fails(&path);
                    println!("{} {mutant}", if caught { "caught  " } else { "SURVIVES" });
                    if !caught {
                        survivors.lock().unwrap().push(mutant.to_string());
                    }
                    let _ = fs::remove_file(path);
                }
            });
        }
    });
    let _ = fs::remove_dir_all(&folder);
    let survivors = survivors.into_inner().unwrap();
    println!("mutants: {} of {} caught", drawn.len() - survivors.len(), drawn.len());
    assert!(survivors.is_empty(), "no test notices:\n{}", survivors.join("\n"));
}

fn setting<T: std::str::FromStr>(name: &str) -> Option<T> {
    env::var(name).ok()?.parse().ok()
}

/// `count` of them, without repetition.
fn draw(mut all: Vec<Mutant>, count: usize, seed: u64) -> Vec<Mutant> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    (0..count.min(all.len())).map(|_| all.swap_remove(next() % all.len())).collect()
}

/// One of those that differ in nothing but register names: loops are unrolled, templates instantiated.
fn one_a_place(all: &[Mutant]) -> Vec<Mutant> {
    let plain = |text: &str| text.split(|c: char| c.is_ascii_digit()).collect::<String>();
    let mut seen = HashSet::new();
    let fresh = |m: &&Mutant| seen.insert((m.source.clone(), m.change, plain(&m.before), plain(&m.after)));
    all.iter().filter(fresh).cloned().collect()
}

/// Whether a test of this binary fails, or does not end, when the kernels are those of `ptx`.
fn fails(ptx: &Path) -> bool {
    again::run(&[("CUDA_EMULATOR_SUBSTITUTE", ptx.as_os_str())]).is_none_or(|(status, _)| !status.success())
}
