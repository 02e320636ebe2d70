//! Mutants: a program with one thing changed, to see whether its tests notice.
//!
//! A test suite that passes on a mutant says nothing about what was changed
//! there. [`mutants`] lists every change of its kinds in the kernels of a PTX
//! text, [`orderings`] all that keeps threads and asynchronous operations in
//! order, removed or weakened; [`Mutant::apply`] makes one, an [`Edit`] all that
//! belong to one statement of the source. `CUDA_EMULATOR_SUBSTITUTE` has a
//! program run it in place of its own, which is what a [`Trial`] does. A mutant
//! that no test can notice because it computes the same is called equivalent.
//! Those that exchange registers known to be equal (`values`) are left out; the
//! others are for a person to argue: [`Equivalent`] is what such a list says.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

mod edit;
mod equivalent;
mod line;
mod orderings;
mod survey;
mod trial;
mod values;

pub use edit::{Edit, edits};
pub use equivalent::{Equivalent, ListError};
pub use orderings::orderings;
pub use survey::{Family, Score, SurveyError, Tried, survey, untrue};
pub use trial::{Outcome, Trial, TrialError};

use crate::ptx::ast::{Function, Instruction, Module, Operand, Statement};
use crate::ptx::{self, ParseError};
use line::Line;
use values::{Values, registers, writes_first};

/// What is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Change {
    /// A register that is read: another instead, the one of its kind that was written last before.
    Operand,
    /// A number: 1 more; an address by one element; a float twice itself, 0 becoming 1.
    Constant,
    /// A guard or a comparison: negated, or its edge moved.
    Predicate,
    /// A barrier or fence (in [`orderings`], anything that orders): removed.
    Removal,
    /// A wait: for less, or for another phase; a barrier that is arrived at and not waited for.
    Wait,
    /// What an operation orders: less, or nothing.
    Semantics,
    /// The threads for whom it is ordered: fewer.
    Scope,
    /// The arrivals, threads or bytes that are counted: some fewer, or some more.
    Count,
    /// What makes a program quicker and changes nothing else: removed. No test need notice.
    Hint,
}

/// One change of one line.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mutant {
    /// The kernel, or the function that one calls.
    pub kernel: String,
    /// Line of the PTX text, from 1.
    pub line: u32,
    /// File and line of the source, and of each place that it was inlined at, as far as the PTX names them.
    pub source: Vec<(String, u32)>,
    /// What is changed.
    pub change: Change,
    /// And how, in a few words.
    pub how: &'static str,
    /// The line as it is.
    pub before: String,
    /// What it becomes.
    pub after: String,
}

impl Mutant {
    /// The text with this change.
    pub fn apply(&self, ptx: &str) -> String {
        with_lines(ptx, &BTreeMap::from([(self.line, self.after.as_str())]))
    }
}

/// The text with other lines, by their numbers.
fn with_lines(ptx: &str, changed: &BTreeMap<u32, &str>) -> String {
    let lines = ptx.lines().zip(1u32..).map(|(line, number)| changed.get(&number).copied().unwrap_or(line));
    lines.flat_map(|line| [line, "\n"]).collect()
}

impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, line {}", self.kernel, self.line)?;
        for (file, line) in &self.source {
            write!(f, " < {file}:{line}")?;
        }
        let after = if self.after.is_empty() { "(removed)" } else { &self.after };
        write!(f, ", {:?} ({}): {} -> {after}", self.change, self.how, self.before)
    }
}

/// Every mutant of the kernels for whose name `of` holds and of the functions that they call, in the order of the text.
///
/// # Errors
/// What the parser says of the text.
pub fn mutants(ptx: &str, of: impl Fn(&str) -> bool) -> Result<Vec<Mutant>, ParseError> {
    walk(ptx, of, |walk, i, line| walk.changes(i, line))
}

/// What `each` lists, instruction by instruction.
fn walk(
    ptx: &str,
    of: impl Fn(&str) -> bool,
    each: for<'a> fn(&mut Walk<'a>, &'a Instruction, &Line<'a>),
) -> Result<Vec<Mutant>, ParseError> {
    let module = ptx::parse(ptx)?;
    let lines: Vec<&str> = ptx.lines().collect();
    let files: HashMap<u32, &str> = module.files.iter().map(|(n, path)| (*n, path.as_str())).collect();
    let mut all = Vec::new();
    for function in reached(&module, of) {
        let body = function.body.as_deref().unwrap_or_default();
        let mut walk = Walk {
            function,
            lines: &lines,
            files: &files,
            has_clusters: architecture(&module.target).is_some_and(|number| number >= 90),
            source: Vec::new(),
            inlined: HashMap::new(),
            values: Values::of(body),
            written: HashMap::new(),
            each,
            all: &mut all,
        };
        walk.statements(body);
    }
    Ok(all)
}

/// The kernels for whose name `of` holds, and the functions that they call by name, in the order of the text.
fn reached(module: &Module, of: impl Fn(&str) -> bool) -> impl Iterator<Item = &Function> {
    let kernels = module.functions.iter().filter(|f| f.is_entry && of(&f.name));
    let mut names: HashSet<&str> = kernels.map(|kernel| kernel.name.as_str()).collect();
    loop {
        let before = names.len();
        for function in &module.functions {
            if names.contains(function.name.as_str()) {
                called(function.body.as_deref().unwrap_or_default(), &mut names);
            }
        }
        if names.len() == before {
            return module.functions.iter().filter(move |function| names.contains(function.name.as_str()));
        }
    }
}

/// What calls name: functions, and registers, whose names no function has.
fn called<'a>(body: &'a [Statement], names: &mut HashSet<&'a str>) {
    for statement in body {
        match statement {
            Statement::Instruction(i) if i.opcode == "call" => {
                names.extend(i.operands.iter().filter_map(|operand| match operand {
                    Operand::Name { name, .. } => Some(name.as_str()),
                    _ => None,
                }));
            }
            Statement::CallTargets { functions, .. } => names.extend(functions.iter().map(String::as_str)),
            Statement::Block(inner) => called(inner, names),
            _ => {}
        }
    }
}

/// One pass over a function.
struct Walk<'a> {
    function: &'a Function,
    lines: &'a [&'a str],
    files: &'a HashMap<u32, &'a str>,
    /// Is the target one whose blocks form clusters?
    has_clusters: bool,
    source: Vec<(String, u32)>,
    /// Where the code of a line was inlined at, when last seen.
    inlined: HashMap<(u32, u32), (u32, u32)>,
    values: Values<'a>,
    /// The register written last, by the letters of its name.
    written: HashMap<&'a str, &'a str>,
    /// What is done with an instruction that stands alone on its line.
    each: fn(&mut Walk<'a>, &'a Instruction, &Line<'a>),
    all: &'a mut Vec<Mutant>,
}

impl<'a> Walk<'a> {
    fn statements(&mut self, body: &'a [Statement]) {
        for statement in body {
            match statement {
                Statement::Loc { file, line, inlined_at, .. } => self.location((*file, *line), *inlined_at),
                Statement::Instruction(i) => self.instruction(i),
                Statement::Label(_) => self.values.label(),
                Statement::Block(inner) => self.statements(inner),
                _ => {}
            }
        }
    }

    fn location(&mut self, place: (u32, u32), inlined_at: Option<(u32, u32)>) {
        match inlined_at {
            Some(caller) => self.inlined.insert(place, caller),
            None => self.inlined.remove(&place),
        };
        self.source.clear();
        let mut next = Some(place);
        // No chain of calls is longer than this one, unless it goes round.
        while let Some((file, line)) = next.filter(|_| self.source.len() < 32) {
            let path = self.files.get(&file).map_or("?", |path| path.trim_start_matches("/proc/self/cwd/"));
            self.source.push((path.to_owned(), line));
            next = self.inlined.get(&(file, line)).copied();
        }
    }

    fn instruction(&mut self, i: &'a Instruction) {
        let Some(text) = self.lines.get(i.line as usize - 1).map(|t| t.trim()) else { return };
        // An instruction that shares its line with others is left alone.
        if let Some(line) = Line::of(text) {
            (self.each)(self, i, &line);
        }
        self.values.instruction(i);
        if writes_first(i) {
            for name in i.operands.first().map(registers).unwrap_or_default() {
                self.written.insert(letters(name), name);
            }
        }
    }

    fn changes(&mut self, i: &'a Instruction, line: &Line<'a>) {
        self.barrier(i, line);
        self.predicate(i, line);
        for (n, operand) in line.operands.iter().enumerate() {
            self.constant(i, line, n, operand);
            if n > 0 || !writes_first(i) {
                self.operand(i, line, n, operand);
            }
        }
    }

    fn push(&mut self, i: &Instruction, change: Change, how: &'static str, line: &Line<'_>, after: String) {
        self.all.push(Mutant {
            kernel: self.function.name.clone(),
            line: i.line,
            source: self.source.clone(),
            change,
            how,
            before: line.text.to_owned(),
            after,
        });
    }

    fn barrier(&mut self, i: &Instruction, line: &Line<'_>) {
        // A reduction over a barrier has a result that something reads.
        let is_reduction = i.modifiers.iter().any(|m| m == "red");
        if matches!(i.opcode.as_str(), "bar" | "barrier" | "membar" | "fence") && !is_reduction {
            self.push(i, Change::Removal, "removed", line, String::new());
        }
    }

    fn predicate(&mut self, i: &Instruction, line: &Line<'_>) {
        if let Some(guard) = line.guard {
            let negated = match guard.strip_prefix("@!") {
                Some(register) => format!("@{register}"),
                None => guard.replacen('@', "@!", 1),
            };
            self.push(i, Change::Predicate, "negated", line, line.text.replacen(guard, &negated, 1));
        }
        let edges = [("lt", "le"), ("le", "lt"), ("gt", "ge"), ("ge", "gt"), ("eq", "ne"), ("ne", "eq")];
        if i.opcode == "setp"
            && let Some(word) = i.modifiers.first()
            && let Some((_, other)) = edges.iter().find(|(from, _)| from == word)
        {
            let (from, to) = (format!("setp.{word}."), format!("setp.{other}."));
            self.push(i, Change::Predicate, "its edge moved", line, line.text.replacen(&from, &to, 1));
        }
    }

    fn constant(&mut self, i: &Instruction, line: &Line<'_>, n: usize, operand: &str) {
        let changed = if let Some(inside) = operand.strip_prefix('[').and_then(|o| o.strip_suffix(']')) {
            // `[a+4+4]` is no syntax: the offset is taken off and put on.
            let (base, offset) = match inside.rsplit_once('+') {
                Some((base, offset)) => (base, integer(offset)),
                None => (inside, Some(0)),
            };
            match (offset, base.contains([',', '{'])) {
                (Some(offset), false) => Some(format!("[{base}+{}]", offset + element_bytes(i))),
                _ => None,
            }
        } else if let Some(bits) =
            operand.strip_prefix("0f").and_then(|hex| u32::from_str_radix(hex, 16).ok())
        {
            let value = f32::from_bits(bits);
            Some(format!("0f{:08X}", if value == 0.0 { 1.0f32 } else { 2.0 * value }.to_bits()))
        } else {
            integer(operand).map(|value| value.wrapping_add(1).to_string())
        };
        if let Some(changed) = changed.filter(|c| c != operand) {
            self.push(i, Change::Constant, "another number", line, line.with(n, &changed));
        }
    }

    fn operand(&mut self, i: &Instruction, line: &Line<'_>, n: usize, operand: &str) {
        let register = operand.trim_start_matches(['[', '!']).split(['+', ']']).next().unwrap_or_default();
        let is_numbered = register.starts_with('%') && register.ends_with(|c: char| c.is_ascii_digit());
        if is_numbered
            && let Some(other) = self.written.get(letters(register))
            && *other != register
            && !self.values.are_equal(register, other)
        {
            self.push(
                i,
                Change::Operand,
                "another register",
                line,
                line.with(n, &operand.replacen(register, other, 1)),
            );
        }
    }
}

/// 90 of `sm_90a`.
fn architecture(target: &str) -> Option<u32> {
    target.strip_prefix("sm_")?.trim_end_matches(char::is_alphabetic).parse().ok()
}

/// `%rd` of `%rd12`: registers whose names share it are of one type.
fn letters(register: &str) -> &str {
    register.trim_end_matches(|c: char| c.is_ascii_digit())
}

fn integer(text: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok().map(|v| v as i64),
        None => text.parse().ok(),
    }
}

/// Bytes of what a load or store moves.
fn element_bytes(i: &Instruction) -> i64 {
    let bits = i.modifiers.last().map(|m| m.trim_start_matches(|c: char| !c.is_ascii_digit()));
    let bytes = bits.and_then(|b| b.parse::<i64>().ok()).map_or(4, |bits| bits / 8);
    let count = i.modifiers.iter().find_map(|m| m.strip_prefix('v')?.parse::<i64>().ok());
    bytes.max(1) * count.unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::{Change, mutants, orderings};

    const PTX: &str = "
.version 8.0
.target sm_90a
.address_size 64
.file 1 \"/proc/self/cwd/k.cu\"
.file 2 \"h.cuh\"
.visible .entry k(.param .u64 p)
{
.reg .pred %p<2>;
.reg .b32 %r<4>;
.reg .b64 %rd<3>;
.loc 1 7 0
ld.param.u64 %rd1, [p];
mov.u32 %r1, %tid.x;
setp.lt.u32 %p1, %r1, 5;
@!%p1 bra DONE;
add.u32 %r2, %r1, 0x10;
bar.sync 0;
.loc 1 9 0
.loc 2 3 5, function_name f, inlined_at 1 9 0
st.global.u32 [%rd1+8], %r1;
DONE:
ret;
}
.visible .entry other() { ret; }
";

    #[test]
    fn every_kind_of_change_is_listed_and_made() {
        let all = mutants(PTX, |name| name == "k").unwrap();
        let listed: Vec<_> = all.iter().map(|m| (m.change, m.after.as_str())).collect();
        use Change::*;
        assert_eq!(
            listed,
            [
                (Constant, "ld.param.u64 %rd1, [p+8];"),
                (Predicate, "setp.le.u32 %p1, %r1, 5;"),
                (Constant, "setp.lt.u32 %p1, %r1, 6;"),
                (Predicate, "@%p1 bra DONE;"),
                (Constant, "add.u32 %r2, %r1, 17;"),
                (Removal, ""),
                (Constant, "bar.sync 1;"),
                (Constant, "st.global.u32 [%rd1+12], %r1;"),
                (Operand, "st.global.u32 [%rd1+8], %r2;"),
            ]
        );
        assert_eq!(all[0].source, [("k.cu".to_owned(), 7)]);
        assert_eq!(all[8].source, [("h.cuh".to_owned(), 3), ("k.cu".to_owned(), 9)]);
        for mutant in &all {
            let text = mutant.apply(PTX);
            assert_eq!(text.lines().count(), PTX.lines().count());
            let changed: Vec<_> = text.lines().zip(PTX.lines()).filter(|(a, b)| a != b).collect();
            assert_eq!(changed, [(mutant.after.as_str(), mutant.before.as_str())]);
        }
    }

    #[test]
    fn functions_that_are_called_belong_to_a_kernel() {
        let ptx = ".version 8.0
.target sm_90a
.address_size 64
.func inner() {
bar.sync 0;
ret; }
.func outer() {
call inner;
bar.sync 1;
ret; }
.func unused() {
bar.sync 2;
ret; }
.visible .entry k() {
call outer;
bar.sync 3;
ret; }
.visible .entry other() {
bar.sync 4;
ret; }
";
        let all = orderings(ptx, |name| name == "k").unwrap();
        let listed: Vec<_> = all.iter().map(|m| (m.kernel.as_str(), m.before.as_str())).collect();
        assert_eq!(listed, [("inner", "bar.sync 0;"), ("outer", "bar.sync 1;"), ("k", "bar.sync 3;")]);
    }
}
