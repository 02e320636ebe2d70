//! What comes before what: clocks of the warps of a cluster.
//!
//! Each warp counts. When it releases (arrives at a barrier, fences) what it has
//! seen is handed over, and it counts on; who acquires from there (waits for the
//! barrier) has seen all that too. An access is known by its warp and that warp's
//! count: it comes before another one if the other's warp has seen the count. Copies
//! that the engine has landed have a count as well, one for each mbarrier, which goes
//! through that: who waits for one copy knows nothing of those on other mbarriers.
//!
//! Two orders are kept: what was seen, and what of that a `fence.proxy.async` lay
//! behind, on whatever way.
//!
//! A warp's `wgmma`s have a count of their own, of which the warp itself has seen what it
//! has waited for. So have its initialisations of mbarriers, which a fence may hand on
//! without all else; their first count is the warp's start.
//!
//! What is relaxed orders nothing by itself: an arrival hands on what the last fence had
//! seen, and what a wait has met is seen from the next fence on.
//!
//! Clusters meet in global memory alone (`flags`); of other clusters an order knows what it
//! has met there. What earlier launches did is known by their queue (`Earlier`).
//!
//! Where nobody asks for order (`CUDA_EMULATOR=fast`) all of this is empty. The order is wider
//! than PTX's: the lanes of a warp are one. What it does not order is unordered indeed.

use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::footprint::Footprint;

/// Whose count it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Whose {
    /// The warp's.
    #[default]
    Warp,
    /// That of the warp's `wgmma`s.
    Wgmma,
    /// That of the mbarriers that the warp has initialised.
    Init,
    /// The copy engine's, which lands what the warp issued, for an mbarrier.
    Engine,
    /// The same, of a reduction.
    Reduction,
    /// The warp's, for a `cp.async`.
    Copy,
    /// The warp's, for what the copy engine wrote and the warp has waited for.
    Group,
    /// The same, of a reduction.
    GroupReduction,
}

/// Who takes part in an ordering.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// The threads of the block.
    Cta,
    /// Those of its cluster.
    Cluster,
    /// All of the device, or of the system.
    Gpu,
}

impl Scope {
    /// How many there are.
    pub const ALL: usize = 3;
}

/// Which memory a `fence.proxy.async` is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Side {
    /// Shared memory.
    #[default]
    Shared,
    /// Global memory.
    Global,
}

/// Who did something, when and where in the code. The default comes before everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mark {
    /// The number of the cluster, among all that have run; 0 is none.
    pub cluster: u32,
    whose: Whose,
    /// The warp of the cluster whose instruction it was.
    pub warp: u16,
    /// The count; `PENDING` until it is known.
    count: u32,
    /// The instruction.
    pub pc: u32,
    /// Is something behind it, behind which all but reductions come?
    covered: bool,
    /// Of an access that may meet others of its kind (`.relaxed`, `.volatile`, atomics): among whom.
    pub strong: Option<Scope>,
    /// The lanes of its warp whose it was, or all of them.
    pub lanes: Lanes,
}

/// Lanes of a warp from the first to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lanes {
    /// The first.
    pub first: u8,
    /// The last.
    pub last: u8,
}

impl Default for Lanes {
    fn default() -> Self {
        Self { first: 0, last: 31 }
    }
}

impl Lanes {
    fn mask(self) -> u32 {
        (u32::MAX >> (31 - self.last)) & (u32::MAX << self.first)
    }
}

impl Hash for Mark {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(self.pack());
    }
}

/// Nobody has seen this one.
const PENDING: u32 = u32::MAX;

/// Bits of a packed mark: a count, an instruction, whose count, whether it is covered, a warp (of at most 16 blocks of
/// 32: the top bit is free).
const PC: u32 = 32;
const WHOSE: u32 = 50;
const COVERED: u32 = 53;
const WARP: u32 = 54;
const CLUSTER: u32 = 64;
const STRONG: u32 = 96;
const FIRST: u32 = 98;
/// How many lanes come before the warp's last lane: of all, the bits are zeros.
const BEFORE_LAST: u32 = 103;
/// The bits of a packed mark that say which lanes.
pub const LANES: u128 = 0x3ff << FIRST;
/// Instructions behind the last one that has room are taken for it.
const LAST_PC: u32 = (1 << (WHOSE - PC)) - 1;

impl Mark {
    /// As one word; the default is zero.
    pub fn pack(self) -> u128 {
        let (pc, whose) = (u64::from(self.pc), self.whose as u64);
        let (covered, warp) = (u64::from(self.covered), u64::from(self.warp));
        let low = u64::from(self.count) | pc << PC | whose << WHOSE | covered << COVERED | warp << WARP;
        let strong = self.strong.map_or(0, |scope| scope as u128 + 1);
        let lanes = u128::from(self.lanes.first) << FIRST | u128::from(31 - self.lanes.last) << BEFORE_LAST;
        u128::from(low) | u128::from(self.cluster) << CLUSTER | strong << STRONG | lanes
    }

    /// From one word.
    #[inline(always)]
    pub fn unpack(packed: u128) -> Self {
        let word = packed as u64;
        let whose = match word >> WHOSE & 7 {
            0 => Whose::Warp,
            1 => Whose::Wgmma,
            2 => Whose::Init,
            3 => Whose::Engine,
            4 => Whose::Reduction,
            5 => Whose::Copy,
            6 => Whose::Group,
            _ => Whose::GroupReduction,
        };
        Self {
            cluster: (packed >> CLUSTER) as u32,
            whose,
            warp: (word >> WARP) as u16,
            count: word as u32,
            pc: (word >> PC) as u32 & LAST_PC,
            covered: word >> COVERED & 1 == 1,
            strong: match packed >> STRONG & 3 {
                0 => None,
                1 => Some(Scope::Cta),
                2 => Some(Scope::Cluster),
                _ => Some(Scope::Gpu),
            },
            lanes: Lanes {
                first: (packed >> FIRST) as u8 & 31,
                last: 31 - ((packed >> BEFORE_LAST) as u8 & 31),
            },
        }
    }

    /// Is it the copy engine's?
    pub fn is_engines(self) -> bool {
        !matches!(self.whose, Whose::Warp | Whose::Wgmma | Whose::Init | Whose::Copy)
    }

    /// Is it of an ordinary access of threads?
    pub fn is_threads(self) -> bool {
        self.whose == Whose::Warp
    }

    /// Is it a reduction of the copy engine's?
    pub fn is_reduction(self) -> bool {
        matches!(self.whose, Whose::Reduction | Whose::GroupReduction)
    }

    /// Is it a `cp.async`'s?
    pub fn is_copy(self) -> bool {
        self.whose == Whose::Copy
    }

    /// Need only reductions come behind it, since all others come behind one that did?
    pub fn is_covered(self) -> bool {
        self.covered
    }

    /// The same thing, covered.
    pub fn cover(self) -> Self {
        Self { covered: true, ..self }
    }

    /// The same thing, which may meet others of its kind.
    pub fn strong(self, scope: Option<Scope>) -> Self {
        Self { strong: scope, ..self }
    }

    /// The same thing, of a `cp.async`.
    pub fn copy(self) -> Self {
        Self { whose: Whose::Copy, ..self }
    }

    /// The same thing once the copy engine is done with it.
    pub fn landed(self, landing: Landing) -> Self {
        let whose = if self.is_reduction() { Whose::Reduction } else { Whose::Engine };
        Self { whose, count: landing.0, ..self }
    }

    /// The same thing once the warp that issued it has waited for it.
    pub fn over(self, clock: &Clock) -> Self {
        let whose = if self.is_reduction() { Whose::GroupReduction } else { Whose::Group };
        Self { whose, count: clock.mark(0).count, ..self }
    }

    /// The same thing, which the copy engine does, before it is over.
    pub fn pending(self, reduces: bool) -> Self {
        let whose = if reduces { Whose::Reduction } else { Whose::Engine };
        Self { whose, count: PENDING, ..self }
    }

    /// Is it not over?
    pub fn is_pending(self) -> bool {
        self.count == PENDING
    }
}

/// A copy's landing on an mbarrier: the mbarrier's number, then a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Landing(u32);

/// The bit from which on the mbarrier's number stands.
const NUMBER: u32 = 22;
/// What a count may come to; later landings are taken for that one.
const LAST_COUNT: u32 = (1 << NUMBER) - 1;
/// The mbarriers behind the last one that has a number share its: none has that of `PENDING`.
const LAST_NUMBER: u32 = (PENDING >> NUMBER) - 1;

impl Landing {
    fn number(self) -> usize {
        (self.0 >> NUMBER) as usize
    }
}

/// How many copies have landed on each mbarrier of a cluster.
#[derive(Debug, Default)]
pub struct Landings(HashMap<(u32, u32), u32>);

impl Landings {
    /// One more has, on that of the block with this rank at this address.
    pub fn next(&mut self, place: (u32, u32)) -> Landing {
        let number = (self.0.len() as u32).min(LAST_NUMBER);
        let last = self.0.entry(place).or_insert(number << NUMBER);
        if *last & LAST_COUNT != LAST_COUNT {
            *last += 1;
        }
        Landing(*last)
    }
}

/// How far the warps of a cluster have been followed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Seen {
    /// Behind the warps, their `wgmma`s; then their initialisations; then landings by the numbers of their mbarriers, as
    /// far as any are known.
    counts: Vec<u32>,
    /// Of the warps' counts, what lies behind a `fence.proxy.async` for shared memory, or for global memory.
    fenced: [Vec<u32>; 2],
    /// The same as `counts`, of what has been read and may be overwritten; mostly empty, since what is seen is over.
    left: Vec<u32>,
    /// Of warps of which some lanes have released alone: up to which count what those lanes did has been seen, or left.
    some: [Vec<Part>; 2],
}

/// What some lanes have done, up to a count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Part {
    count: u32,
    lanes: u32,
}

fn raise_some(to: &mut Vec<Part>, from: &[Part]) {
    if to.len() < from.len() {
        to.resize(from.len(), Part::default());
    }
    for (to, from) in to.iter_mut().zip(from) {
        *to = Part { count: to.count.max(from.count), lanes: to.lanes | from.lanes };
    }
}

impl Seen {
    fn join(&mut self, other: &Seen) {
        self.some.iter_mut().zip(&other.some).for_each(|(to, from)| raise_some(to, from));
        raise(&mut self.left, &other.left);
        self.reach(other.counts.len(), other.warps());
        self.counts.iter_mut().zip(&other.counts).for_each(|(to, from)| *to = (*to).max(*from));
        let fenced = self.fenced.iter_mut().flatten().zip(other.fenced.iter().flatten());
        fenced.for_each(|(to, from)| *to = (*to).max(*from));
    }

    /// What the other one has seen has been left here.
    fn join_left(&mut self, other: &Seen) {
        raise(&mut self.left, &other.left);
        raise(&mut self.left, &other.counts);
        other.some.iter().for_each(|from| raise_some(&mut self.some[1], from));
    }

    /// Has what the mark's lanes did been seen, or at least left, though not all that its warp did?
    #[cold]
    fn has_some(&self, mark: Mark, which: std::ops::RangeInclusive<usize>) -> bool {
        matches!(mark.whose, Whose::Warp | Whose::Copy | Whose::Group | Whose::GroupReduction)
            && self.some[which].iter().any(|some| {
                let some = some.get(usize::from(mark.warp)).copied().unwrap_or_default();
                some.count >= mark.count && some.lanes & mark.lanes.mask() != 0
            })
    }

    /// Has so many entries, at least.
    #[inline(always)]
    fn reach(&mut self, entries: usize, warps: usize) {
        if self.counts.len() < entries {
            self.counts.resize(entries, 0);
            self.fenced.iter_mut().for_each(|fenced| fenced.resize(warps, 0));
        }
    }

    /// Warps of the cluster.
    #[inline(always)]
    fn warps(&self) -> usize {
        self.fenced[0].len()
    }

    /// Where a mark's count stands.
    #[inline(always)]
    fn entry(&self, mark: Mark) -> usize {
        match mark.whose {
            Whose::Warp | Whose::Copy | Whose::Group | Whose::GroupReduction => mark.warp.into(),
            Whose::Wgmma => self.warps() + usize::from(mark.warp),
            Whose::Init => 2 * self.warps() + usize::from(mark.warp),
            Whose::Engine | Whose::Reduction => 3 * self.warps() + Landing(mark.count).number(),
        }
    }

    #[inline(always)]
    fn has(&self, mark: Mark) -> Option<bool> {
        self.counts.get(self.entry(mark)).map(|seen| *seen >= mark.count)
    }

    fn has_left(&self, mark: Mark) -> bool {
        self.left.get(self.entry(mark)).is_some_and(|left| *left >= mark.count)
    }

    fn has_fenced(&self, mark: Mark, side: Side) -> Option<bool> {
        self.fenced[side as usize].get(usize::from(mark.warp)).map(|fenced| *fenced >= mark.count)
    }

    fn fence(&mut self, side: Side) {
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
    cluster: u32,
    own: Seen,
    /// Of clusters that were met in global memory, by their numbers.
    others: BTreeMap<u32, Seen>,
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
        if self.cluster == 0 {
            self.cluster = other.cluster;
        }
        match other.cluster == 0 || self.cluster == other.cluster {
            true => self.own.join(&other.own),
            false => self.others.entry(other.cluster).or_default().join(&other.own),
        }
        for (cluster, seen) in &other.others {
            match *cluster == self.cluster {
                true => self.own.join(seen),
                false => self.others.entry(*cluster).or_default().join(seen),
            }
        }
    }

    /// What the other one has seen of reading is over here too: it may be overwritten.
    pub fn join_left(&mut self, other: &Order) {
        if self.cluster == 0 {
            self.cluster = other.cluster;
        }
        match other.cluster == 0 || self.cluster == other.cluster {
            true => self.own.join_left(&other.own),
            false => self.others.entry(other.cluster).or_default().join_left(&other.own),
        }
    }

    /// A landing is seen, in a cluster of so many warps.
    pub fn join_landing(&mut self, landing: Landing, warps: usize) {
        let entry = 3 * warps + landing.number();
        self.own.reach(entry + 1, warps);
        self.own.counts[entry] = self.own.counts[entry].max(landing.0);
    }

    fn forget(&mut self) {
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
    fn has_some(&self, mark: Mark, which: std::ops::RangeInclusive<usize>) -> bool {
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

/// Launches that ran before, by the numbers of their clusters.
#[derive(Clone)]
pub struct Earlier {
    /// The first cluster of this launch.
    pub first: u32,
    /// Those that need not have ended when this one begins.
    pub unordered: Vec<Arc<Footprint>>,
}

impl Default for Earlier {
    /// Nothing.
    fn default() -> Self {
        Self { first: 1, unordered: Vec::new() }
    }
}

impl Earlier {
    /// Has the launch ended that this cluster is of?
    fn have_ended(&self, cluster: u32) -> bool {
        cluster < self.first && self.unordered(cluster).is_none()
    }

    /// The launch, if it need not have ended, that this cluster is of.
    pub fn unordered(&self, cluster: u32) -> Option<&Footprint> {
        self.unordered.iter().map(Arc::as_ref).find(|footprint| footprint.clusters.contains(&cluster))
    }
}

/// What the warps of a cluster have in common.
#[derive(Clone, Default)]
pub struct Crew {
    /// The number of their cluster, among all that have run.
    pub cluster: u32,
    /// How many they are.
    pub warps: usize,
    /// Warps of a block.
    pub each: usize,
    /// What ran before.
    pub earlier: Arc<Earlier>,
    /// May lanes of theirs hand on alone what they did: are lanes to be told apart?
    pub tells_lanes: bool,
}

/// A warp's clock.
#[derive(Default)]
pub struct Clock {
    crew: Arc<Crew>,
    order: Order,
    warp: u16,
    /// `wgmma`s that it has issued.
    issued: u32,
    /// What a relaxed release hands on, by its scope: what fences of such a scope, or a wider one, had seen.
    offered: [Order; Scope::ALL],
    /// What relaxed acquires have met, by the scope that a fence must have to take it.
    met: [Order; Scope::ALL],
    /// Has it executed a fence?
    has_fenced: bool,
    /// The lanes that act: all, or those that have not come with the others.
    acting: u32,
    /// Up to this count all lanes know what all have done.
    synced: u32,
    /// Lanes that have met since, without the others.
    met_lanes: u32,
    /// Has the answer to `has_seen` or `has_left` hung on lanes, since this was asked last?
    hung_on_lanes: AtomicBool,
}

impl Clock {
    /// That of a warp.
    pub fn new(crew: &Arc<Crew>, warp: usize) -> Self {
        let mut offered = Order::new(crew.cluster, crew.warps);
        offered.own.counts[2 * crew.warps + warp] = 1;
        let mut order = offered.clone();
        order.own.counts[warp] = 1;
        let met = Order { cluster: crew.cluster, ..Order::default() };
        Self {
            crew: crew.clone(),
            order,
            warp: warp as u16,
            issued: 0,
            offered: [offered.clone(), offered.clone(), offered],
            met: [met.clone(), met.clone(), met],
            has_fenced: false,
            acting: u32::MAX,
            synced: 0,
            met_lanes: 0,
            hung_on_lanes: AtomicBool::new(false),
        }
    }

    /// What the warp has seen of what goes on while it runs.
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// Does it come before what the warp does now?
    #[inline(always)]
    pub fn has_seen(&self, mark: Mark) -> bool {
        self.order.has_seen(mark) || self.crew.earlier.have_ended(mark.cluster) || self.has_some(mark, 0..=0)
    }

    fn has_some(&self, mark: Mark, which: std::ops::RangeInclusive<usize>) -> bool {
        let has = self.order.has_some(mark, which);
        if has {
            self.hung_on_lanes.store(true, Ordering::Relaxed);
        }
        has
    }

    /// Has an answer since this was asked last been so because of the lanes of a mark?
    pub fn take_hung_on_lanes(&self) -> bool {
        self.hung_on_lanes.load(Ordering::Relaxed) && self.hung_on_lanes.swap(false, Ordering::Relaxed)
    }

    /// The lanes that act from now on: of so many live ones, these.
    pub fn act(&mut self, lanes: u32, live: u32) -> &mut Self {
        self.acting = if lanes == live { u32::MAX } else { lanes };
        self
    }

    /// `bar.warp.sync` of the acting lanes.
    pub fn meet_lanes(&mut self) {
        match self.acting {
            u32::MAX => {
                self.synced = self.order.own.counts.get(usize::from(self.warp)).copied().unwrap_or(0);
                self.met_lanes = 0;
            }
            lanes => self.met_lanes |= lanes,
        }
        self.count();
    }

    /// What the acting lanes have to hand on.
    fn hand_on(&mut self, mut to: impl FnMut(&mut Self)) {
        let own = usize::from(self.warp);
        if self.acting == u32::MAX || own >= self.order.own.counts.len() {
            return to(self);
        }
        let met = if self.acting & self.met_lanes != 0 { self.met_lanes } else { 0 };
        let whole = self.order.own.counts[own];
        self.order.own.counts[own] = self.synced.min(whole);
        let some = &mut self.order.own.some[0];
        if some.len() <= own {
            some.resize(own + 1, Part::default());
        }
        let before = std::mem::replace(&mut some[own], Part { count: whole, lanes: self.acting | met });
        to(self);
        self.order.own.counts[own] = whole;
        self.order.own.some[0][own] = before;
    }

    /// Is it over, if it is a read, so that its place may be overwritten?
    pub fn has_left(&self, mark: Mark) -> bool {
        self.has_seen(mark) || self.order.has_left(mark) || self.has_some(mark, 0..=1)
    }

    /// Does what a warp did itself come before, with a `fence.proxy.async` or the end of its launch between?
    pub fn has_fenced(&self, mark: Mark, side: Side) -> bool {
        self.order.has_fenced(mark, side) || self.crew.earlier.have_ended(mark.cluster)
    }

    /// May an access of this strength and an earlier one meet without order?
    pub fn may_meet(&self, strong: Option<Scope>, mark: Mark) -> bool {
        let needed = self.scope_of(mark.cluster, usize::from(mark.warp));
        strong.is_some_and(|scope| scope >= needed) && mark.strong.is_some_and(|scope| scope >= needed)
    }

    /// The narrowest scope in which this warp and one of some cluster are.
    pub fn scope_of(&self, cluster: u32, warp: usize) -> Scope {
        match self.crew.each.max(1) {
            _ if cluster != self.crew.cluster => Scope::Gpu,
            each if warp / each == usize::from(self.warp) / each => Scope::Cta,
            _ => Scope::Cluster,
        }
    }

    /// Are the lanes of an access to be kept?
    pub fn tells_lanes(&self) -> bool {
        self.crew.tells_lanes
    }

    /// Does what is relaxed hand on anything?
    pub fn hands_on(&self) -> bool {
        self.has_fenced
    }

    /// What a release hands on, which does not count yet: what does it is handed on too.
    pub fn offer(&mut self, to: &mut Order) {
        self.hand_on(|clock| to.join(&clock.order));
    }

    /// Counts on: what was released does not hold what follows.
    pub fn released(&mut self) {
        self.count();
    }

    /// The warp's cluster, and its number there.
    pub fn whose(&self) -> (u32, usize) {
        (self.crew.cluster, self.warp.into())
    }

    /// What the warp does now, at `pc`.
    pub fn mark(&self, pc: u32) -> Mark {
        let count = self.order.own.counts.get(usize::from(self.warp)).copied().unwrap_or(0);
        Mark { count, ..self.at(pc) }
    }

    /// A mark of the warp's, but for its count.
    fn at(&self, pc: u32) -> Mark {
        Mark { cluster: self.crew.cluster, warp: self.warp, pc: pc.min(LAST_PC), ..Mark::default() }
    }

    /// The `wgmma` that the warp issues now, at `pc`.
    pub fn issue(&mut self, pc: u32) -> Mark {
        self.issued += 1;
        Mark { whose: Whose::Wgmma, count: self.issued, ..self.at(pc) }
    }

    /// The mbarrier that the warp initialises now, at `pc`.
    pub fn initialise(&mut self, pc: u32) -> Mark {
        let mark = Mark { whose: Whose::Init, ..self.at(pc) };
        let entry = self.order.own.entry(mark);
        let Some(count) = self.order.own.counts.get_mut(entry) else { return mark };
        *count += 1;
        Mark { count: *count, ..mark }
    }

    /// `fence.mbarrier_init`: of all that the warp did, only its initialisations.
    pub fn fence_initialisations(&mut self) {
        let entry = self.order.own.entry(Mark { whose: Whose::Init, ..self.at(0) });
        for offered in &mut self.offered {
            if let Some(offered) = offered.own.counts.get_mut(entry) {
                *offered = self.order.own.counts[entry];
            }
        }
    }

    /// The next `wgmma` has been waited for.
    pub fn land(&mut self) {
        let entry = usize::from(self.warp) + self.order.own.warps();
        if let Some(seen) = self.order.own.counts.get_mut(entry) {
            *seen += 1;
        }
    }

    /// A group of `wgmma`s is the warpgroup's: what this warp, of this number in its block, has waited for is over in the
    /// other three too, which have issued the same.
    pub fn land_others(&mut self, number: u32) {
        let warps = self.order.own.warps();
        let own = warps + usize::from(self.warp);
        let Some(&landed) = self.order.own.counts.get(own) else { return };
        let first = own - number as usize % 4;
        let wgmmas = self.order.own.counts.iter_mut().take(2 * warps);
        wgmmas.skip(first).take(4).for_each(|seen| *seen = (*seen).max(landed));
    }

    /// All so far comes before what acquires from there.
    pub fn release(&mut self, to: &mut Order) {
        self.hand_on(|clock| to.join(&clock.order));
        self.count();
    }

    /// What was released there comes before all from now on.
    pub fn acquire(&mut self, from: &Order) {
        self.order.join(from);
        self.learn_lanes(from);
    }

    /// What lanes of the warp itself have released, all know who acquire it.
    fn learn_lanes(&mut self, from: &Order) {
        if from.cluster == self.order.cluster
            && let Some(released) = from.own.counts.get(usize::from(self.warp))
        {
            self.synced = self.synced.max(*released);
        }
    }

    /// A fence: what comes before it is handed on by what is relaxed behind it, and the other way round.
    pub fn fence(&mut self, scope: Scope) {
        for level in 0..=scope as usize {
            let met = std::mem::take(&mut self.met[level]);
            self.acquire(&met);
            self.met[level] = met;
        }
        self.hand_on(|clock| {
            for level in 0..=scope as usize {
                clock.offered[level].join(&clock.order);
            }
        });
        self.has_fenced = true;
        self.count();
    }

    /// The same for a relaxed arrival: what the last fence had seen.
    pub fn release_relaxed(&self, to: &mut Order, scope: Scope) {
        to.join(&self.offered[scope as usize]);
    }

    /// The same for a relaxed wait: from the next fence on.
    pub fn acquire_relaxed(&mut self, from: &Order, scope: Scope) {
        self.met[scope as usize].join(from);
    }

    /// `fence.proxy.async`: all that was seen is fenced.
    pub fn fence_proxies(&mut self, side: Side) {
        self.order.own.fence(side);
        self.order.others.values_mut().for_each(|seen| seen.fence(side));
        self.count();
    }

    fn count(&mut self) {
        if let Some(own) = self.order.own.counts.get_mut(usize::from(self.warp)) {
            *own += 1;
        }
    }
}

/// A barrier, as far as order goes.
///
/// Who arrives and who waits take part in each other's scope, or not. If not, what the one has written is not seen by
/// the other, but what it has read is over: that is the reading here of what PTX has a wait guarantee ("mbarrier:
/// test_wait, try_wait": writes before an arrival are visible to threads of the scope, and accesses behind the wait are
/// not to what came before the arrival of any participant).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gate {
    /// From those who have arrived in the running phase.
    pub arriving: Passage,
    /// From those of completed phases.
    pub passed: Passage,
}

/// What goes through a barrier.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Passage {
    /// From the block of those who wait.
    pub near: Order,
    /// From other blocks of the cluster, for those who wait in its scope.
    far: Order,
    /// What all have left.
    left: Order,
}

impl Gate {
    /// The phase is complete.
    pub fn complete(&mut self) {
        let Passage { near, far, left } = &mut self.arriving;
        self.passed.near.join(near);
        self.passed.far.join(far);
        self.passed.left.join(left);
        [near, far, left].into_iter().for_each(Order::forget);
    }

    /// A warp arrives: `from` says how far it is from those who wait, `scope` who is to see what it did.
    pub fn arrive(&mut self, clock: &mut Clock, from: Scope, scope: Scope, relaxed: bool) {
        let arriving = &mut self.arriving;
        let mut go = |handed_on: &Order| match from {
            Scope::Cta => arriving.near.join(handed_on),
            _ => {
                if scope >= from {
                    arriving.far.join(handed_on);
                }
                arriving.left.join_left(handed_on);
            }
        };
        if relaxed {
            go(&clock.offered[from as usize]);
        } else {
            clock.hand_on(|clock| go(&clock.order));
            clock.count();
        }
    }

    /// A warp has waited for a phase.
    pub fn wait(&self, clock: &mut Clock, scope: Scope, relaxed: bool) {
        let Passage { near, far, left } = &self.passed;
        let (near_to, far_to) = match relaxed {
            true => {
                let [cta, cluster, _] = &mut clock.met;
                (cta, Some(cluster))
            }
            false => (&mut clock.order, None),
        };
        near_to.join(near);
        near_to.join_left(left);
        match far_to {
            Some(met) => met.join(far),
            None if scope >= Scope::Cluster => near_to.join(far),
            None => {}
        }
        if !relaxed {
            clock.learn_lanes(near);
            clock.learn_lanes(far);
        }
    }
}
