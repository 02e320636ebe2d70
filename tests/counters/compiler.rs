//! Which compiler made the kernels, and what it says of them.

use std::fs;
use std::path::Path;

/// A file that the build script wrote.
fn built(name: &str) -> String {
    let path = Path::new(env!("OUT_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The version of the nvcc that compiled the kernels, such as `13.0.88`.
pub fn used() -> String {
    let fingerprint = built("fp8.fingerprint");
    let version = fingerprint.split_once(", V").and_then(|(_, rest)| rest.split_whitespace().next());
    version.expect("nvcc says its version").to_owned()
}

/// The version that scripts/toolchain.sh installs.
pub fn pinned() -> String {
    let script = include_str!("../../scripts/toolchain.sh");
    let version =
        script.split_once("nvidia-cuda-nvcc==").and_then(|(_, rest)| rest.split_whitespace().next());
    version.expect("toolchain.sh names a version").to_owned()
}

/// What ptxas gave a kernel.
#[derive(Debug)]
pub struct Resources {
    /// Registers of a thread.
    pub registers: u32,
    /// Bytes of local memory that are written or read for want of registers.
    pub spills: u32,
}

impl Resources {
    /// Of a kernel by its name.
    pub fn of(kernel: &str) -> Self {
        let report = built("fp8.ptxas");
        let start = report.find(&format!("Compiling entry function '{kernel}'")).expect("a kernel");
        // Its paragraph ends where the next one starts.
        let paragraph = report[start..].lines().skip(1).take_while(|line| !line.contains("Compiling"));
        let words: Vec<&str> = paragraph.flat_map(str::split_whitespace).collect();
        // "4 bytes spill stores", "Used 168 registers"
        let before = |what: &[&str], back: usize| {
            let at = words.windows(what.len()).position(|words| words == what).expect("ptxas -v");
            words[at - back].parse::<u32>().expect("a number")
        };
        let spills = before(&["spill", "stores,"], 2) + before(&["spill", "loads"], 2);
        Self { registers: before(&["registers,"], 1), spills }
    }
}
