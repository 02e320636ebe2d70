//! Constants and constant expressions, folded as the manual says: 64-bit
//! integers, signed unless an operand is unsigned, and 64-bit floats. Where the
//! manual is silent, ptxas was asked (its `.nv.global.init` shows the value).

use super::{ParseError, Parser, Result};
use crate::ptx::lexer::Kind;

/// The value of a constant expression.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Constant {
    /// An integer.
    Integer {
        /// Its 64 bits.
        bits: u64,
        /// How it divides, compares and shifts right.
        unsigned: bool,
    },
    /// `0f...`: the bits of an f32.
    Float32(u32),
    /// `0d...` or a decimal: the bits of an f64.
    Float64(u64),
}

/// Binary operators, longest first so that `<<` is not read as `<`; with how tightly they bind.
const OPERATORS: [(&str, u8); 18] = [
    ("||", 1),
    ("&&", 2),
    ("==", 6),
    ("!=", 6),
    ("<=", 7),
    (">=", 7),
    ("<<", 8),
    (">>", 8),
    ("|", 3),
    ("^", 4),
    ("&", 5),
    ("<", 7),
    (">", 7),
    ("+", 9),
    ("-", 9),
    ("*", 10),
    ("/", 10),
    ("%", 10),
];

impl Constant {
    fn signed(value: i64) -> Constant {
        Constant::Integer { bits: value.cast_unsigned(), unsigned: false }
    }

    /// The bits, if it is an integer.
    pub(super) fn integer(self) -> Option<u64> {
        match self {
            Constant::Integer { bits, .. } => Some(bits),
            _ => None,
        }
    }

    fn negated(self) -> Constant {
        match self {
            Constant::Integer { bits, unsigned } => Constant::Integer { bits: bits.wrapping_neg(), unsigned },
            Constant::Float32(bits) => Constant::Float32(bits ^ 1 << 31),
            Constant::Float64(bits) => Constant::Float64(bits ^ 1 << 63),
        }
    }

    /// `None` where there is no such value: division by zero, an integer with a float.
    fn binary(self, operator: &str, other: Constant) -> Option<Constant> {
        use Constant::{Float64, Integer};
        match (self, other) {
            (Integer { bits: a, unsigned }, Integer { bits: b, unsigned: also }) => {
                integer_operation(operator, (a, unsigned), (b, also))
            }
            (Float64(a), Float64(b)) => float_operation(operator, f64::from_bits(a), f64::from_bits(b)),
            _ => None,
        }
    }
}

/// Each operand is its bits and whether it is unsigned.
fn integer_operation(operator: &str, left: (u64, bool), right: (u64, bool)) -> Option<Constant> {
    let ((a, left_unsigned), (b, right_unsigned)) = (left, right);
    let unsigned = left_unsigned || right_unsigned;
    let (signed_a, signed_b) = (a.cast_signed(), b.cast_signed());
    let order = if unsigned { a.cmp(&b) } else { signed_a.cmp(&signed_b) };
    // What ptxas does: only the low six bits of a shift's distance count, and
    // the left side alone decides whether the sign moves in.
    let shifted = |bits| Constant::Integer { bits, unsigned: left_unsigned };
    let distance = (b & 63) as u32;
    let same = |bits| Constant::Integer { bits, unsigned };
    let truth = |value| Constant::signed(i64::from(value));
    Some(match operator {
        "||" => truth(a != 0 || b != 0),
        "&&" => truth(a != 0 && b != 0),
        "==" => truth(a == b),
        "!=" => truth(a != b),
        "<=" => truth(order.is_le()),
        ">=" => truth(order.is_ge()),
        "<" => truth(order.is_lt()),
        ">" => truth(order.is_gt()),
        "<<" => shifted(a << distance),
        ">>" if left_unsigned => shifted(a >> distance),
        ">>" => shifted((signed_a >> distance).cast_unsigned()),
        "|" => same(a | b),
        "^" => same(a ^ b),
        "&" => same(a & b),
        "+" => same(a.wrapping_add(b)),
        "-" => same(a.wrapping_sub(b)),
        "*" => same(a.wrapping_mul(b)),
        "/" if unsigned => same(a.checked_div(b)?),
        "/" if b != 0 => same(signed_a.wrapping_div(signed_b).cast_unsigned()),
        // Unsigned even of signed numbers, as ptxas has it.
        "%" => same(a.checked_rem(b)?),
        _ => return None,
    })
}

fn float_operation(operator: &str, a: f64, b: f64) -> Option<Constant> {
    let float = |value: f64| Constant::Float64(value.to_bits());
    let truth = |value| Constant::signed(i64::from(value));
    Some(match operator {
        "==" => truth(a == b),
        "!=" => truth(a != b),
        "<=" => truth(a <= b),
        ">=" => truth(a >= b),
        "<" => truth(a < b),
        ">" => truth(a > b),
        "+" => float(a + b),
        "-" => float(a - b),
        "*" => float(a * b),
        "/" => float(a / b),
        _ => return None,
    })
}

impl Parser<'_> {
    /// A constant expression.
    pub(super) fn constant(&mut self) -> Result<Constant> {
        self.nested(|parser| {
            let start = parser.at;
            let condition = parser.binary_expression(1)?;
            if !parser.eat(b'?') {
                return Ok(condition);
            }
            let yes = parser.constant()?;
            parser.need(b':')?;
            let no = parser.constant()?;
            match condition.integer() {
                Some(0) => Ok(no),
                Some(_) => Ok(yes),
                None => Err(parser.expected_at(start, "a whole number as condition")),
            }
        })
    }

    /// `+ 8 - 4 ...` after an address; 0 if nothing of the kind follows.
    pub(super) fn offset(&mut self) -> Result<i64> {
        let mut offset = Constant::signed(0);
        while self.is(b'+') || self.is(b'-') {
            offset = self.operation(offset)?;
        }
        Ok(offset.integer().unwrap_or(0).cast_signed())
    }

    /// Whether a constant may begin here.
    pub(super) fn at_constant(&self) -> bool {
        match self.kind() {
            Kind::Number => true,
            // `.5`
            Kind::Dot => self.word().as_bytes()[1].is_ascii_digit(),
            Kind::Word => self.word() == "WARP_SZ",
            Kind::Punct(punct) => matches!(punct, b'-' | b'+' | b'~' | b'!' | b'('),
            _ => false,
        }
    }

    /// An expression of operators that bind at least as tightly as `lowest`.
    fn binary_expression(&mut self, lowest: u8) -> Result<Constant> {
        let mut value = self.unary_expression()?;
        while self.operator().is_some_and(|(_, binding)| binding >= lowest) {
            value = self.operation(value)?;
        }
        Ok(value)
    }

    /// The operator that is next, and its right side, applied to `left`.
    fn operation(&mut self, left: Constant) -> Result<Constant> {
        let start = self.at;
        let Some((operator, binding)) = self.operator() else {
            return Err(self.expected("an operator"));
        };
        self.at += operator.len();
        let right = self.binary_expression(binding + 1)?;
        let value = left.binary(operator, right);
        value.ok_or_else(|| {
            self.expected_at(start, "two whole numbers or two floats, and no division by zero")
        })
    }

    /// The binary operator here, if there is one; not passed. Each character is one token.
    fn operator(&self) -> Option<(&'static str, u8)> {
        if !matches!(self.kind(), Kind::Punct(_)) {
            return None;
        }
        let rest = &self.text[self.token().start..];
        OPERATORS.into_iter().find(|(operator, _)| rest.starts_with(operator))
    }

    fn unary_expression(&mut self) -> Result<Constant> {
        self.nested(|parser| match parser.kind() {
            Kind::Number | Kind::Dot => parser.number(),
            Kind::Word if parser.word() == "WARP_SZ" => {
                parser.advance();
                Ok(Constant::Integer { bits: 32, unsigned: true })
            }
            Kind::Punct(b'-') => {
                parser.advance();
                Ok(parser.unary_expression()?.negated())
            }
            Kind::Punct(b'+') => {
                parser.advance();
                parser.unary_expression()
            }
            Kind::Punct(operator @ (b'!' | b'~')) => {
                parser.advance();
                let start = parser.at;
                match parser.unary_expression()? {
                    Constant::Integer { bits, .. } if operator == b'!' => {
                        Ok(Constant::signed(i64::from(bits == 0)))
                    }
                    Constant::Integer { bits, unsigned } => Ok(Constant::Integer { bits: !bits, unsigned }),
                    _ => Err(parser.expected_at(start, "a whole number")),
                }
            }
            Kind::Punct(b'(') => parser.parenthesised(),
            _ => Err(parser.expected("a constant")),
        })
    }

    /// `(1 + 2)` or a cast, `(.u64) 3`.
    fn parenthesised(&mut self) -> Result<Constant> {
        self.need(b'(')?;
        let unsigned = match self.kind() {
            Kind::Dot if self.word() == ".u64" => true,
            Kind::Dot if self.word() == ".s64" => false,
            _ => {
                let value = self.constant()?;
                self.need(b')')?;
                return Ok(value);
            }
        };
        self.advance();
        self.need(b')')?;
        let start = self.at;
        match self.unary_expression()? {
            Constant::Integer { bits, .. } => Ok(Constant::Integer { bits, unsigned }),
            _ => Err(self.expected_at(start, "a whole number")),
        }
    }

    fn number(&mut self) -> Result<Constant> {
        let error = |what| -> Result<Constant, ParseError> { Err(self.expected(what)) };
        let text = self.word();
        let value = match text.as_bytes() {
            [b'0', b'f' | b'F', digits @ ..] if digits.len() == 8 => {
                u32::from_str_radix(&text[2..], 16).ok().map(Constant::Float32)
            }
            [b'0', b'd' | b'D', digits @ ..] if digits.len() == 16 => {
                u64::from_str_radix(&text[2..], 16).ok().map(Constant::Float64)
            }
            [b'0', b'f' | b'F', ..] => return error("8 digits after `0f`"),
            [b'0', b'd' | b'D', ..] => return error("16 digits after `0d`"),
            _ => integer(text).or_else(|| decimal(text)),
        };
        let Some(value) = value else {
            return error("a number, of at most 64 bits");
        };
        self.advance();
        Ok(value)
    }
}

/// `12`, `0xFF`, `017`, `0b101`, each with `U` or without.
fn integer(text: &str) -> Option<Constant> {
    let digits = text.strip_suffix('U').unwrap_or(text);
    let (digits, radix) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&digits[2..], 16),
        [b'0', b'b' | b'B', ..] => (&digits[2..], 2),
        [b'0', _, ..] => (&digits[1..], 8),
        _ => (digits, 10),
    };
    let bits = u64::from_str_radix(digits, radix).ok()?;
    // What does not fit a signed number is unsigned.
    let unsigned = text.ends_with('U') || bits >> 63 != 0;
    Some(Constant::Integer { bits, unsigned })
}

/// `1.5`, `2e-3`, `.5`.
fn decimal(text: &str) -> Option<Constant> {
    let is_decimal = text.contains(['.', 'e', 'E']);
    let value: f64 = is_decimal.then(|| text.parse().ok())??;
    Some(Constant::Float64(value.to_bits()))
}
