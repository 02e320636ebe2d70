//! Ordinary accesses against each other: for each race a program that is caught, and its correct twins.

use cuda_emulator::verdict::{Finding, Verdict};

use crate::device::Device;

/// A kernel `k(data, flag)` for two blocks of 64 threads, with shared memory `s`. `%t` is the thread, `%b` the block;
/// `%at` the address of the thread's word of `s`, `%other` that of the thread 32 further, round and round; `%data` and
/// `%next` the same of its block's 64 words of `data`. `%first` is thread 0, `%p0` the first warp, `%b0` block 0.
fn module(body: &str) -> String {
    format!(
        ".version 8.7\n.target sm_90a\n.address_size 64\n.shared .align 16 .b8 s[512];\n\
         .visible .entry k(.param .u64 p_data, .param .u64 p_flag)\n{{\n\
         .reg .pred %first, %p0, %b0, %p;\n.reg .b16 %h<4>;\n.reg .b32 %t, %b, %at, %other, %r<16>;\n\
         .reg .b64 %data, %next, %all, %flag, %l<8>;\n\
         ld.param.u64 %all, [p_data];\nld.param.u64 %flag, [p_flag];\n\
         mov.u32 %t, %tid.x;\nmov.u32 %b, %ctaid.x;\nmov.u32 %r0, s;\nmad.lo.u32 %at, %t, 4, %r0;\n\
         add.u32 %r1, %t, 32;\nand.b32 %r1, %r1, 63;\nmad.lo.u32 %other, %r1, 4, %r0;\n\
         mad.lo.u32 %r2, %b, 64, %t;\nmad.wide.u32 %data, %r2, 4, %all;\n\
         mad.lo.u32 %r2, %b, 64, %r1;\nmad.wide.u32 %next, %r2, 4, %all;\n\
         setp.eq.u32 %first, %t, 0;\nsetp.lt.u32 %p0, %t, 32;\nsetp.eq.u32 %b0, %b, 0;\n\
         {body}\nret;\n}}\n"
    )
}

fn run(body: &str, cluster: u32, seed: u64) -> Result<(), Box<Finding>> {
    let mut device = Device::new(&module(body));
    device.cluster = [cluster, 1, 1];
    let (data, flag) = (device.put(&[7u32; 1024]), device.put(&[0u32; 64]));
    device.launch("k", [2, 1, 1], [64, 1, 1], &[data, flag], seed).map(drop)
}

#[track_caller]
fn passes_in(body: &str, cluster: u32) {
    for seed in 0..20 {
        run(body, cluster, seed).unwrap_or_else(|finding| panic!("seed {seed}: {finding}"));
    }
}

#[track_caller]
fn passes(body: &str) {
    passes_in(body, 1);
}

/// Under every seed, whoever comes second.
#[track_caller]
fn races_in(body: &str, cluster: u32) {
    for seed in 0..20 {
        let finding = run(body, cluster, seed).expect_err("the race was not found");
        assert!(matches!(finding.verdict, Verdict::Race { .. }), "seed {seed}: {finding}");
    }
}

#[track_caller]
fn races(body: &str) {
    races_in(body, 1);
}

const BARRIER: &str = "bar.sync 0;\n";

#[test]
fn a_barrier_between_warps() {
    let (store, load) = ("st.shared.u32 [%at], %t;\n", "ld.shared.u32 %r3, [%other];\n");
    passes(&format!("{store}{BARRIER}{load}"));
    passes(&format!("{store}barrier.sync 3, 64;\n{load}"));
    races(&format!("{store}{load}"));
    // Before the next round, too.
    passes(&format!("{store}{BARRIER}{load}{BARRIER}{store}"));
    races(&format!("{store}{BARRIER}{load}{store}"));
    races(&format!("{BARRIER}{store}st.shared.u32 [%other], %t;\n"));
    // A barrier orders those who take part; who arrives has been waited for, and has not waited.
    let arrives = "@%p0 bar.arrive 1, 64;\n@!%p0 bar.sync 1, 64;\n";
    passes(&format!("@%p0 {store}{arrives}@!%p0 {load}"));
    races(&format!("@!%p0 {store}{arrives}@%p0 {load}"));
    // What a warp does itself it knows.
    passes(&format!("{store}ld.shared.u32 %r3, [%at];\n{store}"));
    // Both may load.
    passes(&format!("{store}{BARRIER}{load}ld.shared.u32 %r3, [%at];\n"));
}

#[test]
fn global_memory_of_a_block() {
    let (store, load) = ("st.global.u32 [%data], %t;\n", "ld.global.u32 %r3, [%next];\n");
    passes(&format!("{store}{BARRIER}{load}"));
    races(&format!("{store}{load}"));
    races(&format!("{store}{BARRIER}{load}{store}"));
    races(&format!("{store}st.u32 [%next], %t;\n"));
    // By a generic address, through the non-coherent cache, and by `cp.async`.
    races(&format!("{store}ld.u32 %r3, [%next];\n"));
    races(&format!("{store}ld.global.nc.u32 %r3, [%next];\n"));
    races(&format!("{store}cp.async.ca.shared.global [%at], [%next], 4;\ncp.async.wait_all;\n"));
}

/// Bytes that lie side by side are not the same bytes.
#[test]
fn neighbours() {
    let bytes = "cvt.u64.u32 %l0, %t;\nadd.u64 %l0, %l0, %all;\nmad.wide.u32 %l1, %b, 64, 0;\nadd.u64 %l0, %l0, %l1;\n\
                 cvt.u16.u32 %h0, %t;\n";
    passes(&format!("{bytes}st.global.u8 [%l0], %h0;\n"));
    races(&format!(
        "{bytes}st.global.u8 [%l0], %h0;\nld.global.u8 %h1, [%l0+32];\n@%p0 st.global.u8 [%l0+32], %h0;\n"
    ));
    // Columns: each warp has every other word.
    let words = "shr.u32 %r3, %t, 5;\nand.b32 %r4, %t, 31;\nmad.lo.u32 %r4, %r4, 8, %r0;\nmad.lo.u32 %r5, %r3, 4, %r4;\n\
                 xor.b32 %r3, %r3, 1;\nmad.lo.u32 %r6, %r3, 4, %r4;\n";
    passes(&format!("{words}st.shared.u32 [%r5], %t;\n{BARRIER}ld.shared.u32 %r7, [%r6];\n"));
    races(&format!("{words}st.shared.u32 [%r5], %t;\nld.shared.u32 %r7, [%r6];\n"));
    races(&format!("{words}st.shared.u32 [%r5], %t;\nld.shared.u64 %l0, [%r4];\n"));
    passes(&format!("{words}st.shared.u32 [%r5], %t;\n{BARRIER}ld.shared.u64 %l0, [%r4];\n"));
}

/// Relaxed, volatile and atomic accesses may meet, if each takes part in the other's scope.
#[test]
fn strong_accesses_meet() {
    for (store, load) in [
        ("st.relaxed.gpu.global.u32", "ld.relaxed.gpu.global.u32"),
        ("st.volatile.global.u32", "ld.volatile.global.u32"),
        ("st.release.sys.global.u32", "ld.acquire.gpu.global.u32"),
        ("red.global.add.u32", "ld.relaxed.gpu.global.u32"),
    ] {
        passes(&format!("{store} [%all], %t;\n{load} %r3, [%all];\n"));
        let (weak_load, weak_store) = ("ld.global.u32 %r3, [%all];\n", "st.global.u32 [%all], %t;\n");
        races(&format!("{store} [%all], %t;\n{weak_load}"));
        races(&format!("{load} %r3, [%all];\n{weak_store}"));
    }
    passes("atom.global.add.u32 %r3, [%all], 1;\n");
    passes("red.cta.global.add.u32 [%data], 1;\nred.cta.global.add.u32 [%next], 1;\n");
    races("red.cta.global.add.u32 [%all], 1;\n");
    races_in("red.relaxed.cluster.global.add.u32 [%all], 1;\n", 1);
    passes_in("red.relaxed.cluster.global.add.u32 [%all], 1;\n", 2);
    // Who may meet a strong access may not meet the weak one before it.
    races(
        "@%first st.global.u32 [%data], 1;\n@%first st.relaxed.gpu.global.u32 [%data], 2;\n\
           @!%p0 ld.relaxed.gpu.global.u32 %r3, [%next];\n",
    );
}

/// Block 0 writes words and then a flag; block 1 waits for the flag and reads them.
fn message(write: &str, fence: &str, set: &str, look: &str, fence_behind: &str, read: &str) -> String {
    format!(
        "@!%b0 bra READER;\n{write}{BARRIER}@!%first bra DONE;\n{fence}{set} [%flag], 1;\nbra DONE;\n\
         READER: @!%first bra READY;\n\
         LOOK: {look} %r3, [%flag];\nsetp.eq.u32 %p, %r3, 0;\n@%p bra LOOK;\n{fence_behind}\
         READY: {BARRIER}{read}DONE:\n"
    )
}

#[test]
fn flags_between_blocks() {
    let write = "st.global.u32 [%data], %t;\n";
    // Block 0's words.
    let read = "mad.wide.u32 %l0, %t, 4, %all;\nld.global.u32 %r4, [%l0];\n";
    let fence = "fence.acq_rel.gpu;\n";
    let (set, look) = ("st.relaxed.gpu.global.u32", "ld.relaxed.gpu.global.u32");
    let (release, acquire) = ("st.release.gpu.global.u32", "ld.acquire.gpu.global.u32");
    let old = ("st.volatile.global.u32", "ld.volatile.global.u32");
    let pass = |fence, set, look, behind| passes(&message(write, fence, set, look, behind, read));
    let race = |fence, set, look, behind| races(&message(write, fence, set, look, behind, read));
    pass("", release, acquire, "");
    pass(fence, set, look, fence);
    pass("membar.gl;\n", old.0, old.1, "membar.gl;\n");
    pass("membar.sys;\n", "red.global.add.u32", acquire, "");
    pass(fence, set, acquire, "");
    // Each of them weakened.
    race("", set, acquire, "");
    race("", release, look, "");
    race("", old.0, old.1, "");
    race(fence, set, look, "");
    race("", set, look, fence);
    race("fence.acq_rel.cta;\n", set, look, fence);
    race(fence, set, look, "fence.acq_rel.cta;\n");
    race("membar.cta;\n", old.0, old.1, "membar.gl;\n");
    race("", "red.relaxed.gpu.global.add.u32", acquire, "");
    // A scope that does not hold both.
    let narrow = message(write, "", "st.release.cta.global.u32", acquire, "", read);
    races(&narrow);
    let (cluster, wait) = ("st.release.cluster.global.u32", "ld.acquire.cluster.global.u32");
    races(&message(write, "", cluster, wait, "", read));
    passes_in(&message(write, "", cluster, wait, "", read), 2);
    // Only those who come behind the thread that waited.
    races(&message(write, "", release, acquire, "", &format!("{read}st.global.u32 [%all], 5;\n")));
    // The block's barrier before the flag.
    let early = message("", "", release, acquire, "", read)
        .replace("@!%first bra DONE", &format!("{write}@!%first bra DONE"));
    races(&early);
}

/// A barrier of the whole grid, as cooperative groups build it.
#[test]
fn a_barrier_of_the_grid() {
    let grid = |fence: &str| {
        format!(
            "{BARRIER}@!%first bra WAITED;\n{fence}atom.global.add.u32 %r3, [%flag], 1;\n\
             LOOK: ld.volatile.global.u32 %r3, [%flag];\nsetp.lt.u32 %p, %r3, 2;\n@%p bra LOOK;\n{fence}\
             WAITED: {BARRIER}"
        )
    };
    // Each block reads what the other wrote.
    let body = |fence| {
        format!(
            "st.global.u32 [%data], %t;\n{}xor.b32 %r4, %b, 1;\nmad.lo.u32 %r4, %r4, 64, %t;\n\
             mad.wide.u32 %l0, %r4, 4, %all;\nld.global.u32 %r5, [%l0];\n",
            grid(fence)
        )
    };
    passes(&body("membar.gl;\n"));
    races(&body(""));
    races(&body("membar.cta;\n"));
}

#[test]
fn shared_memory_of_a_cluster() {
    let together = "barrier.cluster.arrive;\nbarrier.cluster.wait;\n";
    let reach = "xor.b32 %r3, %b, 1;\nmapa.shared::cluster.u32 %r4, %at, %r3;\n";
    let (store, load) = ("st.shared::cluster.u32 [%r4], %t;\n", "ld.shared.u32 %r5, [%at];\n");
    passes_in(&format!("{reach}{together}{store}{together}{load}"), 2);
    // The block's own barrier is not the cluster's; nor is one without a wait.
    races_in(&format!("{reach}{together}{store}{BARRIER}{load}{together}"), 2);
    races_in(&format!("{reach}{together}{store}barrier.cluster.arrive;\n{load}barrier.cluster.wait;\n"), 2);
    races_in(
        &format!(
            "{reach}{together}{store}barrier.cluster.arrive.relaxed;\nbarrier.cluster.wait;\n{load}{together}"
        ),
        2,
    );
    passes_in(
        &format!(
            "{reach}{together}{store}fence.acq_rel.cluster;\nbarrier.cluster.arrive.relaxed;\nbarrier.cluster.wait;\n{load}{together}"
        ),
        2,
    );
}

/// mbarriers order what their arrivals had done for those who wait.
#[test]
fn mbarriers() {
    let begin = ".shared .align 8 .b64 c;\n@%first mbarrier.init.shared::cta.b64 [c], 64;\nbar.sync 0;\n";
    let wait = "WAIT: mbarrier.try_wait.parity.shared::cta.b64 %p, [c], 0;\n@!%p bra WAIT;\n";
    let (store, load) = ("st.shared.u32 [%at], %t;\n", "ld.shared.u32 %r3, [%other];\n");
    let arrive = "mbarrier.arrive.shared::cta.b64 _, [c];\n";
    passes(&format!("{begin}{store}{arrive}{wait}{load}"));
    races(&format!("{begin}{arrive}{store}{wait}{load}"));
    races(&format!("{begin}{store}{}{wait}{load}", arrive.replace("arrive", "arrive.relaxed.cta")));
    races(&format!("{begin}{store}{arrive}{load}{wait}"));
}

/// Global memory has an async proxy too.
#[test]
fn copies_of_global_memory() {
    let fence = "fence.proxy.async.global;\n";
    let init = ".shared .align 8 .b64 c;\n@%first mbarrier.init.shared::cta.b64 [c], 1;\n\
                @%first fence.mbarrier_init.release.cluster;\nbar.sync 0;\n";
    let fill = "
        @%first mbarrier.arrive.expect_tx.shared::cta.b64 _, [c], 256;
        @%first cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [s], [%data], 256, [c];
        WAIT: mbarrier.try_wait.parity.shared::cta.b64 %p, [c], 0;
        @!%p bra WAIT;\n";
    let store = "st.global.u32 [%data], %t;\n";
    passes(&format!("{init}{store}{fence}{BARRIER}{fill}"));
    passes(&format!("{init}{store}fence.proxy.async;\n{BARRIER}{fill}"));
    let kind = |body: &str| run(body, 1, 0).expect_err("the bug was not found").verdict.kind();
    assert_eq!(kind(&format!("{init}{store}{BARRIER}{fill}")), "proxy");
    assert_eq!(kind(&format!("{init}{store}fence.proxy.async.shared::cta;\n{BARRIER}{fill}")), "proxy");
    // Written while it is read, and after; the reader's mbarrier is waited for by all.
    passes(&format!("{init}{fill}{store}"));
    let during = format!("{init}{fill}").replace("WAIT: ", &format!("{store}WAIT: "));
    assert!(matches!(kind(&during), "conflict" | "proxy"));
    // What a copy has written is there once it has been waited for; to have been read is not enough.
    let out = |wait: &str| {
        format!(
            "st.shared.u32 [%at], %t;\nfence.proxy.async.shared::cta;\n{BARRIER}\
             @%first cp.async.bulk.global.shared::cta.bulk_group [%data], [s], 256;\n\
             @%first cp.async.bulk.commit_group;\n@%first cp.async.bulk.wait_group{wait} 0;\n{BARRIER}"
        )
    };
    let load = "ld.global.u32 %r3, [%next];\n";
    passes(&format!("{}{load}", out("")));
    assert_eq!(kind(&format!("{}{load}", out(".read"))), "conflict");
}

/// What one lane hands on is its own, and what the warp did before its lanes met.
#[test]
fn lanes_meet_before_one_hands_on() {
    let begin = ".shared .align 8 .b64 c;\n@%first mbarrier.init.shared::cta.b64 [c], 1;\nbar.sync 0;\n";
    let wait = "WAIT: mbarrier.try_wait.parity.shared::cta.b64 %p, [c], 0;\n@!%p bra WAIT;\n";
    let (store, load) = ("@%p0 st.shared.u32 [%at], %t;\n", "@!%p0 ld.shared.u32 %r3, [%other];\n");
    let arrive = "@%first mbarrier.arrive.shared::cta.b64 _, [c];\n";
    let meet = "bar.warp.sync -1;\n";
    passes(&format!("{begin}{store}{meet}{arrive}{wait}{load}"));
    races(&format!("{begin}{store}{arrive}{wait}{load}"));
    races(&format!("{begin}{meet}{store}{arrive}{wait}{load}"));
    // Its own it hands on without.
    let (one, its) = ("@%first st.shared.u32 [s], 1;\n", "@!%p0 ld.shared.u32 %r3, [s];\n");
    passes(&format!("{begin}{one}{arrive}{wait}{its}"));
    passes(&format!("{begin}{store}{arrive}{wait}{its}"));
    // Those that have met, if it is of them.
    let some = "setp.lt.u32 %p, %t, 8;\n@%p bar.warp.sync 255;\n";
    let theirs =
        "setp.ge.u32 %p, %t, 32;\nsetp.lt.and.u32 %p, %t, 40, %p;\n@%p ld.shared.u32 %r3, [%other];\n";
    passes(&format!("{begin}{store}{some}{arrive}{wait}{theirs}"));
    races(&format!("{begin}{store}{some}{arrive}{wait}{load}"));
    // A barrier of the block is one of lanes, too.
    passes(&format!("{begin}{store}bar.sync 0;\n{arrive}{wait}{load}"));
    // So is whatever all of them have released, for one who acquires that: by a wait, or a fence behind a relaxed one.
    let all = ".shared .align 8 .b64 d;\n@%first mbarrier.init.shared::cta.b64 [d], 32;\n";
    let both = |wait: &str, fence: &str| {
        format!(
            "{all}{begin}{store}@%p0 mbarrier.arrive.shared::cta.b64 _, [d];\n@!%p0 bra LATER;\n\
             MET: mbarrier.try_wait.parity{wait}.shared::cta.b64 %p, [d], 0;\n@!%p bra MET;\n{fence}\
             LATER:\n{arrive}WAIT: mbarrier.try_wait.parity.shared::cta.b64 %p, [c], 0;\n@!%p bra WAIT;\n{load}"
        )
    };
    passes(&both("", ""));
    passes(&both(".relaxed.cta", "@%first fence.acq_rel.cta;\n"));
    races(&both(".relaxed.cta", ""));
    // Reads as well.
    let (read, write) = ("@%p0 ld.shared.u32 %r3, [%at];\n", "@!%p0 st.shared.u32 [%other], %t;\n");
    passes(&format!("{begin}{read}{meet}{arrive}{wait}{write}"));
    races(&format!("{begin}{read}{arrive}{wait}{write}"));
}

/// An mbarrier's scope: what takes no part in it may only be overwritten.
#[test]
fn mbarriers_of_another_block() {
    let begin = "
        .shared .align 8 .b64 c;
        @%first mbarrier.init.shared::cta.b64 [c], 64;
        barrier.cluster.arrive;
        barrier.cluster.wait;
        xor.b32 %r3, %b, 1;
        mapa.shared::cluster.u32 %r4, %at, %r3;
        mov.u32 %r5, c;
        mapa.shared::cluster.u32 %r5, %r5, %r3;\n";
    let end = "barrier.cluster.arrive;\nbarrier.cluster.wait;\n";
    let arrive = |scope: &str| format!("mbarrier.arrive{scope}.shared::cluster.b64 _, [%r5];\n");
    let wait = |scope: &str| {
        format!("WAIT: mbarrier.try_wait.parity{scope}.shared::cta.b64 %p, [c], 0;\n@!%p bra WAIT;\n")
    };
    let (store, load) = ("st.shared::cluster.u32 [%r4], %t;\n", "ld.shared.u32 %r6, [%at];\n");
    let pass = |a: &str, b: &str, c: &str, d: &str| passes_in(&format!("{begin}{a}{b}{c}{d}{end}"), 2);
    let race = |a: &str, b: &str, c: &str, d: &str| races_in(&format!("{begin}{a}{b}{c}{d}{end}"), 2);
    let (release, acquire) = (arrive(".release.cluster"), wait(".acquire.cluster"));
    pass(store, &release, &acquire, load);
    race(store, &arrive(""), &acquire, load);
    race(store, &release, &wait(""), load);
    race(store, &arrive(".relaxed.cluster"), &acquire, load);
    race(store, &release, &wait(".relaxed.cluster"), load);
    // It reads the other block's, which that one then overwrites.
    let (read, overwrite) = ("ld.shared::cluster.u32 %r6, [%r4];\n", "st.shared.u32 [%at], %t;\n");
    pass(read, &release, &acquire, overwrite);
    pass(read, &arrive(""), &wait(""), overwrite);
    race(read, &arrive(".relaxed.cta"), &wait(""), overwrite);
    race(read, &arrive(""), &wait(".relaxed.cta"), overwrite);
}

/// Who has replaced a value by an atomic comes behind those that wrote it, as far as that value goes: the last block sets
/// a counter back.
#[test]
fn the_last_one_sets_the_counter_back() {
    let last = |what: &str| {
        format!(
            "@!%first bra DONE;\natom.relaxed.gpu.global.inc.u32 %r3, [%flag], 1;\nsetp.eq.u32 %p, %r3, 1;\n{what}DONE:\n"
        )
    };
    passes(&last("@%p st.global.u32 [%flag], 0;\n"));
    passes(&last("@%p st.relaxed.gpu.global.u32 [%flag], 0;\n"));
    // What the others did before is another matter.
    races(&format!(
        "st.global.u32 [%data], 1;\n{}",
        last("@%p ld.global.u32 %r4, [%all];\n@%p ld.global.u32 %r4, [%all+256];\n")
    ));
    races(&last("st.global.u32 [%flag], 0;\n"));
}

/// All lanes copy the same to the same place: that is one copy. Other things are not the same.
#[test]
fn lanes_that_copy_the_same() {
    let copy = |from: &str, to: &str| {
        format!(
            "@!%p0 bra DONE;\nst.shared.u32 [%at], %t;\nfence.proxy.async.shared::cta;\nbar.warp.sync -1;\n\
             mov.u32 %r4, s;\n{from}\ncp.async.bulk.global.shared::cta.bulk_group [{to}], [%r4], 16;\n\
             cp.async.bulk.commit_group;\ncp.async.bulk.wait_group 0;\nDONE:\n"
        )
    };
    let whole = "mad.wide.u32 %l0, %b, 256, %all;\n";
    passes(&format!("{whole}{}", copy("", "%l0")));
    let run = |body: &str| run(body, 1, 0).expect_err("the bug was not found").verdict.kind();
    assert_eq!(run(&format!("{whole}{}", copy("mad.lo.u32 %r4, %t, 16, %r4;\n", "%l0"))), "conflict");
    // Twice, without waiting.
    let twice = copy("", "%l0").replace(
        "cp.async.bulk.commit_group;",
        "@%p0 cp.async.bulk.global.shared::cta.bulk_group [%l0], [%r4], 16;\ncp.async.bulk.commit_group;",
    );
    assert_eq!(run(&format!("{whole}{twice}")), "conflict");
}
