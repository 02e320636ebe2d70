//! How a finding is told: as text for people ([`text`]), and as JSON for programs ([`json`]).

pub mod json;
pub mod text;

use std::fs;
use std::io::{BufRead, BufReader};

use crate::verdict::Place;

impl Place {
    /// The line of the source, if the file that the PTX names is there to be read.
    pub fn source_text(&self) -> Option<String> {
        let (file, line) = self.source.as_ref()?;
        let index = line.checked_sub(1)? as usize;
        let text = BufReader::new(fs::File::open(file).ok()?).lines().nth(index)?.ok()?;
        Some(text.trim_end().to_owned()).filter(|text| !text.is_empty())
    }

    /// Whether an instruction is known: the host's copies and fills have none.
    fn is_known(&self) -> bool {
        self.ptx_line > 0
    }
}

/// The numbers of the lanes in a mask.
fn lanes(mask: u32) -> impl Iterator<Item = u32> {
    (0..32).filter(move |lane| mask >> lane & 1 == 1)
}
