//! Bulk copies of tensors' boxes: `cp.async.bulk.tensor`, `cp.reduce.async.bulk.tensor`,
//! `cp.async.bulk.prefetch.tensor`.

use crate::code::{DecodeError, Decoder, Inst, Kind, Reference, Slot};
use crate::machine::lanes::both;
use crate::machine::ops::Modifiers;
use crate::machine::ops::address::{address, emit_sum};
use crate::machine::ops::bulk::{check_mbarrier, destinations, other_block};
use crate::machine::ops::memory::space_of;
use crate::machine::tensor_map::{Reduction, Tile, Way};
use crate::machine::transfer::{Completion, Transfer, Work};
use crate::machine::{Cpu, Flow};
use crate::ptx::ast::{Instruction, Operand, Space, Type};
use crate::verdict::{Access, Use, Verdict};

const STORE: u32 = 1;
const MULTICAST: u32 = 2;
const PREFETCH: u32 = 4;
/// A reduction by its number in `aux` above these bits.
const REDUCE: u32 = 8;

const REDUCTIONS: [&str; 8] = ["add", "min", "max", "inc", "dec", "and", "or", "xor"];
/// The number of no reduction.
const COPY: u32 = 255;

/// src: shared address, tensor map, mbarrier or none. list: coordinates, then the mask of a multicast.
#[inline(never)]
fn copy(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    for slot in i.src.iter().filter(|slot| slot.is_some()) {
        if let Err(flow) = cpu.require_defined(*slot, Use::Address) {
            return flow;
        }
    }
    let operands = cpu.operands(i).to_vec();
    for slot in &operands {
        if let Err(flow) = cpu.require_defined(*slot, Use::Control) {
            return flow;
        }
    }
    let row = |cpu: &Cpu<'_>, slot: Slot| if slot.is_some() { cpu.addresses_at(slot, 0) } else { [0; 32] };
    let [shared, map, barrier] = [0, 1, 2].map(|n| row(cpu, i.src[n]));
    let rows: Vec<[u64; 32]> = operands.iter().map(|slot| cpu.addresses_at(*slot, 0)).collect();
    let mask = cpu.mask;
    for lane in (0..32).filter(|l| mask >> l & 1 == 1) {
        let each = Each {
            shared: shared[lane],
            map: map[lane],
            barrier: barrier[lane],
            list: rows.iter().map(|row| row[lane] as u32).collect(),
        };
        if let Err(verdict) = issue(cpu, i.aux, lane, each) {
            return cpu.fault(verdict, 1 << lane);
        }
    }
    cpu.block.events += 1;
    Flow::Next
}

/// One lane's operands.
struct Each {
    shared: u64,
    map: u64,
    barrier: u64,
    list: Vec<u32>,
}

fn issue(cpu: &mut Cpu<'_>, aux: u32, lane: usize, each: Each) -> Result<(), Verdict> {
    let map = cpu.tensor_map(lane, each.map)?;
    let (coordinates, masks) = match (aux & MULTICAST, each.list.split_last()) {
        (MULTICAST, Some((mask, rest))) => (rest, *mask),
        _ => (each.list.as_slice(), 0),
    };
    let coordinates: Vec<i32> = coordinates.iter().map(|c| *c as i32).collect();
    let (way, space, access) = match aux & STORE {
        0 => (Way::Load, Space::Cluster, Access::Write),
        _ => (Way::Store, Space::Shared, Access::Read),
    };
    if aux & PREFETCH != 0 {
        let tile = Tile::new(&map, &coordinates, 0, way)?;
        return check_global(cpu, &tile, Access::Read).map(drop);
    }
    let outward = if way == Way::Store { Access::Write } else { Access::Read };
    cpu.copies_in_turn(map.address, outward)?;
    // Where the box lies in the window of its own block, whichever that is.
    let (rank, start) = cpu.shared_target(space, each.shared, 0, 1, access)?;
    let tile = Tile::new(&map, &coordinates, start, way)?;
    let len = u32::try_from(tile.shared().end - tile.shared().start).unwrap_or(u32::MAX);
    cpu.shared_target(space, each.shared, len, 1, access)?;
    let origin = cpu.origin(1 << lane);
    if aux & STORE != 0 {
        let bytes = check_global(cpu, &tile, Access::Write)?;
        cpu.block.tally.copies.global_written += bytes;
        cpu.block.tally.copies.shared_read += bytes;
        let reduction = match REDUCTIONS.get((aux >> REDUCE) as usize) {
            Some(name) => Some(Reduction::new(name, &map)?),
            None => None,
        };
        let work = Work::Tile(Box::new(tile), way, rank);
        let transfer = Transfer::new(work, reduction, Completion::Group, origin);
        let id = cpu.issue(transfer)?;
        cpu.warp.bulk_groups[lane].push(id);
        return Ok(());
    }
    cpu.block.tally.copies.global_read += check_global(cpu, &tile, Access::Read)?;
    let (barrier_rank, barrier) = cpu.shared_target(Space::Cluster, each.barrier, 8, 8, Access::Atomic)?;
    if barrier_rank != rank {
        return Err(Verdict::Operand { problem: other_block(rank, barrier_rank) });
    }
    let bytes = tile.bytes() as u32;
    for rank in destinations(cpu, aux & MULTICAST != 0, masks, rank)? {
        check_mbarrier(cpu, rank, barrier)?;
        cpu.block.tally.copies.shared_written += u64::from(bytes);
        let work = Work::Tile(Box::new(tile.clone()), way, rank);
        let completion = Completion::Mbarrier(rank, barrier, bytes);
        cpu.issue(Transfer::new(work, None, completion, origin))?;
    }
    Ok(())
}

/// All of global memory that the copy touches is there. Gives its bytes.
fn check_global(cpu: &Cpu<'_>, tile: &Tile, access: Access) -> Result<u64, Verdict> {
    let (mut bytes, mut wrong) = (0, None);
    tile.ranges(|at, len| {
        bytes += u64::from(len);
        if wrong.is_none() {
            wrong = cpu.global_target(at, len, 1, access).err();
        }
    });
    wrong.map_or(Ok(bytes), Err)
}

/// Decodes this family.
pub fn decode(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    let mut m = Modifiers::of(i);
    let reduces = m.take("reduce");
    if !m.take("async") || !m.take("bulk") {
        return Err(d.unknown(i));
    }
    let prefetches = !reduces && m.take("prefetch");
    if !m.take("tensor") {
        return Err(d.unknown(i));
    }
    let rank = m.take_if(|w| ["1d", "2d", "3d", "4d", "5d"].iter().position(|known| *known == w));
    let Some(rank) = rank.map(|n| n + 1) else { return Err(d.unknown(i)) };
    let mut aux;
    let mut number = COPY;
    if prefetches {
        if !m.take("L2") || !m.take("global") {
            return Err(d.unknown(i));
        }
        m.take("tile");
        aux = PREFETCH;
    } else {
        aux = match (m.take_if(space_of), m.take_if(space_of)) {
            (Some(Space::Cluster | Space::Shared), Some(Space::Global)) if !reduces => 0,
            (Some(Space::Global), Some(Space::Shared)) => STORE,
            _ => return Err(d.unknown(i)),
        };
        if reduces {
            let found = m.take_if(|w| REDUCTIONS.iter().position(|known| *known == w));
            number = found.ok_or_else(|| d.unknown(i))? as u32;
        }
        m.take("tile");
        if !m.take(if aux & STORE != 0 { "bulk_group" } else { "mbarrier::complete_tx::bytes" }) {
            return Err(d.unknown(i));
        }
        if aux & STORE == 0 && m.take("multicast::cluster") {
            aux |= MULTICAST;
        }
    }
    let hint = m.take("L2::cache_hint");
    if !m.done() {
        return Err(d.unknown(i));
    }
    let operands = match (i.operands.as_slice(), hint) {
        (all, false) => all,
        // The hint for the cache says nothing about values.
        ([rest @ .., _], true) => rest,
        _ => return Err(d.unknown(i)),
    };
    let (shared, map, barrier, multicast) = match (operands, aux) {
        ([map], PREFETCH) => (None, map, None, None),
        ([map, shared], STORE) => (Some(shared), map, None, None),
        ([shared, map, barrier], 0) => (Some(shared), map, Some(barrier), None),
        ([shared, map, barrier, mask], MULTICAST) => (Some(shared), map, Some(barrier), Some(mask)),
        _ => return Err(d.unknown(i)),
    };
    let Operand::MemoryList { base, offset, rest } = map else { return Err(d.unknown(i)) };
    let [Operand::Vector(coordinates)] = rest.as_slice() else { return Err(d.unknown(i)) };
    if coordinates.len() != rank {
        return Err(d.error(format!("{} coordinates for {rank} dimensions", coordinates.len())));
    }
    let mut list = Vec::new();
    for coordinate in coordinates {
        list.push(d.source(coordinate, Type::S32)?);
    }
    if let Some(mask) = multicast {
        list.push(d.source(mask, Type::B16)?);
    }
    let space = if aux & STORE != 0 { Space::Shared } else { Space::Cluster };
    let place = |d: &mut Decoder<'_>, operand: Option<&Operand>, space| match operand {
        Some(operand) => address(d, operand, space),
        None => Ok(Slot::NONE),
    };
    let shared = place(d, shared, space)?;
    let barrier = place(d, barrier, Space::Cluster)?;
    let Reference { base, offset } =
        d.reference(&Operand::Memory { base: base.clone(), offset: *offset }, Space::Generic)?;
    let map = emit_sum(d, base, offset);
    let list = d.list(&[], &list);
    let inst = d.emit(both!(copy), Kind::Copy, &[], &[shared, map, barrier]);
    inst.aux = aux | number << REDUCE;
    inst.list = list;
    Ok(())
}
