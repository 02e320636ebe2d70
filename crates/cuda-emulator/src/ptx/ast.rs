//! The syntax tree of a PTX module: what the text says, nothing resolved.
//!
//! An instruction is kept as its opcode, its dot-modifiers in order, and its
//! operands; which combinations exist and what they mean is the business of
//! `machine::ops`, one file per family. So the parser need not change when an
//! instruction is added.

/// A PTX module: one translation unit of text.
#[derive(Debug, Clone, Default)]
pub struct Module {
    /// `.version major.minor`.
    pub version: (u32, u32),
    /// `.target`, its first word: `sm_90a`.
    pub target: String,
    /// `.global` and `.const` variables (and module-scope `.shared`), in order.
    pub variables: Vec<Variable>,
    /// Entries and device functions that have a body, in order; and
    /// declarations of external functions (`vprintf`, `__assertfail`).
    pub functions: Vec<Function>,
    /// `.alias name, function;`: a second name of a function in `functions`.
    pub aliases: Vec<(String, String)>,
    /// `.file`: index to path.
    pub files: Vec<(u32, String)>,
}

/// `.entry` or `.func`.
#[derive(Debug, Clone)]
pub struct Function {
    /// The (mangled) name.
    pub name: String,
    /// A kernel (`.entry`) or a device function.
    pub is_entry: bool,
    /// Formal parameters, in order.
    pub params: Vec<Variable>,
    /// Return parameters of a `.func`.
    pub returns: Vec<Variable>,
    /// `.maxntid x, y, z` if given.
    pub max_threads: Option<[u32; 3]>,
    /// `.reqntid x, y, z` if given.
    pub required_threads: Option<[u32; 3]>,
    /// `.minnctapersm`, `.maxnreg`.
    pub min_blocks: Option<u32>,
    /// `.maxnreg` if given.
    pub max_registers: Option<u32>,
    /// `.reqnctapercluster x, y, z` if given.
    pub cluster: Option<[u32; 3]>,
    /// The statements; `None` for a declaration.
    pub body: Option<Vec<Statement>>,
    /// Line in the PTX text.
    pub line: u32,
}

/// A state space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // The names are the manual's.
pub enum Space {
    Generic,
    Global,
    Shared,
    Local,
    Const,
    Param,
    /// `.shared::cluster`
    Cluster,
}

/// A fundamental type, by its suffix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // The names are the manual's.
pub enum Type {
    B8,
    B16,
    B32,
    B64,
    B128,
    U8,
    U16,
    U32,
    U64,
    S8,
    S16,
    S32,
    S64,
    U16x2,
    S16x2,
    F16,
    F16x2,
    Bf16,
    Bf16x2,
    Tf32,
    F32,
    F64,
    E4m3,
    E5m2,
    E4m3x2,
    E5m2x2,
    Pred,
}

/// A variable or parameter: `.shared .align 16 .b8 name[4096] = {...};`
#[derive(Debug, Clone)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Where it lives.
    pub space: Space,
    /// Element type.
    pub ty: Type,
    /// `.v2`/`.v4` multiply the element: 1, 2 or 4.
    pub vector: u32,
    /// Array dimensions, outermost first; empty for a scalar, 0 where the size is left open (`[]`).
    pub dims: Vec<u64>,
    /// Alignment in bytes (the natural one unless `.align` says more).
    pub align: u64,
    /// `.extern`: an unsized one in `.shared` is the dynamic shared memory.
    pub is_extern: bool,
    /// Initial value, element by element, flattened; empty if none.
    pub init: Vec<Initial>,
    /// Line in the PTX text.
    pub line: u32,
}

/// One element of an initialiser.
#[derive(Debug, Clone, PartialEq)]
pub enum Initial {
    /// The bits of a number, in the element's type.
    Bits(u64),
    /// The address of a symbol plus an offset (`generic(name)+8` has `generic` set).
    Address {
        /// The symbol.
        symbol: String,
        /// Bytes added.
        offset: i64,
        /// Through `generic()`.
        generic: bool,
        /// The bits of the address that are taken, moved down to bit 0: all of
        /// them, unless the element is written `0xFF00(name)`.
        mask: u64,
    },
}

/// A statement of a function's body.
#[derive(Debug, Clone)]
pub enum Statement {
    /// `name:`
    Label(String),
    /// An instruction.
    Instruction(Instruction),
    /// A variable declared in the body (`.shared`, `.local`, `.param`).
    Variable(Variable),
    /// `.reg .b32 %r<5>;` gives `("%r", Some(5))`; `.reg .b32 a;` gives `("a", None)`.
    Registers {
        /// Type.
        ty: Type,
        /// 1, 2 or 4.
        vector: u32,
        /// Names, with the count if parameterised.
        names: Vec<(String, Option<u32>)>,
    },
    /// `.loc file line column [, function_name label, inlined_at f l c]`.
    Loc {
        /// Index of a `.file`.
        file: u32,
        /// Line.
        line: u32,
        /// Column.
        column: u32,
        /// File and line that the code was inlined at.
        inlined_at: Option<(u32, u32)>,
    },
    /// `{ ... }`: a scope for names.
    Block(Vec<Statement>),
    /// `name: .branchtargets a, b, c;`
    BranchTargets {
        /// The label of the list.
        name: String,
        /// The labels in it.
        labels: Vec<String>,
    },
    /// `name: .calltargets f, g;`
    CallTargets {
        /// The label of the list.
        name: String,
        /// The functions in it.
        functions: Vec<String>,
    },
    /// `name: .callprototype (...) _ (...);`
    CallPrototype {
        /// The label of the prototype.
        name: String,
        /// Return parameters.
        returns: Vec<Variable>,
        /// Parameters.
        params: Vec<Variable>,
    },
}

/// `@%p1 mad.lo.s32 %r1, %r2, %r3, %r4;`
#[derive(Debug, Clone)]
pub struct Instruction {
    /// `@p` or `@!p`.
    pub guard: Option<Guard>,
    /// The first word: `mad`.
    pub opcode: String,
    /// What follows it between dots, in order: `["lo", "s32"]`.
    /// `::` stays within one: `shared::cta`.
    pub modifiers: Vec<String>,
    /// Operands, in order.
    pub operands: Vec<Operand>,
    /// Line in the PTX text.
    pub line: u32,
}

/// The guard predicate of an instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// The predicate register.
    pub register: String,
    /// `@!p`.
    pub negated: bool,
}

/// An operand.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// A name: a register, special register (`%tid.x`, whole), variable, function or label.
    /// `offset` for `name+4` used as a value.
    Name {
        /// The name.
        name: String,
        /// Bytes added to a variable's address.
        offset: i64,
    },
    /// `!p`, a negated predicate.
    Not(String),
    /// An integer literal (constant expressions are folded), as 64 bits;
    /// negative ones in two's complement.
    Integer(i64),
    /// `0f3F800000`: the bits of an f32.
    Float32(u32),
    /// `0d3FF0000000000000` or a decimal: the bits of an f64.
    Float64(u64),
    /// `[base+offset]`; `base` is a register or variable name, or absent for an absolute address.
    Memory {
        /// Register or variable.
        base: Option<String>,
        /// Bytes added.
        offset: i64,
    },
    /// `[tensorMap, {c0, c1}]` and other bracketed lists: every part but the first.
    /// The first part is `base`/`offset` as in `Memory`.
    MemoryList {
        /// Register or variable.
        base: Option<String>,
        /// Bytes added.
        offset: i64,
        /// What follows, in order.
        rest: Vec<Operand>,
    },
    /// `{a, b, c, d}`; `_` in it is `Sink`.
    Vector(Vec<Operand>),
    /// `p|q`: two destinations.
    Pair(Box<Operand>, Box<Operand>),
    /// `_`: the result is dropped.
    Sink,
    /// `(a, b)`: the parenthesised lists of a `call`.
    List(Vec<Operand>),
}
