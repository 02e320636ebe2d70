//! Copies and fills in all directions.

use std::ptr;

use cudarc::driver::sys::{self, CUmemorytype_enum as Type, CUresult};

use super::{Context, alloc, download, ok, pinned, stream, upload};

fn bytes(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i * 31 % 251) as u8).collect()
}

#[test]
fn there_and_back() {
    let _context = Context::new();
    let data = bytes(100_000);
    let a = upload(&data);
    assert_eq!(download(a, data.len()), data);
    assert_eq!(download(a + 777, 99), data[777..876]);
    let b = alloc(data.len());
    // SAFETY: called as the API asks.
    unsafe {
        ok(sys::cuMemcpyDtoD_v2(b, a, data.len()));
        assert_eq!(sys::cuMemcpyDtoD_v2(b, a + 1, data.len()), CUresult::CUDA_ERROR_INVALID_VALUE);
        let host = data.as_ptr().cast();
        assert_eq!(sys::cuMemcpyHtoD_v2(b, host, data.len() + 1), CUresult::CUDA_ERROR_INVALID_VALUE);
        assert_eq!(sys::cuMemcpyHtoD_v2(b, ptr::null(), 1), CUresult::CUDA_ERROR_INVALID_VALUE);
        // A device address is not the host's.
        assert_eq!(sys::cuMemcpyHtoD_v2(b, a as *const _, 1), CUresult::CUDA_ERROR_INVALID_VALUE);
        ok(sys::cuMemcpyHtoD_v2(b, host, 0));
    }
    assert_eq!(download(b, data.len()), data);
}

#[test]
fn by_address_alone() {
    let _context = Context::new();
    let data = bytes(5000);
    let (a, b) = (alloc(5000), alloc(5000));
    let mut back = vec![0u8; 5000];
    let host = pinned(5000);
    // SAFETY: called as the API asks.
    unsafe {
        ok(sys::cuMemcpy(a, data.as_ptr() as u64, 5000));
        ok(sys::cuMemcpy(b, a, 5000));
        ok(sys::cuMemcpy(host as u64, b, 5000));
        ok(sys::cuMemcpy(back.as_mut_ptr() as u64, host as u64, 5000));
        assert_eq!(std::slice::from_raw_parts(host, 5000), data);
    }
    assert_eq!(back, data);
}

#[test]
fn rows_with_pitches() {
    let _context = Context::new();
    let data = bytes(12 * 10);
    let a = alloc(32 * 8);
    let mut copy = sys::CUDA_MEMCPY2D {
        srcXInBytes: 2,
        srcY: 3,
        srcMemoryType: Type::CU_MEMORYTYPE_HOST,
        srcHost: data.as_ptr().cast(),
        srcDevice: 0,
        srcArray: ptr::null_mut(),
        srcPitch: 12,
        dstXInBytes: 4,
        dstY: 1,
        dstMemoryType: Type::CU_MEMORYTYPE_DEVICE,
        dstHost: ptr::null_mut(),
        dstDevice: a,
        dstArray: ptr::null_mut(),
        dstPitch: 32,
        WidthInBytes: 7,
        Height: 5,
    };
    // SAFETY: called as the API asks.
    unsafe {
        ok(sys::cuMemsetD8_v2(a, 0xEE, 32 * 8));
        ok(sys::cuMemcpy2D_v2(&copy));
    }
    let result = download(a, 32 * 8);
    for (i, &byte) in result.iter().enumerate() {
        let (y, x) = (i / 32, i % 32);
        let inside = (1..6).contains(&y) && (4..11).contains(&x);
        let expected = if inside { data[(y - 1 + 3) * 12 + (x - 4 + 2)] } else { 0xEE };
        assert_eq!(byte, expected, "row {y}, byte {x}");
    }
    copy.dstPitch = 8;
    // SAFETY: called as the API asks.
    assert_eq!(unsafe { sys::cuMemcpy2D_v2(&copy) }, CUresult::CUDA_ERROR_INVALID_VALUE);
}

#[test]
fn fills_of_every_width() {
    let _context = Context::new();
    let a = alloc(64);
    let stream = stream();
    // SAFETY: called as the API asks.
    unsafe {
        ok(sys::cuMemsetD8_v2(a, 0, 64));
        ok(sys::cuCtxSynchronize());
        ok(sys::cuMemsetD16Async(a, 0x0102, 3, stream));
        ok(sys::cuMemsetD32Async(a + 8, 0x03040506, 2, stream));
        ok(sys::cuMemsetD2D8Async(a + 20, 10, 9, 2, 3, stream));
        ok(sys::cuStreamSynchronize(stream));
    }
    let mut expected = vec![0u8; 64];
    expected[..6].copy_from_slice(&[2, 1, 2, 1, 2, 1]);
    expected[8..16].copy_from_slice(&[6, 5, 4, 3, 6, 5, 4, 3]);
    for row in 0..3 {
        expected[20 + 10 * row..][..2].fill(9);
    }
    assert_eq!(download(a, 64), expected);
}

#[test]
fn many_staged_copies_do_not_pile_up() {
    let _context = Context::new();
    let stream = stream();
    let data = bytes(8 << 20);
    let a = alloc(data.len());
    // SAFETY: called as the API asks.
    unsafe {
        for _ in 0..20 {
            ok(sys::cuMemcpyHtoDAsync_v2(a, data.as_ptr().cast(), data.len(), stream));
        }
        ok(sys::cuStreamSynchronize(stream));
    }
    assert_eq!(download(a, 1000), data[..1000]);
}
