//! Changes by statement of the source: what a person would have got wrong once,
//! the compiler unrolls and repeats for each instance of a template.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs;

use super::{Change, Mutant, with_lines};

/// One change of one statement of the source, in all kernels at once.
#[derive(Debug, Clone)]
pub struct Edit {
    /// The source file; empty where the PTX names none.
    pub file: String,
    /// Line of it, from 1; of the PTX where there is no file.
    pub line: u32,
    /// What stands there; where the file cannot be read, the PTX.
    pub text: String,
    /// What stands in the line below.
    pub next: String,
    /// The instruction in the PTX, up to its operands; empty for all of the statement's.
    pub instruction: String,
    /// What is changed.
    pub change: Change,
    /// And how, in a few words.
    pub how: &'static str,
    /// The lines of PTX that change.
    pub mutants: Vec<Mutant>,
}

impl Edit {
    /// The PTX with this change.
    pub fn apply(&self, ptx: &str) -> String {
        with_lines(ptx, &self.mutants.iter().map(|mutant| (mutant.line, mutant.after.as_str())).collect())
    }

    /// The instruction and what becomes of it: `bar.sync removed`.
    pub fn what(&self) -> String {
        let instruction = if self.instruction.is_empty() { "all of it" } else { &self.instruction };
        format!("{instruction} {}", self.how)
    }
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.file.as_str() {
            "" => write!(f, "PTX line {}: `{}`: {}", self.line, self.text, self.what()),
            file => write!(f, "{file}:{}: `{}`: {}", self.line, self.text, self.what()),
        }
    }
}

/// The changes, those of one statement together, in the order of the source. What a wrapper does, its caller does:
/// files for whose name `is_wrapper` holds are passed over. A statement of several instructions, such as a barrier's two
/// halves, is removed as a whole too.
pub fn edits(mutants: Vec<Mutant>, is_wrapper: impl Fn(&str) -> bool) -> Vec<Edit> {
    let mut lines = HashMap::new();
    let mut all = BTreeMap::<_, Vec<Mutant>>::new();
    for mutant in mutants {
        let place = mutant.source.iter().find(|(file, _)| !is_wrapper(file)).or(mutant.source.first());
        let (file, line) = place.cloned().unwrap_or((String::new(), mutant.line));
        let instruction = opcode(&mutant.before);
        all.entry((file, line, instruction, mutant.change, mutant.how)).or_default().push(mutant);
    }
    let wholes = wholes(&all);
    let edits = all.into_iter().chain(wholes);
    let mut edits: Vec<_> = edits
        .map(|((file, line, instruction, change, how), mutants)| {
            let [mut text, next] = [line, line + 1].map(|line| line_of(&mut lines, &file, line));
            if text.is_empty() {
                text = mutants[0].before.clone();
            }
            Edit { file, line, text, next, instruction, change, how, mutants }
        })
        .collect();
    edits.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    edits
}

/// File, line, instruction, and what becomes of it.
type Key = (String, u32, String, Change, &'static str);

/// Statements of several instructions that are removed, without all of them.
fn wholes(all: &BTreeMap<Key, Vec<Mutant>>) -> Vec<(Key, Vec<Mutant>)> {
    let mut statements = BTreeMap::<(&str, u32), Vec<&Key>>::new();
    for key @ (file, line, _, change, how) in all.keys() {
        // An instruction that loses a part of what it does is there still.
        if *change == Change::Removal && *how != "nothing expected" && !file.is_empty() {
            statements.entry((file, *line)).or_default().push(key);
        }
    }
    let several = statements.into_iter().filter(|(_, keys)| keys.len() > 1);
    several
        .map(|((file, line), keys)| {
            let mutants = keys.into_iter().flat_map(|key| all[key].iter().cloned()).collect();
            ((file.to_owned(), line, String::new(), Change::Removal, "removed"), mutants)
        })
        .collect()
}

fn opcode(line: &str) -> String {
    let word = line.split_whitespace().find(|word| !word.starts_with('@')).unwrap_or_default();
    word.trim_end_matches(';').to_owned()
}

/// What stands in a line of a file.
fn line_of(files: &mut HashMap<String, Vec<String>>, file: &str, line: u32) -> String {
    let lines = files.entry(file.to_owned()).or_insert_with(|| {
        fs::read_to_string(file).unwrap_or_default().lines().map(|line| line.trim().to_owned()).collect()
    });
    lines.get(line.saturating_sub(1) as usize).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::{Change, orderings};
    use super::edits;

    const PTX: &str = ".version 8.7
.target sm_90a
.address_size 64
.file 1 \"k.cu\"
.file 2 \"ptx/barrier.cuh\"
.visible .entry k() {
.loc 2 3 5, function_name f, inlined_at 1 7 0
barrier.cluster.arrive.relaxed.aligned;
barrier.cluster.wait.acquire.aligned;
.loc 1 9 0
bar.sync 0;
bar.sync 0;
ret;
}
.visible .entry k2() {
.loc 1 9 0
bar.sync 0;
fence.proxy.async;
.loc 2 3 5
bar.sync 0;
ret;
}
";

    #[test]
    fn changes_of_one_statement_are_one() {
        let all = edits(orderings(PTX, |_| true).unwrap(), |file| file.starts_with("ptx/"));
        let listed: Vec<_> = all
            .iter()
            .map(|edit| {
                let lines: Vec<_> = edit.mutants.iter().map(|mutant| mutant.line).collect();
                (edit.file.as_str(), edit.line, edit.what(), lines)
            })
            .collect();
        let expected = [
            ("k.cu", 7, "barrier.cluster.arrive.relaxed.aligned removed", vec![8]),
            ("k.cu", 7, "barrier.cluster.wait.acquire.aligned removed", vec![9]),
            ("k.cu", 7, "all of it removed", vec![8, 9]),
            ("k.cu", 9, "bar.sync removed", vec![11, 12, 17]),
            ("k.cu", 9, "fence.proxy.async removed", vec![18]),
            ("k.cu", 9, "all of it removed", vec![11, 12, 17, 18]),
            ("ptx/barrier.cuh", 3, "bar.sync removed", vec![20]),
        ];
        assert_eq!(listed, expected.map(|(file, line, what, lines)| (file, line, what.to_owned(), lines)));
        let changed = all[3].apply(PTX);
        let removed: Vec<_> = (1u32..).zip(changed.lines()).filter(|(_, line)| line.is_empty()).collect();
        assert_eq!(removed, [(11, ""), (12, ""), (17, "")]);
        assert!(all.iter().all(|edit| edit.change == Change::Removal));
    }
}
