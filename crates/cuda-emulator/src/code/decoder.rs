//! From statements to the compact form: names, scopes, constants, labels.
//!
//! What an instruction means is not known here: [`crate::machine::ops::decode`]
//! hands it to its family, which asks this decoder for its operands.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::inst::{Class, Edges, Exec, Guard, Inst, Kind, List, Op, Slot};
use super::kernel::{Callee, Kernel, Line, Param, Source, VariableInfo};
use super::labels::{Jump, Labels, Place};
use super::layout::{LOCAL_WINDOW, PARAM_WINDOW, SHARED_START, SHARED_WINDOW, size_of};
use super::reach::{self, SharedLayout};
use super::registers;
use crate::ptx::ast::{Function, Instruction, Module, Operand, Space, Statement, Type, Variable};

/// A statement that cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("PTX line {line}: {problem}\n    {text}")]
pub struct DecodeError {
    /// Line in the PTX text.
    pub line: u32,
    /// That line, trimmed.
    pub text: String,
    /// What is wrong, naming the instruction.
    pub problem: String,
}

/// A memory operand: an address row and a byte offset.
#[derive(Debug, Clone, Copy)]
pub struct Reference {
    /// The row that holds the address.
    pub base: Slot,
    /// Bytes to add.
    pub offset: i64,
}

/// Local memory of a thread, in bytes: the hardware's limit.
const MOST_LOCAL: u64 = 512 << 10;
/// Parameters of a kernel, in bytes: the hardware's limit.
const MOST_PARAMS: u64 = 32_764;
/// Shared memory of a block, in bytes: the hardware's limit.
const MOST_SHARED: u64 = 227 << 10;
/// Registers that a function may declare, so that a few bytes of text cannot ask for all memory.
const MOST_REGISTERS: u64 = 1 << 20;

#[derive(Debug, Clone)]
enum Binding {
    Register {
        ty: Type,
        slots: Vec<Slot>,
    },
    /// A variable: its state space and its address within the space.
    Variable {
        space: Space,
        address: u64,
    },
}

/// Decodes one kernel.
pub struct Decoder<'m> {
    module: &'m Module,
    source: Arc<Source>,
    globals: HashMap<&'m str, Binding>,
    /// Functions of this kernel by name, and their addresses.
    function_index: HashMap<&'m str, usize>,
    addresses: Vec<u64>,
    scopes: Vec<HashMap<String, Binding>>,
    in_entry: bool,

    code: Vec<Inst>,
    lists: Vec<Slot>,
    lines: Vec<Line>,
    constants32: Pool<u32>,
    constants64: Pool<u64>,
    virtuals: [u32; 3],
    /// The running function's carry flag, `CC.CF`, if it has been used.
    carry: Option<Slot>,
    local_top: u32,
    /// A list of operands was longer than lists can be.
    has_long_list: bool,

    labels: Labels,
    /// Registers that asynchronous instructions use after they were issued, and
    /// the instructions that wait for that.
    late: Vec<Slot>,
    waits: Vec<usize>,
    /// Those instructions that use registers late.
    late_users: Vec<usize>,
    /// May lanes hand on alone what they did, by an arrival, a fence or a value?
    pub hands_on_by_lanes: bool,

    guard: Guard,
    line: u32,
    location: (u32, u32),
}

struct Pool<T> {
    rows: Vec<[T; 32]>,
    index: HashMap<T, u32>,
}

impl<T: Copy + Eq + std::hash::Hash> Pool<T> {
    fn new() -> Self {
        Self { rows: Vec::new(), index: HashMap::new() }
    }

    fn intern(&mut self, value: T) -> u32 {
        *self.index.entry(value).or_insert_with(|| {
            self.rows.push([value; 32]);
            self.rows.len() as u32 - 1
        })
    }
}

type Result<T> = std::result::Result<T, DecodeError>;

impl<'m> Decoder<'m> {
    /// Decodes the entry `f` and every function it can reach.
    pub fn kernel(
        module: &'m Module,
        f: &'m Function,
        variables: &'m [VariableInfo],
        source: Arc<Source>,
    ) -> Result<Kernel> {
        let reachable = reach::reachable(module, f);
        let shared = SharedLayout::of(module, &reachable);
        let mut globals = HashMap::new();
        for (v, info) in module
            .variables
            .iter()
            .filter_map(|v| variables.iter().find(|i| i.name == v.name).map(|i| (v, i)))
        {
            globals.insert(v.name.as_str(), Binding::Variable { space: v.space, address: info.address });
        }
        for (name, offset) in &shared.module_scope {
            let address = u64::from(SHARED_START) + offset;
            globals.insert(name, Binding::Variable { space: Space::Shared, address });
        }
        let mut d = Decoder {
            module,
            source,
            globals,
            function_index: reach::functions(module)
                .into_iter()
                .filter_map(|(name, f)| {
                    reachable.iter().position(|g| std::ptr::eq(*g, f)).map(|index| (name, index))
                })
                .collect(),
            addresses: reachable.iter().map(|f| reach::function_address(module, f)).collect(),
            scopes: Vec::new(),
            in_entry: true,
            code: Vec::new(),
            lists: Vec::new(),
            lines: Vec::new(),
            constants32: Pool::new(),
            constants64: Pool::new(),
            virtuals: [0; 3],
            carry: None,
            local_top: 0,
            has_long_list: false,
            labels: Labels::default(),
            late: Vec::new(),
            waits: Vec::new(),
            late_users: Vec::new(),
            hands_on_by_lanes: false,
            guard: Guard { slot: Slot::NONE, flip: 0 },
            line: 0,
            location: (u32::MAX, 0),
        };
        d.line = f.line;
        if shared.dynamic_start > MOST_SHARED {
            let problem = format!("{} bytes of shared variables", shared.dynamic_start);
            return Err(d.error(format!("{problem}, where a block has {MOST_SHARED} at most")));
        }
        let (params, param_bytes) = d.kernel_params(f)?;
        let mut rows = [0usize; 3];
        let mut local_bytes = 0;
        let mut callees = Vec::new();
        for (index, function) in reachable.iter().enumerate() {
            d.in_entry = index == 0;
            let start = d.code.len();
            let lists_start = d.lists.len();
            let callee = d.function(function, &shared.function_scope[index])?;
            callees.push(callee);
            let used = registers::allocate(&mut d.code[start..], start, &mut d.lists, lists_start);
            for (have, need) in rows.iter_mut().zip(used) {
                *have = (*have).max(need);
            }
            local_bytes = local_bytes.max(d.local_top);
        }
        d.mark_touches();
        Ok(Kernel {
            name: f.name.clone(),
            params,
            param_bytes,
            static_shared: shared.bytes as u32,
            dynamic_shared_start: SHARED_START + shared.dynamic_start as u32,
            local_bytes: local_bytes.next_multiple_of(16),
            max_threads: f
                .required_threads
                .or(f.max_threads)
                .map(|t| t.iter().fold(1, |product: u32, &extent| product.saturating_mul(extent))),
            required_threads: f.required_threads,
            cluster: f.cluster,
            code: d.code,
            lists: d.lists,
            constants32: d.constants32.rows,
            constants64: d.constants64.rows,
            constants_pred: vec![0, u32::MAX],
            rows,
            hands_on_by_lanes: d.hands_on_by_lanes,
            lines: d.lines,
            functions: callees,
            source: d.source,
        })
    }

    fn function(&mut self, f: &'m Function, shared: &HashMap<String, u64>) -> Result<Callee> {
        self.virtuals = [0; 3];
        self.carry = None;
        self.local_top = 0;
        self.location = (u32::MAX, 0);
        self.line = f.line;
        let entry = self.code.len() as u32;
        let mut scope = HashMap::new();
        let mut places = [Vec::new(), Vec::new()];
        if self.in_entry {
            let (params, _) = self.kernel_params(f)?;
            for (v, p) in f.params.iter().zip(params) {
                scope.insert(
                    v.name.clone(),
                    Binding::Variable { space: Space::Param, address: u64::from(p.offset) },
                );
            }
        } else {
            for (which, list) in [&f.params, &f.returns].into_iter().enumerate() {
                for v in list {
                    let offset = self.local_variable(v)?;
                    places[which].push((offset, size_of(v) as u32));
                    let binding = Binding::Variable { space: Space::Local, address: u64::from(offset) };
                    scope.insert(v.name.clone(), binding);
                }
            }
        }
        for (name, offset) in shared {
            let address = u64::from(SHARED_START) + offset;
            scope.insert(name.clone(), Binding::Variable { space: Space::Shared, address });
        }
        self.scopes.push(scope);
        let body = f.body.as_deref().unwrap_or_default();
        self.statements(body)?;
        if let Some(Jump { label, line, .. }) = self.labels.lost() {
            self.line = line;
            return Err(self.error(format!("there is no label {label}")));
        }
        // Falling off the end returns.
        self.guard = Guard { slot: Slot::NONE, flip: 0 };
        crate::machine::ops::control::emit_return(self);
        self.scopes.pop();
        self.extend_late_uses();
        if self.has_long_list {
            return Err(self.error(format!("a list of more than {} operands or targets", u16::MAX)));
        }
        let [params, returns] = places;
        let address = reach::function_address(self.module, f);
        Ok(Callee { name: f.name.clone(), entry, address, params, returns })
    }

    /// The statements of a block.
    fn statements(&mut self, body: &'m [Statement]) -> Result<()> {
        self.labels.enter();
        for s in body {
            match s {
                Statement::Label(name) => self.label(name)?,
                Statement::Instruction(i) => {
                    self.line = i.line;
                    self.guard = match &i.guard {
                        None => Guard { slot: Slot::NONE, flip: 0 },
                        Some(g) => Guard {
                            slot: self.register(&g.register, Class::Pred)?,
                            flip: if g.negated { u32::MAX } else { 0 },
                        },
                    };
                    let start = self.code.len();
                    crate::machine::ops::decode(self, i)?;
                    count_once(&mut self.code[start..]);
                }
                Statement::Variable(v) => self.variable(v)?,
                Statement::Registers { ty, vector, names } => self.declare(*ty, *vector, names)?,
                Statement::Loc { file, line, .. } => self.location = (*file, *line),
                Statement::Block(inner) => {
                    self.scopes.push(HashMap::new());
                    self.statements(inner)?;
                    self.scopes.pop();
                }
                Statement::BranchTargets { name, labels } => self.branch_targets(name, labels),
                // Prototypes and call targets: calls are resolved by the function called.
                _ => {}
            }
        }
        for (place, position) in self.labels.leave() {
            match place {
                Place::Instruction(at) => self.code[at].aux = position,
                Place::Element(at) => self.lists[at] = Slot::constant(Class::R32, position),
            }
        }
        Ok(())
    }

    fn label(&mut self, name: &str) -> Result<()> {
        match self.labels.declare(name, self.code.len() as u32) {
            true => Ok(()),
            false => Err(self.error(format!("a block has two labels {name}"))),
        }
    }

    fn declare(&mut self, ty: Type, vector: u32, names: &[(String, Option<u32>)]) -> Result<()> {
        for (name, count) in names {
            let have: u64 = self.virtuals.iter().map(|n| u64::from(*n)).sum();
            if have + u64::from(count.unwrap_or(1)) * u64::from(vector) > MOST_REGISTERS {
                return Err(self.error(format!(
                    "with {name} the function declares more than {MOST_REGISTERS} registers"
                )));
            }
            match count {
                None => self.declare_one(name.clone(), ty, vector),
                Some(n) => (0..*n).for_each(|i| self.declare_one(format!("{name}{i}"), ty, vector)),
            }
        }
        Ok(())
    }

    fn declare_one(&mut self, name: String, ty: Type, vector: u32) {
        // A 128-bit register is a pair of 64-bit rows.
        let parts = if ty == Type::B128 { 2 } else { vector };
        let slots = (0..parts).map(|_| self.temporary(class_of(ty))).collect();
        self.bind(name, Binding::Register { ty, slots });
    }

    fn bind(&mut self, name: String, binding: Binding) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.insert(name, binding);
        }
    }

    fn variable(&mut self, v: &Variable) -> Result<()> {
        match v.space {
            // Shared variables were laid out before; they are bound already.
            Space::Shared => Ok(()),
            Space::Local | Space::Param => {
                let offset = self.local_variable(v)?;
                self.bind(
                    v.name.clone(),
                    Binding::Variable { space: Space::Local, address: u64::from(offset) },
                );
                Ok(())
            }
            other => {
                self.line = v.line;
                Err(self.error(format!("a variable in {other:?} space inside a function is not supported")))
            }
        }
    }

    fn local_variable(&mut self, v: &Variable) -> Result<u32> {
        let offset = u64::from(self.local_top).next_multiple_of(v.align.max(1));
        let top = offset + size_of(v);
        if top > MOST_LOCAL {
            self.line = v.line;
            let problem = format!("{top} bytes of local variables");
            return Err(self.error(format!("{problem}, where a thread has {MOST_LOCAL} at most")));
        }
        self.local_top = top as u32;
        Ok(offset as u32)
    }

    /// A kernel's parameters, and the bytes of all of them.
    fn kernel_params(&mut self, f: &Function) -> Result<(Vec<Param>, u32)> {
        let mut top = 0;
        let mut params = Vec::new();
        for v in &f.params {
            let (offset, size) = (u64::next_multiple_of(top, v.align.max(1)), size_of(v));
            top = offset + size;
            if top > MOST_PARAMS {
                self.line = v.line;
                let problem = format!("{top} bytes of parameters");
                return Err(self.error(format!("{problem}, where a kernel has {MOST_PARAMS} at most")));
            }
            params.push(Param { offset: offset as u32, size: size as u32, align: v.align as u32 });
        }
        Ok((params, top as u32))
    }

    /// A register that is used late lives until any wait that comes after the use.
    fn extend_late_uses(&mut self) {
        let mut seen = HashSet::new();
        let mut late = std::mem::take(&mut self.late);
        late.retain(|slot| seen.insert(*slot));
        let list = self.list(&[], &late);
        for at in std::mem::take(&mut self.waits) {
            self.code[at].list = list;
            self.late_users.push(at);
        }
    }

    /// Marks the instructions that name a row which is used late, those that use it so left aside.
    fn mark_touches(&mut self) {
        let named = |i: &Inst| {
            let rest = self.lists.iter().skip(i.list.start as usize);
            let list = rest.take(usize::from(i.list.outs) + usize::from(i.list.ins));
            i.dst.iter().chain(&i.src).chain(list).copied().collect::<Vec<_>>()
        };
        let is_row = |slot: &Slot| slot.is_some() && !slot.is_constant() && slot.class() == Class::R32;
        let late: HashSet<Slot> =
            self.late_users.iter().flat_map(|at| named(&self.code[*at])).filter(is_row).collect();
        let users: HashSet<usize> = self.late_users.iter().copied().collect();
        let touches: Vec<usize> = (0..self.code.len())
            .filter(|at| !late.is_empty() && !users.contains(at))
            .filter(|at| named(&self.code[*at]).iter().any(|slot| late.contains(slot)))
            .collect();
        for at in touches {
            self.code[at].touches_wgmma = true;
        }
    }

    // ---- What instruction families use -------------------------------------------------

    /// An error at the current line.
    pub fn error(&self, problem: impl Into<String>) -> DecodeError {
        let text = self.source.text.get(self.line.wrapping_sub(1) as usize);
        DecodeError {
            line: self.line,
            text: text.map(|t| t.trim().to_owned()).unwrap_or_default(),
            problem: problem.into(),
        }
    }

    /// The error for an instruction that the emulator does not know.
    pub fn unknown(&self, i: &Instruction) -> DecodeError {
        let mut name = i.opcode.clone();
        for m in &i.modifiers {
            name.push('.');
            name.push_str(m);
        }
        self.error(format!("instruction `{name}` is not known to the emulator"))
    }

    /// Number of operands must be `n`.
    pub fn expect_operands(&self, i: &Instruction, n: usize) -> Result<()> {
        if i.operands.len() == n {
            return Ok(());
        }
        Err(self.error(format!("`{}` takes {n} operands here, not {}", i.opcode, i.operands.len())))
    }

    /// A fresh virtual register.
    pub fn temporary(&mut self, class: Class) -> Slot {
        let next = &mut self.virtuals[class as usize];
        *next += 1;
        Slot::register(class, *next - 1)
    }

    /// The carry flag `CC.CF`: one more predicate. Each function has its own,
    /// since calls do not preserve it.
    pub fn carry(&mut self) -> Slot {
        let slot = self.carry.unwrap_or_else(|| self.temporary(Class::Pred));
        self.carry = Some(slot);
        slot
    }

    /// A constant row of 32-bit lanes.
    pub fn constant32(&mut self, value: u32) -> Slot {
        Slot::constant(Class::R32, self.constants32.intern(value))
    }

    /// A constant row of 64-bit lanes.
    pub fn constant64(&mut self, value: u64) -> Slot {
        Slot::constant(Class::R64, self.constants64.intern(value))
    }

    /// A constant predicate.
    pub fn constant_pred(&mut self, value: bool) -> Slot {
        Slot::constant(Class::Pred, u32::from(value))
    }

    /// The declared type of a register operand; `None` if it is no register.
    pub fn register_type(&self, operand: &Operand) -> Option<Type> {
        match operand {
            Operand::Name { name, .. } => match self.lookup_part(name).0 {
                Some(Binding::Register { ty, .. }) => Some(*ty),
                _ => None,
            },
            Operand::Not(name) => match self.lookup(name) {
                Some(Binding::Register { ty, .. }) => Some(*ty),
                _ => None,
            },
            _ => None,
        }
    }

    /// A destination register that holds a value of type `ty`. `_` gives a row that nobody reads.
    pub fn dest(&mut self, operand: &Operand, ty: Type) -> Result<Slot> {
        self.dest_class(operand, class_of(ty))
    }

    /// A destination register of a class.
    pub fn dest_class(&mut self, operand: &Operand, class: Class) -> Result<Slot> {
        match operand {
            Operand::Sink => Ok(self.temporary(class)),
            Operand::Name { name, offset: 0 } => self.register(name, class),
            other => Err(self.error(format!("{other:?} is no register to write to"))),
        }
    }

    /// A source operand of type `ty`: a register, an immediate, or a variable's address.
    pub fn source(&mut self, operand: &Operand, ty: Type) -> Result<Slot> {
        let class = class_of(ty);
        match operand {
            Operand::Integer(value) => Ok(match (class, ty) {
                (Class::Pred, _) => self.constant_pred(*value != 0),
                (Class::R32, _) => self.constant32(*value as u32 & mask_of(ty)),
                (Class::R64, _) => self.constant64(*value as u64),
            }),
            Operand::Float32(bits) => match ty {
                Type::F64 => Ok(self.constant64(f64::from(f32::from_bits(*bits)).to_bits())),
                _ if class == Class::R32 => Ok(self.constant32(*bits)),
                _ => Err(self.error("a 32-bit float literal where another width is needed")),
            },
            Operand::Float64(bits) => match ty {
                Type::F32 => Ok(self.constant32((f64::from_bits(*bits) as f32).to_bits())),
                _ if class == Class::R64 => Ok(self.constant64(*bits)),
                _ => Err(self.error("a 64-bit float literal where another width is needed")),
            },
            Operand::Not(name) => {
                let slot = self.register(name, Class::Pred)?;
                let negated = self.temporary(Class::Pred);
                crate::machine::ops::predicate::emit_not(self, negated, slot);
                Ok(negated)
            }
            Operand::Name { name, .. } if name == "WARP_SZ" => self.source(&Operand::Integer(32), ty),
            Operand::Name { name, offset } => match self.lookup_part(name).0 {
                Some(Binding::Register { .. }) => self.register(name, class),
                // As a value, a variable is its address within its space.
                Some(Binding::Variable { space, address }) => {
                    let (space, value) = (*space, address.wrapping_add_signed(*offset));
                    match space {
                        Space::Local => Ok(self.frame_address(value, class)),
                        _ => self.address_constant(value, ty),
                    }
                }
                None => match self.function_index.get(name.as_str()) {
                    Some(index) => {
                        let address = self.addresses[*index];
                        self.address_constant(address, ty)
                    }
                    None => Err(self.error(format!("`{name}` is not declared"))),
                },
            },
            other => Err(self.error(format!("{other:?} cannot be a source operand here"))),
        }
    }

    /// Address of a variable in the frame of the running function. A kernel's
    /// own frame is the first; a function's depends on the depth of the call.
    fn frame_address(&mut self, address: u64, class: Class) -> Slot {
        if self.in_entry {
            return match class {
                Class::R64 => self.constant64(address),
                _ => self.constant32(address as u32),
            };
        }
        let slot = self.temporary(class);
        crate::machine::ops::control::emit_frame_address(self, slot, address);
        slot
    }

    fn address_constant(&mut self, value: u64, ty: Type) -> Result<Slot> {
        match class_of(ty) {
            Class::R32 => Ok(self.constant32(value as u32 & mask_of(ty))),
            Class::R64 => Ok(self.constant64(value)),
            Class::Pred => Err(self.error("an address where a predicate is needed")),
        }
    }

    /// A memory operand in `space`. For a generic access, a variable's address
    /// is put into its window.
    pub fn reference(&mut self, operand: &Operand, space: Space) -> Result<Reference> {
        let (base, offset) = match operand {
            Operand::Memory { base, offset } => (base, *offset),
            Operand::MemoryList { base, offset, .. } => (base, *offset),
            other => return Err(self.error(format!("{other:?} is no memory operand"))),
        };
        let Some(name) = base else {
            return Ok(Reference { base: self.constant64(0), offset });
        };
        match self.lookup(name) {
            Some(Binding::Register { ty, .. }) => {
                let class = class_of(*ty);
                if class == Class::Pred || ty.bytes() < 4 {
                    return Err(self.error(format!("`{name}` is too narrow to be an address")));
                }
                Ok(Reference { base: self.register(name, class)?, offset })
            }
            Some(Binding::Variable { space: of, address }) => {
                let (of, address) = (*of, *address);
                let window = match of {
                    _ if space != Space::Generic => 0,
                    Space::Shared => SHARED_WINDOW,
                    Space::Local => LOCAL_WINDOW,
                    Space::Param => PARAM_WINDOW,
                    _ => 0,
                };
                let base = match of {
                    Space::Local => self.frame_address(window + address, Class::R64),
                    _ => self.constant64(window + address),
                };
                Ok(Reference { base, offset })
            }
            None => Err(self.error(format!("`{name}` is not declared"))),
        }
    }

    /// The state space of the variable that a memory operand names, if it names
    /// one. `.param` variables of a function's own frame count as local.
    pub fn variable_space(&self, operand: &Operand) -> Option<Space> {
        let name = match operand {
            Operand::Memory { base: Some(name), .. } | Operand::MemoryList { base: Some(name), .. } => name,
            Operand::Name { name, .. } => name,
            _ => return None,
        };
        match self.lookup(name) {
            Some(Binding::Variable { space, .. }) => Some(*space),
            _ => None,
        }
    }

    /// Offset in the frame's local memory of a `.param` variable (calls pass these).
    pub fn frame_offset(&self, operand: &Operand) -> Result<u32> {
        if let Operand::Name { name, offset: 0 } = operand
            && let Some(Binding::Variable { space: Space::Local, address }) = self.lookup(name)
        {
            return Ok(*address as u32);
        }
        Err(self.error(format!("{operand:?} is no parameter variable")))
    }

    /// A function of the module by name: its index for calls, if it has a body.
    pub fn callee(&self, name: &str) -> Option<usize> {
        self.function_index.get(name).copied()
    }

    /// The declaration of a function, with or without body.
    pub fn declaration(&self, name: &str) -> Option<&'m Function> {
        self.module.functions.iter().find(|f| f.name == name)
    }

    /// The rows of a vector register, or of one register as a list of one; the
    /// two halves of a 128-bit register.
    pub fn rows(&self, operand: &Operand) -> Option<Vec<Slot>> {
        let Operand::Name { name, offset: 0 } = operand else { return None };
        match self.lookup(name) {
            Some(Binding::Register { slots, .. }) => Some(slots.clone()),
            _ => None,
        }
    }

    /// Is the code being decoded a kernel's own body, rather than a device function's?
    pub fn in_entry(&self) -> bool {
        self.in_entry
    }

    /// A list of branch targets: code positions (the `index` of each slot is one), which are
    /// filled in when the labels of its block are known.
    fn branch_targets(&mut self, name: &str, labels: &[String]) {
        let list = self.list(&[], &vec![Slot::constant(Class::R32, 0); labels.len()]);
        for (label, at) in labels.iter().zip(list.start as usize..).take(list.ins.into()) {
            self.labels.jump(Place::Element(at), label, self.line);
        }
        self.labels.declare_list(name, list);
    }

    /// The `.branchtargets` list of that name, which must have been declared.
    pub fn targets(&self, name: &str) -> Result<List> {
        self.labels.list(name).ok_or_else(|| self.error(format!("there is no list of targets {name}")))
    }

    /// Puts rows into the kernel's operand lists: results first, then operands.
    pub fn list(&mut self, outs: &[Slot], ins: &[Slot]) -> List {
        let start = self.lists.len() as u32;
        if outs.len().max(ins.len()) > u16::MAX.into() {
            self.has_long_list = true;
            return List::default();
        }
        self.lists.extend_from_slice(outs);
        self.lists.extend_from_slice(ins);
        List { start, outs: outs.len() as u16, ins: ins.len() as u16 }
    }

    /// The last instruction uses these registers after it was issued, until a wait.
    pub fn uses_late(&mut self, slots: &[Slot]) {
        self.late.extend_from_slice(slots);
        self.late_users.push(self.code.len() - 1);
    }

    /// The last instruction waits for late uses.
    pub fn waits_for_late_uses(&mut self) {
        self.waits.push(self.code.len() - 1);
    }

    /// Appends an instruction under the current guard.
    pub fn emit(&mut self, op: Op, kind: Kind, dst: &[Slot], src: &[Slot]) -> &mut Inst {
        let exec = op.best();
        self.emit_exec(exec, kind, dst, src)
    }

    /// Appends an instruction whose execution exists in one variant only.
    pub fn emit_exec(&mut self, exec: Exec, kind: Kind, dst: &[Slot], src: &[Slot]) -> &mut Inst {
        let mut inst = Inst {
            exec,
            guard: self.guard,
            dst: [Slot::NONE; 2],
            src: [Slot::NONE; 4],
            list: List::default(),
            imm: 0,
            aux: 0,
            kind,
            edges: Edges::Next,
            touches_wgmma: false,
            line: self.code.len() as u32,
        };
        inst.dst[..dst.len()].copy_from_slice(dst);
        inst.src[..src.len()].copy_from_slice(src);
        let (file, line) = self.location;
        self.lines.push(Line { ptx: self.line, file, line });
        self.code.push(inst);
        let last = self.code.len() - 1;
        &mut self.code[last]
    }

    /// The last instruction's `aux` becomes the position of `label`.
    pub fn jump_to(&mut self, label: &str) {
        self.labels.jump(Place::Instruction(self.code.len() - 1), label, self.line);
    }

    fn lookup(&self, name: &str) -> Option<&Binding> {
        self.scopes.iter().rev().find_map(|s| s.get(name)).or_else(|| self.globals.get(name))
    }

    /// The binding of a name and which part of it is meant: `%v.x` names a part
    /// of a vector register.
    fn lookup_part(&self, name: &str) -> (Option<&Binding>, Option<usize>) {
        let part = |part: &str| "xyzwrgba".find(part).filter(|_| part.len() == 1).map(|i| i % 4);
        match name.rsplit_once('.').and_then(|(whole, p)| Some((whole, part(p)?))) {
            Some((whole, part)) => (self.lookup(whole), Some(part)),
            None => (self.lookup(name), None),
        }
    }

    fn register(&self, name: &str, class: Class) -> Result<Slot> {
        let (binding, part) = self.lookup_part(name);
        let Some(Binding::Register { ty, slots }) = binding else {
            return Err(self.error(format!("register `{name}` is not declared")));
        };
        let slot = match (part, slots.as_slice()) {
            (Some(i), all) if i < all.len() => all[i],
            (None, [one]) => *one,
            _ => return Err(self.error(format!("`{name}` is not one register of the vector's parts"))),
        };
        if class_of(*ty) != class {
            return Err(self.error(format!("register `{name}` of type {ty:?} does not fit the instruction")));
        }
        Ok(slot)
    }
}

/// The class of register that holds a value of this type.
pub fn class_of(ty: Type) -> Class {
    match ty {
        Type::Pred => Class::Pred,
        Type::B64 | Type::U64 | Type::S64 | Type::F64 | Type::B128 => Class::R64,
        _ => Class::R32,
    }
}

fn mask_of(ty: Type) -> u32 {
    match ty.bytes() {
        1 => 0xff,
        2 => 0xffff,
        _ => u32::MAX,
    }
}

/// One instruction of the program is counted once, however many it takes here: as what it is for, which is hardly ever
/// the sums and conversions around it.
fn count_once(steps: &mut [Inst]) {
    let aside = |kind| matches!(kind, Kind::Integer | Kind::Convert);
    let main = steps.iter().position(|i| !aside(i.kind)).or(steps.len().checked_sub(1));
    for (_, step) in steps.iter_mut().enumerate().filter(|(n, _)| Some(*n) != main) {
        step.kind = Kind::Step;
    }
}
