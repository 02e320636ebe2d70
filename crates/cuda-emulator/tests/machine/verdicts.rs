//! The many ways to each kind of finding: small programs with a planted bug that is found, and
//! correct twins that pass. The line at which the bug must be reported is marked `// HERE`.
//! One program of each kind, with its whole message, is in `tests/fail/` (see `twins.rs`).

use cuda_emulator::verdict::{Access, Finding, Nearest, Use, Verdict};

use crate::device::Device;

/// A module with one kernel `test(a, b)`; `%rd1` and `%rd2` hold the
/// parameters, `%r1` the thread's index and `%rd3` four times that.
fn module(before: &str, body: &str) -> String {
    format!(
        ".version 9.0
        .target sm_90a
        .address_size 64
        {before}
        .visible .entry test(.param .u64 a, .param .u64 b)
        {{
            .reg .pred %p<8>;
            .reg .b16 %h<8>;
            .reg .b32 %r<16>;
            .reg .b64 %rd<16>;
            ld.param.u64 %rd1, [a];
            ld.param.u64 %rd2, [b];
            mov.u32 %r1, %tid.x;
            mul.wide.u32 %rd3, %r1, 4;
            {body}
            ret;
        }}"
    )
}

/// The device, the arguments and the outcome of one run.
type Run = (Device, [u64; 2], Result<(), Box<Finding>>);

/// Runs the kernel in one block under several seeds, with what `arguments` prepares.
fn run(ptx: &str, threads: u32, arguments: impl Fn(&mut Device) -> [u64; 2]) -> Vec<Run> {
    (0..6)
        .map(|seed| {
            let mut device = Device::new(ptx);
            let prepared = arguments(&mut device);
            let result = device.launch("test", [1; 3], [threads, 1, 1], &prepared, seed);
            (device, prepared, result.map(drop))
        })
        .collect()
}

/// The bug is found at the marked line, by these lanes, as what `expected`
/// makes of the arguments, with `text` in the message.
#[track_caller]
fn caught(
    ptx: &str,
    threads: u32,
    arguments: impl Fn(&mut Device) -> [u64; 2],
    lanes: u32,
    expected: impl Fn([u64; 2]) -> Verdict,
    text: &str,
) {
    for (_, arguments, result) in run(ptx, threads, arguments) {
        let finding = result.expect_err("the bug was not found");
        assert_eq!(finding.verdict, expected(arguments), "{finding}");
        at_mark(&finding, ptx);
        assert_eq!(finding.place.lanes, lanes, "{finding}");
        says(&finding, text);
    }
}

#[track_caller]
fn at_mark(finding: &Finding, ptx: &str) {
    assert!(finding.place.ptx.contains("// HERE"), "{finding}");
    let line = ptx.lines().position(|l| l.trim() == finding.place.ptx).expect("a line of the text");
    assert_eq!(finding.place.ptx_line as usize, line + 1, "{finding}");
    assert_eq!(finding.place.kernel, "test");
}

#[track_caller]
fn says(finding: &Finding, text: &str) {
    let message = finding.to_string();
    assert!(message.contains(text), "`{text}` is not in:\n{message}");
    assert!(message.starts_with(&format!("error[{}]: ", finding.verdict.kind())), "{message}");
}

/// Nothing is found.
#[track_caller]
fn passes(ptx: &str, threads: u32, arguments: impl Fn(&mut Device) -> [u64; 2]) -> Vec<(Device, [u64; 2])> {
    run(ptx, threads, arguments)
        .into_iter()
        .map(|(device, arguments, result)| {
            result.unwrap_or_else(|finding| panic!("{finding}"));
            (device, arguments)
        })
        .collect()
}

fn nothing(_: &mut Device) -> [u64; 2] {
    [0; 2]
}

/// An input of `N` zeros and an output of as many undefined words.
fn words<const N: usize>(device: &mut Device) -> [u64; 2] {
    [device.put(&[0u32; N]), device.alloc(4 * N as u64)]
}

/// Both undefined.
fn undefined_words(device: &mut Device) -> [u64; 2] {
    [device.alloc(128), device.alloc(128)]
}

// ---- Addresses -------------------------------------------------------------------------

#[test]
fn before_the_start() {
    let ptx = module("", "ld.u32 %r2, [%rd1+-4]; // HERE");
    let expected = |[a, _]: [u64; 2]| Verdict::OutOfBounds {
        access: Access::Read,
        space: "generic".into(),
        address: a - 4,
        size: 4,
        nearest: Nearest::Before { distance: 4, base: a, len: 124 },
    };
    caught(&ptx, 3, words::<31>, 1, expected, "4 bytes before an allocation of 124 bytes");
    passes(&ptx.replace("+-4", "+4"), 3, words::<31>);
}

#[test]
fn outside_shared_memory() {
    let ptx = module(
        "",
        ".shared .align 4 .b8 buffer[64];
        mov.u32 %r2, buffer;
        shl.b32 %r3, %r1, 2;
        add.u32 %r2, %r2, %r3;
        st.shared.u32 [%r2], %r1; // HERE",
    );
    let expected = |_| Verdict::OutOfBounds {
        access: Access::Write,
        space: "shared".into(),
        address: 0x400 + 64,
        size: 4,
        nearest: Nearest::Past { distance: 4, base: 0x400, len: 64 },
    };
    caught(&ptx, 32, nothing, 1 << 16, expected, "shared address 0x440 is out of bounds");
    passes(&ptx, 16, nothing);
}

#[test]
fn a_null_pointer_to_shared_memory() {
    let ptx =
        module("", ".shared .align 4 .b8 buffer[64];\n mov.u32 %r2, 0;\n ld.shared.u32 %r3, [%r2]; // HERE");
    let expected = |_| Verdict::OutOfBounds {
        access: Access::Read,
        space: "shared".into(),
        address: 0,
        size: 4,
        nearest: Nearest::Before { distance: 0x400, base: 0x400, len: 64 },
    };
    // The block's shared memory is that of the variables it names.
    let named = ptx.replace("mov.u32 %r2, 0;", "mov.u32 %r2, buffer; mov.u32 %r2, 0;");
    caught(&named, 1, nothing, 1, expected, "1024 bytes before");
    passes(&ptx.replace("mov.u32 %r2, 0;", "mov.u32 %r2, buffer;"), 1, nothing);
}

#[test]
fn outside_local_memory() {
    let ptx = module(
        "",
        ".local .align 16 .b8 frame[32];
        mov.u64 %rd4, frame;
        add.u64 %rd4, %rd4, %rd3;
        st.local.u32 [%rd4], %r1; // HERE",
    );
    let expected = |_| Verdict::OutOfBounds {
        access: Access::Write,
        space: "local".into(),
        address: 32,
        size: 4,
        nearest: Nearest::Past { distance: 4, base: 0, len: 32 },
    };
    caught(&ptx, 9, nothing, 1 << 8, expected, "local address 0x20 is out of bounds");
    passes(&ptx, 8, nothing);
}

#[test]
fn a_store_to_constants() {
    let constant = ".const .align 4 .u32 table[2] = {1, 2};";
    let ptx = module(constant, "mov.u64 %rd4, table;\n st.global.u32 [%rd4], %r1; // HERE");
    for (_, _, result) in run(&ptx, 1, nothing) {
        let finding = result.expect_err("the bug was not found");
        let Verdict::ReadOnly { space, address } = &finding.verdict else { panic!("{finding}") };
        assert_eq!(space, "global");
        assert_eq!(address % 512, 0);
        at_mark(&finding, &ptx);
        says(&finding, "which kernels may only read");
    }
    passes(&ptx.replace("st.global.u32 [%rd4], %r1", "ld.const.u32 %r2, [%rd4]"), 1, nothing);
}

// ---- Undefined values ------------------------------------------------------------------

fn undefined(used_as: Use, register: &str) -> impl Fn([u64; 2]) -> Verdict {
    move |_| Verdict::Undefined { used_as, register: register.to_owned() }
}

#[test]
fn an_undefined_branch() {
    let ptx = module(
        "",
        "add.u64 %rd4, %rd1, %rd3;
        ld.global.u32 %r2, [%rd4];
        mad.lo.u32 %r3, %r2, 5, %r1;
        setp.lt.s32 %p1, %r3, 7;
        @%p1 bra DONE; // HERE
        mov.u32 %r3, 0;
        DONE:",
    );
    let half = |device: &mut Device| {
        let a = device.alloc(128);
        device.set(a, &[1u32; 16]);
        [a, 0]
    };
    caught(
        &ptx,
        32,
        half,
        0xffff_0000,
        undefined(Use::Branch, "%p1"),
        "the branch depends on %p1, which is undefined",
    );
    passes(&ptx, 16, half);
    passes(&ptx, 32, words::<32>);
}

#[test]
fn an_undefined_guard() {
    let ptx = module(
        "",
        "ld.global.u32 %r2, [%rd1];\n setp.eq.u32 %p3, %r2, 0;\n @!%p3 st.global.u32 [%rd2], %r1; // HERE",
    );
    caught(&ptx, 1, undefined_words, 1, undefined(Use::Branch, "!%p3"), "depends on !%p3");
    passes(&ptx, 1, words::<1>);
}

#[test]
fn an_undefined_register() {
    let ptx = module("", "setp.eq.u32 %p1, %r9, 0;\n @%p1 bra DONE; // HERE\n DONE:");
    caught(&ptx, 1, nothing, 1, undefined(Use::Branch, "%p1"), "nothing has written");
    passes(&ptx.replace("setp", "mov.u32 %r9, 1;\n setp"), 1, nothing);
}

/// nvcc joins conditions so: where one side decides, the other one may be anything.
#[test]
fn an_undefined_side_of_a_condition() {
    let branch = "@%p3 bra DONE; // HERE\n DONE:";
    let ptx = |decides: &str, operation: &str| {
        let set = format!("setp.{decides}.u32 %p2, %r1, 99;\n setp.eq.u32 %p1, %r9, 0;");
        module("", &format!("{set}\n {operation}.pred %p3, %p1, %p2;\n {branch}"))
    };
    passes(&ptx("lt", "or"), 1, nothing);
    passes(&ptx("gt", "and"), 1, nothing);
    for (decides, operation) in [("gt", "or"), ("lt", "and"), ("lt", "xor"), ("gt", "xor")] {
        let found = undefined(Use::Branch, "%p3");
        caught(&ptx(decides, operation), 1, nothing, 1, found, "the branch depends on %p3");
    }
}

#[test]
fn an_undefined_control_operand() {
    let ptx = module("", "ld.global.u32 %r2, [%rd1];\n shfl.sync.idx.b32 %r3, %r1, %r2, 31, -1; // HERE");
    for (_, _, result) in run(&ptx, 32, undefined_words) {
        let finding = result.expect_err("the bug was not found");
        let Verdict::Undefined { used_as: Use::Control, .. } = finding.verdict else { panic!("{finding}") };
        at_mark(&finding, &ptx);
    }
    passes(&ptx, 32, words::<32>);
}

#[test]
fn undefined_values_may_be_copied() {
    // Through registers, vectors, arithmetic, a shuffle, shared and local memory.
    let ptx = module(
        "",
        ".shared .align 4 .b8 buffer[128];
        .local .align 8 .b8 frame[8];
        add.u64 %rd4, %rd1, %rd3;
        ld.global.u32 %r2, [%rd4];
        mov.b32 {%h1, %h2}, %r2;
        mov.b32 %r3, {%h1, %h2};
        shfl.sync.bfly.b32 %r4, %r3, 1, 31, -1;
        st.local.u32 [frame+4], %r4;
        ld.local.u32 %r5, [frame+4];
        mov.u32 %r6, buffer;
        shl.b32 %r7, %r1, 2;
        add.u32 %r6, %r6, %r7;
        st.shared.u32 [%r6], %r5;
        ld.shared.u32 %r8, [%r6];
        add.u64 %rd5, %rd2, %rd3;
        st.global.u32 [%rd5], %r8;",
    );
    let one_byte = |device: &mut Device| {
        let a = device.alloc(128);
        // All but the byte 41.
        device.set(a, &[7u8; 41]);
        device.set(a + 42, &[7u8; 86]);
        [a, device.alloc(128)]
    };
    for (device, [_, out]) in passes(&ptx, 32, one_byte) {
        // It came from lane 10 and went to lane 11.
        assert_eq!(device.first_undefined(out, 128), Some(45));
        assert_eq!(device.first_undefined(out + 46, 82), None);
    }
}

#[test]
fn what_is_defined_of_a_word_may_decide() {
    let ptx = module(
        "",
        "mov.u16 %h1, 5;
        st.global.u16 [%rd1], %h1;
        ld.global.u32 %r2, [%rd1];
        mov.b32 {%h2, %h3}, %r2;
        setp.eq.u16 %p1, %h2, 5;
        @%p1 bra DONE; // HERE
        trap;
        DONE:",
    );
    passes(&ptx, 1, undefined_words);
    let ptx = ptx.replace("setp.eq.u16 %p1, %h2", "setp.eq.u16 %p1, %h3");
    caught(&ptx, 1, undefined_words, 1, undefined(Use::Branch, "%p1"), "%p1");
}

#[test]
fn a_shuffle_from_a_lane_that_does_not_take_part() {
    let ptx = module(
        "",
        "setp.ge.u32 %p1, %r1, 16;
        @%p1 ret;
        xor.b32 %r2, %r1, 1;
        shfl.sync.idx.b32 %r3, %r1, %r2, 31, 0xffff;
        setp.eq.u32 %p2, %r3, %r2;
        @%p2 bra DONE; // HERE
        trap;
        DONE:",
    );
    passes(&ptx, 32, nothing);
    let ptx = ptx.replace("xor.b32 %r2, %r1, 1", "xor.b32 %r2, %r1, 16");
    caught(&ptx, 32, nothing, 0xffff, undefined(Use::Branch, "%p2"), "%p2");
}

#[test]
fn an_atomic_on_undefined_memory() {
    let ptx = module(
        "",
        "atom.global.add.u32 %r2, [%rd1], 1;
        setp.eq.u32 %p1, %r2, 0;
        @%p1 bra DONE; // HERE
        DONE:",
    );
    caught(&ptx, 1, undefined_words, 1, undefined(Use::Branch, "%p1"), "%p1");
    passes(&ptx, 1, words::<1>);
    // An exchange defines it.
    let ptx = ptx
        .replace("add.u32", "exch.b32")
        .replace("setp.eq.u32 %p1, %r2", "ld.global.u32 %r3, [%rd1]; setp.eq.u32 %p1, %r3");
    passes(&ptx, 1, undefined_words);
}

#[test]
fn an_output_that_is_not_all_written() {
    let ptx = module("", "add.u64 %rd4, %rd2, %rd3;\n st.global.u32 [%rd4], %r1;");
    for (device, [_, out]) in passes(&ptx, 31, words::<32>) {
        assert_eq!(device.first_undefined(out, 128), Some(124));
    }
    for (device, [_, out]) in passes(&ptx, 32, words::<32>) {
        assert_eq!(device.first_undefined(out, 128), None);
    }
}

// ---- Threads that wait -----------------------------------------------------------------

/// A barrier without a count is for all threads, in whole warps.
#[test]
fn barriers_with_the_count_of_all_threads() {
    let ptx = module(
        "",
        "setp.ge.u32 %p1, %r1, 32;
        @%p1 bra SECOND;
        bar.sync 0; // HERE
        bar.sync 0; // HERE
        bra DONE;
        SECOND:
        bar.sync 0, 64; // HERE
        bar.sync 0; // HERE
        DONE:",
    );
    passes(&ptx, 64, nothing);
    passes(&ptx, 60, nothing);
    for (_, _, result) in run(&ptx.replace("0, 64", "0, 96"), 64, nothing) {
        let finding = result.expect_err("the bug was not found");
        assert!(matches!(finding.verdict, Verdict::Barrier { barrier: 0, .. }), "{finding}");
        assert!(finding.place.ptx.contains("// HERE"), "{finding}");
    }
}

#[test]
fn barriers_with_too_many_arrivals() {
    let ptx = module("", "bar.arrive 1, 96; // HERE\n bar.arrive 1, 96; // HERE\n bar.sync 0;");
    for (_, _, result) in run(&ptx, 64, nothing) {
        // Four arrivals of 32 threads: three complete a phase, the fourth waits in the next.
        result.expect("no finding");
    }
    let ptx = module("", "bar.arrive 1, 32;\n bar.sync 1, 48; // HERE");
    let expected = |_| Verdict::Barrier {
        barrier: 1,
        problem: "a count of 48 threads is no positive multiple of the warp size".into(),
    };
    caught(&ptx, 32, nothing, u32::MAX, expected, "48 threads");
    passes(&ptx.replace("48", "32"), 32, nothing);
}

#[test]
fn divergence_at_an_aligned_barrier() {
    let ptx = module(
        "",
        "setp.ge.u32 %p1, %r1, 8;
        @%p1 bra OTHER;
        bar.sync 0; // HERE
        bra DONE;
        OTHER:
        bar.sync 0;
        DONE:",
    );
    for (_, _, result) in run(&ptx, 64, nothing) {
        let finding = result.expect_err("the bug was not found");
        let Verdict::Divergence { needed: u32::MAX, came: 0xff, stands } = &finding.verdict else {
            panic!("{finding}")
        };
        assert_eq!(stands.iter().map(|s| s.lanes).collect::<Vec<_>>(), [0xff, 0xffff_ff00]);
        at_mark(&finding, &ptx);
        says(&finding, "needs lanes 0xffffffff together, but only 0x000000ff came");
    }
    // Without `.aligned` the paths of a warp may use different instructions.
    passes(&ptx.replace("bar.sync", "barrier.sync"), 64, nothing);
}

// ---- Ends ------------------------------------------------------------------------------

const EXTERNS: &str = r#"
    .extern .func __assertfail (.param .b64 p0, .param .b64 p1, .param .b32 p2, .param .b64 p3, .param .b64 p4);
    .extern .func (.param .b32 result) vprintf (.param .b64 p0, .param .b64 p1);
    .global .align 1 .b8 message[6] = {105, 32, 60, 32, 110, 0};
    .global .align 1 .b8 file[5] = {97, 46, 99, 117, 0};
    .global .align 1 .b8 function[5] = {109, 97, 105, 110, 0};"#;

#[test]
fn printing_what_is_undefined() {
    let body = "
        .local .align 8 .b8 arguments[8];
        ld.global.u32 %r2, [%rd1];
        st.local.u32 [arguments], %r2;
        {
        .param .b64 p0; .param .b64 p1; .param .b32 result;
        mov.u64 %rd4, format; cvta.global.u64 %rd4, %rd4; st.param.b64 [p0], %rd4;
        mov.u64 %rd5, arguments; cvta.local.u64 %rd5, %rd5; st.param.b64 [p1], %rd5;
        call.uni (result), vprintf, (p0, p1); // HERE
        }";
    let format = format!("{EXTERNS} .global .align 1 .b8 format[5] = {{60, 37, 100, 62, 0}};");
    let ptx = module(&format, body);
    caught(
        &ptx,
        1,
        undefined_words,
        1,
        undefined(Use::Control, "argument 1 of printf"),
        "the operand argument 1 of printf is undefined",
    );
    for (device, _) in passes(&ptx, 2, words::<1>) {
        assert_eq!(device.printed(), ["<0>", "<0>"]);
    }
    let ptx = ptx.replace("{60, 37, 100", "{60, 37, 113");
    let expected = |_| Verdict::Operand { problem: "printf has no conversion `%q`".into() };
    caught(&ptx, 1, words::<1>, 1, expected, "error[operand]: printf has no conversion `%q`");
}

const CALLEES: &str = "
    .func (.param .b32 out) one (.param .b32 in)
    {
        .reg .b32 %x;
        ld.param.b32 %x, [in];
        add.u32 %x, %x, 1;
        st.param.b32 [out], %x;
        ret;
    }
    .func two (.param .b32 a, .param .b32 b, .param .b32 c) { ret; }";

#[test]
fn a_call_of_no_function() {
    let body = "
        mov.u64 %rd4, one;
        mov.u64 %rd5, two;
        mov.u64 %rd4, 4660;
        {
        .param .b32 p; .param .b32 q;
        st.param.b32 [p], %r1;
        prototype: .callprototype (.param .b32 _) _ (.param .b32 _);
        call (q), %rd4, (p), prototype; // HERE
        }";
    let ptx = module(CALLEES, body);
    let expected = |_| Verdict::BadCall { target: 4660 };
    caught(&ptx, 2, nothing, 0b11, expected, "call of 0x1234, which is no function");
    passes(&ptx.replace("mov.u64 %rd4, 4660;", ""), 2, nothing);
    // A function, but with other parameters.
    for (_, _, result) in run(&ptx.replace("%rd4, 4660", "%rd4, %rd5"), 2, nothing) {
        assert_eq!(result.expect_err("the bug was not found").verdict.kind(), "bad-call");
    }
}

#[test]
fn recursion_without_end() {
    let function = "
    .func (.param .b32 out) down (.param .b32 in)
    {
        .reg .b32 %x;
        .reg .pred %p;
        .param .b32 next;
        .param .b32 back;
        ld.param.b32 %x, [in];
        setp.eq.u32 %p, %x, 0;
        @%p bra END;
        sub.u32 %x, %x, 1;
        st.param.b32 [next], %x;
        call (back), down, (next); // HERE
        ld.param.b32 %x, [back];
        add.u32 %x, %x, 2;
        END:
        st.param.b32 [out], %x;
        ret;
    }";
    let body = "
        ld.global.u32 %r2, [%rd1];
        {
        .param .b32 p; .param .b32 q;
        st.param.b32 [p], %r2;
        call (q), down, (p);
        ld.param.b32 %r3, [q];
        st.global.u32 [%rd2], %r3;
        }";
    let ptx = module(function, body);
    let depth = |n: u32| move |device: &mut Device| [device.put(&[n]), device.alloc(4)];
    let expected = |_| Verdict::StackOverflow { depth: 256 };
    caught(&ptx, 1, depth(u32::MAX), 1, expected, "calls nested 256 deep");
    for (device, [_, out]) in passes(&ptx, 1, depth(100)) {
        assert_eq!(device.get::<u32>(out, 1), [200]);
    }
}

#[test]
fn operands_that_do_not_exist() {
    let ptx = module("", "add.u32 %r2, %r1, 16;\n bar.sync %r2; // HERE");
    let expected = |_| Verdict::Operand { problem: "barrier number 16 is above 15".into() };
    caught(&ptx, 1, nothing, 1, expected, "error[operand]: barrier number 16 is above 15");
    passes(&ptx.replace("16;", "15;"), 1, nothing);

    let ptx = module("", "targets: .branchtargets A, B;\n brx.idx %r1, targets; // HERE\n A:\n B:");
    let expected = |_| Verdict::Operand { problem: "index 2 into 2 branch targets".into() };
    caught(&ptx, 4, nothing, 1 << 2, expected, "index 2 into 2 branch targets");
    passes(&ptx, 2, nothing);

    let ptx = module("", "add.u32 %r2, %r1, 31;\n fns.b32 %r3, %r1, %r2, 1; // HERE");
    let expected = |_| Verdict::Operand { problem: "the base of `fns` is 32: it must be 0 to 31".into() };
    caught(&ptx, 2, nothing, 1 << 1, expected, "the base of `fns` is 32");
    passes(&ptx, 1, nothing);

    let body = "cvta.shared.u64 %rd4, s;
        mov.b32 %r2, 0;
        atom.add.v2.f32 {%r3, %r4}, [%rd4], {%r2, %r2}; // HERE";
    let ptx = module(".shared .align 8 .b8 s[8];", body);
    let expected = |_| Verdict::Operand { problem: "a vector's atomic outside global memory".into() };
    caught(&ptx, 1, words::<2>, 1, expected, "outside global memory");
    passes(&ptx.replace("cvta.shared.u64 %rd4, s", "mov.b64 %rd4, %rd1"), 1, words::<2>);
}

// ---- Copies on their way, and the caches ------------------------------------------------

/// A branch on the first word of shared memory, to which one is being copied.
fn branch_on_a_copy(wait: &str) -> String {
    let body = format!(
        "cp.async.ca.shared.global [s], [%rd1], 4;
        {wait}
        ld.shared.u32 %r2, [s];
        setp.eq.u32 %p1, %r2, 0;
        @%p1 bra END; // HERE
        END:"
    );
    module(".shared .align 16 .b32 s[4];", &body)
}

#[test]
fn a_copy_that_is_not_waited_for() {
    for wait in [
        "",
        "cp.async.commit_group;",
        "cp.async.wait_group 0;",
        "cp.async.commit_group;\n cp.async.wait_group 1;",
    ] {
        let ptx = branch_on_a_copy(wait);
        caught(&ptx, 1, words::<1>, 1, undefined(Use::Branch, "%p1"), "nothing has written");
    }
    for wait in ["cp.async.wait_all;", "cp.async.commit_group;\n cp.async.wait_group 0;"] {
        passes(&branch_on_a_copy(wait), 1, words::<1>);
    }
}

#[test]
fn a_copy_of_undefined_bytes() {
    let ptx = branch_on_a_copy("cp.async.wait_all;");
    caught(&ptx, 1, undefined_words, 1, undefined(Use::Branch, "%p1"), "nothing has written");
    // What is not taken of the source is zero.
    passes(&ptx.replace("[%rd1], 4;", "[%rd1], 4, 0;"), 1, undefined_words);
}

#[test]
fn a_copy_from_or_to_nowhere() {
    let copy = |operands: &str| {
        let body = format!(
            "mov.u32 %r2, %r1;\n mul.lo.u32 %r2, %r2, 3;\n cp.async.ca.shared.global {operands}; // HERE"
        );
        module(".shared .align 16 .b32 s[4];", &body)
    };
    let past = |[a, _]: [u64; 2]| Verdict::OutOfBounds {
        access: Access::Read,
        space: "global".into(),
        address: a + 8,
        size: 8,
        nearest: Nearest::Past { distance: 4, base: a, len: 12 },
    };
    caught(&copy("[s], [%rd1+8], 8"), 1, words::<3>, 1, past, "ends 4 bytes past");
    passes(&copy("[s], [%rd1+8], 8, 4"), 1, words::<3>);
    let misaligned =
        |space: &str, access, address| Verdict::Misaligned { access, space: space.into(), address, align: 8 };
    caught(
        &copy("[s], [%rd1+4], 8, 4"),
        1,
        words::<3>,
        1,
        |[a, _]| misaligned("global", Access::Read, a + 4),
        "8",
    );
    caught(&copy("[s+4], [%rd1], 8"), 1, words::<3>, 1, |_| misaligned("shared", Access::Write, 0x404), "8");
    let past = |_: [u64; 2]| Verdict::OutOfBounds {
        access: Access::Write,
        space: "shared".into(),
        address: 0x410,
        size: 8,
        nearest: Nearest::Past { distance: 8, base: 0x400, len: 16 },
    };
    caught(&copy("[s+16], [%rd1], 8"), 1, words::<3>, 1, past, "past");
    // Of the fourth thread, whose %r2 is 9, more is taken than is copied.
    let too_much = |_: [u64; 2]| Verdict::Operand { problem: "9 bytes of the source for a copy of 8".into() };
    caught(&copy("[s], [%rd1], 8, %r2"), 4, words::<3>, 1 << 3, too_much, "9 bytes");
    passes(&copy("[s], [%rd1], 8, %r2"), 3, words::<3>);
}

#[test]
fn what_was_discarded() {
    let body = "discard.global.L2 [%rd1], 128;
        ld.global.u32 %r2, [%rd1+64];
        setp.eq.u32 %p1, %r2, 0;
        @%p1 bra END; // HERE
        END:";
    let ptx = module("", body);
    caught(&ptx, 1, words::<32>, 1, undefined(Use::Branch, "%p1"), "nothing has written");
    passes(&ptx.replace("ld.global", "st.global.u32 [%rd1+64], 0;\n ld.global"), 1, words::<32>);
    passes(&ptx.replace("discard.global.L2 ", "applypriority.global.L2::evict_normal "), 1, words::<32>);
    for line in ["discard.global.L2", "applypriority.global.L2::evict_normal"] {
        let ptx = module("", &format!("{line} [%rd1+32], 128; // HERE"));
        let access = if line.starts_with("discard") { Access::Write } else { Access::Read };
        let expected = |[a, _]: [u64; 2]| Verdict::Misaligned {
            access,
            space: "global".into(),
            address: a + 32,
            align: 128,
        };
        caught(&ptx, 1, words::<64>, 1, expected, "128");
    }
}

#[test]
fn past_what_was_allocated() {
    let declarations = ".func (.param .b64 r) mine()
        {
            .reg .b64 %a;
            alloca.u64 %a, 24, 8;
            st.local.u64 [%a+16], 5;
            st.param.b64 [r], %a;
            ret;
        }";
    let body = "alloca.u64 %rd4, 16;
        st.local.u64 [%rd4+8], 1;
        .param .b64 r;
        call (r), mine, ();
        ld.param.b64 %rd5, [r];";
    let past = |address: u64, distance: u64, len: u64| {
        move |_: [u64; 2]| Verdict::OutOfBounds {
            access: Access::Read,
            space: "local".into(),
            address: (1 << 30) + address,
            size: 8,
            nearest: Nearest::Past { distance, base: 1 << 30, len },
        }
    };
    let ptx = |access: &str| module(declarations, &format!("{body}\n {access}"));
    caught(
        &ptx("ld.local.u64 %rd6, [%rd4+16]; // HERE"),
        1,
        nothing,
        1,
        past(16, 8, 16),
        "ends 8 bytes past",
    );
    // What a function has allocated is gone with it.
    caught(&ptx("ld.local.u64 %rd6, [%rd5+16]; // HERE"), 1, nothing, 1, past(32, 24, 16), "past");
    passes(&ptx("ld.local.u64 %rd6, [%rd4+8];"), 1, nothing);
    let too_much =
        |_: [u64; 2]| Verdict::Operand { problem: "524288 bytes more on a stack of 524288".into() };
    caught(&ptx("alloca.u64 %rd6, 0x80000; // HERE"), 1, nothing, 1, too_much, "stack");
    passes(&ptx("alloca.u64 %rd6, 0x7fff0;"), 1, nothing);
    let elsewhere =
        |_: [u64; 2]| Verdict::Operand { problem: "0x40000100 is not where the stack ended before".into() };
    caught(
        &ptx("add.u64 %rd6, %rd4, 256;\n stackrestore.u64 %rd6; // HERE"),
        1,
        nothing,
        1,
        elsewhere,
        "stack",
    );
}
