//! What comes before what: clocks of the warps of a cluster.
//!
//! Each warp counts. When it releases (arrives at a barrier, fences) what it has
//! seen is handed over, and it counts on; who acquires from there (waits for the
//! barrier) has seen all that too. An access is known by its warp and that warp's
//! count: it comes before another one if the other's warp has seen the count. Copies
//! that the engine has landed have a count as well, one for each mbarrier, which goes
//! through that: who waits for one copy knows nothing of those on other mbarriers.
//!
//! Two orders are kept: what was seen, and what of that a `fence.proxy.async` lay
//! behind, on whatever way.
//!
//! A warp's `wgmma`s have a count of their own, of which the warp itself has seen what it
//! has waited for. So have its initialisations of mbarriers, which a fence may hand on
//! without all else; their first count is the warp's start.
//!
//! What is relaxed orders nothing by itself: an arrival hands on what the last fence had
//! seen, and what a wait has met is seen from the next fence on.
//!
//! Clusters meet in global memory alone (`flags`); of other clusters an order knows what it
//! has met there. What earlier launches did is known by their queue (`Earlier`).
//!
//! Where nobody asks for order (`CUDA_EMULATOR=fast`) all of this is empty. The order is wider
//! than PTX's: of the lanes of a warp only what some hand on without the others is told apart. What
//! it does not order is unordered indeed.
//!
//! - `mark`: who did something; `seen`: how far others have been followed
//! - `clock`: a warp's own; `gate`: what goes through a barrier

mod clock;
mod gate;
mod mark;
mod seen;

use std::sync::Arc;

pub use clock::Clock;
pub use gate::Gate;
pub use mark::{LANES, Landing, Landings, LaneRange, Mark};
pub use seen::Order;

use super::footprint::Footprint;

/// Who takes part in an ordering.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// The threads of the block.
    Cta,
    /// Those of its cluster.
    Cluster,
    /// All of the device, or of the system.
    Gpu,
}

impl Scope {
    /// How many there are.
    pub const ALL: usize = 3;
}

/// Which memory a `fence.proxy.async` is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Side {
    /// Shared memory.
    #[default]
    Shared,
    /// Global memory.
    Global,
}

/// Launches that ran before, by the numbers of their clusters.
#[derive(Clone)]
pub struct Earlier {
    /// The first cluster of this launch.
    pub first: u32,
    /// Those that need not have ended when this one begins.
    pub unordered: Vec<Arc<Footprint>>,
}

impl Default for Earlier {
    /// Nothing.
    fn default() -> Self {
        Self { first: 1, unordered: Vec::new() }
    }
}

impl Earlier {
    /// Has the launch ended that this cluster is of?
    fn have_ended(&self, cluster: u32) -> bool {
        cluster < self.first && self.unordered(cluster).is_none()
    }

    /// The launch, if it need not have ended, that this cluster is of.
    pub fn unordered(&self, cluster: u32) -> Option<&Footprint> {
        self.unordered.iter().map(Arc::as_ref).find(|footprint| footprint.clusters.contains(&cluster))
    }
}

/// What the warps of a cluster have in common.
#[derive(Clone, Default)]
pub struct Crew {
    /// The number of their cluster, among all that have run.
    pub cluster: u32,
    /// How many they are.
    pub warps: usize,
    /// Warps of a block.
    pub each: usize,
    /// What ran before.
    pub earlier: Arc<Earlier>,
    /// May lanes of theirs hand on alone what they did: are lanes to be told apart?
    pub tells_lanes: bool,
}
