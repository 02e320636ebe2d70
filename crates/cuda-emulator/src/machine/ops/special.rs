//! Special registers: where a thread is, and what the launch looks like.
//!
//! Not here, and so refused by name: the performance counters `%pm0`, ..., which
//! count nothing here, and `%reserved_smem_offset_0`, `_1`, whose meaning
//! belongs to NVIDIA's system software.

use crate::code::{Class, Decoder, Inst, Kind, SHARED_START, Slot};
use crate::machine::lanes::both;
use crate::machine::ops::moves::write_any;
use crate::machine::{Cpu, Flow, MULTIPROCESSORS};
use crate::ptx::ast::Type;

/// The value that a special register has for one lane.
type Read = fn(&Cpu<'_>, u32) -> u64;
/// The same of the parts `x`, `y`, `z`; `w` is always zero.
type ReadVector = fn(&Cpu<'_>, u32) -> [u32; 3];

/// Vectors of four 32-bit parts.
const VECTORS: &[(&str, ReadVector)] = &[
    ("%tid", thread),
    ("%ntid", |c, _| c.launch.block),
    ("%ctaid", |c, _| c.block.index),
    ("%nctaid", |c, _| c.launch.grid),
    ("%clusterid", |c, _| by_axis(c, |index, _, cluster| index / cluster)),
    ("%nclusterid", |c, _| by_axis(c, |_, grid, cluster| grid / cluster)),
    ("%cluster_ctaid", |c, _| by_axis(c, |index, _, cluster| index % cluster)),
    ("%cluster_nctaid", |c, _| c.launch.cluster),
];

const SCALARS: &[(&str, Type, Read)] = &[
    ("%laneid", Type::U32, |_, lane| lane.into()),
    ("%warpid", Type::U32, |c, _| c.warp.index.into()),
    ("%nwarpid", Type::U32, |_, _| MAX_WARPS),
    ("%smid", Type::U32, |c, _| linear(c.block.index, c.launch.grid) % u64::from(MULTIPROCESSORS)),
    ("%nsmid", Type::U32, |_, _| MULTIPROCESSORS.into()),
    ("%gridid", Type::U64, |_, _| 0),
    // A launch that asks for clusters of one block looks like one that does not.
    ("%is_explicit_cluster", Type::Pred, |c, _| {
        u64::from(c.kernel.cluster.is_some() || c.launch.cluster != [1; 3])
    }),
    ("%cluster_ctarank", Type::U32, |c, _| {
        linear(by_axis(c, |index, _, cluster| index % cluster), c.launch.cluster)
    }),
    ("%cluster_nctarank", Type::U32, |c, _| c.launch.cluster.iter().product::<u32>().into()),
    ("%lanemask_eq", Type::U32, |_, lane| 1 << lane),
    ("%lanemask_lt", Type::U32, |_, lane| (1 << lane) - 1),
    ("%lanemask_le", Type::U32, |_, lane| (2 << lane) - 1),
    ("%lanemask_gt", Type::U32, |_, lane| 0xffff_ffff & !((2 << lane) - 1)),
    ("%lanemask_ge", Type::U32, |_, lane| 0xffff_ffff & !((1 << lane) - 1)),
    ("%clock", Type::U32, |c, _| time(c)),
    ("%clock_hi", Type::U32, |c, _| time(c) >> 32),
    ("%clock64", Type::U64, |c, _| time(c)),
    ("%globaltimer", Type::U64, |c, _| time(c)),
    ("%globaltimer_lo", Type::U32, |c, _| time(c)),
    ("%globaltimer_hi", Type::U32, |c, _| time(c) >> 32),
    ("%dynamic_smem_size", Type::U32, |c, _| c.launch.dynamic_shared.into()),
    ("%total_smem_size", Type::U32, |c, _| shared_bytes(c)),
    ("%aggr_smem_size", Type::U32, |c, _| shared_bytes(c) + u64::from(SHARED_START)),
    // What the system keeps of each block's shared memory: everything below the first address.
    ("%reserved_smem_offset_begin", Type::U32, |_, _| 0),
    ("%reserved_smem_offset_end", Type::U32, |_, _| SHARED_START.into()),
    ("%reserved_smem_offset_cap", Type::U32, |_, _| SHARED_START.into()),
    // No kernel is launched by a graph that runs on the device.
    ("%current_graph_exec", Type::U64, |_, _| 0),
];

/// Warps that a multiprocessor holds.
const MAX_WARPS: u64 = 64;
/// Shared memory is given out in units of this.
const SHARED_UNIT: u32 = 128;
/// `%envreg0` to `%envreg31`, which the driver sets for a few kinds of launch only.
const ENVIRONMENT: u32 = 32;

fn thread(cpu: &Cpu<'_>, lane: u32) -> [u32; 3] {
    let [x, y, _] = cpu.launch.block;
    let n = cpu.warp.index * 32 + lane;
    [n % x, n / x % y, n / x / y]
}

/// The number of a place in a box, `x` first.
fn linear([x, y, z]: [u32; 3], [nx, ny, _]: [u32; 3]) -> u64 {
    let [x, y, z, nx, ny] = [x, y, z, nx, ny].map(u64::from);
    x + nx * (y + ny * z)
}

/// `f(block index, blocks of the grid, blocks of a cluster)` for each axis.
fn by_axis(cpu: &Cpu<'_>, f: impl Fn(u32, u32, u32) -> u32) -> [u32; 3] {
    std::array::from_fn(|a| f(cpu.block.index[a], cpu.launch.grid[a], cpu.launch.cluster[a].max(1)))
}

fn shared_bytes(cpu: &Cpu<'_>) -> u64 {
    cpu.launch.shared_bytes().next_multiple_of(SHARED_UNIT).into()
}

/// Time passes with the block's own instructions: repeatable.
fn time(cpu: &Cpu<'_>) -> u64 {
    cpu.block.tally.steps
}

#[inline(always)]
fn read(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    let number = i.aux as usize;
    let each = |value: &dyn Fn(u32) -> u64| std::array::from_fn(|lane| value(lane as u32));
    let scalar = number.checked_sub(4 * VECTORS.len()).and_then(|n| SCALARS.get(n));
    let value: [u64; 32] = match (VECTORS.get(number / 4), scalar) {
        (Some((_, parts)), _) => each(&|lane| parts(cpu, lane).get(number % 4).copied().unwrap_or(0).into()),
        (_, Some((_, _, of))) => each(&|lane| of(cpu, lane)),
        // A register of the environment.
        _ => [0; 32],
    };
    let (mask, dst) = (cpu.mask, i.dst[0]);
    if dst.class() == Class::Pred {
        let lanes = (0..32).fold(0, |lanes, l| lanes | u32::from(value[l] != 0) << l);
        cpu.warp.registers.set_pred(dst, mask, lanes, 0);
    } else {
        write_any(cpu, dst, mask, &value, &[0; 32]);
    }
    Flow::Next
}

/// The number and the type of a special register.
pub fn named(name: &str) -> Option<(u32, Type)> {
    let (vectors, scalars) = (4 * VECTORS.len(), SCALARS.len());
    if let Some(n) = SCALARS.iter().position(|(known, ..)| *known == name) {
        return Some(((vectors + n) as u32, SCALARS[n].1));
    }
    if let Some(n) = name.strip_prefix("%envreg").and_then(|n| n.parse::<u32>().ok()) {
        return (n < ENVIRONMENT).then_some(((vectors + scalars) as u32 + n, Type::U32));
    }
    let (whole, part) = name.rsplit_once('.')?;
    let vector = VECTORS.iter().position(|(known, _)| *known == whole)?;
    let part = ["x", "y", "z", "w"].iter().position(|p| *p == part)?;
    Some(((4 * vector + part) as u32, Type::U32))
}

/// May a special register be read at less than its width? Early PTX had these in
/// 16 bits, and `%gridid` in 32.
pub fn has_short_form(number: u32) -> bool {
    let number = number as usize;
    let name = VECTORS.get(number / 4).map(|(name, _)| *name);
    let name = name.or_else(|| SCALARS.get(number.wrapping_sub(4 * VECTORS.len())).map(|(name, ..)| *name));
    matches!(name, Some("%tid" | "%ntid" | "%ctaid" | "%nctaid" | "%gridid"))
}

/// `dst` = the special register `number`, or its low bits.
pub fn emit(d: &mut Decoder<'_>, dst: Slot, number: u32) {
    d.emit(both!(read), Kind::Integer, &[dst], &[]).aux = number;
}
