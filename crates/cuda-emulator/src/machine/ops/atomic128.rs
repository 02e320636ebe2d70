//! `atom.exch.b128` and `atom.cas.b128`.
//!
//! Stable Rust has no atomics of 128 bits. Operations that overlap must be of
//! the same width to be atomic to each other, so it is enough that these are
//! atomic among themselves: one at a time.

use std::sync::{Mutex, PoisonError};

use crate::code::{Class, DecodeError, Decoder, Inst, Kind, Slot};
use crate::machine::access::Places;
use crate::machine::flags::Semantics;
use crate::machine::lanes::both;
use crate::machine::ops::memory::{Shape, read, shadow_of, undefined_bytes, write};
use crate::machine::ops::moves::{value_of, write_any};
use crate::machine::{Cpu, Flow};
use crate::ptx::ast::{Operand, Space};
use crate::verdict::{Access, Use};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The halves of a value, lower first, each with its undefined bytes.
type Halves = [(u64, u8); 2];

fn is_defined(value: Halves) -> bool {
    value.iter().all(|(_, undefined)| *undefined == 0)
}

/// list: the halves of the result, then of the operands.
#[inline(always)]
fn atomic(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    let shape = Shape::unpack(i.aux);
    if let Err(flow) = cpu.require_defined(i.src[0], Use::Address) {
        return flow;
    }
    let addresses = cpu.addresses(i, i.src[0]);
    let places = match cpu.begin_atomic(shape, &addresses, 16) {
        Ok(places) => places,
        Err(flow) => return flow,
    };
    let mask = cpu.mask;
    cpu.count_apart(shape.space, &addresses, 16, Access::Atomic);
    let (results, operands) = (cpu.results(i), cpu.operands(i));
    let operand = |cpu: &Cpu<'_>, lane: usize, slots: &[Slot]| -> Halves {
        [0, 1].map(|k| (value_of(cpu, slots[k], lane), cpu.warp.registers.undefined_bytes(slots[k], lane)))
    };
    let (mut values, mut undefined) = ([[0; 32]; 2], [[0; 32]; 2]);
    for lane in (0..32).filter(|l| mask >> l & 1 == 1) {
        let first = operand(cpu, lane, operands);
        let swap = operands.get(2..).filter(|rest| !rest.is_empty()).map(|rest| operand(cpu, lane, rest));
        // Nothing that it guards can be left half done.
        let guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the place holds 16 bytes, aligned to them.
        let old: Halves = [0, 8].map(|at| unsafe {
            let shadow = read(places.shadow(lane, at), 8);
            (read(places.data(lane, at), 8), undefined_bytes(shadow, 8))
        });
        let new = match swap {
            None => first,
            // Whether it is equal is not known.
            Some(_) if !is_defined(old) || !is_defined(first) => old.map(|(value, _)| (value, 0xff)),
            Some(swap) => {
                if old == first {
                    swap
                } else {
                    old
                }
            }
        };
        for (k, (value, undefined)) in new.into_iter().enumerate() {
            // SAFETY: as above.
            unsafe {
                write(places.data(lane, 8 * k), 8, value);
                write(places.shadow(lane, 8 * k), 8, shadow_of(undefined, 8));
            }
        }
        drop(guard);
        cpu.block.events += u64::from(old != new);
        for (k, (value, unknown)) in old.into_iter().enumerate() {
            values[k][lane] = value;
            undefined[k][lane] = unknown;
        }
    }
    for (k, dst) in results.iter().enumerate() {
        write_any(cpu, *dst, mask, &values[k], &undefined[k]);
    }
    cpu.end_atomic(shape, &addresses);
    Flow::Next
}

/// Emits an exchange, or with two values a compare and swap.
pub fn emit(
    d: &mut Decoder<'_>,
    space: Space,
    semantics: Option<Semantics>,
    result: &Operand,
    memory: &Operand,
    values: &[&Operand],
) -> Result<(), DecodeError> {
    let result = match result {
        Operand::Sink => vec![d.temporary(Class::R64), d.temporary(Class::R64)],
        register => halves(d, register)?,
    };
    let mut operands = Vec::new();
    for value in values {
        operands.extend(halves(d, value)?);
    }
    let reference = d.reference(memory, space)?;
    let list = d.list(&result, &operands);
    let inst = d.emit(both!(atomic), Kind::Atomic, &[], &[reference.base]);
    inst.imm = reference.offset;
    inst.aux = Shape { space, width: 8, count: 2, signed: false, semantics }.pack();
    inst.list = list;
    Ok(())
}

/// The rows of a 128-bit register.
fn halves(d: &Decoder<'_>, operand: &Operand) -> Result<Vec<Slot>, DecodeError> {
    d.rows(operand)
        .filter(|rows| rows.len() == 2 && rows.iter().all(|r| r.class() == Class::R64))
        .ok_or_else(|| d.error(format!("{operand:?} is no register of 128 bits")))
}
