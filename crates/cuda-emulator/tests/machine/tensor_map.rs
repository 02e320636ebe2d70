//! Boxes of tensor maps against what the PTX manual says of them, element by element: `definition` has that in plain
//! loops and tables, and here random maps are held to it.

mod bytes;
mod definition;
mod encoding;
mod examples;
mod instructions;
mod random;

use cuda_emulator::machine::tensor_map::{Reduction, Run, Tile, Way};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use bytes::Bytes;
use definition::{Byte, Definition};
use random::{Case, any_case};

/// A tensor's memory, all different and with some of it undefined.
fn tensor(case: &Case) -> Bytes {
    let value = |i: usize| (i as u32).wrapping_mul(0x9e37_79b9).to_be_bytes()[1];
    Bytes::new(case.map.address, case.tensor_bytes(), value, |i| if i % 61 == 7 { 0x5a } else { 0xff })
}

/// A box's place in shared memory, and something before and after it.
fn shared(case: &Case, tile: &Tile) -> Bytes {
    let start = u64::from(case.shared) - 128;
    let len = (tile.shared().end - start + 128) as usize;
    let value = |i: usize| (i as u32).wrapping_mul(0x85eb_ca6b).to_be_bytes()[0];
    Bytes::new(start, len, value, |i| if i % 53 == 3 { 0xa5 } else { 0xff })
}

fn tile(case: &Case, way: Way) -> Tile {
    Tile::new(&case.map, &case.start, case.shared, way).unwrap_or_else(|v| panic!("{v}: {case:?}"))
}

fn runs(tile: &Tile) -> Vec<Run> {
    let mut runs = Vec::new();
    tile.runs(|run| runs.push(run));
    runs
}

fn load(tile: &Tile, shared: &mut Bytes, tensor: &mut Bytes) {
    let place = shared.at(tile.shared().start, (tile.shared().end - tile.shared().start) as u32);
    // SAFETY: `at` gives memory of the length asked for.
    unsafe { tile.load(place, &mut |address, bytes| tensor.at(address, bytes)) };
}

fn store(tile: &Tile, shared: &mut Bytes, tensor: &mut Bytes) {
    let place = shared.at(tile.shared().start, (tile.shared().end - tile.shared().start) as u32);
    // SAFETY: `at` gives memory of the length asked for.
    unsafe { tile.store(place, &mut |address, bytes| tensor.at(address, bytes)) };
}

fn reduce(tile: &Tile, reduction: Reduction, shared: &mut Bytes, tensor: &mut Bytes) {
    let place = shared.at(tile.shared().start, (tile.shared().end - tile.shared().start) as u32);
    // SAFETY: `at` gives memory of the length asked for.
    unsafe { tile.reduce(reduction, place, &mut |address, bytes| tensor.at(address, bytes)) };
}

fn config(cases: u32) -> ProptestConfig {
    let persistence = FileFailurePersistence::WithSource("regressions");
    ProptestConfig { cases, failure_persistence: Some(Box::new(persistence)), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(400))]

    /// Every byte of the box is in one run, and the runs are nothing else.
    #[test]
    fn runs_are_the_box(case in any_case(false)) {
        let tile = tile(&case, Way::Load);
        let mut expected = Definition::new(&case).bytes();
        prop_assert_eq!(tile.bytes(), expected.len() as u64);
        for run in runs(&tile) {
            prop_assert!(run.bytes > 0);
            for i in 0..run.bytes {
                let found = expected.remove(&(run.shared + i)).map(|byte| match byte {
                    Byte::Tensor(address) => Some(address),
                    Byte::Outside(_) => None,
                });
                let global = run.global.map(|address| address + u64::from(i));
                prop_assert_eq!(found, Some(global), "shared {:#x}", run.shared + i);
                prop_assert!(tile.shared().contains(&(run.shared + i).into()));
            }
        }
        prop_assert!(expected.is_empty(), "{} bytes are missing", expected.len());
    }

    /// The ranges are the tensor's part of the runs.
    #[test]
    fn ranges_are_what_is_inside(case in any_case(false)) {
        let mut ranges = Vec::new();
        let tile = tile(&case, Way::Load);
        tile.ranges(|address, bytes| ranges.push((address, bytes)));
        let mut bytes: Vec<u64> = ranges.iter().flat_map(|(a, n)| *a..a + u64::from(*n)).collect();
        let mut expected: Vec<u64> = Definition::new(&case)
            .bytes()
            .values()
            .filter_map(|byte| match byte { Byte::Tensor(address) => Some(*address), Byte::Outside(_) => None })
            .collect();
        bytes.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(bytes, expected);
    }

    #[test]
    fn loads(case in any_case(false)) {
        let tile = tile(&case, Way::Load);
        let (mut tensor, mut shared) = (tensor(&case), shared(&case, &tile));
        let mut expected = shared.clone();
        let untouched = tensor.clone();
        for (at, byte) in Definition::new(&case).bytes() {
            expected.set(at.into(), match byte {
                Byte::Tensor(address) => tensor.get(address),
                Byte::Outside(value) => (value, 0xff),
            });
        }
        load(&tile, &mut shared, &mut tensor);
        shared.assert_eq(&expected);
        tensor.assert_eq(&untouched);
    }

    #[test]
    fn stores(case in any_case(true)) {
        let tile = tile(&case, Way::Store);
        let (mut tensor, mut shared) = (tensor(&case), shared(&case, &tile));
        let mut expected = tensor.clone();
        let untouched = shared.clone();
        for (at, byte) in Definition::new(&case).bytes() {
            if let Byte::Tensor(address) = byte {
                expected.set(address, shared.get(at.into()));
            }
        }
        store(&tile, &mut shared, &mut tensor);
        tensor.assert_eq(&expected);
        shared.assert_eq(&untouched);
    }

    /// What a store writes, a load reads back.
    #[test]
    fn a_load_undoes_a_store(case in any_case(true)) {
        let tile = tile(&case, Way::Store);
        let (mut tensor, mut shared) = (tensor(&case), shared(&case, &tile));
        let before = shared.clone();
        store(&tile, &mut shared, &mut tensor);
        load(&tile, &mut shared, &mut tensor);
        for (at, byte) in Definition::new(&case).bytes() {
            if let Byte::Tensor(_) = byte {
                prop_assert_eq!(shared.get(at.into()), before.get(at.into()));
            }
        }
    }

    /// Every operation on every type that has it, element by element.
    #[test]
    fn reductions(case in any_case(true), name in prop::sample::select(definition::REDUCTIONS.to_vec())) {
        let operation = definition::reduction(name, case.map.element);
        let reduction = Reduction::new(name, &case.map);
        prop_assert_eq!(operation.is_some(), reduction.is_ok(), "{} of {:?}", name, case.map.element);
        let (Some(operation), Ok(reduction)) = (operation, reduction) else { return Ok(()) };
        let tile = tile(&case, Way::Store);
        let (mut tensor, mut shared) = (tensor(&case), shared(&case, &tile));
        definition::round_values(case.map.element, &mut tensor);
        definition::round_values(case.map.element, &mut shared);
        let mut expected = tensor.clone();
        let width = u64::from(case.map.element.bytes());
        for (at, address) in Definition::new(&case).elements() {
            let read = |bytes: &Bytes, at: u64| (0..width).map(|i| bytes.get(at + i)).collect::<Vec<_>>();
            let number = |bytes: &[(u8, u8)]| bytes.iter().rev().fold(0, |n, b| n << 8 | u64::from(b.0));
            let (old, operand) = (read(&tensor, address), read(&shared, at.into()));
            let new = operation(number(&old), number(&operand)).to_le_bytes();
            // The result is as undefined as the two together.
            let defined = old.iter().chain(&operand).all(|b| b.1 == 0xff);
            for i in 0..width {
                expected.set(address + i, (new[i as usize], if defined { 0xff } else { 0 }));
            }
        }
        reduce(&tile, reduction, &mut shared, &mut tensor);
        tensor.assert_eq(&expected);
    }
}
