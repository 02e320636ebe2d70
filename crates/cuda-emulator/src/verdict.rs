//! Every verdict the emulator can reach about a kernel: one enum, each kind a
//! variant with its facts as fields, so that a test can match on them and a
//! person can read them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What was found, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The kind, with its facts.
    pub verdict: Verdict,
    /// The instruction and the threads that stood at it.
    pub place: Place,
}

/// Where a finding was made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The kernel's name.
    pub kernel: String,
    /// Line in the PTX text, from 1.
    pub ptx_line: u32,
    /// That line's text, trimmed.
    pub ptx: String,
    /// File and line of the source, where the PTX has line information.
    pub source: Option<(String, u32)>,
    /// Block index.
    pub block: [u32; 3],
    /// Warp index in the block.
    pub warp: u32,
    /// The lanes concerned, a bit each.
    pub lanes: u32,
}

/// How memory was touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// A load.
    Read,
    /// A store.
    Write,
    /// A read-modify-write.
    Atomic,
}

/// How an address lies to the nearest range of memory that is or was valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Nearest {
    /// Nothing was ever allocated near it.
    Nothing,
    /// `distance` bytes before the start of a live range.
    Before {
        /// Bytes between the access's first byte and the range.
        distance: u64,
        /// The range's first address.
        base: u64,
        /// Its length in bytes.
        len: u64,
    },
    /// Starts inside a live range and ends past it, or starts past its end.
    Past {
        /// Bytes from the end of the range to the last byte touched.
        distance: u64,
        /// The range's first address.
        base: u64,
        /// Its length in bytes.
        len: u64,
    },
    /// In a range that was freed.
    Freed {
        /// The range's first address.
        base: u64,
        /// Its length in bytes.
        len: u64,
    },
}

/// What an undefined value decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Use {
    /// A branch or a predicated instruction went one way because of it.
    Branch,
    /// It was used as an address.
    Address,
    /// It was a mask, lane, or barrier operand of a collective instruction.
    Control,
}

/// Where one warp stands, in a deadlock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stand {
    /// Block index.
    pub block: [u32; 3],
    /// Warp index in the block.
    pub warp: u32,
    /// Lanes standing there.
    pub lanes: u32,
    /// Line in the PTX text.
    pub ptx_line: u32,
    /// Source file and line, where known.
    pub source: Option<(String, u32)>,
    /// What it waits for: "barrier 0 (64 of 128 threads arrived)", "exited", ...
    pub waits_for: String,
}

/// The kinds of finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Verdict {
    /// An access outside every live allocation (or outside the block's shared
    /// memory, the thread's local memory, the kernel's parameters).
    OutOfBounds {
        /// How.
        access: Access,
        /// The state space, as in PTX.
        space: String,
        /// First byte touched.
        address: u64,
        /// Bytes touched.
        size: u32,
        /// What lies nearest.
        nearest: Nearest,
    },
    /// An address that is no multiple of the access's size.
    Misaligned {
        /// How.
        access: Access,
        /// The state space.
        space: String,
        /// The address.
        address: u64,
        /// What it must be a multiple of.
        align: u32,
    },
    /// A store to memory that kernels may only read.
    ReadOnly {
        /// The state space.
        space: String,
        /// The address.
        address: u64,
    },
    /// Memory was touched ahead of `griddepcontrol.wait`, where kernels launched before may still be at it.
    Early {
        /// What was done.
        access: Access,
        /// The address.
        address: u64,
    },
    /// Something depended on a value that was never written.
    Undefined {
        /// What depended on it.
        used_as: Use,
        /// The register that held it.
        register: String,
    },
    /// A range that the host declared to be output holds bytes never written.
    UndefinedOutput {
        /// First undefined byte.
        address: u64,
        /// Its offset in the declared range.
        offset: u64,
        /// The declared length.
        len: u64,
    },
    /// No warp of the block (or grid) can go on.
    Deadlock {
        /// Where every unfinished warp stands.
        stands: Vec<Stand>,
    },
    /// The launch ran longer than its limit of instructions: most likely a
    /// spin on something that never comes.
    Livelock {
        /// Warp instructions executed.
        instructions: u64,
        /// Where the unfinished warps stood.
        stands: Vec<Stand>,
    },
    /// A barrier used against its rules.
    Barrier {
        /// Which barrier.
        barrier: u32,
        /// What was wrong.
        problem: String,
    },
    /// An mbarrier used against its rules.
    Mbarrier {
        /// Its address in shared memory.
        address: u32,
        /// What was wrong.
        problem: String,
    },
    /// Two threads of different warps want the same bytes, one of them writes, and nothing orders them.
    Race {
        /// The later access: "a load", "a store", "an atomic operation".
        what: String,
        /// Rank of the block in its cluster whose shared memory it is; of global memory, none.
        rank: Option<u32>,
        /// First byte that both want.
        address: u64,
        /// Bytes from there on that the later one wants.
        len: u32,
        /// The earlier one.
        other: Box<Place>,
        /// Does that one write?
        writes: bool,
    },
    /// Two accesses want the same bytes, one of them asynchronous, and nothing makes the later one
    /// wait for the end of the earlier one.
    Conflict {
        /// The later access: "a store", "the destination of an asynchronous copy", ...
        what: String,
        /// Rank of the block in its cluster whose shared memory it is; of global memory, none.
        rank: Option<u32>,
        /// First byte that both want.
        address: u64,
        /// Bytes from there on that the later one wants.
        len: u32,
        /// The earlier one.
        pending: Box<Place>,
    },
    /// An asynchronous operation reads what ordinary stores wrote, and no `fence.proxy.async` is between.
    Proxy {
        /// The operation: "the source of an asynchronous copy", ...
        what: String,
        /// Rank of the block in its cluster whose shared memory it is; of global memory, none.
        rank: Option<u32>,
        /// First byte that was written so.
        address: u64,
        /// The store.
        written: Box<Place>,
        /// Is it at least ordered before, by a barrier?
        ordered: bool,
    },
    /// Registers of `wgmma` used against its rules.
    Wgmma {
        /// What was wrong.
        problem: String,
        /// The other instruction.
        other: Option<Box<Place>>,
    },
    /// A thread, a function or a block ends, and something that needs it may not be over.
    InFlight {
        /// What ends.
        what: String,
        /// What is not over.
        pending: Box<Place>,
    },
    /// Shared memory of a block that may not have started, or has ended.
    Remote {
        /// Rank of the block in its cluster.
        rank: u32,
        /// What was wrong.
        problem: String,
    },
    /// An `.aligned` or `.sync` instruction that not all of its threads reach together.
    Divergence {
        /// The lanes that the instruction needs.
        needed: u32,
        /// The lanes that came.
        came: u32,
        /// The other lanes of the warp: where they stand.
        stands: Vec<Stand>,
    },
    /// A matrix descriptor that `wgmma` cannot use.
    Descriptor {
        /// "A" or "B".
        matrix: String,
        /// The descriptor.
        bits: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// A lane executes a `.sync` instruction whose member mask does not name it.
    MemberMask {
        /// The mask.
        mask: u32,
    },
    /// `trap`.
    Trap,
    /// A failed `assert`.
    Assert {
        /// The expression.
        message: String,
        /// File, line, function, as the assertion gives them.
        file: String,
        /// Line.
        line: u32,
        /// Function.
        function: String,
    },
    /// A call through an address that is no function's, or with the wrong signature.
    BadCall {
        /// The address.
        target: u64,
    },
    /// Calls nested deeper than the limit.
    StackOverflow {
        /// The depth reached.
        depth: u32,
    },
    /// A bulk tensor copy was given a tensor map that it cannot use.
    TensorMap {
        /// What was wrong.
        problem: String,
    },
    /// Operands that the PTX manual forbids (a shift of the wrong kind, a bad
    /// selector, a barrier number above 15 ...).
    Operand {
        /// What was wrong.
        problem: String,
    },
}

impl Verdict {
    /// A short name for the kind, stable: for tests, tables and JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::OutOfBounds { .. } => "out-of-bounds",
            Self::Misaligned { .. } => "misaligned",
            Self::ReadOnly { .. } => "read-only",
            Self::Early { .. } => "early",
            Self::Undefined { .. } => "undefined",
            Self::UndefinedOutput { .. } => "undefined-output",
            Self::Deadlock { .. } => "deadlock",
            Self::Livelock { .. } => "livelock",
            Self::Barrier { .. } => "barrier",
            Self::Mbarrier { .. } => "mbarrier",
            Self::Race { .. } => "race",
            Self::Conflict { .. } => "conflict",
            Self::Proxy { .. } => "proxy",
            Self::Wgmma { .. } => "wgmma",
            Self::InFlight { .. } => "in-flight",
            Self::Remote { .. } => "remote",
            Self::Divergence { .. } => "divergence",
            Self::Descriptor { .. } => "descriptor",
            Self::MemberMask { .. } => "member-mask",
            Self::Trap => "trap",
            Self::Assert { .. } => "assert",
            Self::BadCall { .. } => "bad-call",
            Self::StackOverflow { .. } => "stack-overflow",
            Self::TensorMap { .. } => "tensor-map",
            Self::Operand { .. } => "operand",
        }
    }

    /// The second of two instructions, which messages call (2).
    pub fn other(&self) -> Option<&Place> {
        match self {
            Self::Race { other, .. }
            | Self::Conflict { pending: other, .. }
            | Self::Proxy { written: other, .. }
            | Self::InFlight { pending: other, .. } => Some(other),
            Self::Wgmma { other, .. } => other.as_deref(),
            _ => None,
        }
    }

    /// Where threads stand, if the finding is about several that wait.
    pub fn stands(&self) -> &[Stand] {
        match self {
            Self::Deadlock { stands } | Self::Livelock { stands, .. } | Self::Divergence { stands, .. } => {
                stands
            }
            _ => &[],
        }
    }

    /// The most likely fix, where there is one.
    pub fn help(&self) -> Option<&'static str> {
        Some(match self {
            Self::OutOfBounds { nearest: Nearest::Freed { .. }, .. } => {
                "the memory was freed before this kernel ran: keep its owner alive until the stream has passed the launch"
            }
            Self::OutOfBounds { .. } => {
                "check the index against the shape before the access: ragged edges need a guard"
            }
            Self::Misaligned { .. } => {
                "a vector access needs an address that is a multiple of its whole width: check the leading dimension and the base pointer"
            }
            Self::ReadOnly { .. } => {
                "constants and parameters cannot be written: copy to a register or to local memory"
            }
            Self::Early { .. } => {
                "griddepcontrol.wait comes before all writes, and before reads of what kernels ahead in the stream write"
            }
            Self::Undefined { used_as: Use::Address, .. } => {
                "an index was loaded from memory that nothing has written"
            }
            Self::Undefined { .. } => {
                "the value comes from memory or a register that nothing has written: initialise it, or guard its use"
            }
            Self::UndefinedOutput { .. } => {
                "not every element of the output was stored: check the grid and the guards of the stores"
            }
            Self::Deadlock { .. } => {
                "every thread that a barrier counts must reach it, or leave no one waiting"
            }
            Self::Livelock { .. } => "a loop waits for a value that no running thread will write",
            Self::Barrier { .. } => {
                "all threads of the block must use a barrier with the same count, and none may have exited"
            }
            Self::Mbarrier { .. } => {
                "initialise it once, make that visible before it is used, and let each phase have its exact arrivals and bytes"
            }
            Self::Race { rank: Some(_), .. } => {
                "a barrier between them: of the block, or of the cluster where two blocks meet"
            }
            Self::Race { rank: None, .. } => {
                "a barrier between them; between blocks a flag: a release behind the first, an acquire before the second; \
                 between launches one stream, or an event"
            }
            Self::Conflict { .. } => "wait for the asynchronous operation before the memory is used again",
            Self::Proxy { .. } => {
                "let every thread that stored execute fence.proxy.async, then a barrier, then issue the operation"
            }
            Self::Wgmma { .. } => {
                "wgmma.fence between other uses of its registers and the first wgmma, wgmma.wait_group before the next use"
            }
            Self::InFlight { .. } => {
                "wait for it: cp.async.bulk.wait_group, wgmma.wait_group, or a barrier of the cluster"
            }
            Self::Remote { .. } => {
                "a barrier of the cluster before its blocks first reach each other, and one after they last do"
            }
            Self::Divergence { .. } => {
                "move the instruction out of the divergent branch, or use a form without `.aligned`"
            }
            Self::Descriptor { .. } => {
                "align the matrix to the swizzle's pattern: 1024 bytes for 128, 512 for 64, 256 for 32"
            }
            Self::MemberMask { .. } => "name every lane that executes the instruction in its mask",
            Self::BadCall { .. } => "the function pointer was not taken from a function of this module",
            Self::StackOverflow { .. } => "the recursion has no end for some thread",
            Self::TensorMap { .. } => {
                "pass what cuTensorMapEncodeTiled wrote as a __grid_constant__ parameter of the kernel, or copy all of its 128 bytes"
            }
            Self::Trap | Self::Assert { .. } | Self::Operand { .. } => return None,
        })
    }
}

/// "shared memory (block 1 of the cluster)"
fn memory(rank: Option<u32>) -> String {
    match rank {
        Some(rank) => format!("shared memory (block {rank} of the cluster)"),
        None => "global memory".to_owned(),
    }
}

impl fmt::Display for Nearest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => write!(f, "no allocation is near it"),
            Self::Before { distance, base, len } => {
                write!(f, "{distance} bytes before an allocation of {len} bytes at {base:#x}")
            }
            Self::Past { distance, base, len } => {
                write!(f, "ends {distance} bytes past an allocation of {len} bytes at {base:#x}")
            }
            Self::Freed { base, len } => {
                write!(f, "inside an allocation of {len} bytes at {base:#x} that was freed")
            }
        }
    }
}

/// The finding in one line. Where it was made, and the instructions called (1) and (2), are the report's to show.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfBounds { access, space, address, size, nearest } => {
                write!(
                    f,
                    "{} of {size} bytes at {space} address {address:#x} is out of bounds: {nearest}",
                    access.noun()
                )
            }
            Self::Misaligned { access, space, address, align } => {
                write!(
                    f,
                    "{} at {space} address {address:#x}, which is no multiple of {align}",
                    access.noun()
                )
            }
            Self::ReadOnly { space, address } => {
                write!(f, "write to {space} address {address:#x}, which kernels may only read")
            }
            Self::Early { access, address } => write!(
                f,
                "{} at global address {address:#x} before griddepcontrol.wait, and kernels launched before may still use it",
                access.noun()
            ),
            Self::Undefined { used_as, register } => match used_as {
                Use::Branch => write!(f, "the branch depends on {register}, which is undefined"),
                Use::Address => write!(f, "the address depends on {register}, which is undefined"),
                Use::Control => write!(f, "the operand {register} is undefined"),
            },
            Self::UndefinedOutput { address, offset, len } => {
                write!(
                    f,
                    "byte {offset} of {len} declared as output was never written (address {address:#x})"
                )
            }
            Self::Deadlock { .. } => write!(f, "deadlock: no thread can go on"),
            Self::Livelock { instructions, .. } => {
                write!(f, "no end after {instructions} warp instructions")
            }
            Self::Barrier { barrier, problem } => write!(f, "barrier {barrier}: {problem}"),
            Self::Mbarrier { address, problem } => write!(f, "mbarrier {address:#x}: {problem}"),
            Self::Race { what, rank, address, len, writes, .. } => {
                let earlier = if *writes { "write" } else { "read" };
                write!(
                    f,
                    "(1) {what}, {len} bytes of {} at {address:#x}, and (2) an earlier {earlier}: nothing orders them",
                    memory(*rank)
                )
            }
            Self::Conflict { what, rank, address, len, .. } => {
                write!(
                    f,
                    "(1) {what}, {len} bytes of {} at {address:#x}, meets (2) an access that has not been waited for",
                    memory(*rank)
                )
            }
            Self::Proxy { what, rank, address, ordered, .. } => {
                let missing =
                    if *ordered { "no fence.proxy.async" } else { "neither a barrier nor fence.proxy.async" };
                write!(
                    f,
                    "(1) {what} reads {} at {address:#x} that (2) an ordinary store wrote, and {missing} is between",
                    memory(*rank)
                )
            }
            Self::Wgmma { problem, .. } => write!(f, "{problem}"),
            Self::InFlight { what, .. } => write!(f, "(1) {what}, and (2) may not be over"),
            Self::Remote { rank, problem } => {
                write!(f, "shared memory of block {rank} of the cluster: {problem}")
            }
            Self::Divergence { needed, came, .. } => {
                write!(f, "the instruction needs lanes {needed:#010x} together, but only {came:#010x} came")
            }
            Self::Descriptor { matrix, bits, problem } => {
                write!(f, "descriptor {bits:#018x} of {matrix}: {problem}")
            }
            Self::MemberMask { mask } => {
                write!(f, "the executing lanes are not all named by the member mask {mask:#010x}")
            }
            Self::Trap => write!(f, "trap"),
            Self::Assert { message, file, line, function } => {
                write!(f, "assertion `{message}` failed at {file}:{line} in {function}")
            }
            Self::BadCall { target } => write!(f, "call of {target:#x}, which is no function"),
            Self::StackOverflow { depth } => write!(f, "calls nested {depth} deep"),
            Self::TensorMap { problem } | Self::Operand { problem } => write!(f, "{problem}"),
        }
    }
}

impl Access {
    /// "a store"
    pub(crate) fn with_article(self) -> &'static str {
        match self {
            Self::Read => "a load",
            Self::Write => "a store",
            Self::Atomic => "an atomic operation",
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Atomic => "atomic operation",
        }
    }
}

impl std::error::Error for Finding {}
