//! Asynchronous accesses to shared memory against all others: for each bug a program
//! that is caught, at the line marked `// HERE`, and its correct twins.

use cuda_emulator::verdict::{Finding, Verdict};

use crate::device::Device;

const SHARED: &str = ".shared .align 16 .b8 tile[1024];\n.shared .align 8 .b64 b;\n.shared .align 8 .b64 c;\n\
                      .shared .align 16 .b8 d[16];";

/// A kernel `k(out, in)`; `%t` is the thread, `%at` the address of its word of `tile`, `%first` and `%last` say
/// whether it is thread 0 or of the second warp.
fn module(body: &str) -> String {
    format!(
        ".version 8.7\n.target sm_90a\n.address_size 64\n{SHARED}\n\
         .visible .entry k(.param .u64 p_out, .param .u64 p_in)\n{{\n\
         .reg .pred %first, %last, %p;\n.reg .b32 %t, %at, %r<16>;\n.reg .b64 %out, %in, %l<8>;\n\
         ld.param.u64 %out, [p_out];\nld.param.u64 %in, [p_in];\nmov.u32 %t, %tid.x;\n\
         mov.u32 %at, tile;\nmad.lo.u32 %at, %t, 4, %at;\n\
         setp.eq.u32 %first, %t, 0;\nsetp.ge.u32 %last, %t, 32;\n\
         {body}\nret;\n}}\n"
    )
}

/// With 64 threads a block.
fn run(body: &str, cluster: u32, seed: u64) -> Result<(), Box<Finding>> {
    let mut device = Device::new(&module(body));
    device.cluster = [cluster, 1, 1];
    let (out, input) = (device.alloc(4096), device.put(&[7u32; 1024]));
    device.launch("k", [cluster, 1, 1], [64, 1, 1], &[out, input], seed).map(drop)
}

/// Under several seeds.
fn runs(body: &str, cluster: u32) -> Vec<Result<(), Box<Finding>>> {
    (0..20).map(|seed| run(body, cluster, seed)).collect()
}

#[track_caller]
fn passes(body: &str) {
    passes_in(body, 1);
}

#[track_caller]
fn passes_in(body: &str, cluster: u32) {
    for (seed, result) in runs(body, cluster).into_iter().enumerate() {
        result.unwrap_or_else(|finding| panic!("seed {seed}: {finding}"));
    }
}

/// Caught under every seed.
#[track_caller]
fn caught(kind: &str, body: &str) {
    caught_in(kind, body, 1);
}

#[track_caller]
fn caught_in(kind: &str, body: &str, cluster: u32) {
    for result in runs(body, cluster) {
        let finding = result.expect_err("the bug was not found");
        assert_eq!(finding.verdict.kind(), kind, "{finding}");
        assert!(finding.place.ptx.contains("// HERE"), "{finding}");
    }
}

/// Two that are not ordered: found by whichever comes second.
#[track_caller]
fn races(body: &str) {
    for result in runs(body, 1) {
        let finding = result.expect_err("the race was not found");
        assert!(matches!(finding.verdict.kind(), "conflict" | "proxy"), "{finding}");
        let (Verdict::Conflict { pending: other, .. } | Verdict::Proxy { written: other, .. }) =
            &finding.verdict
        else {
            panic!("{finding}")
        };
        let marked = [&finding.place, other].map(|place| place.ptx.contains("// HERE"));
        assert!(marked.contains(&true), "{finding}");
    }
}

const FENCE: &str = "fence.proxy.async.shared::cta;\n";
const BARRIER: &str = "bar.sync 0;\n";
const STORE: &str = "st.shared.u32 [%at], %t;\n";
const OUT: &str = "@%first cp.async.bulk.global.shared::cta.bulk_group [%out], [tile], 256; // HERE\n";
const COMMIT: &str = "@%first cp.async.bulk.commit_group;\n";
const READ: &str = "@%first cp.async.bulk.wait_group.read 0;\n";

/// mbarriers b (one arrival) and c (64), ready for use.
const BARRIERS: &str = "
    @%first mbarrier.init.shared::cta.b64 [b], 1;
    @%first mbarrier.init.shared::cta.b64 [c], 64;
    @%first fence.mbarrier_init.release.cluster;
    bar.sync 0;
";
/// Thread 0 fills the tile.
const IN: &str = "
    @%first mbarrier.arrive.expect_tx.shared::cta.b64 _, [b], 256;
    @%first cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [tile], [%in], 256, [b]; // HERE
";

/// All wait for a phase of an mbarrier.
fn wait(barrier: &str, parity: u32) -> String {
    format!(
        "WAIT_{barrier}{parity}: mbarrier.try_wait.parity.shared::cta.b64 %p, [{barrier}], {parity};\n\
         @!%p bra WAIT_{barrier}{parity};\n"
    )
}

// ---- Stores, and a copy that reads them ------------------------------------------------------

#[test]
fn a_fence_between_the_proxies() {
    let end = format!("{OUT}{COMMIT}{READ}");
    // Each writer, then a barrier; or a barrier, then the thread that issues; or all, twice.
    passes(&format!("{STORE}{FENCE}{BARRIER}{end}"));
    passes(&format!("{STORE}{BARRIER}@%first {FENCE}{end}"));
    passes(&format!("{STORE}fence.proxy.async;\n{BARRIER}{FENCE}{end}"));
    // A third thread, of another warp.
    passes(&format!("{STORE}{BARRIER}@%last {FENCE}{BARRIER}{end}"));
    for wrong in [
        format!("{STORE}{BARRIER}{end}"),
        format!("{FENCE}{STORE}{BARRIER}{end}"),
        format!("{STORE}{FENCE}{STORE}{BARRIER}{end}"),
        // Of one warp only; without a barrier before or behind.
        format!("{STORE}@%first {FENCE}{BARRIER}{end}"),
        format!("{STORE}fence.proxy.async.global;\n{BARRIER}{end}"),
        format!("{STORE}fence.acq_rel.cta;\n{BARRIER}{end}"),
    ] {
        caught("proxy", &wrong);
    }
}

#[test]
fn a_barrier_beside_the_fence() {
    // Thread 0 comes last, and still nothing says so.
    let late = "@%last bra STORES;\nmov.u32 %r0, 0;\nLOOP: add.u32 %r0, %r0, 1;\nsetp.lt.u32 %p, %r0, 9000;\n\
                @%p bra LOOP;\nSTORES:\n";
    let found = runs(&format!("{late}{STORE}{FENCE}{OUT}{COMMIT}{READ}"), 1);
    assert!(found.iter().any(|result| {
        let verdict = result.as_ref().map_err(|finding| &finding.verdict);
        matches!(verdict, Err(Verdict::Proxy { ordered: false, .. } | Verdict::Conflict { .. }))
    }));
    // An mbarrier orders as well.
    let arrive = "mbarrier.arrive.shared::cta.b64 _, [c];\n";
    let end = format!("{OUT}{COMMIT}{READ}");
    passes(&format!("{BARRIERS}{STORE}{FENCE}{arrive}{}{end}", wait("c", 0)));
    caught("proxy", &format!("{BARRIERS}{STORE}{arrive}{}{end}", wait("c", 0)));
    // And so does what programs make of atomics, if they release and acquire.
    let flag = |add: &str, look: &str| {
        format!(
            "{add} %r1, [tile+512], 1;\n\
             AGAIN: {look} %r1, [tile+512], 0;\nsetp.lt.u32 %p, %r1, 64;\n@%p bra AGAIN;\n"
        )
    };
    let begin = format!("@%first st.shared.u32 [tile+512], 0;\n{BARRIER}{STORE}{FENCE}");
    let (release, acquire) = ("atom.release.cta.shared.add.u32", "atom.acquire.cta.shared.or.b32");
    let (add, look) = ("atom.relaxed.cta.shared.add.u32", "atom.relaxed.cta.shared.or.b32");
    passes(&format!("{begin}{}{end}", flag(release, acquire)));
    passes(&format!("{begin}fence.acq_rel.cta;\n{}fence.acq_rel.cta;\n{end}", flag(add, look)));
    for (add, look) in [(release, look), (add, acquire), (add, look)] {
        caught("proxy", &format!("{begin}{}{end}", flag(add, look)));
    }
}

#[test]
fn reductions_read_too() {
    let reduce =
        "@%first cp.reduce.async.bulk.global.shared::cta.bulk_group.add.u32 [%in], [tile], 256; // HERE\n";
    passes(&format!("{STORE}{FENCE}{BARRIER}{reduce}{COMMIT}{READ}"));
    caught("proxy", &format!("{STORE}{BARRIER}{reduce}{COMMIT}{READ}"));
}

// ---- A copy that reads, and stores -----------------------------------------------------------

#[test]
fn the_source_of_a_copy_is_left_alone() {
    let out = OUT.replace(" // HERE", "");
    let begin = format!("{STORE}{FENCE}{BARRIER}{out}{COMMIT}");
    let again = "st.shared.u32 [%at], 5; // HERE\n";
    passes(&format!("{begin}{READ}{BARRIER}{again}"));
    passes(&format!("{begin}@%first cp.async.bulk.wait_group 0;\n{BARRIER}{again}"));
    // Beside it.
    passes(&format!("{begin}st.shared.u32 [%at+256], 5;\n{READ}"));
    // Loads may come at any time.
    passes(&format!("{begin}ld.shared.u32 %r0, [%at];\n{READ}"));
    // Not waited for; no barrier behind the wait, for the others; waited for to another group.
    caught("conflict", &format!("{begin}{BARRIER}{again}{READ}"));
    races(&format!("{begin}{READ}@%last {again}"));
    let other = "@%first cp.async.bulk.wait_group.read 1;\n";
    caught("conflict", &format!("{begin}{other}{BARRIER}{again}{READ}"));
    caught("conflict", &format!("{begin}{BARRIER}atom.shared.add.u32 %r0, [%at], 5; // HERE\n{READ}"));
}

// ---- A copy that writes, and others ----------------------------------------------------------

#[test]
fn the_destination_of_a_copy_is_left_alone() {
    let fill = IN.replace(" // HERE", "");
    let load = "ld.shared.u32 %r0, [%at]; // HERE\n";
    let again = "st.shared.u32 [%at], 5; // HERE\n";
    passes(&format!("{BARRIERS}{fill}{}{load}", wait("b", 0)));
    passes(&format!("{BARRIERS}{fill}{}{again}", wait("b", 0)));
    // One waits, the others for it.
    let one = format!("@!%first bra READY;\n{}READY:\n{BARRIER}", wait("b", 0));
    passes(&format!("{BARRIERS}{fill}{one}{load}"));
    for touch in [load, again] {
        races(&format!("{BARRIERS}{fill}{touch}{}", wait("b", 0)));
        let one = format!("@!%first bra READY;\n{}READY:\n", wait("b", 0));
        races(&format!("{BARRIERS}{fill}{one}@%last {touch}"));
    }
    // The other way round: it comes before the others have loaded.
    let arrive = "mbarrier.arrive.shared::cta.b64 _, [c];\n";
    let twice = |between: &str| {
        format!(
            "{BARRIERS}{fill}{}{BARRIER}ld.shared.u32 %r0, [%at];\n{between}{IN}{}",
            wait("b", 0),
            wait("b", 1)
        )
    };
    passes(&twice(BARRIER));
    passes(&twice(&format!("{arrive}{}", wait("c", 0))));
    races(&twice(""));
}

/// Two copies on two mbarriers: who has waited for one knows nothing of the other, though it has landed before.
#[test]
fn each_copy_is_waited_for_at_its_mbarrier() {
    let fill = |at: u32, barrier: &str| {
        format!(
            "@%first cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [tile+{at}], [%in], 128, [{barrier}]; \
             // HERE\n"
        )
    };
    let expect =
        |barrier: &str| format!("@%first mbarrier.arrive.expect_tx.shared::cta.b64 _, [{barrier}], 128;\n");
    let begin = format!(
        "{BARRIERS}@%first mbarrier.init.shared::cta.b64 [d], 1;\n@%first {FENCE}{BARRIER}{}",
        expect("b")
    );
    let (first, second) = (fill(0, "b"), fill(128, "d"));
    let load = "ld.shared.u32 %r0, [tile];\nld.shared.u32 %r0, [tile+128];\n";
    // Both are on their way, and only the later is waited for.
    let both = format!("{begin}{}{first}{second}", expect("d"));
    passes(&format!("{both}{}{}{load}", wait("b", 0), wait("d", 0)));
    races(&format!("{both}{}{load}", wait("d", 0)));
    races(&format!("{both}{}{load}", wait("b", 0)));
    // Thread 0 has waited for the first before it begins the second; the other warp waits for the second alone.
    let turns = |between: &str| {
        format!("@!%first bra READY;\n{}{between}{second}READY:\n{}", wait("b", 0), wait("d", 0))
    };
    let one = |between: &str, behind: &str| format!("{begin}{first}{}{behind}@%last {load}", turns(between));
    passes(&one(&expect("d"), ""));
    let early = format!("{begin}{first}{}", expect("d"));
    races(&format!("{early}{}@%last {load}", turns("")));
    passes(&format!("{early}{}{}@%last {load}", turns(""), wait("b", 0).replace("WAIT", "AGAIN")));
    passes(&format!("{early}{}{BARRIER}@%last {load}", turns("")));
    // The same of the source of a copy within the cluster, which may be stored to once it has been read.
    let within = |from: u32, to: u32, barrier: &str| {
        format!(
            "@%first cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes [tile+{to}], [tile+{from}], 128, \
             [{barrier}]; // HERE\n"
        )
    };
    let sources = format!(
        "{STORE}{FENCE}{begin}{}{}@!%first bra READY;\n{}{}READY:\n{}",
        expect("d"),
        within(0, 512, "b"),
        wait("b", 0),
        within(128, 640, "d"),
        wait("d", 0)
    );
    let store = "@%last st.shared.u32 [tile], 5;\n";
    passes(&format!("{sources}@%last st.shared.u32 [tile+128], 5;\n"));
    passes(&format!("{sources}{BARRIER}{store}"));
    races(&format!("{sources}{store}"));
}

/// A thread waits for groups of its own.
#[test]
fn groups_are_the_threads_own() {
    let out = |who: &str, at: u32| {
        format!(
            "{who} cp.async.bulk.global.shared::cta.bulk_group [%out+{at}], [tile+{at}], 128; // HERE\n\
             {who} cp.async.bulk.commit_group;\n"
        )
    };
    let other = ".reg .pred %other;\nsetp.eq.u32 %other, %t, 32;\n";
    let begin = format!("{other}{STORE}{FENCE}{BARRIER}{}{}", out("@%first", 0), out("@%other", 128));
    let wait = |who: &str| format!("{who} cp.async.bulk.wait_group 0;\n");
    for at in [0, 128] {
        let store = format!("@%other st.shared.u32 [tile+{at}], 5;\n");
        passes(&format!("{begin}{}{}{BARRIER}{store}", wait("@%first"), wait("@%other")));
        let (mine, others) = if at == 0 { ("@%other", "@%first") } else { ("@%first", "@%other") };
        races(&format!("{begin}{}{BARRIER}{store}{}", wait(mine), wait(others)));
    }
}

/// Sixteen bytes have more than one last reader, and more than one last writer.
#[test]
fn nobody_is_forgotten_for_another() {
    // Both warps load the same bytes; the thread that fills them anew knows of its own warp's load alone.
    let fill = IN.replace(" // HERE", "");
    let load = "ld.shared.u32 %r0, [tile];\n";
    let again = |between: &str| {
        format!("{BARRIERS}{fill}{}{BARRIER}{load}{between}{IN}{}", wait("b", 0), wait("b", 1))
    };
    passes(&again(BARRIER));
    races(&again(""));
    // Both store to the same sixteen bytes; one of them has a fence.
    let stores = "@!%last st.shared.u32 [tile], %t;\n@%last st.shared.u32 [tile+4], %t;\n";
    let end = format!("{BARRIER}{}{COMMIT}{READ}", OUT.replace("256;", "16;"));
    passes(&format!("{stores}{FENCE}{end}"));
    caught("proxy", &format!("{stores}@%last {FENCE}{end}"));
    caught("proxy", &format!("{stores}@!%last {FENCE}{end}"));
}

/// What an ordinary access comes behind, others need not: that one does not stand for it.
#[test]
fn nobody_is_hidden_by_another() {
    // The other warp comes last.
    let late = "@!%last bra COME;\nmov.u32 %r0, 0;\nLOOP: add.u32 %r0, %r0, 1;\nsetp.lt.u32 %p, %r0, 9000;\n\
                @%p bra LOOP;\nCOME:\n";
    // Thread 0 waits for the copy and stores; another one, beside it, does not wait.
    let begin =
        format!("{BARRIERS}{IN}@!%first bra READY;\n{}st.shared.u32 [tile], 5;\nREADY:\n", wait("b", 0));
    for touch in ["ld.shared.u32 %r0, [tile+4];\n", "st.shared.u32 [tile+4], 5;\n"] {
        passes(&format!("{begin}{BARRIER}@%last {touch}"));
        races(&format!("{begin}{late}@%last {touch}"));
    }
    // A `cp.async` needs no fence behind it; a store beside it does.
    let copies = |fence: &str| {
        format!(
            "@%first st.shared.u32 [tile], 5;\n{fence}{BARRIER}@%last cp.async.ca.shared.global [tile+4], [%in], 4;\n\
             cp.async.wait_all;\n{BARRIER}{}{COMMIT}{READ}",
            OUT.replace("256;", "16;")
        )
    };
    passes(&copies(FENCE));
    caught("proxy", &copies(""));
    // Reductions may meet each other, so that each must come behind what there was.
    let sums = |between: &str| {
        let reduce = "cp.reduce.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes.add.u32 \
                      [tile], [tile+512], 16, [b]; // HERE\n";
        format!(
            ".reg .pred %other;\nsetp.eq.u32 %other, %t, 32;\n@%first st.shared.v4.u32 [tile+512], {{1, 2, 3, 4}};\n\
             {FENCE}{BARRIERS}@%first mbarrier.arrive.expect_tx.shared::cta.b64 _, [b], 32;\n\
             @%first st.shared.v4.u32 [tile], {{1, 2, 3, 4}};\n{FENCE}{between}@%first {reduce}{late}@%other {reduce}{}",
            wait("b", 0)
        )
    };
    passes(&sums(BARRIER));
    races(&sums(""));
}

// ---- mbarriers -------------------------------------------------------------------------------

#[test]
fn mbarriers_are_initialised_before() {
    let fenced = "fence.mbarrier_init.release.cluster;";
    let all = format!("{BARRIERS}{IN}{}", wait("b", 0));
    passes(&all);
    passes(&all.replace(fenced, "fence.proxy.async;"));
    caught("mbarrier", &all.replace(&format!("@%first {fenced}"), ""));
    // Without a barrier behind it.
    let arrive = "mbarrier.arrive.shared::cta.b64 _, [c]; // HERE\n";
    passes(&format!("{all}{arrive}"));
    let wrong = format!(
        "{}{arrive}{BARRIER}{}{}",
        BARRIERS.replace("bar.sync 0;", ""),
        IN.replace(" // HERE", ""),
        wait("b", 0)
    );
    caught("mbarrier", &wrong);
}

/// The bytes of an mbarrier are its own until it is invalidated.
#[test]
fn mbarriers_are_left_alone() {
    let touches = [
        "@%first st.shared.u32 [d], 5;",
        "@%first st.shared.u16 [d+6], 5;",
        "@%first st.shared.v4.u32 [tile+1040], {1, 2, 3, 4};",
        "ld.shared.u32 %r0, [d+4];",
        "atom.shared.add.u32 %r0, [d], 1;",
        "@%first cp.async.ca.shared.global [d], [%in], 8;",
        "@%first cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [tile+1040], [%in], 16, [b];",
        "@%first cp.async.bulk.global.shared::cta.bulk_group [%out], [tile+1040], 16;",
    ];
    let init = "@%first mbarrier.init.shared::cta.b64 [d], 1;\n";
    let begin = format!(
        "{BARRIERS}{init}{FENCE}{BARRIER}@%first mbarrier.arrive.shared::cta.b64 _, [d];\n{}\
         @%first mbarrier.arrive.expect_tx.shared::cta.b64 _, [b], 16;\n",
        wait("d", 0)
    );
    let inval = "@%first mbarrier.inval.shared::cta.b64 [d];\n";
    for touch in touches {
        let touch = format!("{touch} // HERE\n");
        let end = format!(
            "{COMMIT}@%first cp.async.bulk.wait_group.read 0;\n@%first mbarrier.complete_tx.shared::cta.b64 [b], 16;\n"
        );
        let end = if touch.contains("[b]") { wait("b", 0) } else { end };
        let fence = format!("{FENCE}{BARRIER}");
        caught("mbarrier", &format!("{begin}{BARRIER}{touch}{end}"));
        // Before it is one, and after.
        passes(&format!("{begin}{BARRIER}{inval}{fence}{touch}{end}"));
        passes(&format!("{begin}{BARRIER}{inval}{fence}{touch}{end}cp.async.wait_all;\n{fence}{init}"));
    }
    // Beside it, in the same sixteen bytes.
    passes(&format!(
        "{begin}@%first st.shared.u32 [d+8], %t;\n@%first ld.shared.u32 %r0, [d+8];\n@%first mbarrier.complete_tx.shared::cta.b64 [b], 16;\n"
    ));
    // Where a copy is on its way there is no mbarrier.
    let copy = "@%first cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [tile+1040], [%in], 16, [b];\n";
    let filled = format!("{BARRIERS}@%first mbarrier.arrive.expect_tx.shared::cta.b64 _, [b], 16;\n{copy}");
    let init = init.replace('\n', " // HERE\n");
    passes(&format!("{filled}{}{init}", wait("b", 0)));
    caught("conflict", &format!("{filled}{init}{}", wait("b", 0)));
    // Without any copies.
    let alone = "@%first mbarrier.init.shared::cta.b64 [d], 1;\nbar.sync 0;\n@%first st.shared.u32 [d+4], 5; // HERE\n";
    caught("mbarrier", alone);
    passes(&alone.replace("[d+4]", "[d+8]"));
}

/// `try_wait` may say no before the phase is complete: who does not ask again is found, but not in the fixed order.
#[test]
fn a_wait_may_give_up() {
    // The second warp comes late, so that the first one has to wait.
    let late = "@!%last bra COME;\nmov.u32 %r0, 0;\nLOOP: add.u32 %r0, %r0, 1;\nsetp.lt.u32 %p, %r0, 999;\n\
                @%p bra LOOP;\nCOME:\n";
    let arrive = format!("{BARRIERS}{late}{STORE}{FENCE}mbarrier.arrive.shared::cta.b64 _, [c];\n");
    let end = format!("{OUT}{COMMIT}{READ}");
    let once = format!("{arrive}mbarrier.try_wait.parity.shared::cta.b64 %p, [c], 0;\n{end}");
    run(&once, 1, 0).unwrap_or_else(|finding| panic!("{finding}"));
    let found = (1..64).filter(|&seed| run(&once, 1, seed).is_err()).count();
    assert!((1..32).contains(&found), "{found} of 63");
    let again = format!("{arrive}{}{end}", wait("c", 0));
    for seed in 0..64 {
        run(&again, 1, seed).unwrap_or_else(|finding| panic!("seed {seed}: {finding}"));
    }
}

// ---- What is relaxed -------------------------------------------------------------------------

const CLUSTER_RELAXED: &str = "barrier.cluster.arrive.relaxed;\nbarrier.cluster.wait;\n";
const FULL_FENCE: &str = "fence.acq_rel.cluster;\n";

#[test]
fn a_relaxed_arrival_orders_nothing() {
    let end = format!("{OUT}{COMMIT}{READ}");
    let begin = format!("{STORE}{FENCE}");
    passes(&format!("{begin}{}{end}", CLUSTER_RELAXED.replace(".relaxed", "")));
    passes(&format!("{begin}{}{end}", CLUSTER_RELAXED.replace(".relaxed", ".release")));
    caught("proxy", &format!("{begin}{CLUSTER_RELAXED}{end}"));
    // Of an mbarrier.
    let begin = format!("{BARRIERS}{begin}");
    let arrive = "mbarrier.arrive.relaxed.cta.shared::cta.b64 _, [c];\n";
    let behind = wait("c", 0);
    passes(&format!("{begin}{}{behind}{end}", arrive.replace("relaxed", "release")));
    caught("proxy", &format!("{begin}{arrive}{behind}{end}"));
    // A fence before it makes up for that, of what comes before the fence.
    for relaxed in [CLUSTER_RELAXED, &format!("{arrive}{behind}")] {
        passes(&format!("{begin}{FULL_FENCE}{relaxed}{end}"));
        caught("proxy", &format!("{BARRIERS}{FULL_FENCE}{STORE}{FENCE}{relaxed}{end}"));
    }
}

#[test]
fn a_relaxed_wait_orders_nothing() {
    let relaxed = |barrier| wait(barrier, 0).replace(".parity", ".parity.relaxed.cta");
    let fill = IN.replace(" // HERE", "");
    let load = "ld.shared.u32 %r0, [%at]; // HERE\n";
    passes(&format!("{BARRIERS}{fill}{}{load}", wait("b", 0)));
    caught("conflict", &format!("{BARRIERS}{fill}{}{load}", relaxed("b")));
    passes(&format!("{BARRIERS}{fill}{}{FULL_FENCE}{load}", relaxed("b")));
    let arrive = format!("{BARRIERS}{STORE}{FENCE}mbarrier.arrive.shared::cta.b64 _, [c];\n");
    let end = format!("{OUT}{COMMIT}{READ}");
    caught("proxy", &format!("{arrive}{}{end}", relaxed("c")));
    passes(&format!("{arrive}{}{FULL_FENCE}{end}", relaxed("c")));
}

/// `expect_tx` is always relaxed.
#[test]
fn expecting_bytes_orders_nothing() {
    let fill = format!(
        "
        @%first st.shared.u32 [tile+512], %t;
        @%first fence.proxy.async.shared::cta;
        @%first mbarrier.expect_tx.shared::cta.b64 [b], 256;
        @%first cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [tile], [%in], 256, [b];
        {CLUSTER_RELAXED}
        @%last mbarrier.arrive.shared::cta.b64 _, [b];\n"
    );
    let out = "
        setp.eq.u32 %last, %t, 32;
        @%last cp.async.bulk.global.shared::cta.bulk_group [%out], [tile+512], 16; // HERE
        @%last cp.async.bulk.commit_group;
        @%last cp.async.bulk.wait_group.read 0;\n";
    let barriers = BARRIERS.replace("[b], 1;", "[b], 32;");
    caught("proxy", &format!("{barriers}{fill}{}{out}", wait("b", 0)));
    passes(&format!("{barriers}{fill}{}{BARRIER}{out}", wait("b", 0)));
}

/// A fence for initialised mbarriers makes them, and nothing else, known by a relaxed arrival.
#[test]
fn initialised_mbarriers_are_made_known() {
    let fence = "@%first fence.mbarrier_init.release.cluster;\n";
    let init =
        "@%first mbarrier.init.shared::cta.b64 [b], 1;\n@%first mbarrier.init.shared::cta.b64 [c], 64;\n";
    let remote = "
        mov.u32 %r0, %cluster_ctarank;
        xor.b32 %r0, %r0, 1;
        mov.u32 %r1, c;
        mapa.shared::cluster.u32 %r1, %r1, %r0;
        mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%r1]; // HERE\n";
    let rest = format!("{}{FENCE}{}{}", wait("c", 0), IN.replace(" // HERE", ""), wait("b", 0));
    passes_in(&format!("{init}{fence}{CLUSTER_RELAXED}{remote}{rest}"), 2);
    passes_in(&format!("{init}{}{remote}{rest}", CLUSTER_RELAXED.replace(".relaxed", "")), 2);
    passes_in(&format!("{init}{FULL_FENCE}{CLUSTER_RELAXED}{remote}{rest}"), 2);
    for wrong in ["", fence, FENCE] {
        // No fence, one before, and one between the proxies.
        let (before, behind) = if wrong == FENCE { ("", FENCE) } else { (wrong, "") };
        caught_in("mbarrier", &format!("{before}{init}{behind}{CLUSTER_RELAXED}{remote}{rest}"), 2);
    }
    caught("proxy", &format!("{init}{STORE}{FENCE}{fence}{CLUSTER_RELAXED}{OUT}{COMMIT}{READ}"));
}

// ---- Ends ------------------------------------------------------------------------------------

#[test]
fn nothing_is_left_behind() {
    let out = OUT.replace(" // HERE", "");
    let end = "ret; // HERE\n";
    let begin = format!("{STORE}{FENCE}{BARRIER}{out}");
    passes(&format!("{begin}{COMMIT}{READ}{end}"));
    passes(&format!("{begin}{COMMIT}@%first cp.async.bulk.wait_group 0;\n{end}"));
    caught("in-flight", &format!("{begin}{COMMIT}{end}"));
    // A group that was not waited for, and a copy that is in none.
    caught("in-flight", &format!("{begin}{READ}{end}"));
    let other = out.replace("[%out]", "[%out+256]");
    caught("in-flight", &format!("{begin}{COMMIT}{other}{READ}{end}"));
    // Copies to a block that is gone.
    let fill = IN.replace(" // HERE", "");
    passes(&format!("{BARRIERS}{fill}{}{end}", wait("b", 0)));
    let found = runs(&format!("{BARRIERS}{fill}{end}"), 1);
    assert!(found.iter().any(|result| result.as_ref().is_err_and(|f| f.verdict.kind() == "in-flight")));
}

#[test]
fn blocks_of_a_cluster_start_and_end_together() {
    let together = "barrier.cluster.arrive;\nbarrier.cluster.wait;\n";
    let reach = "
        mov.u32 %r0, %cluster_ctarank;
        xor.b32 %r0, %r0, 1;
        mapa.shared::cluster.u32 %r1, %at, %r0;
        st.shared::cluster.u32 [%r1], %t; // HERE\n";
    // A copy, so that there are clocks.
    let copy =
        format!("{BARRIERS}{}{}", IN.replace("[tile]", "[tile+512]").replace(" // HERE", ""), wait("b", 0));
    passes_in(&format!("{copy}{together}{reach}{together}"), 2);
    caught_in("remote", &format!("{copy}{reach}{together}"), 2);
    let end = "ret; // HERE\n";
    for result in runs(&format!("{copy}{together}{reach}{end}"), 2) {
        let finding = result.expect_err("the bug was not found");
        assert!(matches!(finding.verdict.kind(), "remote" | "in-flight"), "{finding}");
    }
}

/// A block that another one copies into may end once it has waited for the copy: it need not know more of the other.
#[test]
fn who_has_waited_for_a_copy_may_end() {
    let both = "
        barrier.cluster.arrive;
        barrier.cluster.wait;
        mov.u32 %r0, %cluster_ctarank;
        mov.u32 %r1, tile;
        mad.lo.u32 %r1, %r0, 256, %r1;
        mov.u16 %mask, 3;
        @%first mbarrier.arrive.expect_tx.shared::cta.b64 _, [b], 512;
        @%first cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%r1], [%in], 256, [b], %mask;
    ";
    let start = format!(".reg .b16 %mask;\n{BARRIERS}{both}");
    passes_in(&format!("{start}{}", wait("b", 0)), 2);
    caught_in("in-flight", &format!("{start}ret; // HERE\n"), 2);
}
