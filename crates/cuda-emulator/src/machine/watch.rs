//! Shared memory under watch: who touched each part of it last, in kernels with
//! asynchronous accesses or mbarriers.
//!
//! Of every two accesses to the same bytes one of which is asynchronous, the later
//! must come behind the earlier one's end, and where an asynchronous one reads what
//! ordinary stores wrote, a `fence.proxy.async` must be between. Ordinary accesses
//! are not held against each other.
//!
//! Asynchronous accesses come in grains of sixteen bytes. Of each grain the last
//! accesses of every kind are kept: all that are not known to come before another
//! one of the kind.

use super::order::{Clock, Landing, Mark, Order};
use super::past::{Past, Pasts};

/// Bytes of a grain.
const GRAIN: u32 = 16;

/// How memory is touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touch {
    /// By an ordinary load.
    Load,
    /// By an ordinary store or an atomic.
    Store,
    /// By `cp.async`, of which no fence between proxies is asked.
    Copy,
    /// By a copy that reads, until `end_read`.
    AsyncRead,
    /// By a copy, until `land`.
    AsyncWrite,
    /// By a reduction, until `land`.
    AsyncReduce,
}

/// What a touch meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clash {
    /// An access that may not be over.
    Unordered(Mark),
    /// A store of the other proxy, with no fence between; is it ordered otherwise?
    Unfenced(Mark, bool),
}

/// The last accesses to sixteen bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Grain {
    /// Ordinary stores, and `cp.async`.
    stored: Past,
    /// Asynchronous writes, and what reductions have covered.
    written: Past,
    /// Ordinary loads.
    loaded: Past,
    /// Asynchronous reads.
    read: Past,
}

impl Grain {
    fn pasts(&mut self) -> [&mut Past; 4] {
        [&mut self.stored, &mut self.written, &mut self.loaded, &mut self.read]
    }

    /// All that wrote.
    fn writes(&self) -> [Past; 2] {
        [self.stored, self.written]
    }
}

/// A block's shared memory under watch.
pub struct Watch {
    grains: Vec<Grain>,
    pasts: Pasts,
    /// By warp of the cluster: its last access from another block.
    pub remote: Vec<Mark>,
    /// All threads of the block have ended.
    pub ended: bool,
}

/// The grains of `len` bytes at an offset; none beyond the end.
fn range(grains: &mut [Grain], offset: u32, len: u32) -> &mut [Grain] {
    let end = ((offset + len).div_ceil(GRAIN) as usize).min(grains.len());
    let start = ((offset / GRAIN) as usize).min(end);
    &mut grains[start..end]
}

impl Watch {
    /// So many bytes that nobody has touched, in a cluster of so many warps.
    pub fn new(bytes: u32, warps: usize) -> Self {
        Self {
            grains: vec![Grain::default(); bytes.div_ceil(GRAIN) as usize],
            pasts: Pasts::default(),
            remote: vec![Mark::default(); warps],
            ended: false,
        }
    }

    /// A warp touches `len` bytes from an offset on. If that meets something, gives the offset.
    pub fn touch(
        &mut self,
        (offset, len): (u32, u32),
        touch: Touch,
        clock: &Clock,
        pc: u32,
    ) -> Result<(), (u32, Clash)> {
        self.sweep();
        let mut toucher = Toucher::new(&mut self.pasts, touch, clock, pc);
        for (n, grain) in range(&mut self.grains, offset, len).iter_mut().enumerate() {
            let at = |clash| (offset.max((offset / GRAIN + n as u32) * GRAIN), clash);
            toucher.touch(grain).map_err(at)?;
        }
        Ok(())
    }

    /// The lanes of `mask` touch `len` bytes each, where `offsets` says. Does any meet something?
    pub fn touch_lanes(
        &mut self,
        offsets: &[u32; 32],
        len: u32,
        mask: u32,
        touch: Touch,
        clock: &Clock,
        pc: u32,
    ) -> bool {
        self.sweep();
        let mut toucher = Toucher::new(&mut self.pasts, touch, clock, pc);
        // Neighbours mostly share a grain.
        let mut seen = None;
        for offset in (0..32).filter(|l| mask >> l & 1 == 1).map(|l: usize| offsets[l]) {
            let grains = (offset / GRAIN, (offset + len - 1) / GRAIN);
            if seen.replace(grains) != Some(grains)
                && !range(&mut self.grains, offset, len).iter_mut().all(|grain| toucher.touch(grain).is_ok())
            {
                return true;
            }
        }
        false
    }

    /// A `wgmma` reads the grains of a matrix that `each` calls out by their offsets. Gives what wrote there, or what
    /// that meets and where.
    #[inline(always)]
    pub fn read_matrix(
        &mut self,
        mark: Mark,
        order: &Order,
        each: impl FnOnce(&mut dyn FnMut(u32)),
    ) -> Result<Vec<Mark>, (u32, Clash)> {
        self.sweep();
        let Self { grains, pasts, .. } = self;
        let (mut all, mut found) = (Vec::new(), Ok(()));
        // Most of it was written by one copy, and read by the same ones.
        let (mut writes, mut read) = ([Past::default(); 2], [Past::default(), Past::from(mark)]);
        each(&mut |offset| {
            let Some(grain) = grains.get_mut((offset / GRAIN) as usize) else { return };
            if writes != grain.writes() {
                writes = grain.writes();
                for mark in uncovered(pasts, writes).filter(|mark| !all.contains(mark)).collect::<Vec<_>>() {
                    all.push(mark);
                    if let (true, Err(clash)) = (found.is_ok(), may_be_read(mark, order)) {
                        found = Err((offset, clash));
                    }
                }
            }
            if read[0] != grain.read {
                read = [grain.read, pasts.add(grain.read, order, mark)];
            }
            grain.read = read[1];
        });
        found.map(|()| all)
    }

    /// A copy has read what it reads.
    pub fn end_read(&mut self, (offset, len): (u32, u32), mark: Mark) {
        let mut last = None;
        for grain in range(&mut self.grains, offset, len) {
            grain.read = again(&mut last, grain.read, |read| self.pasts.settle(read, mark, |_| mark));
        }
    }

    /// What the copy that `mark` issued writes is there.
    pub fn land(&mut self, (offset, len): (u32, u32), mark: Mark, landing: Landing) {
        let mut last = None;
        for grain in range(&mut self.grains, offset, len) {
            grain.written = again(&mut last, grain.written, |written| {
                self.pasts.settle(written, mark, |pending| pending.landed(landing))
            });
        }
    }

    /// Forgets sets of accesses that no grain has any more, once there are many.
    fn sweep(&mut self) {
        if self.pasts.are_many() {
            self.pasts.sweep(self.grains.iter_mut().flat_map(Grain::pasts));
        }
    }
}

/// `f(past)`, which is known if it is the past of the last time.
#[inline(always)]
fn again(last: &mut Option<[Past; 2]>, past: Past, f: impl FnOnce(Past) -> Past) -> Past {
    match last {
        Some([before, after]) if *before == past => *after,
        _ => last.insert([past, f(past)])[1],
    }
}

fn behind(order: &Order, other: Mark) -> Result<(), Clash> {
    if order.has_seen(other) { Ok(()) } else { Err(Clash::Unordered(other)) }
}

/// What wrote, as all but reductions see it.
fn uncovered(pasts: &Pasts, writes: [Past; 2]) -> impl Iterator<Item = Mark> {
    writes.into_iter().flat_map(|past| pasts.marks(past)).filter(|mark| !mark.is_covered())
}

/// May something asynchronous read what was written?
pub fn may_be_read(written: Mark, order: &Order) -> Result<(), Clash> {
    if written.is_engines() || written.is_copy() {
        behind(order, written)
    } else if order.has_fenced(written) {
        Ok(())
    } else {
        Err(Clash::Unfenced(written, order.has_seen(written)))
    }
}

/// One who touches grains.
struct Toucher<'a> {
    pasts: &'a mut Pasts,
    touch: Touch,
    order: &'a Order,
    mark: Mark,
    /// What a grain was before it was touched, and after.
    last: Option<[Grain; 2]>,
}

impl<'a> Toucher<'a> {
    fn new(pasts: &'a mut Pasts, touch: Touch, clock: &'a Clock, pc: u32) -> Self {
        let mark = clock.mark(pc);
        let mark = match touch {
            Touch::Copy => mark.copy(),
            Touch::AsyncRead | Touch::AsyncWrite => mark.pending(false),
            Touch::AsyncReduce => mark.pending(true),
            Touch::Load | Touch::Store => mark,
        };
        Self { pasts, touch, order: clock.order(), mark, last: None }
    }

    /// Touches a grain. One with the past that the last one had gets the future that the last one has.
    #[inline(always)]
    fn touch(&mut self, grain: &mut Grain) -> Result<(), Clash> {
        match self.last {
            Some([before, after]) if before == *grain => *grain = after,
            _ => {
                let before = *grain;
                self.touch_next(grain)?;
                self.last = Some([before, *grain]);
            }
        }
        Ok(())
    }

    #[inline(never)]
    fn touch_next(&mut self, grain: &mut Grain) -> Result<(), Clash> {
        match self.touch {
            Touch::Load => {
                self.behind_copies(grain)?;
                grain.loaded = self.add(grain.loaded);
            }
            Touch::Store => {
                self.behind_copies(grain)?;
                self.behind_all(grain.read)?;
                grain.stored = self.add(grain.stored);
                // Who comes behind this store comes behind what this comes behind.
                let order = self.order;
                grain.written =
                    self.pasts.without(grain.written, |mark| mark.is_covered() && order.has_seen(mark));
            }
            Touch::Copy => {
                self.behind_copies(grain)?;
                self.behind_all(grain.read)?;
                // Nobody asks for a fence behind this one, so stores that have none stay.
                let stays = |store| may_be_read(store, self.order).is_err();
                grain.stored = self.pasts.add_to_some(grain.stored, stays, self.mark);
            }
            Touch::AsyncRead => {
                uncovered(self.pasts, grain.writes()).try_for_each(|mark| may_be_read(mark, self.order))?;
                grain.read = self.add(grain.read);
            }
            Touch::AsyncReduce => self.reduce(grain)?,
            Touch::AsyncWrite => {
                self.behind_copies(grain)?;
                self.behind_all(grain.stored)?;
                self.behind_all(grain.loaded)?;
                self.behind_all(grain.read)?;
                // Who comes behind this comes behind all that.
                *grain = Grain { written: self.mark.into(), ..Grain::default() };
            }
        }
        Ok(())
    }

    /// Reductions may meet each other, so that none of them comes behind what another one does.
    fn reduce(&mut self, grain: &mut Grain) -> Result<(), Clash> {
        let all = grain.writes().into_iter().flat_map(|past| self.pasts.marks(past));
        let (reductions, others): (Vec<Mark>, Vec<Mark>) = all.partition(|mark| mark.is_reduction());
        others.iter().try_for_each(|mark| may_be_read(*mark, self.order))?;
        self.behind_all(grain.loaded)?;
        self.behind_all(grain.read)?;
        let covered = others.into_iter().map(Mark::cover);
        let unseen = reductions.into_iter().filter(|mark| !self.order.has_seen(*mark));
        grain.written = self.pasts.of(covered.chain(unseen).chain([self.mark]).collect());
        grain.stored = Past::default();
        Ok(())
    }

    fn add(&mut self, past: Past) -> Past {
        self.pasts.add(past, self.order, self.mark)
    }

    fn behind_all(&self, past: Past) -> Result<(), Clash> {
        self.pasts.try_each(past, |mark| behind(self.order, mark))
    }

    fn behind_copies(&self, grain: &Grain) -> Result<(), Clash> {
        let order = self.order;
        self.pasts
            .try_each(grain.written, |mark| if mark.is_covered() { Ok(()) } else { behind(order, mark) })
    }
}
