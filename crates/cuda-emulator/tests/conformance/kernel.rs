//! A kernel of one's own text: bytes go in, bytes come out.

use std::ffi::{CString, c_void};
use std::ptr;

use cudarc::driver::sys::{self, CUresult};

use super::instruction::{context, ok};

/// What an output buffer holds before a kernel writes to it.
pub const UNTOUCHED: u8 = 0xee;

/// How a kernel is launched.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub grid: [u32; 3],
    pub block: [u32; 3],
    /// Bytes of dynamic shared memory.
    pub shared: u32,
}

impl Shape {
    /// One block of so many threads.
    pub fn threads(threads: u32) -> Self {
        Self { grid: [1; 3], block: [threads, 1, 1], shared: 0 }
    }
}

/// A module whose kernel `test` executes `code`. It finds its buffers at `%in`
/// and `%out`, a copy of 128 bytes of the input in the parameter `bytes`, and its
/// number in the block in `%t`, in 64 bits in `%n`. `%p<8>`, `%b<16>`, `%h<16>`,
/// `%r<16>`, `%l<16>`, `%q<4>` are free for it: predicates and 8 to 128 bits.
pub fn module(declarations: &str, code: &str) -> String {
    format!(
        ".version 8.7\n.target sm_90a\n.address_size 64\n\n{declarations}\n\
         .visible .entry test(.param .u64 in, .param .u64 out, .param .align 16 .b8 bytes[128])\n{{\n\
         .reg .pred %p<8>;\n.reg .b8 %b<16>;\n.reg .b16 %h<16>;\n.reg .b32 %r<16>, %t, %s;\n\
         .reg .b64 %l<16>, %n, %in, %out;\n.reg .b128 %q<4>;\n\
         ld.param.u64 %in, [in];\nld.param.u64 %out, [out];\n\
         mov.u32 %t, %tid.x;\nmov.u32 %r0, %tid.y;\nmov.u32 %r1, %ntid.x;\nmad.lo.u32 %t, %r0, %r1, %t;\n\
         cvt.u64.u32 %n, %t;\n\
         {{\n{code}\n}}\nret;\n}}\n"
    )
}

/// What the kernel `test` of a module leaves in an output of so many bytes.
#[track_caller]
pub fn launch(ptx: &str, shape: Shape, input: &[u8], output: usize) -> Vec<u8> {
    context();
    let text = CString::new(ptx).expect("no NUL in PTX");
    let mut result = vec![UNTOUCHED; output];
    let mut bytes = [0u8; 128];
    let passed = input.len().min(bytes.len());
    bytes[..passed].copy_from_slice(&input[..passed]);
    // SAFETY: every call is given what the API asks for; buffers are as long as the copies say.
    unsafe {
        let (mut module, mut function) = (ptr::null_mut(), ptr::null_mut());
        assert_eq!(
            sys::cuModuleLoadData(&mut module, text.as_ptr().cast()),
            CUresult::CUDA_SUCCESS,
            "this does not load:\n{ptx}"
        );
        ok(sys::cuModuleGetFunction(&mut function, module, c"test".as_ptr()));
        let (mut from, mut to) = (0, 0);
        ok(sys::cuMemAlloc_v2(&mut from, input.len().max(1)));
        ok(sys::cuMemcpyHtoD_v2(from, input.as_ptr().cast(), input.len()));
        ok(sys::cuMemAlloc_v2(&mut to, output));
        ok(sys::cuMemcpyHtoD_v2(to, result.as_ptr().cast(), output));
        let mut arguments: [*mut c_void; 3] =
            [(&raw mut from).cast(), (&raw mut to).cast(), bytes.as_mut_ptr().cast()];
        let ([gx, gy, gz], [bx, by, bz]) = (shape.grid, shape.block);
        ok(sys::cuLaunchKernel(
            function,
            gx,
            gy,
            gz,
            bx,
            by,
            bz,
            shape.shared,
            ptr::null_mut(),
            arguments.as_mut_ptr(),
            ptr::null_mut(),
        ));
        ok(sys::cuMemcpyDtoH_v2(result.as_mut_ptr().cast(), to, output));
        [from, to].into_iter().for_each(|buffer| ok(sys::cuMemFree_v2(buffer)));
        ok(sys::cuModuleUnload(module));
    }
    result
}

/// What `code` leaves in an output of so many bytes, executed by one block.
#[track_caller]
pub fn bytes(threads: u32, code: &str, input: &[u8], output: usize) -> Vec<u8> {
    launch(&module("", code), Shape::threads(threads), input, output)
}

/// Holds that a module does not load with `code` in its kernel: the target has
/// no such instruction.
#[track_caller]
pub fn refused(declarations: &str, code: &str) {
    context();
    let ptx = format!("// refused\n{}", module(declarations, code));
    let text = CString::new(ptx).expect("no NUL in PTX");
    let mut module = ptr::null_mut();
    // SAFETY: called as the API asks.
    let result = unsafe { sys::cuModuleLoadData(&mut module, text.as_ptr().cast()) };
    assert_ne!(result, CUresult::CUDA_SUCCESS, "this is taken for something:\n{code}");
}
