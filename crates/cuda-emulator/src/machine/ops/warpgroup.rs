//! `setmaxnreg`: a warpgroup gives registers back, or takes them.
//!
//! PTX's registers are unlimited, so nothing depends on it here. What it asks is
//! checked: the count, and that all lanes of a warp come together.

use crate::code::{DecodeError, Decoder, Inst, Kind};
use crate::machine::lanes::both;
use crate::machine::ops::Modifiers;
use crate::machine::{Cpu, Flow};
use crate::ptx::ast::{Instruction, Operand};

#[inline(always)]
fn set(cpu: &mut Cpu<'_>, _: &Inst) -> Flow {
    if cpu.mask != cpu.warp.live { Flow::Park(cpu.warp.live) } else { Flow::Next }
}

/// Decodes this family.
pub fn decode(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    let mut m = Modifiers::of(i);
    let known = (m.take("inc") || m.take("dec")) && m.take("sync") && m.take("aligned") && m.take("u32");
    match (i.operands.as_slice(), known && m.done()) {
        ([Operand::Integer(count)], true) if (24..=256).contains(count) && count % 8 == 0 => {
            d.emit(both!(set), Kind::Control, &[], &[]);
            Ok(())
        }
        ([Operand::Integer(count)], true) => {
            Err(d.error(format!("a count of {count} registers is no multiple of 8 from 24 to 256")))
        }
        _ => Err(d.unknown(i)),
    }
}
