//! Labels, lists of branch targets, and the jumps to them.
//!
//! Like every other name they are known in the block that declares them and in the blocks inside it; an inner one
//! hides an outer one, also from jumps that stand before it. Inline assembly depends on that: each copy of it brings
//! the same labels, in a block of its own.

use std::collections::HashMap;

use super::inst::List;

/// Those of one function.
#[derive(Default)]
pub struct Labels {
    scopes: Vec<Scope>,
    /// Jumps whose label has not been found yet, in the order of the code.
    jumps: Vec<Jump>,
}

#[derive(Default)]
struct Scope {
    positions: HashMap<String, u32>,
    lists: HashMap<String, List>,
    /// Those of `jumps` that stand before it.
    before: usize,
}

/// A place that waits for the position of a label.
pub struct Jump {
    /// What is to be filled in.
    pub place: Place,
    /// The label.
    pub label: String,
    /// The line of the jump.
    pub line: u32,
}

/// What a label's position is written to.
#[derive(Debug, Clone, Copy)]
pub enum Place {
    /// The instruction's `aux`.
    Instruction(usize),
    /// An element of the operand lists.
    Element(usize),
}

impl Labels {
    /// A block begins.
    pub fn enter(&mut self) {
        self.scopes.push(Scope { before: self.jumps.len(), ..Scope::default() });
    }

    /// The block ends: those of its jumps that mean its own labels, each with its label's position.
    pub fn leave(&mut self) -> Vec<(Place, u32)> {
        let Some(Scope { positions, before, .. }) = self.scopes.pop() else { return Vec::new() };
        let mut found = Vec::new();
        let inside = self.jumps.split_off(before);
        self.jumps.extend(inside.into_iter().filter(|jump| match positions.get(&jump.label) {
            Some(position) => {
                found.push((jump.place, *position));
                false
            }
            None => true,
        }));
        found
    }

    /// A label of the running block. `false` if it has one of that name.
    #[must_use]
    pub fn declare(&mut self, name: &str, position: u32) -> bool {
        let scope = self.scopes.last_mut();
        scope.is_some_and(|scope| scope.positions.insert(name.to_owned(), position).is_none())
    }

    /// A list of branch targets of the running block. Its labels are those that are known here, not where it is used.
    pub fn declare_list(&mut self, name: &str, list: List) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.lists.insert(name.to_owned(), list);
        }
    }

    /// The list of that name.
    pub fn list(&self, name: &str) -> Option<List> {
        self.scopes.iter().rev().find_map(|scope| scope.lists.get(name)).copied()
    }

    /// A jump in the running block.
    pub fn jump(&mut self, place: Place, label: &str, line: u32) {
        self.jumps.push(Jump { place, label: label.to_owned(), line });
    }

    /// A jump that no block had a label for.
    pub fn lost(&mut self) -> Option<Jump> {
        self.jumps.pop()
    }
}
