//! mbarriers: arrivals and transaction bytes, phase by phase.
//!
//! Their state is kept beside shared memory, by address. The eight bytes there
//! are opaque to programs: only operations on mbarriers may touch them.

use super::order::{Gate, Mark};

/// Bytes of an mbarrier, and its alignment.
pub const SIZE: u32 = 8;
/// The most arrivals that an mbarrier counts.
const MAX_COUNT: u32 = (1 << 20) - 1;
/// The bounds of its transaction count.
const MAX_TRANSACTIONS: i64 = (1 << 20) - 1;

/// One mbarrier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mbarrier {
    /// Arrivals of a phase.
    expected: u32,
    /// Arrivals that the running phase waits for.
    pending: u32,
    /// Bytes that the running phase waits for: expected less completed.
    transactions: i64,
    /// Completed phases.
    phase: u64,
    /// What the phases order.
    pub gate: Gate,
    /// Its initialisation.
    pub init: Mark,
    /// Has a fence made that visible to the copy engine?
    pub is_visible: bool,
}

impl Mbarrier {
    /// `mbarrier.init`.
    pub fn new(count: u32) -> Result<Self, String> {
        match count {
            1..=MAX_COUNT => Ok(Self {
                expected: count,
                pending: count,
                transactions: 0,
                phase: 0,
                gate: Gate::default(),
                init: Mark::default(),
                is_visible: false,
            }),
            _ => Err(format!("a count of {count} arrivals is not in 1 to {MAX_COUNT}")),
        }
    }

    /// Completed phases.
    pub fn phase(&self) -> u64 {
        self.phase
    }

    /// Arrivals that the running phase waits for.
    pub fn pending(&self) -> u32 {
        self.pending
    }

    /// `count` arrivals; with `drop`, later phases wait for as many fewer. Gives the token of the
    /// phase before.
    pub fn arrive(&mut self, count: u32, drop: bool) -> Result<u64, String> {
        if count == 0 {
            return Err("an arrival of no threads".to_owned());
        }
        if count > self.pending {
            return Err(format!(
                "{count} arrivals where the running phase waits for {} of {}",
                self.pending, self.expected
            ));
        }
        let token = self.token();
        self.pending -= count;
        if drop {
            self.expected -= count;
        }
        self.complete_if_full();
        Ok(token)
    }

    /// The running phase waits for `bytes` more.
    pub fn expect(&mut self, bytes: u32) -> Result<(), String> {
        self.transact(i64::from(bytes))
    }

    /// `bytes` have come.
    pub fn complete(&mut self, bytes: u32) -> Result<(), String> {
        self.transact(-i64::from(bytes))?;
        self.complete_if_full();
        Ok(())
    }

    fn transact(&mut self, bytes: i64) -> Result<(), String> {
        self.transactions += bytes;
        match self.transactions.abs() {
            0..=MAX_TRANSACTIONS => Ok(()),
            _ => Err(format!("a transaction count of {} is beyond {MAX_TRANSACTIONS}", self.transactions)),
        }
    }

    fn complete_if_full(&mut self) {
        if self.pending == 0 && self.transactions == 0 {
            self.phase += 1;
            self.gate.complete();
            self.pending = self.expected;
        }
    }

    /// What `arrive` gives: the phase, and the arrivals it waits for.
    fn token(&self) -> u64 {
        self.phase << 20 | u64::from(self.pending)
    }

    /// Has the phase of a token completed?
    pub fn has_passed(&self, token: u64) -> bool {
        self.phase > token >> 20
    }

    /// Has the phase of this parity completed: is the running one of the other?
    pub fn has_passed_parity(&self, parity: u32) -> bool {
        self.phase & 1 != u64::from(parity & 1)
    }

    /// "phase 3 waits for 1 of 2 arrivals and 4096 bytes"
    pub fn progress(&self) -> String {
        let bytes = match self.transactions {
            0 => String::new(),
            n => format!(" and {n} bytes"),
        };
        format!("phase {} waits for {} of {} arrivals{bytes}", self.phase, self.pending, self.expected)
    }
}

/// The arrivals that the phase of a token waited for (`mbarrier.pending_count`).
pub fn pending_of(token: u64) -> u32 {
    token as u32 & MAX_COUNT
}

/// The mbarriers of one block, by their shared address. They are few, and looked for often.
#[derive(Debug, Default)]
pub struct Mbarriers(Vec<(u32, Mbarrier)>);

impl Mbarriers {
    /// Where one is, or would be.
    fn place(&self, address: u32) -> Result<usize, usize> {
        self.0.binary_search_by_key(&address, |(at, _)| *at)
    }

    /// Puts one there.
    pub fn insert(&mut self, address: u32, barrier: Mbarrier) {
        match self.place(address) {
            Ok(at) => self.0[at].1 = barrier,
            Err(at) => self.0.insert(at, (address, barrier)),
        }
    }

    /// Ends one.
    pub fn remove(&mut self, address: u32) -> Option<Mbarrier> {
        self.place(address).ok().map(|at| self.0.remove(at).1)
    }

    /// The one, if any, of whose bytes some are among the `len` from an address on.
    pub fn among(&self, address: u32, len: u32) -> Option<(u32, &Mbarrier)> {
        let nth = self.0.partition_point(|(at, _)| at + SIZE <= address);
        self.0.get(nth).filter(|(at, _)| *at < address + len).map(|(at, barrier)| (*at, barrier))
    }

    /// Do lanes of a mask touch bytes of any, where `offsets` from an address say, `len` each?
    #[inline]
    pub fn are_among(&self, start: u32, offsets: &[u32; 32], len: u32, mask: u32) -> bool {
        let (Some((first, _)), Some((last, _))) = (self.0.first(), self.0.last()) else { return false };
        // Mostly they are all in one place, and nobody touches that.
        let near = first.saturating_sub(start + len - 1)..last + SIZE - start;
        let lanes =
            offsets.iter().enumerate().fold(0, |lanes, (l, at)| lanes | u32::from(near.contains(at)) << l);
        lanes & mask != 0
            && (0..32).any(|l| lanes & mask & 1 << l != 0 && self.among(start + offsets[l], len).is_some())
    }

    /// All of them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Mbarrier> {
        self.0.iter_mut().map(|(_, barrier)| barrier)
    }

    /// The one at an address.
    pub fn get(&self, address: u32) -> Option<&Mbarrier> {
        self.place(address).ok().map(|at| &self.0[at].1)
    }

    /// The one at an address.
    pub fn get_mut(&mut self, address: u32) -> Option<&mut Mbarrier> {
        self.place(address).ok().map(|at| &mut self.0[at].1)
    }
}

#[cfg(test)]
mod tests {
    use super::{Mbarrier, pending_of};

    #[test]
    fn a_phase_needs_its_arrivals_and_its_bytes() {
        let mut b = Mbarrier::new(2).unwrap();
        let first = b.arrive(1, false).unwrap();
        assert_eq!(pending_of(first), 2);
        b.expect(64).unwrap();
        b.arrive(1, false).unwrap();
        assert!(!b.has_passed(first) && !b.has_passed_parity(0) && b.has_passed_parity(1));
        b.complete(48).unwrap();
        assert!(!b.has_passed(first));
        b.complete(16).unwrap();
        assert!(b.has_passed(first) && b.has_passed_parity(0) && !b.has_passed_parity(1));
        // The next phase waits for both again.
        assert_eq!(pending_of(b.arrive(1, false).unwrap()), 2);
    }

    #[test]
    fn bytes_may_come_before_they_are_expected() {
        let mut b = Mbarrier::new(1).unwrap();
        b.complete(32).unwrap();
        assert_eq!(b.phase(), 0);
        b.expect(32).unwrap();
        assert_eq!(b.phase(), 0, "only an arrival or completed bytes end a phase");
        b.arrive(1, false).unwrap();
        assert_eq!(b.phase(), 1);
    }

    #[test]
    fn what_drops_out_is_not_waited_for_again() {
        let mut b = Mbarrier::new(3).unwrap();
        b.arrive(1, true).unwrap();
        b.arrive(2, false).unwrap();
        assert_eq!(b.phase(), 1);
        b.arrive(2, false).unwrap();
        assert_eq!(b.phase(), 2);
    }

    #[test]
    fn rules() {
        assert!(Mbarrier::new(0).is_err() && Mbarrier::new(1 << 20).is_err());
        let mut b = Mbarrier::new(1).unwrap();
        assert!(b.arrive(2, false).is_err());
        assert!(b.expect(1 << 20).is_err());
    }
}
