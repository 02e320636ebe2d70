//! A warp's clock: what it has seen, and what it hands on.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::mark::{LAST_PC, Mark, Whose};
use super::seen::{Order, Partial};
use super::{Crew, Scope, Side};

/// A warp's clock.
#[derive(Default)]
pub struct Clock {
    crew: Arc<Crew>,
    pub(super) order: Order,
    warp: u16,
    /// `wgmma`s that it has issued.
    issued: u32,
    /// What a relaxed release hands on, by its scope: what fences of such a scope, or a wider one, had seen.
    pub(super) offered: [Order; Scope::ALL],
    /// What relaxed acquires have met, by the scope that a fence must have to take it.
    pub(super) met: [Order; Scope::ALL],
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

    fn has_some(&self, mark: Mark, which: RangeInclusive<usize>) -> bool {
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
    pub(super) fn hand_on(&mut self, mut to: impl FnMut(&mut Self)) {
        let own = usize::from(self.warp);
        if self.acting == u32::MAX || own >= self.order.own.counts.len() {
            return to(self);
        }
        let met = if self.acting & self.met_lanes != 0 { self.met_lanes } else { 0 };
        let whole = self.order.own.counts[own];
        self.order.own.counts[own] = self.synced.min(whole);
        let some = &mut self.order.own.some[0];
        if some.len() <= own {
            some.resize(own + 1, Partial::default());
        }
        let before = std::mem::replace(&mut some[own], Partial { count: whole, lanes: self.acting | met });
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
    pub(super) fn learn_lanes(&mut self, from: &Order) {
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

    /// Counts on.
    pub(super) fn count(&mut self) {
        if let Some(own) = self.order.own.counts.get_mut(usize::from(self.warp)) {
            *own += 1;
        }
    }
}
