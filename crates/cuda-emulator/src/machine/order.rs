//! What comes before what: clocks of the warps of a cluster.
//!
//! Each warp counts. When it releases (arrives at a barrier, fences) what it has
//! seen is handed over, and it counts on; who acquires from there (waits for the
//! barrier) has seen all that too. An access is known by its warp and that warp's
//! count: it comes before another one if the other's warp has seen the count. Copies
//! that the engine has landed have a count as well, which goes through their mbarrier.
//!
//! Two orders are kept: what was seen, and what of that a `fence.proxy.async` lay
//! behind, on whatever way.
//!
//! A warp's `wgmma`s have a count of their own, of which the warp itself has seen what it
//! has waited for.
//!
//! Only a kernel that uses the async proxy has clocks; in others all of this is
//! empty. The order is wider than PTX's: the lanes of a warp are one, and all fences,
//! atomics and volatile accesses of a cluster meet. What it does not order is
//! unordered indeed.

/// Who did something, when and where in the code. The default comes before everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mark {
    /// Whose count: a warp's of the cluster, that of its `wgmma`s, or the engine's.
    entry: u16,
    /// The warp of the cluster whose instruction it was.
    pub warp: u16,
    /// The count; `PENDING` until it is known.
    count: u32,
    /// The instruction.
    pub pc: u32,
}

/// Nobody has seen this one.
const PENDING: u32 = u32::MAX;

impl Mark {
    /// As three words; the default is zeros.
    pub fn pack(self) -> [u32; 3] {
        [u32::from(self.entry) | u32::from(self.warp) << 16, self.count, self.pc]
    }

    /// From three words.
    pub fn unpack([names, count, pc]: [u32; 3]) -> Self {
        Self { entry: names as u16, warp: (names >> 16) as u16, count, pc }
    }

    /// The same thing once the copy engine is done with it: its `count`th landing.
    pub fn landed(self, order: &Order, count: u32) -> Self {
        Self { entry: order.engine(), count, ..self }
    }

    /// The same thing before it is over.
    pub fn pending(self) -> Self {
        Self { count: PENDING, ..self }
    }

    /// Is it not over?
    pub fn is_pending(self) -> bool {
        self.count == PENDING
    }
}

/// How far each warp of the cluster has been followed; behind them, their `wgmma`s; then the engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Order {
    seen: Vec<u32>,
    fenced: Vec<u32>,
}

impl Order {
    /// Nothing seen, in a cluster of so many warps.
    pub fn new(warps: usize) -> Self {
        let entries = 2 * warps + 1;
        Self { seen: vec![0; entries], fenced: vec![0; entries] }
    }

    /// All that the other one has seen is seen here too.
    pub fn join(&mut self, other: &Order) {
        if self.seen.len() < other.seen.len() {
            self.seen.resize(other.seen.len(), 0);
            self.fenced.resize(other.fenced.len(), 0);
        }
        let both = self.seen.iter_mut().zip(&other.seen);
        both.chain(self.fenced.iter_mut().zip(&other.fenced)).for_each(|(to, from)| *to = (*to).max(*from));
    }

    /// The engine's count is seen.
    pub fn join_engine(&mut self, of: &Order, count: u32) {
        if self.seen.len() < of.seen.len() {
            self.seen.resize(of.seen.len(), 0);
            self.fenced.resize(of.seen.len(), 0);
        }
        if let Some(seen) = self.seen.last_mut() {
            *seen = (*seen).max(count);
        }
    }

    fn engine(&self) -> u16 {
        self.seen.len().saturating_sub(1) as u16
    }

    /// Was it the engine's?
    pub fn is_engines(&self, mark: Mark) -> bool {
        mark.entry == self.engine()
    }

    /// Does it come before?
    pub fn has_seen(&self, mark: Mark) -> bool {
        self.seen.get(usize::from(mark.entry)).is_none_or(|seen| *seen >= mark.count)
    }

    /// Does it come before, with a `fence.proxy.async` between?
    pub fn has_fenced(&self, mark: Mark) -> bool {
        self.fenced.get(usize::from(mark.entry)).is_none_or(|fenced| *fenced >= mark.count)
    }

    /// Was anything seen of the warps with these numbers?
    pub fn has_seen_any(&self, mut warps: std::ops::Range<usize>) -> bool {
        self.seen.is_empty() || warps.any(|w| self.seen[w] > 0)
    }
}

/// A warp's clock.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    order: Order,
    entry: u16,
    /// `wgmma`s that it has issued.
    issued: u32,
}

impl Clock {
    /// That of a warp of a cluster with so many.
    pub fn new(warp: usize, warps: usize) -> Self {
        let mut order = Order::new(warps);
        order.seen[warp] = 1;
        Self { order, entry: warp as u16, issued: 0 }
    }

    /// What the warp has seen.
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// What the warp does now, at `pc`.
    pub fn mark(&self, pc: u32) -> Mark {
        let count = self.order.seen.get(usize::from(self.entry)).copied().unwrap_or(0);
        Mark { entry: self.entry, warp: self.entry, count, pc }
    }

    /// The `wgmma` that the warp issues now, at `pc`.
    pub fn issue(&mut self, pc: u32) -> Mark {
        self.issued += 1;
        let entry = self.entry + (self.order.seen.len() / 2) as u16;
        Mark { entry, warp: self.entry, count: self.issued, pc }
    }

    /// The next `wgmma` has been waited for.
    pub fn land(&mut self) {
        let entry = usize::from(self.entry) + self.order.seen.len() / 2;
        if let Some(seen) = self.order.seen.get_mut(entry) {
            *seen += 1;
        }
    }

    /// A group of `wgmma`s is the warpgroup's: what this warp, of this number in its block, has waited for is over in the
    /// other three too, which have issued the same.
    pub fn land_others(&mut self, number: u32) {
        let half = self.order.seen.len() / 2;
        let own = half + usize::from(self.entry);
        let Some(&landed) = self.order.seen.get(own) else { return };
        let first = own - number as usize % 4;
        let warps = self.order.seen.iter_mut().take(2 * half).skip(first).take(4);
        warps.for_each(|seen| *seen = (*seen).max(landed));
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

    /// `fence.proxy.async`: all that was seen is fenced.
    pub fn fence_proxies(&mut self) {
        self.order.fenced.copy_from_slice(&self.order.seen);
        self.count();
    }

    fn count(&mut self) {
        if let Some(own) = self.order.seen.get_mut(usize::from(self.entry)) {
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
        self.passed.join(&std::mem::take(&mut self.arriving));
    }
}
