//! The PTX parser on whole modules: what nvcc writes, what people write, and
//! what nobody should. How the files came to be is said in the `.cu` beside them.

use cuda_emulator::ptx::ast::{Function, Instruction, Module, Operand, Statement};
use cuda_emulator::ptx::parse;
use proptest::prelude::*;

const MODULES: [(&str, &str); 4] = [
    ("tour.ptx", include_str!("data/ptx/tour.ptx")),
    ("tour_100.ptx", include_str!("data/ptx/tour_100.ptx")),
    ("debug.ptx", include_str!("data/ptx/debug.ptx")),
    ("handwritten.ptx", include_str!("data/ptx/handwritten.ptx")),
];

fn module(name: &str) -> Module {
    let (_, text) = MODULES.iter().find(|(known, _)| *known == name).unwrap();
    parse(text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn function<'a>(module: &'a Module, name: &str) -> &'a Function {
    // A function that was declared first stands twice.
    module.functions.iter().find(|f| f.name == name && f.body.is_some()).unwrap()
}

/// All instructions of a body, blocks included.
fn instructions(statements: &[Statement]) -> Vec<&Instruction> {
    let each = statements.iter().map(|statement| match statement {
        Statement::Instruction(instruction) => vec![instruction],
        Statement::Block(inner) => instructions(inner),
        _ => vec![],
    });
    each.flatten().collect()
}

fn all_instructions(module: &Module) -> Vec<&Instruction> {
    module.functions.iter().filter_map(|f| f.body.as_deref()).flat_map(instructions).collect()
}

/// An operand as PTX, without blanks.
fn show(operand: &Operand) -> String {
    let address = |base: &Option<String>, offset: i64| match (base, offset) {
        (Some(base), 0) => base.clone(),
        (Some(base), offset) => format!("{base}+{offset}"),
        (None, offset) => offset.to_string(),
    };
    let all = |operands: &[Operand]| operands.iter().map(show).collect::<Vec<_>>().join(",");
    match operand {
        Operand::Name { name, offset } => address(&Some(name.clone()), *offset),
        Operand::Not(name) => format!("!{name}"),
        Operand::Integer(value) => value.to_string(),
        Operand::Float32(bits) => format!("0f{bits:08X}"),
        Operand::Float64(bits) => format!("0d{bits:016X}"),
        Operand::Memory { base, offset } => format!("[{}]", address(base, *offset)),
        Operand::MemoryList { base, offset, rest } => {
            format!("[{},{}]", address(base, *offset), all(rest))
        }
        Operand::Vector(operands) => format!("{{{}}}", all(operands)),
        Operand::Pair(a, b) => format!("{}|{}", show(a), show(b)),
        Operand::Sink => "_".to_owned(),
        Operand::List(operands) => format!("({})", all(operands)),
    }
}

/// What nvcc wrote is what the tree says: every instruction, printed again,
/// stands in the text at its line.
#[test]
fn instructions_of_nvcc_survive_a_round_trip() {
    for (name, text) in &MODULES[..3] {
        let module = module(name);
        let instructions = all_instructions(&module);
        for instruction in &instructions {
            let mut printed = String::new();
            if let Some(guard) = &instruction.guard {
                printed += if guard.negated { "@!" } else { "@" };
                printed += &guard.register;
            }
            printed += &instruction.opcode;
            for modifier in &instruction.modifiers {
                printed += ".";
                printed += modifier;
            }
            printed += &instruction.operands.iter().map(show).collect::<Vec<_>>().join(",");
            printed += ";";
            let written: String = text
                .lines()
                .skip(instruction.line as usize - 1)
                .flat_map(str::chars)
                .filter(|c| !c.is_whitespace())
                .take(printed.len() + 16)
                .collect();
            let written = written.replace("+0]", "]").trim_start_matches('{').to_owned();
            assert!(written.starts_with(&printed), "{name}:{}: {printed}", instruction.line);
        }
        // None is left out: in a body, each `;` that ends no declaration ends an instruction.
        let code = text.split(".section").next().unwrap();
        let ends = code.lines().filter(|line| {
            let line = line.trim_start();
            line.ends_with(';') && line != ";" && !line.starts_with('.') && !line.contains(": .callprototype")
        });
        assert_eq!(ends.count(), instructions.len(), "{name}");
    }
}

#[test]
fn what_nvcc_writes_around_instructions() {
    let module = module("tour.ptx");
    assert_eq!((module.version, module.target.as_str()), ((9, 0), "sm_90a"));
    assert_eq!(module.files[0], (1, "tour.cu".to_owned()));
    let variable = |name: &str| module.variables.iter().find(|v| v.name == name).unwrap();
    assert_eq!((variable("table").init.len(), &variable("table").dims[..]), (33, &[48][..]));
    assert_eq!((variable("odd").init.len(), variable("odd").align), (9, 1));
    assert!(variable("more").is_extern);

    let vprintf = module.functions.iter().find(|f| f.name == "vprintf").unwrap();
    assert!(vprintf.body.is_none() && vprintf.returns.len() == 1);
    let transpose = function(&module, "transpose");
    assert_eq!((transpose.max_threads, transpose.min_blocks), (Some([128, 1, 1]), Some(2)));
    assert_eq!(transpose.cluster, Some([2, 1, 1]));
    let hopper = function(&module, "hopper");
    assert_eq!((&hopper.params[0].dims[..], hopper.params[0].align), (&[128][..], 64));

    let copy = all_instructions(&module);
    let copy = copy.iter().find(|i| i.modifiers.contains(&"bulk".to_owned())).unwrap();
    assert!(matches!(&copy.operands[1], Operand::MemoryList { rest, .. } if rest.len() == 1));
}

#[test]
fn what_people_write() {
    let module = module("handwritten.ptx");
    let quad = &module.variables[0];
    assert_eq!((quad.vector, quad.align, quad.init.len()), (4, 16, 8));
    assert_eq!(module.variables[1].dims, [2, 3]);
    let tables = function(&module, "tables");
    assert_eq!((tables.required_threads, tables.max_registers), (Some([32, 1, 1]), Some(64)));
    let body = tables.body.as_deref().unwrap();
    let targets = body.iter().find_map(|statement| match statement {
        Statement::BranchTargets { name, labels } => Some((name.as_str(), labels.len())),
        _ => None,
    });
    assert_eq!(targets, Some(("CASES", 4)));
    let shown: Vec<String> = instructions(body).iter().flat_map(|i| i.operands.iter().map(show)).collect();
    for operand in ["p|q", "!q", "pair.x", "63", "{%r4,_,%r5,_}", "[%rd1+-16]", "[%rd1+8]", "10"] {
        assert!(shown.iter().any(|found| found == operand), "{operand}");
    }
}

/// Whatever the text: a tree, or an error that points into it.
fn check(text: &str) {
    if let Err(error) = parse(text) {
        let line = text.split('\n').nth(error.line as usize - 1);
        let line = line.unwrap_or_else(|| panic!("no line {}: {error}", error.line));
        assert!(line.starts_with(&error.text), "{line:?}: {error}");
        assert!(error.column as usize <= line.chars().count() + 1, "{error}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        check(&String::from_utf8_lossy(&bytes));
    }

    /// Pieces of PTX in any order.
    #[test]
    fn arbitrary_tokens(picks in prop::collection::vec(0..PIECES.len(), 0..120)) {
        let pieces: Vec<&str> = picks.iter().map(|&pick| PIECES[pick]).collect();
        check(&format!(".version 9.0\n.target sm_90a\n{}", pieces.join(" ")));
        check(&format!(".version 9.0\n.target sm_90a\n.entry k() {{\n{}", pieces.join("")));
    }

    /// Valid modules with pieces cut out, doubled, moved and replaced.
    #[test]
    fn mutations(
        which in 0..MODULES.len(),
        edits in prop::collection::vec((0..4u8, any::<prop::sample::Index>(), 0..40usize, 0..PIECES.len()), 1..6),
    ) {
        let mut text: Vec<char> = MODULES[which].1.chars().collect();
        for (kind, at, length, piece) in edits {
            let at = at.index(text.len());
            let end = (at + length).min(text.len());
            let cut: Vec<char> = match kind {
                0 => vec![],
                1 => PIECES[piece].chars().collect(),
                2 => text[at..end].iter().rev().copied().collect(),
                _ => text[at..end].repeat(2),
            };
            text.splice(at..end, cut);
            if text.is_empty() { break; }
        }
        check(&text.iter().collect::<String>());
    }
}

const PIECES: [&str; 48] = [
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    "<",
    ">",
    ",",
    ";",
    ":",
    "::",
    "@",
    "!",
    "|",
    "+",
    "-",
    "*",
    "/",
    "%",
    "?",
    "=",
    "_",
    ".",
    "\"",
    "/*",
    "*/",
    "//",
    "\r\n",
    "é",
    "\0",
    ".reg .b32 ",
    ".global .b8 ",
    ".param",
    ".align ",
    ".entry f",
    ".loc",
    ".section",
    "%r1",
    "a",
    "0",
    "0x",
    "0f3F800000",
    "1e-",
    "99999999999999999999",
    ".callprototype",
    ".branchtargets",
    "call ",
];
