//! How loads and stores are decoded: which registers take an element, and what
//! is left to do where they are wider.

use super::qualifiers::Qualifiers;
use super::{Shape, load, load_strong, space_of, store, store_strong};
use crate::code::{Class, DecodeError, Decoder, Kind, List, Op, Reference, Slot, class_of};
use crate::machine::lanes::both;
use crate::machine::ops::{convert, wide};
use crate::ptx::ast::{Instruction, Operand, Space, Type};

/// The operation for elements of a width.
macro_rules! by_width {
    ($f:ident, $width:expr) => {
        match $width {
            1 => both!($f::<1>),
            2 => both!($f::<2>),
            4 => both!($f::<4>),
            _ => both!($f::<8>),
        }
    };
}

/// Decodes this family.
pub fn decode(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    let q = Qualifiers::of(i).ok_or_else(|| d.unknown(i))?;
    let is_store = i.opcode == "st";
    let (memory, value, hint) = match i.operands.as_slice() {
        [memory, value, hint @ ..] if is_store => (memory, value, hint),
        [value, memory, hint @ ..] => (memory, value, hint),
        _ => return Err(d.unknown(i)),
    };
    check_hint(d, i, q.hint, hint)?;
    let space = state_space(d, i, q.space, memory)?;
    let parts = elements(d, value, q.count);
    if parts.len() as u32 != q.count || *value == Operand::Sink {
        return Err(d.error(format!("{} elements but {} registers", q.count, parts.len())));
    }
    let reference = d.reference(memory, space)?;
    // A 128-bit element is two of 64.
    let (width, count) = if q.ty == Type::B128 { (8, 2) } else { (q.ty.bytes() as u32, q.count) };
    let mut registers = parts.iter().filter_map(|part| d.register_type(part)).map(Type::bytes);
    let register = registers.next().unwrap_or(q.ty.bytes());
    if registers.any(|other| other != register) {
        return Err(d.error("the registers of a vector differ in width"));
    }
    let signed = wide::is_signed(q.ty) && register > q.ty.bytes();
    let shape = Shape { space, width, count, signed, semantics: q.semantics };
    if is_store && space == Space::Param {
        return Err(d.error("a kernel's parameters are only read"));
    }
    d.hands_on_by_lanes |= is_store && q.semantics.is_some();
    if is_store {
        let slots = sources(d, i, &parts, q.ty)?;
        let list = d.list(&[], &slots);
        let op = match q.semantics {
            Some(_) => by_width!(store_strong, width),
            None => by_width!(store, width),
        };
        emit(d, op, shape, reference, list);
        return Ok(());
    }
    let targets =
        parts.iter().map(|part| Target::of(d, part, q.ty, signed)).collect::<Result<Vec<_>, _>>()?;
    let slots: Vec<Slot> = targets.iter().flat_map(|t| t.loaded.iter().copied()).collect();
    let list = d.list(&slots, &[]);
    let op = match q.semantics {
        Some(_) => by_width!(load_strong, width),
        None => by_width!(load, width),
    };
    emit(d, op, shape, reference, list);
    targets.iter().for_each(|t| t.extend(d, q.ty));
    Ok(())
}

/// A policy for the cache is given where `.L2::cache_hint` says so. Nobody reads it.
pub fn check_hint(
    d: &mut Decoder<'_>,
    i: &Instruction,
    is_hinted: bool,
    operands: &[Operand],
) -> Result<(), DecodeError> {
    match (is_hinted, operands) {
        (false, []) => Ok(()),
        (true, [policy]) => d.source(policy, Type::U64).map(drop),
        _ => Err(d.unknown(i)),
    }
}

/// The space of an access. Parameters of a function, and those of a call, lie in
/// the frame; where a variable is named, it must be of the space.
fn state_space(
    d: &Decoder<'_>,
    i: &Instruction,
    space: Option<&'static str>,
    memory: &Operand,
) -> Result<Space, DecodeError> {
    let variable = d.variable_space(memory);
    let space = match space {
        None => Space::Generic,
        Some("param::entry") => Space::Param,
        Some("param::func") => Space::Local,
        Some("param") if variable == Some(Space::Local) || !d.in_entry() => Space::Local,
        Some(word) => space_of(word).ok_or_else(|| d.unknown(i))?,
    };
    match variable {
        // The block's own variables lie in the cluster's window too.
        Some(Space::Shared) if space == Space::Cluster => Ok(space),
        Some(of) if space != Space::Generic && of != space => {
            Err(d.error(format!("a variable of the {of:?} space in an access to {space:?}")))
        }
        _ => Ok(space),
    }
}

/// The operand of each element: in braces, or the parts of a vector register.
fn elements(d: &Decoder<'_>, value: &Operand, count: u32) -> Vec<Operand> {
    match value {
        Operand::Vector(parts) => parts.clone(),
        Operand::Name { name, .. } if count > 1 && d.rows(value).is_some_and(|r| r.len() as u32 == count) => {
            let part = |part| Operand::Name { name: format!("{name}.{part}"), offset: 0 };
            ["x", "y", "z", "w"].iter().take(count as usize).map(part).collect()
        }
        one => vec![one.clone()],
    }
}

/// Where a loaded element goes.
struct Target {
    /// The rows that memory is read into: two for 128 bits.
    loaded: Vec<Slot>,
    /// The register's own rows.
    rows: Vec<Slot>,
    /// Its type.
    register: Type,
}

impl Target {
    /// `signed`: elements are loaded with copies of their sign above them.
    fn of(d: &mut Decoder<'_>, operand: &Operand, ty: Type, signed: bool) -> Result<Self, DecodeError> {
        let (rows, register) = match (d.register_type(operand), operand) {
            (Some(Type::B128), _) => (d.rows(operand).unwrap_or_default(), Type::B128),
            (Some(register), _) => (vec![d.dest_class(operand, class_of(register))?], register),
            (None, Operand::Sink) => (vec![d.temporary(class_of(ty))], ty),
            _ => return Err(d.error(format!("{operand:?} is no register"))),
        };
        check_width(d, operand, register, ty)?;
        let loaded = match (register, ty) {
            (Type::B128, Type::B128) => rows.clone(),
            (Type::B128, _) => vec![d.temporary(Class::R64)],
            // The sign goes no further than the register.
            _ if signed && register.bytes() < 4 => vec![d.temporary(Class::R32)],
            _ => rows.clone(),
        };
        Ok(Self { loaded, rows, register })
    }

    /// What is left to do once the element is loaded.
    fn extend(&self, d: &mut Decoder<'_>, ty: Type) {
        match (self.loaded.as_slice(), self.rows.as_slice()) {
            (loaded, rows) if loaded == rows => {}
            ([loaded], [_, _]) => wide::emit_extended(d, &self.rows, *loaded, wide::is_signed(ty)),
            ([loaded], [row]) => convert::emit_cut(d, *row, *loaded, self.register),
            _ => {}
        }
    }
}

/// A register may be wider than the element, but not narrower.
fn check_width(d: &Decoder<'_>, operand: &Operand, register: Type, ty: Type) -> Result<(), DecodeError> {
    match register {
        Type::Pred => Err(d.error(format!("{operand:?} is a predicate"))),
        _ if register.bytes() < ty.bytes() => {
            Err(d.error(format!("{operand:?} is too narrow for the element")))
        }
        _ => Ok(()),
    }
}

/// The rows whose low bits are stored.
fn sources(
    d: &mut Decoder<'_>,
    i: &Instruction,
    parts: &[Operand],
    ty: Type,
) -> Result<Vec<Slot>, DecodeError> {
    let mut slots = Vec::new();
    for part in parts {
        match (d.register_type(part), part) {
            (Some(register), _) => {
                check_width(d, part, register, ty)?;
                match d.rows(part) {
                    Some(rows) if ty == Type::B128 => slots.extend(rows),
                    _ => slots.push(wide::low_row(d, part, register)?),
                }
            }
            (None, Operand::Integer(low)) if ty == Type::B128 => {
                slots.extend([d.constant64(*low as u64), d.constant64(0)]);
            }
            (None, Operand::Integer(_) | Operand::Float32(_) | Operand::Float64(_))
                if ty != Type::B128 && wide::takes_literal(ty, part) =>
            {
                slots.push(d.source(part, ty)?);
            }
            _ => return Err(d.unknown(i)),
        }
    }
    Ok(slots)
}

fn emit(d: &mut Decoder<'_>, op: Op, shape: Shape, reference: Reference, list: List) {
    let kind = match shape.space {
        Space::Generic | Space::Global => Kind::Global,
        Space::Shared | Space::Cluster => Kind::Shared,
        Space::Local => Kind::Local,
        Space::Const | Space::Param => Kind::Constant,
    };
    let inst = d.emit(op, kind, &[], &[reference.base]);
    inst.imm = reference.offset;
    inst.aux = shape.pack();
    inst.list = list;
}
