//! The results: a table for people, JSON for programs.

use std::{env, fmt::Write, fs, path::PathBuf};

use deepkern::fp8::GemmShape;
use serde::Serialize;

use crate::{
    machine::{Floor, Machine},
    published,
    timing::Sample,
};

/// One shape. Times are in seconds.
#[derive(Debug, Serialize)]
pub struct Row {
    m: usize,
    n: usize,
    k: usize,
    variant: String,
    ours: Sample,
    /// What a launch takes the host.
    host: f64,
    floor: Option<Floor>,
    cublaslt: Option<Sample>,
    /// `||theirs - ours|| / ||ours||`
    difference: Option<f64>,
    /// Why there is no time of cuBLASLt.
    remark: Option<String>,
    /// TFLOP/s.
    published_deepgemm_h800: Option<f64>,
    published_deepgemm_h100: Option<f64>,
}

impl Row {
    pub fn new(
        machine: &Machine,
        shape: GemmShape,
        variant: &str,
        ours: Sample,
        host: f64,
        cublaslt: Result<(Sample, f64), String>,
    ) -> Self {
        let GemmShape { m, n, k } = shape;
        let [published_deepgemm_h800, published_deepgemm_h100] = published::figures(shape);
        let floor = machine.floor(shape);
        let (cublaslt, difference, remark) = match cublaslt {
            Ok((sample, difference)) => (Some(sample), Some(difference), None),
            Err(remark) => (None, None, Some(remark)),
        };
        let variant = variant.to_owned();
        Self {
            m,
            n,
            k,
            variant,
            ours,
            host,
            floor,
            cublaslt,
            difference,
            remark,
            published_deepgemm_h800,
            published_deepgemm_h100,
        }
    }

    /// cuBLASLt's time over ours.
    fn ratio(&self) -> Option<f64> {
        self.cublaslt.map(|theirs| theirs.median / self.ours.median)
    }

    fn line(&self) -> [String; 13] {
        let micro = |seconds: f64| format!("{:.1}", seconds * 1e6);
        let or_none = |value: Option<String>| value.unwrap_or_else(|| "-".into());
        let spread = |s: Sample| format!("{}..{}", micro(s.least), micro(s.most));
        let operations = 2.0 * (self.m * self.n * self.k) as f64;
        let published = |figure: Option<f64>| or_none(figure.map(|figure| format!("{figure:.0}")));
        [
            format!("{}x{}x{}", self.m, self.n, self.k),
            self.variant.trim_start_matches("fp8_gemm_").to_owned(),
            micro(self.ours.median),
            spread(self.ours),
            format!("{:.0}", operations / self.ours.median * 1e-12),
            or_none(self.floor.map(|floor| format!("{} {}", micro(floor.seconds), floor.bound))),
            or_none(self.floor.map(|floor| format!("{:.0} %", 100.0 * floor.seconds / self.ours.median))),
            micro(self.host),
            or_none(self.cublaslt.map(|theirs| micro(theirs.median))),
            or_none(self.cublaslt.map(spread)),
            or_none(self.ratio().map(|ratio| format!("{ratio:.2}"))),
            published(self.published_deepgemm_h800),
            published(self.published_deepgemm_h100),
        ]
    }
}

const HEADINGS: [&str; 13] = [
    "m x n x k",
    "variant",
    "us",
    "of samples",
    "TFLOP/s",
    "floor us",
    "share",
    "host us",
    "cuBLASLt us",
    "of samples",
    "ratio",
    "[1]",
    "[2]",
];

/// Writes both files, if there is anything to write.
pub fn write(machine: &Machine, cublaslt: Result<usize, &String>, rows: &[Row]) {
    if rows.is_empty() {
        return;
    }
    let folder = env::var_os("DEEPKERN_BENCH_OUT").map_or_else(|| "target/bench".into(), PathBuf::from);
    let json = serde_json::json!({
        "machine": machine,
        "cublaslt": cublaslt.ok(),
        "cublaslt_missing": cublaslt.err(),
        "rows": rows,
    });
    let write = || {
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("fp8_gemm.txt"), text(machine, cublaslt, rows))?;
        fs::write(folder.join("fp8_gemm.json"), format!("{json:#}\n"))
    };
    if let Err(error) = write() {
        eprintln!("not written to {}: {error}", folder.display());
    }
}

/// The table.
pub fn text(machine: &Machine, cublaslt: Result<usize, &String>, rows: &[Row]) -> String {
    let mut text = format!("FP8 GEMM on {}\n", machine.name);
    if machine.emulated {
        text +=
            "The emulator's own time, which says NOTHING about hardware: this proves that the bench runs.\n";
    }
    if let Some(rates) = machine.rates {
        let _ = writeln!(
            text,
            "floor: the larger of bytes / {:.2} TB/s and operations / {:.0} TFLOP/s ({})",
            rates.bytes * 1e-12,
            rates.operations * 1e-12,
            rates.source
        );
    }
    if let Some(copy) = machine.copy {
        let _ = writeln!(
            text,
            "measured: a copy of 1 GiB on the device reads and writes {:.2} TB/s",
            copy * 1e-12
        );
    }
    let _ = match cublaslt {
        Ok(version) => writeln!(
            text,
            "cuBLASLt: version {version}; ratio: its time over ours, so above 1 ours is faster"
        ),
        Err(problem) => writeln!(text, "cuBLASLt: not measured: {problem}"),
    };
    let _ = writeln!(
        text,
        "published, not measured here, TFLOP/s: [1] {}, [2] {}",
        published::H800,
        published::H100
    );
    text +=
        "us: median of 10 samples, operands not in L2, launches of a graph with the gaps between them\n\n";

    let lines: Vec<[String; 13]> =
        std::iter::once(HEADINGS.map(str::to_owned)).chain(rows.iter().map(Row::line)).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].len()).max().unwrap_or(0);
    let widths: [usize; 13] = std::array::from_fn(width);
    for line in &lines {
        let cell = |column: usize| match column {
            0 | 1 => format!("{:<1$}", line[column], widths[column]),
            _ => format!("{:>1$}", line[column], widths[column]),
        };
        let cells: Vec<String> = (0..line.len()).map(cell).collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }

    let ratios: Vec<f64> = rows.iter().filter_map(Row::ratio).collect();
    if !ratios.is_empty() {
        let mean = (ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64).exp();
        let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let _ = writeln!(
            text,
            "\nratio to cuBLASLt over {} of {} shapes: geometric mean {mean:.3}, least {least:.3}",
            ratios.len(),
            rows.len()
        );
    }
    // What all rows have in common is said above.
    for row in rows.iter().filter(|_| cublaslt.is_ok()) {
        if let Some(remark) = &row.remark {
            let _ = writeln!(text, "cuBLASLt at {}x{}x{}: {remark}", row.m, row.n, row.k);
        }
    }
    text
}
