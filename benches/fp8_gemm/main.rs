//! Time of the FP8 GEMM, by CUDA events, and of cuBLASLt's with the same scales on the same operands.
//!
//! On a GPU the rows are those of the published figures; on the emulator, where time says something about the emulator
//! alone, two small ones.
//!
//! - **Data** is what quantising normally distributed numbers gives: constant patterns draw less power and run faster.
//! - **The L2 cache is cold.** Launches go through copies of the operands, together three times the L2 of an H100 or
//!   more, so that each finds the lines of others there. (Not by clearing it between launches: whatever clears it would
//!   have to be timed, or waited for, and engines do neither.)
//! - **Launches are a graph's**, one after the other: at small m the host would not keep up. What the host takes to
//!   launch is a column of its own. The time of a launch is thus from its start to that of the next one, with the gap
//!   between them (about a microsecond), which profilers' figures leave out.
//! - cuBLASLt's result is compared with ours before it is timed. It wants m in multiples of 4, and gets it padded.
//!
//! The table is printed at the end and written to `fp8_gemm.txt` and `fp8_gemm.json` in the folder
//! `DEEPKERN_BENCH_OUT`, or `target/bench`.

#[path = "../../tests/common/device.rs"]
mod device;

mod cublaslt;
mod machine;
mod operands;
mod published;
mod table;
mod timing;

use std::time::Duration;

use criterion::{BenchmarkId, Criterion};
use cuda_emulator::Driver;
use deepkern::{
    Device,
    fp8::{GemmPlan, GemmShape},
};
use half::bf16;

use cublaslt::{CublasLt, Multiplication};
use machine::Machine;
use operands::{Operands, Pool};
use table::Row;
use timing::Launches;

/// n and k of DeepSeek-V3's projections.
const WEIGHTS: [(usize, usize); 6] =
    [(2112, 7168), (24576, 1536), (32768, 512), (7168, 16384), (4096, 7168), (7168, 2048)];
/// Tokens: decode to prefill.
const TOKENS: [usize; 6] = [1, 16, 64, 128, 512, 4096];

/// Bytes of operands that launches go through: three times the L2 of an H100.
const COLD: usize = 150 << 20;

/// Measurements of each.
const SAMPLES: usize = 10;

fn main() {
    let device = device::device();
    let emulated = device::driver() == Driver::Emulator;
    let machine = Machine::measure(&device, emulated).expect("the device copies");
    let shapes: Vec<(usize, usize, usize)> = match emulated {
        true => vec![(16, 128, 512), (64, 128, 512)],
        false => WEIGHTS.iter().flat_map(|&(n, k)| TOKENS.map(|m| (m, n, k))).collect(),
    };
    let pool = Pool::new(shapes.iter().map(|&(m, n, k)| k * m.max(n)).max().unwrap_or(0));
    let peer = match emulated {
        true => Err("the emulator has no time to compare".to_owned()),
        false => CublasLt::new(&device),
    };
    let cold = if emulated { 0 } else { COLD };

    let mut criterion = Criterion::default()
        .sample_size(SAMPLES)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(400))
        // Criterion's own statistics are no part of the table, and need not be exact.
        .nresamples(2_000)
        .without_plots()
        .configure_from_args();
    let mut rows = Vec::new();
    for (m, n, k) in shapes {
        let shape = GemmShape { m, n, k };
        let copies = cold.div_ceil(Operands::bytes(shape)).max(2);
        let ours = || Ours::new(&device, &pool, shape, copies).expect("the GEMM is launched");
        rows.extend(bench(&mut criterion, ours, &peer, &machine, shape));
        // After each, for one that takes too long may be ended.
        table::write(&machine, peer.as_ref().map(CublasLt::version), &rows);
    }
    criterion.final_summary();
    if !rows.is_empty() {
        println!("\n{}", table::text(&machine, peer.as_ref().map(CublasLt::version), &rows));
    }
}

/// Times one shape. Nothing if the command line asks for others only; then nothing is made either.
fn bench(
    criterion: &mut Criterion,
    ours: impl Fn() -> Ours,
    peer: &Result<CublasLt, String>,
    machine: &Machine,
    shape: GemmShape,
) -> Option<Row> {
    let GemmShape { m, n, k } = shape;
    let mut group = criterion.benchmark_group("fp8 gemm");
    let id = |whose| BenchmarkId::new(whose, format!("{m}x{n}x{k}"));
    let mut made = None;
    group.bench_function(id("deepkern"), |bencher| {
        let ours = made.get_or_insert_with(&ours);
        bencher.iter_custom(|iterations| ours.launches.time(iterations));
    });
    let ours = made?;
    // What cannot be timed is a remark in the table.
    let theirs = peer.as_ref().map_err(Clone::clone).and_then(|peer| Theirs::new(peer, &ours.operands));
    let theirs = theirs.map(|mut theirs| {
        group.bench_function(id("cublaslt"), |bencher| {
            bencher.iter_custom(|iterations| theirs.launches.time(iterations));
        });
        (theirs.launches.sample(), theirs.difference)
    });
    let sample = ours.launches.sample();
    Some(Row::new(machine, shape, &ours.plan.variant().to_string(), sample, ours.host, theirs))
}

/// Our GEMM on its operands.
struct Ours {
    operands: Operands,
    plan: GemmPlan<bf16>,
    launches: Launches,
    /// What a launch takes the host, in seconds.
    host: f64,
}

impl Ours {
    fn new(device: &Device, pool: &Pool, shape: GemmShape, copies: usize) -> Result<Self, String> {
        let operands = Operands::new(device, pool, shape, copies).map_err(text)?;
        let mut plan = GemmPlan::new(device, shape).map_err(text)?;
        let stream = operands.stream.clone();
        let mut run = |copy| operands.run(&mut plan, copy).map_err(text);
        run(0)?;
        stream.synchronize().map_err(text)?;
        let host = timing::host(|i| run(i % copies), || stream.synchronize().map_err(text))?;
        let launches = Launches::capture(&stream, copies, run)?;
        Ok(Self { operands, plan, launches, host })
    }
}

/// cuBLASLt's on the same.
struct Theirs {
    launches: Launches,
    /// `||theirs - ours|| / ||ours||`
    difference: f64,
}

/// How far bf16 results of two orders of summation with 13 fraction bits may be apart.
const CLOSE: f64 = 0.01;

impl Theirs {
    fn new(peer: &CublasLt, operands: &Operands) -> Result<Self, String> {
        let multiplication = Multiplication::new(peer, operands)?;
        let ours = operands.result(0).map_err(text)?;
        operands.spoil(0).map_err(text)?;
        multiplication.run(operands, 0)?;
        let theirs = operands.result(0).map_err(text)?;
        let difference = operands::difference(&ours, &theirs);
        if difference.is_nan() || difference >= CLOSE {
            return Err(format!("its result differs from ours by {difference:.2e}: not timed"));
        }
        let launches = Launches::capture(&operands.stream, operands.copies(), |copy| {
            multiplication.run(operands, copy)
        })?;
        Ok(Self { launches, difference })
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
