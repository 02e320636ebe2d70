//! `mma.sync`: a warp multiplies two small matrices and adds a third.

use super::tensor::{self, Undefined};
use crate::code::{DecodeError, Decoder, Inst, Kind};
use crate::machine::lanes::both;
use crate::machine::matrix::fragment::{DEPTH, ROWS};
use crate::machine::ops::Modifiers;
use crate::machine::{Cpu, Flow};
use crate::numeric::tensor_core::{self, Accumulator, Columns, Operation, Rows, Unit};
use crate::ptx::ast::{Instruction, Type};

const COLUMNS: usize = 8;

/// List: D; A, B, C.
#[inline(always)]
fn multiply(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    if let Err(flow) = cpu.whole_warp() {
        return flow;
    }
    let op = tensor::unpack(i.aux);
    let depth = op.k * op.a.bytes();
    let (results, operands) = (cpu.results(i), cpu.operands(i));
    let (a, operands) = operands.split_at(depth / 8);
    let (b, c) = operands.split_at(depth / 16);

    let mut undefined = Undefined::NOTHING;
    let (mut a_codes, mut b_codes) = ([0; ROWS * DEPTH], [0; COLUMNS * DEPTH]);
    tensor::read_a(cpu, a, depth, &mut a_codes, &mut undefined);
    tensor::read_b(cpu, b, depth, &mut b_codes, &mut undefined);
    let mut d = [[0; 32]; COLUMNS / 2];
    tensor::read_d(&cpu.warp.registers, cpu.kernel, &op, c, &mut d);
    let mut halves = [[0; 2]; 4];
    for (register, (halves, c)) in halves.iter_mut().zip(c).enumerate() {
        let before = tensor::undefined_halves(&cpu.warp.registers, *c);
        *halves = tensor::undefined_result(&undefined, op.d, register, before);
    }

    let arithmetic = cpu.launch.arithmetic;
    let (mut rows, mut columns) = (Rows::ZERO, [Columns::ZERO]);
    rows.set(&op, arithmetic, &a_codes[..ROWS * depth]);
    Columns::set(&mut columns, &op, arithmetic, &b_codes[..COLUMNS * depth]);
    tensor_core::multiply(&op, arithmetic, &rows, &columns, &mut d);
    cpu.block.tally.multiply(&op, ROWS);

    tensor::write_d(&mut cpu.warp.registers, &op, results, &d);
    for (d, halves) in results.iter().zip(halves) {
        tensor::set_undefined_halves(&mut cpu.warp.registers, *d, halves);
    }
    Flow::Next
}

/// Decodes this family.
pub fn decode(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    let mut m = Modifiers::of(i);
    let form = m.take("sync") && m.take("aligned");
    let k = m.take_if(|w| w.strip_prefix("m16n8k").and_then(|k| k.parse::<usize>().ok()));
    let layout = m.take("row") && m.take("col");
    let before = m.take("satfinite");
    let sum = m.advance().unwrap_or_default();
    let (a, b) = (m.take_if(tensor::format_of), m.take_if(tensor::format_of));
    let start = m.advance().unwrap_or_default();
    let saturate = before || m.take("satfinite");
    let same = start == sum;
    let sum = tensor::accumulator_of(sum, saturate);
    let (true, Some(k), Some(a), Some(b), Some(sum)) = (form && layout && m.done(), k, a, b, sum) else {
        return Err(d.unknown(i));
    };
    let integer = matches!(sum, Accumulator::S32 { .. });
    let depth = k * a.bytes();
    if !same || !tensor::exists(a, b, sum) || !matches!(depth, 16 | 32) || saturate && !integer {
        return Err(d.unknown(i));
    }
    d.expect_operands(i, 4)?;
    let op = Operation { a, b, d: sum, unit: Unit::Warp, negate: false, n: COLUMNS, k };
    let accumulators = tensor::accumulator_registers(sum, COLUMNS);
    let results = tensor::results(d, &i.operands[0], accumulators)?;
    let mut operands = tensor::sources(d, &i.operands[1], depth / 8, Type::B32)?;
    operands.extend(tensor::sources(d, &i.operands[2], depth / 16, Type::B32)?);
    let literal = if sum == Accumulator::F32 { Type::F32 } else { Type::B32 };
    operands.extend(tensor::sources(d, &i.operands[3], accumulators, literal)?);
    let list = d.list(&results, &operands);
    let inst = d.emit(both!(multiply), Kind::Tensor, &[], &[]);
    inst.aux = tensor::pack(&op);
    inst.list = list;
    Ok(())
}
