//! What asks for more than there is: refused when it is loaded, with the limit's name, and its twin at the limit.

use cuda_emulator::code::{Kernel, Program};
use std::sync::Arc;

use crate::device::Device;

fn load(before: &str, parameters: &str, body: &str) -> Result<Arc<Kernel>, String> {
    let ptx = format!(
        ".version 8.7\n.target sm_90a\n.address_size 64\n{before}\n.visible .entry k({parameters})\n\
         .maxntid 65536, 65536, 3\n{{\n.reg .b32 %r<2>;\n.reg .b64 %l<2>;\n{body}\nret;\n}}\n"
    );
    let program = Program::load(&ptx, &mut |_| 0x10000).map_err(|error| error.to_string())?;
    Ok(program.kernel("k").expect("it is there"))
}

#[track_caller]
fn refused(result: Result<Arc<Kernel>, String>, text: &str) {
    let error = result.err().expect("it was taken");
    assert!(error.contains(text), "{error}");
}

#[test]
fn local_memory() {
    let local = |bytes: u64| load("", "", &format!(".local .align 16 .b8 a[16];\n.local .b8 b[{bytes}];"));
    assert_eq!(local(524_272).unwrap().local_bytes, 524_288);
    for bytes in [524_273, 1 << 32, 1 << 48] {
        refused(local(bytes), "where a thread has 524288 at most");
    }
    refused(
        load("", "", ".local .b8 a[1];\n.local .align 2147483648 .b8 b[1];"),
        "where a thread has 524288 at most",
    );
    // The parameters of a function are local memory as well.
    let function = ".func f(.param .b8 x[4294967300])\n{\nret;\n}";
    let call = "{\n.param .b8 x[4];\ncall f, (x);\n}";
    refused(load(function, "", call), "where a thread has 524288 at most");
    assert!(load(&function.replace("4294967300", "4"), "", call).is_ok());
}

#[test]
fn parameters() {
    let parameters = |bytes: u64| load("", &format!(".param .b32 a, .param .b8 b[{bytes}]"), "");
    assert_eq!(parameters(32_760).unwrap().param_bytes, 32_764);
    for bytes in [32_761, 1 << 32, 1 << 48] {
        refused(parameters(bytes), "where a kernel has 32764 at most");
    }
}

#[test]
fn shared_memory() {
    let shared = |bytes: u64| load(&format!(".shared .b8 s[{bytes}];"), "", "mov.u32 %r0, s;");
    assert_eq!(shared(227 << 10).unwrap().static_shared, 227 << 10);
    for bytes in [(227 << 10) + 1, 1 << 32, 1 << 48] {
        refused(shared(bytes), "where a block has 232448 at most");
    }
    // So many that their sum would overflow, if nothing stopped it.
    let many: String = (0..1 << 17).map(|i| format!(".shared .b8 s{i}[281474976710656];\n")).collect();
    refused(load("", "", &many), "where a block has 232448 at most");
    let far = ".extern .shared .align 2147483648 .b8 s[];";
    refused(load(far, "", "mov.u32 %r0, s;"), "where a block has 232448 at most");
}

/// No sum of static and dynamic shared memory overflows.
#[test]
fn dynamic_shared_memory() {
    let kernel = load(".shared .b8 s[100];", "", "mov.u32 %r0, s;").unwrap();
    assert_eq!(kernel.shared_bytes(16), 128);
    assert_eq!(kernel.shared_bytes(u32::MAX), u32::MAX);
    assert_eq!(kernel.max_threads, Some(u32::MAX));
}

/// Addresses are aligned, also to more than where they start.
#[test]
fn alignment() {
    let body = "
        ld.param.u64 %l0, [out];
        mov.u32 %r0, a;
        mov.u32 %r1, b;
        st.global.v2.u32 [%l0], {%r0, %r1};
        mov.u32 %r0, c;
        st.shared.u32 [c+4], %r0;
        ld.shared.u32 %r0, [c+4];
        st.global.u32 [%l0+8], %r0;";
    let mut device = Device::new(&format!(
        ".version 8.7\n.target sm_90a\n.address_size 64\n.shared .b8 a[4];\n.shared .align 4096 .b8 b[4];\n\
         .visible .entry k(.param .u64 out)\n{{\n.shared .align 2048 .b8 c[8];\n\
         .reg .b32 %r<2>;\n.reg .b64 %l<2>;\n{body}\nret;\n}}\n"
    ));
    let out = device.put(&[0u32; 3]);
    device.launch("k", [1; 3], [1; 3], &[out], 0).unwrap_or_else(|finding| panic!("{finding}"));
    let at: Vec<u32> = device.get(out, 3);
    assert_eq!([at[1] % 4096, at[2] % 2048], [0, 0], "{at:?}");
    assert!(at[0] >= 1024 && at[1] >= at[0] + 4 && at[2] >= at[1] + 4, "{at:?}");
}

#[test]
fn registers() {
    let registers = |text: &str| load("", "", &format!(".reg {text};"));
    assert!(registers(".b32 %z<1000000>").is_ok());
    for text in
        [".b32 %z<4294967295>", ".v4 .b32 %z<300000>", ".b32 %z<1048577>", ".b32 %z<600000>, %y<600000>"]
    {
        refused(registers(text), "declares more than 1048576 registers");
    }
}

#[test]
fn lists() {
    let targets = |count: usize| {
        let labels = vec!["L"; count].join(", ");
        load("", "", &format!("ts: .branchtargets {labels};\nmov.u32 %r0, 0;\nbrx.idx %r0, ts;\nL:"))
    };
    assert!(targets(65_535).is_ok());
    refused(targets(65_536), "a list of more than 65535");
}
