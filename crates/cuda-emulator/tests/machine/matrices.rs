//! What can be wrong with instructions on matrices, each with its correct twin; what
//! they make of undefined elements; and registers that are used late.
//!
//! The line at which a bug must be reported is marked `// HERE`.

use cuda_emulator::verdict::{Access, Finding, Nearest, Use, Verdict};

use crate::device::Device;

/// A module with a kernel `test(out)` whose blocks have 4 KiB of shared memory,
/// zeroed by the first 128 threads (the first 3 KiB of it) before `body`.
fn module(functions: &str, body: &str) -> String {
    format!(
        ".version 8.7\n.target sm_90a\n.address_size 64\n{functions}
        .visible .entry test(.param .u64 p_out)
        {{
            .shared .align 1024 .b8 memory[4096];
            .reg .pred %p<4>, %start;
            .reg .b32 %t, %m, %v, %r<16>;
            .reg .f32 %d<8>, %z;
            .reg .b64 %out, %a, %b, %l<4>;
            ld.param.u64 %out, [p_out];
            mov.u32 %t, %tid.x;
            mov.u32 %m, memory;
            mov.u32 %v, 0;
            mov.f32 %z, 0f00000000;
            mov.f32 %d0, %z;
            mov.f32 %d1, %z;
            mov.f32 %d2, %z;
            mov.f32 %d3, %z;
            setp.ne.u32 %start, %v, 1;
            mad.lo.u32 %r0, %t, 24, %m;
            setp.lt.u32 %p0, %t, 128;
            @%p0 st.shared.v2.b32 [%r0], {{%v, %v}};
            @%p0 st.shared.v2.b32 [%r0+8], {{%v, %v}};
            @%p0 st.shared.v2.b32 [%r0+16], {{%v, %v}};
            fence.proxy.async;
            bar.sync 0;
            // A: 64 rows; B: 8 columns, a row of 32 bytes each, without a swizzle.
            mov.b64 %a, {:#x};
            mov.b64 %b, {:#x};
            {body}
            mad.wide.u32 %l0, %t, 4, %out;
            st.global.f32 [%l0], %d0;
            ret;
        }}",
        descriptor(0x400, 128, 256, 0, 0),
        descriptor(0x400 + 2048, 128, 256, 0, 0),
    )
}

/// A matrix descriptor.
fn descriptor(start: u64, leading: u64, stride: u64, base: u64, mode: u64) -> u64 {
    start >> 4 | leading >> 4 << 16 | stride >> 4 << 32 | base << 49 | mode << 62
}

const MULTIPLY: &str = "
    wgmma.fence.sync.aligned;
    wgmma.mma_async.sync.aligned.m64n8k32.f32.e4m3.e4m3 {%d0, %d1, %d2, %d3}, %a, %b, %start, 1, 1; // HERE
    wgmma.commit_group.sync.aligned;
    wgmma.wait_group.sync.aligned 0;";

fn run(functions: &str, body: &str, threads: u32) -> (Device, u64, Result<(), Box<Finding>>) {
    let mut device = Device::new(&module(functions, body));
    let out = device.alloc(4 * u64::from(threads));
    let result = device.launch("test", [1; 3], [threads, 1, 1], &[out], 0).map(drop);
    (device, out, result)
}

/// What is found, at the marked line.
#[track_caller]
fn found(body: &str, threads: u32) -> Box<Finding> {
    let finding = run("", body, threads).2.expect_err("the bug was not found");
    assert!(finding.place.ptx.contains("// HERE"), "{finding}");
    finding
}

#[track_caller]
fn passes(body: &str, threads: u32) {
    if let Err(finding) = run("", body, threads).2 {
        panic!("{finding}");
    }
}

/// The matrices with other descriptors.
fn with(a: u64, b: u64) -> String {
    format!("mov.b64 %a, {a:#x};\nmov.b64 %b, {b:#x};\n{MULTIPLY}")
}

// ---- Descriptors --------------------------------------------------------------------------

#[test]
fn matrices_outside_shared_memory() {
    passes(MULTIPLY, 128);
    let (a, b) = (descriptor(0x400, 128, 256, 0, 0), descriptor(0xc00, 128, 256, 0, 0));
    passes(&with(a, b), 128);
    // 8 columns of B, and the second piece of each 128 bytes on.
    for (b, address, distance) in [
        (descriptor(0x1380, 128, 256, 0, 0), 0x1400, 16),
        (descriptor(0x1000, 0x3000, 0, 0, 0), 0x4000, 0x2c10),
    ] {
        let finding = found(&with(a, b), 128);
        let expected = Verdict::OutOfBounds {
            access: Access::Read,
            space: "shared".into(),
            address,
            size: 16,
            nearest: Nearest::Past { distance, base: 0x400, len: 4096 },
        };
        assert_eq!(finding.verdict, expected);
    }
    // Rows of A that only the last warp reads.
    let finding = found(&with(descriptor(0x400 + 4096 - 7 * 256, 128, 256, 0, 0), b), 128);
    assert_eq!(finding.place.warp, 3);
    // Below.
    let finding = found(&with(descriptor(0x3f0, 128, 256, 0, 0), b), 128);
    assert!(matches!(finding.verdict, Verdict::OutOfBounds { address: 0x3f0, .. }), "{finding}");
}

#[test]
fn matrices_misplaced_for_their_swizzle() {
    let b = descriptor(0xc00, 0, 256, 0, 3);
    for (start, mode, base, expected) in [
        (0x400, 1, 0, ""),
        (0x420, 1, 0, ""),
        (0x480, 1, 1, ""),
        (0x480, 1, 0, "starts 128 bytes into the pattern of 1024 bytes"),
        (0x400, 1, 2, "its base offset says 256"),
        (0x470, 1, 0, "starts 112 bytes into a row of a 128-byte swizzle"),
        (0x440, 2, 0, "starts 64 bytes into the pattern of 512 bytes"),
        (0x4a0, 3, 0, "starts 160 bytes into the pattern of 256 bytes"),
        (0x500, 3, 0, ""),
    ] {
        let a = descriptor(start, 0, 256, base, mode);
        if expected.is_empty() {
            passes(&with(a, b), 128);
            continue;
        }
        let finding = found(&with(a, b), 128);
        let Verdict::Descriptor { matrix, bits, .. } = &finding.verdict else { panic!("{finding}") };
        assert_eq!((matrix.as_str(), *bits), ("A", a));
        assert!(finding.to_string().contains(expected), "{finding}");
    }
    let finding = found(&with(b, descriptor(0x420, 0, 256, 0, 3)), 128);
    assert!(matches!(&finding.verdict, Verdict::Descriptor { matrix, .. } if matrix == "B"), "{finding}");
}

// ---- Who executes -------------------------------------------------------------------------

#[test]
fn operands_that_are_not_the_same_in_all_lanes() {
    for (change, what) in [
        ("cvt.u64.u32 %l1, %t; and.b64 %l1, %l1, 1; add.u64 %b, %b, %l1;", "matrix descriptor"),
        ("setp.lt.u32 %start, %t, 5;", "scale-d"),
    ] {
        let finding = found(&format!("{change}\n{MULTIPLY}"), 128);
        let Verdict::Operand { problem } = &finding.verdict else { panic!("{finding}") };
        assert!(problem.contains(what), "{finding}");
    }
    // Each warp may have its own.
    passes(&format!("setp.lt.u32 %start, %t, 32;\n{MULTIPLY}"), 128);
}

#[test]
fn undefined_operands() {
    for (change, used_as) in [
        (".reg .b64 %never; mov.b64 %a, %never;", Use::Address),
        (".reg .pred %never; and.pred %start, %start, %never;", Use::Control),
    ] {
        let finding = found(&format!("{{\n{change}\n{MULTIPLY}\n}}"), 128);
        assert!(
            matches!(&finding.verdict, Verdict::Undefined { used_as: found, .. } if *found == used_as),
            "{finding}"
        );
    }
}

#[test]
fn warpgroups_are_whole() {
    passes(MULTIPLY, 256);
    for threads in [32, 96, 160] {
        let finding = found(MULTIPLY, threads);
        let Verdict::Operand { problem } = &finding.verdict else { panic!("{finding}") };
        assert!(problem.contains("four whole warps"), "{finding}");
    }
}

/// Instructions that need every lane of the warp.
const WHOLE: [&str; 7] = [
    "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%d0, %d1, %d2, %d3}, {%v, %v}, {%v}, {%d0, %d1, %d2, %d3};",
    "ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r1}, [%m];",
    "stmatrix.sync.aligned.m8n8.x1.shared.b16 [%m], {%v};",
    "movmatrix.sync.aligned.m8n8.trans.b16 %r1, %v;",
    "wgmma.fence.sync.aligned;",
    "wgmma.commit_group.sync.aligned;",
    "wgmma.wait_group.sync.aligned 0;",
];

#[test]
fn warps_are_whole() {
    for instruction in WHOLE {
        let marked = format!("{instruction} // HERE");
        // Each warp in its own memory.
        passes(&format!("shr.u32 %r2, %t, 5;\nmad.lo.u32 %m, %r2, 16, %m;\n{marked}"), 128);
        // A branch that only some lanes take.
        let branch = format!("setp.eq.u32 %p1, %t, 7;\n@%p1 bra SKIP;\n{marked}\nbar.warp.sync -1;\nSKIP:");
        let finding = found(&branch, 32);
        let Verdict::Divergence { came, .. } = finding.verdict else { panic!("{finding}") };
        assert_eq!(came, !(1 << 7), "{finding}");
        // Lanes that ended, and lanes that never were.
        let ended = found(&format!("setp.eq.u32 %p1, %t, 7;\n@%p1 exit;\n{marked}"), 32);
        let short = found(&marked, 40);
        for (finding, lanes) in [(ended, !(1u32 << 7)), (short, 0xff)] {
            let expected = Verdict::Divergence { needed: u32::MAX, came: lanes, stands: vec![] };
            assert_eq!(finding.verdict, expected, "{instruction}");
        }
    }
}

// ---- Addresses of rows ----------------------------------------------------------------------

#[test]
fn rows_of_small_matrices() {
    let load = |change: &str| {
        format!(
            "mov.u32 %r2, %m;\n{change}\nldmatrix.sync.aligned.m8n8.x2.shared.b16 {{%r3, %r4}}, [%r2]; // HERE"
        )
    };
    passes(&load(""), 32);
    // The lanes above 15 name no row.
    passes(&load("setp.eq.u32 %p1, %t, 16; @%p1 mov.u32 %r2, 3;"), 32);
    let finding = found(&load("setp.eq.u32 %p1, %t, 15; @%p1 add.u32 %r2, %r2, 8;"), 32);
    let expected =
        Verdict::Misaligned { access: Access::Read, space: "shared".into(), address: 0x408, align: 16 };
    assert_eq!((finding.verdict, finding.place.lanes), (expected, 1 << 15));
    let finding = found(&load("setp.eq.u32 %p1, %t, 3; @%p1 add.u32 %r2, %r2, 4096;"), 32);
    assert!(matches!(finding.verdict, Verdict::OutOfBounds { address: 0x1400, size: 16, .. }), "{finding}");
    let finding = found("stmatrix.sync.aligned.m8n8.x1.b16 [%out], {%v}; // HERE", 32);
    assert!(matches!(finding.verdict, Verdict::OutOfBounds { access: Access::Write, .. }), "{finding}");
    let undefined =
        "{ .reg .b32 %never; ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r1}, [%never]; // HERE\n }";
    let finding = found(undefined, 32);
    assert!(matches!(finding.verdict, Verdict::Undefined { used_as: Use::Address, .. }), "{finding}");
}

// ---- Definedness ----------------------------------------------------------------------------

/// Which lanes' results are undefined.
fn undefined_lanes(body: &str) -> u32 {
    let (device, out, result) = run("", body, 32);
    result.unwrap_or_else(|finding| panic!("{finding}"));
    (0..32).filter(|l| device.first_undefined(out + 4 * l, 4).is_some()).fold(0, |lanes, l| lanes | 1 << l)
}

#[test]
fn undefined_elements_of_mma() {
    let mma = "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%d0, %d1, %d2, %d3}, {%r1, %r2}, {%r3}, {%z, %z, %z, %d3};";
    let body = |register: &str, lane: u32| {
        format!(
            "mov.u32 %r1, 0; mov.u32 %r2, 0; mov.u32 %r3, 0;
            {{ .reg .b32 %never; setp.eq.u32 %p1, %t, {lane}; @%p1 mov.b32 {register}, %never; }}
            {mma}"
        )
    };
    assert_eq!(undefined_lanes(&body("%r5", 0)), 0);
    // %d0 is of row t / 4 and column 2 (t % 4): a row of A spoils four lanes of it, a column of B eight.
    assert_eq!(undefined_lanes(&body("%r1", 9)), 0xf << 8);
    assert_eq!(undefined_lanes(&body("%r2", 9)), 0, "that is of row 10");
    assert_eq!(undefined_lanes(&body("%r3", 8 + 3)), 0x2222_2222);
    assert_eq!(undefined_lanes(&body("%r3", 4 + 3)), 0, "odd columns are in %d1");
    assert_eq!(undefined_lanes(&body("%d3", 5)), 0);
    assert_eq!(undefined_lanes(&(body("%d3", 5) + "mov.f32 %d0, %d3;")), 1 << 5);
}

#[test]
fn undefined_elements_of_small_matrices() {
    // The last KiB of shared memory is not written, but for what is stored here.
    let rows = "mad.lo.u32 %r2, %t, 16, %m; setp.eq.u32 %p1, %t, 5; @%p1 add.u32 %r2, %r2, 3072;";
    let load = |trans: &str| {
        format!("{rows} ldmatrix.sync.aligned.m8n8.x1{trans}.shared.b16 {{%r3}}, [%r2]; mov.b32 %d0, %r3;")
    };
    assert_eq!(undefined_lanes(&load("")), 0xf << 20);
    // Transposed, row 5 is the upper half of every fourth lane's element from the third on.
    assert_eq!(undefined_lanes(&load(".trans")), 0x4444_4444);
    let back = "{ .reg .b32 %never; mov.u32 %r3, 0; setp.eq.u32 %p1, %t, 9; @%p1 mov.b32 %r3, %never; }
        stmatrix.sync.aligned.m8n8.x1.trans.shared.b16 [%r2], {%r3}; bar.warp.sync -1;
        mad.lo.u32 %r4, %t, 4, %m; ld.shared.b32 %r5, [%r4]; mov.b32 %d0, %r5;";
    // Lane 9 holds elements 2 and 3 of a row that becomes column 2: of rows 2 and 3, in their second word.
    assert_eq!(undefined_lanes(&format!("mad.lo.u32 %r2, %t, 16, %m; {back}")), 1 << 9 | 1 << 13);
}

// ---- Registers that are used late -------------------------------------------------------------

/// Fills A or B's memory with ones: rows of 32 bytes.
const ONES: &str = "mov.u32 %v, 0x38383838; mad.lo.u32 %r0, %t, 16, %m;
    st.shared.v4.b32 [%r0], {%v, %v, %v, %v};
    setp.lt.u32 %p1, %t, 16; @%p1 st.shared.v4.b32 [%r0+2048], {%v, %v, %v, %v};
    fence.proxy.async; bar.sync 0;";

#[track_caller]
fn all_are(functions: &str, body: &str, expected: f32) {
    let (device, out, result) = run(functions, &format!("{ONES}\n{body}"), 128);
    result.unwrap_or_else(|finding| panic!("{finding}"));
    assert_eq!(device.get::<f32>(out, 128), [expected; 128]);
}

#[test]
fn registers_of_operations_in_flight_are_not_given_to_others() {
    // After the operation nothing names A's registers again, and one accumulator is never read.
    let others: String = (0..40).map(|i| format!("add.u32 %x{}, %x{i}, 1;\n", i + 1)).collect();
    let body = format!(
        "{{ .reg .b32 %x<64>, %f<4>;
        mov.b32 %f0, %v; mov.b32 %f1, %v; mov.b32 %f2, %v; mov.b32 %f3, %v;
        wgmma.fence.sync.aligned;
        wgmma.mma_async.sync.aligned.m64n8k32.f32.e4m3.e4m3 {{%d0, %d1, %d2, %d3}}, {{%f0, %f1, %f2, %f3}}, %b, 1, 1, 1;
        wgmma.commit_group.sync.aligned;
        mov.u32 %x0, 7;
        {others}
        wgmma.wait_group.sync.aligned 0;
        setp.ne.u32 %p2, %x40, 47;
        @%p2 trap;
        }}"
    );
    all_are("", &body, 32.0);
}

#[test]
fn loops_and_functions() {
    // Groups in flight around a loop: each time the one before the last is waited for.
    let looped = "
        mov.u32 %r1, 0;
        LOOP:
        wgmma.fence.sync.aligned;
        wgmma.mma_async.sync.aligned.m64n8k32.f32.e4m3.e4m3 {%d0, %d1, %d2, %d3}, %a, %b, 1, 1, 1;
        wgmma.commit_group.sync.aligned;
        wgmma.wait_group.sync.aligned 1;
        add.u32 %r1, %r1, 1;
        setp.lt.u32 %p1, %r1, 10;
        @%p1 bra LOOP;
        wgmma.wait_group.sync.aligned 0;";
    all_are("", looped, 320.0);
    // A function's own operations, while one of the caller's is in flight.
    let function = "
        .func (.param .f32 sum) multiply(.param .b64 a, .param .b64 b)
        {
            .reg .f32 %d<4>;
            .reg .b64 %a, %b;
            ld.param.b64 %a, [a];
            ld.param.b64 %b, [b];
            wgmma.fence.sync.aligned;
            wgmma.mma_async.sync.aligned.m64n8k32.f32.e4m3.e4m3 {%d0, %d1, %d2, %d3}, %a, %b, 0, -1, 1;
            wgmma.commit_group.sync.aligned;
            wgmma.wait_group.sync.aligned 0;
            st.param.f32 [sum], %d0;
            ret;
        }";
    let call = "
        wgmma.fence.sync.aligned;
        wgmma.mma_async.sync.aligned.m64n8k32.f32.e4m3.e4m3 {%d0, %d1, %d2, %d3}, %a, %b, 0, 1, 1;
        wgmma.commit_group.sync.aligned;
        {
            .param .b64 a, b;
            .param .f32 sum;
            st.param.b64 [a], %a;
            st.param.b64 [b], %b;
            call (sum), multiply, (a, b);
            ld.param.f32 %d4, [sum];
        }
        wgmma.wait_group.sync.aligned 0;
        fma.rn.f32 %d0, %d4, 0f40000000, %d0;";
    all_are(function, call, 32.0 - 64.0);
    all_are(function, &format!("{call}\n{call}"), 32.0 - 64.0);
}
