//! `cp.async`: what has been waited for is there.

use super::kernel::{Shape, launch, module, refused};
use super::values::random_bits;

const DECLARATIONS: &str = ".shared .align 16 .b8 s[2048];\n";
const THREADS: u32 = 64;
/// `%r10` and `%l10`: the thread's 16 bytes of shared memory; `%in`: its input;
/// `%out`: its output.
const MINE: &str = "mov.u32 %r10, s;\nmad.lo.u32 %r10, %t, 16, %r10;\ncvt.u64.u32 %l10, %r10;\n\
     mad.wide.u32 %in, %t, 16, %in;\nmad.wide.u32 %out, %t, 16, %out;\n";
/// All of that to the output.
const OUT: &str =
    "ld.shared.v4.b32 {%r0, %r1, %r2, %r3}, [%r10];\nst.global.v4.b32 [%out], {%r0, %r1, %r2, %r3};\n";
const POLICY: &str = "createpolicy.fractional.L2::evict_first.b64 %l5;\n";

fn input() -> Vec<u8> {
    random_bits(32).take(16 * THREADS as usize).map(|bits| bits as u8).collect()
}

fn run(code: &str, input: &[u8]) -> Vec<u8> {
    let clear = "st.shared.v4.b32 [%r10], {-1, -1, -1, -1};\n";
    let ptx = module(DECLARATIONS, &format!("{POLICY}{MINE}{clear}{code}\n{OUT}"));
    launch(&ptx, Shape::threads(THREADS), input, input.len())
}

/// The first `taken` bytes of each thread's input, zeros up to `size`, and what was there.
fn expected(input: &[u8], size: usize, taken: impl Fn(usize) -> usize) -> Vec<u8> {
    let byte = |thread: usize, n: usize| match n {
        n if n < taken(thread) => input[16 * thread + n],
        n if n < size => 0,
        _ => 0xff,
    };
    (0..input.len()).map(|n| byte(n / 16, n % 16)).collect()
}

#[test]
fn whole_copies() {
    let input = input();
    let spaces = ["shared", "shared::cta"];
    let hints = ["", ".L2::cache_hint"];
    for (cache, size) in [("ca", 4), ("ca", 8), ("ca", 16), ("cg", 16)] {
        for form in spaces.iter().flat_map(|s| hints.iter().map(move |h| (s, h))) {
            for prefetch in ["", ".L2::64B", ".L2::128B", ".L2::256B"] {
                let (space, hint) = form;
                let policy = if hint.is_empty() { "" } else { ", %l5" };
                let name = format!("cp.async.{cache}.{space}.global{hint}{prefetch}");
                for address in ["%r10", "%l10"] {
                    let code = format!("{name} [{address}], [%in], {size}{policy};\ncp.async.wait_all;");
                    assert_eq!(run(&code, &input), expected(&input, size, |_| size), "{name}");
                }
            }
        }
    }
}

/// `src-size`: a literal, or a register that differs by thread.
#[test]
fn partial_copies() {
    let input = input();
    for (cache, size) in [("ca", 4), ("ca", 8), ("ca", 16), ("cg", 16)] {
        for hint in ["", ".L2::cache_hint"] {
            let policy = if hint.is_empty() { "" } else { ", %l5" };
            let name = format!("cp.async.{cache}.shared.global{hint}");
            for taken in 0..=size {
                let code = format!("{name} [%r10], [%in], {size}, {taken}{policy};\ncp.async.wait_all;");
                assert_eq!(run(&code, &input), expected(&input, size, |_| taken), "{name} {size}, {taken}");
            }
            let code = format!(
                "rem.u32 %r4, %t, {};\n{name} [%r10], [%in], {size}, %r4{policy};\ncp.async.wait_all;",
                size + 1
            );
            assert_eq!(run(&code, &input), expected(&input, size, |thread| thread % (size + 1)), "{name}");
        }
    }
}

/// `ignore-src`: zeros where the predicate holds.
#[test]
fn ignored_sources() {
    let input = input();
    for (cache, size) in [("ca", 4), ("ca", 8), ("cg", 16)] {
        for (predicate, ignores) in [("%p0", 1), ("!%p0", 0)] {
            for hint in ["", ".L2::cache_hint"] {
                let policy = if hint.is_empty() { "" } else { ", %l5" };
                let code = format!(
                    "and.b32 %r4, %t, 1;\nsetp.eq.u32 %p0, %r4, 1;\n\
                     cp.async.{cache}.shared.global{hint} [%r10], [%in], {size}, {predicate}{policy};\ncp.async.wait_all;"
                );
                let taken = |thread: usize| if thread % 2 == ignores { 0 } else { size };
                assert_eq!(run(&code, &input), expected(&input, size, taken), "{code}");
            }
        }
    }
}

/// A source of which nothing is taken need not be there.
#[test]
fn no_source() {
    let input = input();
    let nowhere = "mov.u64 %l6, 48;\nsetp.ge.u32 %p0, %t, 0;\n";
    for argument in ["0", "%p0"] {
        let code =
            format!("{nowhere}cp.async.cg.shared.global [%r10], [%l6], 16, {argument};\ncp.async.wait_all;");
        assert_eq!(run(&code, &input), vec![0; input.len()]);
    }
    // Nor what lies behind the part that is taken: of the last thread, the input's end.
    let code = "add.u64 %l6, %in, 16;\nsetp.eq.u32 %p0, %t, 63;\nselp.u32 %r4, 0, 16, %p0;\n\
                cp.async.cg.shared.global [%r10], [%l6], 16, %r4;\ncp.async.wait_all;";
    let shifted = [&input[16..], &[0; 16]].concat();
    assert_eq!(run(code, &input), shifted);
    let short = &input[..input.len() - 5];
    let code = "setp.eq.u32 %p0, %t, 63;\nselp.u32 %r4, 11, 16, %p0;\n\
                cp.async.cg.shared.global [%r10], [%in], 16, %r4;\ncp.async.wait_all;";
    let ptx = module(DECLARATIONS, &format!("{MINE}{code}\n{OUT}"));
    let got = launch(&ptx, Shape::threads(THREADS), short, input.len());
    assert_eq!(got, [short, &[0; 5]].concat());
}

/// Offsets on both sides; variables as addresses.
#[test]
fn addresses() {
    let declarations =
        ".shared .align 16 .b8 s[64];\n.global .align 16 .b8 g[16] = {1, 2, 3, 4, 5, 6, 7, 8};";
    let code = "cp.async.ca.shared.global [s+4], [g+4], 4;\nadd.u64 %l0, %in, 32;\n\
        cp.async.ca.shared.global [s+8], [%l0+-24], 8;\ncp.async.wait_all;\n\
        ld.shared.b32 %r0, [s+4];\nld.shared.v2.b32 {%r1, %r2}, [s+8];\nst.global.b32 [%out], %r0;\nst.global.v2.b32 [%out+8], {%r1, %r2};";
    let input = input();
    let got = launch(&module(declarations, code), Shape::threads(1), &input, 16);
    assert_eq!((&got[..4], &got[8..]), (&[5, 6, 7, 8][..], &input[8..16]));
}

/// Groups land in order; those that may stay on their way are the latest, and
/// `wait_all` waits for what is in no group too.
#[test]
fn groups() {
    let input = input();
    let copy = |n: usize| format!("cp.async.ca.shared.global [%r10+{0}], [%in+{0}], 4;\n", 4 * n);
    let commit = "cp.async.commit_group;\n";
    // After each wait only what it waits for is looked at.
    let look = |n: usize| format!("ld.shared.b32 %r5, [%r10+{0}];\nst.global.b32 [%out+{0}], %r5;\n", 4 * n);
    let mut code = String::new();
    for n in 0..3 {
        code += &copy(n);
        code += commit;
    }
    code += &copy(3);
    code += &format!("cp.async.wait_group 2;\n{}", look(0));
    code += &format!("cp.async.wait_group 1;\n{}", look(1));
    code += &format!("cp.async.wait_group 0;\n{}", look(2));
    code += &format!("cp.async.wait_all;\n{}", look(3));
    let ptx = module(DECLARATIONS, &format!("{MINE}{code}"));
    assert_eq!(launch(&ptx, Shape::threads(THREADS), &input, input.len()), input);
    // Empty groups count; there may be more waits than groups.
    let code = format!(
        "cp.async.wait_group 0;\n{}{commit}{commit}{commit}cp.async.wait_group 2;\n{}{}{}{}cp.async.wait_all;\ncp.async.wait_all;",
        copy(0),
        look(0),
        copy(1),
        copy(2),
        copy(3)
    );
    assert_eq!(run(&code, &input), input);
}

/// Threads that part ways wait each for its own.
#[test]
fn each_thread_has_its_groups() {
    let input = input();
    let code = "and.b32 %r4, %t, 1;\nsetp.eq.u32 %p0, %r4, 1;\n\
        @%p0 bra ODD;\ncp.async.ca.shared.global [%r10], [%in], 16;\ncp.async.commit_group;\nbra BOTH;\n\
        ODD:\ncp.async.ca.shared.global [%r10], [%in], 8;\ncp.async.commit_group;\n\
        cp.async.ca.shared.global [%r10+8], [%in+8], 8;\ncp.async.commit_group;\n\
        BOTH:\ncp.async.wait_group 0;";
    assert_eq!(run(code, &input), input);
}

/// Once a thread has waited, and a barrier has passed, all threads see it.
#[test]
fn others_see_it_after_a_barrier() {
    let input = input();
    let code = "cp.async.cg.shared.global [%r10], [%in], 16;\ncp.async.commit_group;\ncp.async.wait_group 0;\nbar.sync 0;\n\
        xor.b32 %r4, %t, 37;\nmov.u32 %r10, s;\nmad.lo.u32 %r10, %r4, 16, %r10;";
    let turned: Vec<u8> = (0..input.len()).map(|n| input[16 * ((n / 16) ^ 37) + n % 16]).collect();
    assert_eq!(run(code, &input), turned);
}

/// A guard that is false starts nothing.
#[test]
fn guarded() {
    let input = input();
    let code =
        "setp.lt.u32 %p0, %t, 20;\n@%p0 cp.async.cg.shared.global [%r10], [%in], 16;\ncp.async.wait_all;";
    assert_eq!(
        run(code, &input),
        (0..input.len()).map(|n| if n / 16 < 20 { input[n] } else { 0xff }).collect::<Vec<u8>>()
    );
}

#[test]
fn what_is_missing() {
    for code in [
        "cp.async.cg.shared.global [%r0], [%in], 8",
        "cp.async.ca.shared.global [%r0], [%in], 2",
        "cp.async.ca.shared.global [%r0], [%in], 32",
        "cp.async.ca.shared.global [%r0], [%in], %r1",
        "cp.async.ca.shared.global [%r0], [%in]",
        "cp.async.ca.shared.global [%r0], [%in], 8, 12",
        "cp.async.ca.shared.global [%r0], [%in], 8, %l0",
        "cp.async.ca.shared.global.L2::cache_hint [%r0], [%in], 8",
        "cp.async.ca.shared.global [%r0], [%in], 8, %r1, %l0",
        "cp.async.shared.global [%r0], [%in], 16",
        "cp.async.cg.shared::cluster.global [%r0], [%in], 16",
        "cp.async.cg.global.shared [%in], [%r0], 16",
        "cp.async.cg.shared.global.L1::no_allocate [%r0], [%in], 16",
        "cp.ca.shared.global [%r0], [%in], 16",
        "cp.async.wait_group %r0",
        "cp.async.wait_group",
        "cp.async.wait_all 0",
        "cp.async.commit_group 0",
    ] {
        refused(DECLARATIONS, &format!("{code};"));
    }
}
