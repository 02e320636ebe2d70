//! Launches and copies against each other: what streams, events and the program's own waiting order.

use std::ptr;

use cudarc::driver::sys::{self, CUresult, CUstream};

use super::kernels::{argument, function, load};
use cuda_emulator::Mode;
use cuda_emulator::verdict::{Finding, Verdict};

use super::{Context, alloc, alone, blocking_stream, event, ok, stream, upload};

const KERNELS: &str = ".version 8.0\n.target sm_80\n.address_size 64\n\
    .visible .entry write(.param .u64 p) {\n.reg .b32 %t;\n.reg .b64 %a;\nld.param.u64 %a, [p];\n\
    mov.u32 %t, %tid.x;\nmad.wide.u32 %a, %t, 4, %a;\nst.global.u32 [%a], %t;\nret;\n}\n\
    .visible .entry read(.param .u64 p) {\n.reg .b32 %t;\n.reg .b64 %a;\nld.param.u64 %a, [p];\n\
    mov.u32 %t, %tid.x;\nmad.wide.u32 %a, %t, 4, %a;\nld.global.u32 %t, [%a];\nret;\n}\n";

/// A context with a kernel that writes 256 bytes and one that reads them.
struct Setup {
    _context: Context,
    write: sys::CUfunction,
    read: sys::CUfunction,
    data: u64,
}

impl Setup {
    fn new() -> Self {
        let context = Context::new();
        let module = load(KERNELS).expect("it loads");
        let (write, read) = (function(module, "write"), function(module, "read"));
        Self { _context: context, write, read, data: upload(&[0; 256]) }
    }

    fn launch(&self, kernel: sys::CUfunction, stream: CUstream) {
        let mut data = self.data;
        let mut arguments = [argument(&mut data)];
        // SAFETY: the arguments are those of the kernel.
        ok(unsafe {
            sys::cuLaunchKernel(kernel, 1, 1, 1, 64, 1, 1, 0, stream, arguments.as_mut_ptr(), ptr::null_mut())
        });
    }

    /// All that is queued is done. Was a race found?
    fn races(self) -> bool {
        // SAFETY: called as the API asks.
        let result = unsafe { sys::cuCtxSynchronize() };
        match result {
            CUresult::CUDA_SUCCESS => false,
            CUresult::CUDA_ERROR_LAUNCH_FAILED => true,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn one_stream_is_an_order() {
    let setup = Setup::new();
    let a = stream();
    for _ in 0..3 {
        setup.launch(setup.write, a);
        setup.launch(setup.read, a);
    }
    assert!(!setup.races());
}

#[test]
fn two_streams_are_none() {
    for (first, second, races) in [("write", "read", true), ("read", "write", true), ("read", "read", false)]
    {
        let setup = Setup::new();
        let kernel = |name| if name == "write" { setup.write } else { setup.read };
        setup.launch(kernel(first), stream());
        setup.launch(kernel(second), stream());
        assert_eq!(setup.races(), races, "{first}, {second}");
    }
}

#[test]
fn an_event_orders() {
    for waits in [true, false] {
        let setup = Setup::new();
        let (a, b, event) = (stream(), stream(), event());
        setup.launch(setup.write, a);
        // SAFETY: called as the API asks.
        unsafe {
            ok(sys::cuEventRecord(event, a));
            if waits {
                ok(sys::cuStreamWaitEvent(b, event, 0));
            }
        }
        setup.launch(setup.read, b);
        assert_eq!(setup.races(), !waits);
    }
}

/// An event covers what was queued before it, and what that comes behind; no more.
#[test]
fn an_event_knows_what_it_knew() {
    for (late, races) in [(false, false), (true, true)] {
        let setup = Setup::new();
        let (a, b, c, first, second) = (stream(), stream(), stream(), event(), event());
        // SAFETY: called as the API asks.
        unsafe {
            if late {
                ok(sys::cuEventRecord(first, a));
            }
            setup.launch(setup.write, a);
            if !late {
                ok(sys::cuEventRecord(first, a));
            }
            ok(sys::cuStreamWaitEvent(b, first, 0));
            ok(sys::cuEventRecord(second, b));
            ok(sys::cuStreamWaitEvent(c, second, 0));
        }
        setup.launch(setup.read, c);
        assert_eq!(setup.races(), races);
    }
}

#[test]
fn what_the_program_has_waited_for_is_over() {
    for waits in [true, false] {
        let setup = Setup::new();
        let (a, b) = (stream(), stream());
        setup.launch(setup.write, a);
        // SAFETY: called as the API asks.
        ok(unsafe { sys::cuStreamSynchronize(if waits { a } else { b }) });
        setup.launch(setup.read, b);
        assert_eq!(setup.races(), !waits);
    }
    // An operation that was queued before the wait knows nothing of it.
    let setup = Setup::new();
    let (a, b) = (stream(), stream());
    setup.launch(setup.write, b);
    setup.launch(setup.read, a);
    // SAFETY: called as the API asks.
    ok(unsafe { sys::cuStreamSynchronize(a) });
    assert!(setup.races());
}

#[test]
fn the_default_stream_orders_blocking_ones() {
    for (other, races) in [(blocking_stream as fn() -> CUstream, false), (stream, true)] {
        let setup = Setup::new();
        setup.launch(setup.write, other());
        setup.launch(setup.read, ptr::null_mut());
        assert_eq!(setup.races(), races);
    }
    // Also once it has ended.
    let setup = Setup::new();
    let (a, b) = (blocking_stream(), stream());
    setup.launch(setup.write, a);
    // SAFETY: called as the API asks.
    ok(unsafe { sys::cuStreamSynchronize(b) });
    setup.launch(setup.read, ptr::null_mut());
    assert!(!setup.races());
}

#[test]
fn copies_and_fills_touch_memory() {
    // SAFETY: called as the API asks.
    unsafe {
        for (first, races) in [(true, true), (false, true)] {
            let setup = Setup::new();
            let other = alloc(256);
            let copy = || ok(sys::cuMemcpyDtoDAsync_v2(other, setup.data, 256, stream()));
            if first {
                copy();
            }
            setup.launch(setup.write, stream());
            if !first {
                copy();
            }
            assert_eq!(setup.races(), races);
        }
        // Reads may meet; other memory is other memory.
        let setup = Setup::new();
        ok(sys::cuMemcpyDtoDAsync_v2(alloc(256), setup.data, 256, stream()));
        setup.launch(setup.read, stream());
        ok(sys::cuMemsetD8Async(alloc(256), 5, 256, stream()));
        assert!(!setup.races());
        let setup = Setup::new();
        ok(sys::cuMemsetD8Async(setup.data, 5, 256, stream()));
        setup.launch(setup.read, stream());
        assert!(setup.races());
        // Behind each other, in one stream.
        let (setup, a) = (Setup::new(), stream());
        ok(sys::cuMemsetD8Async(setup.data, 5, 256, a));
        setup.launch(setup.write, a);
        ok(sys::cuMemcpyDtoDAsync_v2(alloc(256), setup.data, 256, a));
        assert!(!setup.races());
    }
}

/// Memory that was given back and taken again is other memory.
#[test]
fn memory_is_taken_anew() {
    let mut setup = Setup::new();
    let a = stream();
    setup.launch(setup.write, a);
    // SAFETY: called as the API asks.
    unsafe {
        ok(sys::cuStreamSynchronize(a));
        ok(sys::cuMemFree_v2(setup.data));
    }
    setup.data = upload(&[0; 256]);
    setup.launch(setup.write, stream());
    assert!(!setup.races());
}

#[test]
fn it_says_which_launches() {
    let setup = Setup::new();
    setup.launch(setup.write, stream());
    setup.launch(setup.read, stream());
    assert!(setup.races());
    let are_both = |finding: &Finding| match &finding.verdict {
        Verdict::Race { other, .. } => {
            let names = [&finding.place, other].map(|place| place.kernel.as_str());
            names == ["read", "write"] || names == ["write", "read"]
        }
        _ => false,
    };
    let found = cuda_emulator::findings();
    assert!(found.iter().any(are_both), "{found:?}");
}

/// `CUDA_EMULATOR=fast` looks for no races, and a program may change its mind.
#[test]
fn only_the_full_mode_looks_for_races() {
    if alone("races::only_the_full_mode_looks_for_races", &[("CUDA_EMULATOR", "fast")]) {
        let race = || {
            let setup = Setup::new();
            setup.launch(setup.write, stream());
            setup.launch(setup.read, stream());
            setup.races()
        };
        assert!(!race());
        cuda_emulator::set_mode(Mode::Full);
        assert!(race());
        cuda_emulator::set_mode(Mode::Fast);
        assert!(!race());
    }
}

#[test]
fn a_mode_that_is_none_is_refused() {
    if alone("races::a_mode_that_is_none_is_refused", &[("CUDA_EMULATOR", "quick")]) {
        cuda_emulator::install().expect("the emulator");
        // SAFETY: called as the API asks.
        assert_eq!(unsafe { sys::cuInit(0) }, CUresult::CUDA_ERROR_INVALID_VALUE);
    }
}
