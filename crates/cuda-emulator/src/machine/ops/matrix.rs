//! `ldmatrix`, `stmatrix`, `movmatrix`: 8x8 matrices of 16-bit elements, whose
//! rows are named by the addresses of eight lanes each.

use crate::code::{DecodeError, Decoder, Inst, Kind, Slot, Windowed};
use crate::machine::access::Places;
use crate::machine::lanes::both;
use crate::machine::matrix::eight;
use crate::machine::ops::Modifiers;
use crate::machine::ops::memory::{read, shadow_of, undefined_bytes, write};
use crate::machine::ops::tensor::{self, register};
use crate::machine::registers::Raw;
use crate::machine::{Cpu, Flow};
use crate::ptx::ast::{Instruction, Operand, Space, Type};
use crate::verdict::{Access, Use};

const TRANSPOSED: u32 = 1;
const GENERIC: u32 = 2;

/// Bytes of a row.
const ROW: u32 = 16;

/// A register that holds a part of a matrix, and beside each byte whether it is defined (0xff).
#[derive(Clone, Copy)]
struct Part {
    value: [u32; 32],
    shadow: [u32; 32],
}

impl Part {
    fn transposed(self) -> Self {
        Self { value: eight::transposed(&self.value), shadow: eight::transposed(&self.shadow) }
    }
}

impl Cpu<'_> {
    fn part(&self, slot: Slot) -> Part {
        let shadow = |lane| shadow_of(self.warp.registers.undefined_bytes(slot, lane), 4) as u32;
        let value = *u32::row(&self.warp.registers, self.kernel, slot);
        Part { value, shadow: std::array::from_fn(shadow) }
    }

    fn set_part(&mut self, slot: Slot, part: &Part) {
        *u32::row_mut(&mut self.warp.registers, slot) = part.value;
        self.warp.registers.set_undefined(slot, u32::MAX, 0);
        for (lane, shadow) in part.shadow.iter().enumerate().filter(|(_, s)| **s != u32::MAX) {
            let bytes = undefined_bytes((*shadow).into(), 4);
            self.warp.registers.set_undefined_bytes(slot, lane, bytes);
        }
    }

    /// The places of the rows: of matrix `m`, those that lanes 8m to 8m + 7 name.
    fn matrix_rows(
        &mut self,
        i: &Inst,
        matrices: usize,
        access: Access,
    ) -> Result<impl Places + use<>, Flow> {
        self.whole_warp()?;
        self.mask = u32::MAX >> (32 - 8 * matrices);
        self.require_defined(i.src[0], Use::Address)?;
        let mut addresses = self.addresses(i, i.src[0]);
        if i.aux & GENERIC != 0 {
            // Matrices lie in shared memory. An address elsewhere is none there either.
            addresses = addresses.map(|a| match Windowed::of(a) {
                Windowed::Shared(at) => at,
                _ => a,
            });
        }
        let rows = self.apart(Space::Shared, &addresses, ROW, access)?;
        self.count_apart(Space::Shared, &addresses, ROW, access);
        self.mask = u32::MAX;
        Ok(rows)
    }
}

/// List: a register for each matrix.
#[inline(always)]
fn load(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    let slots = cpu.results(i);
    let rows = match cpu.matrix_rows(i, slots.len(), Access::Read) {
        Ok(rows) => rows,
        Err(flow) => return flow,
    };
    for (matrix, slot) in slots.iter().enumerate() {
        // SAFETY: the rows of all matrices may be read, 16 aligned bytes each.
        let word = |lane: usize| unsafe {
            let (row, byte) = (8 * matrix + lane / 4, lane % 4 * 4);
            (read(rows.data(row, byte), 4) as u32, read(rows.shadow(row, byte), 4) as u32)
        };
        let mut part = Part { value: [0; 32], shadow: [0; 32] };
        for lane in 0..32 {
            (part.value[lane], part.shadow[lane]) = word(lane);
        }
        cpu.set_part(*slot, &if i.aux & TRANSPOSED != 0 { part.transposed() } else { part });
    }
    Flow::Next
}

/// List: a register for each matrix.
#[inline(always)]
fn store(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    let slots = cpu.operands(i);
    let rows = match cpu.matrix_rows(i, slots.len(), Access::Write) {
        Ok(rows) => rows,
        Err(flow) => return flow,
    };
    cpu.block.events += 1;
    for (matrix, slot) in slots.iter().enumerate() {
        let part = cpu.part(*slot);
        let part = if i.aux & TRANSPOSED != 0 { part.transposed() } else { part };
        for lane in 0..32 {
            let (row, byte) = (8 * matrix + lane / 4, lane % 4 * 4);
            // SAFETY: the rows of all matrices may be written, 16 aligned bytes each.
            unsafe {
                write(rows.data(row, byte), 4, part.value[lane].into());
                write(rows.shadow(row, byte), 4, part.shadow[lane].into());
            }
        }
    }
    Flow::Next
}

#[inline(always)]
fn transpose(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    if let Err(flow) = cpu.whole_warp() {
        return flow;
    }
    let part = cpu.part(i.src[0]).transposed();
    cpu.set_part(i.dst[0], &part);
    Flow::Next
}

/// Decodes this family.
pub fn decode(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    // In any order: the manual shows one, and programs use others.
    let mut m = Modifiers::of(i);
    if !(m.flag("sync") && m.flag("aligned")) {
        return Err(d.unknown(i));
    }
    if i.opcode == "movmatrix" {
        let ([dst, src], true) =
            (i.operands.as_slice(), m.flag("m8n8") && m.flag("trans") && m.flag("b16") && m.done())
        else {
            return Err(d.unknown(i));
        };
        let (dst, src) = (register(d, dst)?, register(d, src)?);
        d.emit(both!(transpose), Kind::Warp, &[dst], &[src]);
        return Ok(());
    }
    let count = m.find(|w| match w {
        "x1" => Some(1),
        "x2" => Some(2),
        "x4" => Some(4),
        _ => None,
    });
    let shape = m.flag("m8n8") && m.flag("b16");
    let transposed = m.flag("trans");
    let generic = !(m.flag("shared") || m.flag("shared::cta"));
    let aux = if transposed { TRANSPOSED } else { 0 } | if generic { GENERIC } else { 0 };
    let (true, Some(count)) = (shape && m.done(), count) else {
        return Err(d.unknown(i));
    };
    let (is_store, memory, value) = match i.operands.as_slice() {
        [value @ Operand::Vector(_), memory] if i.opcode == "ldmatrix" => (false, memory, value),
        [memory, value @ Operand::Vector(_)] if i.opcode == "stmatrix" => (true, memory, value),
        _ => return Err(d.unknown(i)),
    };
    let space = if generic { Space::Generic } else { Space::Shared };
    let reference = d.reference(memory, space)?;
    let (op, list) = if is_store {
        let slots = tensor::sources(d, value, count, Type::B32)?;
        (both!(store), d.list(&[], &slots))
    } else {
        let slots = tensor::results(d, value, count)?;
        (both!(load), d.list(&slots, &[]))
    };
    let inst = d.emit(op, Kind::Shared, &[], &[reference.base]);
    inst.imm = reference.offset;
    inst.aux = aux;
    inst.list = list;
    Ok(())
}
