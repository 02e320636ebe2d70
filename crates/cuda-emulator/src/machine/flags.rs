//! What is handed on through values in memory: a release at a place is met by an acquire that reads
//! there, if each takes part in the other's scope.
//!
//! An acquire meets all releases that its place has seen, where PTX has it meet the one whose value
//! it reads, and those that came before that in a row of atomics: so a plain store does not hide what
//! was released before it.

use std::collections::HashMap;
use std::ops::Range;

use super::order::{Clock, Order, Scope};

/// What the warps of a block have released at a place, by the scope of the release or of the fence before it.
struct Released {
    cluster: u32,
    /// One warp of the block.
    warp: usize,
    by: [Order; Scope::ALL],
}

/// Places by their addresses.
#[derive(Default)]
pub struct Flags(HashMap<u64, Vec<Released>>);

/// What a strong access does to order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Semantics {
    /// Among whom.
    pub scope: Scope,
    /// What came before is seen by those who acquire it.
    pub releases: bool,
    /// What follows sees what came before the release that was read.
    pub acquires: bool,
}

impl Flags {
    /// Forgets the places in a range.
    pub fn forget(&mut self, addresses: Range<u64>) {
        self.0.retain(|address, _| !addresses.contains(address));
    }

    /// A write: what its warp hands on is there.
    pub fn write(&mut self, address: u64, clock: &Clock, semantics: Semantics) {
        if !semantics.releases && !clock.hands_on() {
            return;
        }
        let (cluster, warp) = clock.whose();
        let all = self.0.entry(address).or_default();
        let is_here = |r: &Released| clock.scope_of(r.cluster, r.warp) == Scope::Cta;
        let nth = all.iter().position(is_here).unwrap_or_else(|| {
            all.push(Released { cluster, warp, by: Default::default() });
            all.len() - 1
        });
        for scope in [Scope::Cta, Scope::Cluster, Scope::Gpu] {
            if scope <= semantics.scope {
                let to = &mut all[nth].by[scope as usize];
                match semantics.releases {
                    true => to.join(clock.order()),
                    false => clock.release_relaxed(to, scope),
                }
            }
        }
    }

    /// A read: its warp meets what is there.
    pub fn read(&self, address: u64, clock: &mut Clock, semantics: Semantics) {
        for released in self.0.get(&address).into_iter().flatten() {
            let needed = clock.scope_of(released.cluster, released.warp);
            if needed <= semantics.scope {
                match semantics.acquires {
                    true => clock.acquire(&released.by[needed as usize]),
                    false => clock.acquire_relaxed(&released.by[needed as usize], needed),
                }
            }
        }
    }
}
