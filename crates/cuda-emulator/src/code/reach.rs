//! What a kernel can reach: functions, and shared variables.

use std::collections::{HashMap, HashSet};

use super::layout::{FUNCTION_WINDOW, SHARED_START, size_of};
use crate::ptx::ast::{Function, Initial, Module, Operand, Space, Statement, Variable};

/// A module's functions with a body by name; an alias is one more name.
pub fn functions(module: &Module) -> HashMap<&str, &Function> {
    let bodies = || module.functions.iter().filter(|f| f.body.is_some());
    let aliases = module
        .aliases
        .iter()
        .filter_map(|(alias, name)| bodies().find(|f| f.name == *name).map(|f| (alias.as_str(), f)));
    bodies().map(|f| (f.name.as_str(), f)).chain(aliases).collect()
}

/// The address that a function's pointers hold: the same in all kernels of its module.
pub fn function_address(module: &Module, function: &Function) -> u64 {
    let index = module.functions.iter().position(|f| std::ptr::eq(f, function));
    FUNCTION_WINDOW + 16 * (1 + index.unwrap_or_default() as u64)
}

/// The entry, then every function that it names, directly or through others.
/// Where one calls through a pointer, all functions that variables point to.
pub fn reachable<'m>(module: &'m Module, entry: &'m Function) -> Vec<&'m Function> {
    let by_name = functions(module);
    let pointed_to = || {
        module.variables.iter().flat_map(|v| &v.init).filter_map(|element| match element {
            Initial::Address { symbol, .. } => Some(symbol.as_str()),
            Initial::Bits(_) => None,
        })
    };
    let mut found = vec![entry];
    let mut next = 0;
    while next < found.len() {
        let body = found[next].body.as_deref().unwrap_or_default();
        let mut names = Vec::new();
        for_each_name(body, &mut |name| names.push(name));
        if calls_through_pointer(body) {
            names.extend(pointed_to());
        }
        for f in names.iter().filter_map(|name| by_name.get(name)) {
            if !found.iter().any(|g| std::ptr::eq(*g, *f)) {
                found.push(f);
            }
        }
        next += 1;
    }
    found
}

fn calls_through_pointer(body: &[Statement]) -> bool {
    body.iter().any(|s| match s {
        Statement::Instruction(i) if i.opcode == "call" => {
            i.operands.iter().any(|o| matches!(o, Operand::Name { name, .. } if name.starts_with('%')))
        }
        Statement::Block(inner) => calls_through_pointer(inner),
        _ => false,
    })
}

fn for_each_name<'m>(body: &'m [Statement], visit: &mut impl FnMut(&'m str)) {
    fn operand<'m>(o: &'m Operand, visit: &mut impl FnMut(&'m str)) {
        match o {
            Operand::Name { name, .. } => visit(name),
            Operand::Memory { base: Some(name), .. } => visit(name),
            Operand::MemoryList { base, rest, .. } => {
                base.iter().for_each(|n| visit(n));
                rest.iter().for_each(|o| operand(o, visit));
            }
            Operand::Vector(list) | Operand::List(list) => list.iter().for_each(|o| operand(o, visit)),
            _ => {}
        }
    }
    for s in body {
        match s {
            Statement::Instruction(i) => i.operands.iter().for_each(|o| operand(o, visit)),
            Statement::Block(inner) => for_each_name(inner, visit),
            _ => {}
        }
    }
}

/// More than any memory holds, and still far from where sums would overflow.
const BEYOND: u64 = 1 << 60;

/// Where the shared variables of a kernel lie: those of its functions, those
/// of the module that it names, and behind them the dynamic ones.
pub struct SharedLayout<'m> {
    /// Bytes of all but the dynamic ones.
    pub bytes: u64,
    /// Where the dynamic ones start.
    pub dynamic_start: u64,
    /// Name and offset of those of the module.
    pub module_scope: Vec<(&'m str, u64)>,
    /// The same of each function.
    pub function_scope: Vec<HashMap<String, u64>>,
}

impl<'m> SharedLayout<'m> {
    /// Lays out what these functions use.
    pub fn of(module: &'m Module, functions: &[&'m Function]) -> Self {
        let mut named = HashSet::new();
        for f in functions {
            for_each_name(f.body.as_deref().unwrap_or_default(), &mut |n| {
                named.insert(n);
            });
        }
        // Addresses are aligned, and they start at SHARED_START.
        let base = u64::from(SHARED_START);
        let mut top = base;
        let mut place = |v: &Variable| {
            let at = top.next_multiple_of(v.align.max(1));
            top = at.saturating_add(size_of(v)).min(BEYOND);
            at - base
        };
        let shared = |v: &&Variable| v.space == Space::Shared;
        let (dynamic, fixed): (Vec<&Variable>, Vec<&Variable>) = module
            .variables
            .iter()
            .filter(shared)
            .filter(|v| named.contains(v.name.as_str()))
            .partition(|v| v.is_extern && size_of(v) == 0);
        let mut module_scope: Vec<_> = fixed.into_iter().map(|v| (v.name.as_str(), place(v))).collect();
        let function_scope = functions
            .iter()
            .map(|f| {
                let mut own = HashMap::new();
                shared_variables(f.body.as_deref().unwrap_or_default(), &mut |v| {
                    own.insert(v.name.clone(), place(v));
                });
                own
            })
            .collect();
        let bytes = top - base;
        let align = dynamic.iter().map(|v| v.align).max().unwrap_or(16).max(16);
        let dynamic_start = top.next_multiple_of(align) - base;
        module_scope.extend(dynamic.into_iter().map(|v| (v.name.as_str(), dynamic_start)));
        Self { bytes, dynamic_start, module_scope, function_scope }
    }
}

fn shared_variables<'m>(body: &'m [Statement], visit: &mut impl FnMut(&'m Variable)) {
    for s in body {
        match s {
            Statement::Variable(v) if v.space == Space::Shared => visit(v),
            Statement::Block(inner) => shared_variables(inner, visit),
            _ => {}
        }
    }
}
