//! Addresses: those that memory operands name; between those within a state space
//! and generic ones, `cvta` and `isspacep`.

use crate::code::{
    Class, DecodeError, Decoder, Inst, Kind, LOCAL_WINDOW, PARAM_WINDOW, Reference, SHARED_WINDOW, Slot,
    Windowed,
};
use crate::machine::lanes::{both, lane_op};
use crate::machine::ops::memory::space_of;
use crate::machine::ops::{Modifiers, moves};
use crate::machine::{Cpu, Flow};
use crate::memory::RegionKind;
use crate::ptx::ast::{Instruction, Operand, Space, Type};

/// `isspacep`: does a generic address lie in the space of `aux`? Constants have
/// no window: they lie among the global addresses, where the map knows them.
/// The window of parameters counts as global too.
#[inline(always)]
fn in_space(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    let addresses = cpu.addresses(i, i.src[0]);
    let is = |space: Space| i.aux == space as u32;
    let holds = addresses.iter().enumerate().fold(0u32, |lanes, (l, a)| {
        let inside = match Windowed::of(*a) {
            // That of another block is the cluster's only.
            Windowed::Shared(at) => match cpu.shared_place(at) {
                Some((rank, _)) => is(Space::Cluster) || is(Space::Shared) && rank == cpu.block.rank,
                None => false,
            },
            Windowed::Local(_) => is(Space::Local),
            Windowed::Param(_) => is(Space::Param) || is(Space::Global),
            Windowed::Global(_) => match cpu.launch.memory.find(*a).map(|region| region.kind) {
                Some(RegionKind::Constant) => is(Space::Const),
                _ => is(Space::Global),
            },
        };
        lanes | u32::from(inside) << l
    });
    let mask = cpu.mask;
    let undefined = cpu.warp.registers.undefined(i.src[0]);
    cpu.warp.registers.set_pred(i.dst[0], mask, holds, undefined);
    Flow::Next
}

/// The window that a space's generic addresses lie in; 0 for global and constant.
fn window(space: Space) -> u64 {
    match space {
        Space::Shared | Space::Cluster => SHARED_WINDOW,
        Space::Local => LOCAL_WINDOW,
        Space::Param => PARAM_WINDOW,
        Space::Generic | Space::Global | Space::Const => 0,
    }
}

/// The address that a memory operand names, as one row.
pub fn address(d: &mut Decoder<'_>, operand: &Operand, space: Space) -> Result<Slot, DecodeError> {
    let Reference { base, offset } = d.reference(operand, space)?;
    Ok(emit_sum(d, base, offset))
}

/// A row plus a number.
pub fn emit_sum(d: &mut Decoder<'_>, base: Slot, offset: i64) -> Slot {
    if offset == 0 {
        return base;
    }
    let sum = d.temporary(base.class());
    let (op, offset) = match base.class() {
        Class::R64 => (lane_op!(|a: u64, b: u64| -> u64 { a.wrapping_add(b) }), d.constant64(offset as u64)),
        _ => (lane_op!(|a: u32, b: u32| -> u32 { a.wrapping_add(b) }), d.constant32(offset as u32)),
    };
    d.emit(op, Kind::Integer, &[sum], &[base, offset]);
    sum
}

/// Decodes `cvta` and `isspacep`.
pub fn decode(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    let mut m = Modifiers::of(i);
    let [dst, src] = i.operands.as_slice() else { return Err(d.unknown(i)) };
    let to = i.opcode == "cvta" && m.take("to");
    let space = m.take_if(|word| space_of(word).filter(|_| word != "param::func"));
    let Some(space) = space else { return Err(d.unknown(i)) };
    // Generic addresses have 64 bits, and `cvta` the same on both sides.
    let size = i.opcode == "isspacep" || m.take("u64");
    if !size || !m.done() {
        return Err(d.unknown(i));
    }
    let is_name = matches!(src, Operand::Name { .. }) && d.register_type(src).is_none();
    let within = if space == Space::Cluster { Space::Shared } else { space };
    if is_name && (i.opcode == "isspacep" || to || d.variable_space(src) != Some(within)) {
        return Err(d.error(format!("{src:?} is no operand of this `{}`", i.opcode)));
    }
    let src = d.source(src, Type::U64)?;
    if i.opcode == "isspacep" {
        let dst = d.dest(dst, Type::Pred)?;
        d.emit(both!(in_space), Kind::Integer, &[dst], &[src]).aux = space as u32;
        return Ok(());
    }
    let dst = d.dest(dst, Type::U64)?;
    match window(space) {
        0 => moves::emit_copy(d, dst, src),
        w => {
            let w = d.constant64(w);
            let op = match to {
                true => lane_op!(|a: u64, w: u64| -> u64 { a.wrapping_sub(w) }),
                false => lane_op!(|a: u64, w: u64| -> u64 { a.wrapping_add(w) }),
            };
            d.emit(op, Kind::Integer, &[dst], &[src, w]);
        }
    }
    Ok(())
}
