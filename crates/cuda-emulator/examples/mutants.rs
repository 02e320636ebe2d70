//! Does a kernel's test notice when something that orders its threads is missing, or weaker?
//!
//! Removes and weakens, one at a time, whatever keeps threads and asynchronous operations of the kernels in order, and
//! runs a program that tests them each time:
//!
//! ```text
//! mutants --family my_gemm --family my_sort --equivalents list.txt -- ./test {family}
//! ```
//!
//! The program must run on the emulator, and fail where a result is wrong. The last line is the score.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use cuda_emulator::fatbin;
use cuda_emulator::mutation::{Equivalent, Family, Score, Trial, survey, untrue};

#[derive(Parser)]
#[command(about = "Removes and weakens what orders a kernel's threads, and asks whether its test notices")]
struct Arguments {
    /// Kernels whose names begin so come from the same source: a change of a statement is made in all of them
    #[arg(long = "family", required = true)]
    families: Vec<String>,
    /// PTX, or a fatbin, that has the kernels; without, what the program loads
    #[arg(long)]
    ptx: Option<PathBuf>,
    /// Changes that make no difference, each with its reason
    #[arg(long)]
    equivalents: Option<PathBuf>,
    /// Source files with this in their name hold wrappers of instructions: what stands there is its caller's
    #[arg(long = "wrapper", default_values = ["/ptx/", "nvidia/", "/cuda/", "/cute/", "/cutlass/"])]
    wrappers: Vec<String>,
    /// How many orders of blocks and warps the program is run in each time
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// A run that has not ended after so many seconds never does
    #[arg(long, default_value_t = 120)]
    limit: u64,
    /// Try only changes in whose description this stands
    #[arg(long)]
    only: Option<String>,
    /// The score, in percent, below which this fails
    #[arg(long, default_value_t = 100.0)]
    least: f64,
    /// The percentage of equivalent changes above which this fails
    #[arg(long, default_value_t = 5.0)]
    most_equivalent: f64,
    /// The program that tests the kernels; `{family}` in an argument stands for the family
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("mutants: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool, String> {
    let list = arguments.equivalents.as_deref();
    let equivalents = list.map(|path| Equivalent::list(&read(path)?).map_err(|e| at(path, e))).transpose()?;
    let equivalents = equivalents.unwrap_or_default();
    let mut families =
        arguments.families.iter().map(|name| family(arguments, name)).collect::<Result<Vec<_>, _>>()?;
    let mut untruths = untrue(&families, &equivalents, &[]);
    if let Some(words) = &arguments.only {
        families.iter_mut().for_each(|family| family.edits.retain(|edit| edit.to_string().contains(words)));
    }
    let tried =
        survey(&families, &equivalents, |one| println!("{one}")).map_err(|error| error.to_string())?;
    untruths.extend(untrue(&families, &[], &tried));
    untruths.iter().for_each(|untruth| println!("{untruth}"));

    let score = Score::of(&tried);
    let share = 100.0 * score.equivalent as f64 / (score.all + score.equivalent).max(1) as f64;
    println!("and {} equivalent ones, {share:.1} % of all; {} hints", score.equivalent, score.hints);
    println!("{score}");
    let few_equivalents = share <= arguments.most_equivalent;
    Ok(score.percent() >= arguments.least && few_equivalents && untruths.is_empty())
}

/// The kernels of one family, and how they are tested.
fn family(arguments: &Arguments, name: &str) -> Result<Family, String> {
    let command = arguments.command.iter().map(|argument| match argument.to_str() {
        Some(text) => text.replace("{family}", name).into(),
        None => argument.clone(),
    });
    let trial = Trial {
        command: command.collect(),
        environment: Vec::new(),
        seeds: arguments.seeds,
        limit: Duration::from_secs(arguments.limit),
    };
    let modules = match &arguments.ptx {
        Some(path) => vec![ptx(path)?],
        None => trial.modules().map_err(|error| error.to_string())?,
    };
    let is_wrapper = |file: &str| arguments.wrappers.iter().any(|part| file.contains(part));
    for module in modules {
        let family = Family::new(name, &module, trial.clone(), is_wrapper);
        let family = family.map_err(|error| format!("{name}: {error}"))?;
        if !family.edits.is_empty() {
            return Ok(family);
        }
    }
    Err(format!("{name}: no such kernel, or nothing in it that orders anything"))
}

/// The PTX in a file, as a Hopper GPU would get it.
fn ptx(path: &Path) -> Result<String, String> {
    let bytes = fs::read(path).map_err(|error| at(path, error))?;
    let images = fatbin::images(&bytes).map_err(|error| at(path, error))?;
    fatbin::select(&images, (9, 0)).and_then(|image| image.ptx()).map_err(|error| at(path, error))
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| at(path, error))
}

fn at(path: &Path, error: impl std::fmt::Display) -> String {
    format!("{}: {error}", path.display())
}
