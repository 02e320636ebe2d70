//! Boxes whose runs and results can be said outright.

use cuda_emulator::machine::tensor_map::{
    ElementType, Fill, Interleave, Memory, Reduction, Run, Swizzle, TensorMap, Tile, Way,
};
use cuda_emulator::verdict::{Access, Verdict};

use super::bytes::Bytes;
use super::{load, reduce, runs};

/// A map of rank 2 with rows of `row` elements.
pub fn rows(element: ElementType, row: u64, box_dims: [u32; 2]) -> TensorMap {
    TensorMap {
        address: 0x10000,
        rank: 2,
        dims: [row, 64, 1, 1, 1],
        strides: [(row * u64::from(element.bytes())).next_multiple_of(16), 0, 0, 0],
        box_dims: [box_dims[0], box_dims[1], 1, 1, 1],
        element_strides: [1; 5],
        element,
        interleave: Interleave::None,
        swizzle: Swizzle::None,
        fill: Fill::Zero,
    }
}

/// Plain rows are whole, however the box lies.
#[test]
fn a_row_is_one_run() {
    let map = rows(ElementType::U8, 256, [128, 3]);
    let tile = Tile::new(&map, &[64, 2], 0x800, Way::Load).expect("a box");
    let row = |i: u32| Run {
        global: Some(0x10000 + 64 + 256 * u64::from(2 + i)),
        shared: 0x800 + 128 * i,
        bytes: 128,
    };
    assert_eq!(runs(&tile), [row(0), row(1), row(2)]);
    assert_eq!(tile.bytes(), 384);
    assert_eq!(tile.shared(), 0x800..0x800 + 384);
}

/// A row that leaves the tensor is a run inside and runs outside; one that is not in it at all is one.
#[test]
fn a_row_over_the_edge() {
    let map = rows(ElementType::U8, 40, [64, 3]);
    let tile = Tile::new(&map, &[-16, 62], 0x800, Way::Load).expect("a box");
    let run = |global: Option<u64>, shared, bytes| Run { global, shared, bytes };
    assert_eq!(
        runs(&tile),
        [
            run(None, 0x800, 16),
            run(Some(0x10000 + 48 * 62), 0x810, 40),
            run(None, 0x838, 8),
            run(None, 0x840, 16),
            run(Some(0x10000 + 48 * 63), 0x850, 40),
            run(None, 0x878, 8),
            run(None, 0x880, 64),
        ]
    );
    assert_eq!(tile.bytes(), 192);
}

/// Rows narrower than the swizzle are as far apart as it spans, and only their own bytes complete.
#[test]
fn narrow_rows_of_a_swizzle() {
    let map = TensorMap {
        swizzle: Swizzle::B128,
        element_strides: [1, 2, 1, 1, 1],
        ..rows(ElementType::U32, 32, [8, 5])
    };
    let tile = Tile::new(&map, &[0, 0], 0x800, Way::Load).expect("a box");
    let places: Vec<u32> = runs(&tile).iter().map(|run| run.shared - 0x800).collect();
    assert_eq!(places, [0, 16, 128 + 16, 128, 256 + 32, 256 + 48]);
    assert_eq!(tile.bytes(), 96);
    assert_eq!(tile.shared(), 0x800..0x800 + 384);
}

/// The pattern is that of the address: a box at an odd multiple of 128 starts in its second row.
#[test]
fn a_swizzle_goes_by_the_address() {
    for (swizzle, elements) in [(Swizzle::B32, 32), (Swizzle::B64, 64), (Swizzle::B128, 128)] {
        let map = TensorMap { swizzle, ..rows(ElementType::U8, 256, [elements, 1]) };
        let first =
            |shared| runs(&Tile::new(&map, &[0, 0], shared, Way::Load).expect("a box"))[0].shared - shared;
        assert_eq!([first(0x800), first(0x880), first(0x1000)], [0, 16, 0]);
    }
}

/// The NaN outside is the same 16 bits again and again, whatever the type.
#[test]
fn the_nan_outside() {
    for element in ElementType::ALL.into_iter().filter(|e| e.is_float()) {
        let map = TensorMap { fill: Fill::Nan, ..rows(element, 64, [16, 1]) };
        let tile = Tile::new(&map, &[0, -1], 0x800, Way::Load).expect("a box");
        let mut shared = Bytes::new(0x800, 128, |_| 0, |_| 0);
        load(&tile, &mut shared, &mut Bytes::new(0x10000, 0, |_| 0, |_| 0));
        for i in 0..tile.bytes() / 2 {
            assert_eq!(u16::from_le_bytes(shared.element(0x800 + 2 * i)), 0x7ff7, "{element:?}");
            assert_eq!(shared.get(0x800 + 2 * i).1, 0xff);
        }
    }
}

/// Loads of TF32 round to nearest even, keep subnormals, and know one NaN; other types of 32 bits stay as they are.
#[test]
fn loads_of_tf32() {
    let cases: [(u32, u32); 14] = [
        (0x3f80_1001, 0x3f80_2000),
        (0x3f80_0fff, 0x3f80_0000),
        (0x3f80_3000, 0x3f80_4000),
        (0x3f80_5000, 0x3f80_4000),
        (0xbf80_1000, 0xbf80_0000),
        (0x3fff_ffff, 0x4000_0000),
        (0x8000_0001, 0x8000_0000),
        (0x007f_ffff, 0x0080_0000),
        (0x0000_2000, 0x0000_2000),
        (0x7f80_0000, 0x7f80_0000),
        (0x7f7f_ffff, 0x7f80_0000),
        (0x7f80_0001, 0x7fff_e000),
        (0xff80_0001, 0x7fff_e000),
        (0x7fc0_0001, 0x7fff_e000),
    ];
    let input = |i: usize| cases.get(i / 4).map_or(0, |(from, _)| from.to_le_bytes()[i % 4]);
    for element in [ElementType::Tf32, ElementType::Tf32Ftz, ElementType::F32, ElementType::F32Ftz] {
        let map = rows(element, 16, [16, 1]);
        let tile = Tile::new(&map, &[0, 0], 0x800, Way::Load).expect("a box");
        let mut shared = Bytes::new(0x800, 64, |_| 1, |_| 0);
        // A byte of one operand is undefined.
        let mut tensor = Bytes::new(0x10000, 64, input, |i| if i == 5 { 0xfe } else { 0xff });
        load(&tile, &mut shared, &mut tensor);
        let rounds = matches!(element, ElementType::Tf32 | ElementType::Tf32Ftz);
        for (i, (from, to)) in cases.into_iter().enumerate() {
            let bits = u32::from_le_bytes(shared.element(0x800 + 4 * i as u64));
            assert_eq!(bits, if rounds { to } else { from }, "{element:?} {from:#x}");
        }
        let defined: Vec<u8> = (0x804..0x808).map(|at| shared.get(at).1).collect();
        assert_eq!(defined, if rounds { [0; 4] } else { [0xff, 0xfe, 0xff, 0xff] });
    }
}

/// Whether a sum of f32 keeps subnormals is a matter of the map's type.
#[test]
fn sums_of_subnormals() {
    for (element, sum) in [(ElementType::F32, 3u32), (ElementType::F32Ftz, 0)] {
        let map = rows(element, 4, [4, 1]);
        let tile = Tile::new(&map, &[0, 0], 0x800, Way::Store).expect("a box");
        let reduction = Reduction::new("add", &map).expect("a sum");
        let mut shared = Bytes::new(0x800, 16, |i| u8::from(i % 4 == 0), |_| 0xff);
        let mut tensor = Bytes::new(0x10000, 16, |i| 2 * u8::from(i % 4 == 0), |_| 0xff);
        reduce(&tile, reduction, &mut shared, &mut tensor);
        for i in 0..4 {
            assert_eq!(u32::from_le_bytes(tensor.element(0x10000 + 4 * i)), sum, "{element:?}");
        }
    }
}

/// A load in flight leaves nothing of its box defined, and all around it as it was.
#[test]
fn what_a_load_will_write_is_undefined() {
    let map = TensorMap { swizzle: Swizzle::B128, ..rows(ElementType::U8, 64, [32, 5]) };
    let tile = Tile::new(&map, &[0, 0], 0x880, Way::Load).expect("a box");
    let mut shared = Bytes::new(0x800, 0x400, |_| 7, |_| 0xff);
    let mut expected = shared.clone();
    for run in runs(&tile) {
        (0..run.bytes).for_each(|i| expected.set(u64::from(run.shared + i), (7, 0)));
    }
    // SAFETY: `at` gives memory of the length asked for.
    unsafe { tile.forget(shared.at(0x880, 0x380)) };
    shared.assert_eq(&expected);
}

/// Memory that the host writes to counts as defined, and has no shadow to be written.
#[test]
fn memory_without_a_shadow() {
    let map = rows(ElementType::U8, 32, [32, 2]);
    let tile = Tile::new(&map, &[0, 0], 0x800, Way::Load).expect("a box");
    let mut host = Bytes::new(0x10000, 64, |i| i as u8, |_| 0);
    let mut shared = Bytes::new(0x800, 64, |_| 0xee, |_| 0);
    let place = shared.at(0x800, 64);
    // SAFETY: `at` gives memory of the length asked for.
    unsafe {
        tile.load(place, &mut |a, n| Memory { shadow: None, ..host.at(a, n) });
        (0..64).for_each(|i| assert_eq!(shared.get(0x800 + i), (i as u8, 0xff)));
        tile.store(place, &mut |a, n| Memory { shadow: None, ..host.at(a, n) });
    }
    host.assert_eq(&Bytes::new(0x10000, 64, |i| i as u8, |_| 0));
}

#[track_caller]
fn refused(map: &TensorMap, start: &[i32], shared: u32, way: Way, text: &str) {
    match Tile::new(map, start, shared, way) {
        Err(verdict) => assert!(verdict.to_string().contains(text), "`{text}` is not in: {verdict}"),
        Ok(_) => panic!("not refused: {text}"),
    }
}

#[test]
fn what_a_box_may_not_be() {
    let map = rows(ElementType::F16, 64, [8, 4]);
    refused(&map, &[0], 0x800, Way::Load, "1 coordinates for a tensor map of rank 2");
    refused(&map, &[0; 3], 0x800, Way::Load, "3 coordinates for a tensor map of rank 2");
    refused(&map, &[4, 0], 0x800, Way::Load, "no multiple of 16 bytes");
    refused(&map, &[-1, 0], 0x800, Way::Load, "no multiple of 16 bytes");
    refused(&map, &[-8, 0], 0x800, Way::Store, "negative coordinates");
    refused(&map, &[0, -1], 0x800, Way::Store, "negative coordinates");
    assert!(Tile::new(&map, &[-8, -1], 0x800, Way::Load).is_ok());
    let swizzled = TensorMap {
        rank: 3,
        interleave: Interleave::B16,
        swizzle: Swizzle::B32,
        ..rows(ElementType::F16, 64, [8, 4])
    };
    refused(&swizzled, &[0; 3], 0x800, Way::Load, "is not known to the emulator");
}

#[test]
fn the_address_in_shared_memory() {
    for (way, access) in [(Way::Load, Access::Write), (Way::Store, Access::Read)] {
        let map = rows(ElementType::F16, 64, [8, 4]);
        let verdict = Tile::new(&map, &[0, 0], 0x840, way).expect_err("misaligned");
        let space = "shared".to_owned();
        assert_eq!(verdict, Verdict::Misaligned { access, space, address: 0x840, align: 128 });
    }
}

/// Coordinates and strides as large as they can be stay in bounds of the arithmetic.
#[test]
fn the_largest_numbers() {
    let map = TensorMap {
        address: u64::MAX - 15,
        rank: 5,
        dims: [1 << 32; 5],
        strides: [(1 << 40) - 16; 4],
        box_dims: [256; 5],
        element_strides: [8; 5],
        ..rows(ElementType::U64, 64, [2, 1])
    };
    assert_eq!(map.check(), Ok(()));
    for start in [[i32::MAX - 1; 5], [i32::MIN; 5], [0; 5]] {
        let tile = Tile::new(&map, &start, u32::MAX - 127, Way::Load).expect("a box");
        assert_eq!(tile.bytes(), 2048 << 20);
        assert_eq!(tile.shared().end, u64::from(u32::MAX - 127) + (2048 << 20));
        // Only its first rows: nobody asks for all of such a box.
        let small = TensorMap { box_dims: [256, 2, 1, 1, 1], ..map.clone() };
        let tile = Tile::new(&small, &start, u32::MAX - 127, Way::Load).expect("a box");
        assert_eq!(runs(&tile).len(), 1);
    }
}
