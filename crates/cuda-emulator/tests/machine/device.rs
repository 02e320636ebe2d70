//! A device for tests of the machine: memory, programs and launches without a
//! driver around them.

use std::sync::{Arc, Mutex};

use cuda_emulator::code::Program;
use cuda_emulator::counters::Counters;
use cuda_emulator::machine::{self, Launch};
use cuda_emulator::memory::{DeviceMemory, RegionKind};
use cuda_emulator::numeric::tensor_core::Arithmetic;
use cuda_emulator::verdict::Finding;

/// A type that memory can hold as it is.
///
/// # Safety
/// Any bits are a value of it, and it has no padding.
pub unsafe trait Plain: Copy + Default {}

macro_rules! plain {
    ($($ty:ty)*) => {$(
        // SAFETY: a number.
        unsafe impl Plain for $ty {}
    )*};
}

plain!(u8 u16 u32 u64 i32 i64 f32 f64);

/// Memory and a program in it.
pub struct Device {
    memory: DeviceMemory,
    program: Program,
    /// Dynamic shared memory of the launches.
    pub dynamic_shared: u32,
    /// How tensor cores add.
    pub arithmetic: Arithmetic,
    /// Blocks that fit at a time.
    pub resident: u32,
    /// Launches may begin before those ahead have ended,
    pub overlaps: bool,
    /// which write these allocations.
    pub unready: Vec<u64>,
    /// Threads of the host, or 0.
    pub threads: usize,
    /// Blocks of a cluster.
    pub cluster: [u32; 3],
    printed: Arc<Mutex<Vec<String>>>,
}

impl Device {
    /// A device with this PTX loaded.
    pub fn new(ptx: &str) -> Self {
        let mut memory = DeviceMemory::new(1, 1 << 30).expect("address space");
        let program = Program::load(ptx, &mut |v| {
            let kind = match v.space {
                cuda_emulator::ptx::ast::Space::Const => RegionKind::Constant,
                _ => RegionKind::Global,
            };
            memory.alloc(0, cuda_emulator::code::size_of(v).max(1), kind).expect("memory")
        })
        .unwrap_or_else(|e| panic!("{e}"));
        for (address, image) in &program.images {
            // SAFETY: the image is as long as it says.
            unsafe { memory.write(*address, image.as_ptr(), image.len() as u64) }.expect("in bounds");
        }
        Self {
            memory,
            program,
            dynamic_shared: 0,
            arithmetic: Arithmetic::Hardware,
            resident: 64,
            overlaps: false,
            unready: Vec::new(),
            threads: 0,
            cluster: [1; 3],
            printed: Arc::default(),
        }
    }

    /// `bytes` of undefined memory.
    pub fn alloc(&mut self, bytes: u64) -> u64 {
        self.memory.alloc(0, bytes, RegionKind::Device).expect("memory")
    }

    /// Memory that holds `values`.
    pub fn put<T: Plain>(&mut self, values: &[T]) -> u64 {
        let address = self.alloc(size_of_val(values) as u64);
        self.set(address, values);
        address
    }

    /// Writes values.
    pub fn set<T: Plain>(&self, address: u64, values: &[T]) {
        // SAFETY: the slice is as long as it says.
        unsafe { self.memory.write(address, values.as_ptr().cast(), size_of_val(values) as u64) }
            .expect("in bounds");
    }

    /// The `count` values at an address.
    pub fn get<T: Plain>(&self, address: u64, count: usize) -> Vec<T> {
        let mut values = vec![T::default(); count];
        let bytes = size_of_val(values.as_slice()) as u64;
        // SAFETY: the vector has room for them.
        unsafe { self.memory.read(address, values.as_mut_ptr().cast(), bytes) }.expect("in bounds");
        values
    }

    /// Offset of the first undefined byte of a range.
    pub fn first_undefined(&self, address: u64, bytes: u64) -> Option<u64> {
        self.memory.first_undefined(address, bytes).expect("in bounds").map(|first| first - address)
    }

    /// Frees memory.
    pub fn free(&mut self, address: u64) {
        self.memory.free(address).expect("allocated");
    }

    /// Runs a kernel. Each argument is one parameter, its low bytes as many as the parameter has.
    pub fn launch(
        &mut self,
        kernel: &str,
        grid: [u32; 3],
        block: [u32; 3],
        arguments: &[u64],
        seed: u64,
    ) -> Result<Counters, Box<Finding>> {
        let kernel = self.program.kernel(kernel).unwrap_or_else(|| panic!("no kernel {kernel}"));
        assert_eq!(kernel.params.len(), arguments.len(), "arguments of {}", kernel.name);
        let mut params = vec![0; kernel.param_bytes as usize];
        for (p, value) in kernel.params.iter().zip(arguments) {
            let (at, size) = (p.offset as usize, p.size as usize);
            params[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
        }
        let printed = self.printed.clone();
        machine::run(&Launch {
            kernel,
            grid,
            block,
            cluster: self.cluster,
            dynamic_shared: self.dynamic_shared,
            params,
            memory: self.memory.map(0),
            resident: self.resident,
            overlaps: self.overlaps,
            unready: self.unready.clone(),
            written: Mutex::default(),
            print: Box::new(move |text| printed.lock().expect("printing").push(text.to_owned())),
            seed,
            threads: self.threads,
            arithmetic: self.arithmetic,
            ledger: Some(Arc::default()),
            earlier: Arc::default(),
        })
    }

    /// What was printed since the last call.
    pub fn printed(&self) -> Vec<String> {
        std::mem::take(&mut self.printed.lock().expect("printing"))
    }
}
