//! The compact form: one decoded instruction, ready to execute.

use crate::machine::{Cpu, Flow};

/// The three kinds of register the machine has. PTX's 8, 16 and 32-bit
/// registers are rows of 32 lanes of `u32` (the narrow ones zero-extended),
/// 64-bit ones rows of `u64`, predicates one bit a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// 8 to 32 bits.
    R32,
    /// 64 bits.
    R64,
    /// A predicate.
    Pred,
}

/// Names one register row, or one row of constants (immediates and addresses
/// are rows too, so that an operand is always just a row).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slot(u32);

impl Slot {
    /// No operand.
    pub const NONE: Slot = Slot(u32::MAX);
    const CONSTANT: u32 = 1 << 29;
    const INDEX: u32 = Self::CONSTANT - 1;

    fn pack(class: Class, index: u32, constant: u32) -> Slot {
        debug_assert!(index < Self::INDEX);
        let class = match class {
            Class::R32 => 0,
            Class::R64 => 1,
            Class::Pred => 2,
        };
        Slot(class << 30 | constant | index)
    }

    /// A register row.
    pub fn register(class: Class, index: u32) -> Slot {
        Self::pack(class, index, 0)
    }

    /// A row of the constant pool.
    pub fn constant(class: Class, index: u32) -> Slot {
        Self::pack(class, index, Self::CONSTANT)
    }

    /// Its kind.
    pub fn class(self) -> Class {
        match self.0 >> 30 {
            0 => Class::R32,
            1 => Class::R64,
            _ => Class::Pred,
        }
    }

    /// Row number within its kind.
    pub fn index(self) -> usize {
        (self.0 & Self::INDEX) as usize
    }

    /// In the constant pool?
    pub fn is_constant(self) -> bool {
        self.0 & Self::CONSTANT != 0
    }

    /// Is there an operand at all?
    pub fn is_some(self) -> bool {
        self != Self::NONE
    }
}

/// Executes one instruction for the active lanes.
///
/// Unsafe because the AVX2 variant of an operation may only run on a CPU that
/// has AVX2; [`Op::best`] makes that choice once, when code is decoded.
pub type Exec = unsafe fn(&mut Cpu<'_>, &Inst) -> Flow;

/// An operation: the same body compiled twice.
#[derive(Clone, Copy)]
pub struct Op {
    /// For any x86-64 or other CPU.
    pub portable: Exec,
    /// With AVX2, FMA, F16C and BMI enabled.
    pub avx2: Exec,
}

impl Op {
    /// The variant that this CPU can run. `CUDA_EMULATOR_PORTABLE=1` forces the portable one.
    pub fn best(self) -> Exec {
        if has_avx2() { self.avx2 } else { self.portable }
    }
}

/// May the AVX2 variants run?
pub fn has_avx2() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        use std::sync::OnceLock;
        static HAS: OnceLock<bool> = OnceLock::new();
        *HAS.get_or_init(|| {
            std::env::var_os("CUDA_EMULATOR_PORTABLE").is_none()
                && is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c")
                && is_x86_feature_detected!("bmi1")
                && is_x86_feature_detected!("bmi2")
                && is_x86_feature_detected!("lzcnt")
                && is_x86_feature_detected!("popcnt")
        })
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// May code for AVX-512 run, besides that for AVX2?
pub fn has_avx512() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        use std::sync::OnceLock;
        static HAS: OnceLock<bool> = OnceLock::new();
        *HAS.get_or_init(|| {
            has_avx2()
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
        })
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// What a profiler would file the instruction under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// Integer arithmetic, logic, shifts, comparison, selection, moves.
    Integer,
    /// f32 arithmetic and comparison.
    Float32,
    /// f64.
    Float64,
    /// f16 and bf16.
    Half,
    /// Conversions.
    Convert,
    /// `ex2`, `rcp`, `sqrt`, `sin`, ...
    Special,
    /// Branches, calls, returns.
    Control,
    /// Barriers, mbarriers and fences, and waits for what is asynchronous.
    Barrier,
    /// Shuffles, votes, warp reductions.
    Warp,
    /// Loads and stores of global memory (generic addresses too).
    Global,
    /// Loads and stores of shared memory.
    Shared,
    /// Loads and stores of local memory.
    Local,
    /// Loads of parameters and constants.
    Constant,
    /// Atomics and reductions.
    Atomic,
    /// Asynchronous copies: `cp.async`, bulk copies, of tensors too.
    Copy,
    /// `mma`, `wgmma.mma_async`.
    Tensor,
    /// A further step of an instruction that takes the emulator several: not counted.
    Step,
}

impl Kind {
    /// How many there are.
    pub const COUNT: usize = Kind::Step as usize + 1;

    /// All that are counted.
    pub const ALL: [Kind; Kind::COUNT - 1] = [
        Kind::Integer,
        Kind::Float32,
        Kind::Float64,
        Kind::Half,
        Kind::Convert,
        Kind::Special,
        Kind::Control,
        Kind::Barrier,
        Kind::Warp,
        Kind::Global,
        Kind::Shared,
        Kind::Local,
        Kind::Constant,
        Kind::Atomic,
        Kind::Copy,
        Kind::Tensor,
    ];
}

/// Where control can go after an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edges {
    /// To the next one.
    Next,
    /// To `aux`; to the next one too if guarded.
    Jump,
    /// To any position in the operand list.
    Table,
    /// Nowhere: the thread ends or returns (unless the guard is false).
    End,
}

/// The predicate that guards an instruction: none, `@p` or `@!p`.
#[derive(Debug, Clone, Copy)]
pub struct Guard {
    /// The predicate, or `Slot::NONE`.
    pub slot: Slot,
    /// All ones for `@!p`, 0 for `@p`.
    pub flip: u32,
}

/// One decoded instruction.
#[derive(Clone)]
pub struct Inst {
    /// What executes it.
    pub exec: Exec,
    /// Which lanes take part.
    pub guard: Guard,
    /// Results.
    pub dst: [Slot; 2],
    /// Operands.
    pub src: [Slot; 4],
    /// More operands, of instructions with vectors: a range of `Kernel::lists`,
    /// the first `outs` of which are results.
    pub list: List,
    /// A number that belongs to the operation: an address offset, a modifier word.
    pub imm: i64,
    /// A second one: a branch target, a size.
    pub aux: u32,
    /// Class for the counters.
    pub kind: Kind,
    /// Where control goes from here, for liveness.
    pub edges: Edges,
    /// Names a row that `wgmma` uses too, without being one of its family.
    pub touches_wgmma: bool,
    /// Index in `Kernel::lines`.
    pub line: u32,
}

/// A range of `Kernel::lists`.
#[derive(Debug, Clone, Copy, Default)]
pub struct List {
    /// First slot.
    pub start: u32,
    /// How many results it begins with.
    pub outs: u16,
    /// How many operands follow.
    pub ins: u16,
}
