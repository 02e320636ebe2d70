//! Memory under watch: who touched each byte last.
//!
//! Of every two accesses to the same byte one of which writes, the later must come
//! behind the earlier one's end. Where an asynchronous one reads what ordinary stores
//! wrote, a `fence.proxy.async` must be between. Accesses that are strong for each other
//! (relaxed, volatile, atomic) may meet, and so may reductions.
//!
//! Most accesses come in grains of sixteen bytes, which have one history as long as they
//! are touched as a whole. Of each grain, or byte, the last accesses of every kind are
//! kept: all that are not known to come before another one of the kind.

use super::order::{Clock, Landing, LaneRange, Mark, Scope, Side};
use super::past::{Past, Pasts};

/// Bytes of a grain.
pub const GRAIN: u32 = 16;
/// All bytes of one.
pub const WHOLE: u16 = u16::MAX;

/// Of so many accesses of a kind to a byte of shared memory that know nothing of each other the latest are kept:
const MOST_SHARED: usize = 32;
/// of global memory, where whole grids read the same, fewer.
const MOST_GLOBAL: usize = 4;

/// How memory is touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touch {
    /// By a load; among whom it may meet stores.
    Load(Option<Scope>),
    /// By a store; among whom it may meet others.
    Store(Option<Scope>),
    /// By an atomic, which has seen the value that it replaces; the same.
    Atomic(Option<Scope>),
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
    /// An access that may not be over; does it write?
    Unordered(Mark, bool),
    /// A store of the other proxy, with no fence between; is it ordered otherwise?
    Unfenced(Mark, bool),
}

/// The last accesses to a grain, or to a byte.
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

    fn all(&self) -> [Past; 4] {
        [self.stored, self.written, self.loaded, self.read]
    }

    /// All that wrote.
    fn writes(&self) -> [Past; 2] {
        [self.stored, self.written]
    }
}

/// The bytes of a grain, each with a history of its own; most of those of a word have one together.
struct Bytes {
    /// Of a whole word the first counts.
    cells: [Grain; GRAIN as usize],
    /// Which of the four words are whole, a bit each.
    whole: u8,
}

/// The bytes of a word of four.
const WORD: u16 = 15;

impl Bytes {
    fn new(all: Grain) -> Self {
        Self { cells: [all; GRAIN as usize], whole: 15 }
    }

    /// The cells that count, with the offsets of their first bytes.
    fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut Grain)> {
        let whole = self.whole;
        let counts = move |at: &u32| at.is_multiple_of(4) || whole >> (at / 4) & 1 == 0;
        (0..GRAIN).zip(&mut self.cells).filter(move |(at, _)| counts(at))
    }

    /// Each byte of a word gets a cell.
    fn part(&mut self, word: u32) {
        if self.whole >> word & 1 == 1 {
            let first = 4 * word as usize;
            let cell = self.cells[first];
            self.cells[first..first + 4].fill(cell);
            self.whole &= !(1 << word);
        }
    }

    /// If all bytes of a word have the same history, it is the word's.
    fn unite(&mut self, word: u32) {
        let cells = &self.cells[4 * word as usize..][..4];
        if cells.iter().all(|cell| *cell == cells[0]) {
            self.whole |= 1 << word;
        }
    }
}

/// A range of memory under watch.
#[derive(Default)]
pub struct History {
    grains: Vec<Grain>,
    /// By grain: 0, or one more than where its bytes are.
    split: Vec<u32>,
    bytes: Vec<Bytes>,
    /// Those of `bytes` that are in no use.
    free: Vec<u32>,
    pasts: Pasts,
    /// Which memory it is of.
    side: Side,
}

/// Which of the 16 bytes of the nth grain from that of `offset` on are among the `len` from there.
#[inline(always)]
pub fn bytes_of(offset: u32, len: u32, grain: u32) -> u16 {
    let start = offset.saturating_sub(grain * GRAIN).min(GRAIN);
    let end = (offset + len).saturating_sub(grain * GRAIN).min(GRAIN);
    ((1u32 << end) - 1) as u16 & !((1u32 << start) - 1) as u16
}

/// The grains of `len` bytes from an offset on.
fn grains_of(offset: u32, len: u32) -> std::ops::Range<u32> {
    offset / GRAIN..(offset + len).div_ceil(GRAIN)
}

/// Some bytes of a grain, and the lanes that touch them.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// The grain's number.
    pub grain: u32,
    /// A bit each.
    pub bytes: u16,
    /// From the first to the last.
    pub lanes: LaneRange,
}

/// The parts that the lanes of `mask` touch: `len` bytes each, at most 32, from `offsets` on. Neighbours that touch one
/// grain together touch it once, and so do lanes that go through the same grains again. Goes on as long as `f` says so,
/// and gives that.
pub fn parts_of_lanes(offsets: &[u32; 32], len: u32, mask: u32, f: impl FnMut(&Part) -> bool) -> bool {
    let none = Part { grain: 0, bytes: 0, lanes: LaneRange { first: 0, last: 0 } };
    // 32 bytes are in three grains at most.
    let (mut parts, mut count, mut next) = ([none; 3 * 32], 0usize, 0);
    for lane in (0..32u8).filter(|lane| mask >> lane & 1 == 1) {
        let offset = offsets[usize::from(lane)];
        for grain in grains_of(offset, len) {
            let bytes = bytes_of(offset, len, grain);
            // The last one, the one behind the one that came last again, or the first.
            let candidates = [count.wrapping_sub(1), next, 0];
            let same = candidates.into_iter().find(|nth| *nth < count && parts[*nth].grain == grain);
            match same {
                Some(nth) => {
                    parts[nth].bytes |= bytes;
                    parts[nth].lanes.last = lane;
                    next = nth + 1;
                }
                None => {
                    parts[count] = Part { grain, bytes, lanes: LaneRange { first: lane, last: lane } };
                    count += 1;
                }
            }
        }
    }
    parts[..count].iter().all(f)
}

impl History {
    /// So many bytes that nobody has touched.
    pub fn new(bytes: u32, side: Side) -> Self {
        let grains = bytes.div_ceil(GRAIN) as usize;
        let most = if side == Side::Shared { MOST_SHARED } else { MOST_GLOBAL };
        let (split, pasts) = (vec![0; grains], Pasts::new(most));
        Self { grains: vec![Grain::default(); grains], split, pasts, side, ..Self::default() }
    }

    /// A warp touches `len` bytes from an offset on. If that meets something, gives the offset.
    pub fn touch(
        &mut self,
        (offset, len): (u32, u32),
        touch: Touch,
        clock: &Clock,
        pc: u32,
    ) -> Result<(), (u32, Clash)> {
        let mut toucher = self.toucher(touch, clock, pc);
        grains_of(offset, len).try_for_each(|grain| toucher.touch_grain(grain, bytes_of(offset, len, grain)))
    }

    /// One who touches some of it, at one instruction.
    pub fn toucher<'a>(&'a mut self, touch: Touch, clock: &'a Clock, pc: u32) -> Toucher<'a> {
        self.sweep();
        let mark = clock.mark(pc);
        let mark = match touch {
            Touch::Copy => mark.copy(),
            Touch::AsyncRead | Touch::AsyncWrite => mark.pending(false),
            Touch::AsyncReduce => mark.pending(true),
            Touch::Load(strong) | Touch::Store(strong) | Touch::Atomic(strong) => mark.strong(strong),
        };
        Toucher { history: self, touch, clock, mark, last: None }
    }

    /// A `wgmma` reads the grains of a matrix that `each` calls out by their offsets. Gives what wrote there, or what
    /// that meets and where.
    #[inline(always)]
    pub fn read_matrix(
        &mut self,
        mark: Mark,
        clock: &Clock,
        each: impl FnOnce(&mut dyn FnMut(u32)),
    ) -> Result<Vec<Mark>, (u32, Clash)> {
        self.sweep();
        let Self { grains, split, bytes, pasts, side, .. } = self;
        let (mut all, mut found) = (Vec::new(), Ok(()));
        // Most of it was written by one copy, and read by the same ones.
        let (mut writes, mut read) = ([Past::default(); 2], [Past::default(), Past::from(mark)]);
        let mut one = |grain: &mut Grain, offset| {
            if writes != grain.writes() {
                writes = grain.writes();
                for mark in uncovered(pasts, writes).filter(|mark| !all.contains(mark)).collect::<Vec<_>>() {
                    all.push(mark);
                    if let (true, Err(clash)) = (found.is_ok(), may_be_read(mark, clock, *side)) {
                        found = Err((offset, clash));
                    }
                }
            }
            if read[0] != grain.read {
                read = [grain.read, pasts.add(grain.read, |other| clock.has_left(other), mark)];
            }
            grain.read = read[1];
        };
        each(&mut |offset| {
            let nth = (offset / GRAIN) as usize;
            match split.get(nth) {
                None => {}
                Some(0) => one(&mut grains[nth], offset),
                Some(at) => {
                    bytes[*at as usize - 1].iter_mut().for_each(|(at, cell)| one(cell, offset + at));
                }
            }
        });
        found.map(|()| all)
    }

    /// A copy has read what it reads.
    pub fn end_read(&mut self, range: (u32, u32), mark: Mark) {
        let mut last = None;
        self.each(range, |grain, pasts| {
            grain.read = again(&mut last, grain.read, |read| pasts.settle(read, mark, |_| mark));
        });
    }

    /// What the copy that `mark` issued writes is there.
    pub fn land(&mut self, range: (u32, u32), mark: Mark, landing: Landing) {
        self.end_write(range, mark, |pending| pending.landed(landing));
    }

    /// The same, for those who have seen what becomes of its mark.
    pub fn end_write(&mut self, range: (u32, u32), mark: Mark, over: impl Fn(Mark) -> Mark) {
        let mut last = None;
        self.each(range, |grain, pasts| {
            grain.written = again(&mut last, grain.written, |written| pasts.settle(written, mark, &over));
        });
    }

    /// Nobody has touched a range.
    pub fn forget(&mut self, (offset, len): (u32, u32)) {
        let grains = self.grains.len();
        for nth in grains_of(offset, len).filter(|nth| (*nth as usize) < grains) {
            let bytes = bytes_of(offset, len, nth);
            let at = nth as usize;
            if bytes == WHOLE && self.split[at] == 0 {
                self.grains[at] = Grain::default();
                continue;
            }
            if self.split[at] == 0 {
                self.part(at);
            }
            let part = &mut self.bytes[self.split[at] as usize - 1];
            (0..4).for_each(|word| part.part(word));
            let gone = part.iter_mut().filter(|(byte, _)| bytes >> byte & 1 == 1);
            gone.for_each(|(_, grain)| *grain = Grain::default());
            (0..4).for_each(|word| part.unite(word));
            self.unite(at);
        }
    }

    /// Does something with all grains, or bytes, of a range.
    fn each(&mut self, (offset, len): (u32, u32), mut f: impl FnMut(&mut Grain, &mut Pasts)) {
        for nth in grains_of(offset, len).map(|nth| nth as usize) {
            match self.split.get(nth) {
                None => return,
                Some(0) => f(&mut self.grains[nth], &mut self.pasts),
                Some(at) => {
                    self.bytes[*at as usize - 1].iter_mut().for_each(|(_, cell)| f(cell, &mut self.pasts));
                }
            }
        }
    }

    /// Forgets sets of accesses that no grain has any more, once there are many.
    fn sweep(&mut self) {
        if self.pasts.are_many() {
            let all = self
                .grains
                .iter_mut()
                .chain(self.bytes.iter_mut().flat_map(|b| b.iter_mut().map(|(_, c)| c)));
            self.pasts.sweep(all.flat_map(Grain::pasts));
        }
    }

    /// From now on each byte of a grain has its own history.
    #[cold]
    fn part(&mut self, nth: usize) {
        let all = Bytes::new(self.grains[nth]);
        let at = match self.free.pop() {
            Some(at) => {
                self.bytes[at as usize] = all;
                at
            }
            None => {
                self.bytes.push(all);
                self.bytes.len() as u32 - 1
            }
        };
        self.split[nth] = at + 1;
        self.grains[nth] = Grain::default();
    }

    /// If all bytes of a grain have the same history, it is the grain's.
    fn unite(&mut self, nth: usize) {
        let at = self.split[nth] - 1;
        let bytes = &mut self.bytes[at as usize];
        let first = bytes.cells[0];
        if bytes.iter_mut().all(|(_, cell)| *cell == first) {
            self.grains[nth] = first;
            self.split[nth] = 0;
            self.free.push(at);
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

/// What wrote, as all but reductions see it.
fn uncovered(pasts: &Pasts, writes: [Past; 2]) -> impl Iterator<Item = Mark> {
    writes.into_iter().flat_map(|past| pasts.marks(past)).filter(|mark| !mark.is_covered())
}

/// May something asynchronous read what was written?
pub fn may_be_read(written: Mark, clock: &Clock, side: Side) -> Result<(), Clash> {
    if written.is_engines() || written.is_copy() {
        if clock.has_seen(written) { Ok(()) } else { Err(Clash::Unordered(written, true)) }
    } else if clock.has_fenced(written, side) {
        Ok(())
    } else {
        Err(Clash::Unfenced(written, clock.has_seen(written)))
    }
}

/// One who touches memory.
pub struct Toucher<'a> {
    history: &'a mut History,
    touch: Touch,
    clock: &'a Clock,
    mark: Mark,
    /// How the last grain was touched.
    last: Option<Touched>,
}

/// What a grain was before it was touched by a mark, and after.
struct Touched {
    before: Grain,
    after: Grain,
    mark: Past,
    /// Which of the four pasts are now the mark alone; the others are as they were. Or there is more to it.
    replaced: Option<[bool; 4]>,
}

impl Touched {
    fn new(before: Grain, after: Grain, mark: Mark) -> Self {
        let mark = Past::from(mark);
        let pairs = before.all().into_iter().zip(after.all());
        let mut replaced = Some([false; 4]);
        for (nth, (before, after)) in pairs.enumerate() {
            match &mut replaced {
                Some(replaced) if after == mark => replaced[nth] = true,
                _ if before == after => {}
                _ => replaced = None,
            }
        }
        Self { before, after, mark, replaced }
    }

    /// What becomes of another grain, if that is known: lanes apart, it is like the last one.
    #[inline(always)]
    fn again(&self, grain: Grain, mark: Past) -> Option<Grain> {
        match self.replaced {
            _ if self.before == grain && self.mark == mark => Some(self.after),
            Some(replaced) => {
                let (before, now) = (self.before.all(), grain.all());
                let is_like = before.iter().zip(&now).all(|(before, now)| before.is_but_for_lanes(*now));
                let [stored, written, loaded, read] =
                    std::array::from_fn(|nth| if replaced[nth] { mark } else { now[nth] });
                is_like.then_some(Grain { stored, written, loaded, read })
            }
            None => None,
        }
    }
}

impl Toucher<'_> {
    /// LaneRange touch some bytes of a grain. If that meets something, gives the offset.
    #[inline(always)]
    pub fn touch_part(&mut self, part: &Part) -> Result<(), (u32, Clash)> {
        if self.clock.tells_lanes() {
            self.mark.lanes = part.lanes;
        }
        self.touch_grain(part.grain, part.bytes)
    }

    /// Touches some bytes of a grain. If that meets something, gives the offset.
    #[inline(always)]
    pub fn touch_grain(&mut self, nth: u32, bytes: u16) -> Result<(), (u32, Clash)> {
        let at = nth as usize;
        match self.history.split.get(at) {
            None => Ok(()),
            Some(0) if bytes == WHOLE => {
                let touched = self.touch_one(self.history.grains[at]);
                self.history.grains[at] = touched.map_err(|clash| (nth * GRAIN, clash))?;
                Ok(())
            }
            _ => self.touch_bytes(nth, bytes),
        }
    }

    #[inline(never)]
    fn touch_bytes(&mut self, nth: u32, bytes: u16) -> Result<(), (u32, Clash)> {
        let at = nth as usize;
        if self.history.split[at] == 0 {
            // Who has touched all of it already need not part it.
            let before = self.history.grains[at];
            if self.touch_one(before).is_ok_and(|after| after == before) {
                return Ok(());
            }
            self.history.part(at);
        }
        let part = self.history.split[at] as usize - 1;
        for word in (0..4).filter(|word| bytes >> (4 * word) & WORD != 0) {
            let of_word = bytes >> (4 * word) & WORD;
            let is_whole = self.history.bytes[part].whole >> word & 1 == 1;
            if of_word != WORD {
                self.history.bytes[part].part(word);
            }
            let cells = if of_word == WORD && is_whole { 1 } else { 4 };
            for byte in (0..cells).filter(|byte| of_word >> byte & 1 == 1).map(|byte| 4 * word + byte) {
                let touched = self.touch_one(self.history.bytes[part].cells[byte as usize]);
                self.history.bytes[part].cells[byte as usize] =
                    touched.map_err(|clash| (nth * GRAIN + byte, clash))?;
            }
            if cells == 4 {
                self.history.bytes[part].unite(word);
            }
        }
        if bytes == WHOLE {
            self.history.unite(at);
        }
        Ok(())
    }

    /// What becomes of a grain. One with the past that the last one had gets the future that the last one has.
    #[inline(always)]
    fn touch_one(&mut self, grain: Grain) -> Result<Grain, Clash> {
        let mark = Past::from(self.mark);
        if let Some(after) = self.last.as_ref().and_then(|last| last.again(grain, mark)) {
            return Ok(after);
        }
        let mut after = grain;
        self.touch_next(&mut after)?;
        // What hangs on lanes may be otherwise for the next one's.
        self.last = (!self.clock.take_hung_on_lanes()).then(|| Touched::new(grain, after, self.mark));
        Ok(after)
    }

    #[inline(never)]
    fn touch_next(&mut self, grain: &mut Grain) -> Result<(), Clash> {
        match self.touch {
            Touch::Load(strong) => {
                self.behind_copies(grain, true)?;
                self.behind_threads(grain.stored, strong, true)?;
                grain.loaded = self.add(grain.loaded, true);
            }
            Touch::Store(strong) | Touch::Atomic(strong) => {
                self.behind_copies(grain, false)?;
                self.behind_threads(grain.stored, strong, true)?;
                self.behind_threads(grain.loaded, strong, false)?;
                self.behind_all(grain.read, false)?;
                grain.stored = self.add(grain.stored, false);
                // Who comes behind this store comes behind what this comes behind.
                let clock = self.clock;
                grain.written = self
                    .history
                    .pasts
                    .without(grain.written, |mark| mark.is_covered() && clock.has_seen(mark));
                if strong.is_none() {
                    // All must come behind this one.
                    grain.loaded = Past::default();
                }
            }
            Touch::Copy => {
                self.behind_copies(grain, false)?;
                self.behind_threads(grain.stored, None, true)?;
                self.behind_threads(grain.loaded, None, false)?;
                self.behind_all(grain.read, false)?;
                // Nobody asks for a fence behind this one, so stores that have none stay.
                let (clock, side) = (self.clock, self.history.side);
                let stays = |store| may_be_read(store, clock, side).is_err();
                grain.stored = self.history.pasts.add_to_some(grain.stored, stays, self.mark);
                grain.loaded = Past::default();
            }
            Touch::AsyncRead => {
                uncovered(&self.history.pasts, grain.writes())
                    .try_for_each(|mark| may_be_read(mark, self.clock, self.history.side))?;
                grain.read = self.add(grain.read, true);
            }
            Touch::AsyncReduce => self.reduce(grain)?,
            Touch::AsyncWrite => {
                self.behind_copies(grain, false)?;
                self.behind_all(grain.stored, true)?;
                self.behind_all(grain.loaded, false)?;
                self.behind_all(grain.read, false)?;
                // Who comes behind this comes behind all that.
                *grain = Grain { written: self.mark.into(), ..Grain::default() };
            }
        }
        Ok(())
    }

    /// Reductions may meet each other, so that none of them comes behind what another one does.
    fn reduce(&mut self, grain: &mut Grain) -> Result<(), Clash> {
        let all = grain.writes().into_iter().flat_map(|past| self.history.pasts.marks(past));
        let (reductions, others): (Vec<Mark>, Vec<Mark>) = all.partition(|mark| mark.is_reduction());
        others.iter().try_for_each(|mark| may_be_read(*mark, self.clock, self.history.side))?;
        self.behind_all(grain.loaded, false)?;
        self.behind_all(grain.read, false)?;
        let covered = others.into_iter().map(Mark::cover);
        let unseen = reductions.into_iter().filter(|mark| !self.clock.has_seen(*mark));
        grain.written = self.history.pasts.of(covered.chain(unseen).chain([self.mark]).collect());
        grain.stored = Past::default();
        Ok(())
    }

    /// What is left of a set once this access is in it. Who may meet this one may not meet a weaker one before it, nor
    /// one of another block, so that such a one stays.
    fn add(&mut self, past: Past, reads: bool) -> Past {
        let clock = self.clock;
        let is_over = |mark: Mark| {
            let is_near = || clock.scope_of(mark.cluster, mark.warp.into()) == Scope::Cta;
            (self.mark.strong.is_none() || self.mark.strong <= mark.strong && is_near())
                && if reads { clock.has_left(mark) } else { clock.has_seen(mark) }
        };
        // An atomic has observed the writes that it may meet, so that its warp comes behind them as far as this goes.
        let observes = |mark| matches!(self.touch, Touch::Atomic(strong) if clock.may_meet(strong, mark));
        let stands_for = |mark: Mark| is_over(mark) || self.mark.strong <= mark.strong && observes(mark);
        self.history.pasts.add(past, stands_for, self.mark)
    }

    fn behind(&self, mark: Mark, writes: bool) -> Result<(), Clash> {
        let is_over = if writes { self.clock.has_seen(mark) } else { self.clock.has_left(mark) };
        if is_over { Ok(()) } else { Err(Clash::Unordered(mark, writes)) }
    }

    fn behind_all(&self, past: Past, writes: bool) -> Result<(), Clash> {
        self.history.pasts.try_each(past, |mark| self.behind(mark, writes))
    }

    /// Behind accesses of threads, unless they may meet this one.
    fn behind_threads(&self, past: Past, strong: Option<Scope>, writes: bool) -> Result<(), Clash> {
        self.history.pasts.try_each(past, |mark| match self.clock.may_meet(strong, mark) {
            true => Ok(()),
            false => self.behind(mark, writes),
        })
    }

    /// Behind what the copy engine wrote. Who only overwrites it need not see it: somebody has, and left it.
    fn behind_copies(&self, grain: &Grain, sees: bool) -> Result<(), Clash> {
        self.history.pasts.try_each(grain.written, |mark| match mark.is_covered() {
            true => Ok(()),
            false if !sees && self.clock.has_left(mark) => Ok(()),
            false => self.behind(mark, true),
        })
    }
}
