//! How far the warps of a cluster, and of others, have been followed.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};

use super::Side;
use super::mark::{Landing, Mark, Whose};

/// How far the warps of a cluster have been followed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Behind the warps, their `wgmma`s; then their initialisations; then landings by the numbers of their mbarriers, as
    /// far as any are known.
    pub counts: Vec<u32>,
    /// Of the warps' counts, what lies behind a `fence.proxy.async` for shared memory, or for global memory.
    pub fenced: [Vec<u32>; 2],
    /// The same as `counts`, of what has been read and may be overwritten; mostly empty, since what is seen is over.
    pub left: Vec<u32>,
    /// Of warps of which some lanes have released alone: up to which count what those lanes did has been seen, or left.
    pub some: [Vec<Partial>; 2],
}

/// What some lanes have done, up to a count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Partial {
    /// The count.
    pub count: u32,
    /// A bit each.
    pub lanes: u32,
}

fn raise_some(to: &mut Vec<Partial>, from: &[Partial]) {
    if to.len() < from.len() {
        to.resize(from.len(), Partial::default());
    }
    for (to, from) in to.iter_mut().zip(from) {
        *to = Partial { count: to.count.max(from.count), lanes: to.lanes | from.lanes };
    }
}

impl Seen {
    pub fn join(&mut self, other: &Seen) {
        self.some.iter_mut().zip(&other.some).for_each(|(to, from)| raise_some(to, from));
        raise(&mut self.left, &other.left);
        self.reach(other.counts.len(), other.warps());
        self.counts.iter_mut().zip(&other.counts).for_each(|(to, from)| *to = (*to).max(*from));
        let fenced = self.fenced.iter_mut().flatten().zip(other.fenced.iter().flatten());
        fenced.for_each(|(to, from)| *to = (*to).max(*from));
    }

    /// What the other one has seen has been left here.
    pub fn join_left(&mut self, other: &Seen) {
        raise(&mut self.left, &other.left);
        raise(&mut self.left, &other.counts);
        other.some.iter().for_each(|from| raise_some(&mut self.some[1], from));
    }

    /// Has what the mark's lanes did been seen, or at least left, though not all that its warp did?
    #[cold]
    pub fn has_some(&self, mark: Mark, which: RangeInclusive<usize>) -> bool {
        matches!(mark.whose, Whose::Warp | Whose::Copy | Whose::Group | Whose::GroupReduction)
            && self.some[which].iter().any(|some| {
                let some = some.get(usize::from(mark.warp)).copied().unwrap_or_default();
                some.count >= mark.count && some.lanes & mark.lanes.mask() != 0
            })
    }

    /// Has so many entries, at least.
    #[inline(always)]
    pub fn reach(&mut self, entries: usize, warps: usize) {
        if self.counts.len() < entries {
            self.counts.resize(entries, 0);
            self.fenced.iter_mut().for_each(|fenced| fenced.resize(warps, 0));
        }
    }

    /// Warps of the cluster.
    #[inline(always)]
    pub fn warps(&self) -> usize {
        self.fenced[0].len()
    }

    /// Where a mark's count stands.
    #[inline(always)]
    pub fn entry(&self, mark: Mark) -> usize {
        match mark.whose {
            Whose::Warp | Whose::Copy | Whose::Group | Whose::GroupReduction => mark.warp.into(),
            Whose::Wgmma => self.warps() + usize::from(mark.warp),
            Whose::Init => 2 * self.warps() + usize::from(mark.warp),
            Whose::Engine | Whose::Reduction => 3 * self.warps() + Landing(mark.count).number(),
        }
    }

    #[inline(always)]
    pub fn has(&self, mark: Mark) -> Option<bool> {
        self.counts.get(self.entry(mark)).map(|seen| *seen >= mark.count)
    }

    pub fn has_left(&self, mark: Mark) -> bool {
        self.left.get(self.entry(mark)).is_some_and(|left| *left >= mark.count)
    }

    pub fn has_fenced(&self, mark: Mark, side: Side) -> Option<bool> {
        self.fenced[side as usize].get(usize::from(mark.warp)).map(|fenced| *fenced >= mark.count)
    }

    pub fn fence(&mut self, side: Side) {
        let warps = self.warps();
        self.fenced[side as usize].copy_from_slice(&self.counts[..warps]);
    }
}

/// Each entry at least as high as the other's.
fn raise(to: &mut Vec<u32>, from: &[u32]) {
    if to.len() < from.len() {
        to.resize(from.len(), 0);
    }
    to.iter_mut().zip(from).for_each(|(to, from)| *to = (*to).max(*from));
}

/// What has been seen, of the own cluster and of others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Order {
    /// The own cluster; 0: whichever the order is joined to, or joins.
    pub(super) cluster: u32,
    pub(super) own: Seen,
    /// Of clusters that were met in global memory, by their numbers.
    pub(super) others: BTreeMap<u32, Seen>,
}

impl Order {
    /// Nothing seen, for a cluster of so many warps.
    pub fn new(cluster: u32, warps: usize) -> Self {
        let fenced = [vec![0; warps], vec![0; warps]];
        let own = Seen { counts: vec![0; 3 * warps], fenced, ..Seen::default() };
        Self { cluster, own, others: BTreeMap::new() }
    }

    /// All that the other one has seen is seen here too.
    pub fn join(&mut self, other: &Order) {
        self.merge(other, Seen::join);
    }

    /// What the other one has seen of reading is over here too: it may be overwritten.
    pub fn join_left(&mut self, other: &Order) {
        self.merge(other, Seen::join_left);
    }

    /// Takes over what is known of each cluster.
    fn merge(&mut self, other: &Order, take: impl Fn(&mut Seen, &Seen)) {
        if self.cluster == 0 {
            self.cluster = other.cluster;
        }
        let own = if other.cluster == 0 { self.cluster } else { other.cluster };
        for (cluster, seen) in
            [(own, &other.own)].into_iter().chain(other.others.iter().map(|(c, s)| (*c, s)))
        {
            match cluster == self.cluster {
                true => take(&mut self.own, seen),
                false => take(self.others.entry(cluster).or_default(), seen),
            }
        }
    }

    /// A landing is seen, in a cluster of so many warps.
    pub fn join_landing(&mut self, landing: Landing, warps: usize) {
        let entry = 3 * warps + landing.number();
        self.own.reach(entry + 1, warps);
        self.own.counts[entry] = self.own.counts[entry].max(landing.0);
    }

    /// Nothing has been seen.
    pub(super) fn forget(&mut self) {
        self.own.counts.fill(0);
        self.own.fenced.iter_mut().for_each(|fenced| fenced.fill(0));
        self.own.left.clear();
        self.own.some.iter_mut().for_each(Vec::clear);
        self.others.clear();
    }

    /// Is nothing seen by anybody, since nobody asks?
    fn is_idle(&self) -> bool {
        self.own.counts.is_empty()
    }

    /// Does it come before?
    #[inline(always)]
    pub fn has_seen(&self, mark: Mark) -> bool {
        match mark.cluster == self.cluster {
            true => self.own.has(mark).unwrap_or(self.is_idle()),
            false => self.has_seen_abroad(mark),
        }
    }

    /// Is it over, if it is a read, so that its place may be overwritten?
    pub fn has_left(&self, mark: Mark) -> bool {
        self.has_seen(mark)
            || match mark.cluster == self.cluster {
                true => self.own.has_left(mark),
                false => self.others.get(&mark.cluster).is_some_and(|seen| seen.has_left(mark)),
            }
    }

    /// Is it over as far as anybody has said?
    pub fn is_over(&self, mark: Mark) -> bool {
        self.has_left(mark) || self.has_some(mark, 0..=1)
    }

    /// The same, of what only some lanes of its warp have released.
    pub(super) fn has_some(&self, mark: Mark, which: RangeInclusive<usize>) -> bool {
        match mark.cluster == self.cluster {
            true => self.own.has_some(mark, which),
            false => self.others.get(&mark.cluster).is_some_and(|seen| seen.has_some(mark, which)),
        }
    }

    #[cold]
    fn has_seen_abroad(&self, mark: Mark) -> bool {
        mark.cluster == 0
            || self.is_idle()
            || self.others.get(&mark.cluster).and_then(|seen| seen.has(mark)) == Some(true)
    }

    /// Does what a warp did itself come before, with a `fence.proxy.async` between?
    pub fn has_fenced(&self, mark: Mark, side: Side) -> bool {
        match mark.cluster == self.cluster || mark.cluster == 0 {
            true => self.own.has_fenced(mark, side).unwrap_or(true),
            false => {
                self.is_idle()
                    || self.others.get(&mark.cluster).and_then(|seen| seen.has_fenced(mark, side))
                        == Some(true)
            }
        }
    }

    /// Was anything seen of the own cluster's warps with these numbers?
    pub fn has_seen_any(&self, mut warps: Range<usize>) -> bool {
        let starts = 2 * self.own.warps();
        self.is_idle() || warps.any(|w| self.own.counts[starts + w] > 0)
    }
}
