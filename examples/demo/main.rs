//! FP8 projections of a small but real DeepSeek-V3 on the device, against float64 and golden values.
//!
//! ```text
//! cargo run --release --example demo
//! ```
//!
//! For three prompts, the projections of all three layers whose input follows from the golden values: attention from
//! the golden output of the layer before, the feed-forward block from the golden output of attention, with the golden
//! choice of experts. Before each projection the device quantises its input; norms, rotary embedding, softmax and
//! SwiGLU are the host's, in f64.
//!
//! What is checked, and what each check notices:
//!
//! | check | against | bound | notices |
//! | --- | --- | --- | --- |
//! | codes and scales of each input | `deepkern::reference::quantize` | the same bits | the quantise kernel |
//! | rounding of each GEMM | f64 product of the same codes and scales | 2e-6 of the sum of magnitudes, each element; on tensor cores, which keep 13 fraction bits, 136/8192 | the GEMM kernel, weights that reached the device otherwise than they are in the checkpoint |
//! | each GEMM against the simple kernel | the same product on CUDA cores | the sum of both bounds | one of them, whatever the reference says |
//! | quantisation error of each GEMM | f64 product of the input before quantisation | 0.030 | quantisation that is right but useless |
//! | multiply-adds of each GEMM, as the emulator counts them | what the tiling needs | the same number | work left out or done twice |
//! | f64 against golden, each part | another implementation's float32 | 1e-5 | the checkpoint: doubling any one scale of it has an effect of 7e-4 or more |
//! | device against golden, each part | another implementation's float32 | 1.3 times the error that FP8 is expected to make | all of it together |
//!
//! Beside each GEMM stand operations of the tensor cores, as counted and as its tiling needs, the least time that an
//! H100's arithmetic and memory allow, and the share of that speed: on a GPU the one that it has; on the emulator the most
//! that the counted multiply-adds, bytes and blocks would let it have.
//!
//! That doubling a scale fails the demo, wherever it is done, is tested in `tests/scales.rs`.
//!
//! Exit status: 0 if all checks passed, 1 if not, 2 if the demo could not run.

mod checked;
mod checkpoint;
mod demo;
mod engine;
mod exact;
mod golden;
mod host;
mod layer;
mod matrix;
mod report;
mod roofline;
mod tensors;
#[cfg(test)]
mod tests;

use std::{env, error::Error, path::PathBuf, process::ExitCode};

use clap::Parser;
use deepkern::Device;
use indicatif::{ProgressBar, ProgressStyle};

use crate::{checkpoint::Checkpoint, engine::Engine, golden::Golden, report::Report};

/// FP8 projections of a small but real DeepSeek-V3, against golden values.
///
/// Uses the GPU where there is one and the emulator otherwise; DEEPKERN_DEVICE=cuda|emulator decides.
#[derive(Parser)]
#[command(name = "demo", version)]
struct Options {
    /// The folder of the checkpoint and its golden values
    #[arg(long, value_name = "FOLDER", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/data/devil-v3"))]
    model: PathBuf,
    /// Leave out the tables
    #[arg(long, short)]
    quiet: bool,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::from(2)
        }
    }
}

/// Runs the demo. Whether all checks passed.
fn run(options: &Options) -> Result<bool, Box<dyn Error>> {
    println!("{}", cuda_emulator::choose(env::var("DEEPKERN_DEVICE").ok().as_deref())?);
    let device = Device::new(0)?;

    let model = Checkpoint::read(&options.model)?;
    let golden = Golden::read(&options.model, &model.config)?;
    let mut engine = Engine::new(&device, &model.weights(), golden.max_rows())?;

    let progress = ProgressBar::new(demo::count_gemms(&model, &golden) as u64)
        .with_style(ProgressStyle::with_template("{bar:40} {pos}/{len} GEMMs {elapsed}")?);
    let mut report = Report::new(progress.clone());
    let outcome = demo::run(&mut engine, &model, &golden, &mut report);
    progress.finish_and_clear();
    outcome?;
    // A real driver finds nothing, and the emulator much that would go unnoticed there.
    report.check("findings of the emulator".into(), cuda_emulator::findings().len() as f64, 0.0);

    if !options.quiet {
        println!("{report}");
    }
    for failure in report.failures() {
        println!("{failure}");
    }
    let (passed, all) = report.score();
    println!("demo: {passed} of {all} checks passed");
    Ok(passed == all)
}
