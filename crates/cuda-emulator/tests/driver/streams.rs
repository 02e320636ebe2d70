//! When work runs: as late as the API allows, in the order it demands.

use std::ffi::c_void;
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use cudarc::driver::sys::{self, CUresult};

use super::{Context, alloc, blocking_stream, event, ok, pinned, stream, upload};

/// The first byte of pinned memory, as it is now.
fn look(pointer: *mut u8) -> u8 {
    // SAFETY: pinned memory of the test.
    unsafe { pointer.read_volatile() }
}

#[test]
fn work_waits_until_somebody_wants_it() {
    let _context = Context::new();
    let (host, a, stream) = (pinned(4), upload(&[7; 4]), stream());
    // SAFETY: called as the API asks.
    unsafe {
        ok(sys::cuMemcpyDtoHAsync_v2(host.cast(), a, 4, stream));
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(look(host), 0, "nobody has waited for the copy");
        ok(sys::cuStreamSynchronize(stream));
        assert_eq!(look(host), 7);
    }
}

#[test]
fn a_query_sets_work_going() {
    let _context = Context::new();
    let (a, stream) = (alloc(4), stream());
    // SAFETY: called as the API asks.
    unsafe {
        ok(sys::cuMemsetD8Async(a, 1, 4, stream));
        assert_eq!(sys::cuStreamQuery(stream), CUresult::CUDA_ERROR_NOT_READY);
        let start = Instant::now();
        while sys::cuStreamQuery(stream) != CUresult::CUDA_SUCCESS {
            assert!(start.elapsed() < Duration::from_secs(10));
            std::thread::yield_now();
        }
    }
}

#[test]
fn pinned_sources_are_read_late_and_others_early() {
    let _context = Context::new();
    let (a, b, stream) = (alloc(4), alloc(4), stream());
    let host = pinned(4);
    let mut pageable = [1u8; 4];
    // SAFETY: called as the API asks, but for the early change of the pinned source.
    unsafe {
        host.write_bytes(1, 4);
        ok(sys::cuMemcpyHtoDAsync_v2(a, host.cast(), 4, stream));
        ok(sys::cuMemcpyHtoDAsync_v2(b, pageable.as_ptr().cast(), 4, stream));
        host.write_bytes(2, 4);
        pageable.fill(2);
        std::hint::black_box(&pageable);
        ok(sys::cuStreamSynchronize(stream));
    }
    assert_eq!(super::download(a, 4), [2; 4], "the program changed the source of a copy under way");
    assert_eq!(super::download(b, 4), [1; 4], "memory that is not pinned is staged");
}

#[test]
fn copies_to_pageable_memory_return_when_done() {
    let _context = Context::new();
    let (a, stream) = (upload(&[3; 8]), stream());
    let mut back = [0u8; 8];
    // SAFETY: called as the API asks.
    ok(unsafe { sys::cuMemcpyDtoHAsync_v2(back.as_mut_ptr().cast(), a, 8, stream) });
    assert_eq!(back, [3; 8]);
}

#[test]
fn an_event_orders_two_streams() {
    let _context = Context::new();
    let (first, second, event) = (stream(), stream(), event());
    let (a, b) = (alloc(4), alloc(4));
    // SAFETY: called as the API asks.
    unsafe {
        ok(sys::cuMemsetD8Async(b, 0, 4, second));
        ok(sys::cuMemsetD8Async(a, 5, 4, first));
        ok(sys::cuEventRecord(event, first));
        ok(sys::cuStreamWaitEvent(second, event, 0));
        ok(sys::cuMemcpyDtoDAsync_v2(b, a, 4, second));
        // Only the second is waited for: what it needs of the first runs too.
        ok(sys::cuStreamSynchronize(second));
        ok(sys::cuEventQuery(event));
    }
    assert_eq!(super::download(b, 4), [5; 4]);
}

#[test]
fn without_an_event_another_stream_is_not_waited_for() {
    let _context = Context::new();
    let (first, second) = (stream(), stream());
    let (a, host) = (upload(&[1; 4]), pinned(4));
    // SAFETY: called as the API asks, but for the missing event.
    unsafe {
        ok(sys::cuMemsetD8Async(a, 5, 4, first));
        ok(sys::cuMemcpyDtoHAsync_v2(host.cast(), a, 4, second));
        ok(sys::cuStreamSynchronize(second));
        assert_eq!(look(host), 1, "the missing wait shows every time");
        // And it is found, by whichever comes second.
        assert_eq!(sys::cuStreamSynchronize(first), CUresult::CUDA_ERROR_LAUNCH_FAILED);
    }
}

#[test]
fn the_default_stream_is_ordered_with_blocking_streams() {
    let _context = Context::new();
    let (blocking, a, seen) = (blocking_stream(), upload(&[1; 4]), pinned(4));
    // SAFETY: called as the API asks.
    unsafe {
        ok(sys::cuMemsetD8Async(a, 5, 4, blocking));
        ok(sys::cuMemcpyDtoHAsync_v2(seen.cast(), a, 4, ptr::null_mut()));
        ok(sys::cuStreamSynchronize(ptr::null_mut()));
        assert_eq!(look(seen), 5);
        // And the other way round: the blocking stream waits for the default one.
        ok(sys::cuMemsetD8_v2(a, 6, 4));
        ok(sys::cuMemcpyDtoHAsync_v2(seen.cast(), a, 4, blocking));
        ok(sys::cuStreamSynchronize(blocking));
        assert_eq!(look(seen), 6);
        ok(sys::cuCtxSynchronize());
    }
}

#[test]
fn the_default_stream_is_not_ordered_with_others() {
    let _context = Context::new();
    let (free, a, seen) = (stream(), upload(&[1; 4]), pinned(4));
    // SAFETY: called as the API asks, but that nothing orders the two.
    unsafe {
        ok(sys::cuMemsetD8Async(a, 5, 4, free));
        ok(sys::cuMemcpyDtoHAsync_v2(seen.cast(), a, 4, ptr::null_mut()));
        ok(sys::cuStreamSynchronize(ptr::null_mut()));
        assert_eq!(look(seen), 1);
        assert_eq!(sys::cuCtxSynchronize(), CUresult::CUDA_ERROR_LAUNCH_FAILED);
    }
}

#[test]
fn each_thread_has_a_default_stream_of_its_own() {
    let context = Context::new();
    let raw = context.0 as usize;
    let per_thread = 2 as sys::CUstream;
    let id = || {
        let mut id = 0;
        // SAFETY: called as the API asks.
        ok(unsafe { sys::cuStreamGetId(per_thread, &mut id) });
        id
    };
    let other = std::thread::spawn(move || {
        // SAFETY: called as the API asks.
        ok(unsafe { sys::cuCtxSetCurrent(raw as sys::CUcontext) });
        let mut id = 0;
        // SAFETY: called as the API asks.
        ok(unsafe { sys::cuStreamGetId(2 as sys::CUstream, &mut id) });
        id
    });
    assert_ne!(id(), other.join().unwrap());
    assert_eq!(id(), id());
}

#[test]
fn events_keep_time() {
    let _context = Context::new();
    let (start, end, stream) = (event(), event(), stream());
    unsafe extern "C" fn sleep(_: *mut c_void) {
        std::thread::sleep(Duration::from_millis(30));
    }
    let mut milliseconds = 0.0;
    // SAFETY: called as the API asks.
    unsafe {
        ok(sys::cuEventQuery(start)); // never recorded
        assert_eq!(
            sys::cuEventElapsedTime_v2(&mut milliseconds, start, end),
            CUresult::CUDA_ERROR_INVALID_HANDLE
        );
        ok(sys::cuEventRecord(start, stream));
        ok(sys::cuLaunchHostFunc(stream, Some(sleep), ptr::null_mut()));
        ok(sys::cuEventRecord(end, stream));
        assert_eq!(sys::cuEventElapsedTime_v2(&mut milliseconds, start, end), CUresult::CUDA_ERROR_NOT_READY);
        ok(sys::cuEventSynchronize(end));
        ok(sys::cuEventElapsedTime_v2(&mut milliseconds, start, end));
        assert!((30.0..3000.0).contains(&milliseconds), "{milliseconds} ms");
        ok(sys::cuEventElapsedTime(&mut milliseconds, end, start));
        assert!(milliseconds <= -30.0);
        let mut quiet = ptr::null_mut();
        ok(sys::cuEventCreate(&mut quiet, 2));
        ok(sys::cuEventRecord(quiet, stream));
        ok(sys::cuEventSynchronize(quiet));
        assert_eq!(
            sys::cuEventElapsedTime_v2(&mut milliseconds, start, quiet),
            CUresult::CUDA_ERROR_INVALID_HANDLE
        );
    }
}

#[test]
fn host_functions_run_in_order_and_may_not_call_the_driver() {
    static SEEN: Mutex<Vec<u32>> = Mutex::new(Vec::new());
    static REFUSED: AtomicBool = AtomicBool::new(false);
    unsafe extern "C" fn note(argument: *mut c_void) {
        SEEN.lock().unwrap().push(argument as usize as u32);
        let mut address = 0;
        // SAFETY: called as the API asks, but from a host function.
        let result = unsafe { sys::cuMemAlloc_v2(&mut address, 16) };
        REFUSED.store(result == CUresult::CUDA_ERROR_NOT_PERMITTED, Ordering::SeqCst);
    }
    let _context = Context::new();
    let stream = stream();
    // SAFETY: called as the API asks.
    unsafe {
        for i in 0..5usize {
            ok(sys::cuLaunchHostFunc(stream, Some(note), i as *mut c_void));
        }
        assert!(SEEN.lock().unwrap().is_empty());
        ok(sys::cuStreamSynchronize(stream));
    }
    assert_eq!(*SEEN.lock().unwrap(), [0, 1, 2, 3, 4]);
    assert!(REFUSED.load(Ordering::SeqCst));
}

#[test]
fn a_host_function_may_wait_for_what_another_stream_does() {
    static FLAG: AtomicU32 = AtomicU32::new(0);
    unsafe extern "C" fn wait(_: *mut c_void) {
        let start = Instant::now();
        while FLAG.load(Ordering::SeqCst) == 0 && start.elapsed() < Duration::from_secs(10) {
            std::thread::yield_now();
        }
    }
    unsafe extern "C" fn set(_: *mut c_void) {
        FLAG.store(1, Ordering::SeqCst);
    }
    let _context = Context::new();
    let (first, second) = (stream(), stream());
    let start = Instant::now();
    // SAFETY: called as the API asks.
    unsafe {
        ok(sys::cuLaunchHostFunc(first, Some(wait), ptr::null_mut()));
        ok(sys::cuLaunchHostFunc(second, Some(set), ptr::null_mut()));
        assert_eq!(sys::cuStreamQuery(first), CUresult::CUDA_ERROR_NOT_READY);
        ok(sys::cuStreamSynchronize(second));
        ok(sys::cuStreamSynchronize(first));
    }
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_destroyed_stream_finishes_its_work() {
    let _context = Context::new();
    let (a, stream) = (upload(&[0; 4]), stream());
    // SAFETY: called as the API asks.
    unsafe {
        ok(sys::cuMemsetD8Async(a, 4, 4, stream));
        ok(sys::cuStreamDestroy_v2(stream));
        ok(sys::cuCtxSynchronize());
    }
    assert_eq!(super::download(a, 4), [4; 4]);
}

#[test]
fn a_long_queue_starts_by_itself() {
    let _context = Context::new();
    let (host, stream) = (pinned(4), stream());
    // SAFETY: called as the API asks.
    unsafe {
        for i in 0..3000u32 {
            ok(sys::cuMemsetD8Async(host as u64, (i % 200) as u8 + 1, 4, stream));
        }
        ok(sys::cuStreamSynchronize(stream));
    }
    assert_eq!(look(host), (2999 % 200) as u8 + 1);
}

#[test]
fn many_threads_share_the_driver() {
    let context = Context::new();
    let raw = context.0 as usize;
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            scope.spawn(move || {
                // SAFETY: called as the API asks.
                ok(unsafe { sys::cuCtxSetCurrent(raw as sys::CUcontext) });
                let stream = stream();
                for round in 0..50u8 {
                    let a = alloc(256);
                    let mut back = [0u8; 256];
                    let value = thread.wrapping_mul(50).wrapping_add(round);
                    // SAFETY: called as the API asks.
                    unsafe {
                        ok(sys::cuMemsetD8Async(a, value, 256, stream));
                        ok(sys::cuMemcpyDtoHAsync_v2(back.as_mut_ptr().cast(), a, 256, stream));
                        ok(sys::cuMemFree_v2(a));
                    }
                    assert_eq!(back, [value; 256]);
                }
            });
        }
    });
}
