//! What is counted, on programs so small that the numbers can be seen.

use cuda_emulator::code::Kind;
use cuda_emulator::counters::{Conflict, Copies, Counters, Traffic, Wavefronts};
use cuda_emulator::machine::tensor_map::{ElementType, Fill, Interleave, Swizzle, TensorMap};

use crate::device::Device;

/// A kernel `k(out, in)` with 32 KiB of shared memory `s`. `%t` is the thread, `%b` the block, `%s` the address of `s`,
/// `%out` and `%in` are the parameters: seven instructions, two of them loads of parameters.
fn module(body: &str) -> String {
    format!(
        ".version 8.7\n.target sm_90a\n.address_size 64\n.file 1 \"k.cu\"\n\
         .visible .entry k(.param .u64 p_out, .param .u64 p_in)\n{{\n\
         .shared .align 1024 .b8 s[32768];\n.shared .align 8 .b64 b;\n\
         .reg .pred %p, %q;\n.reg .b16 %h<4>;\n.reg .b32 %t, %s, %b, %w, %r<16>;\n.reg .f32 %f<4>;\n\
         .reg .b64 %out, %in, %l<8>;\n\
         ld.param.u64 %out, [p_out];\nld.param.u64 %in, [p_in];\nmov.u32 %t, %tid.x;\n\
         mov.u32 %b, %ctaid.x;\nmov.u32 %s, s;\nshr.u32 %w, %t, 5;\nmov.u32 %r0, 0;\n\
         {body}\nret;\n}}\n"
    )
}

/// The setup's instructions, and the `ret`.
const SETUP: [(Kind, u64); 3] = [(Kind::Integer, 5), (Kind::Constant, 2), (Kind::Control, 1)];

fn run_in(device: &mut Device, grid: u32, block: u32, seed: u64) -> Counters {
    let (out, input) = (device.put(&vec![0u8; 1 << 17]), device.put(&vec![7u8; 1 << 17]));
    device
        .launch("k", [grid, 1, 1], [block, 1, 1], &[out, input], seed)
        .unwrap_or_else(|finding| panic!("seed {seed}: {finding}"))
}

fn run(grid: u32, block: u32, body: &str) -> Counters {
    run_in(&mut Device::new(&module(body)), grid, block, 0)
}

/// What a warp of this role has executed beside the setup, by kind.
fn executed(counters: &Counters, role: usize) -> Vec<(Kind, u64)> {
    let setup = |kind| SETUP.iter().find(|(k, _)| *k == kind).map_or(0, |(_, n)| n * counters.blocks);
    let count = |kind: &Kind| (*kind, counters.roles[role].instructions[*kind] - setup(*kind));
    Kind::ALL.iter().map(count).filter(|(_, n)| *n > 0).collect()
}

// ---- Instructions ----------------------------------------------------------------------

#[test]
fn warps_count_by_role_and_kind() {
    let body = "
        setp.ne.u32 %p, %w, 0;
        @%p bra SECOND;
        cvt.rn.f32.u32 %f0, %t;
        fma.rn.f32 %f0, %f0, %f0, %f0;
        fma.rn.f32 %f0, %f0, %f0, %f0;
        ex2.approx.f32 %f0, %f0;
        bra DONE;
    SECOND:
        mad.lo.u32 %r2, %b, 64, %t;
        mad.wide.u32 %l0, %r2, 4, %out;
        st.global.u32 [%l0], %t;
        // No lane executes it; the warp does.
        @!%p st.global.u32 [%l0], %t;
        shfl.sync.idx.b32 %r1, %t, 0, 31, -1;
    DONE:
        bar.sync 0;";
    let counters = run(3, 64, body);
    use Kind::*;
    assert_eq!((counters.blocks, counters.roles.len()), (3, 2));
    let first = [(Integer, 3), (Float32, 6), (Convert, 3), (Special, 3), (Control, 6), (Barrier, 3)];
    assert_eq!(executed(&counters, 0), first);
    let second = [(Integer, 9), (Control, 3), (Barrier, 3), (Warp, 3), (Global, 6)];
    assert_eq!(executed(&counters, 1), second);
    assert_eq!(counters.total(), 3 * (2 * 8 + 8 + 8));
    assert_eq!(counters.global_written, Traffic { asked: 3 * 128, moved: 3 * 128 });
}

/// What takes the emulator several steps is one instruction all the same, of the kind that it is for.
#[test]
fn an_instruction_counts_once() {
    let body = "
        // Sign-extended into 16 bits: a load and a cut.
        ld.global.s8 %h0, [%in+4];
        // The source's address is a sum.
        cp.async.ca.shared.global [%s+8], [%in+8], 8;
        cp.async.wait_all;
        add.cc.u32 %r1, %t, %t;
        addc.u32 %r2, %t, %t;
        mul.hi.u64 %l0, %in, %in;";
    let counters = run(1, 32, body);
    use Kind::*;
    assert_eq!(executed(&counters, 0), [(Integer, 3), (Barrier, 1), (Global, 1), (Copy, 1)]);
}

/// Who waits at a barrier, or for the other lanes, executes that instruction once.
#[test]
fn waiting_counts_once() {
    let body = "
        and.b32 %r1, %t, 1;
        setp.eq.u32 %p, %r1, 0;
        @%p bra EVEN;
        add.u32 %r2, %t, 1;
    EVEN:
        bar.warp.sync -1;
        bar.sync 0;
        barrier.cluster.arrive.aligned;
        barrier.cluster.wait.aligned;";
    for seed in 0..8 {
        let counters = run_in(&mut Device::new(&module(body)), 2, 256, seed);
        for role in 0..8 {
            let expected = [(Kind::Integer, 6), (Kind::Control, 2), (Kind::Barrier, 8)];
            assert_eq!(executed(&counters, role), expected, "seed {seed}");
        }
    }
}

/// Warp 0 waits for an mbarrier at which warp 1 arrives after 3000 rounds of a loop.
const POLL: &str = "
        setp.ne.u32 %p, %t, 0;
        mov.u32 %r5, b;
        @!%p mbarrier.init.shared::cta.b64 [%r5], 32;
        bar.sync 0;
        setp.ne.u32 %p, %w, 0;
        @%p bra ARRIVE;
    AGAIN:
        mbarrier.WAIT.parity.shared::cta.b64 %q, [%r5], 0;
        @%q bra DONE;
        nanosleep.u32 20;
        add.u32 %r6, %t, 1;
        bra AGAIN;
    ARRIVE:
        mov.u32 %r1, 3000;
    WORK:
        sub.u32 %r1, %r1, 1;
        setp.ne.u32 %q, %r1, 0;
        @%q bra WORK;
        mbarrier.arrive.shared::cta.b64 _, [%r5];
    DONE:";

#[test]
fn failed_polls_are_apart() {
    let mut failed = Vec::new();
    for wait in ["test_wait", "try_wait"] {
        for seed in 0..6 {
            let counters = run_in(&mut Device::new(&module(&POLL.replace("WAIT", wait))), 2, 64, seed);
            use Kind::*;
            // Each once: two comparisons and a move, a branch to the loop and one out of it, and three barriers.
            let waiting = [(Integer, 6), (Control, 4), (Barrier, 6)];
            assert_eq!(executed(&counters, 0), waiting, "{wait}, seed {seed}");
            let arriving = [(Integer, 2 * (3 + 1 + 6000)), (Control, 2 * 3001), (Barrier, 6)];
            assert_eq!(executed(&counters, 1), arriving, "{wait}, seed {seed}");
            let [first, second] = &counters.roles[..] else { panic!("two warps") };
            assert_eq!((second.failed_polls, second.polling.total()), (0, 0));
            let polling = [Integer, Control, Barrier].map(|kind| first.polling[kind]);
            assert_eq!(polling, [1, 3, 1].map(|n| n * first.failed_polls));
            assert_eq!(first.polling.total(), 5 * first.failed_polls);
            assert!(first.failed_polls > 0 || wait == "try_wait", "seed {seed}");
            failed.push(first.failed_polls);
        }
    }
    // That there were some, and not always as many, is what makes it a test.
    failed.sort_unstable();
    failed.dedup();
    assert!(failed.len() > 2, "{failed:?}");
}

/// A wait that blocks, is tried again and fails is one poll, however often it was tried.
#[test]
fn polls_that_blocked_and_failed() {
    let inits = "@!%p mbarrier.init.shared::cta.b64 [%r5], 32;";
    let work = "sub.u32 %r1, %r1, 1;";
    // Warp 1 waits for what never comes, and arrives when it was twice told so.
    let body = POLL
        .replace(inits, &format!("{inits}\n@!%p mbarrier.init.shared::cta.b64 [%r5+8], 1;"))
        .replace("WAIT", "try_wait")
        .replace("3000", "2")
        .replace(work, &format!("mbarrier.try_wait.parity.shared::cta.b64 %q, [%r5+8], 0;\n{work}"));
    let body = module(&body).replace(".b64 b;", ".b64 b[2];");
    for seed in 0..6 {
        let counters = run_in(&mut Device::new(&body), 1, 64, seed);
        use Kind::*;
        assert_eq!(executed(&counters, 0), [(Integer, 3), (Control, 2), (Barrier, 4)], "seed {seed}");
        let [first, second] = &counters.roles[..] else { panic!("two warps") };
        assert_eq!(second.failed_polls, 2, "seed {seed}");
        assert!(first.failed_polls > 0 || seed > 0);
        let polling = [Integer, Control, Barrier].map(|kind| first.polling[kind]);
        assert_eq!(polling, [1, 3, 1].map(|n| n * first.failed_polls), "seed {seed}");
        assert_eq!(first.polling.total(), 5 * first.failed_polls, "seed {seed}");
    }
}

/// A loop that does something else between its polls is no polling.
#[test]
fn work_between_polls_is_work() {
    let body = POLL.replace("add.u32 %r6, %t, 1;", "st.shared.u32 [%s], %r0;").replace("WAIT", "test_wait");
    let counters = run(1, 64, &body);
    let first = &counters.roles[0];
    assert!(first.failed_polls > 0);
    assert_eq!(first.polling.total(), 0);
    assert_eq!(first.instructions[Kind::Shared], first.failed_polls);
}

/// Lanes that go on meanwhile do not poll.
#[test]
fn other_lanes_do_not_poll() {
    let body = "
        setp.ne.u32 %p, %t, 0;
        mov.u32 %r5, b;
        @!%p mbarrier.init.shared::cta.b64 [%r5], 32;
        bar.sync 0;
        setp.ge.u32 %p, %t, 32;
        @%p bra ARRIVE;
        setp.ne.u32 %p, %t, 0;
        @%p bra OTHERS;
    AGAIN:
        mbarrier.test_wait.parity.shared::cta.b64 %q, [%r5], 0;
        @!%q bra AGAIN;
        bra DONE;
    OTHERS:
        add.u32 %r6, %t, 1;
        add.u32 %r6, %r6, 1;
        bra DONE;
    ARRIVE:
        mov.u32 %r1, 3000;
    WORK:
        sub.u32 %r1, %r1, 1;
        setp.ne.u32 %q, %r1, 0;
        @%q bra WORK;
        mbarrier.arrive.shared::cta.b64 _, [%r5];
    DONE:
        bar.warp.sync -1;";
    for seed in 0..6 {
        let counters = run_in(&mut Device::new(&module(body)), 1, 64, seed);
        let first = &counters.roles[0];
        // Integer: four before, two of the others. Control: two before, two and one to the end. A poll succeeds.
        use Kind::*;
        let expected = [(Integer, 6), (Control, 5), (Barrier, 4)];
        assert_eq!(executed(&counters, 0), expected, "seed {seed}");
        assert_eq!(first.polling.total(), 2 * first.failed_polls);
    }
}

/// With one thread of the host the schedule is the seed's, also where blocks spin on each other's memory.
#[test]
fn one_thread_one_schedule() {
    let body = "
        atom.global.add.u32 %r1, [%out], 1;
    AGAIN:
        ld.acquire.gpu.global.u32 %r2, [%out];
        setp.lt.u32 %p, %r2, 256;
        @%p bra AGAIN;";
    for seed in 0..4 {
        let mut device = Device::new(&module(body));
        device.threads = 1;
        let first = run_in(&mut device, 8, 32, seed);
        assert_eq!(run_in(&mut device, 8, 32, seed), first, "seed {seed}");
    }
}

// ---- Global memory ---------------------------------------------------------------------

/// `%l0` becomes `%in` plus an offset of each lane, made of `%t` in `%r1`.
fn at(offset: &str, access: &str) -> String {
    format!("{offset}\nmul.wide.u32 %l0, %r1, 1;\nadd.u64 %l0, %l0, %in;\n{access}")
}

#[track_caller]
fn reads(offset: &str, access: &str, asked: u64, moved: u64) {
    let counters = run(1, 32, &at(offset, access));
    assert_eq!(counters.global_read, Traffic { asked, moved }, "{offset} {access}");
    assert_eq!(counters.global_written, Traffic::default());
    assert_eq!(counters.global_bytes(), moved);
}

#[test]
fn sectors_of_loads() {
    let word = "ld.global.u32 %r2, [%l0];";
    // In a row; from the middle of a sector on; each lane its own sector; all the same word.
    reads("shl.b32 %r1, %t, 2;", word, 128, 128);
    reads("mad.lo.u32 %r1, %t, 4, 16;", word, 128, 160);
    reads("shl.b32 %r1, %t, 5;", word, 128, 32 * 32);
    reads("mov.u32 %r1, 40;", word, 4, 32);
    // Pairs of lanes share a word; backwards; far apart.
    reads("shr.u32 %r1, %t, 1;\nshl.b32 %r1, %r1, 2;", word, 64, 64);
    reads("sub.u32 %r1, 31, %t;\nshl.b32 %r1, %r1, 2;", word, 128, 128);
    reads("shl.b32 %r1, %t, 12;", word, 128, 32 * 32);
    // Other widths.
    reads("mov.u32 %r1, %t;", "ld.global.u8 %r2, [%l0];", 32, 32);
    reads("shl.b32 %r1, %t, 4;", "ld.global.v4.u32 {%r2, %r3, %r4, %r5}, [%l0];", 512, 512);
    reads("shl.b32 %r1, %t, 5;", "ld.global.v2.u64 {%l1, %l2}, [%l0];", 512, 1024);
    // Only four lanes.
    let few = "setp.lt.u32 %p, %t, 4;\n@%p ld.global.u32 %r2, [%l0];";
    reads("shl.b32 %r1, %t, 2;", few, 16, 32);
    reads("add.u32 %r1, %t, 7;\nshl.b32 %r1, %r1, 2;", few, 16, 64);
    // Twice by one instruction, once shifted.
    let twice = "mov.u32 %r3, 2;\nAGAIN:\nld.global.u32 %r2, [%l0];\nadd.u64 %l0, %l0, 16;\n\
                 sub.u32 %r3, %r3, 1;\nsetp.ne.u32 %p, %r3, 0;\n@%p bra AGAIN;";
    reads("shl.b32 %r1, %t, 2;", twice, 256, 128 + 160);
}

#[test]
fn stores_and_atomics_write() {
    let written = |access: &str| {
        let body = at("shl.b32 %r1, %t, 3;\nmad.lo.u32 %r1, %b, 4096, %r1;", access).replace("%in", "%out");
        let counters = run(2, 32, &body);
        assert_eq!(counters.global_read, Traffic::default());
        counters.global_written
    };
    assert_eq!(written("st.global.u32 [%l0], %t;"), Traffic { asked: 2 * 128, moved: 2 * 256 });
    assert_eq!(written("red.global.add.u64 [%l0], 1;"), Traffic { asked: 2 * 256, moved: 2 * 256 });
    assert_eq!(written("red.global.add.u32 [%out], 1;"), Traffic { asked: 2 * 4, moved: 2 * 32 });
}

/// A generic address counts where it leads, also where lanes go to different places.
#[test]
fn generic_addresses() {
    let body = "
        cvta.shared.u64 %l1, s;
        shl.b32 %r1, %t, 2;
        cvt.u64.u32 %l2, %r1;
        add.u64 %l1, %l1, %l2;
        add.u64 %l0, %out, %l2;
        st.u32 [%l1], %t;
        st.u32 [%l0], %t;
        setp.lt.u32 %p, %t, 8;
        selp.b64 %l0, %l0, %l1, %p;
        st.u32 [%l0], %t;"
        .replace("cvta.shared.u64 %l1, s;", "cvt.u64.u32 %l1, %s;\ncvta.shared.u64 %l1, %l1;");
    let counters = run(1, 32, &body);
    assert_eq!(counters.global_written, Traffic { asked: 128 + 32, moved: 128 + 32 });
    assert_eq!(counters.shared, Wavefronts { least: 2, needed: 2 });
}

#[test]
fn copies_that_threads_wait_for() {
    let copy = |rest: &str| {
        let body = format!(
            "shl.b32 %r1, %t, 4;\nadd.u32 %r2, %s, %r1;\ncvt.u64.u32 %l0, %r1;\nadd.u64 %l0, %l0, %in;\n\
             setp.ge.u32 %p, %t, 8;\nmov.u32 %r3, 12;\ncp.async.cg.shared.global [%r2], [%l0], 16{rest};\n\
             cp.async.wait_all;"
        );
        run(1, 32, &body).global_read
    };
    assert_eq!(copy(""), Traffic { asked: 512, moved: 512 });
    // 12 bytes of each, the rest zeros; nothing but for eight lanes.
    assert_eq!(copy(", %r3"), Traffic { asked: 384, moved: 512 });
    assert_eq!(copy(", %p"), Traffic { asked: 128, moved: 128 });
}

// ---- Bulk copies -----------------------------------------------------------------------

/// One thread of the cluster's first block has the engine bring 256 bytes to both blocks, and take 64 back.
#[test]
fn a_multicast_reads_once_and_writes_twice() {
    let body = "
        mov.u32 %r5, b;
        setp.ne.u32 %p, %t, 0;
        @!%p mbarrier.init.shared::cta.b64 [%r5], 1;
        @!%p mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r5], 256;
        fence.mbarrier_init.release.cluster;
        barrier.cluster.arrive.aligned;
        barrier.cluster.wait.aligned;
        setp.ne.or.u32 %p, %b, 0, %p;
        mov.u16 %h0, 3;
        @!%p cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%s], [%in], 256, [%r5], %h0;
    AGAIN:
        mbarrier.try_wait.parity.shared::cta.b64 %q, [%r5], 0;
        @!%q bra AGAIN;
        @!%p cp.async.bulk.global.shared::cta.bulk_group [%out], [%s], 64;
        cp.async.bulk.commit_group;
        cp.async.bulk.wait_group 0;
        barrier.cluster.arrive.aligned;
        barrier.cluster.wait.aligned;";
    let mut device = Device::new(&module(body));
    device.cluster = [2, 1, 1];
    let counters = run_in(&mut device, 2, 32, 0);
    let copies = Copies { global_read: 256, global_written: 64, shared_read: 64, shared_written: 512 };
    assert_eq!(counters.copies, copies);
    assert_eq!(counters.global_bytes(), 256 + 64);
    assert_eq!(counters.roles[0].instructions[Kind::Copy], 2 * 4);
}

/// Boxes of 4 rows of 64 bytes, at the corner of a tensor of 100 bytes by 5 rows.
#[test]
fn boxes_count_what_is_inside() {
    let body = "
        mov.u32 %r5, b;
        setp.ne.u32 %p, %t, 0;
        @%p bra DONE;
        mbarrier.init.shared::cta.b64 [%r5], 1;
        fence.proxy.async;
        mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r5], 256;
        cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%s], [%out, {64, 3}], [%r5];
    AGAIN:
        mbarrier.try_wait.parity.shared::cta.b64 %q, [%r5], 0;
        @!%q bra AGAIN;
        cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%out, {48, 4}], [%s];
        cp.async.bulk.commit_group;
        cp.async.bulk.wait_group 0;
    DONE:";
    let mut device = Device::new(&module(body));
    let map = TensorMap {
        address: device.put(&[7u8; 5 * 112]),
        rank: 2,
        dims: [100, 5, 1, 1, 1],
        strides: [112, 0, 0, 0],
        box_dims: [64, 4, 1, 1, 1],
        element_strides: [1; 5],
        element: ElementType::U8,
        interleave: Interleave::None,
        swizzle: Swizzle::None,
        fill: Fill::Zero,
    };
    let map = device.put(&map.encode());
    let counters = device.launch("k", [1; 3], [32, 1, 1], &[map, 0], 0).unwrap_or_else(|f| panic!("{f}"));
    // 36 of 64 bytes in two rows of four; 52 bytes of one row.
    let copies = Copies { global_read: 72, global_written: 52, shared_read: 52, shared_written: 256 };
    assert_eq!(counters.copies, copies);
}

// ---- Shared memory ---------------------------------------------------------------------

/// Wavefronts of an access of one warp at `%s` plus `%r1`; all memory is written before, 16 bytes a lane.
fn wavefronts(offset: &str, access: &str) -> Wavefronts {
    let fill = "
        mov.u32 %r9, 0;
    FILL:
        mad.lo.u32 %r8, %t, 16, %s;
        add.u32 %r8, %r8, %r9;
        st.shared.v4.u32 [%r8], {%t, %t, %t, %t};
        add.u32 %r9, %r9, 512;
        setp.lt.u32 %p, %r9, 32768;
        @%p bra FILL;";
    let whole = run(1, 32, &format!("{fill}\n{offset}\nadd.u32 %r1, %r1, %s;\n{access}")).shared;
    let filled = run(1, 32, fill).shared;
    assert_eq!(filled, Wavefronts { least: 4 * 64, needed: 4 * 64 });
    Wavefronts { least: whole.least - filled.least, needed: whole.needed - filled.needed }
}

#[track_caller]
fn takes(offset: &str, access: &str, least: u64, needed: u64) {
    assert_eq!(wavefronts(offset, access), Wavefronts { least, needed }, "{offset} {access}");
}

#[test]
fn conflicts_of_words() {
    for word in ["ld.shared.u32 %r2, [%r1];", "st.shared.u32 [%r1], %t;", "red.shared.add.u32 [%r1], 1;"] {
        // Strides of 1, 2, 3, 4, 32 and 33 words.
        for (stride, needed) in [(1, 1), (2, 2), (3, 1), (4, 4), (32, 32), (33, 1)] {
            takes(&format!("mul.lo.u32 %r1, %t, {};", 4 * stride), word, 1, needed);
        }
        // All the same word; eight words of one bank, four lanes each; half of the lanes at each of two words.
        takes("mov.u32 %r1, 8;", word, 1, 1);
        takes("shr.u32 %r1, %t, 2;\nshl.b32 %r1, %r1, 7;", word, 1, 8);
        takes("shr.u32 %r1, %t, 4;\nshl.b32 %r1, %r1, 7;", word, 1, 2);
    }
    // Only eight lanes, 32 words apart.
    takes("shl.b32 %r1, %t, 7;", "setp.lt.u32 %p, %t, 8;\n@%p ld.shared.u32 %r2, [%r1];", 1, 8);
    // Bytes: four lanes share a word; or lie in words of one bank.
    takes("mov.u32 %r1, %t;", "ld.shared.u8 %r2, [%r1];", 1, 1);
    takes("shl.b32 %r1, %t, 7;", "ld.shared.u8 %r2, [%r1];", 1, 32);
    takes("mul.lo.u32 %r1, %t, 66;", "st.shared.u16 [%r1], 0;", 1, 1);
}

#[test]
fn conflicts_of_wider_elements() {
    // 8 bytes: 16 lanes at a time.
    let double = "ld.shared.u64 %l1, [%r1];";
    takes("shl.b32 %r1, %t, 3;", double, 2, 2);
    takes("shl.b32 %r1, %t, 4;", double, 2, 4);
    takes("shl.b32 %r1, %t, 7;", double, 2, 32);
    takes("mov.u32 %r1, 0;", double, 2, 2);
    // The same 8 bytes in both halves of the warp; words 32 apart in the two halves.
    takes("and.b32 %r1, %t, 15;\nshl.b32 %r1, %r1, 3;", double, 2, 2);
    // A half without lanes takes no wavefront.
    takes("shl.b32 %r1, %t, 3;", "setp.lt.u32 %p, %t, 16;\n@%p ld.shared.u64 %l1, [%r1];", 1, 1);
    // 16 bytes: eight lanes at a time.
    let quad = "ld.shared.v4.u32 {%r2, %r3, %r4, %r5}, [%r1];";
    takes("shl.b32 %r1, %t, 4;", quad, 4, 4);
    takes("shl.b32 %r1, %t, 5;", quad, 4, 8);
    takes("shl.b32 %r1, %t, 7;", quad, 4, 32);
    takes("mul.lo.u32 %r1, %t, 144;", quad, 4, 4);
    takes("mov.u32 %r1, 16;", "st.shared.v4.u32 [%r1], {%t, %t, %t, %t};", 4, 4);
}

#[test]
fn conflicts_of_matrices() {
    let load = |count: usize| {
        let registers = ["%r2", "%r3", "%r4", "%r5"][..count].join(", ");
        format!("ldmatrix.sync.aligned.m8n8.x{count}.shared.b16 {{{registers}}}, [%r1];")
    };
    // Rows of 16 bytes one behind the other, 128 bytes apart, and 144.
    for (stride, each) in [(16, 1), (128, 8), (144, 1)] {
        for count in [1, 2, 4] {
            let offset = format!("mul.lo.u32 %r1, %t, {stride};");
            takes(&offset, &load(count), count as u64, each * count as u64);
        }
    }
    let store = "stmatrix.sync.aligned.m8n8.x2.shared.b16 [%r1], {%t, %t};";
    takes("shl.b32 %r1, %t, 7;", store, 2, 16);
}

#[test]
fn conflicts_have_places() {
    let body = "
        shl.b32 %r1, %t, 7;
        add.u32 %r1, %r1, %s;
        shl.b32 %r2, %t, 2;
        add.u32 %r2, %r2, %s;
        .loc 1 10 0
        st.shared.u32 [%r2], %t;
        bar.sync 0;
        .loc 1 20 0
        st.shared.u32 [%r1], %t;
        .loc 1 30 0
        ld.shared.u64 %l0, [%r1];";
    let ptx = module(&body.replace("ld.shared.u64", "st.shared.u64").replace("%l0, [%r1]", "[%r1], %in"));
    let line = |text: &str| ptx.lines().position(|l| l.contains(text)).expect("a line") as u32 + 1;
    let counters = run_in(&mut Device::new(&ptx), 5, 64, 3);
    let conflict = |text, source, conflicts| Conflict {
        ptx_line: line(text),
        source: Some(("k.cu".to_owned(), source)),
        conflicts,
    };
    // Ten warps; the second one of a block goes beyond the first 4 KiB, which changes nothing.
    let expected =
        [conflict("st.shared.u32 [%r1]", 20, 10 * 31), conflict("st.shared.u64 [%r1]", 30, 10 * 30)];
    assert_eq!(counters.conflicts, expected);
    assert_eq!(counters.shared.conflicts(), 10 * 61);
}

// ---- Tensor cores ----------------------------------------------------------------------

#[test]
fn operations_of_tensor_cores() {
    let mma = "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 \
               {%f0, %f1, %f2, %f3}, {%r0, %r0, %r0, %r0}, {%r0, %r0}, {%f0, %f1, %f2, %f3};";
    let zero = "mov.f32 %f0, 0f00000000;\nmov.f32 %f1, %f0;\nmov.f32 %f2, %f0;\nmov.f32 %f3, %f0;";
    let wgmma = "
        mad.lo.u32 %r1, %t, 32, %s;
        st.shared.v4.u32 [%r1], {%r0, %r0, %r0, %r0};
        st.shared.v4.u32 [%r1+16], {%r0, %r0, %r0, %r0};
        fence.proxy.async;
        bar.sync 0;
        setp.eq.u32 %p, %r0, 0;
        shr.u32 %r2, %s, 4;
        cvt.u64.u32 %l0, %r2;
        or.b64 %l0, %l0, 0x1000080000;
        wgmma.fence.sync.aligned;
        wgmma.mma_async.sync.aligned.m64n8k32.f32.e4m3.e4m3 {%f0, %f1, %f2, %f3}, %l0, %l0, %p, 1, 1;
        wgmma.commit_group.sync.aligned;
        wgmma.wait_group.sync.aligned 0;";
    let counters = run(3, 128, &format!("{zero}\n{mma}\n{mma}\n{wgmma}"));
    let operations = [("mma.m16n8k16".to_owned(), 3 * 4 * 2), ("wgmma.m64n8k32".to_owned(), 3)];
    assert_eq!(counters.tensor_operations.into_iter().collect::<Vec<_>>(), operations);
    let products = 3 * (8 * 16 * 8 * 16 + 64 * 8 * 32);
    assert_eq!(counters.tensor_multiply_adds, products);
    assert!(counters.roles.iter().all(|role| role.instructions[Kind::Tensor] == 3 * 3));
}
