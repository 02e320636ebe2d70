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
//! Only a kernel that uses the async proxy or mbarriers has clocks; in others all of
//! this is empty. The order is wider than PTX's: the lanes of a warp are one, and all fences,
//! atomics and volatile accesses of a cluster meet. What it does not order is
//! unordered indeed.

use std::collections::HashMap;

/// Whose count it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
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
}

/// Who did something, when and where in the code. The default comes before everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Mark {
    whose: Whose,
    /// The warp of the cluster whose instruction it was.
    pub warp: u16,
    /// The count; `PENDING` until it is known.
    count: u32,
    /// The instruction.
    pub pc: u32,
    /// Is something behind it, behind which all but reductions come?
    covered: bool,
}

/// Nobody has seen this one.
const PENDING: u32 = u32::MAX;

/// Bits of a packed mark: a count, an instruction, whose count, whether it is covered, a warp (of at most 16 blocks of
/// 32: the top bit is free).
const PC: u32 = 32;
const WHOSE: u32 = 50;
const COVERED: u32 = 53;
const WARP: u32 = 54;
/// Instructions behind the last one that has room are taken for it.
const LAST_PC: u32 = (1 << (WHOSE - PC)) - 1;

impl Mark {
    /// As one word; the default is zero.
    pub fn pack(self) -> u64 {
        let (pc, whose) = (u64::from(self.pc), self.whose as u64);
        let (covered, warp) = (u64::from(self.covered), u64::from(self.warp));
        u64::from(self.count) | pc << PC | whose << WHOSE | covered << COVERED | warp << WARP
    }

    /// From one word.
    #[inline(always)]
    pub fn unpack(word: u64) -> Self {
        let whose = match word >> WHOSE & 7 {
            0 => Whose::Warp,
            1 => Whose::Wgmma,
            2 => Whose::Init,
            3 => Whose::Engine,
            4 => Whose::Reduction,
            _ => Whose::Copy,
        };
        Self {
            whose,
            warp: (word >> WARP) as u16,
            count: word as u32,
            pc: (word >> PC) as u32 & LAST_PC,
            covered: word >> COVERED & 1 == 1,
        }
    }

    /// Is it the copy engine's?
    pub fn is_engines(self) -> bool {
        matches!(self.whose, Whose::Engine | Whose::Reduction)
    }

    /// Is it a reduction of the copy engine's?
    pub fn is_reduction(self) -> bool {
        self.whose == Whose::Reduction
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

    /// The same thing, of a `cp.async`.
    pub fn copy(self) -> Self {
        Self { whose: Whose::Copy, ..self }
    }

    /// The same thing once the copy engine is done with it.
    pub fn landed(self, landing: Landing) -> Self {
        let whose = if self.is_reduction() { Whose::Reduction } else { Whose::Engine };
        Self { whose, count: landing.0, ..self }
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

/// How far each warp of the cluster has been followed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Order {
    /// Behind the warps, their `wgmma`s; then their initialisations; then landings by the numbers of their mbarriers, as
    /// far as any are known.
    seen: Vec<u32>,
    fenced: Vec<u32>,
}

impl Order {
    /// Nothing seen, in a cluster of so many warps.
    pub fn new(warps: usize) -> Self {
        Self { seen: vec![0; 3 * warps], fenced: vec![0; warps] }
    }

    /// All that the other one has seen is seen here too.
    pub fn join(&mut self, other: &Order) {
        self.reach(other.seen.len(), other.warps());
        self.seen.iter_mut().zip(&other.seen).for_each(|(to, from)| *to = (*to).max(*from));
        self.fenced.iter_mut().zip(&other.fenced).for_each(|(to, from)| *to = (*to).max(*from));
    }

    /// A landing is seen, in a cluster of so many warps.
    pub fn join_landing(&mut self, landing: Landing, warps: usize) {
        let entry = 3 * warps + landing.number();
        self.reach(entry + 1, warps);
        self.seen[entry] = self.seen[entry].max(landing.0);
    }

    /// Has so many entries, at least.
    #[inline(always)]
    fn reach(&mut self, entries: usize, warps: usize) {
        if self.seen.len() < entries {
            self.seen.resize(entries, 0);
            self.fenced.resize(warps, 0);
        }
    }

    /// Warps of the cluster.
    #[inline(always)]
    pub fn warps(&self) -> usize {
        self.fenced.len()
    }

    /// Where a mark's count stands.
    #[inline(always)]
    fn entry(&self, mark: Mark) -> usize {
        match mark.whose {
            Whose::Warp | Whose::Copy => mark.warp.into(),
            Whose::Wgmma => self.warps() + usize::from(mark.warp),
            Whose::Init => 2 * self.warps() + usize::from(mark.warp),
            Whose::Engine | Whose::Reduction => 3 * self.warps() + Landing(mark.count).number(),
        }
    }

    fn forget(&mut self) {
        self.seen.fill(0);
        self.fenced.fill(0);
    }

    /// Does it come before?
    pub fn has_seen(&self, mark: Mark) -> bool {
        self.seen.get(self.entry(mark)).map_or(self.seen.is_empty(), |seen| *seen >= mark.count)
    }

    /// Does what a warp did itself come before, with a `fence.proxy.async` between?
    pub fn has_fenced(&self, mark: Mark) -> bool {
        self.fenced.get(usize::from(mark.warp)).is_none_or(|fenced| *fenced >= mark.count)
    }

    /// Was anything seen of the warps with these numbers?
    pub fn has_seen_any(&self, mut warps: std::ops::Range<usize>) -> bool {
        let starts = 2 * self.warps();
        self.seen.is_empty() || warps.any(|w| self.seen[starts + w] > 0)
    }
}

/// A warp's clock.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    order: Order,
    warp: u16,
    /// `wgmma`s that it has issued.
    issued: u32,
    /// What a relaxed arrival hands on.
    offered: Order,
    /// What relaxed waits have met.
    met: Order,
}

impl Clock {
    /// That of a warp of a cluster with so many.
    pub fn new(warp: usize, warps: usize) -> Self {
        let mut offered = Order::new(warps);
        offered.seen[2 * warps + warp] = 1;
        let mut order = offered.clone();
        order.seen[warp] = 1;
        Self { order, warp: warp as u16, issued: 0, offered, met: Order::default() }
    }

    /// What the warp has seen.
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// What the warp does now, at `pc`.
    pub fn mark(&self, pc: u32) -> Mark {
        let count = self.order.seen.get(usize::from(self.warp)).copied().unwrap_or(0);
        Mark { whose: Whose::Warp, warp: self.warp, count, pc: pc.min(LAST_PC), covered: false }
    }

    /// The `wgmma` that the warp issues now, at `pc`.
    pub fn issue(&mut self, pc: u32) -> Mark {
        self.issued += 1;
        Mark { whose: Whose::Wgmma, warp: self.warp, count: self.issued, pc: pc.min(LAST_PC), covered: false }
    }

    /// The mbarrier that the warp initialises now, at `pc`.
    pub fn initialise(&mut self, pc: u32) -> Mark {
        let mark = Mark { whose: Whose::Init, warp: self.warp, pc: pc.min(LAST_PC), ..Mark::default() };
        let entry = self.order.entry(mark);
        let Some(count) = self.order.seen.get_mut(entry) else { return mark };
        *count += 1;
        Mark { count: *count, ..mark }
    }

    /// `fence.mbarrier_init`: of all that the warp did, only its initialisations.
    pub fn fence_initialisations(&mut self) {
        let entry = self.order.entry(Mark { whose: Whose::Init, warp: self.warp, ..Mark::default() });
        if let Some(offered) = self.offered.seen.get_mut(entry) {
            *offered = self.order.seen[entry];
        }
    }

    /// The next `wgmma` has been waited for.
    pub fn land(&mut self) {
        let entry = usize::from(self.warp) + self.order.warps();
        if let Some(seen) = self.order.seen.get_mut(entry) {
            *seen += 1;
        }
    }

    /// A group of `wgmma`s is the warpgroup's: what this warp, of this number in its block, has waited for is over in the
    /// other three too, which have issued the same.
    pub fn land_others(&mut self, number: u32) {
        let warps = self.order.warps();
        let own = warps + usize::from(self.warp);
        let Some(&landed) = self.order.seen.get(own) else { return };
        let first = own - number as usize % 4;
        let wgmmas = self.order.seen.iter_mut().take(2 * warps);
        wgmmas.skip(first).take(4).for_each(|seen| *seen = (*seen).max(landed));
    }

    /// All so far comes before what acquires from there.
    pub fn release(&mut self, to: &mut Order) {
        to.join(&self.order);
        self.count();
    }

    /// What was released there comes before all from now on.
    pub fn acquire(&mut self, from: &Order) {
        self.order.join(from);
    }

    /// A fence: what comes before it is handed on by what is relaxed behind it, and the other way round.
    pub fn fence(&mut self) {
        self.order.join(&self.met);
        self.offered.join(&self.order);
        self.count();
    }

    /// The same for a relaxed arrival: what the last fence had seen.
    pub fn release_relaxed(&self, to: &mut Order) {
        to.join(&self.offered);
    }

    /// The same for a relaxed wait: from the next fence on.
    pub fn acquire_relaxed(&mut self, from: &Order) {
        self.met.join(from);
    }

    /// `fence.proxy.async`: all that was seen is fenced.
    pub fn fence_proxies(&mut self) {
        let warps = self.order.warps();
        self.order.fenced.copy_from_slice(&self.order.seen[..warps]);
        self.count();
    }

    fn count(&mut self) {
        if let Some(own) = self.order.seen.get_mut(usize::from(self.warp)) {
            *own += 1;
        }
    }
}

/// A barrier, as far as order goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gate {
    /// From those who have arrived in the running phase.
    pub arriving: Order,
    /// From those of completed phases.
    pub passed: Order,
}

impl Gate {
    /// The phase is complete.
    pub fn complete(&mut self) {
        self.passed.join(&self.arriving);
        self.arriving.forget();
    }
}
