//! Reads what `ptxas -v` says of each kernel and picks what makes a kernel slow without making it wrong.
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
    /// A message that [`is_costly`] selects, as ptxas words it.
    Message(String),
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

/// `setmaxnreg` ignored (C7508); `wgmma` serialised, or waits and fences injected (C7510 to C7519).
fn is_costly(line: &str) -> bool {
    let code = line.split_once("(C").and_then(|(_, rest)| rest.split(')').next()?.parse().ok());
    matches!(code, Some(7508 | 7510..=7519))
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
            Finding::Message(text) => f.write_str(text),
        }
    }
}
