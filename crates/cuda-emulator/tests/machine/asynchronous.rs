//! Clusters, mbarriers and bulk copies, by small programs: what they compute,
//! under every order of events, and what is found in wrong ones.

use cuda_emulator::verdict::{Finding, Verdict};

use crate::device::Device;

const SEEDS: std::ops::Range<u64> = 0..12;

/// A module with one kernel `k(out, in)`. `%out`, `%in` and `%t` (the thread in the block) are loaded.
fn module(shared: &str, body: &str) -> String {
    format!(
        ".version 8.7\n.target sm_90a\n.address_size 64\n{shared}\n\
         .visible .entry k(.param .u64 p_out, .param .u64 p_in)\n{{\n\
         .reg .pred %p, %q;\n.reg .b32 %t, %r<16>;\n.reg .b64 %out, %in, %l<8>;\n\
         ld.param.u64 %out, [p_out];\nld.param.u64 %in, [p_in];\nmov.u32 %t, %tid.x;\n\
         {body}\nret;\n}}\n"
    )
}

/// `size` blocks of a cluster in x.
fn clustered(ptx: &str, size: u32) -> Device {
    let mut device = Device::new(ptx);
    device.cluster = [size, 1, 1];
    device
}

/// Runs `k` under each seed and gives what it leaves in `count` words of output.
fn outputs(device: &mut Device, grid: u32, block: u32, input: &[u32], count: usize) -> Vec<u32> {
    let input = device.put(input);
    let mut runs = SEEDS.map(|seed| {
        let out = device.alloc(4 * count as u64);
        device
            .launch("k", [grid, 1, 1], [block, 1, 1], &[out, input], seed)
            .unwrap_or_else(|finding| panic!("seed {seed}: {finding}"));
        assert_eq!(device.first_undefined(out, 4 * count as u64), None, "seed {seed}");
        device.get::<u32>(out, count)
    });
    let first = runs.next().expect("a seed");
    runs.for_each(|other| assert_eq!(first, other));
    first
}

/// What is found when `k` runs.
fn finding(device: &mut Device, grid: u32, block: u32, seed: u64) -> Box<Finding> {
    let (out, input) = (device.alloc(1 << 16), device.put(&[7u32; 4096]));
    device.launch("k", [grid, 1, 1], [block, 1, 1], &[out, input], seed).expect_err("something is wrong")
}

fn numbers(n: u32) -> Vec<u32> {
    (0..n).map(|i| i * 3 + 1).collect()
}

// ---- Clusters --------------------------------------------------------------------------

/// Each block hands its word to the next one's shared memory.
const RING: &str = "
    barrier.cluster.arrive.relaxed.aligned;
    barrier.cluster.wait.acquire.aligned;
    mov.u32 %r0, %cluster_ctarank;
    mov.u32 %r1, %cluster_nctarank;
    add.u32 %r2, %r0, 1;
    rem.u32 %r2, %r2, %r1;
    mov.u32 %r3, box;
    mapa.shared::cluster.u32 %r4, %r3, %r2;
    mov.u32 %r5, %ctaid.x;
    mad.lo.u32 %r5, %r5, 100, %t;
    shl.b32 %r6, %t, 2;
    add.u32 %r4, %r4, %r6;
    st.shared::cluster.u32 [%r4], %r5;
    barrier.cluster.arrive.release.aligned;
    barrier.cluster.wait.acquire.aligned;
    add.u32 %r3, %r3, %r6;
    ld.shared.u32 %r7, [%r3];
    mov.u32 %r8, %ctaid.x;
    mov.u32 %r9, %ntid.x;
    mad.lo.u32 %r8, %r8, %r9, %t;
    mad.wide.u32 %l0, %r8, 4, %out;
    st.global.u32 [%l0], %r7;";

#[test]
fn blocks_of_a_cluster_reach_each_others_shared_memory() {
    for size in [1, 2, 4, 8] {
        let mut device = clustered(&module(".shared .align 4 .b8 box[256];", RING), size);
        let got = outputs(&mut device, 8, 64, &[], 8 * 64);
        for (i, got) in (0u32..).zip(got) {
            let (block, t) = (i / 64, i % 64);
            let from = block / size * size + (block % size + size - 1) % size;
            assert_eq!(got, from * 100 + t, "block {block} thread {t} of clusters of {size}");
        }
    }
}

#[test]
fn an_address_names_its_block() {
    let body = "
        mov.u32 %r3, box;
        mapa.shared::cluster.u32 %r4, %r3, 1;
        getctarank.shared::cluster.u32 %r5, %r4;
        cvt.u64.u32 %l0, %r3;
        cvta.shared.u64 %l0, %l0;
        mapa.u64 %l1, %l0, 1;
        getctarank.u64 %r6, %l1;
        mov.u32 %r0, %cluster_ctarank;
        setp.ne.u32 %p, %r0, 0;
        mov.u32 %r7, 41;
        barrier.cluster.arrive.relaxed.aligned;
        barrier.cluster.wait.aligned;
        @!%p st.u32 [%l1], %r7;
        barrier.cluster.arrive.aligned;
        barrier.cluster.wait.aligned;
        @!%p ret;
        ld.shared.u32 %r8, [box];
        st.global.v4.u32 [%out], {%r5, %r6, %r8, %r0};";
    let mut device = clustered(&module(".shared .align 4 .b8 box[256];", body), 2);
    assert_eq!(outputs(&mut device, 2, 1, &[], 4), [1, 1, 41, 1]);
}

#[test]
fn a_rank_that_is_none_is_found() {
    let body = "mov.u32 %r3, box;\nmapa.shared::cluster.u32 %r4, %r3, 2;\nst.shared::cluster.u32 [%r4], %t;";
    let mut device = clustered(&module(".shared .align 4 .b8 box[256];", body), 2);
    assert!(matches!(finding(&mut device, 2, 1, 0).verdict, Verdict::Operand { .. }));
}

#[test]
fn anothers_memory_has_bounds_too() {
    let body =
        "mov.u32 %r3, box;\nmapa.shared::cluster.u32 %r4, %r3, 1;\nst.shared::cluster.u32 [%r4+256], %t;";
    let mut device = clustered(&module(".shared .align 4 .b8 box[256];", body), 2);
    let found = finding(&mut device, 2, 1, 0);
    assert!(matches!(found.verdict, Verdict::OutOfBounds { .. }), "{found}");
    // `.shared` alone means the block's own.
    let body = body.replace("st.shared::cluster.u32 [%r4+256]", "st.shared.u32 [%r4]");
    let mut device = clustered(&module(".shared .align 4 .b8 box[256];", &body), 2);
    let found = finding(&mut device, 2, 1, 0);
    assert!(matches!(found.verdict, Verdict::OutOfBounds { .. }), "{found}");
}

#[test]
fn a_cluster_barrier_that_one_block_misses_is_a_deadlock() {
    let body = "
        mov.u32 %r0, %cluster_ctarank;
        setp.eq.u32 %p, %r0, 1;
        barrier.cluster.arrive.aligned;
        barrier.cluster.wait.aligned;
        @!%p barrier.cluster.arrive.aligned;
        @!%p barrier.cluster.wait.aligned;
        @%p bar.sync 1, 64;";
    let mut device = clustered(&module("", body), 2);
    let found = finding(&mut device, 2, 32, 0);
    let Verdict::Deadlock { stands } = &found.verdict else { panic!("{found}") };
    let waits: Vec<_> = stands.iter().map(|s| s.waits_for.as_str()).collect();
    assert_eq!(waits.len(), 2, "{found}");
    assert!(waits.iter().any(|w| w.contains("the cluster's barrier (32 of 64 threads arrived)")), "{found}");
}

#[test]
fn a_wait_at_the_cluster_barrier_needs_an_arrival() {
    let mut device = clustered(&module("", "barrier.cluster.wait.aligned;"), 2);
    assert!(matches!(finding(&mut device, 2, 32, 0).verdict, Verdict::Operand { .. }));
    let twice = "barrier.cluster.arrive.aligned;\nbarrier.cluster.arrive.aligned;";
    let mut device = clustered(&module("", twice), 2);
    assert!(matches!(finding(&mut device, 2, 32, 0).verdict, Verdict::Operand { .. }));
}

// ---- mbarriers -------------------------------------------------------------------------

const PIPELINE_SHARED: &str =
    ".shared .align 8 .b64 full;\n.shared .align 8 .b64 empty;\n.shared .align 4 .b8 slot[128];";

/// Warp 0 puts 20 rows through one slot to warp 1, which sums them.
const PIPELINE: &str = "
    setp.ne.u32 %p, %t, 0;
    @%p bra READY;
    mbarrier.init.shared::cta.b64 [full], 32;
    mbarrier.init.shared::cta.b64 [empty], 32;
    fence.mbarrier_init.release.cluster;
READY:
    bar.sync 0;
    mov.u32 %r0, 0;
    mov.u32 %r5, 0;
    and.b32 %r6, %t, 31;
    shl.b32 %r7, %r6, 2;
    mov.u32 %r8, slot;
    add.u32 %r8, %r8, %r7;
    setp.ge.u32 %p, %t, 32;
    @%p bra CONSUMER;
PRODUCER:
    and.b32 %r1, %r0, 1;
    xor.b32 %r1, %r1, 1;
FREE:
    mbarrier.try_wait.parity.shared::cta.b64 %q, [empty], %r1;
    @!%q bra FREE;
    mad.lo.u32 %r2, %r0, 32, %r6;
    mad.wide.u32 %l0, %r2, 4, %in;
    ld.global.u32 %r3, [%l0];
    st.shared.u32 [%r8], %r3;
    mbarrier.arrive.shared::cta.b64 _, [full];
    add.u32 %r0, %r0, 1;
    setp.lt.u32 %q, %r0, 20;
    @%q bra PRODUCER;
    ret;
CONSUMER:
    and.b32 %r1, %r0, 1;
FILLED:
    mbarrier.try_wait.parity.shared::cta.b64 %q, [full], %r1;
    @!%q bra FILLED;
    ld.shared.u32 %r3, [%r8];
    add.u32 %r5, %r5, %r3;
    mbarrier.arrive.shared::cta.b64 %l1, [empty];
    add.u32 %r0, %r0, 1;
    setp.lt.u32 %q, %r0, 20;
    @%q bra CONSUMER;
    mad.wide.u32 %l0, %r6, 4, %out;
    st.global.u32 [%l0], %r5;";

#[test]
fn a_pipeline_of_two_warps() {
    let mut device = Device::new(&module(PIPELINE_SHARED, PIPELINE));
    let input = numbers(20 * 32);
    let got = outputs(&mut device, 1, 64, &input, 32);
    let expected: Vec<u32> = (0..32).map(|lane| (0..20).map(|row| input[row * 32 + lane]).sum()).collect();
    assert_eq!(got, expected);
}

#[test]
fn a_missing_arrival_is_a_deadlock_that_says_what_is_missing() {
    let body = PIPELINE.replace("mbarrier.arrive.shared::cta.b64 %l1, [empty];", "");
    let mut device = Device::new(&module(PIPELINE_SHARED, &body));
    let found = finding(&mut device, 1, 64, 0);
    let Verdict::Deadlock { stands } = &found.verdict else { panic!("{found}") };
    assert!(stands.iter().any(|s| s.waits_for.contains("phase 0 waits for 32 of 32 arrivals")), "{found}");
}

#[test]
fn misused_mbarriers_are_found() {
    let shared = ".shared .align 8 .b64 b;";
    let wrong = [
        ("mbarrier.arrive.shared::cta.b64 _, [b];", "no mbarrier here"),
        ("mbarrier.init.shared::cta.b64 [b], 0;", "a count of 0 arrivals"),
        (
            "mbarrier.init.shared::cta.b64 [b], 1;\nmbarrier.init.shared::cta.b64 [b], 1;",
            "initialised already",
        ),
        (
            "mbarrier.init.shared::cta.b64 [b], 1;\nmbarrier.arrive.shared::cta.b64 _, [b], 2;",
            "2 arrivals where the running phase waits for 1 of 1",
        ),
        ("mbarrier.inval.shared::cta.b64 [b];", "no mbarrier here to invalidate"),
        (
            "mbarrier.init.shared::cta.b64 [b], 1;\nmbarrier.arrive.noComplete.release.cta.shared::cta.b64 %l0, [b], 1;",
            "would complete the phase",
        ),
    ];
    for (body, says) in wrong {
        let mut device = Device::new(&module(shared, body));
        let found = finding(&mut device, 1, 1, 0);
        assert!(matches!(found.verdict, Verdict::Mbarrier { .. }), "{found}");
        assert!(found.to_string().contains(says), "{found}");
    }
    let mut device =
        Device::new(&module(shared, "mov.u32 %r0, b;\nmbarrier.init.shared::cta.b64 [%r0+4], 1;"));
    assert!(matches!(finding(&mut device, 1, 1, 0).verdict, Verdict::Misaligned { .. }));
}

#[test]
fn tokens_count_what_is_pending() {
    let body = "
        mbarrier.init.shared::cta.b64 [b], 5;
        mbarrier.arrive.shared::cta.b64 %l0, [b], 2;
        mbarrier.pending_count.b64 %r0, %l0;
        mbarrier.arrive_drop.shared::cta.b64 %l1, [b];
        mbarrier.pending_count.b64 %r1, %l1;
        mbarrier.test_wait.shared::cta.b64 %p, [b], %l1;
        selp.u32 %r2, 1, 0, %p;
        mbarrier.arrive.shared::cta.b64 %l2, [b], 2;
        mbarrier.test_wait.shared::cta.b64 %p, [b], %l2;
        selp.u32 %r3, 1, 0, %p;
        mbarrier.arrive.shared::cta.b64 %l3, [b];
        mbarrier.pending_count.b64 %r4, %l3;
        st.global.v4.u32 [%out], {%r0, %r1, %r2, %r3};
        st.global.u32 [%out+16], %r4;";
    let mut device = Device::new(&module(".shared .align 8 .b64 b;", body));
    assert_eq!(outputs(&mut device, 1, 1, &[], 5), [5, 3, 0, 1, 4]);
}

// ---- Bulk copies -----------------------------------------------------------------------

const COPY_SHARED: &str = ".shared .align 8 .b64 b;\n.shared .align 16 .b8 tile[512];";

/// Comes in by one copy, goes out by another, each thread doubling its word between.
const COPY: &str = "
    setp.ne.u32 %p, %t, 0;
    @%p bra WAIT;
    mbarrier.init.shared::cta.b64 [b], 1;
    fence.mbarrier_init.release.cluster;
    mbarrier.arrive.expect_tx.shared::cta.b64 _, [b], 512;
    cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [tile], [%in], 512, [b];
WAIT:
    bar.sync 0;
AGAIN:
    mbarrier.try_wait.parity.shared::cta.b64 %q, [b], 0;
    @!%q bra AGAIN;
    shl.b32 %r0, %t, 2;
    mov.u32 %r1, tile;
    add.u32 %r1, %r1, %r0;
    ld.shared.u32 %r2, [%r1];
    setp.eq.u32 %q, %r2, 0xffffffff;
    @%q trap;
    shl.b32 %r2, %r2, 1;
    st.shared.u32 [%r1], %r2;
    fence.proxy.async.shared::cta;
    bar.sync 0;
    @%p ret;
    cp.async.bulk.global.shared::cta.bulk_group [%out], [tile], 512;
    cp.async.bulk.commit_group;
    cp.async.bulk.wait_group 0;";

#[test]
fn bulk_copies_in_and_out() {
    let mut device = Device::new(&module(COPY_SHARED, COPY));
    let input = numbers(128);
    let expected: Vec<u32> = input.iter().map(|v| 2 * v).collect();
    assert_eq!(outputs(&mut device, 1, 128, &input, 128), expected);
}

#[test]
fn what_has_not_landed_may_not_be_read() {
    let body = COPY
        .replace("@!%q bra AGAIN;", "")
        .replace("mbarrier.try_wait.parity.shared::cta.b64 %q, [b], 0;", "");
    let mut device = Device::new(&module(COPY_SHARED, &body));
    let found = finding(&mut device, 1, 128, 0);
    assert!(matches!(found.verdict, Verdict::Conflict { .. }), "{found}");
}

#[test]
fn expected_bytes_that_do_not_come_are_a_deadlock() {
    let mut device = Device::new(&module(COPY_SHARED, &COPY.replace("[b], 512;", "[b], 528;")));
    let found = finding(&mut device, 1, 128, 0);
    let Verdict::Deadlock { stands } = &found.verdict else { panic!("{found}") };
    assert!(stands.iter().any(|s| s.waits_for.contains("0 of 1 arrivals and 16 bytes")), "{found}");
}

#[test]
fn copies_out_of_rule_are_found() {
    let wrong = [
        (COPY.replace("[tile], [%in], 512", "[tile], [%in], 500"), "operand"),
        (COPY.replace("[tile], [%in], 512", "[tile], [%in+8], 512"), "misaligned"),
        (COPY.replace("[tile], [%in], 512", "[tile+16], [%in], 512"), "out-of-bounds"),
        (COPY.replace("[tile], [%in], 512", "[tile], [%in+16384], 512"), "out-of-bounds"),
        // The second copy wants what the first one will write.
        (
            COPY.replace(
                "WAIT:\n",
                "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [tile+256], [%in], 256, [b];\nWAIT:\n",
            ),
            "conflict",
        ),
        // The copy out is not waited for, and the tile is filled again.
        (
            COPY.replace(
                "cp.async.bulk.wait_group 0;",
                "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [tile], [%in], 512, [b];",
            ),
            "conflict",
        ),
    ];
    for (body, kind) in wrong {
        let mut device = Device::new(&module(COPY_SHARED, &body));
        let found = finding(&mut device, 1, 128, 0);
        assert_eq!(found.verdict.kind(), kind, "{found}");
    }
    // Once the source is read it may be filled again.
    let body = COPY.replace(
        "cp.async.bulk.wait_group 0;",
        "cp.async.bulk.wait_group.read 0;\n\
         mbarrier.arrive.expect_tx.shared::cta.b64 _, [b], 512;\n\
         cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [tile], [%in], 512, [b];\n\
         SECOND: mbarrier.try_wait.parity.shared::cta.b64 %q, [b], 1;\n@!%q bra SECOND;",
    );
    let input = numbers(128);
    let expected: Vec<u32> = input.iter().map(|v| 2 * v).collect();
    let mut device = Device::new(&module(COPY_SHARED, &body));
    assert_eq!(outputs(&mut device, 1, 128, &input, 128), expected);
}

#[test]
fn one_copy_reaches_several_blocks() {
    let body = "
        setp.ne.u32 %p, %t, 0;
        mov.u32 %r0, %cluster_ctarank;
        @%p bra READY;
        mbarrier.init.shared::cta.b64 [b], 1;
        fence.mbarrier_init.release.cluster;
        mbarrier.arrive.expect_tx.shared::cta.b64 _, [b], 512;
    READY:
        barrier.cluster.arrive.aligned;
        barrier.cluster.wait.aligned;
        @%p bra AGAIN;
        shl.b32 %r2, %r0, 7;
        mov.u32 %r3, tile;
        add.u32 %r3, %r3, %r2;
        cvt.u64.u32 %l0, %r2;
        add.u64 %l0, %l0, %in;
        mov.u16 %h0, 15;
        cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%r3], [%l0], 128, [b], %h0;
    AGAIN:
        mbarrier.try_wait.parity.shared::cta.b64 %q, [b], 0;
        @!%q bra AGAIN;
        shl.b32 %r2, %t, 2;
        mov.u32 %r3, tile;
        add.u32 %r3, %r3, %r2;
        ld.shared.u32 %r4, [%r3];
        mad.lo.u32 %r5, %r0, 128, %t;
        mad.wide.u32 %l0, %r5, 4, %out;
        st.global.u32 [%l0], %r4;
        barrier.cluster.arrive.aligned;
        barrier.cluster.wait.aligned;";
    let ptx = module(COPY_SHARED, body).replace(".reg .pred %p, %q;", ".reg .pred %p, %q;\n.reg .b16 %h0;");
    let input = numbers(128);
    let got = outputs(&mut clustered(&ptx, 4), 4, 128, &input, 512);
    assert_eq!(got, input.repeat(4));
    let found = finding(&mut clustered(&ptx.replace("%h0, 15", "%h0, 31"), 4), 4, 128, 0);
    assert!(matches!(found.verdict, Verdict::Operand { .. }), "{found}");
}

#[test]
fn copies_add_up_in_global_memory() {
    let body = "
        shl.b32 %r0, %t, 2;
        mov.u32 %r1, tile;
        add.u32 %r1, %r1, %r0;
        st.shared.u32 [%r1], %t;
        fence.proxy.async.shared::cta;
        bar.sync 0;
        setp.ne.u32 %p, %t, 0;
        @%p ret;
        cp.reduce.async.bulk.global.shared::cta.bulk_group.add.u32 [%in], [tile], 512;
        cp.async.bulk.commit_group;
        cp.async.bulk.wait_group 0;";
    let mut device = Device::new(&module(COPY_SHARED, body));
    for seed in SEEDS {
        let there = device.put(&numbers(128));
        device.launch("k", [3, 1, 1], [128, 1, 1], &[0, there], seed).unwrap_or_else(|f| panic!("{f}"));
        let expected: Vec<u32> = (0u32..).zip(numbers(128)).map(|(t, v)| v + 3 * t).collect();
        assert_eq!(device.get::<u32>(there, 128), expected);
    }
}

// ---- Found wrong once ------------------------------------------------------------------

#[test]
fn a_thread_that_arrived_and_ended_stands_for_no_other() {
    // Thread 0 arrives and ends; block 0 must wait for the last thread of block 1 even so.
    let body = "
        mov.u32 %r0, %cluster_ctarank;
        setp.eq.u32 %p, %r0, 1;
        setp.eq.u32 %q, %t, 0;
        barrier.cluster.arrive;
        barrier.cluster.wait;
        @%p bra SECOND;
        barrier.cluster.arrive;
        @%q ret;
        barrier.cluster.wait;
        ld.shared.u32 %r1, [box];
        st.global.u32 [%out], %r1;
        ret;
    SECOND:
        mov.u32 %r2, 0;
    SLOWLY:
        add.u32 %r2, %r2, 1;
        setp.lt.u32 %q, %r2, 9000;
        @%q bra SLOWLY;
        mov.u32 %r3, box;
        mapa.shared::cluster.u32 %r4, %r3, 0;
        st.shared::cluster.u32 [%r4], %r2;
        barrier.cluster.arrive;
        barrier.cluster.wait;";
    let mut device = clustered(&module(".shared .align 4 .b8 box[16];", body), 2);
    assert_eq!(outputs(&mut device, 2, 2, &[], 1), [9000]);
}

#[test]
fn reductions_meet_in_shared_memory() {
    let body = "
        mov.u32 %r0, %cluster_ctarank;
        mov.u32 %r1, tile;
        st.shared.v4.u32 [tile], {1, 2, 3, 4};
        st.shared.v4.u32 [tile+16], {10, 20, 30, 40};
        mbarrier.init.shared::cta.b64 [b], 1;
        fence.mbarrier_init.release.cluster;
        mbarrier.arrive.expect_tx.shared::cta.b64 _, [b], 32;
        fence.proxy.async;
        barrier.cluster.arrive;
        barrier.cluster.wait;
        add.u32 %r2, %r1, 16;
        mapa.shared::cluster.u32 %r3, %r2, 0;
        mov.u32 %r4, b;
        mapa.shared::cluster.u32 %r5, %r4, 0;
        cp.reduce.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes.add.u32 [%r3], [tile], 16, [%r5];
        setp.ne.u32 %p, %r0, 0;
        @%p bra DONE;
    AGAIN:
        mbarrier.try_wait.parity.shared::cta.b64 %q, [b], 0;
        @!%q bra AGAIN;
        ld.shared.v4.u32 {%r6, %r7, %r8, %r9}, [tile+16];
        st.global.v4.u32 [%out], {%r6, %r7, %r8, %r9};
    DONE:
        barrier.cluster.arrive;
        barrier.cluster.wait;";
    let mut device = clustered(&module(COPY_SHARED, body), 2);
    assert_eq!(outputs(&mut device, 2, 1, &[], 4), [12, 24, 36, 48]);
}

#[test]
fn anothers_mbarrier_is_only_arrived_at() {
    let body = "
        mov.u32 %r0, %cluster_ctarank;
        setp.eq.u32 %p, %r0, 0;
        mbarrier.init.shared::cta.b64 [b], 1;
        barrier.cluster.arrive;
        barrier.cluster.wait;
        @%p ret;
        mov.u64 %l0, b;
        cvta.shared.u64 %l0, %l0;
        mapa.u64 %l1, %l0, 0;
        mbarrier.test_wait.parity.b64 %q, [%l1], 0;";
    let found = finding(&mut clustered(&module(COPY_SHARED, body), 2), 2, 1, 0);
    assert!(found.to_string().contains("may only arrive at it"), "{found}");
    // A copy completes on an mbarrier that is there.
    let body = "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [tile], [%in], 512, [b];";
    let found = finding(&mut Device::new(&module(COPY_SHARED, body)), 1, 1, 0);
    assert!(matches!(found.verdict, Verdict::Mbarrier { .. }), "{found}");
}

#[test]
fn an_address_at_the_end_of_all_is_out_of_bounds() {
    let body = "mov.u64 %l0, 0xfffffffffffffffc;\nld.shared.u32 %r0, [%l0];\nst.global.u32 [%out], %r0;";
    let found = finding(&mut Device::new(&module(COPY_SHARED, body)), 1, 1, 0);
    assert!(matches!(found.verdict, Verdict::OutOfBounds { .. }), "{found}");
}
