//! `prefetch` and `prefetchu`, of tensor maps and of anything else.

use crate::code::{DecodeError, Decoder, Inst, Kind, Reference};
use crate::machine::lanes::both;
use crate::machine::{Cpu, Flow};
use crate::ptx::ast::{Instruction, Space};
use crate::verdict::Use;

/// There are no caches; a GPU does nothing either where there is nothing to fetch.
#[inline(never)]
fn prefetch(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    match cpu.require_defined(i.src[0], Use::Address) {
        Ok(()) => Flow::Next,
        Err(flow) => flow,
    }
}

/// Decodes this family.
pub fn decode(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    const KNOWN: &[(&str, &[&str], Space)] = &[
        ("prefetch", &["tensormap"], Space::Generic),
        ("prefetch", &["const", "tensormap"], Space::Const),
        ("prefetch", &["param", "tensormap"], Space::Param),
        ("prefetch", &["L1"], Space::Generic),
        ("prefetch", &["L2"], Space::Generic),
        ("prefetch", &["L2::evict_last"], Space::Generic),
        ("prefetch", &["L2::evict_normal"], Space::Generic),
        ("prefetch", &["global", "L1"], Space::Global),
        ("prefetch", &["global", "L2"], Space::Global),
        ("prefetch", &["global", "L2::evict_last"], Space::Global),
        ("prefetch", &["global", "L2::evict_normal"], Space::Global),
        ("prefetch", &["local", "L1"], Space::Local),
        ("prefetch", &["local", "L2"], Space::Local),
        ("prefetchu", &["L1"], Space::Generic),
    ];
    let known = KNOWN.iter().find(|(opcode, modifiers, _)| i.opcode == *opcode && i.modifiers == *modifiers);
    let (Some((_, _, space)), [at]) = (known, i.operands.as_slice()) else { return Err(d.unknown(i)) };
    let Reference { base, .. } = d.reference(at, *space)?;
    d.emit(both!(prefetch), Kind::Global, &[], &[base]);
    Ok(())
}
