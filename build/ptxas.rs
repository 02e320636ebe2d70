//! Reads what `ptxas -v` says of each kernel and picks what makes a kernel slow, or never end.
//!
//! Severity is no guide: that `wgmma` was serialised, which costs most of a kernel's speed, is an
//! "info".

use std::fmt;

/// What a kernel must not have.
#[derive(Debug, PartialEq, Eq)]
pub enum Finding {
    /// Registers did not suffice.
    Spill { kernel: String, stores: u32, loads: u32 },
    /// An array with a computed index, or a call's arguments, lies in local memory.
    LocalMemory { kernel: String, bytes: u32 },
    /// It starts with fewer registers than its warps hand to one another: they would wait for ever.
    FewRegisters { kernel: String, registers: u32 },
    /// A message that [`is_costly`] selects, as ptxas words it.
    Message(String),
}

/// Part of the names of the kernels that hand registers from warps to others, and the least that a thread starts with.
/// Their 384 threads then have what is asked for later: 384 * 168 = 128 * 40 + 256 * 232.
const HANDS_OVER: (&str, u32) = ("fp8_gemm_hopper", 168);

impl Finding {
    /// Whether the kernel is of no use: `setmaxnreg`, on which it is built, would wait for ever or is ignored.
    pub fn is_fatal(&self) -> bool {
        match self {
            Finding::FewRegisters { .. } => true,
            Finding::Message(text) => code(text) == Some(SETMAXNREG_IGNORED),
            Finding::Spill { .. } | Finding::LocalMemory { .. } => false,
        }
    }
}

/// All findings in the output of nvcc.
pub fn findings(output: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut kernel = "";
    for line in output.lines() {
        if let Some((_, name)) = line.split_once("Function properties for ") {
            kernel = name.trim();
        } else if let Some([frame, stores, loads]) = frame(line) {
            let kernel = kernel.to_owned();
            if stores > 0 || loads > 0 {
                findings.push(Finding::Spill { kernel, stores, loads });
            } else if frame > 0 {
                findings.push(Finding::LocalMemory { kernel, bytes: frame });
            }
        } else if let Some(registers) = registers(line) {
            let (name, least) = HANDS_OVER;
            if kernel.contains(name) && registers < least {
                findings.push(Finding::FewRegisters { kernel: kernel.to_owned(), registers });
            }
        } else if is_costly(line) {
            findings.push(Finding::Message(line.trim().to_owned()));
        }
    }
    findings
}

/// Bytes of frame, spill stores and spill loads: the line below a function's name.
fn frame(line: &str) -> Option<[u32; 3]> {
    let mut parts = line.trim().split(", ");
    let frame = parts.next()?.strip_suffix(" bytes stack frame")?.parse().ok()?;
    let stores = parts.next()?.strip_suffix(" bytes spill stores")?.parse().ok()?;
    let loads = parts.next()?.strip_suffix(" bytes spill loads")?.parse().ok()?;
    Some([frame, stores, loads])
}

/// Registers of a thread: the line below the frame.
fn registers(line: &str) -> Option<u32> {
    let (_, rest) = line.split_once(": Used ")?;
    rest.split_once(" registers")?.0.parse().ok()
}

const SETMAXNREG_IGNORED: u32 = 7508;

/// `setmaxnreg` ignored; `wgmma` serialised, or waits and fences injected (C7510 to C7519).
fn is_costly(line: &str) -> bool {
    matches!(code(line), Some(SETMAXNREG_IGNORED | 7510..=7519))
}

/// The number of a message.
fn code(line: &str) -> Option<u32> {
    line.split_once("(C").and_then(|(_, rest)| rest.split(')').next()?.parse().ok())
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Spill { kernel, stores, loads } => {
                write!(f, "{kernel} spills registers: {stores} bytes of stores, {loads} of loads")
            }
            Finding::LocalMemory { kernel, bytes } => {
                write!(f, "{kernel} uses {bytes} bytes of local memory")
            }
            Finding::FewRegisters { kernel, registers } => {
                let least = HANDS_OVER.1;
                write!(f, "{kernel} starts with {registers} registers a thread and would wait for ever: ")?;
                write!(f, "its setmaxnreg needs {least}")
            }
            Finding::Message(text) => f.write_str(text),
        }
    }
}
