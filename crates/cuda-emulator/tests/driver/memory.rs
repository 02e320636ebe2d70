//! Allocation and its limits; what is defined; pinned and registered memory.

use std::ffi::c_void;
use std::ptr;

use cuda_emulator::verdict::Verdict;
use cudarc::driver::sys::{self, CUresult};

use super::{Context, alloc, download, ok, pinned, stream, upload};

#[test]
fn addresses_are_aligned_apart_and_not_the_hosts() {
    let _context = Context::new();
    let (a, b) = (alloc(100), alloc(100));
    assert_eq!((a % 512, b % 512), (0, 0));
    assert!(a.abs_diff(b) > 4096);
    let mut maps =
        std::fs::read_to_string("/proc/self/maps").unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
    maps.retain(|line| {
        let (start, end) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
        let range = u64::from_str_radix(start, 16).unwrap()..u64::from_str_radix(end, 16).unwrap();
        range.contains(&a)
    });
    assert!(maps[0].contains("---p"), "the host cannot touch a device address: {maps:?}");
}

#[test]
fn memory_runs_out_and_comes_back() {
    let _context = Context::new();
    let (mut free, mut total, mut address) = (0, 0, 0);
    // SAFETY: called as the API asks.
    unsafe {
        ok(sys::cuMemGetInfo_v2(&mut free, &mut total));
        assert_eq!(total, 80 << 30);
        assert_eq!(sys::cuMemAlloc_v2(&mut address, total + 1), CUresult::CUDA_ERROR_OUT_OF_MEMORY);
        assert_eq!(sys::cuMemAlloc_v2(&mut address, 0), CUresult::CUDA_ERROR_INVALID_VALUE);
        assert_eq!(sys::cuMemAlloc_v2(ptr::null_mut(), 1), CUresult::CUDA_ERROR_INVALID_VALUE);
        // Half of the device's memory costs nothing until it is touched.
        for _ in 0..3 {
            ok(sys::cuMemAlloc_v2(&mut address, 40 << 30));
            ok(sys::cuMemsetD8_v2(address + (39 << 30), 7, 1 << 10));
            assert_eq!(download(address + (39 << 30), 3), [7; 3]);
            ok(sys::cuMemFree_v2(address));
        }
    }
}

#[test]
fn freed_memory_is_gone_for_every_call() {
    let _context = Context::new();
    let a = alloc(64);
    // SAFETY: called as the API asks, but with addresses that are refused.
    unsafe {
        assert_eq!(sys::cuMemFree_v2(a + 1), CUresult::CUDA_ERROR_INVALID_VALUE);
        ok(sys::cuMemFree_v2(a));
        assert_eq!(sys::cuMemFree_v2(a), CUresult::CUDA_ERROR_INVALID_VALUE);
        assert_eq!(sys::cuMemsetD8_v2(a, 0, 64), CUresult::CUDA_ERROR_INVALID_VALUE);
        ok(sys::cuMemFree_v2(0));
        let b = alloc(64);
        assert_eq!(sys::cuMemsetD8_v2(b, 0, 65), CUresult::CUDA_ERROR_INVALID_VALUE);
        assert_eq!(sys::cuMemsetD32_v2(b + 2, 0, 1), CUresult::CUDA_ERROR_INVALID_VALUE);
        ok(sys::cuMemsetD8_v2(b, 0, 64));
    }
}

#[test]
fn an_allocation_is_freed_by_its_own_kind_of_call() {
    let _context = Context::new();
    let host = pinned(100);
    let device = alloc(100);
    // SAFETY: called as the API asks, but with addresses that are refused.
    unsafe {
        assert_eq!(sys::cuMemFree_v2(host as u64), CUresult::CUDA_ERROR_INVALID_VALUE);
        assert_eq!(sys::cuMemFreeHost(device as *mut c_void), CUresult::CUDA_ERROR_INVALID_VALUE);
        assert_eq!(sys::cuMemHostUnregister(host.cast()), CUresult::CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
        ok(sys::cuMemFreeHost(host.cast()));
        ok(sys::cuMemFree_v2(device));
    }
}

#[test]
fn what_nobody_wrote_is_undefined() {
    let _context = Context::new();
    let a = alloc(100);
    // SAFETY: called as the API asks.
    unsafe {
        ok(sys::cuMemsetD8_v2(a, 1, 40));
        ok(sys::cuMemcpyHtoD_v2(a + 41, [2u8; 59].as_ptr().cast(), 59));
    }
    let finding = cuda_emulator::require_defined(a, 100).unwrap_err();
    assert_eq!(finding.verdict, Verdict::UndefinedOutput { address: a + 40, offset: 40, len: 100 });
    cuda_emulator::require_defined(a, 40).unwrap();
    cuda_emulator::require_defined(a + 41, 59).unwrap();
    // A copy inside the device carries the hole along, and one from the host fills it.
    let b = alloc(100);
    // SAFETY: called as the API asks.
    unsafe { ok(sys::cuMemcpyDtoD_v2(b, a, 100)) };
    assert!(cuda_emulator::require_defined(b, 100).is_err());
    let through_host = upload(&download(b, 100));
    cuda_emulator::require_defined(through_host, 100).unwrap();
    // What is no memory at all is a finding too.
    let outside = cuda_emulator::require_defined(a + 90, 20).unwrap_err();
    assert!(matches!(outside.verdict, Verdict::OutOfBounds { size: 20, .. }), "{outside}");
}

#[test]
fn registered_memory_is_seen_under_its_own_address() {
    let _context = Context::new();
    let mut buffer = vec![5u8; 1000];
    let pointer = buffer.as_mut_ptr().cast::<c_void>();
    // SAFETY: called as the API asks; the buffer outlives its registration.
    unsafe {
        ok(sys::cuMemHostRegister_v2(pointer, 1000, 0));
        assert_eq!(
            sys::cuMemHostRegister_v2(pointer, 10, 0),
            CUresult::CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED
        );
        let (mut device, mut flags) = (0, 0);
        ok(sys::cuMemHostGetDevicePointer_v2(&mut device, pointer, 0));
        assert_eq!(device, pointer as u64);
        ok(sys::cuMemHostGetFlags(&mut flags, pointer));
        assert_eq!(flags, 2);
        ok(sys::cuMemsetD8_v2(device, 9, 500));
        ok(sys::cuCtxSynchronize());
        ok(sys::cuMemHostUnregister(pointer));
    }
    assert_eq!((buffer[499], buffer[500]), (9, 5));
}

#[test]
fn pools_keep_count_and_free_in_the_order_of_the_stream() {
    let _context = Context::new();
    let stream = stream();
    let properties = sys::CUmemPoolProps {
        allocType: sys::CUmemAllocationType::CU_MEM_ALLOCATION_TYPE_PINNED,
        // SAFETY: zero is a value of every field.
        ..unsafe { std::mem::zeroed::<sys::CUmemPoolProps>() }
    };
    let properties = sys::CUmemPoolProps {
        location: sys::CUmemLocation {
            type_: sys::CUmemLocationType::CU_MEM_LOCATION_TYPE_DEVICE,
            ..properties.location
        },
        ..properties
    };
    let mut pool = ptr::null_mut();
    let (mut address, mut used) = (0, 0u64);
    let current = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT;
    // SAFETY: called as the API asks.
    unsafe {
        ok(sys::cuMemPoolCreate(&mut pool, &properties));
        ok(sys::cuMemAllocFromPoolAsync(&mut address, 1000, pool, stream));
        ok(sys::cuMemPoolGetAttribute(pool, current, (&raw mut used).cast()));
        assert_eq!(used, 1000);
        let mut owner: sys::CUmemoryPool = ptr::null_mut();
        let attribute = sys::CUpointer_attribute::CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE;
        ok(sys::cuPointerGetAttribute((&raw mut owner).cast(), attribute, address + 5));
        assert_eq!(owner, pool);
        ok(sys::cuMemsetD8Async(address, 1, 1000, stream));
        ok(sys::cuMemFreeAsync(address, stream));
        assert_eq!(sys::cuMemFreeAsync(address, stream), CUresult::CUDA_ERROR_INVALID_VALUE);
        ok(sys::cuStreamSynchronize(stream));
        ok(sys::cuMemPoolGetAttribute(pool, current, (&raw mut used).cast()));
        assert_eq!(used, 0);
        ok(sys::cuMemPoolDestroy(pool));
        let mut default = ptr::null_mut();
        ok(sys::cuDeviceGetDefaultMemPool(&mut default, 0));
        assert_eq!(sys::cuMemPoolDestroy(default), CUresult::CUDA_ERROR_INVALID_VALUE);
    }
}

#[test]
fn work_after_the_free_of_its_memory_faults() {
    let context = Context::new();
    let stream = stream();
    let mut address = 0;
    // SAFETY: called as the API asks, but for the use after free.
    unsafe {
        ok(sys::cuMemAllocAsync(&mut address, 4096, stream));
        ok(sys::cuMemFreeAsync(address, stream));
        // The queue knows the address still; the memory is gone when the fill runs.
        ok(sys::cuMemsetD8Async(address, 1, 4096, stream));
        assert_eq!(sys::cuStreamSynchronize(stream), CUresult::CUDA_ERROR_ILLEGAL_ADDRESS);
        // The error stays.
        let mut other = 0;
        assert_eq!(sys::cuMemAlloc_v2(&mut other, 16), CUresult::CUDA_ERROR_ILLEGAL_ADDRESS);
        assert_eq!(sys::cuCtxSynchronize(), CUresult::CUDA_ERROR_ILLEGAL_ADDRESS);
    }
    let found = cuda_emulator::findings().into_iter().find(
        |finding| matches!(&finding.verdict, Verdict::OutOfBounds { address: at, .. } if *at == address),
    );
    let text = found.expect("the fault is recorded").to_string();
    assert!(text.contains("freed"), "{text}");
    drop(context);
}
