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
    /// By `cp.async`, which needs no fence between proxies.
    Copy,
    /// By an asynchronous operation, until `end_read`.
    AsyncRead,
    /// By an asynchronous operation, until `land`.
    AsyncWrite,
    /// By an asynchronous reduction, until `land`.
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
#[derive(Clone, Copy, Default)]
struct Grain {
    /// A store, or an asynchronous write.
    written: Mark,
    /// An ordinary load.
    loaded: Mark,
    /// An asynchronous read.
    read: Mark,
    /// Asynchronous reads that are not over.
    reading: u16,
    /// It was `cp.async` that wrote.
    copied: bool,
}

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
        let grains = vec![Grain::default(); bytes.div_ceil(GRAIN) as usize];
        Self { grains, remote: vec![Mark::default(); warps], ended: false }
    }

    fn range(&mut self, offset: u32, len: u32) -> &mut [Grain] {
        let end = ((offset + len).div_ceil(GRAIN) as usize).min(self.grains.len());
        let start = ((offset / GRAIN) as usize).min(end);
        &mut self.grains[start..end]
    }

    /// A warp touches `len` bytes from an offset on. If that meets something, gives the offset.
    #[inline]
    pub fn touch(
        &mut self,
        (offset, len): (u32, u32),
        touch: Touch,
        clock: &Clock,
        pc: u32,
    ) -> Result<(), (u32, Clash)> {
        let (order, mark) = (clock.order(), clock.mark(pc));
        for (n, grain) in self.range(offset, len).iter_mut().enumerate() {
            grain
                .touch(touch, order, mark)
                .map_err(|clash| (offset.max((offset / GRAIN + n as u32) * GRAIN), clash))?;
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
        // Neighbours mostly share a grain.
        let mut last = None;
        for offset in (0..32).filter(|l| mask >> l & 1 == 1).map(|l: usize| offsets[l]) {
            let grains = (offset / GRAIN, (offset + len - 1) / GRAIN);
            if last.replace(grains) != Some(grains) {
                let fine = |grain: &mut Grain| grain.touch(touch, order, mark).is_ok();
                if !self.range(offset, len).iter_mut().all(fine) {
                    return true;
                }
            }
        }
        false
    }

    /// An asynchronous read is over.
    pub fn end_read(&mut self, (offset, len): (u32, u32), mark: Mark) {
        for grain in self.range(offset, len) {
            grain.reading = grain.reading.saturating_sub(1);
            grain.read = mark;
        }
    }

    /// An asynchronous write is over: the engine's `count`th.
    pub fn land(&mut self, (offset, len): (u32, u32), order: &Order, count: u32) {
        for grain in self.range(offset, len) {
            grain.written = grain.written.landed(order, count);
        }
    }
}

impl Grain {
    #[inline(always)]
    fn touch(&mut self, touch: Touch, order: &Order, mark: Mark) -> Result<(), Clash> {
        let asynchronously = self.written.is_pending() || order.is_engines(self.written);
        let behind = |other: Mark| if order.has_seen(other) { Ok(()) } else { Err(Clash::Unordered(other)) };
        let behind_reads = || match self.reading {
            0 => behind(self.read),
            _ => Err(Clash::Unordered(self.read)),
        };
        let fenced = || match asynchronously || self.copied {
            true => behind(self.written),
            false if order.has_fenced(self.written) => Ok(()),
            false => Err(Clash::Unfenced(self.written, order.has_seen(self.written))),
        };
        match touch {
            Touch::Load => {
                if asynchronously {
                    behind(self.written)?;
                }
                self.loaded = mark;
            }
            Touch::Store | Touch::Copy => {
                if asynchronously {
                    behind(self.written)?;
                }
                behind_reads()?;
                (self.written, self.copied) = (mark, touch == Touch::Copy);
            }
            Touch::AsyncRead => {
                fenced()?;
                self.reading = self.reading.saturating_add(1);
                self.read = mark.pending();
            }
            Touch::AsyncWrite => {
                behind(self.written)?;
                behind(self.loaded)?;
                behind_reads()?;
                (self.written, self.copied) = (mark.pending(), false);
            }
            Touch::AsyncReduce => {
                // Reductions may meet each other.
                if !asynchronously {
                    fenced()?;
                }
                behind(self.loaded)?;
                behind_reads()?;
                (self.written, self.copied) = (mark.pending(), false);
            }
        }
        Ok(())
    }
}
