//! Between addresses within a state space and generic ones: `cvta`, `isspacep`.

use crate::code::{DecodeError, Decoder, Inst, Kind, LOCAL_WINDOW, PARAM_WINDOW, SHARED_WINDOW, Windowed};
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
            Windowed::Shared(_) => is(Space::Shared),
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
        Space::Shared => SHARED_WINDOW,
        Space::Local => LOCAL_WINDOW,
        Space::Param => PARAM_WINDOW,
        Space::Generic | Space::Global | Space::Const => 0,
    }
}

/// Decodes this family.
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
    if is_name && (i.opcode == "isspacep" || to || d.variable_space(src) != Some(space)) {
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
