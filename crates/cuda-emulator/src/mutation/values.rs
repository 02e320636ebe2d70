//! Which registers are known to hold the same value: local value numbering.
//!
//! A register that is written in one place only has the number of what is
//! computed there, wherever it is read. One that is written in several places
//! (a loop's variable) has a number from a write to the next label.

use std::collections::HashMap;

use crate::ptx::ast::{Instruction, Operand, Statement};

/// The numbers of a kernel's registers, while one walks over it.
pub struct Values<'a> {
    /// How often each register is written.
    writes: HashMap<&'a str, usize>,
    /// Numbers of registers that are written once.
    settled: HashMap<&'a str, u64>,
    /// Numbers of the others, up to the next label.
    passing: HashMap<&'a str, u64>,
    /// Numbers of what has been computed.
    computed: HashMap<String, u64>,
    next: u64,
}

impl<'a> Values<'a> {
    /// For one kernel's body.
    pub fn of(body: &'a [Statement]) -> Self {
        let mut writes = HashMap::new();
        count(body, &mut writes);
        Self { writes, settled: HashMap::new(), passing: HashMap::new(), computed: HashMap::new(), next: 0 }
    }

    /// Paths meet here.
    pub fn label(&mut self) {
        self.passing.clear();
    }

    /// Are two registers known to be equal?
    pub fn are_equal(&self, a: &str, b: &str) -> bool {
        self.known(a).is_some_and(|value| self.known(b) == Some(value))
    }

    /// Takes note of what an instruction writes.
    pub fn instruction(&mut self, i: &'a Instruction) {
        if !writes_first(i) {
            return;
        }
        let destinations = i.operands.first().map(registers).unwrap_or_default();
        let value = match (destinations.as_slice(), i.guard.is_none() && is_pure(i)) {
            ([_], true) => self.compute(i),
            _ => None,
        };
        for register in destinations {
            let value = value.unwrap_or_else(|| self.fresh());
            match self.writes.get(register) {
                Some(1) => self.settled.insert(register, value),
                _ => self.passing.insert(register, value),
            };
        }
    }

    fn known(&self, register: &str) -> Option<u64> {
        self.settled.get(register).or_else(|| self.passing.get(register)).copied()
    }

    fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// The number of what a pure instruction computes, if its operands have numbers.
    fn compute(&mut self, i: &'a Instruction) -> Option<u64> {
        let mut key = format!("{}.{}", i.opcode, i.modifiers.join("."));
        for operand in &i.operands[1..] {
            match operand {
                Operand::Name { name, offset: 0 } if self.writes.contains_key(name.as_str()) => {
                    let value = self.known(name)?;
                    // These copy; a global address is the same as a generic one.
                    let copies =
                        i.opcode == "mov" || i.opcode == "cvta" && i.modifiers.iter().any(|m| m == "global");
                    if copies {
                        return Some(value);
                    }
                    key += &format!(" #{value}");
                }
                Operand::Name { .. } | Operand::Integer(_) | Operand::Float32(_) | Operand::Float64(_) => {
                    key += &format!(" {operand:?}")
                }
                _ => return None,
            }
        }
        if let Some(value) = self.computed.get(&key) {
            return Some(*value);
        }
        let value = self.fresh();
        self.computed.insert(key, value);
        Some(value)
    }
}

fn count<'a>(body: &'a [Statement], writes: &mut HashMap<&'a str, usize>) {
    for statement in body {
        match statement {
            Statement::Instruction(i) if writes_first(i) => {
                for register in i.operands.first().map(registers).unwrap_or_default() {
                    *writes.entry(register).or_default() += 1;
                }
            }
            Statement::Block(inner) => count(inner, writes),
            _ => {}
        }
    }
}

/// Does its result depend on its operands alone? (Special registers but the
/// clocks stay as they are.)
fn is_pure(i: &Instruction) -> bool {
    let reads_the_clock = i.operands.iter().any(|o| {
        matches!(o, Operand::Name { name, .. } if name.starts_with("%clock") || name.starts_with("%globaltimer"))
    });
    let pure = [
        "mov", "cvta", "add", "sub", "mul", "mad", "fma", "div", "rem", "min", "max", "abs", "neg", "and",
        "or", "xor", "not", "shl", "shr", "cvt", "selp",
    ];
    pure.contains(&i.opcode.as_str()) && !reads_the_clock
}

/// Does the instruction write its first operand?
pub fn writes_first(i: &Instruction) -> bool {
    let reads_all =
        ["st", "red", "bar", "barrier", "bra", "brx", "call", "membar", "fence", "ret", "exit", "trap"];
    !reads_all.contains(&i.opcode.as_str())
}

/// The registers that a destination names.
pub fn registers(operand: &Operand) -> Vec<&str> {
    match operand {
        Operand::Name { name, .. } => vec![name],
        Operand::Vector(parts) => parts.iter().flat_map(registers).collect(),
        Operand::Pair(p, q) => [p, q].into_iter().flat_map(|o| registers(o)).collect(),
        _ => Vec::new(),
    }
}
