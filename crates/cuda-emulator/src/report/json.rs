//! A finding as a program reads it: one object, in one line.
//!
//! | key | value |
//! | --- | --- |
//! | `kind` | the kind's name: [`Verdict::kind`](crate::verdict::Verdict::kind), which stays as it is |
//! | `message` | the finding in one line |
//! | `help` | the most likely fix, or `null` |
//! | `place` | the instruction, which the message calls (1) if there are two; `null` where the host's own access fails |
//! | `other` | the second of two instructions, which the message calls (2); or `null` |
//! | `stands` | where threads stand that wait: `block`, `warp`, `lanes`, `file`, `line`, `ptx_line`, `waits_for` |
//! | `facts` | what else is known, by names of the kind's own: `address`, `size`, ... |
//! | `text` | the report as people read it |
//!
//! A place has `kernel`; `file`, `line` and `source`, the text of that line (each `null` if not known); `ptx_line` and
//! `ptx`; and `block`, `warp` and `lanes`, the numbers of those concerned. Of a copy or fill in a stream the `kernel` says
//! that, and all else is `null`. Keys may be added; none will change its meaning.

use serde::Serialize;
use serde_json::{Map, Value};

use super::lanes;
use crate::verdict::{Finding, Place, Stand, Verdict};

#[derive(Serialize)]
struct Report<'a> {
    kind: &'static str,
    message: String,
    help: Option<&'static str>,
    place: Option<Spot<'a>>,
    other: Option<Spot<'a>>,
    stands: Vec<Waiting<'a>>,
    facts: Map<String, Value>,
    text: String,
}

#[derive(Serialize)]
struct Spot<'a> {
    kernel: &'a str,
    file: Option<&'a str>,
    line: Option<u32>,
    source: Option<String>,
    ptx_line: Option<u32>,
    ptx: Option<&'a str>,
    block: Option<[u32; 3]>,
    warp: Option<u32>,
    lanes: Option<Vec<u32>>,
}

#[derive(Serialize)]
struct Waiting<'a> {
    block: [u32; 3],
    warp: u32,
    lanes: Vec<u32>,
    file: Option<&'a str>,
    line: Option<u32>,
    ptx_line: u32,
    waits_for: &'a str,
}

fn file_and_line(source: &Option<(String, u32)>) -> (Option<&str>, Option<u32>) {
    source.as_ref().map(|(file, line)| (file.as_str(), *line)).unzip()
}

/// Nothing where even the kernel is unknown.
fn spot(place: &Place) -> Option<Spot<'_>> {
    let (file, line) = file_and_line(&place.source);
    let known = place.is_known();
    let spot = Spot {
        kernel: &place.kernel,
        file,
        line,
        source: place.source_text(),
        ptx_line: known.then_some(place.ptx_line),
        ptx: known.then_some(&place.ptx),
        block: known.then_some(place.block),
        warp: known.then_some(place.warp),
        lanes: known.then(|| lanes(place.lanes).collect()),
    };
    (known || !place.kernel.is_empty()).then_some(spot)
}

fn waiting(stand: &Stand) -> Waiting<'_> {
    let (file, line) = file_and_line(&stand.source);
    Waiting {
        block: stand.block,
        warp: stand.warp,
        lanes: lanes(stand.lanes).collect(),
        file,
        line,
        ptx_line: stand.ptx_line,
        waits_for: &stand.waits_for,
    }
}

/// The fields of the verdict that are not places, which have keys of their own.
fn facts(verdict: &Verdict) -> Map<String, Value> {
    let Ok(Value::Object(variant)) = serde_json::to_value(verdict) else { return Map::new() };
    let Some((_, Value::Object(mut fields))) = variant.into_iter().next() else { return Map::new() };
    fields.retain(|name, _| !["pending", "written", "other", "stands"].contains(&name.as_str()));
    fields
}

impl Finding {
    /// The finding as an object of JSON, in one line without its end.
    pub fn to_json(&self) -> String {
        let report = Report {
            kind: self.verdict.kind(),
            message: self.verdict.to_string(),
            help: self.verdict.help(),
            place: spot(&self.place),
            other: self.verdict.other().and_then(spot),
            stands: self.verdict.stands().iter().map(waiting).collect(),
            facts: facts(&self.verdict),
            text: self.to_string(),
        };
        // Strings, numbers and maps with names for keys: there is nothing that JSON could not say.
        serde_json::to_string(&report).unwrap_or_default()
    }
}
