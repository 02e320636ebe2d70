//! Who did something, when and where in the code; and the landings of copies.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use super::{Clock, Scope};

/// Whose count it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Whose {
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

/// Who did something, when and where in the code. The default comes before everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mark {
    /// The number of the cluster, among all that have run; 0 is none.
    pub cluster: u32,
    pub(super) whose: Whose,
    /// The warp of the cluster whose instruction it was.
    pub warp: u16,
    /// The count; `PENDING` until it is known.
    pub(super) count: u32,
    /// The instruction.
    pub pc: u32,
    /// Is something behind it, behind which all but reductions come?
    pub(super) covered: bool,
    /// Of an access that may meet others of its kind (`.relaxed`, `.volatile`, atomics): among whom.
    pub strong: Option<Scope>,
    /// The lanes of its warp whose it was, or all of them.
    pub lanes: LaneRange,
}

/// LaneRange of a warp from the first to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneRange {
    /// The first.
    pub first: u8,
    /// The last.
    pub last: u8,
}

impl Default for LaneRange {
    fn default() -> Self {
        Self { first: 0, last: 31 }
    }
}

impl LaneRange {
    /// A bit each.
    pub(super) fn mask(self) -> u32 {
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
pub(super) const LAST_PC: u32 = (1 << (WHOSE - PC)) - 1;

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
            lanes: LaneRange {
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
pub struct Landing(pub(super) u32);

/// The bit from which on the mbarrier's number stands.
const NUMBER: u32 = 22;
/// What a count may come to; later landings are taken for that one.
const LAST_COUNT: u32 = (1 << NUMBER) - 1;
/// The mbarriers behind the last one that has a number share its: none has that of `PENDING`.
const LAST_NUMBER: u32 = (PENDING >> NUMBER) - 1;

impl Landing {
    /// The mbarrier's.
    pub(super) fn number(self) -> usize {
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
