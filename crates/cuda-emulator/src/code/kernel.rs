//! A loaded program: its kernels in the compact form.

use std::collections::HashMap;
use std::sync::Arc;

use super::inst::{Inst, Slot};
use super::{DecodeError, Decoder, reach};
use crate::ptx::ast;

/// One kernel parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Param {
    /// Byte offset in the parameter buffer.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
    /// Alignment in bytes.
    pub align: u32,
}

/// Where an instruction comes from.
#[derive(Debug, Clone, Copy, Default)]
pub struct Line {
    /// Line of the PTX text, from 1.
    pub ptx: u32,
    /// Index in `Program::files`, `u32::MAX` without line information.
    pub file: u32,
    /// Line in that file.
    pub line: u32,
}

/// A kernel in the compact form, with all device functions it can reach.
pub struct Kernel {
    /// The (mangled) name.
    pub name: String,
    /// Parameters, in order.
    pub params: Vec<Param>,
    /// Size of the parameter buffer.
    pub param_bytes: u32,
    /// Static shared memory, in bytes.
    pub static_shared: u32,
    /// Address of the dynamic shared memory.
    pub dynamic_shared_start: u32,
    /// Local memory of one thread and one call frame, in bytes.
    pub local_bytes: u32,
    /// `.maxntid` or `.reqntid`, multiplied out.
    pub max_threads: Option<u32>,
    /// `.reqntid`.
    pub required_threads: Option<[u32; 3]>,
    /// `.reqnctapercluster`.
    pub cluster: Option<[u32; 3]>,
    /// The code; execution starts at 0, functions follow the entry.
    pub code: Vec<Inst>,
    /// Operand lists of instructions with vectors.
    pub lists: Vec<Slot>,
    /// Constant rows of 32 lanes.
    pub constants32: Vec<[u32; 32]>,
    /// Constant rows of 64-bit lanes.
    pub constants64: Vec<[u64; 32]>,
    /// Constant predicates.
    pub constants_pred: Vec<u32>,
    /// Register rows of one call frame, by class: 32-bit, 64-bit, predicates.
    pub rows: [usize; 3],
    /// May lanes hand on alone what they did, by an arrival, a fence or a value?
    pub hands_on_by_lanes: bool,
    /// Where each instruction comes from.
    pub lines: Vec<Line>,
    /// Functions that `call` can reach: start in `code`, and where their
    /// parameters and results lie in their frame.
    pub functions: Vec<Callee>,
    /// What messages need of the program.
    pub source: Arc<Source>,
}

/// A device function within a kernel's code.
#[derive(Debug, Clone)]
pub struct Callee {
    /// Its name.
    pub name: String,
    /// First instruction.
    pub entry: u32,
    /// What pointers to it hold.
    pub address: u64,
    /// (offset in the frame's local memory, bytes) of each parameter.
    pub params: Vec<(u32, u32)>,
    /// The same of each result.
    pub returns: Vec<(u32, u32)>,
}

/// The text of a program and its files, for messages.
#[derive(Debug, Default)]
pub struct Source {
    /// The PTX, by lines.
    pub text: Vec<String>,
    /// Paths named by `.file`.
    pub files: Vec<String>,
}

/// A module's variable and where it was put.
#[derive(Debug, Clone)]
pub struct VariableInfo {
    /// Its name.
    pub name: String,
    /// Its device address.
    pub address: u64,
    /// Bytes.
    pub size: u64,
}

/// Why a module cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The text is not PTX.
    #[error("{0}")]
    Parse(#[from] crate::ptx::ParseError),
    /// An instruction (or a use of one) that the emulator does not know.
    #[error("{0}")]
    Decode(#[from] DecodeError),
    /// A variable's initialiser cannot be made.
    #[error("{0}")]
    Initialiser(String),
}

/// A loaded module.
pub struct Program {
    kernels: HashMap<String, Arc<Kernel>>,
    /// The module's variables in global and constant memory.
    pub variables: Vec<VariableInfo>,
    /// What the loader must write there: the address and the bytes of each.
    pub images: Vec<(u64, Vec<u8>)>,
}

impl Program {
    /// Parses and decodes PTX text.
    ///
    /// `place` gives each `.global` and `.const` variable its device address;
    /// afterwards the caller writes [`Program::images`] there.
    pub fn load(ptx: &str, place: &mut dyn FnMut(&ast::Variable) -> u64) -> Result<Self, LoadError> {
        let module = &crate::ptx::parse(ptx)?;
        let mut variables = Vec::new();
        for v in &module.variables {
            if matches!(v.space, ast::Space::Global | ast::Space::Const) {
                variables.push(VariableInfo {
                    name: v.name.clone(),
                    address: place(v),
                    size: super::size_of(v),
                });
            }
        }
        let address_of = |symbol: &str| variables.iter().find(|i| i.name == symbol).map(|i| i.address);
        let functions = reach::functions(module);
        let resolve = |symbol: &str| {
            let function = || functions.get(symbol).map(|f| reach::function_address(module, f));
            address_of(symbol).or_else(function)
        };
        let mut images = Vec::new();
        for v in &module.variables {
            if let Some(address) = address_of(&v.name) {
                let bytes = super::initial_bytes(v, resolve).map_err(LoadError::Initialiser)?;
                images.push((address, bytes));
            }
        }
        let file_count = module.files.iter().map(|(i, _)| *i as usize + 1).max().unwrap_or(0);
        let mut files = vec![String::new(); file_count];
        for (index, path) in &module.files {
            files[*index as usize] = path.clone();
        }
        let source = Arc::new(Source { text: ptx.lines().map(str::to_owned).collect(), files });
        let mut kernels = HashMap::new();
        for f in module.functions.iter().filter(|f| f.is_entry && f.body.is_some()) {
            let kernel = Decoder::kernel(module, f, &variables, source.clone())?;
            kernels.insert(f.name.clone(), Arc::new(kernel));
        }
        Ok(Self { kernels, variables, images })
    }

    /// A kernel by name.
    pub fn kernel(&self, name: &str) -> Option<Arc<Kernel>> {
        self.kernels.get(name).cloned()
    }

    /// All kernels' names, sorted.
    pub fn kernel_names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.kernels.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }
}
