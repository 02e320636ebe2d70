//! What `mma` and `wgmma` have in common: registers become matrices and
//! accumulators registers again; which elements are undefined.

use crate::code::{Class, DecodeError, Decoder, Kernel, Slot};
use crate::machine::matrix::fragment::{self, DEPTH, ROWS};
use crate::machine::registers::{Raw, Registers};
use crate::machine::{Cpu, Flow};
use crate::numeric::tensor_core::accumulators::Register;
use crate::numeric::tensor_core::{Accumulator, Format, Operation, Unit};
use crate::ptx::ast::{Operand, Type};
use crate::verdict::Verdict;

/// The most columns of D.
pub const COLUMNS: usize = 256;

impl Cpu<'_> {
    /// For an `.aligned` instruction that needs every lane of a warp.
    #[inline(always)]
    pub fn whole_warp(&mut self) -> Result<(), Flow> {
        if self.mask != self.warp.live {
            return Err(Flow::Park(self.warp.live));
        }
        if self.mask != u32::MAX {
            // Lanes that ended, or never were, cannot come.
            let verdict = Verdict::Divergence { needed: u32::MAX, came: self.mask, stands: Vec::new() };
            return Err(self.fault(verdict, self.mask));
        }
        Ok(())
    }
}

// ---- An operation in an instruction's word ----------------------------------------------

const FORMATS: [Format; 7] =
    [Format::E4m3, Format::E5m2, Format::F16, Format::Bf16, Format::Tf32, Format::S8, Format::U8];
const ACCUMULATORS: [Accumulator; 4] = [
    Accumulator::F32,
    Accumulator::F16,
    Accumulator::S32 { saturate: false },
    Accumulator::S32 { saturate: true },
];

/// Bits that [`pack`] uses.
pub const BITS: u32 = 22;

/// An operation as a part of an instruction's `aux`.
pub fn pack(op: &Operation) -> u32 {
    let index = |found: Option<usize>| found.unwrap_or_default() as u32;
    index(FORMATS.iter().position(|f| *f == op.a))
        | index(FORMATS.iter().position(|f| *f == op.b)) << 3
        | index(ACCUMULATORS.iter().position(|d| *d == op.d)) << 6
        | u32::from(op.unit == Unit::Warpgroup) << 8
        | u32::from(op.negate) << 9
        | ((op.n / 8) as u32) << 10
        | (op.k as u32) << 16
}

/// From an instruction's `aux`.
#[inline(always)]
pub fn unpack(aux: u32) -> Operation {
    Operation {
        a: FORMATS[(aux & 7).min(6) as usize],
        b: FORMATS[(aux >> 3 & 7).min(6) as usize],
        d: ACCUMULATORS[(aux >> 6 & 3) as usize],
        unit: if aux >> 8 & 1 == 1 { Unit::Warpgroup } else { Unit::Warp },
        negate: aux >> 9 & 1 == 1,
        n: (aux >> 10 & 63) as usize * 8,
        k: (aux >> 16 & 63) as usize,
    }
}

/// A factor's type by its suffix.
pub fn format_of(word: &str) -> Option<Format> {
    Some(match word {
        "e4m3" => Format::E4m3,
        "e5m2" => Format::E5m2,
        "f16" => Format::F16,
        "bf16" => Format::Bf16,
        "tf32" => Format::Tf32,
        "s8" => Format::S8,
        "u8" => Format::U8,
        _ => return None,
    })
}

/// An accumulator's type by its suffix.
pub fn accumulator_of(word: &str, saturate: bool) -> Option<Accumulator> {
    Some(match word {
        "f32" => Accumulator::F32,
        "f16" => Accumulator::F16,
        "s32" => Accumulator::S32 { saturate },
        _ => return None,
    })
}

/// Do tensor cores multiply these, and add them up in that?
pub fn exists(a: Format, b: Format, d: Accumulator) -> bool {
    let integer = |f| matches!(f, Format::S8 | Format::U8);
    let same = a == b || a.is_fp8() && b.is_fp8() || integer(a) && integer(b);
    let sum = match d {
        Accumulator::S32 { .. } => integer(a),
        Accumulator::F16 => a.is_fp8() || a == Format::F16,
        Accumulator::F32 => !integer(a),
    };
    same && sum
}

/// Registers that hold an accumulator of `n` columns.
pub fn accumulator_registers(d: Accumulator, n: usize) -> usize {
    if d == Accumulator::F16 { n / 4 } else { n / 2 }
}

/// A register of 32 bits.
pub fn register(d: &Decoder<'_>, operand: &Operand) -> Result<Slot, DecodeError> {
    match (d.rows(operand).as_deref(), d.register_type(operand)) {
        (Some([slot]), Some(ty)) if ty.bytes() == 4 && ty != Type::Pred => Ok(*slot),
        _ => Err(d.error(format!("{operand:?} is no 32-bit register"))),
    }
}

/// Results `{a, b, ...}`: registers, or `_`.
pub fn results(d: &mut Decoder<'_>, operand: &Operand, count: usize) -> Result<Vec<Slot>, DecodeError> {
    let parts = parts(d, operand, count)?;
    let result = |part: &Operand| match part {
        Operand::Sink => Ok(d.temporary(Class::R32)),
        part => register(d, part),
    };
    parts.iter().map(result).collect()
}

/// Operands `{a, b, ...}` of 32 bits: registers, or immediates of their type.
pub fn sources(
    d: &mut Decoder<'_>,
    operand: &Operand,
    count: usize,
    ty: Type,
) -> Result<Vec<Slot>, DecodeError> {
    let parts = parts(d, operand, count)?;
    let source = |part: &Operand| match part {
        Operand::Integer(_) if ty != Type::F32 => d.source(part, ty),
        Operand::Float32(_) if ty == Type::F32 => d.source(part, ty),
        part => register(d, part),
    };
    parts.iter().map(source).collect()
}

fn parts<'o>(d: &Decoder<'_>, operand: &'o Operand, count: usize) -> Result<&'o [Operand], DecodeError> {
    match operand {
        Operand::Vector(parts) if parts.len() == count => Ok(parts),
        Operand::Vector(parts) => {
            Err(d.error(format!("{count} registers are needed here, not {}", parts.len())))
        }
        other => Err(d.error(format!("{other:?} is no list of registers"))),
    }
}

// ---- Factors in registers ---------------------------------------------------------------

/// Which rows of A and columns of B hold something undefined. An element of D is
/// undefined if any of its factors is, whatever the other is.
#[derive(Clone, Copy)]
pub struct Undefined {
    /// A bit a row.
    pub rows: u32,
    /// By column.
    pub columns: [bool; COLUMNS],
    /// Is any column?
    pub any_column: bool,
}

impl Undefined {
    /// Nothing undefined.
    pub const NOTHING: Undefined = Undefined { rows: 0, columns: [false; COLUMNS], any_column: false };

    /// A column of B is.
    pub fn column(&mut self, n: usize) {
        self.columns[n] = true;
        self.any_column = true;
    }

    /// Is anything?
    pub fn any(&self) -> bool {
        self.rows != 0 || self.any_column
    }

    /// Which lanes of a register of D are: its lower and its upper half.
    #[inline(always)]
    fn halves(&self, d: Accumulator, register: usize) -> Halves {
        if self.any() { self.some_halves(d, register) } else { [0, 0] }
    }

    #[cold]
    fn some_halves(&self, d: Accumulator, register: usize) -> Halves {
        let mut halves = [0, 0];
        let element = |(row, column): (usize, usize)| self.rows >> row & 1 == 1 || self.columns[column];
        for lane in 0..32 {
            let [low, high] = match d {
                Accumulator::F16 => {
                    let (row, column) = fragment::of_half_d(register, lane);
                    [element((row, column)), element((row, column + 1))]
                }
                _ => [element(fragment::of_d(register, lane)); 2],
            };
            halves[0] |= u32::from(low) << lane;
            halves[1] |= u32::from(high) << lane;
        }
        halves
    }
}

/// The four bytes of each lane of `slots` go to their place in rows of `depth` bytes.
#[inline(always)]
fn read_factor(
    cpu: &Cpu<'_>,
    slots: &[Slot],
    depth: usize,
    place: impl Fn(usize, usize) -> (usize, usize),
    to: &mut [u8],
    mut undefined: impl FnMut(usize),
) {
    for (register, slot) in slots.iter().enumerate() {
        let row = u32::row(&cpu.warp.registers, cpu.kernel, *slot);
        let unknown = cpu.warp.registers.undefined(*slot);
        for (lane, value) in row.iter().enumerate() {
            let (line, byte) = place(register, lane);
            to[line * depth + byte..][..4].copy_from_slice(&value.to_le_bytes());
            if unknown >> lane & 1 == 1 {
                undefined(line);
            }
        }
    }
}

/// A as its codes: 16 rows of `depth` bytes.
#[inline(always)]
pub fn read_a(
    cpu: &Cpu<'_>,
    slots: &[Slot],
    depth: usize,
    to: &mut [u8; ROWS * DEPTH],
    undefined: &mut Undefined,
) {
    read_factor(cpu, slots, depth, fragment::of_a, to, |row| undefined.rows |= 1 << row);
}

/// B of eight columns as its codes: columns of `depth` bytes.
#[inline(always)]
pub fn read_b(cpu: &Cpu<'_>, slots: &[Slot], depth: usize, to: &mut [u8], undefined: &mut Undefined) {
    read_factor(cpu, slots, depth, fragment::of_b, to, |column| undefined.column(column));
}

// ---- Accumulators -----------------------------------------------------------------------

/// Which lanes of a register are undefined, in its lower and in its upper half.
pub type Halves = [u32; 2];

/// The undefined halves of a register.
#[inline(always)]
pub fn undefined_halves(registers: &Registers, slot: Slot) -> Halves {
    let mut halves = [0, 0];
    let unknown = registers.undefined(slot);
    if unknown == 0 {
        return halves;
    }
    for lane in (0..32).filter(|l| unknown >> l & 1 == 1) {
        let bytes = registers.undefined_bytes(slot, lane);
        halves[0] |= u32::from(bytes & 3 != 0) << lane;
        halves[1] |= u32::from(bytes & 12 != 0) << lane;
    }
    halves
}

/// Makes these halves of a register undefined, the others defined.
#[inline(always)]
pub fn set_undefined_halves(registers: &mut Registers, slot: Slot, halves: Halves) {
    registers.set_undefined(slot, u32::MAX, 0);
    if halves == [0, 0] {
        return;
    }
    for lane in (0..32).filter(|l| (halves[0] | halves[1]) >> l & 1 == 1) {
        let bytes = (3 * (halves[0] >> lane & 1)) | (12 * (halves[1] >> lane & 1));
        registers.set_undefined_bytes(slot, lane, bytes as u8);
    }
}

/// What a register of D is like after an operation on what it was like before.
#[inline(always)]
pub fn undefined_result(undefined: &Undefined, d: Accumulator, register: usize, before: Halves) -> Halves {
    let [low, high] = undefined.halves(d, register);
    let halves = [low | before[0], high | before[1]];
    match d {
        Accumulator::F16 => halves,
        _ => [halves[0] | halves[1]; 2],
    }
}

/// Accumulators as their registers, those of two f16 as two.
#[inline(always)]
pub fn read_d(registers: &Registers, kernel: &Kernel, op: &Operation, slots: &[Slot], to: &mut [Register]) {
    let row = |slot: &Slot| u32::row(registers, kernel, *slot);
    if op.d == Accumulator::F16 {
        for ([even, odd], slot) in to.as_chunks_mut::<2>().0.iter_mut().zip(slots) {
            let pairs = row(slot);
            (*even, *odd) = (pairs.map(|pair| pair & 0xffff), pairs.map(|pair| pair >> 16));
        }
    } else {
        to.iter_mut().zip(slots).for_each(|(to, slot)| *to = *row(slot));
    }
}

/// The inverse of [`read_d`].
#[inline(always)]
pub fn write_d(registers: &mut Registers, op: &Operation, slots: &[Slot], from: &[Register]) {
    if op.d == Accumulator::F16 {
        for ([even, odd], slot) in from.as_chunks::<2>().0.iter().zip(slots) {
            let pair = |lane: usize| even[lane] | odd[lane] << 16;
            *u32::row_mut(registers, *slot) = std::array::from_fn(pair);
        }
    } else {
        from.iter().zip(slots).for_each(|(from, slot)| *u32::row_mut(registers, *slot) = *from);
    }
}
