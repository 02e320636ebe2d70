//! Variables, parameters and their initial values.

use super::constant::Constant;
use super::{Parser, Result};
use crate::ptx::ast::{Initial, Space, Type, Variable};
use crate::ptx::lexer::Kind;

/// The most elements of one initialiser (zeros that fill inner rows included),
/// so that a few bytes of text cannot ask for all memory.
const MOST_ELEMENTS: u64 = 1 << 24;

/// What stands before the names of a declaration: `.align 16 .v2 .b32`.
struct Declaration {
    align: u64,
    vector: u32,
    ty: Type,
}

impl Parser<'_> {
    /// `.global .align 8 .b8 name[16] = {...}, other;` from its state space on.
    pub(super) fn variables(
        &mut self,
        space: Space,
        is_extern: bool,
        variables: &mut Vec<Variable>,
    ) -> Result<()> {
        self.advance();
        let declaration = self.declaration()?;
        loop {
            let mut variable = self.declarator(&declaration, space)?;
            variable.is_extern = is_extern;
            if self.eat(b'=') {
                self.initialiser(&mut variable)?;
            }
            variables.push(variable);
            if !self.eat(b',') {
                return self.need(b';');
            }
        }
    }

    /// `(.param .b32 a, .param .align 8 .b8 b[16])`; nothing if there is no parenthesis.
    pub(super) fn parameters(&mut self) -> Result<Vec<Variable>> {
        let mut parameters = Vec::new();
        if !self.eat(b'(') || self.eat(b')') {
            return Ok(parameters);
        }
        loop {
            if !self.eat_directive(".param") {
                return Err(self.expected("`.param`"));
            }
            let declaration = self.declaration()?;
            parameters.push(self.declarator(&declaration, Space::Param)?);
            if !self.eat(b',') {
                self.need(b')')?;
                return Ok(parameters);
            }
        }
    }

    /// `.b32`, `.v2 .f32`, with alignment and attributes.
    fn declaration(&mut self) -> Result<Declaration> {
        let (mut align, mut vector, mut ty) = (1, 1, None);
        while self.kind() == Kind::Dot {
            match self.word() {
                ".align" => align = self.alignment()?,
                ".attribute" => {
                    self.advance();
                    self.skip_parenthesised()?;
                }
                ".v2" => {
                    self.advance();
                    vector = 2;
                }
                ".v4" => {
                    self.advance();
                    vector = 4;
                }
                // What a kernel's pointer points to: `.ptr .global .align 16`.
                ".ptr" => {
                    self.advance();
                    while let (Kind::Dot, word) = (self.kind(), self.word()) {
                        match word {
                            ".global" | ".const" | ".shared" | ".local" => drop(self.advance()),
                            ".align" => drop(self.alignment()?),
                            _ => break,
                        }
                    }
                }
                _ if ty.is_some() => break,
                _ => ty = Some(self.data_type()?),
            }
        }
        let ty = ty.ok_or_else(|| self.expected("a type"))?;
        Ok(Declaration { align, vector, ty })
    }

    /// `.b32`
    pub(super) fn data_type(&mut self) -> Result<Type> {
        let ty = match self.word() {
            ".b8" => Type::B8,
            ".b16" => Type::B16,
            ".b32" => Type::B32,
            ".b64" => Type::B64,
            ".b128" => Type::B128,
            ".u8" => Type::U8,
            ".u16" => Type::U16,
            ".u32" => Type::U32,
            ".u64" => Type::U64,
            ".s8" => Type::S8,
            ".s16" => Type::S16,
            ".s32" => Type::S32,
            ".s64" => Type::S64,
            ".f16" => Type::F16,
            ".f16x2" => Type::F16x2,
            ".bf16" => Type::Bf16,
            ".bf16x2" => Type::Bf16x2,
            ".tf32" => Type::Tf32,
            ".f32" => Type::F32,
            ".f64" => Type::F64,
            ".e4m3" => Type::E4m3,
            ".e5m2" => Type::E5m2,
            ".e4m3x2" => Type::E4m3x2,
            ".e5m2x2" => Type::E5m2x2,
            ".pred" => Type::Pred,
            _ => return Err(self.expected("a type")),
        };
        self.advance();
        Ok(ty)
    }

    /// `.align 16`
    fn alignment(&mut self) -> Result<u64> {
        self.advance();
        let start = self.at;
        let align = self.u64()?;
        if align.is_power_of_two() && align <= 1 << 31 {
            return Ok(align);
        }
        Err(self.expected_at(start, "a power of two of at most 2^31"))
    }

    /// `(...)`, whatever is in it.
    pub(super) fn skip_parenthesised(&mut self) -> Result<()> {
        self.need(b'(')?;
        let mut open = 1;
        while open > 0 {
            match self.kind() {
                Kind::Punct(b'(') => open += 1,
                Kind::Punct(b')') => open -= 1,
                Kind::End => return Err(self.expected("`)`")),
                _ => {}
            }
            self.advance();
        }
        Ok(())
    }

    /// `name[4][2]`
    fn declarator(&mut self, declaration: &Declaration, space: Space) -> Result<Variable> {
        let start = self.at;
        let line = self.line();
        let name = self.name()?;
        let mut dims = Vec::new();
        while self.eat(b'[') {
            dims.push(if self.is(b']') { 0 } else { self.u64()? });
            self.need(b']')?;
        }
        let Declaration { align, vector, ty } = *declaration;
        let element = width(ty) * u64::from(vector);
        // Nobody who adds or multiplies sizes later has to fear an overflow.
        let bytes = dims.iter().try_fold(element, |bytes, &dim| bytes.checked_mul(dim.max(1)));
        if bytes.is_none_or(|bytes| bytes > 1 << 48) {
            return Err(self.expected_at(start, "a variable of at most 2^48 bytes"));
        }
        Ok(Variable {
            name,
            space,
            ty,
            vector,
            dims,
            align: align.max(element),
            is_extern: false,
            init: Vec::new(),
            line,
        })
    }

    /// What follows `=`. Also sizes an array whose outermost dimension is open.
    fn initialiser(&mut self, variable: &mut Variable) -> Result<()> {
        let start = self.at;
        if variable.dims.iter().skip(1).any(|&dim| dim == 0) {
            return Err(self.expected_at(start, "sizes for all dimensions but the first"));
        }
        let mut shape = variable.dims.clone();
        if variable.vector > 1 {
            shape.push(u64::from(variable.vector));
        }
        let mut init = Vec::new();
        self.initial_values(variable.ty, &shape, &mut init)?;
        let row: u64 = shape.iter().skip(1).product();
        if let Some(outer @ 0) = variable.dims.first_mut() {
            *outer = (init.len() as u64).div_ceil(row);
        }
        variable.init = init;
        Ok(())
    }

    /// One element, or `{...}` with the elements of an array of this shape: each
    /// row in braces of its own, and short ones filled with zeros.
    fn initial_values(&mut self, ty: Type, shape: &[u64], values: &mut Vec<Initial>) -> Result<()> {
        let Some((&count, inner)) = shape.split_first() else {
            values.push(self.initial_value(ty)?);
            return Ok(());
        };
        let row: u64 = inner.iter().product();
        let start = self.at;
        self.need(b'{')?;
        let mut rows = 0;
        loop {
            let end = values.len() as u64 + row;
            rows += 1;
            if rows > count && count > 0 || end > MOST_ELEMENTS {
                return Err(self.expected_at(start, "fewer elements"));
            }
            self.nested(|parser| parser.initial_values(ty, inner, values))?;
            values.resize(end as usize, Initial::Bits(0));
            if !self.eat(b',') {
                return self.need(b'}');
            }
        }
    }

    /// `12`, `name+8`, `generic(name)`, `0xFF00(name)`.
    fn initial_value(&mut self, ty: Type) -> Result<Initial> {
        if !self.at_constant() {
            return self.initial_address(u64::MAX);
        }
        let start = self.at;
        let constant = self.constant()?;
        match (constant.integer(), self.is(b'(')) {
            (Some(mask), true) => {
                self.advance();
                let address = self.initial_address(mask)?;
                self.need(b')')?;
                Ok(address)
            }
            _ => match initial_bits(constant, ty) {
                Some(bits) => Ok(Initial::Bits(bits)),
                None => Err(self.expected_at(start, format!("a value of type {ty:?}"))),
            },
        }
    }

    fn initial_address(&mut self, mask: u64) -> Result<Initial> {
        let generic = self.word() == "generic" && self.next_kind() == Kind::Punct(b'(');
        if generic {
            self.advance();
            self.advance();
        }
        let symbol = self.name()?;
        let mut offset = self.offset()?;
        if generic {
            self.need(b')')?;
            offset = offset.wrapping_add(self.offset()?);
        }
        Ok(Initial::Address { symbol, offset, generic, mask })
    }
}

/// Bytes of a type in memory (a predicate has none; 1 keeps sums simple).
fn width(ty: Type) -> u64 {
    match ty {
        Type::B8 | Type::U8 | Type::S8 | Type::E4m3 | Type::E5m2 | Type::Pred => 1,
        Type::B16 | Type::U16 | Type::S16 | Type::F16 | Type::Bf16 => 2,
        Type::E4m3x2 | Type::E5m2x2 => 2,
        Type::B32 | Type::U32 | Type::S32 | Type::F32 | Type::Tf32 => 4,
        Type::F16x2 | Type::Bf16x2 | Type::U16x2 | Type::S16x2 => 4,
        Type::B64 | Type::U64 | Type::S64 | Type::F64 => 8,
        Type::B128 => 16,
    }
}

/// The bits of a constant as an element of type `ty`; `None` where ptxas
/// refuses it too: a whole number for a float, a float for a whole number.
fn initial_bits(constant: Constant, ty: Type) -> Option<u64> {
    let is_integer = matches!(
        ty,
        Type::U8 | Type::U16 | Type::U32 | Type::U64 | Type::S8 | Type::S16 | Type::S32 | Type::S64
    );
    let is_bits = matches!(ty, Type::B8 | Type::B16 | Type::B32 | Type::B64 | Type::B128);
    match constant {
        Constant::Integer { bits, .. } if is_integer || is_bits => Some(bits & low_bits(width(ty))),
        Constant::Float32(bits) if matches!(ty, Type::B32 | Type::F32 | Type::B64 | Type::F64) => {
            Some(u64::from(bits))
        }
        Constant::Float64(bits) => match ty {
            Type::B64 | Type::F64 => Some(bits),
            Type::B32 | Type::F32 => Some(u64::from((f64::from_bits(bits) as f32).to_bits())),
            _ => None,
        },
        _ => None,
    }
}

fn low_bits(bytes: u64) -> u64 {
    if bytes >= 8 { u64::MAX } else { (1 << (8 * bytes)) - 1 }
}
