//! What becomes of a finding: it is kept until somebody takes it, and told at once.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use super::state::State;
use crate::verdict::Finding;

impl State {
    /// Keeps a finding and says it aloud.
    pub fn report(&mut self, finding: Finding) {
        match &self.json {
            Some(path) if path == Path::new("-") => eprintln!("{}", finding.to_json()),
            path => {
                eprintln!("cuda-emulator: {finding}\n");
                if let Some(path) = path
                    && let Err(error) = append(path, &finding.to_json())
                {
                    eprintln!("cuda-emulator: {} cannot be written: {error}", path.display());
                }
            }
        }
        self.findings.push(finding);
    }
}

/// Adds a line to a file, in one piece, since other processes may write to it too.
fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut file = File::options().create(true).append(true).open(path)?;
    file.write_all(format!("{line}\n").as_bytes())
}
