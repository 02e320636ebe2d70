//! Instructions and operands.

use super::constant::Constant;
use super::{Parser, Result};
use crate::ptx::ast::{Guard, Instruction, Operand};
use crate::ptx::lexer::Kind;

impl Parser<'_> {
    /// `@%p1 mad.lo.s32 %r1, %r2, %r3, %r4;`
    pub(super) fn instruction(&mut self) -> Result<Instruction> {
        let guard = self.guard()?;
        let line = self.line();
        let opcode = self.name()?;
        let mut modifiers = Vec::new();
        while self.kind() == Kind::Dot {
            modifiers.push(self.advance()[1..].to_owned());
        }
        let mut operands = Vec::new();
        if !self.is(b';') {
            loop {
                operands.push(self.instruction_operand(&opcode)?);
                if !self.eat(b',') {
                    break;
                }
            }
        }
        self.need(b';')?;
        Ok(Instruction { guard, opcode, modifiers, operands, line })
    }

    /// `@p`, `@!p`
    fn guard(&mut self) -> Result<Option<Guard>> {
        if !self.eat(b'@') {
            return Ok(None);
        }
        let negated = self.eat(b'!');
        Ok(Some(Guard { register: self.register()?, negated }))
    }

    /// An operand; of a `call`, also a list in parentheses, which elsewhere is an expression.
    fn instruction_operand(&mut self, opcode: &str) -> Result<Operand> {
        if opcode == "call" && self.eat(b'(') {
            return Ok(Operand::List(self.operands(b')')?));
        }
        self.operand()
    }

    /// Operands up to and including `end`.
    fn operands(&mut self, end: u8) -> Result<Vec<Operand>> {
        let mut operands = Vec::new();
        if self.eat(end) {
            return Ok(operands);
        }
        loop {
            operands.push(self.operand()?);
            if !self.eat(b',') {
                self.need(end)?;
                return Ok(operands);
            }
        }
    }

    fn operand(&mut self) -> Result<Operand> {
        let first = self.nested(Self::simple_operand)?;
        // After a constant `|` has been read as part of the expression.
        if !self.eat(b'|') {
            return Ok(first);
        }
        let second = self.nested(Self::simple_operand)?;
        Ok(Operand::Pair(Box::new(first), Box::new(second)))
    }

    fn simple_operand(&mut self) -> Result<Operand> {
        if self.eat(b'{') {
            return Ok(Operand::Vector(self.operands(b'}')?));
        }
        if self.eat(b'[') {
            return self.memory();
        }
        if self.is(b'!') && self.next_kind() == Kind::Word {
            self.advance();
            return Ok(Operand::Not(self.register()?));
        }
        if self.at_constant() {
            return Ok(match self.constant()? {
                Constant::Integer { bits, .. } => Operand::Integer(bits.cast_signed()),
                Constant::Float32(bits) => Operand::Float32(bits),
                Constant::Float64(bits) => Operand::Float64(bits),
            });
        }
        if self.kind() != Kind::Word {
            return Err(self.expected("an operand"));
        }
        match self.register()? {
            name if name == "_" => Ok(Operand::Sink),
            name => Ok(Operand::Name { name, offset: self.offset()? }),
        }
    }

    /// A name with the dots that belong to it: `%tid.x`, `%v.y`.
    fn register(&mut self) -> Result<String> {
        let start = self.token().start;
        if self.kind() != Kind::Word {
            return Err(self.expected("a name"));
        }
        self.advance();
        while self.kind() == Kind::Dot && self.tokens[self.at - 1].end == self.token().start {
            self.advance();
        }
        Ok(self.text[start..self.tokens[self.at - 1].end].to_owned())
    }

    /// `[base+offset]`, `[base, {x, y}]`, `[128]`, from behind the bracket on.
    fn memory(&mut self) -> Result<Operand> {
        let (base, offset) = if self.at_constant() {
            (None, self.u64()?.cast_signed())
        } else {
            (Some(self.register()?), self.offset()?)
        };
        if self.eat(b']') {
            return Ok(Operand::Memory { base, offset });
        }
        if !self.eat(b',') {
            return Err(self.expected("`]`, `,` or an offset"));
        }
        Ok(Operand::MemoryList { base, offset, rest: self.operands(b']')? })
    }
}
