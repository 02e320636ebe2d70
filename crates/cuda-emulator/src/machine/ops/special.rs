//! Special registers: where a thread is, and what the launch looks like.

use crate::code::{Decoder, Inst, Kind, Slot};
use crate::machine::lanes::both;
use crate::machine::ops::moves::write_any;
use crate::machine::{Cpu, Flow, MULTIPROCESSORS};

/// The value that a special register has for one lane.
type Read = fn(&Cpu<'_>, u32) -> u64;

const SPECIAL: &[(&str, Read)] = &[
    ("%tid.x", |c, lane| thread(c, lane)[0]),
    ("%tid.y", |c, lane| thread(c, lane)[1]),
    ("%tid.z", |c, lane| thread(c, lane)[2]),
    ("%ntid.x", |c, _| c.launch.block[0].into()),
    ("%ntid.y", |c, _| c.launch.block[1].into()),
    ("%ntid.z", |c, _| c.launch.block[2].into()),
    ("%ctaid.x", |c, _| c.block.index[0].into()),
    ("%ctaid.y", |c, _| c.block.index[1].into()),
    ("%ctaid.z", |c, _| c.block.index[2].into()),
    ("%nctaid.x", |c, _| c.launch.grid[0].into()),
    ("%nctaid.y", |c, _| c.launch.grid[1].into()),
    ("%nctaid.z", |c, _| c.launch.grid[2].into()),
    ("%cluster_ctarank", |c, _| c.block.rank.into()),
    ("%cluster_nctarank", |c, _| c.launch.cluster_size().into()),
    ("%gridid", |_, _| 0),
    ("%laneid", |_, lane| lane.into()),
    ("%warpid", |c, _| c.warp.index.into()),
    ("%nwarpid", |c, _| c.launch.block.iter().product::<u32>().div_ceil(32).into()),
    ("WARP_SZ", |_, _| 32),
    ("%smid", |c, _| block_number(c) % u64::from(MULTIPROCESSORS)),
    ("%nsmid", |_, _| MULTIPROCESSORS.into()),
    ("%lanemask_eq", |_, lane| 1 << lane),
    ("%lanemask_lt", |_, lane| (1 << lane) - 1),
    ("%lanemask_le", |_, lane| (2 << lane) - 1),
    ("%lanemask_gt", |_, lane| 0xffff_ffff & !((2 << lane) - 1)),
    ("%lanemask_ge", |_, lane| 0xffff_ffff & !((1 << lane) - 1)),
    ("%clock", |c, _| time(c)),
    ("%clock_hi", |c, _| time(c) >> 32),
    ("%clock64", |c, _| time(c)),
    ("%globaltimer", |c, _| time(c)),
    ("%globaltimer_lo", |c, _| time(c)),
    ("%globaltimer_hi", |c, _| time(c) >> 32),
    ("%dynamic_smem_size", |c, _| c.launch.dynamic_shared.into()),
    ("%total_smem_size", |c, _| c.launch.shared_bytes().into()),
];

fn thread(cpu: &Cpu<'_>, lane: u32) -> [u64; 3] {
    let [x, y, _] = cpu.launch.block;
    let n = cpu.warp.index * 32 + lane;
    [n % x, n / x % y, n / x / y].map(u64::from)
}

fn block_number(cpu: &Cpu<'_>) -> u64 {
    let ([x, y, z], [nx, ny, _]) = (cpu.block.index.map(u64::from), cpu.launch.grid.map(u64::from));
    x + nx * (y + ny * z)
}

/// Time passes with the block's own instructions: repeatable.
fn time(cpu: &Cpu<'_>) -> u64 {
    cpu.block.counters.total()
}

#[inline(always)]
fn read(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    let value_of = SPECIAL[i.aux as usize].1;
    let value: [u64; 32] = std::array::from_fn(|lane| value_of(cpu, lane as u32));
    let mask = cpu.mask;
    write_any(cpu, i.dst[0], mask, &value, &[0; 32]);
    Flow::Next
}

/// The number of a special register in this file's table.
pub fn named(name: &str) -> Option<u32> {
    SPECIAL.iter().position(|(known, _)| *known == name).map(|n| n as u32)
}

/// `dst` = the special register `number`.
pub fn emit(d: &mut Decoder<'_>, dst: Slot, number: u32) {
    d.emit(both!(read), Kind::Integer, &[dst], &[]).aux = number;
}
