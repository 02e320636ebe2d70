//! What the lanes of a warp do together: `shfl`, `vote`, `match`, `redux`,
//! `elect`, `activemask`, `bar.warp.sync`.
//!
//! The lanes that execute a `.sync` instruction with the same member mask are
//! a group. A group acts when all its lanes that have not ended are here;
//! until then it waits, while other groups of the warp go on.

use crate::code::{Class, DecodeError, Decoder, Inst, Kind, Op, Slot};
use crate::machine::lanes::both;
use crate::machine::ops::{Modifiers, type_of};
use crate::machine::registers::{Raw, blend};
use crate::machine::{Cpu, Flow};
use crate::ptx::ast::{Instruction, Operand, Type};
use crate::verdict::{Use, Verdict};

impl Cpu<'_> {
    /// For a `.sync` instruction with the member masks in `slot`: narrows
    /// `mask` to the lanes whose group is complete; the others stay here. If
    /// no group is complete the instruction parks, if one is misused it fails.
    /// An instruction that has gathered ends with `Cpu::scatter_rest`.
    #[inline(always)]
    pub fn gather(&mut self, slot: Slot) -> Result<(), Flow> {
        self.require_defined(slot, Use::Control)?;
        let masks = *u32::row(&self.warp.registers, self.kernel, slot);
        let here = self.mask;
        let (mut complete, mut missing) = (0, 0);
        let mut rest = here;
        while rest != 0 {
            let mask = masks[rest.trailing_zeros() as usize];
            let group = rest & equal_lanes(&masks, mask);
            if group & !mask != 0 {
                return Err(self.fault(Verdict::MemberMask { mask }, group & !mask));
            }
            match mask & self.warp.live & !group {
                0 => complete |= group,
                _ => missing |= mask & self.warp.live,
            }
            rest &= !group;
        }
        if complete == 0 {
            return Err(Flow::Park(missing));
        }
        if complete != here {
            self.scatter = vec![(self.pc, here & !complete)];
            self.mask = complete;
        }
        Ok(())
    }

    /// After the instruction: the lanes that [`Cpu::gather`] left out stay.
    #[inline(always)]
    fn scatter_rest(&self) -> Flow {
        if self.scatter.is_empty() { Flow::Next } else { Flow::Scatter }
    }

    /// The complete groups' lanes. Only after [`Cpu::gather`].
    #[inline(always)]
    fn groups(&self, slot: Slot) -> impl Iterator<Item = u32> + use<> {
        let masks = *u32::row(&self.warp.registers, self.kernel, slot);
        let mut rest = self.mask;
        std::iter::from_fn(move || {
            let group = rest & masks[rest.trailing_zeros() as usize % 32];
            rest &= !group;
            (group != 0).then_some(group)
        })
    }
}

#[inline(always)]
fn equal_lanes<T: PartialEq>(row: &[T; 32], value: T) -> u32 {
    row.iter().enumerate().fold(0, |lanes, (l, v)| lanes | u32::from(*v == value) << l)
}

#[inline(always)]
fn lanes_of(mask: u32) -> impl Iterator<Item = usize> {
    (0..32).filter(move |l| mask >> l & 1 == 1)
}

/// `bar.warp.sync`
#[inline(always)]
fn barrier(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    match cpu.gather(i.src[0]) {
        Ok(()) => {
            cpu.acting_clock().meet_lanes();
            cpu.scatter_rest()
        }
        Err(flow) => flow,
    }
}

#[inline(always)]
fn active(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    let mask = cpu.mask;
    cpu.broadcast(i.dst[0], mask);
    Flow::Next
}

// ---- Shuffles --------------------------------------------------------------------------

const MODES: [&str; 4] = ["up", "down", "bfly", "idx"];
const UP: u32 = 0;
const DOWN: u32 = 1;
const BFLY: u32 = 2;

/// src: value, lane operand, segments (clamp in bits 0 to 4, mask in 8 to 12), members.
#[inline(always)]
fn shuffle(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    if let Err(flow) = cpu.gather(i.src[3]) {
        return flow;
    }
    for control in &i.src[1..3] {
        if let Err(flow) = cpu.require_defined(*control, Use::Control) {
            return flow;
        }
    }
    let r = &cpu.warp.registers;
    let [values, operands, segments, members] = i.src.map(|slot| *u32::row(r, cpu.kernel, slot));
    let mask = cpu.mask;
    let (mut value, mut inside, mut undefined) = ([0; 32], 0, [0; 32]);
    for lane in lanes_of(mask) {
        let (own, operand) = (lane as i32, (operands[lane] & 31) as i32);
        let (clamp, segment) = ((segments[lane] & 31) as i32, (segments[lane] >> 8 & 31) as i32);
        let first = own & segment;
        let limit = first | clamp & !segment;
        let from = match i.aux {
            UP => own - operand,
            DOWN => own + operand,
            BFLY => own ^ operand,
            _ => first | operand & !segment,
        };
        let holds = if i.aux == UP { from >= limit } else { from <= limit };
        let from = if holds { from as usize } else { lane };
        inside |= u32::from(holds) << lane;
        value[lane] = values[from];
        // A lane that does not take part gives no value.
        let gives = members[lane] & mask & 1 << from != 0;
        undefined[lane] = if gives { r.undefined_bytes(i.src[0], from) } else { 0x0f };
    }
    blend(u32::row_mut(&mut cpu.warp.registers, i.dst[0]), mask, &value);
    cpu.warp.registers.set_undefined(i.dst[0], mask, 0);
    for lane in lanes_of(mask).filter(|l| undefined[*l] != 0) {
        cpu.warp.registers.set_undefined_bytes(i.dst[0], lane, undefined[lane]);
    }
    if i.dst[1].is_some() {
        cpu.warp.registers.set_pred(i.dst[1], mask, inside, 0);
    }
    cpu.scatter_rest()
}

// ---- One result from all lanes of a group ----------------------------------------------

/// Gives each group (members in src[1]) what `f` makes of its lanes. The result
/// is undefined where src[0] is for any of them. A second destination, a
/// predicate, says whether the result is not zero.
#[inline(always)]
fn collect(cpu: &mut Cpu<'_>, i: &Inst, f: impl Fn(&Cpu<'_>, u32) -> [u32; 32]) -> Flow {
    if let Err(flow) = cpu.gather(i.src[1]) {
        return flow;
    }
    let mask = cpu.mask;
    let unknown = cpu.warp.registers.undefined(i.src[0]);
    let (mut value, mut undefined) = ([0; 32], 0);
    for group in cpu.groups(i.src[1]) {
        blend(&mut value, group, &f(cpu, group));
        if unknown & group != 0 {
            undefined |= group;
        }
    }
    let r = &mut cpu.warp.registers;
    for dst in i.dst.into_iter().filter(|d| d.is_some()) {
        match dst.class() {
            Class::Pred => r.set_pred(dst, mask, !equal_lanes(&value, 0), undefined),
            _ => {
                blend(u32::row_mut(r, dst), mask, &value);
                r.set_undefined(dst, mask, undefined);
            }
        }
    }
    cpu.scatter_rest()
}

macro_rules! vote {
    ($name:ident, |$holds:ident, $group:ident| $result:expr) => {
        #[inline(always)]
        fn $name(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
            collect(cpu, i, |cpu, $group| {
                let $holds = cpu.warp.registers.pred(cpu.kernel, i.src[0]) & $group;
                [u32::from($result); 32]
            })
        }
    };
}

vote!(vote_all, |holds, group| holds == group);
vote!(vote_any, |holds, _group| holds != 0);
vote!(vote_uni, |holds, group| holds == group || holds == 0);
vote!(vote_ballot, |holds, _group| holds);

#[inline(always)]
fn match_any<T: Raw + PartialEq>(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    collect(cpu, i, |cpu, group| {
        let row = T::row(&cpu.warp.registers, cpu.kernel, i.src[0]);
        row.map(|v| equal_lanes(row, v) & group)
    })
}

#[inline(always)]
fn match_all<T: Raw + PartialEq>(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    collect(cpu, i, |cpu, group| {
        let row = T::row(&cpu.warp.registers, cpu.kernel, i.src[0]);
        let first = row[group.trailing_zeros() as usize];
        [if equal_lanes(row, first) & group == group { group } else { 0 }; 32]
    })
}

macro_rules! redux {
    ($ty:ty, $f:expr) => {{
        #[inline(always)]
        fn body(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
            collect(cpu, i, |cpu, group| {
                let row = u32::row(&cpu.warp.registers, cpu.kernel, i.src[0]);
                let f: fn($ty, $ty) -> $ty = $f;
                [lanes_of(group).map(|l| row[l] as $ty).reduce(f).unwrap_or_default() as u32; 32]
            })
        }
        both!(body)
    }};
}

/// `elect.sync`: the lowest lane of each group is elected.
#[inline(always)]
fn elect(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    if let Err(flow) = cpu.gather(i.src[0]) {
        return flow;
    }
    let mask = cpu.mask;
    let (mut leader, mut elected) = ([0; 32], 0);
    for group in cpu.groups(i.src[0]) {
        let lowest = group.trailing_zeros();
        blend(&mut leader, group, &[lowest; 32]);
        elected |= 1 << lowest;
    }
    let r = &mut cpu.warp.registers;
    blend(u32::row_mut(r, i.dst[0]), mask, &leader);
    r.set_undefined(i.dst[0], mask, 0);
    r.set_pred(i.dst[1], mask, elected, 0);
    cpu.scatter_rest()
}

// ---- Decoding --------------------------------------------------------------------------

/// Decodes this family.
pub fn decode(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    let mut m = Modifiers::of(i);
    if i.opcode == "activemask" {
        let ([dst], true) = (i.operands.as_slice(), m.take("b32") && m.done()) else {
            return Err(d.unknown(i));
        };
        let dst = d.dest(dst, Type::B32)?;
        d.emit(both!(active), Kind::Warp, &[dst], &[]);
        return Ok(());
    }
    if !m.flag("sync") {
        return Err(d.error(format!("`{}` without `.sync` does not exist since sm_70", i.opcode)));
    }
    let ty = m.find(type_of);
    let mode = m.advance().unwrap_or_default();
    if !m.done() {
        return Err(d.unknown(i));
    }
    match (i.opcode.as_str(), ty, i.operands.as_slice()) {
        ("shfl", Some(Type::B32), [dst, value, operand, segments, members]) => {
            let mode = MODES.iter().position(|known| *known == mode).ok_or_else(|| d.unknown(i))?;
            // The value may not be dropped, though that of `match.all` may.
            if matches!(dst, Operand::Pair(value, _) if **value == Operand::Sink) || *dst == Operand::Sink {
                return Err(d.unknown(i));
            }
            let dst = pair(d, dst)?;
            let mut src = [Slot::NONE; 4];
            for (slot, operand) in src.iter_mut().zip([value, operand, segments, members]) {
                *slot = d.source(operand, Type::B32)?;
            }
            d.emit(both!(shuffle), Kind::Warp, &dst, &src).aux = mode as u32;
        }
        ("vote", Some(ty), [dst, value, members]) => {
            let (op, result) = match mode {
                "all" => (both!(vote_all), Type::Pred),
                "any" => (both!(vote_any), Type::Pred),
                "uni" => (both!(vote_uni), Type::Pred),
                "ballot" => (both!(vote_ballot), Type::B32),
                _ => return Err(d.unknown(i)),
            };
            if ty != result {
                return Err(d.unknown(i));
            }
            let dst = d.dest(dst, result)?;
            emit(d, op, &[dst], value, Type::Pred, members)?;
        }
        ("match", Some(ty @ (Type::B32 | Type::B64)), [dst, value, members]) => {
            let (op, dst) = match (mode, ty) {
                ("any", Type::B32) => (both!(match_any::<u32>), [d.dest(dst, Type::B32)?, Slot::NONE]),
                ("any", _) => (both!(match_any::<u64>), [d.dest(dst, Type::B32)?, Slot::NONE]),
                ("all", Type::B32) => (both!(match_all::<u32>), pair(d, dst)?),
                ("all", _) => (both!(match_all::<u64>), pair(d, dst)?),
                _ => return Err(d.unknown(i)),
            };
            emit(d, op, &dst, value, ty, members)?;
        }
        ("redux", Some(ty), [dst, value, members]) => {
            let op = match (mode, ty) {
                ("add", Type::U32 | Type::S32) => redux!(u32, u32::wrapping_add),
                ("min", Type::U32) => redux!(u32, u32::min),
                ("max", Type::U32) => redux!(u32, u32::max),
                ("min", Type::S32) => redux!(i32, i32::min),
                ("max", Type::S32) => redux!(i32, i32::max),
                ("and", Type::B32) => redux!(u32, |a, b| a & b),
                ("or", Type::B32) => redux!(u32, |a, b| a | b),
                ("xor", Type::B32) => redux!(u32, |a, b| a ^ b),
                _ => return Err(d.unknown(i)),
            };
            let dst = d.dest(dst, ty)?;
            emit(d, op, &[dst], value, ty, members)?;
        }
        ("elect", None, [Operand::Pair(leader, elected), members]) if mode.is_empty() => {
            let dst = [d.dest(leader, Type::B32)?, d.dest(elected, Type::Pred)?];
            let members = d.source(members, Type::B32)?;
            d.emit(both!(elect), Kind::Warp, &dst, &[members]);
        }
        _ => return Err(d.unknown(i)),
    }
    Ok(())
}

/// `bar.warp.sync members`
pub fn decode_barrier(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    d.expect_operands(i, 1)?;
    let members = d.source(&i.operands[0], Type::B32)?;
    d.emit(both!(barrier), Kind::Barrier, &[], &[members]);
    Ok(())
}

fn emit(
    d: &mut Decoder<'_>,
    op: Op,
    dst: &[Slot],
    value: &Operand,
    ty: Type,
    members: &Operand,
) -> Result<(), DecodeError> {
    let src = [d.source(value, ty)?, d.source(members, Type::B32)?];
    d.emit(op, Kind::Warp, dst, &src);
    Ok(())
}

/// `d` or `d|p`
fn pair(d: &mut Decoder<'_>, operand: &Operand) -> Result<[Slot; 2], DecodeError> {
    match operand {
        Operand::Pair(value, p) => Ok([d.dest(value, Type::B32)?, d.dest(p, Type::Pred)?]),
        value => Ok([d.dest(value, Type::B32)?, Slot::NONE]),
    }
}
