//! Barriers and mbarriers, as far as order goes.

use super::{Clock, Order, Scope};

/// A barrier.
///
/// Who arrives and who waits take part in each other's scope, or not. If not, what the one has written is not seen by
/// the other, but what it has read is over: that is the reading here of what PTX has a wait guarantee ("mbarrier:
/// test_wait, try_wait": writes before an arrival are visible to threads of the scope, and accesses behind the wait are
/// not to what came before the arrival of any participant).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gate {
    /// From those who have arrived in the running phase.
    pub arriving: Passage,
    /// From those of completed phases.
    pub passed: Passage,
}

/// What goes through a barrier.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Passage {
    /// From the block of those who wait.
    pub near: Order,
    /// From other blocks of the cluster, for those who wait in its scope.
    far: Order,
    /// What all have left.
    left: Order,
}

impl Gate {
    /// The phase is complete.
    pub fn complete(&mut self) {
        let Passage { near, far, left } = &mut self.arriving;
        self.passed.near.join(near);
        self.passed.far.join(far);
        self.passed.left.join(left);
        [near, far, left].into_iter().for_each(Order::forget);
    }

    /// A warp arrives: `from` says how far it is from those who wait, `scope` who is to see what it did.
    pub fn arrive(&mut self, clock: &mut Clock, from: Scope, scope: Scope, relaxed: bool) {
        let arriving = &mut self.arriving;
        let mut go = |handed_on: &Order| match from {
            Scope::Cta => arriving.near.join(handed_on),
            _ => {
                if scope >= from {
                    arriving.far.join(handed_on);
                }
                arriving.left.join_left(handed_on);
            }
        };
        if relaxed {
            go(&clock.offered[from as usize]);
        } else {
            clock.hand_on(|clock| go(&clock.order));
            clock.count();
        }
    }

    /// A warp has waited for a phase.
    pub fn wait(&self, clock: &mut Clock, scope: Scope, relaxed: bool) {
        let Passage { near, far, left } = &self.passed;
        let (near_to, far_to) = match relaxed {
            true => {
                let [cta, cluster, _] = &mut clock.met;
                (cta, Some(cluster))
            }
            false => (&mut clock.order, None),
        };
        near_to.join(near);
        near_to.join_left(left);
        match far_to {
            Some(met) => met.join(far),
            None if scope >= Scope::Cluster => near_to.join(far),
            None => {}
        }
        if !relaxed {
            clock.learn_lanes(near);
            clock.learn_lanes(far);
        }
    }
}
