//! `cuTensorMapEncodeTiled` and `cuTensorMapReplaceAddress`: each rule by the last value that is accepted and the
//! first that is not.

use std::ptr;

use cudarc::driver::sys::CUtensorMapDataType::*;
use cudarc::driver::sys::CUtensorMapFloatOOBfill::*;
use cudarc::driver::sys::CUtensorMapInterleave::*;
use cudarc::driver::sys::CUtensorMapL2promotion::*;
use cudarc::driver::sys::CUtensorMapSwizzle::*;
use cudarc::driver::sys::{self, CUresult, CUtensorMap};

use super::api::entry;
use super::tensor_maps::Tiled;
use super::{Context, alone, logged, ok};

const INVALID: CUresult = CUresult::CUDA_ERROR_INVALID_VALUE;
/// Where the tensors are; encoding does not ask whether there is memory.
const ADDRESS: u64 = 0x7000_0000;

/// Rank 3, of f16, with rows of 128 bytes.
fn plain() -> Tiled {
    Tiled::new(CU_TENSOR_MAP_DATA_TYPE_FLOAT16, ADDRESS, &[64, 48, 32], &[64, 8, 4])
}

/// The same with slices of channels.
fn interleaved() -> Tiled {
    Tiled { interleave: CU_TENSOR_MAP_INTERLEAVE_16B, ..plain() }
}

fn interleaved_by_32() -> Tiled {
    Tiled { interleave: CU_TENSOR_MAP_INTERLEAVE_32B, swizzle: CU_TENSOR_MAP_SWIZZLE_32B, ..plain() }
}

#[track_caller]
fn accepted(map: Tiled) {
    let _context = Context::new();
    assert!(map.encode().is_ok(), "refused: {map:?}");
}

#[track_caller]
fn refused(map: Tiled) {
    let _context = Context::new();
    assert_eq!(map.encode().err(), Some(INVALID), "{map:?}");
}

/// The plain map after a change.
fn with(change: impl FnOnce(&mut Tiled)) -> Tiled {
    changed(plain(), change)
}

fn changed(mut map: Tiled, change: impl FnOnce(&mut Tiled)) -> Tiled {
    change(&mut map);
    map
}

#[test]
fn maps_of_every_rank() {
    for rank in 1..=5 {
        let (dims, boxes) = ([64, 9, 8, 7, 6], [64, 5, 4, 3, 2]);
        accepted(Tiled::new(CU_TENSOR_MAP_DATA_TYPE_UINT8, ADDRESS, &dims[..rank], &boxes[..rank]));
    }
}

#[test]
fn rank() {
    refused(with(|map| map.rank = 0));
    refused(Tiled::new(CU_TENSOR_MAP_DATA_TYPE_FLOAT16, ADDRESS, &[64, 2, 2, 2, 2, 2], &[64, 1, 1, 1, 1, 1]));
    for rank in [1, 2] {
        refused(changed(interleaved(), |map| map.rank = rank));
        accepted(with(|map| map.rank = rank));
    }
    accepted(interleaved());
}

#[test]
fn every_data_type() {
    for element in [
        CU_TENSOR_MAP_DATA_TYPE_UINT8,
        CU_TENSOR_MAP_DATA_TYPE_UINT16,
        CU_TENSOR_MAP_DATA_TYPE_UINT32,
        CU_TENSOR_MAP_DATA_TYPE_INT32,
        CU_TENSOR_MAP_DATA_TYPE_UINT64,
        CU_TENSOR_MAP_DATA_TYPE_INT64,
        CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
        CU_TENSOR_MAP_DATA_TYPE_FLOAT32,
        CU_TENSOR_MAP_DATA_TYPE_FLOAT64,
        CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
        CU_TENSOR_MAP_DATA_TYPE_FLOAT32_FTZ,
        CU_TENSOR_MAP_DATA_TYPE_TFLOAT32,
        CU_TENSOR_MAP_DATA_TYPE_TFLOAT32_FTZ,
    ] {
        accepted(with(|map| map.element = element));
    }
}

/// Compute capability 9.0 has none of less than a byte.
#[test]
fn packed_data_types() {
    for element in [
        CU_TENSOR_MAP_DATA_TYPE_16U4_ALIGN8B,
        CU_TENSOR_MAP_DATA_TYPE_16U4_ALIGN16B,
        CU_TENSOR_MAP_DATA_TYPE_16U6_ALIGN16B,
    ] {
        refused(Tiled::new(element, ADDRESS, &[256, 8], &[128, 8]));
    }
}

#[test]
fn global_address() {
    refused(with(|map| map.address += 8));
    accepted(with(|map| map.address += 16));
    accepted(changed(interleaved(), |map| map.address += 16));
    refused(changed(interleaved_by_32(), |map| map.address += 16));
    accepted(changed(interleaved_by_32(), |map| map.address += 32));
    // A template, whose address is put in later.
    accepted(with(|map| map.address = 0));
}

#[test]
fn global_dims() {
    for d in 0..3 {
        refused(with(|map| map.dims[d] = 0));
        accepted(with(|map| map.dims[d] = 1));
        accepted(with(|map| map.dims[d] = 1 << 32));
        refused(with(|map| map.dims[d] = (1 << 32) + 1));
    }
}

#[test]
fn global_strides() {
    for d in 0..2 {
        refused(with(|map| map.strides[d] = 136));
        accepted(with(|map| map.strides[d] = 144));
        refused(with(|map| map.strides[d] = 1 << 40));
        accepted(with(|map| map.strides[d] = (1 << 40) - 16));
        accepted(changed(interleaved(), |map| map.strides[d] = 144));
        refused(changed(interleaved_by_32(), |map| map.strides[d] = 144));
        accepted(changed(interleaved_by_32(), |map| map.strides[d] = 160));
        // As CUTLASS has it where a dimension has one element.
        accepted(with(|map| map.strides[d] = 0));
    }
    // There is none in dimension 0, so none is read of a vector.
    accepted(with(|map| {
        map.rank = 1;
        map.strides = Vec::new();
    }));
}

#[test]
fn box_dims() {
    for d in 0..3 {
        refused(with(|map| map.box_dims[d] = 0));
        accepted(with(|map| map.box_dims[d] = 256));
        refused(with(|map| map.box_dims[d] = 264));
    }
    accepted(with(|map| map.box_dims[1] = 1));
    refused(with(|map| map.box_dims[1] = 257));
}

#[test]
fn the_inner_box_in_bytes() {
    accepted(with(|map| map.box_dims[0] = 8));
    refused(with(|map| map.box_dims[0] = 4));
    refused(with(|map| map.box_dims[0] = 12));
    // Elements of dimension 0 are whole slices.
    accepted(changed(interleaved(), |map| map.box_dims[0] = 3));
}

#[test]
fn the_inner_box_and_the_swizzle() {
    for (swizzle, bytes) in
        [(CU_TENSOR_MAP_SWIZZLE_32B, 32), (CU_TENSOR_MAP_SWIZZLE_64B, 64), (CU_TENSOR_MAP_SWIZZLE_128B, 128)]
    {
        let of_bytes = |bytes: u32| {
            with(|map| {
                map.swizzle = swizzle;
                map.box_dims[0] = bytes / 2;
            })
        };
        accepted(of_bytes(16));
        accepted(of_bytes(bytes));
        refused(of_bytes(bytes + 16));
        accepted(changed(of_bytes(bytes + 16), |map| map.interleave = CU_TENSOR_MAP_INTERLEAVE_16B));
    }
}

#[test]
fn element_strides() {
    for d in 1..3 {
        refused(with(|map| map.element_strides[d] = 0));
        accepted(with(|map| map.element_strides[d] = 8));
        refused(with(|map| map.element_strides[d] = 9));
    }
    for stride in [0, 9] {
        accepted(with(|map| map.element_strides[0] = stride));
        refused(changed(interleaved(), |map| map.element_strides[0] = stride));
    }
    accepted(changed(interleaved(), |map| map.element_strides[0] = 8));
}

#[test]
fn interleave_and_swizzle() {
    for swizzle in [
        CU_TENSOR_MAP_SWIZZLE_NONE,
        CU_TENSOR_MAP_SWIZZLE_32B,
        CU_TENSOR_MAP_SWIZZLE_64B,
        CU_TENSOR_MAP_SWIZZLE_128B,
    ] {
        accepted(changed(interleaved(), |map| map.swizzle = swizzle));
        let by_32 = changed(interleaved_by_32(), |map| map.swizzle = swizzle);
        match swizzle {
            CU_TENSOR_MAP_SWIZZLE_32B => accepted(by_32),
            _ => refused(by_32),
        }
    }
}

/// Compute capability 9.0 swizzles chunks of 16 bytes only.
#[test]
fn swizzles_of_larger_chunks() {
    for swizzle in [
        CU_TENSOR_MAP_SWIZZLE_128B_ATOM_32B,
        CU_TENSOR_MAP_SWIZZLE_128B_ATOM_32B_FLIP_8B,
        CU_TENSOR_MAP_SWIZZLE_128B_ATOM_64B,
    ] {
        refused(with(|map| map.swizzle = swizzle));
    }
}

#[test]
fn fill_with_nan() {
    let filled = |element| {
        with(|map| {
            map.element = element;
            map.fill = CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA;
        })
    };
    for element in [
        CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
        CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
        CU_TENSOR_MAP_DATA_TYPE_FLOAT32,
        CU_TENSOR_MAP_DATA_TYPE_FLOAT32_FTZ,
        CU_TENSOR_MAP_DATA_TYPE_TFLOAT32,
        CU_TENSOR_MAP_DATA_TYPE_TFLOAT32_FTZ,
        CU_TENSOR_MAP_DATA_TYPE_FLOAT64,
    ] {
        accepted(filled(element));
    }
    for element in [
        CU_TENSOR_MAP_DATA_TYPE_UINT8,
        CU_TENSOR_MAP_DATA_TYPE_UINT16,
        CU_TENSOR_MAP_DATA_TYPE_UINT32,
        CU_TENSOR_MAP_DATA_TYPE_INT32,
        CU_TENSOR_MAP_DATA_TYPE_UINT64,
        CU_TENSOR_MAP_DATA_TYPE_INT64,
    ] {
        refused(filled(element));
    }
}

#[test]
fn promotion_to_the_l2() {
    for promotion in [
        CU_TENSOR_MAP_L2_PROMOTION_L2_64B,
        CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
        CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
    ] {
        accepted(with(|map| map.promotion = promotion));
    }
}

/// `cuTensorMapEncodeTiled` as a C program sees it, which may pass any number and any pointer.
type Encode = extern "C" fn(
    *mut CUtensorMap,
    u32,
    u32,
    u64,
    *const u64,
    *const u64,
    *const u32,
    *const u32,
    u32,
    u32,
    u32,
    u32,
) -> CUresult;

#[test]
fn numbers_without_a_meaning() {
    let _context = Context::new();
    // SAFETY: a function of that type.
    let encode: Encode = unsafe { std::mem::transmute(entry("cuTensorMapEncodeTiled", 12000).unwrap()) };
    let (dims, strides, boxes, steps) = ([64, 64], [128], [64, 8], [1, 1]);
    let mut map = CUtensorMap { opaque: [0; 16] };
    let mut numbers = |element, interleave, swizzle, promotion, fill| {
        let (dims, strides) = (dims.as_ptr(), strides.as_ptr());
        let (boxes, steps) = (boxes.as_ptr(), steps.as_ptr());
        encode(&mut map, element, 2, 0, dims, strides, boxes, steps, interleave, swizzle, promotion, fill)
    };
    assert_eq!(numbers(6, 0, 0, 0, 0), CUresult::CUDA_SUCCESS);
    assert_eq!(numbers(16, 0, 0, 0, 0), INVALID);
    assert_eq!(numbers(6, 3, 0, 0, 0), INVALID);
    assert_eq!(numbers(6, 0, 7, 0, 0), INVALID);
    assert_eq!(numbers(6, 0, 0, 4, 0), INVALID);
    assert_eq!(numbers(6, 0, 0, 0, 2), INVALID);
}

#[test]
fn places_and_arrays() {
    let _context = Context::new();
    // SAFETY: a function of that type.
    let encode: Encode = unsafe { std::mem::transmute(entry("cuTensorMapEncodeTiled", 12000).unwrap()) };
    let (dims, strides, boxes, steps) = ([64, 64], [128], [64, 8], [1, 1]);
    let mut maps = [CUtensorMap { opaque: [0; 16] }; 2];
    let mut at = |offset: usize, missing: usize| {
        let place = match missing {
            0 => ptr::null_mut(),
            _ => maps.as_mut_ptr().wrapping_byte_add(offset),
        };
        let dims = if missing == 1 { ptr::null() } else { dims.as_ptr() };
        let strides = if missing == 2 { ptr::null() } else { strides.as_ptr() };
        let boxes = if missing == 3 { ptr::null() } else { boxes.as_ptr() };
        let steps = if missing == 4 { ptr::null() } else { steps.as_ptr() };
        encode(place, 6, 2, 0, dims, strides, boxes, steps, 0, 0, 0, 0)
    };
    assert_eq!(at(0, 5), CUresult::CUDA_SUCCESS);
    assert_eq!(at(64, 5), CUresult::CUDA_SUCCESS);
    assert_eq!(at(32, 5), INVALID);
    (0..5).for_each(|missing| assert_eq!(at(0, missing), INVALID, "{missing}"));
}

#[test]
fn another_address() {
    let _context = Context::new();
    let mut map = plain().encode().unwrap();
    // SAFETY: called as the API asks, but for the place in the last call, which is the test.
    unsafe {
        ok(sys::cuTensorMapReplaceAddress(&mut map, (ADDRESS + 4096) as *mut _));
        assert_eq!(map, with(|map| map.address += 4096).encode().unwrap());
        assert_eq!(sys::cuTensorMapReplaceAddress(&mut map, (ADDRESS + 8) as *mut _), INVALID);
        assert_eq!(sys::cuTensorMapReplaceAddress(ptr::null_mut(), ADDRESS as *mut _), INVALID);

        let mut by_32 = interleaved_by_32().encode().unwrap();
        assert_eq!(sys::cuTensorMapReplaceAddress(&mut by_32, (ADDRESS + 16) as *mut _), INVALID);
        ok(sys::cuTensorMapReplaceAddress(&mut by_32, (ADDRESS + 32) as *mut _));

        let mut none = CUtensorMap { opaque: [1; 16] };
        assert_eq!(sys::cuTensorMapReplaceAddress(&mut none, ADDRESS as *mut _), INVALID);
        assert_eq!(none.opaque, [1; 16]);
    }
}

#[test]
fn a_refusal_leaves_the_place_as_it_was() {
    let _context = Context::new();
    // SAFETY: a function of that type.
    let encode: Encode = unsafe { std::mem::transmute(entry("cuTensorMapEncodeTiled", 12000).unwrap()) };
    let mut map = CUtensorMap { opaque: [7; 16] };
    let (dims, strides, boxes, steps) = ([64, 64], [120], [64, 8], [1, 1]);
    let (dims, strides) = (dims.as_ptr(), strides.as_ptr());
    let (boxes, steps) = (boxes.as_ptr(), steps.as_ptr());
    assert_eq!(encode(&mut map, 6, 2, 0, dims, strides, boxes, steps, 0, 0, 0, 0), INVALID);
    assert_eq!(map.opaque, [7; 16]);
}

#[test]
fn the_log_says_why() {
    let Some(log) = logged("tensor_map::the_log_says_why", &[("CUDA_EMULATOR_LOG", "1")]) else {
        refused(with(|map| map.strides[1] = 136));
        refused(with(|map| map.element = CU_TENSOR_MAP_DATA_TYPE_16U4_ALIGN8B));
        return;
    };
    for reason in [
        "cuTensorMapEncodeTiled returns InvalidValue (1) a stride of 136 bytes in dimension 2, which is no multiple of 16",
        "13 is no data type of compute capability 9.0",
    ] {
        assert!(log.contains(reason), "{reason} is not in:\n{log}");
    }
}

#[test]
fn older_devices_have_none() {
    let name = "tensor_map::older_devices_have_none";
    if alone(name, &[("CUDA_EMULATOR_CAPABILITY", "8.0")]) {
        let _context = Context::new();
        assert_eq!(plain().encode().err(), Some(CUresult::CUDA_ERROR_NOT_SUPPORTED));
    }
}

#[test]
fn other_kinds_of_map_name_themselves() {
    let name = "tensor_map::other_kinds_of_map_name_themselves";
    let Some(log) = logged(name, &[]) else {
        let _context = Context::new();
        for function in ["cuTensorMapEncodeIm2col", "cuTensorMapEncodeIm2colWide"] {
            // SAFETY: it looks at no argument.
            let encode: extern "C" fn() -> CUresult =
                unsafe { std::mem::transmute(entry(function, 13000).unwrap()) };
            assert_eq!(encode(), CUresult::CUDA_ERROR_NOT_SUPPORTED);
        }
        return;
    };
    assert!(log.contains("cuTensorMapEncodeIm2col is not emulated"), "{log}");
    assert!(log.contains("cuTensorMapEncodeIm2colWide is not emulated"), "{log}");
}
