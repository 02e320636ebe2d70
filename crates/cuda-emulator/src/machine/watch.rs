//! Shared memory under watch: who touched each part of it last, where the async
//! proxy is in play.
//!
//! Of every two accesses to the same bytes one of which is asynchronous, the later
//! must come behind the earlier one's end, and where an asynchronous one meets what
//! ordinary stores wrote, a `fence.proxy.async` must be between. Ordinary accesses
//! are not held against each other.
//!
//! Asynchronous accesses come in grains of sixteen bytes. Of each grain the last
//! access of every kind is kept: those before came before it, or were found.

use super::order::{Clock, Mark, Order};

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

/// The last accesses to sixteen bytes, all zeros for none: memory is full of them, and mostly they stay so.
type Grain = [u64; 4];

/// Words of a grain: a store, or an asynchronous write;
const WRITTEN: usize = 0;
/// an ordinary load;
const LOADED: usize = 1;
/// an asynchronous read;
const READ: usize = 2;
/// copies that are reading, and whether it was `cp.async` that wrote.
const STATE: usize = 3;
const COPIED: u64 = 1 << 63;

/// A block's shared memory under watch.
pub struct Watch {
    grains: Vec<Grain>,
    /// By warp of the cluster: its last access from another block.
    pub remote: Vec<Mark>,
    /// All threads of the block have ended.
    pub ended: bool,
}

impl Watch {
    /// So many bytes that nobody has touched, in a cluster of so many warps.
    pub fn new(bytes: u32, warps: usize) -> Self {
        let grains = vec![[0; 4]; bytes.div_ceil(GRAIN) as usize];
        Self { grains, remote: vec![Mark::default(); warps], ended: false }
    }

    fn range(&mut self, offset: u32, len: u32) -> &mut [Grain] {
        let end = ((offset + len).div_ceil(GRAIN) as usize).min(self.grains.len());
        let start = ((offset / GRAIN) as usize).min(end);
        &mut self.grains[start..end]
    }

    /// A warp touches `len` bytes from an offset on. If that meets something, gives the offset.
    pub fn touch(
        &mut self,
        (offset, len): (u32, u32),
        touch: Touch,
        clock: &Clock,
        pc: u32,
    ) -> Result<(), (u32, Clash)> {
        let (order, mark) = (clock.order(), clock.mark(pc));
        let mut last = None;
        for (n, grain) in self.range(offset, len).iter_mut().enumerate() {
            let at = |clash| (offset.max((offset / GRAIN + n as u32) * GRAIN), clash);
            touch_next(grain, &mut last, touch, order, mark).map_err(at)?;
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
        let (order, mark) = (clock.order(), clock.mark(pc));
        // Neighbours mostly share a grain, or have the same past.
        let (mut seen, mut last) = (None, None);
        for offset in (0..32).filter(|l| mask >> l & 1 == 1).map(|l: usize| offsets[l]) {
            let grains = (offset / GRAIN, (offset + len - 1) / GRAIN);
            if seen.replace(grains) != Some(grains) {
                let fine = |grain: &mut Grain| touch_next(grain, &mut last, touch, order, mark).is_ok();
                if !self.range(offset, len).iter_mut().all(fine) {
                    return true;
                }
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
    ) -> Result<Vec<Written>, (u32, Clash)> {
        let (mark, mut found) = (mark.pack(), Ok(()));
        // Most of it was written by one copy.
        let (mut last, mut all) = (None, Vec::new());
        each(&mut |offset| {
            let Some(grain) = self.grains.get_mut((offset / GRAIN) as usize) else { return };
            let written = Written::of(grain);
            if last != Some(written) {
                last = Some(written);
                if !all.contains(&written) {
                    all.push(written);
                    if let (true, Err(clash)) = (found.is_ok(), written.may_be_read(order)) {
                        found = Err((offset, clash));
                    }
                }
            }
            grain[READ] = mark;
        });
        found.map(|()| all)
    }

    /// A copy has read what it reads.
    pub fn end_read(&mut self, (offset, len): (u32, u32), mark: Mark) {
        for grain in self.range(offset, len) {
            grain[STATE] -= u64::from(grain[STATE] & !COPIED > 0);
            set(grain, READ, mark);
        }
    }

    /// An asynchronous write is over: the engine's `count`th.
    pub fn land(&mut self, (offset, len): (u32, u32), count: u32) {
        let range = self.range(offset, len);
        // All of it has the mark of the one copy.
        let Some(written) = range.first().map(|grain| mark_at(grain, WRITTEN)) else { return };
        range.iter_mut().for_each(|grain| set(grain, WRITTEN, written.landed(count)));
    }
}

#[inline(always)]
fn mark_at(grain: &Grain, word: usize) -> Mark {
    Mark::unpack(grain[word])
}

#[inline(always)]
fn set(grain: &mut Grain, word: usize, mark: Mark) {
    grain[word] = mark.pack();
}

fn behind(order: &Order, other: Mark) -> Result<(), Clash> {
    if order.has_seen(other) { Ok(()) } else { Err(Clash::Unordered(other)) }
}

fn is_asynchronous(written: Mark) -> bool {
    written.is_pending() || written.is_engines()
}

/// What was last written to a grain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    mark: u64,
    copied: bool,
}

impl Written {
    fn of(grain: &Grain) -> Self {
        Self { mark: grain[WRITTEN], copied: grain[STATE] & COPIED != 0 }
    }

    /// May something asynchronous read it?
    pub fn may_be_read(self, order: &Order) -> Result<(), Clash> {
        let mark = Mark::unpack(self.mark);
        if is_asynchronous(mark) || self.copied {
            behind(order, mark)
        } else if order.has_fenced(mark) {
            Ok(())
        } else {
            Err(Clash::Unfenced(mark, order.has_seen(mark)))
        }
    }
}

/// Are all asynchronous reads of a grain over?
fn behind_reads(grain: &Grain, order: &Order) -> Result<(), Clash> {
    match grain[STATE] & !COPIED {
        0 => behind(order, mark_at(grain, READ)),
        _ => Err(Clash::Unordered(mark_at(grain, READ))),
    }
}

/// Touches a grain. One with the past that the last one had gets the future that the last one has.
#[inline(always)]
fn touch_next(
    grain: &mut Grain,
    last: &mut Option<[Grain; 2]>,
    touch: Touch,
    order: &Order,
    mark: Mark,
) -> Result<(), Clash> {
    match last {
        Some([before, after]) if before == grain => *grain = *after,
        _ => {
            let before = *grain;
            touch_grain(grain, touch, order, mark)?;
            *last = Some([before, *grain]);
        }
    }
    Ok(())
}

#[inline(never)]
fn touch_grain(grain: &mut Grain, touch: Touch, order: &Order, mark: Mark) -> Result<(), Clash> {
    let written = mark_at(grain, WRITTEN);
    let asynchronous = is_asynchronous(written);
    match touch {
        Touch::Load => {
            if asynchronous {
                behind(order, written)?;
            }
            set(grain, LOADED, mark);
        }
        Touch::Store | Touch::Copy => {
            if asynchronous {
                behind(order, written)?;
            }
            behind_reads(grain, order)?;
            set(grain, WRITTEN, mark);
            grain[STATE] = grain[STATE] & !COPIED | if touch == Touch::Copy { COPIED } else { 0 };
        }
        Touch::AsyncRead => {
            Written::of(grain).may_be_read(order)?;
            grain[STATE] += 1;
            set(grain, READ, mark.pending());
        }
        Touch::AsyncWrite | Touch::AsyncReduce => {
            match touch {
                // Reductions may meet each other.
                Touch::AsyncReduce if asynchronous => {}
                Touch::AsyncReduce => Written::of(grain).may_be_read(order)?,
                _ => behind(order, written)?,
            }
            behind(order, mark_at(grain, LOADED))?;
            behind_reads(grain, order)?;
            set(grain, WRITTEN, mark.pending());
            grain[STATE] &= !COPIED;
        }
    }
    Ok(())
}
