//! What was computed and checked, as tables.

use std::fmt;

use indicatif::ProgressBar;

use crate::roofline;

/// One GEMM `[m, n] = [m, k] [n, k]^T`.
pub struct GemmRow {
    pub name: String,
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub kernel: String,
    /// Operations of the tensor cores that the tiling needs.
    pub needed: u64,
    /// What the emulator counted.
    pub counted: Option<Counted>,
    /// The largest `|D - D64| / S`, against the exact product of the same codes and scales.
    pub rounding: f64,
    /// `||D - truth|| / ||truth||`, against the exact product of the input before it was quantised.
    pub quantisation: f64,
    pub seconds: f64,
}

/// What a launch did, as the emulator counted it.
pub struct Counted {
    /// Operations of the tensor cores, and multiply-adds in them.
    pub operations: u64,
    pub multiply_adds: u64,
    /// Bytes from and to global memory.
    pub bytes: u64,
    pub blocks: u64,
}

/// The output of a part of a layer, against the golden one: `||ours - golden|| / ||golden||`.
pub struct OutputRow {
    pub name: String,
    /// Computed on the host in f64, without quantising activations.
    pub exact: f64,
    /// With the projections computed on the device.
    pub device: f64,
    pub bound: f64,
}

/// A number that must not exceed a bound. NaN fails.
struct Check {
    name: String,
    value: f64,
    bound: f64,
}

impl Check {
    fn passed(&self) -> bool {
        self.value <= self.bound
    }
}

pub struct Report {
    gemms: Vec<GemmRow>,
    outputs: Vec<OutputRow>,
    checks: Vec<Check>,
    progress: ProgressBar,
}

impl Report {
    /// A report whose progress bar moves with every GEMM.
    pub fn new(progress: ProgressBar) -> Self {
        Self { gemms: Vec::new(), outputs: Vec::new(), checks: Vec::new(), progress }
    }

    pub fn check(&mut self, name: String, value: f64, bound: f64) {
        self.checks.push(Check { name, value, bound });
    }

    pub fn gemm(&mut self, row: GemmRow) {
        self.gemms.push(row);
        self.progress.inc(1);
    }

    pub fn output(&mut self, row: OutputRow) {
        self.outputs.push(row);
    }

    /// How many checks passed, and how many there were.
    pub fn score(&self) -> (usize, usize) {
        (self.checks.iter().filter(|check| check.passed()).count(), self.checks.len())
    }

    /// The checks that failed, a line each.
    pub fn failures(&self) -> impl Iterator<Item = String> {
        let failed = self.checks.iter().filter(|check| !check.passed());
        failed.map(|Check { name, value, bound }| format!("FAILED {name}: {value:.3e}, at most {bound:.3e}"))
    }
}

/// Two tables: the GEMMs, and the outputs of the layers.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.gemms.iter().map(|row| row.name.len());
        let width = names.chain(self.outputs.iter().map(|row| row.name.len())).max().unwrap_or(0);
        let kernels = self.gemms.iter().map(|row| row.kernel.len()).max().unwrap_or(0);

        writeln!(
            f,
            "{:width$} {:>4} {:>5} {:>5}  {:kernels$} {:>11} {:>9} {:>9} {:>10} {:>9} {:>12} {:>9}",
            "GEMM",
            "m",
            "n",
            "k",
            "kernel",
            "wgmma",
            "rounding",
            "error",
            "time",
            "MAC/s",
            "H100 at best",
            "share"
        )?;
        for GemmRow { name, m, n, k, kernel, needed, counted, rounding, quantisation, seconds } in &self.gemms
        {
            let rate = (m * n * k) as f64 / seconds;
            let floor = roofline::floor(*m, *n, *k);
            // The emulator's time says nothing about the kernel. What it counted does: at full speed that takes longer.
            let (counted, share) = match counted {
                Some(counted) => {
                    let most =
                        floor / roofline::of_launch(counted.multiply_adds, counted.bytes, counted.blocks);
                    (counted.operations.to_string(), format!("<={:.1} %", 100.0 * most))
                }
                None => ("-".to_owned(), format!("{:.1} %", 100.0 * floor / seconds)),
            };
            writeln!(
                f,
                "{name:width$} {m:4} {n:5} {k:5}  {kernel:kernels$} {:>11} {rounding:9.1e} {quantisation:9.4} {:>10} {:>9} \
                 {:>12} {share:>9}",
                format!("{counted}/{needed}"),
                duration(*seconds),
                format!("{:.2} G", rate / 1e9),
                format!("{:.2} us", 1e6 * floor),
            )?;
        }
        writeln!(f)?;
        writeln!(f, "{:width$} {:>9} {:>9} {:>9}", "output against golden", "f64", "device", "bound")?;
        for OutputRow { name, exact, device, bound } in &self.outputs {
            writeln!(f, "{name:width$} {exact:9.1e} {device:9.4} {bound:9.4}")?;
        }
        Ok(())
    }
}

fn duration(seconds: f64) -> String {
    if seconds < 1e-3 { format!("{:.1} us", seconds * 1e6) } else { format!("{:.1} ms", seconds * 1e3) }
}
