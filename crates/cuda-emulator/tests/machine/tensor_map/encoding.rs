//! The 128 bytes, and `tensormap.replace`.

use cuda_emulator::machine::tensor_map::{
    BYTES, ElementType, Field, Fill, Interleave, Swizzle, TensorMap, replace,
};
use cuda_emulator::verdict::Verdict;
use proptest::prelude::*;

use super::config;
use super::examples::rows;
use super::random::any_case;

#[track_caller]
fn refused(result: Result<impl std::fmt::Debug, Verdict>, text: &str) {
    match result {
        Err(verdict @ Verdict::TensorMap { .. }) => {
            assert!(verdict.to_string().contains(text), "`{text}` is not in: {verdict}");
        }
        other => panic!("not refused: {other:?}"),
    }
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn bytes_are_the_map(case in any_case(false)) {
        prop_assert_eq!(TensorMap::decode(&case.map.encode()), Ok(case.map));
    }

    #[test]
    fn other_bytes_are_none(bytes in prop::array::uniform32(any::<u32>())) {
        let bytes = std::array::from_fn(|i| bytes[i / 4].to_le_bytes()[i % 4]);
        refused(TensorMap::decode(&bytes), "no tensor map that the driver has made");
    }

    /// A map into which something was written is another map or none, and keeps the rules if it is one.
    #[test]
    fn spoiled_bytes(case in any_case(false), at in 0..BYTES, byte in any::<u8>()) {
        let mut bytes = case.map.encode();
        bytes[at] = byte;
        if let Ok(map) = TensorMap::decode(&bytes) {
            prop_assert_eq!(map.check(), Ok(()));
            prop_assert_eq!(map.encode(), bytes);
        }
    }
}

#[test]
fn zeros_are_none() {
    refused(TensorMap::decode(&[0; BYTES]), "no tensor map that the driver has made");
}

/// CUTLASS does so after `cuTensorMapEncodeTiled`, where the tensor is smaller than 128 KiB.
#[test]
fn bit_21_of_the_second_word_is_cleared() {
    let map = rows(ElementType::Bf16, 1 << 21, [64, 128]);
    let mut bytes = map.encode();
    let word = u64::from_le_bytes(std::array::from_fn(|i| bytes[8 + i]));
    bytes[8..16].copy_from_slice(&(word & !(1 << 21)).to_le_bytes());
    assert_eq!(TensorMap::decode(&bytes), Ok(map));
}

/// What `tensormap.replace` does to a map of rank 3.
fn replaced(field: Field, value: u64) -> TensorMap {
    let mut bytes = template().encode();
    replace(&mut bytes, field, value).unwrap_or_else(|verdict| panic!("{verdict}"));
    TensorMap::decode(&bytes).unwrap_or_else(|verdict| panic!("{verdict}"))
}

fn template() -> TensorMap {
    TensorMap {
        rank: 3,
        strides: [128, 8192, 0, 0],
        dims: [64, 64, 5, 1, 1],
        ..rows(ElementType::F16, 64, [8, 4])
    }
}

#[test]
fn every_field_is_replaced() {
    let map = template;
    assert_eq!(replaced(Field::GlobalAddress, 0x4560), TensorMap { address: 0x4560, ..map() });
    // Counted from zero.
    assert_eq!(replaced(Field::Rank, 3), TensorMap { rank: 4, ..map() });
    assert_eq!(replaced(Field::BoxDim(0), 256).box_dims, [256, 4, 1, 1, 1]);
    assert_eq!(replaced(Field::BoxDim(4), 2).box_dims, [8, 4, 1, 1, 2]);
    assert_eq!(replaced(Field::GlobalDim(2), 77).dims, [64, 64, 77, 1, 1]);
    // Of 32 bits: zero is what 2^32 leaves of itself.
    assert_eq!(replaced(Field::GlobalDim(0), 0).dims, [1 << 32, 64, 5, 1, 1]);
    assert_eq!(replaced(Field::GlobalDim(1), u32::MAX.into()).dims, [64, u32::MAX.into(), 5, 1, 1]);
    assert_eq!(replaced(Field::GlobalStride(0), 144).strides, [144, 8192, 0, 0]);
    assert_eq!(replaced(Field::GlobalStride(3), (1 << 40) - 16).strides, [128, 8192, 0, (1 << 40) - 16]);
    assert_eq!(replaced(Field::ElementStride(1), 8).element_strides, [1, 8, 1, 1, 1]);
    assert_eq!(replaced(Field::InterleaveLayout, 1).interleave, Interleave::B16);
    assert_eq!(replaced(Field::SwizzleMode, 2).swizzle, Swizzle::B64);
    assert_eq!(replaced(Field::SwizzleMode, 3).swizzle, Swizzle::B128);
    assert_eq!(replaced(Field::FillMode, 1).fill, Fill::Nan);
}

/// In the order of the PTX manual's table, which is not that of the driver API.
#[test]
fn element_types_by_number() {
    use ElementType::*;
    let types = [U8, U16, U32, S32, U64, S64, F16, F32, F32Ftz, F64, Bf16, Tf32, Tf32Ftz];
    for (number, ty) in types.into_iter().enumerate() {
        let mut bytes = TensorMap { box_dims: [16, 1, 1, 1, 1], ..template() }.encode();
        replace(&mut bytes, Field::ElementType, number as u64).expect("a type");
        assert_eq!(TensorMap::decode(&bytes).expect("a map").element, ty);
    }
}

#[test]
fn values_that_no_field_has() {
    let mut bytes = template().encode();
    let mut no = |field, value, text: &str| refused(replace(&mut bytes, field, value), text);
    no(Field::Rank, 5, "5 is no rank less one");
    no(Field::BoxDim(0), 0, "0 is no box size");
    no(Field::BoxDim(0), 257, "257 is no box size");
    no(Field::BoxDim(5), 1, "no dimension 5 of BoxDim");
    no(Field::GlobalDim(5), 1, "no dimension 5 of GlobalDim");
    no(Field::GlobalStride(4), 16, "no dimension 4 of GlobalStride");
    no(Field::ElementStride(0), 0, "0 is no element stride");
    no(Field::ElementStride(0), 9, "9 is no element stride");
    no(Field::ElementStride(7), 1, "no dimension 7 of ElementStride");
    no(Field::ElementType, 13, "13 is no element type");
    no(Field::InterleaveLayout, 3, "3 is no interleave layout");
    no(Field::SwizzleMode, 4, "4 is no swizzle mode");
    no(Field::FillMode, 2, "2 is no fill mode");
    assert_eq!(bytes, template().encode(), "and nothing has changed");
}

/// Fields need to go together only when the map is used.
#[test]
fn rules_are_asked_on_use() {
    let mut bytes = template().encode();
    replace(&mut bytes, Field::GlobalAddress, 0x4568).expect("any address");
    refused(
        TensorMap::decode(&bytes),
        "the tensor map has a global address of 0x4568, which is no multiple of 16",
    );
    replace(&mut bytes, Field::GlobalAddress, 0x4560).expect("any address");
    replace(&mut bytes, Field::GlobalStride(0), 1 << 40).expect("any stride");
    refused(TensorMap::decode(&bytes), "2^40 is too much");
}

/// A map made in a kernel, of zeros, as the CUDA programming guide allows on 9.0.
#[test]
fn a_map_made_of_zeros() {
    let mut bytes = [0; BYTES];
    let fields = [
        (Field::GlobalAddress, 0x10000),
        (Field::Rank, 1),
        (Field::BoxDim(0), 64),
        (Field::BoxDim(1), 32),
        (Field::GlobalDim(0), 64),
        (Field::GlobalDim(1), 64),
        (Field::GlobalStride(0), 128),
        (Field::ElementStride(0), 1),
        (Field::ElementStride(1), 1),
        (Field::ElementType, 10),
        (Field::InterleaveLayout, 0),
        (Field::SwizzleMode, 3),
        (Field::FillMode, 0),
    ];
    for (field, value) in fields {
        replace(&mut bytes, field, value).unwrap_or_else(|verdict| panic!("{verdict}"));
    }
    let expected = TensorMap { swizzle: Swizzle::B128, ..rows(ElementType::Bf16, 64, [64, 32]) };
    assert_eq!(TensorMap::decode(&bytes), Ok(expected));
}

#[test]
fn nothing_else_is_replaced() {
    let mut bytes = [0xcd; BYTES];
    refused(replace(&mut bytes, Field::Rank, 1), "no tensor map that the driver has made");
    assert_eq!(bytes, [0xcd; BYTES]);
}
