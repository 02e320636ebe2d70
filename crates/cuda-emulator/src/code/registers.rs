//! Register rows for virtual registers.
//!
//! Compiled PTX is in near-SSA form: thousands of registers, few alive at a
//! time. A row takes 128 or 256 bytes, so a row each would push every warp out
//! of the cache. Liveness by the usual backward data flow, then a linear scan
//! over the live intervals (Poletto and Sarkar, 1999).
//!
//! Lanes need no care: each lane of a row is a thread of its own, whose
//! liveness is what is computed here, however the warp diverges.
//!
//! A register that may be read before it is written keeps a row to itself, so
//! that it is still undefined when it is read.

use std::collections::BinaryHeap;

use super::inst::{Class, Edges, Inst, Slot};

const CLASSES: [Class; 3] = [Class::R32, Class::R64, Class::Pred];

/// Rewrites the virtual registers of one function's `code` (which starts at
/// `start` in its kernel) to rows; returns the rows needed of each class.
pub fn allocate(code: &mut [Inst], start: usize, lists: &mut [Slot], lists_start: usize) -> [usize; 3] {
    let numbering = Numbering::of(code, lists);
    let blocks = Blocks::of(code, start, lists);
    let live = Liveness::of(code, lists, &numbering, &blocks);
    let intervals = intervals(code, lists, &numbering, &blocks, &live);
    let (rows, counts) = scan(&numbering, intervals);
    let rename = |slot: &mut Slot| {
        if let Some(id) = numbering.id(*slot) {
            *slot = Slot::register(slot.class(), rows[id]);
        }
    };
    for inst in code.iter_mut() {
        inst.dst.iter_mut().chain(&mut inst.src).for_each(rename);
        rename(&mut inst.guard.slot);
    }
    lists[lists_start..].iter_mut().for_each(rename);
    counts
}

/// Virtual registers of all classes as one range of ids.
struct Numbering {
    base: [usize; 3],
    count: usize,
}

impl Numbering {
    fn of(code: &[Inst], lists: &[Slot]) -> Self {
        let mut sizes = [0usize; 3];
        let mut see = |slot: Slot| {
            if slot.is_some() && !slot.is_constant() {
                let size = &mut sizes[slot.class() as usize];
                *size = (*size).max(slot.index() + 1);
            }
        };
        for inst in code {
            outs(inst, lists).chain(ins(inst, lists)).for_each(&mut see);
        }
        let base = [0, sizes[0], sizes[0] + sizes[1]];
        Self { base, count: sizes.iter().sum() }
    }

    fn id(&self, slot: Slot) -> Option<usize> {
        (slot.is_some() && !slot.is_constant()).then(|| self.base[slot.class() as usize] + slot.index())
    }

    fn class(&self, id: usize) -> Class {
        CLASSES[self.base.iter().rposition(|b| *b <= id).unwrap_or(0)]
    }
}

fn outs<'a>(inst: &'a Inst, lists: &'a [Slot]) -> impl Iterator<Item = Slot> + 'a {
    let at = inst.list.start as usize;
    inst.dst.iter().chain(&lists[at..at + usize::from(inst.list.outs)]).copied()
}

fn ins<'a>(inst: &'a Inst, lists: &'a [Slot]) -> impl Iterator<Item = Slot> + 'a {
    let at = inst.list.start as usize + usize::from(inst.list.outs);
    inst.src
        .iter()
        .chain(&lists[at..at + usize::from(inst.list.ins)])
        .copied()
        .chain(std::iter::once(inst.guard.slot))
}

struct Blocks {
    /// First instruction of each block, and the end of the code.
    starts: Vec<usize>,
    successors: Vec<Vec<usize>>,
}

impl Blocks {
    fn of(code: &[Inst], start: usize, lists: &[Slot]) -> Self {
        let targets = |inst: &Inst| -> Vec<usize> {
            match inst.edges {
                Edges::Jump => vec![inst.aux as usize - start],
                Edges::Table => ins(inst, lists)
                    .filter(|s| s.is_some() && s.is_constant() && s.class() == Class::R32)
                    .map(|s| s.index() - start)
                    .collect(),
                Edges::Next | Edges::End => vec![],
            }
        };
        let mut leader = vec![false; code.len() + 1];
        leader[0] = true;
        leader[code.len()] = true;
        for (at, inst) in code.iter().enumerate() {
            if inst.edges != Edges::Next {
                leader[at + 1] = true;
            }
            targets(inst).into_iter().for_each(|t| leader[t] = true);
        }
        let starts: Vec<usize> = (0..=code.len()).filter(|i| leader[*i]).collect();
        let block_of = |at: usize| starts.partition_point(|s| *s <= at) - 1;
        let mut successors = Vec::new();
        for pair in starts.windows(2) {
            let last = &code[pair[1] - 1];
            let mut next: Vec<usize> = targets(last).into_iter().map(block_of).collect();
            let falls = matches!(last.edges, Edges::Next) || last.guard.slot.is_some();
            if falls && pair[1] < code.len() {
                next.push(block_of(pair[1]));
            }
            next.retain(|b| *b + 1 < starts.len());
            successors.push(next);
        }
        Self { starts, successors }
    }

    fn len(&self) -> usize {
        self.successors.len()
    }

    fn range(&self, block: usize) -> std::ops::Range<usize> {
        self.starts[block]..self.starts[block + 1]
    }
}

#[derive(Clone)]
struct BitSet(Vec<u64>);

impl BitSet {
    fn new(bits: usize) -> Self {
        Self(vec![0; bits.div_ceil(64)])
    }

    fn insert(&mut self, i: usize) {
        self.0[i / 64] |= 1 << (i % 64);
    }

    fn remove(&mut self, i: usize) {
        self.0[i / 64] &= !(1 << (i % 64));
    }

    fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(w, bits)| {
            let mut rest = *bits;
            std::iter::from_fn(move || {
                (rest != 0).then(|| {
                    let i = rest.trailing_zeros() as usize;
                    rest &= rest - 1;
                    w * 64 + i
                })
            })
        })
    }
}

struct Liveness {
    live_in: Vec<BitSet>,
    live_out: Vec<BitSet>,
}

impl Liveness {
    fn of(code: &[Inst], lists: &[Slot], numbering: &Numbering, blocks: &Blocks) -> Self {
        let empty = BitSet::new(numbering.count);
        let (mut uses, mut kills) = (vec![empty.clone(); blocks.len()], vec![empty.clone(); blocks.len()]);
        for block in 0..blocks.len() {
            for inst in code[blocks.range(block)].iter().rev() {
                // A guarded result leaves the old value where the guard is false.
                if !inst.guard.slot.is_some() {
                    for id in outs(inst, lists).filter_map(|s| numbering.id(s)) {
                        kills[block].insert(id);
                        uses[block].remove(id);
                    }
                }
                for id in ins(inst, lists).filter_map(|s| numbering.id(s)) {
                    uses[block].insert(id);
                    kills[block].remove(id);
                }
            }
        }
        let mut live_in = uses.clone();
        let mut live_out = vec![empty; blocks.len()];
        let mut changed = true;
        while changed {
            changed = false;
            for block in (0..blocks.len()).rev() {
                for &next in &blocks.successors[block] {
                    for (out, from) in live_out[block].0.iter_mut().zip(&live_in[next].0) {
                        *out |= from;
                    }
                }
                for word in 0..live_in[block].0.len() {
                    let through = live_out[block].0[word] & !kills[block].0[word];
                    let new = uses[block].0[word] | through;
                    changed |= new != live_in[block].0[word];
                    live_in[block].0[word] = new;
                }
            }
        }
        Self { live_in, live_out }
    }
}

#[derive(Clone, Copy)]
struct Interval {
    first: usize,
    last: usize,
}

fn intervals(
    code: &[Inst],
    lists: &[Slot],
    numbering: &Numbering,
    blocks: &Blocks,
    live: &Liveness,
) -> Vec<Option<Interval>> {
    let mut all: Vec<Option<Interval>> = vec![None; numbering.count];
    let mut cover = |id: usize, at: usize| {
        let i = all[id].get_or_insert(Interval { first: at, last: at });
        i.first = i.first.min(at);
        i.last = i.last.max(at);
    };
    for block in 0..blocks.len() {
        let range = blocks.range(block);
        live.live_in[block].iter().for_each(|id| cover(id, range.start));
        live.live_out[block].iter().for_each(|id| cover(id, range.end - 1));
        for at in range {
            let inst = &code[at];
            outs(inst, lists)
                .chain(ins(inst, lists))
                .filter_map(|s| numbering.id(s))
                .for_each(|id| cover(id, at));
        }
    }
    if blocks.len() > 0 {
        for id in live.live_in[0].iter() {
            all[id] = Some(Interval { first: 0, last: code.len() });
        }
    }
    all
}

/// Rows by linear scan: an interval takes the row of one that ended before it.
fn scan(numbering: &Numbering, intervals: Vec<Option<Interval>>) -> (Vec<u32>, [usize; 3]) {
    let mut order: Vec<(usize, Interval)> =
        intervals.iter().enumerate().filter_map(|(id, i)| i.map(|i| (id, i))).collect();
    order.sort_by_key(|(_, i)| i.first);
    let mut rows = vec![0u32; numbering.count];
    let mut counts = [0usize; 3];
    let mut free: [Vec<u32>; 3] = Default::default();
    let mut active: BinaryHeap<std::cmp::Reverse<(usize, usize)>> = BinaryHeap::new();
    for (id, interval) in order {
        while let Some(&std::cmp::Reverse((last, ended))) = active.peek() {
            if last >= interval.first {
                break;
            }
            active.pop();
            free[numbering.class(ended) as usize].push(rows[ended]);
        }
        let class = numbering.class(id) as usize;
        rows[id] = free[class].pop().unwrap_or_else(|| {
            counts[class] += 1;
            counts[class] as u32 - 1
        });
        active.push(std::cmp::Reverse((interval.last, id)));
    }
    (rows, counts)
}
