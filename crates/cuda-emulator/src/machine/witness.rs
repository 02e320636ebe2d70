//! A second witness for the judge of order (`order`, `flags`, `past`, `history`): small random programs of a few warps,
//! judged by a graph of all that happened.
//!
//! The judge keeps clocks, and of each byte the last accesses alone. The witness keeps every event and every access, and
//! asks of two whether a way leads from one to the other. After every event both must know the same of everything, and of
//! every access both must say the same.
//!
//! An asynchronous access begins with an event of a warp and ends with another one, which need not come behind the first
//! in the graph: who has seen it end has not seen all that its issuer had. But one that begins behind the end of another
//! stands for it, as far as the same bytes go (`stands_for`).
//!
//! What the judge knowingly does not ask, the witness does not either: an asynchronous write needs no fence behind an
//! ordinary one, nor anything a fence behind `cp.async` (`clashes`, `is_behind`); whoever waits at a barrier has seen all
//! its completed phases (`complete`); who acquires at a place has met all that was released there (`flags`). mbarriers
//! that are initialised anew, other clusters and the landing of `cp.async` do not occur here.
//!
//! An access that meets another one counts as not done, so that programs go on.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use super::flags::{Flags, Semantics};
use super::history::{Clash, History, Touch, may_be_read, parts_of_lanes};
use super::order::{Clock, Crew, Gate, Landings, Mark, Scope, Side};

const WARPS: usize = 5;
/// The first of them are a warpgroup.
const WARPGROUP: usize = 4;
/// mbarriers, or other barriers.
const GATES: usize = 2;
/// Sixteen bytes each.
const GRAINS: usize = 3;
/// Four bytes each: what threads touch.
const CELLS: usize = 4 * GRAINS;
/// Where values are handed on.
const PLACES: usize = 2;

/// Cells from the first on, so many.
type Range = (usize, usize);

/// What a warp, or the copy engine, does next.
#[derive(Debug, Clone)]
enum Event {
    /// Ordinary accesses: of the lanes, or one; among whom they may meet others.
    Load(Range, bool, Option<Scope>),
    Store(Range, bool, Option<Scope>),
    /// `cp.async`
    Copy(Range),
    /// Bulk copies: those that read end at an mbarrier or in a group.
    Read(Range, Option<usize>),
    Write(Range, usize),
    Reduce(Range, usize),
    /// `wgmma`, of the warpgroup.
    Multiply(Range),
    /// The oldest of the warp's copies in groups is waited for.
    WaitForRead,
    /// The same of its `wgmma`s, or by all warps.
    WaitForMultiply(bool),
    /// One of the copies in flight lands on its mbarrier.
    Land(prop::sample::Index),
    /// At a barrier, in a scope, relaxed or not.
    Arrive(usize, Scope, bool),
    Wait(usize, Scope, bool),
    /// A barrier's phase is complete.
    Complete(usize),
    /// What is mostly done: the warp fences and arrives, copies land, another warp waits; some of it may be missing.
    HandOver {
        gate: usize,
        to: usize,
        scope: Scope,
        fences: bool,
        arrives: bool,
        lands: bool,
    },
    /// A value is written at a place and read.
    Atomic(usize, Semantics),
    Fence(Scope),
    FenceProxies(Side),
    /// `mbarrier.init` and its fence.
    Initialise,
    FenceInitialisations,
}

fn any_event() -> impl Strategy<Value = Event> {
    let range = || (0..GRAINS, 1..=2usize).prop_map(|(first, n)| (4 * first, 4 * n.min(GRAINS - first)));
    let cells = || {
        let parts = (0..CELLS, 1..=5usize).prop_map(|(first, n)| (first, n.min(CELLS - first)));
        prop_oneof![range(), parts]
    };
    let scope = || prop_oneof![1 => Just(Scope::Cta), 1 => Just(Scope::Cluster), 2 => Just(Scope::Gpu)];
    let strong = || prop::option::weighted(0.3, scope());
    let side = || prop_oneof![5 => Just(Side::Shared), 1 => Just(Side::Global)];
    let gate = || 0..GATES;
    prop_oneof![
        4 => (cells(), any::<bool>(), strong()).prop_map(|(r, lanes, strong)| Event::Load(r, lanes, strong)),
        4 => (cells(), any::<bool>(), strong()).prop_map(|(r, lanes, strong)| Event::Store(r, lanes, strong)),
        1 => cells().prop_map(Event::Copy),
        3 => (range(), prop::option::of(gate())).prop_map(|(r, gate)| Event::Read(r, gate)),
        3 => (range(), gate()).prop_map(|(r, gate)| Event::Write(r, gate)),
        2 => (range(), gate()).prop_map(|(r, gate)| Event::Reduce(r, gate)),
        2 => range().prop_map(Event::Multiply),
        2 => Just(Event::WaitForRead),
        3 => any::<bool>().prop_map(Event::WaitForMultiply),
        5 => any::<prop::sample::Index>().prop_map(Event::Land),
        5 => (gate(), scope(), prop::bool::weighted(0.3))
            .prop_map(|(gate, scope, relaxed)| Event::Arrive(gate, scope, relaxed)),
        6 => (gate(), scope(), prop::bool::weighted(0.3))
            .prop_map(|(gate, scope, relaxed)| Event::Wait(gate, scope, relaxed)),
        5 => gate().prop_map(Event::Complete),
        20 => (gate(), 0..WARPS, scope(), any::<bool>(), prop::bool::weighted(0.7), any::<bool>()).prop_map(
            |(gate, to, scope, fences, arrives, lands)| Event::HandOver { gate, to, scope, fences, arrives, lands }
        ),
        4 => (0..PLACES, scope(), any::<bool>(), any::<bool>()).prop_map(|(place, scope, releases, acquires)| {
            Event::Atomic(place, Semantics { scope, releases, acquires })
        }),
        3 => scope().prop_map(Event::Fence),
        3 => side().prop_map(Event::FenceProxies),
        1 => Just(Event::Initialise),
        1 => Just(Event::FenceInitialisations),
    ]
}

// ---- The witness -----------------------------------------------------------------------------

/// A number of something that happened.
type Node = usize;

/// What comes before what.
#[derive(Default)]
struct Graph {
    /// Of each node, whether each of those up to it comes before it, or is it.
    before: Vec<Vec<bool>>,
    /// The same, of what has been read: some ways lead only so far.
    left: Vec<Vec<bool>>,
}

impl Graph {
    fn add(&mut self, behind: impl IntoIterator<Item = Node>) -> Node {
        self.add_left(behind, [])
    }

    /// A node behind some, and behind what others have read.
    fn add_left(
        &mut self,
        behind: impl IntoIterator<Item = Node>,
        behind_left: impl IntoIterator<Item = Node>,
    ) -> Node {
        let node = self.before.len();
        let mut before = vec![false; node + 1];
        before[node] = true;
        let mut left = before.clone();
        let join =
            |to: &mut Vec<bool>, from: &[bool]| to.iter_mut().zip(from).for_each(|(to, from)| *to |= from);
        for other in behind {
            join(&mut before, &self.before[other]);
            join(&mut left, &self.left[other]);
        }
        behind_left.into_iter().for_each(|other| join(&mut left, &self.left[other]));
        self.before.push(before);
        self.left.push(left);
        node
    }

    fn is_before(&self, a: Node, b: Node) -> bool {
        self.before[b].get(a) == Some(&true)
    }

    fn is_left(&self, a: Node, b: Node) -> bool {
        self.left[b].get(a) == Some(&true)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Load,
    Store,
    Copy,
    /// A bulk copy's, or a `wgmma`'s.
    Read,
    Write,
    Reduce,
}

/// An access; its number is its instruction.
#[derive(Debug)]
struct Access {
    kind: Kind,
    warp: usize,
    /// Among whom it may meet others.
    strong: Option<Scope>,
    begin: Node,
    /// None: it is in flight.
    end: Option<Node>,
    range: Range,
}

/// The barrier of the other block than the first.
const FAR: usize = 1;

/// A warp of the block whose barrier it is.
fn home(gate: usize) -> usize {
    if gate == FAR { WARPGROUP } else { 0 }
}

/// The narrowest scope in which two warps are: the first four are a block.
fn scope_of(a: usize, b: usize) -> Scope {
    if a / WARPGROUP == b / WARPGROUP { Scope::Cta } else { Scope::Cluster }
}

/// May an access only come behind an earlier one?
fn clashes(earlier: Kind, later: Kind) -> bool {
    use Kind::*;
    match (earlier, later) {
        (_, Write) | (Write, _) => true,
        (Reduce, Reduce) => false,
        (Reduce, _) | (Load | Store | Copy | Read, Reduce) => true,
        (Read, Store | Copy) | (Store | Copy, Read) => true,
        (Load, Store | Copy) | (Store | Copy, Load | Store | Copy) => true,
        (Load, Load | Read) | (Read, Load | Read) => false,
    }
}

/// Is it enough for a later access that an earlier one has been left: that it reads, or is a copy that somebody knows to
/// be over, and is overwritten?
fn may_be_left(earlier: Kind, later: Kind) -> bool {
    use Kind::*;
    matches!(earlier, Load | Read)
        || matches!(earlier, Write | Reduce) && matches!(later, Store | Copy | Write)
}

/// Has who comes behind `via` come behind an earlier access too, if `via` begins behind that?
fn stands_for(via: Kind, earlier: Kind, later: Kind) -> bool {
    use Kind::*;
    match via {
        Write => true,
        Read => earlier == Read,
        // Reductions do not come behind each other.
        Reduce => later != Reduce && matches!(earlier, Store | Copy | Write | Reduce),
        Load | Store | Copy => false,
    }
}

/// What goes through a barrier: from its block, from others, and what all have left.
#[derive(Default)]
struct Passages {
    near: Vec<Node>,
    far: Vec<Node>,
    left: Vec<Node>,
}

#[derive(Default)]
struct Witness {
    graph: Graph,
    /// Each warp's start and last event.
    starts: Vec<Node>,
    last: Vec<Node>,
    /// For shared memory; of those for global memory there is nothing here.
    fences_of_proxies: Vec<Node>,
    accesses: Vec<Access>,
    /// Accesses to each cell.
    cells: [Vec<usize>; CELLS],
    /// What has arrived at each barrier in the running phase, and the last completed one.
    arrived: [Passages; GATES],
    passed: [Passages; GATES],
    /// What was released at each place: by whom, for which scope.
    flags: [Vec<(usize, Scope, Node)>; PLACES],
    /// What each warp's relaxed arrivals hand on, and its relaxed waits have met, by the scope of the fence.
    offered: [[Vec<Node>; Scope::ALL]; WARPS],
    met: [[Vec<Node>; Scope::ALL]; WARPS],
    met_left: [Vec<Node>; WARPS],
    /// Has the warp executed a fence?
    has_fenced: [bool; WARPS],
    /// Initialisations of mbarriers, by warp.
    initialised: [Vec<Node>; WARPS],
    /// Ends of `wgmma`s, by warp.
    multiplied: [Vec<Node>; WARPS],
}

impl Witness {
    fn new() -> Self {
        let mut new = Self::default();
        for warp in 0..WARPS {
            let start = new.graph.add([]);
            new.starts.push(start);
            new.offered[warp].iter_mut().for_each(|offered| offered.push(start));
            let first = new.graph.add([start]);
            new.last.push(first);
        }
        new
    }

    /// A warp's next event.
    fn event(&mut self, warp: usize, behind: impl IntoIterator<Item = Node>) -> Node {
        self.event_left(warp, behind, [])
    }

    fn event_left(
        &mut self,
        warp: usize,
        behind: impl IntoIterator<Item = Node>,
        left: impl IntoIterator<Item = Node>,
    ) -> Node {
        self.last[warp] = self.graph.add_left([self.last[warp]].into_iter().chain(behind), left);
        self.last[warp]
    }

    fn knows(&self, warp: usize, node: Node) -> bool {
        self.graph.is_before(node, self.last[warp])
    }

    fn knows_fenced(&self, warp: usize, node: Node) -> bool {
        let fences = &self.fences_of_proxies;
        fences.iter().any(|fence| self.graph.is_before(node, *fence) && self.knows(warp, *fence))
    }

    /// Is what a warp does next to a cell behind the nth access there?
    fn is_behind(&self, warp: usize, kind: Kind, cell: usize, nth: usize) -> bool {
        let access = &self.accesses[self.cells[cell][nth]];
        let Some(end) = access.end else { return false };
        let leads = |a, b, later| match may_be_left(access.kind, later) {
            true => self.graph.is_left(a, b),
            false => self.graph.is_before(a, b),
        };
        let needs_fence = access.kind == Kind::Store && matches!(kind, Kind::Read | Kind::Reduce);
        let stands_between = |other: usize| {
            let via = &self.accesses[self.cells[cell][other]];
            stands_for(via.kind, access.kind, kind)
                && leads(end, via.begin, via.kind)
                && self.is_behind(warp, kind, cell, other)
        };
        let is_before =
            if needs_fence { self.knows_fenced(warp, end) } else { leads(end, self.last[warp], kind) };
        is_before || (nth + 1..self.cells[cell].len()).any(stands_between)
    }

    /// The accesses to a cell that a new one meets.
    fn clashes(&self, warp: usize, kind: Kind, strong: Option<Scope>, cell: usize) -> Vec<usize> {
        let may_meet = |other: &Access| {
            let needed = scope_of(warp, other.warp);
            [strong, other.strong].into_iter().all(|scope| scope.is_some_and(|scope| scope >= needed))
        };
        let meets = |nth: &usize| {
            let other = &self.accesses[self.cells[cell][*nth]];
            clashes(other.kind, kind) && !may_meet(other) && !self.is_behind(warp, kind, cell, *nth)
        };
        (0..self.cells[cell].len()).filter(meets).map(|nth| self.cells[cell][nth]).collect()
    }

    /// An access begins, to its cells up to the first where it meets another. Gives that one, and what it meets there.
    fn access(
        &mut self,
        warp: usize,
        kind: Kind,
        strong: Option<Scope>,
        range: Range,
        goes_on: bool,
    ) -> Option<(usize, Vec<usize>)> {
        let found = (range.0..range.0 + range.1)
            .map(|cell| (cell, self.clashes(warp, kind, strong, cell)))
            .find(|(_, clashes)| !clashes.is_empty());
        let done = match &found {
            Some((cell, _)) if !goes_on => *cell - range.0,
            _ => range.1,
        };
        let begin = self.event(warp, []);
        let end = matches!(kind, Kind::Load | Kind::Store | Kind::Copy).then_some(begin);
        for cell in range.0..range.0 + done {
            self.cells[cell].push(self.accesses.len());
        }
        self.accesses.push(Access { kind, warp, strong, begin, end, range });
        found
    }
}

// ---- Both ------------------------------------------------------------------------------------

/// A copy or `wgmma` that has begun.
struct InFlight {
    access: usize,
    warp: usize,
    gate: Option<usize>,
    mark: Mark,
}

struct World {
    witness: Witness,
    clocks: Vec<Clock>,
    history: History,
    gates: Vec<Gate>,
    flags: Flags,
    landings: Landings,
    copies: Vec<InFlight>,
    multiplies: Vec<InFlight>,
    /// What the warps may have seen, as the judge and the witness know it; of stores also behind a fence.
    marks: Vec<(Mark, Node)>,
    stores: Vec<(Mark, Node)>,
}

/// Offset and length of a range.
fn bytes((first, n): Range) -> (u32, u32) {
    (4 * first as u32, 4 * n as u32)
}

impl World {
    fn new() -> Self {
        let crew = Crew { cluster: 1, warps: WARPS, each: WARPGROUP, ..Crew::default() };
        let crew = Arc::new(crew);
        Self {
            witness: Witness::new(),
            clocks: (0..WARPS).map(|warp| Clock::new(&crew, warp)).collect(),
            history: History::new(16 * GRAINS as u32, Side::Shared),
            gates: vec![Gate::default(); GATES],
            flags: Flags::default(),
            landings: Landings::default(),
            copies: Vec::new(),
            multiplies: Vec::new(),
            marks: Vec::new(),
            stores: Vec::new(),
        }
    }

    fn happens(&mut self, warp: usize, event: &Event) {
        match *event {
            Event::Load(range, lanes, strong) => self.touch(warp, Kind::Load, strong, range, lanes),
            Event::Store(range, lanes, strong) => self.touch(warp, Kind::Store, strong, range, lanes),
            Event::Copy(range) => self.touch(warp, Kind::Copy, None, range, false),
            Event::Read(range, gate) => self.begin(warp, Kind::Read, range, gate),
            Event::Write(range, gate) => self.begin(warp, Kind::Write, range, Some(gate)),
            Event::Reduce(range, gate) => self.begin(warp, Kind::Reduce, range, Some(gate)),
            Event::Multiply(range) => (0..WARPGROUP).for_each(|warp| self.multiply(warp, range)),
            Event::WaitForRead => self.wait_for_read(warp),
            Event::WaitForMultiply(false) => self.wait_for_multiply(warp),
            Event::WaitForMultiply(true) => {
                (0..WARPS).for_each(|other| self.wait_for_multiply((warp + other) % WARPS))
            }
            Event::Land(which) => {
                if !self.copies.is_empty() {
                    self.land(which.index(self.copies.len()));
                }
            }
            Event::Arrive(gate, scope, relaxed) => self.arrive(warp, gate, scope, relaxed),
            Event::Wait(gate, scope, relaxed) => self.wait(warp, gate, scope, relaxed),
            Event::Complete(gate) => self.complete(gate),
            Event::HandOver { gate, to, scope, fences, arrives, lands } => {
                if fences {
                    self.happens(warp, &Event::FenceProxies(Side::Shared));
                }
                if arrives {
                    self.arrive(warp, gate, scope, false);
                }
                while lands && let Some(nth) = self.copies.iter().position(|copy| copy.gate == Some(gate)) {
                    self.land(nth);
                }
                self.complete(gate);
                self.wait(if gate == FAR { WARPGROUP } else { to % WARPGROUP }, gate, scope, false);
            }
            Event::Atomic(place, semantics) => self.atomic(warp, place, semantics),
            Event::Fence(scope) => {
                self.clocks[warp].fence(scope);
                let met = &self.witness.met[warp][..=scope as usize];
                let behind: Vec<Node> = met.iter().flatten().copied().collect();
                let left = self.witness.met_left[warp].clone();
                let node = self.witness.event_left(warp, behind, left);
                let offered = &mut self.witness.offered[warp][..=scope as usize];
                offered.iter_mut().for_each(|offered| offered.push(node));
                self.witness.has_fenced[warp] = true;
            }
            Event::FenceProxies(side) => {
                self.clocks[warp].fence_proxies(side);
                let node = self.witness.event(warp, []);
                if side == Side::Shared {
                    self.witness.fences_of_proxies.push(node);
                }
            }
            Event::Initialise => {
                let mark = self.clocks[warp].initialise(0);
                let node = self.witness.graph.add([]);
                self.witness.event(warp, [node]);
                self.witness.initialised[warp].push(node);
                self.marks.push((mark, node));
            }
            Event::FenceInitialisations => {
                self.clocks[warp].fence_initialisations();
                let own = &self.witness.initialised[warp];
                self.witness.offered[warp].iter_mut().for_each(|offered| offered.extend(own));
            }
        }
    }

    /// Something strong that writes and reads a value.
    fn atomic(&mut self, warp: usize, place: usize, semantics: Semantics) {
        let clock = &mut self.clocks[warp];
        self.flags.write(place as u64, clock, semantics);
        self.flags.read(place as u64, clock, semantics);
        clock.released();

        let node = self.witness.event(warp, []);
        for scope in [Scope::Cta, Scope::Cluster, Scope::Gpu] {
            if scope > semantics.scope {
                break;
            }
            let offered = match (semantics.releases, self.witness.has_fenced[warp]) {
                (true, _) => vec![node],
                (false, true) => self.witness.offered[warp][scope as usize].clone(),
                (false, false) => Vec::new(),
            };
            self.witness.flags[place].extend(offered.into_iter().map(|node| (warp, scope, node)));
        }
        let (mut acquired, mut met) = (Vec::new(), Vec::new());
        for (from, scope, node) in &self.witness.flags[place] {
            // Each reader takes what was released for the scope that both are in, no more.
            if *scope == scope_of(warp, *from) && *scope <= semantics.scope {
                if semantics.acquires { acquired.push(*node) } else { met.push((*scope, *node)) }
            }
        }
        met.into_iter().for_each(|(scope, node)| self.witness.met[warp][scope as usize].push(node));
        self.witness.event(warp, acquired);
    }

    /// What both said of an access must be the same.
    fn compare(&self, judge: Option<(u32, Clash)>, witness: Option<(usize, Vec<usize>)>) {
        let Some((cell, clashes)) = witness else {
            assert_eq!(judge, None, "a clash that is none");
            return;
        };
        let Some((offset, clash)) = judge else { panic!("missed: clashes with {clashes:?} in cell {cell}") };
        assert_eq!(offset, 4 * cell as u32);
        let (Clash::Unordered(mark, _) | Clash::Unfenced(mark, _)) = clash;
        assert!(clashes.contains(&(mark.pc as usize)), "{clash:?}, not {clashes:?}");
        let end = self.witness.accesses[mark.pc as usize].end;
        let last = *self.witness.accesses.last().map(|access| &access.begin).expect("this access");
        let is_ordered = end.is_some_and(|end| self.witness.graph.is_before(end, last));
        match clash {
            Clash::Unordered(..) => assert!(!is_ordered, "{clash:?}"),
            Clash::Unfenced(_, ordered) => assert_eq!(ordered, is_ordered, "{clash:?}"),
        }
    }

    /// An ordinary access, or one by `cp.async`.
    fn touch(&mut self, warp: usize, kind: Kind, strong: Option<Scope>, range: Range, lanes: bool) {
        let (clock, pc) = (&self.clocks[warp], self.witness.accesses.len() as u32);
        let (offset, len) = bytes(range);
        let touch = match kind {
            Kind::Load => Touch::Load(strong),
            Kind::Store => Touch::Store(strong),
            _ => Touch::Copy,
        };
        let mark = clock.mark(pc);
        if lanes {
            // One in each cell.
            let mut offsets = [0; 32];
            (0..range.1).for_each(|lane| offsets[lane] = offset + 4 * lane as u32);
            let mask = (1 << range.1) - 1;
            let mut toucher = self.history.toucher(touch, clock, pc);
            let meets = !parts_of_lanes(&offsets, 4, mask, |part| toucher.touch_part(part).is_ok());
            let found = self.witness.access(warp, kind, strong, range, false);
            assert_eq!(meets, found.is_some(), "{found:?}");
        } else {
            let judge = self.history.touch((offset, len), touch, clock, pc).err();
            let found = self.witness.access(warp, kind, strong, range, false);
            self.compare(judge, found);
        }
        let node = self.witness.last[warp];
        self.marks.push((mark, node));
        self.stores.push((mark, node));
    }

    /// A bulk copy.
    fn begin(&mut self, warp: usize, kind: Kind, range: Range, gate: Option<usize>) {
        let (clock, access) = (&self.clocks[warp], self.witness.accesses.len());
        let touch = match kind {
            Kind::Read => Touch::AsyncRead,
            Kind::Write => Touch::AsyncWrite,
            _ => Touch::AsyncReduce,
        };
        let mark = clock.mark(access as u32);
        let judge = self.history.touch(bytes(range), touch, clock, access as u32).err();
        let found = self.witness.access(warp, kind, None, range, false);
        // Of one that meets another, what lies before that is done for.
        if let Some((cell, _)) = &found {
            self.witness.accesses[access].range.1 = cell - range.0;
        }
        self.compare(judge, found);
        self.copies.push(InFlight { access, warp, gate, mark });
    }

    fn multiply(&mut self, warp: usize, range: Range) {
        let access = self.witness.accesses.len();
        let mark = self.clocks[warp].issue(access as u32);
        let cells = range.0..range.0 + range.1;
        let unreadable = |witness: &Witness, warp| {
            cells.clone().any(|cell| !witness.clashes(warp, Kind::Read, None, cell).is_empty())
        };
        let others: Vec<bool> = (0..WARPS).map(|other| unreadable(&self.witness, other)).collect();
        let judge = self.history.read_matrix(mark, &self.clocks[warp], |touch| {
            cells.clone().step_by(4).for_each(|cell| touch(4 * cell as u32));
        });
        let found = self.witness.access(warp, Kind::Read, None, range, true);
        if let Ok(written) = &judge {
            // The other warps of the warpgroup go by what wrote there.
            for (clock, unreadable) in self.clocks.iter().zip(others) {
                assert_eq!(
                    written.iter().any(|mark| may_be_read(*mark, clock, Side::Shared).is_err()),
                    unreadable
                );
            }
        }
        self.compare(judge.err(), found);
        self.multiplies.push(InFlight { access, warp, gate: None, mark });
    }

    fn wait_for_read(&mut self, warp: usize) {
        let is_own = |copy: &InFlight| copy.warp == warp && copy.gate.is_none();
        let Some(nth) = self.copies.iter().position(is_own) else { return };
        let copy = self.copies.remove(nth);
        let node = self.witness.event(warp, []);
        let access = &mut self.witness.accesses[copy.access];
        access.end = Some(node);
        let mark = copy.mark.over(&self.clocks[warp]);
        self.history.end_read(bytes(access.range), mark);
        self.marks.push((mark, node));
    }

    fn wait_for_multiply(&mut self, warp: usize) {
        let oldest = self.multiplies.iter().position(|multiply| multiply.warp == warp);
        if let Some(multiply) = oldest.map(|nth| self.multiplies.remove(nth)) {
            self.clocks[warp].land();
            let node = self.witness.graph.add([]);
            self.witness.event(warp, [node]);
            self.witness.accesses[multiply.access].end = Some(node);
            self.witness.multiplied[warp].push(node);
            self.marks.push((multiply.mark, node));
        }
        let landed = self.witness.multiplied[warp].len();
        let group = if warp < WARPGROUP { 0..WARPGROUP } else { WARPGROUP..WARPS };
        let multiplied = &self.witness.multiplied[group];
        if multiplied.iter().all(|ends| ends.len() >= landed) {
            self.clocks[warp].land_others(warp as u32);
            let ends: Vec<Node> = multiplied.iter().flat_map(|ends| &ends[..landed]).copied().collect();
            self.witness.event(warp, ends);
        }
    }

    /// The nth copy in flight lands on its mbarrier, if it has one.
    fn land(&mut self, nth: usize) {
        let Some(gate) = self.copies[nth].gate else { return };
        let copy = self.copies.remove(nth);
        let landing = self.landings.next((0, gate as u32));
        let mark = copy.mark.landed(landing);
        let node = self.witness.graph.add([]);
        self.witness.arrived[gate].near.push(node);
        let access = &mut self.witness.accesses[copy.access];
        access.end = Some(node);
        match access.kind {
            Kind::Read => self.history.end_read(bytes(access.range), mark),
            _ => self.history.land(bytes(access.range), copy.mark, landing),
        }
        self.gates[gate].arriving.near.join_landing(landing, WARPS);
        self.marks.push((mark, node));
    }

    fn arrive(&mut self, warp: usize, gate: usize, scope: Scope, relaxed: bool) {
        let from = scope_of(warp, home(gate));
        self.gates[gate].arrive(&mut self.clocks[warp], from, scope, relaxed);
        let nodes = match relaxed {
            true => self.witness.offered[warp][from as usize].clone(),
            false => vec![self.witness.event(warp, [])],
        };
        let arrived = &mut self.witness.arrived[gate];
        if from == Scope::Cta {
            arrived.near.extend(nodes);
        } else {
            arrived.left.extend(&nodes);
            if scope >= from {
                arrived.far.extend(nodes);
            }
        }
    }

    fn complete(&mut self, gate: usize) {
        self.gates[gate].complete();
        let Passages { near, far, left } = std::mem::take(&mut self.witness.arrived[gate]);
        let passed = &mut self.witness.passed[gate];
        passed.near.extend(near);
        passed.far.extend(far);
        passed.left.extend(left);
    }

    /// Only warps of its block wait at a barrier.
    fn wait(&mut self, warp: usize, gate: usize, scope: Scope, relaxed: bool) {
        if scope_of(warp, home(gate)) != Scope::Cta {
            return;
        }
        self.gates[gate].wait(&mut self.clocks[warp], scope, relaxed);
        let Passages { near, far, left } = &self.witness.passed[gate];
        if relaxed {
            self.witness.met[warp][0].extend(near);
            self.witness.met[warp][1].extend(far);
            self.witness.met_left[warp].extend(left);
        } else {
            let far = far.iter().filter(|_| scope >= Scope::Cluster);
            let (behind, left): (Vec<Node>, _) = (near.iter().chain(far).copied().collect(), left.clone());
            self.witness.event_left(warp, behind, left);
        }
    }

    /// Both know the same of everything.
    fn agree(&self) {
        for (warp, clock) in self.clocks.iter().enumerate() {
            for (other, start) in self.witness.starts.iter().enumerate() {
                assert_eq!(clock.order().has_seen_any(other..other + 1), self.witness.knows(warp, *start));
            }
            for (mark, node) in &self.marks {
                let known = self.witness.knows(warp, *node);
                assert_eq!(clock.has_seen(*mark), known, "warp {warp} of {mark:?}");
                let left = self.witness.graph.is_left(*node, self.witness.last[warp]);
                assert_eq!(clock.has_left(*mark), left, "warp {warp} of {mark:?}, left");
            }
            for (mark, node) in &self.stores {
                let known = self.witness.knows_fenced(warp, *node);
                assert_eq!(clock.has_fenced(*mark, Side::Shared), known, "warp {warp} of {mark:?}, fenced");
            }
        }
    }
}

proptest! {
    // What fails is kept in a file beside this one.
    #![proptest_config(ProptestConfig {
        cases: 6000,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn clocks_know_what_the_graph_knows(program in prop::collection::vec((0..WARPS, any_event()), 1..40)) {
        let mut world = World::new();
        for (warp, event) in &program {
            world.happens(*warp, event);
            world.agree();
        }
    }
}
