//! Global memory under watch: the history of its bytes, page by page, and what is handed on through
//! values in it.
//!
//! Clusters run on several threads of the host. A page is looked at by one of them at a time.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::flags::Flags;
use super::history::{Clash, History, Touch, grains_of_lanes};
use super::order::{Clock, Mark, Side};

/// Bytes of a page.
const PAGE: u64 = 4096;
/// Pages are looked at under as many locks.
const SHARDS: u64 = 64;

/// The histories of all global memory that has been touched.
pub struct Ledger {
    shards: Vec<Mutex<Shard>>,
}

#[derive(Default)]
struct Shard {
    /// By number.
    pages: HashMap<u64, Box<History>, BuildHasherDefault<PageHasher>>,
    flags: Flags,
}

/// Page numbers are spread well enough by a multiplication.
#[derive(Default)]
struct PageHasher(u64);

impl Hasher for PageHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(self.0 ^ u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Shard {
    fn page(&mut self, number: u64) -> &mut History {
        self.pages.entry(number).or_insert_with(|| Box::new(History::new(PAGE as u32, Side::Global)))
    }
}

/// The parts of a range by the pages that they are in: the page's number, and offset and length there.
fn parts(address: u64, len: u64) -> impl Iterator<Item = (u64, (u32, u32))> {
    let end = address + len;
    (address / PAGE..end.div_ceil(PAGE)).map(move |page| {
        let (from, to) = (address.max(page * PAGE), end.min((page + 1) * PAGE));
        (page, ((from - page * PAGE) as u32, (to - from) as u32))
    })
}

impl Default for Ledger {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }
}

impl Ledger {
    fn shard(&self, page: u64) -> MutexGuard<'_, Shard> {
        self.shards[(page % SHARDS) as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A warp touches a range. If that meets something, gives the address.
    pub fn touch(
        &self,
        (address, len): (u64, u64),
        touch: Touch,
        clock: &Clock,
        pc: u32,
    ) -> Result<(), (u64, Clash)> {
        parts(address, len).try_for_each(|(number, range)| {
            let touched = self.shard(number).page(number).touch(range, touch, clock, pc);
            touched.map_err(|(offset, clash)| (number * PAGE + u64::from(offset), clash))
        })
    }

    /// The lanes of `mask` touch `len` bytes each, `offsets` from an address on. Does any meet something?
    pub fn touch_lanes(
        &self,
        start: u64,
        offsets: &[u32; 32],
        len: u32,
        mask: u32,
        touch: Touch,
        clock: &Clock,
        pc: u32,
    ) -> bool {
        // Within the page of the lowest there is mostly all.
        let lowest = (0..32).filter(|l| mask >> l & 1 == 1).map(|l: usize| offsets[l]).min().unwrap_or(0);
        let number = (start + u64::from(lowest)) / PAGE;
        let before = start.wrapping_sub(number * PAGE);
        let within = offsets.map(|offset| u64::from(offset).wrapping_add(before));
        let is_in = |lane: usize| mask >> lane & 1 == 0 || within[lane] + u64::from(len) <= PAGE;
        if (0..32).all(is_in) {
            let within = within.map(|offset| offset as u32);
            let mut shard = self.shard(number);
            let mut toucher = shard.page(number).toucher(touch, clock, pc);
            return !grains_of_lanes(&within, len, mask, |grain, bytes| {
                toucher.touch_grain(grain, bytes).is_ok()
            });
        }
        let mut lanes = (0..32).filter(|l| mask >> l & 1 == 1);
        lanes.any(|lane: usize| {
            let range = (start + u64::from(offsets[lane]), u64::from(len));
            self.touch(range, touch, clock, pc).is_err()
        })
    }

    /// A copy has read what it reads.
    pub fn end_read(&self, (address, len): (u64, u64), mark: Mark) {
        for (number, range) in parts(address, len) {
            self.shard(number).page(number).end_read(range, mark);
        }
    }

    /// What the copy that `mark` issued writes is there.
    pub fn end_write(&self, (address, len): (u64, u64), mark: Mark, over: impl Fn(Mark) -> Mark) {
        for (number, range) in parts(address, len) {
            self.shard(number).page(number).end_write(range, mark, &over);
        }
    }

    /// What is handed on around an address.
    pub fn flags<T>(&self, address: u64, f: impl FnOnce(&mut Flags) -> T) -> T {
        f(&mut self.shard(address / PAGE).flags)
    }
}
