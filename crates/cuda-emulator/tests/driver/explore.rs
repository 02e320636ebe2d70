//! Work under many schedules: what depends on them is found, with the seed. Each test is alone in its process, whose
//! seed and findings are at stake.

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cuda_emulator::{ExploreError, explore};
use cudarc::driver::sys::{self, CUresult};

use super::{Context, alloc, alone, download, kernels, ok, upload};

/// Programs whose threads, one a block, draw tickets in the order in which they come. The first parameter is the
/// counter, the second has a word for each block.
fn program(body: &str) -> String {
    format!(
        ".version 8.0
        .target sm_90
        .address_size 64
        .visible .entry k(.param .u64 p_counter, .param .u64 p_out)
        {{
            .reg .pred %p, %q;
            .reg .b32 %block, %ticket;
            .reg .b64 %counter, %out, %at;
            ld.param.u64 %counter, [p_counter];
            ld.param.u64 %out, [p_out];
            mov.u32 %block, %ctaid.x;
            atom.global.add.u32 %ticket, [%counter], 1;
            {body}
            mul.wide.u32 %at, %block, 4;
            add.u64 %at, %at, %out;
            st.global.u32 [%at], %ticket;
            ret;
        }}"
    )
}

/// The first block to come must be the first.
const TRAP: &str =
    "setp.eq.u32 %p, %ticket, 0;\nsetp.ne.and.u32 %q, %block, 0, %p;\n@%q trap;\nmov.u32 %ticket, 0;";
/// A block's word says when it came,
const WHEN: &str = "";
/// or what it is.
const WHICH: &str = "mov.u32 %ticket, %block;";

const BLOCKS: u32 = 8;

/// What the blocks have stored, or how the work has failed.
type Stored = Result<Vec<u8>, CUresult>;
type Explored = Result<Stored, ExploreError<Stored>>;

fn run(program: &str) -> Stored {
    let _context = Context::new();
    let kernel = kernels::function(kernels::load(program).unwrap(), "k");
    let (mut counter, mut out) = (upload(&[0; 4]), alloc(4 * BLOCKS as usize));
    let mut arguments: [*mut c_void; 2] = [(&raw mut counter).cast(), (&raw mut out).cast()];
    // SAFETY: these are the kernel's parameters.
    unsafe {
        let (stream, extra) = (ptr::null_mut(), ptr::null_mut());
        ok(sys::cuLaunchKernel(kernel, BLOCKS, 1, 1, 1, 1, 1, 0, stream, arguments.as_mut_ptr(), extra));
        match sys::cuCtxSynchronize() {
            CUresult::CUDA_SUCCESS => Ok(download(out, 4 * BLOCKS as usize)),
            failed => Err(failed),
        }
    }
}

/// How often the work was done, and what came of it.
fn explored(body: &str, schedules: u64) -> (u64, Explored) {
    cuda_emulator::install().expect("the emulator is beside the test binary");
    let (program, mut times) = (program(body), 0);
    let result = explore(schedules, || {
        times += 1;
        run(&program)
    });
    (times, result)
}

/// The seed under which the program differs from seed 0.
fn differs(result: Explored) -> u64 {
    let Err(ExploreError::Differs { seed, first: 0, result, expected }) = result else {
        panic!("{result:?}")
    };
    let sorted = |bytes: Stored| {
        let mut bytes = bytes.unwrap();
        bytes.sort_unstable();
        bytes
    };
    assert_ne!(result, expected);
    assert_eq!(sorted(result), sorted(expected));
    seed
}

/// The seed under which a block other than the first came first.
fn trapped(result: Explored) -> u64 {
    let Err(ExploreError::Found { seed, findings }) = result else { panic!("{result:?}") };
    let [finding] = &findings[..] else { panic!("{findings:?}") };
    assert_eq!(finding.verdict.kind(), "trap");
    assert_ne!(finding.place.block, [0; 3]);
    seed
}

#[test]
fn a_result_that_depends_on_nothing() {
    if alone("explore::a_result_that_depends_on_nothing", &[]) {
        let (times, result) = explored(WHICH, 20);
        let expected: Vec<u8> = (0..BLOCKS).flat_map(u32::to_le_bytes).collect();
        assert_eq!((times, result.unwrap().unwrap()), (20, expected));
        assert_eq!(explored(WHICH, 0).0, 1);
    }
}

#[test]
fn an_order_of_atomics() {
    if alone("explore::an_order_of_atomics", &[]) {
        let (times, result) = explored(WHEN, 20);
        let message = result.as_ref().unwrap_err().to_string();
        let seed = differs(result);
        assert_eq!(times, seed + 1);
        assert!(message.contains(&format!("CUDA_EMULATOR_SEED={seed} ")), "{message}");
        // The same again: a seed is one schedule.
        assert_eq!(differs(explored(WHEN, 20).1), seed);
    }
}

#[test]
fn a_finding_under_some_seeds() {
    if alone("explore::a_finding_under_some_seeds", &[]) {
        let (times, result) = explored(TRAP, 20);
        let message = result.as_ref().unwrap_err().to_string();
        let seed = trapped(result);
        assert!(seed > 0);
        assert_eq!(times, seed + 1);
        assert!(message.contains(&format!("CUDA_EMULATOR_SEED={seed}: error[trap]: trap\n")), "{message}");
        // It stays to be taken, and what was found before is of no concern.
        assert_eq!(cuda_emulator::findings().len(), 1);
        assert!(explored(WHICH, 20).1.is_ok());
        assert_eq!(trapped(explored(TRAP, 20).1), seed);
        assert_eq!(cuda_emulator::take_findings().len(), 2);
    }
}

#[test]
fn the_environment_repeats_one() {
    const TEST: &str = "explore::the_environment_repeats_one";
    const SEED: &str = "11";
    if alone(TEST, &[("CUDA_EMULATOR_SEED", SEED)]) {
        let (times, result) = explored(TRAP, 20);
        assert_eq!((times, trapped(result)), (2, 11));
        let (times, result) = explored(WHEN, 20);
        assert_eq!((times, differs(result)), (2, 11));
        assert_eq!(explored(WHICH, 20).0, 2);
    }
}

#[test]
fn the_schedule_is_what_it_was() {
    if alone("explore::the_schedule_is_what_it_was", &[]) {
        let seed = trapped(explored(TRAP, 20).1);
        cuda_emulator::set_threads(1);
        let program = program(TRAP);
        run(&program).expect("seed 0, as before");
        cuda_emulator::set_seed(seed);
        run(&program).expect_err("this seed traps");
        explored(WHICH, 3).1.unwrap().unwrap();
        run(&program).expect_err("this seed is still set");
    }
}

#[test]
fn work_that_nobody_waited_for() {
    if alone("explore::work_that_nobody_waited_for", &[]) {
        let context = Context::new();
        let kernel = kernels::function(kernels::load(&program("trap;")).unwrap(), "k");
        let launch = || {
            let (mut counter, mut out) = (upload(&[0; 4]), alloc(4 * BLOCKS as usize));
            let mut arguments: [*mut c_void; 2] = [(&raw mut counter).cast(), (&raw mut out).cast()];
            let (stream, extra) = (ptr::null_mut(), ptr::null_mut());
            // SAFETY: these are the kernel's parameters.
            ok(unsafe {
                sys::cuLaunchKernel(kernel, BLOCKS, 1, 1, 1, 1, 1, 0, stream, arguments.as_mut_ptr(), extra)
            });
        };
        let result = explore(20, launch);
        assert!(matches!(result, Err(ExploreError::Found { seed: 0, .. })), "{result:?}");
        drop(context);
    }
}

#[test]
fn work_that_panics() {
    if alone("explore::work_that_panics", &[]) {
        cuda_emulator::install().expect("the emulator is beside the test binary");
        let program = program(TRAP);
        let result = explore(20, || run(&program).expect("it works"));
        assert!(matches!(result, Err(ExploreError::Found { .. })), "{result:?}");
        let panicked = std::panic::catch_unwind(|| {
            let mut times = 0;
            explore(20, || {
                times += 1;
                assert!(times < 3, "nothing to do with CUDA");
            })
        });
        let panic = panicked.expect_err("nothing was found");
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"nothing to do with CUDA"));
        // It may explore again, also within its work.
        assert_eq!(explore(2, || explore(2, || 1).unwrap()).unwrap(), 1);
    }
}

#[test]
fn threads_take_turns() {
    if alone("explore::threads_take_turns", &[]) {
        cuda_emulator::install().expect("the emulator is beside the test binary");
        let busy = AtomicBool::new(false);
        let alone = || {
            assert!(!busy.swap(true, Ordering::SeqCst), "another thread explores");
            std::thread::sleep(Duration::from_millis(1));
            busy.store(false, Ordering::SeqCst);
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                // The second time as well.
                scope.spawn(|| (0..2).for_each(|_| explore(10, alone).expect("nothing was found")));
            }
        });
    }
}
