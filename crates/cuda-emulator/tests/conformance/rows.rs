//! Instructions of whole warps: the registers of 32 lanes in, the registers of 32 lanes out.

use std::ffi::{CString, c_void};
use std::fmt::Write;
use std::ptr;

use cudarc::driver::sys::{self, CUresult};

use super::instruction::{context, ok};

/// A register of a warp.
pub type Row = [u32; 32];

/// Runs `code` in warps. In each, `%r0`, `%r1`, ... hold the rows of its input;
/// what the code leaves in `%d0` to `%d<outputs - 1>` is given back. `memory` is 4 KiB
/// of shared memory for each warp, its address in `%s`; `%lane`, `%p<4>`, `%t<8>`
/// and `%l<4>` are free to use.
pub fn run(code: &str, inputs: &[Vec<Row>], outputs: usize) -> Vec<Vec<Row>> {
    let registers = inputs[0].len();
    let text = CString::new(program(code, registers, outputs)).expect("no NUL in PTX");
    let words: Vec<u32> = inputs.iter().flatten().flatten().copied().collect();
    let mut results = vec![0u32; inputs.len() * outputs * 32];
    context();
    // SAFETY: every call is given what the API asks for; buffers are as long as the copies say.
    unsafe {
        let mut module = ptr::null_mut();
        assert_eq!(
            sys::cuModuleLoadData(&mut module, text.as_ptr().cast()),
            CUresult::CUDA_SUCCESS,
            "this does not load:\n{}",
            text.to_string_lossy()
        );
        let mut function = ptr::null_mut();
        ok(sys::cuModuleGetFunction(&mut function, module, c"test".as_ptr()));
        let (mut input, mut output) = (0, 0);
        ok(sys::cuMemAlloc_v2(&mut input, size_of_val(&words[..]).max(4)));
        ok(sys::cuMemAlloc_v2(&mut output, size_of_val(&results[..])));
        ok(sys::cuMemcpyHtoD_v2(input, words.as_ptr().cast(), size_of_val(&words[..])));
        let mut arguments: [*mut c_void; 2] = [(&raw mut input).cast(), (&raw mut output).cast()];
        let (grid, stream) = (inputs.len() as u32, ptr::null_mut());
        let arguments = arguments.as_mut_ptr();
        ok(sys::cuLaunchKernel(function, grid, 1, 1, 32, 1, 1, 0, stream, arguments, ptr::null_mut()));
        ok(sys::cuMemcpyDtoH_v2(results.as_mut_ptr().cast(), output, size_of_val(&results[..])));
        ok(sys::cuMemFree_v2(input));
        ok(sys::cuMemFree_v2(output));
        ok(sys::cuModuleUnload(module));
    }
    results.as_chunks::<32>().0.chunks(outputs).map(<[Row]>::to_vec).collect()
}

fn program(code: &str, inputs: usize, outputs: usize) -> String {
    let mut text = format!(
        ".version 8.7\n.target sm_90a\n.address_size 64\n\n\
         .visible .entry test(.param .u64 in, .param .u64 out)\n{{\n\
         .shared .align 1024 .b8 memory[4096];\n\
         .reg .pred %p<4>;\n.reg .b32 %r<{}>, %d<{outputs}>, %t<8>, %s, %lane, %warp;\n.reg .b64 %l<4>, %at;\n\
         mov.u32 %s, memory;\nmov.u32 %lane, %laneid;\nmov.u32 %warp, %ctaid.x;\n",
        inputs.max(1)
    );
    let place = |text: &mut String, parameter: &str, registers: usize| {
        let _ = write!(
            text,
            "ld.param.u64 %at, [{parameter}];\nmad.wide.u32 %at, %warp, {}, %at;\nmad.wide.u32 %at, %lane, 4, %at;\n",
            128 * registers
        );
    };
    place(&mut text, "in", inputs);
    for i in 0..inputs {
        let _ = writeln!(text, "ld.global.b32 %r{i}, [%at+{}];", 128 * i);
    }
    let _ = writeln!(text, "{{\n{code}\n}}");
    place(&mut text, "out", outputs);
    for i in 0..outputs {
        let _ = writeln!(text, "st.global.b32 [%at+{}], %d{i};", 128 * i);
    }
    text.push_str("ret;\n}\n");
    text
}

/// `%r0, %r1, ...`: a list of registers.
pub fn list(name: &str, first: usize, count: usize) -> String {
    let names: Vec<String> = (first..first + count).map(|i| format!("%{name}{i}")).collect();
    format!("{{{}}}", names.join(", "))
}
