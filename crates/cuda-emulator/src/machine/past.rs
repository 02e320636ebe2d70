//! Sets of accesses, none of which is known to come before another.
//!
//! Mostly there is one, which is kept as it is; larger sets have numbers.

use rustc_hash::FxHashMap;

use super::order::{LANES, Mark};

/// A set of marks as one word: zero for none, a packed mark, or the number of a larger set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Past(u128);

/// The bit of a number, which no packed mark has.
const NUMBER: u128 = 1 << 127;
/// So many sets, at least, are looked through for those that nobody uses any more.
const MANY: usize = 1 << 14;

impl From<Mark> for Past {
    fn from(mark: Mark) -> Self {
        Self(mark.pack())
    }
}

impl Past {
    fn number(self) -> Option<usize> {
        (self.0 & NUMBER != 0).then_some((self.0 & !NUMBER) as usize)
    }

    /// Are they the same but for the lanes of the one mark that they are?
    #[inline(always)]
    pub fn is_but_for_lanes(self, other: Past) -> bool {
        let difference = self.0 ^ other.0;
        difference == 0 || difference & !LANES == 0 && self.0 & NUMBER == 0
    }

    /// Nothing?
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// The larger sets.
#[derive(Default)]
pub struct Pasts {
    /// So many marks are kept in a set, the latest.
    most: usize,
    sets: Vec<Vec<Mark>>,
    numbers: FxHashMap<Vec<Mark>, usize>,
    /// Those that were in use when they were looked through last.
    used: usize,
}

impl Pasts {
    /// None, of which any may have so many marks.
    pub fn new(most: usize) -> Self {
        Self { most, ..Self::default() }
    }

    /// The marks of a set.
    pub fn marks(&self, past: Past) -> impl Iterator<Item = Mark> {
        let (one, many) = match past.number() {
            Some(number) => (None, self.sets[number].as_slice()),
            None => ((!past.is_empty()).then(|| Mark::unpack(past.0)), [].as_slice()),
        };
        one.into_iter().chain(many.iter().copied())
    }

    /// Asks for each mark of a set, until one fails.
    #[inline(always)]
    pub fn try_each<E>(&self, past: Past, mut f: impl FnMut(Mark) -> Result<(), E>) -> Result<(), E> {
        match past.number() {
            _ if past.is_empty() => Ok(()),
            None => f(Mark::unpack(past.0)),
            Some(number) => self.sets[number].iter().try_for_each(|mark| f(*mark)),
        }
    }

    /// The set of these marks.
    pub fn of(&mut self, marks: Vec<Mark>) -> Past {
        match marks.as_slice() {
            [] => Past::default(),
            [one] => Past::from(*one),
            _ => {
                let number = self.numbers.get(&marks).copied().unwrap_or_else(|| {
                    self.sets.push(marks.clone());
                    self.numbers.insert(marks, self.sets.len() - 1);
                    self.sets.len() - 1
                });
                Past(NUMBER | number as u128)
            }
        }
    }

    /// What is left of a set for one who knows some, and that one's mark.
    #[inline(always)]
    pub fn add(&mut self, past: Past, knows: impl Fn(Mark) -> bool, mark: Mark) -> Past {
        if past.is_empty() || past.number().is_none() && knows(Mark::unpack(past.0)) {
            return Past::from(mark);
        }
        self.add_to_some(past, |other| !knows(other), mark)
    }

    /// Those of a set that are to stay, and one more.
    #[cold]
    pub fn add_to_some(&mut self, past: Past, stays: impl Fn(Mark) -> bool, mark: Mark) -> Past {
        let staying = self.marks(past).filter(|other| stays(*other));
        let mut all: Vec<Mark> = staying.chain([mark]).collect();
        all.drain(..all.len().saturating_sub(self.most));
        self.of(all)
    }

    /// Those of a set that do not go.
    #[inline(always)]
    pub fn without(&mut self, past: Past, goes: impl Fn(Mark) -> bool) -> Past {
        if past.is_empty() || !self.marks(past).any(&goes) {
            return past;
        }
        let staying = self.marks(past).filter(|mark| !goes(*mark)).collect();
        self.of(staying)
    }

    /// A set with the mark replaced that is pending for an instruction of a warp: that of `mark`.
    pub fn settle(&mut self, past: Past, mark: Mark, settled: impl FnOnce(Mark) -> Mark) -> Past {
        let mut marks: Vec<Mark> = self.marks(past).collect();
        let same = |other: &&mut Mark| {
            other.is_pending() && (other.cluster, other.warp, other.pc) == (mark.cluster, mark.warp, mark.pc)
        };
        let Some(pending) = marks.iter_mut().find(same) else { return past };
        *pending = settled(*pending);
        self.of(marks)
    }

    /// Are there so many that they should be swept?
    pub fn are_many(&self) -> bool {
        self.sets.len() >= MANY + 2 * self.used
    }

    /// Forgets all sets but those that `each` shows, which get new numbers.
    pub fn sweep<'p>(&mut self, each: impl Iterator<Item = &'p mut Past>) {
        let old = std::mem::replace(self, Self::new(self.most));
        for past in each {
            if let Some(number) = past.number() {
                *past = self.of(old.sets[number].clone());
            }
        }
        self.used = self.sets.len();
    }
}
