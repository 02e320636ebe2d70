//! One instruction, run over many operands, a thread each.

use std::ffi::{CString, c_void};
use std::fmt::Debug;
use std::ptr;
use std::sync::OnceLock;

use cudarc::driver::sys::{self, CUresult};

/// A value that a register holds: its width in bytes, and its bits.
pub trait Bits: Copy + Debug {
    const BYTES: usize;
    fn from_bits(bits: u64) -> Self;
    fn bits(self) -> u64;
}

macro_rules! bits {
    ($($ty:ty: $bytes:literal, |$b:ident| $from:expr, |$v:ident| $to:expr;)*) => {$(
        impl Bits for $ty {
            const BYTES: usize = $bytes;
            fn from_bits($b: u64) -> Self { $from }
            fn bits(self) -> u64 { let $v = self; $to }
        }
    )*};
}

bits! {
    u8: 1, |b| b as u8, |v| v.into();
    u16: 2, |b| b as u16, |v| v.into();
    i16: 2, |b| b as i16, |v| (v as u16).into();
    u32: 4, |b| b as u32, |v| v.into();
    i32: 4, |b| b as i32, |v| (v as u32).into();
    u64: 8, |b| b, |v| v;
    i64: 8, |b| b as i64, |v| v as u64;
    f32: 4, |b| f32::from_bits(b as u32), |v| v.to_bits().into();
    f64: 8, |b| f64::from_bits(b), |v| v.to_bits();
    half::f16: 2, |b| half::f16::from_bits(b as u16), |v| v.to_bits().into();
    half::bf16: 2, |b| half::bf16::from_bits(b as u16), |v| v.to_bits().into();
    // A predicate comes out as a word.
    bool: 4, |b| b != 0, |v| v.into();
}

/// The operands of an instruction: the registers `%a`, `%b`, `%c` and `%e`.
pub trait Operands: Copy + Debug {
    /// Bytes of each.
    const BYTES: &'static [usize];
    /// Appends each one's bits to its column.
    fn push(self, columns: &mut [Vec<u64>]);
}

macro_rules! operands {
    ($($ty:ident)*) => {
        impl<$($ty: Bits),*> Operands for ($($ty,)*) {
            const BYTES: &'static [usize] = &[$($ty::BYTES),*];
            #[allow(non_snake_case)]
            fn push(self, columns: &mut [Vec<u64>]) {
                let ($($ty,)*) = self;
                for (column, bits) in columns.iter_mut().zip([$($ty.bits()),*]) {
                    column.push(bits);
                }
            }
        }
    };
}

operands!(A);
operands!(A B);
operands!(A B C);
operands!(A B C E);

/// Runs `code` with each of `inputs` in `%a`, `%b`, ... and compares what it
/// leaves in `%d`, bit for bit. `%p`, `%q`, `%h<4>`, `%r<4>` and `%l<4>` (predicates, 16,
/// 32 and 64 bits) are free for its use.
#[track_caller]
pub fn check<I: Operands, R: Bits>(
    code: &str,
    inputs: impl IntoIterator<Item = I>,
    definition: impl Fn(I) -> R,
) {
    let inputs: Vec<I> = inputs.into_iter().collect();
    let results = run::<I, R>(code, &inputs);
    let wrong: Vec<_> = inputs
        .iter()
        .zip(&results)
        .map(|(i, got)| (i, got.bits(), definition(*i).bits()))
        .filter(|(_, got, expected)| got != expected)
        .collect();
    if let Some((input, got, expected)) = wrong.first() {
        let (got_value, expected_value) = (R::from_bits(*got), R::from_bits(*expected));
        panic!(
            "{code}\n{input:?} ({})\n  gives {got:#x} ({got_value:?})\n  not   {expected:#x} ({expected_value:?})\n\
             {} of {} are wrong",
            hex(**input),
            wrong.len(),
            inputs.len()
        );
    }
}

/// The same where the definition leaves some freedom: `holds` says whether a
/// result is one of those allowed.
#[track_caller]
pub fn verify<I: Operands, R: Bits>(
    code: &str,
    inputs: impl IntoIterator<Item = I>,
    holds: impl Fn(I, R) -> bool,
) {
    let inputs: Vec<I> = inputs.into_iter().collect();
    let results = run::<I, R>(code, &inputs);
    let wrong: Vec<_> = inputs.iter().zip(&results).filter(|(i, got)| !holds(**i, **got)).collect();
    if let Some((input, got)) = wrong.first() {
        panic!(
            "{code}\n{input:?} ({})\n  gives {:#x} ({got:?}), which is not allowed\n{} of {} are wrong",
            hex(**input),
            got.bits(),
            wrong.len(),
            inputs.len()
        );
    }
}

/// What `code` leaves in `%d` for each of the inputs, in threads of whole warps:
/// thread `t` of the grid has input `t`.
#[track_caller]
pub fn run<I: Operands, R: Bits>(code: &str, inputs: &[I]) -> Vec<R> {
    let mut columns = vec![Vec::with_capacity(inputs.len()); I::BYTES.len()];
    inputs.iter().for_each(|i| i.push(&mut columns));
    let columns: Vec<(usize, Vec<u64>)> = I::BYTES.iter().copied().zip(columns).collect();
    execute(&program(code, I::BYTES, R::BYTES), &columns, inputs.len(), R::BYTES)
        .into_iter()
        .map(R::from_bits)
        .collect()
}

fn hex(input: impl Operands) -> String {
    let mut columns = vec![Vec::new(); 4];
    input.push(&mut columns);
    columns.iter().flatten().map(|bits| format!("{bits:#x}")).collect::<Vec<_>>().join(", ")
}

const NAMES: [&str; 4] = ["a", "b", "c", "e"];

/// A module whose kernel `test` runs the code once a thread.
fn program(code: &str, inputs: &[usize], output: usize) -> String {
    use std::fmt::Write;
    // Registers have at least 16 bits.
    let register = |bytes: usize| format!(".b{}", 8 * bytes.max(2));
    let mut text = String::from(".version 8.7\n.target sm_90a\n.address_size 64\n\n");
    let params: String = (0..=inputs.len()).map(|i| format!(".param .u64 p{i}, ")).collect();
    let _ = write!(
        text,
        ".visible .entry test({params}.param .u32 n)\n{{\n\
         .reg .pred %p, %q, %outside;\n.reg .b16 %h<4>;\n.reg .b32 %r<4>, %thread, %n;\n.reg .b64 %l<4>, %at;\n"
    );
    for (name, bytes) in NAMES.iter().zip(inputs) {
        let _ = writeln!(text, ".reg {} %{name};", register(*bytes));
    }
    let _ = write!(
        text,
        ".reg {} %d;\n\
         mov.u32 %thread, %ctaid.x;\nmov.u32 %n, %ntid.x;\nmov.u32 %r0, %tid.x;\n\
         mad.lo.u32 %thread, %thread, %n, %r0;\nld.param.u32 %n, [n];\n\
         setp.ge.u32 %outside, %thread, %n;\n@%outside bra DONE;\n",
        register(output)
    );
    let place = |text: &mut String, parameter: usize, bytes: usize| {
        let _ = write!(text, "ld.param.u64 %at, [p{parameter}];\nmad.wide.u32 %at, %thread, {bytes}, %at;\n");
    };
    for (i, (name, bytes)) in NAMES.iter().zip(inputs).enumerate() {
        place(&mut text, i, *bytes);
        let _ = writeln!(text, "ld.global.b{} %{name}, [%at];", 8 * bytes);
    }
    let _ = writeln!(text, "{{\n{code}\n}}");
    place(&mut text, inputs.len(), output);
    let _ = write!(text, "st.global.b{} [%at], %d;\nDONE:\nret;\n}}\n", 8 * output);
    text
}

/// One context for the process, made current on the calling thread.
pub fn context() {
    static CONTEXT: OnceLock<usize> = OnceLock::new();
    let context = *CONTEXT.get_or_init(|| {
        let request = std::env::var("DEEPKERN_DEVICE").ok();
        println!("{}", cuda_emulator::choose(request.as_deref()).unwrap_or_else(|e| panic!("{e}")));
        let mut context = ptr::null_mut();
        // SAFETY: called as the API asks.
        unsafe {
            ok(sys::cuInit(0));
            ok(sys::cuDevicePrimaryCtxRetain(&mut context, 0));
        }
        context as usize
    });
    // SAFETY: the context is never released.
    ok(unsafe { sys::cuCtxSetCurrent(context as sys::CUcontext) });
}

/// The call must have succeeded.
#[track_caller]
pub fn ok(result: CUresult) {
    assert_eq!(result, CUresult::CUDA_SUCCESS, "{:?}", cuda_emulator::findings());
}

/// Does a kernel with this code load? Its registers: `%p<4>`, `%h<9>`, `%r<9>`, `%l<9>` of 1 to 64 bits, `%f<9>`,
/// `%x<4>` of 128 bits.
pub fn loads(code: &str) -> bool {
    context();
    let text = format!(
        ".version 8.7\n.target sm_90a\n.address_size 64\n.visible .entry test()\n{{\n.reg .pred %p<4>;\n\
         .reg .b16 %h<9>;\n.reg .b32 %r<9>;\n.reg .b64 %l<9>;\n.reg .f32 %f<9>;\n.reg .b128 %x<4>;\n{code}\nret;\n}}\n"
    );
    let text = CString::new(text).expect("no NUL in PTX");
    let mut module = ptr::null_mut();
    // SAFETY: called as the API asks.
    unsafe {
        let result = sys::cuModuleLoadData(&mut module, text.as_ptr().cast());
        if result == CUresult::CUDA_SUCCESS {
            ok(sys::cuModuleUnload(module));
        }
        result == CUresult::CUDA_SUCCESS
    }
}

/// Runs the kernel over `n` threads: its inputs are columns of values, its
/// output another of `output` bytes each.
fn execute(ptx: &str, columns: &[(usize, Vec<u64>)], n: usize, output: usize) -> Vec<u64> {
    let mut buffers: Vec<Vec<u8>> = columns
        .iter()
        .map(|(width, values)| values.iter().flat_map(|v| v.to_le_bytes()[..*width].to_vec()).collect())
        .collect();
    buffers.push(vec![0; n * output]);
    launch(ptx, &mut buffers, n);
    let value = |bytes: &[u8]| bytes.iter().rev().fold(0, |v, b| v << 8 | u64::from(*b));
    buffers[columns.len()].chunks(output).map(value).collect()
}

/// Threads of a block.
pub const BLOCK: u32 = 128;

/// Loads `ptx` and runs its kernel `test` over `n` threads. Its parameters are
/// the addresses of the buffers, which then hold what the kernel left there,
/// and `n`.
#[track_caller]
pub fn launch(ptx: &str, buffers: &mut [Vec<u8>], n: usize) {
    context();
    let text = CString::new(ptx).expect("no NUL in PTX");
    // SAFETY: every call is given what the API asks for; buffers are as long as the copies say.
    unsafe {
        let mut module = ptr::null_mut();
        assert_eq!(
            sys::cuModuleLoadData(&mut module, text.as_ptr().cast()),
            CUresult::CUDA_SUCCESS,
            "this does not load:\n{ptx}"
        );
        let mut function = ptr::null_mut();
        ok(sys::cuModuleGetFunction(&mut function, module, c"test".as_ptr()));
        let mut addresses = Vec::new();
        for bytes in buffers.iter() {
            let mut address = 0;
            ok(sys::cuMemAlloc_v2(&mut address, bytes.len().max(1)));
            ok(sys::cuMemcpyHtoD_v2(address, bytes.as_ptr().cast(), bytes.len()));
            addresses.push(address);
        }
        let mut count = n as u32;
        let mut arguments: Vec<*mut c_void> =
            addresses.iter_mut().map(|a| (a as *mut u64).cast()).chain([(&raw mut count).cast()]).collect();
        let grid = (n as u32).div_ceil(BLOCK).max(1);
        let stream = ptr::null_mut();
        let arguments = arguments.as_mut_ptr();
        ok(sys::cuLaunchKernel(function, grid, 1, 1, BLOCK, 1, 1, 0, stream, arguments, ptr::null_mut()));
        for (address, bytes) in addresses.iter().zip(buffers) {
            // What comes of defined operands is defined.
            cuda_emulator::require_defined(*address, bytes.len() as u64)
                .unwrap_or_else(|f| panic!("{f}\n{ptx}"));
            ok(sys::cuMemcpyDtoH_v2(bytes.as_mut_ptr().cast(), *address, bytes.len()));
            ok(sys::cuMemFree_v2(*address));
        }
        ok(sys::cuModuleUnload(module));
    }
}
