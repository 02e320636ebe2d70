//! Global memory under watch: the history of its bytes, page by page, and what is handed on through
//! values in it.
//!
//! Clusters run on several threads of the host. A page is looked at by one of them at a time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use rustc_hash::FxHashMap;

use super::flags::Flags;
use super::footprint::Span;
use super::history::{Clash, GRAIN, History, Touch, parts_of_lanes};
use super::order::{Clock, Crew, Earlier, Mark, Side};
use super::pattern::Lanes;
use crate::verdict::{Finding, Place, Verdict};

/// Bytes of a page.
const PAGE: u64 = 4096;
/// Pages are looked at under as many locks.
const SHARDS: u64 = 64;

/// The histories of all global memory that has been touched.
pub struct Ledger {
    shards: Vec<Mutex<Shard>>,
    /// What copies and fills have touched: for pages that nobody else had.
    copied: RwLock<Vec<(Span, Arc<Clock>)>>,
}

#[derive(Default)]
struct Shard {
    /// By number.
    pages: FxHashMap<u64, Box<History>>,
    flags: Flags,
}

/// The parts of a range by the pages that they are in: the page's number, and offset and length there.
fn parts(address: u64, len: u64) -> impl Iterator<Item = (u64, (u32, u32))> {
    let end = address + len;
    (address / PAGE..end.div_ceil(PAGE)).map(move |page| {
        let (from, to) = (address.max(page * PAGE), end.min((page + 1) * PAGE));
        (page, ((from - page * PAGE) as u32, (to - from) as u32))
    })
}

/// How a copy or fill touches memory.
fn touch_of(span: &Span) -> Touch {
    if span.writes { Touch::Store(None) } else { Touch::Load(None) }
}

impl Default for Ledger {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), copied: RwLock::default() }
    }
}

impl Ledger {
    fn shard(&self, page: u64) -> MutexGuard<'_, Shard> {
        self.shards[(page % SHARDS) as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A page; a new one knows of copies.
    fn page<'a>(&self, shard: &'a mut Shard, number: u64) -> &'a mut History {
        shard.pages.entry(number).or_insert_with(|| {
            let mut page = Box::new(History::new(PAGE as u32, Side::Global));
            for (span, clock) in self.copied.read().unwrap_or_else(PoisonError::into_inner).iter() {
                let from = span.address.max(number * PAGE);
                let to = (span.address + span.len).min((number + 1) * PAGE);
                // What meets was found when it was copied: each part is touched, whatever the others say.
                for at in (from..to).step_by(GRAIN as usize) {
                    let range = ((at - number * PAGE) as u32, (to - at).min(GRAIN.into()) as u32);
                    let _ = page.touch(range, touch_of(span), clock, 0);
                }
            }
            page
        })
    }

    /// A copy or fill touches memory. Does it meet what need not have ended?
    pub fn copy(&self, spans: Vec<Span>, earlier: Arc<Earlier>) -> Result<(), Box<Finding>> {
        let crew =
            Crew { cluster: earlier.first, warps: 1, each: 1, earlier: earlier.clone(), tells_lanes: false };
        let clock = Arc::new(Clock::new(&Arc::new(crew), 0));
        let race = |span: &Span, address: u64, len: u64, mark: Mark, writes: bool| {
            let what = if span.writes { "a write" } else { "a read" }.to_owned();
            let other = earlier.unordered(mark.cluster).map(|footprint| footprint.place(mark));
            let (len, other) = (u32::try_from(len).unwrap_or(u32::MAX), Box::new(other.unwrap_or_default()));
            let verdict = Verdict::Race { what, rank: None, address, len, other, writes };
            let place = Place { kernel: "a copy or fill".to_owned(), ..Place::default() };
            Err(Box::new(Finding { verdict, place }))
        };
        for span in spans {
            // Pages that no kernel has touched tell nothing.
            for (other, before) in self.copied.read().unwrap_or_else(PoisonError::into_inner).iter() {
                let from = span.address.max(other.address);
                let to = (span.address + span.len).min(other.address + other.len);
                let mark = before.mark(0);
                if from < to && (span.writes || other.writes) && !clock.has_seen(mark) {
                    return race(&span, from, to - from, mark, other.writes);
                }
            }
            // Pages that are new from now on know of it; those that there are are told.
            {
                let mut copied = self.copied.write().unwrap_or_else(PoisonError::into_inner);
                // One before it that it comes behind is not asked for again.
                copied.retain(|(other, before)| *other != span || !clock.has_seen(before.mark(0)));
                copied.push((span, clock.clone()));
            }
            for (number, range) in parts(span.address, span.len) {
                let mut shard = self.shard(number);
                let Some(page) = shard.pages.get_mut(&number) else { continue };
                if let Err((offset, Clash::Unordered(mark, writes) | Clash::Unfenced(mark, writes))) =
                    page.touch(range, touch_of(&span), &clock, 0)
                {
                    let address = number * PAGE + u64::from(offset);
                    return race(&span, address, span.address + span.len - address, mark, writes);
                }
            }
        }
        Ok(())
    }

    /// Nobody knows of memory that is given back.
    pub fn forget(&self, address: u64, len: u64) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let (first, end) = (address / PAGE, (address + len).div_ceil(PAGE));
            shard.pages.retain(|number, page| match (first..end).contains(number) {
                false => true,
                true => {
                    let (from, to) = (address.max(number * PAGE), (address + len).min((number + 1) * PAGE));
                    page.forget(((from - number * PAGE) as u32, (to - from) as u32));
                    to - from < PAGE
                }
            });
            shard.flags.forget(address..address + len);
        }
        let mut copied = self.copied.write().unwrap_or_else(PoisonError::into_inner);
        copied.retain(|(span, _)| span.address + span.len <= address || span.address >= address + len);
    }

    /// Nobody knows of anything.
    pub fn clear(&self) {
        for shard in &self.shards {
            *shard.lock().unwrap_or_else(PoisonError::into_inner) = Shard::default();
        }
        self.copied.write().unwrap_or_else(PoisonError::into_inner).clear();
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
            let touched = self.page(&mut self.shard(number), number).touch(range, touch, clock, pc);
            touched.map_err(|(offset, clash)| (number * PAGE + u64::from(offset), clash))
        })
    }

    /// The lanes of a warp touch memory. Does any meet something?
    pub fn touch_lanes(&self, lanes: &Lanes<'_>, touch: Touch, clock: &Clock, pc: u32) -> bool {
        let Lanes { size: len, mask, start, distances: offsets } = *lanes;
        let mut rest = mask;
        while rest != 0 {
            // All lanes in the page of the first.
            let number = (start + u64::from(offsets[rest.trailing_zeros() as usize])) / PAGE;
            let before = start.wrapping_sub(number * PAGE);
            let within = offsets.map(|offset| u64::from(offset).wrapping_add(before));
            let is_in = |lane: &u32| within[*lane as usize].saturating_add(len.into()) <= PAGE;
            let here = (0..32).filter(is_in).fold(0, |here, lane| here | 1 << lane) & rest;
            if here == 0 {
                // It goes on in the next page.
                let lane = rest.trailing_zeros();
                let range = (start + u64::from(offsets[lane as usize]), u64::from(len));
                if self.touch(range, touch, clock, pc).is_err() {
                    return true;
                }
                rest &= rest - 1;
                continue;
            }
            let within = within.map(|offset| offset as u32);
            let mut shard = self.shard(number);
            let mut toucher = self.page(&mut shard, number).toucher(touch, clock, pc);
            if !parts_of_lanes(&within, len, here, |part| toucher.touch_part(part).is_ok()) {
                return true;
            }
            rest &= !here;
        }
        false
    }

    /// A copy has read what it reads.
    pub fn end_read(&self, (address, len): (u64, u64), mark: Mark) {
        for (number, range) in parts(address, len) {
            if let Some(page) = self.shard(number).pages.get_mut(&number) {
                page.end_read(range, mark);
            }
        }
    }

    /// What the copy that `mark` issued writes is there.
    pub fn end_write(&self, (address, len): (u64, u64), mark: Mark, over: impl Fn(Mark) -> Mark) {
        for (number, range) in parts(address, len) {
            if let Some(page) = self.shard(number).pages.get_mut(&number) {
                page.end_write(range, mark, &over);
            }
        }
    }

    /// What is handed on around an address.
    pub fn flags<T>(&self, address: u64, f: impl FnOnce(&mut Flags) -> T) -> T {
        f(&mut self.shard(address / PAGE).flags)
    }
}
