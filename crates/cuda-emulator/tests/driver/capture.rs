//! Stream capture and graphs.

use std::ptr;

use cudarc::driver::sys::{self, CUresult, CUstreamCaptureMode as Mode, CUstreamCaptureStatus as Status};

use super::{Context, alloc, alone, blocking_stream, download, event, ok, pinned, stream, upload};

fn begin(stream: sys::CUstream, mode: Mode) {
    // SAFETY: called as the API asks.
    ok(unsafe { sys::cuStreamBeginCapture_v2(stream, mode) });
}

fn end(stream: sys::CUstream) -> Result<sys::CUgraph, CUresult> {
    let mut graph = ptr::null_mut();
    // SAFETY: called as the API asks.
    match unsafe { sys::cuStreamEndCapture(stream, &mut graph) } {
        CUresult::CUDA_SUCCESS => Ok(graph),
        error => {
            assert!(graph.is_null());
            Err(error)
        }
    }
}

fn instantiate(graph: sys::CUgraph) -> sys::CUgraphExec {
    let mut exec = ptr::null_mut();
    // SAFETY: called as the API asks.
    ok(unsafe { sys::cuGraphInstantiateWithFlags(&mut exec, graph, 0) });
    exec
}

fn status(stream: sys::CUstream) -> Status {
    let mut status = Status::CU_STREAM_CAPTURE_STATUS_NONE;
    // SAFETY: called as the API asks.
    ok(unsafe { sys::cuStreamIsCapturing(stream, &mut status) });
    status
}

#[test]
fn captured_work_runs_at_each_launch_and_not_before() {
    let _context = Context::new();
    let (a, b, stream) = (upload(&[1; 4]), upload(&[0; 4]), stream());
    begin(stream, Mode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
    // SAFETY: called as the API asks.
    unsafe {
        ok(sys::cuMemcpyDtoDAsync_v2(b, a, 4, stream));
        ok(sys::cuMemsetD8Async(a, 9, 4, stream));
    }
    assert_eq!(status(stream), Status::CU_STREAM_CAPTURE_STATUS_ACTIVE);
    let graph = end(stream).unwrap();
    assert_eq!(status(stream), Status::CU_STREAM_CAPTURE_STATUS_NONE);
    assert_eq!((download(a, 4), download(b, 4)), (vec![1; 4], vec![0; 4]));
    let exec = instantiate(graph);
    // SAFETY: called as the API asks.
    unsafe {
        let mut count = 0;
        ok(sys::cuGraphGetNodes(graph, ptr::null_mut(), &mut count));
        assert_eq!(count, 2);
        ok(sys::cuGraphDestroy(graph));
        ok(sys::cuGraphUpload(exec, stream));
        ok(sys::cuGraphLaunch(exec, stream));
        ok(sys::cuStreamSynchronize(stream));
        assert_eq!((download(a, 4), download(b, 4)), (vec![9; 4], vec![1; 4]));
        ok(sys::cuGraphLaunch(exec, stream));
        ok(sys::cuStreamSynchronize(stream));
        assert_eq!(download(b, 4), [9; 4]);
        ok(sys::cuGraphExecDestroy(exec));
        assert_eq!(sys::cuGraphLaunch(exec, stream), CUresult::CUDA_ERROR_INVALID_HANDLE);
    }
}

#[test]
fn a_fork_is_captured_and_must_be_joined() {
    let _context = Context::new();
    let (main, side, fork, join) = (stream(), stream(), event(), event());
    let (a, b) = (upload(&[0; 4]), upload(&[0; 4]));
    let record = |joined: bool| {
        begin(main, Mode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
        // SAFETY: called as the API asks.
        unsafe {
            ok(sys::cuMemsetD8Async(a, 3, 4, main));
            ok(sys::cuEventRecord(fork, main));
            ok(sys::cuStreamWaitEvent(side, fork, 0));
            assert_eq!(status(side), Status::CU_STREAM_CAPTURE_STATUS_ACTIVE);
            ok(sys::cuMemcpyDtoDAsync_v2(b, a, 4, side));
            ok(sys::cuEventRecord(join, side));
            if joined {
                ok(sys::cuStreamWaitEvent(main, join, 0));
            }
        }
        end(main)
    };
    assert_eq!(record(false).unwrap_err(), CUresult::CUDA_ERROR_STREAM_CAPTURE_UNJOINED);
    assert_eq!(status(side), Status::CU_STREAM_CAPTURE_STATUS_NONE);
    let exec = instantiate(record(true).unwrap());
    // SAFETY: called as the API asks.
    unsafe {
        ok(sys::cuGraphLaunch(exec, main));
        ok(sys::cuStreamSynchronize(main));
        assert_eq!(sys::cuEventQuery(fork), CUresult::CUDA_ERROR_CAPTURED_EVENT);
    }
    assert_eq!(download(b, 4), [3; 4]);
}

/// Captures with `misuse` inside, and expects its result and a spoiled capture.
fn spoil(mode: Mode, expected: CUresult, misuse: impl FnOnce(sys::CUstream) -> CUresult) {
    let stream = blocking_stream();
    begin(stream, mode);
    assert_eq!(misuse(stream), expected);
    assert_eq!(status(stream), Status::CU_STREAM_CAPTURE_STATUS_INVALIDATED);
    // SAFETY: called as the API asks.
    let more = unsafe { sys::cuMemsetD8Async(1, 0, 0, stream) };
    assert_eq!(more, CUresult::CUDA_SUCCESS, "nothing to do is nothing to capture");
    assert_eq!(end(stream).unwrap_err(), CUresult::CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    assert_eq!(status(stream), Status::CU_STREAM_CAPTURE_STATUS_NONE);
}

#[test]
fn what_does_not_belong_into_a_capture_spoils_it() {
    let _context = Context::new();
    use CUresult::*;
    let local = Mode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
    let relaxed = Mode::CU_STREAM_CAPTURE_MODE_RELAXED;
    let a = alloc(4);
    let mut address = 0;
    // SAFETY: called as the API asks, but during a capture.
    unsafe {
        let unsupported = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
        spoil(local, unsupported, |stream| sys::cuStreamSynchronize(stream));
        spoil(local, unsupported, |stream| sys::cuStreamQuery(stream));
        spoil(local, unsupported, |_| sys::cuCtxSynchronize());
        spoil(local, unsupported, |_| sys::cuMemAlloc_v2(&mut address, 4));
        spoil(local, unsupported, |_| sys::cuMemFree_v2(a));
        spoil(local, unsupported, |stream| sys::cuMemAllocAsync(&mut address, 4, stream));
        // Work in the default stream waits for blocking streams, also where calls are free.
        spoil(relaxed, CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, |_| {
            sys::cuMemsetD8Async(a, 0, 4, ptr::null_mut())
        });
        // An event from outside the capture.
        let (outside, other) = (event(), super::stream());
        ok(sys::cuEventRecord(outside, other));
        spoil(local, CUDA_ERROR_STREAM_CAPTURE_ISOLATION, |stream| {
            sys::cuStreamWaitEvent(stream, outside, 0)
        });
        ok(sys::cuMemFree_v2(a));
    }
}

#[test]
fn relaxed_captures_let_calls_pass() {
    let _context = Context::new();
    let stream = stream();
    begin(stream, Mode::CU_STREAM_CAPTURE_MODE_RELAXED);
    let a = alloc(16);
    // SAFETY: called as the API asks.
    unsafe {
        ok(sys::cuMemsetD8Async(a, 1, 16, stream));
        // Another stream goes on as ever.
        let other = super::stream();
        ok(sys::cuMemsetD8Async(a, 2, 16, other));
        ok(sys::cuStreamSynchronize(other));
    }
    assert!(end(stream).is_ok());
    assert_eq!(download(a, 1), [2]);
}

#[test]
fn a_global_capture_minds_the_calls_of_every_thread() {
    // Among them those of the other tests.
    if !alone("capture::a_global_capture_minds_the_calls_of_every_thread", &[]) {
        return;
    }
    let context = Context::new();
    let stream = stream();
    let raw = context.0 as usize;
    begin(stream, Mode::CU_STREAM_CAPTURE_MODE_GLOBAL);
    let other = std::thread::spawn(move || {
        let mut address = 0;
        // SAFETY: called as the API asks, but during a capture.
        unsafe {
            ok(sys::cuCtxSetCurrent(raw as sys::CUcontext));
            sys::cuMemAlloc_v2(&mut address, 16)
        }
    });
    assert_eq!(other.join().unwrap(), CUresult::CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    assert_eq!(end(stream).unwrap_err(), CUresult::CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
}

#[test]
fn a_thread_can_lift_what_its_captures_forbid() {
    let _context = Context::new();
    let stream = stream();
    begin(stream, Mode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
    let mut mode = Mode::CU_STREAM_CAPTURE_MODE_RELAXED;
    // SAFETY: called as the API asks.
    unsafe {
        ok(sys::cuThreadExchangeStreamCaptureMode(&mut mode));
        alloc(16);
        ok(sys::cuThreadExchangeStreamCaptureMode(&mut mode));
        assert_eq!(mode, Mode::CU_STREAM_CAPTURE_MODE_RELAXED);
    }
    assert!(end(stream).is_ok());
}

#[test]
fn captures_have_one_end() {
    let _context = Context::new();
    let (main, side, fork) = (stream(), stream(), event());
    let raw = main as usize;
    assert_eq!(end(main).unwrap_err(), CUresult::CUDA_ERROR_ILLEGAL_STATE);
    begin(main, Mode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
    // SAFETY: called as the API asks, but for what is refused.
    unsafe {
        let again = sys::cuStreamBeginCapture_v2(main, Mode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
        assert_eq!(again, CUresult::CUDA_ERROR_ILLEGAL_STATE);
        let default =
            sys::cuStreamBeginCapture_v2(ptr::null_mut(), Mode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
        assert_eq!(default, CUresult::CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
        ok(sys::cuEventRecord(fork, main));
        ok(sys::cuStreamWaitEvent(side, fork, 0));
    }
    assert_eq!(end(side).unwrap_err(), CUresult::CUDA_ERROR_STREAM_CAPTURE_UNMATCHED);
    let elsewhere = std::thread::spawn(move || end(raw as sys::CUstream).unwrap_err());
    assert_eq!(elsewhere.join().unwrap(), CUresult::CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD);
    assert!(end(main).is_ok());
}

#[test]
fn two_captures_do_not_merge() {
    let _context = Context::new();
    let (first, second, event) = (stream(), stream(), event());
    begin(first, Mode::CU_STREAM_CAPTURE_MODE_RELAXED);
    begin(second, Mode::CU_STREAM_CAPTURE_MODE_RELAXED);
    // SAFETY: called as the API asks, but for the merge.
    unsafe {
        ok(sys::cuEventRecord(event, first));
        assert_eq!(sys::cuStreamWaitEvent(second, event, 0), CUresult::CUDA_ERROR_STREAM_CAPTURE_MERGE);
    }
    assert_eq!(end(first).unwrap_err(), CUresult::CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    assert_eq!(end(second).unwrap_err(), CUresult::CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
}

#[test]
fn a_captured_copy_reads_the_host_when_it_runs() {
    let _context = Context::new();
    let (a, stream, host) = (alloc(4), stream(), pinned(4));
    let mut pageable = vec![1u8; 4];
    begin(stream, Mode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
    // SAFETY: called as the API asks; both ends outlive the graph.
    unsafe {
        ok(sys::cuMemcpyHtoDAsync_v2(a, pageable.as_ptr().cast(), 4, stream));
        ok(sys::cuMemcpyDtoHAsync_v2(host.cast(), a, 4, stream));
    }
    let exec = instantiate(end(stream).unwrap());
    pageable.fill(6);
    std::hint::black_box(&pageable);
    // SAFETY: called as the API asks.
    unsafe {
        ok(sys::cuGraphLaunch(exec, stream));
        ok(sys::cuStreamSynchronize(stream));
        assert_eq!(host.read_volatile(), 6);
    }
}

#[test]
fn cudarc_captures() {
    cuda_emulator::install().unwrap();
    let context = cudarc::driver::CudaContext::new(0).unwrap();
    // SAFETY: one stream only.
    unsafe { context.disable_event_tracking() };
    let stream = context.new_stream().unwrap();
    let mut data = stream.clone_htod(&[1u32; 4]).unwrap();
    stream.synchronize().unwrap();
    stream.begin_capture(Mode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).unwrap();
    stream.memset_zeros(&mut data).unwrap();
    let graph = stream.end_capture(sys::CUgraphInstantiate_flags(0)).unwrap().unwrap();
    graph.launch().unwrap();
    assert_eq!(stream.clone_dtoh(&data).unwrap(), [0; 4]);
    stream.memcpy_htod(&[2u32; 4], &mut data).unwrap();
    graph.launch().unwrap();
    assert_eq!(stream.clone_dtoh(&data).unwrap(), [0; 4]);
}
