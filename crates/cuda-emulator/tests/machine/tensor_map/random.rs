//! Random maps that keep the rules, and boxes that lie in, over and beside their tensors.

use cuda_emulator::machine::tensor_map::{ElementType, Fill, Interleave, Swizzle, TensorMap};
use proptest::prelude::*;

/// A map, coordinates, and an address in shared memory.
#[derive(Debug, Clone)]
pub struct Case {
    pub map: TensorMap,
    pub start: Vec<i32>,
    pub shared: u32,
}

impl Case {
    /// Bytes from the tensor's first to its last.
    pub fn tensor_bytes(&self) -> usize {
        let map = &self.map;
        let outer: u64 = (1..map.rank).map(|d| (map.dims[d] - 1) * map.strides[d - 1]).sum();
        (map.dims[0] * u64::from(map.unit()) + outer) as usize
    }
}

/// Any map. One for stores starts inside, its elements do not overlap, and loads of it change nothing.
pub fn any_case(for_stores: bool) -> impl Strategy<Value = Case> {
    let element = prop::sample::select(ElementType::ALL.to_vec());
    let layout = prop::sample::select(vec![
        (Interleave::None, Swizzle::None),
        (Interleave::None, Swizzle::B32),
        (Interleave::None, Swizzle::B64),
        (Interleave::None, Swizzle::B128),
        (Interleave::B16, Swizzle::None),
        (Interleave::B32, Swizzle::B32),
    ]);
    let kind = (1..=5usize, element, layout, any::<bool>());
    let sizes = (
        prop::array::uniform5(1..=9u64),
        prop::array::uniform5(1..=6u32),
        prop::array::uniform5(prop_oneof![3 => Just(1u32), 1 => 1..=8u32]),
        prop::array::uniform4(0..=6u64),
    );
    let inner = (1..=150u64, 1..=16u32);
    let places = (prop::array::uniform5(-8..12i32), 1..64u32, 0..8u64);
    (kind, sizes, inner, places).prop_map(move |(kind, sizes, inner, places)| {
        let (rank, mut element, (interleave, swizzle), nan) = kind;
        let (mut dims, mut box_dims, element_strides, padding) = sizes;
        let (start, shared, at) = places;
        if for_stores && matches!(element, ElementType::Tf32 | ElementType::Tf32Ftz) {
            element = ElementType::F32;
        }
        // Their conversion has a test of its own.
        if matches!(element, ElementType::Tf32 | ElementType::Tf32Ftz) {
            element = ElementType::F32Ftz;
        }
        let interleaved = interleave != Interleave::None;
        let rank = if interleaved { rank.max(3) } else { rank };
        let mut map = TensorMap {
            address: 0,
            rank,
            dims: [1; 5],
            strides: [0; 4],
            box_dims: [1; 5],
            element_strides: [1; 5],
            element,
            interleave,
            swizzle,
            fill: if nan && element.is_float() { Fill::Nan } else { Fill::Zero },
        };
        let align = if interleave == Interleave::B32 { 32 } else { 16 };
        map.address = 0x4000_0000 + align * at;
        // Elements in 16 bytes, the least that a box is wide and that it moves by.
        let step = if interleaved { 1 } else { 16 / element.bytes() };
        if !interleaved {
            dims[0] = inner.0;
            let most = if swizzle == Swizzle::None { 16 } else { swizzle.span() / 16 };
            box_dims[0] = step * (inner.1 - 1) % (step * most) + step;
            box_dims[0] = box_dims[0].min(256 / step * step);
        }
        let mut bytes = (dims[0] * u64::from(map.unit())).next_multiple_of(align);
        for d in 0..rank {
            map.dims[d] = dims[d];
            map.box_dims[d] = box_dims[d];
            map.element_strides[d] = if d == 0 && !interleaved { 1 } else { element_strides[d] };
            if d > 0 {
                map.strides[d - 1] = match for_stores {
                    true => bytes + align * padding[d - 1],
                    // Anything, overlapping or not.
                    false => align * (padding[d - 1] * 7 % 11),
                };
                bytes = map.strides[d - 1] * dims[d];
            }
        }
        assert_eq!(map.check(), Ok(()));
        let start = (0..rank)
            .map(|d| start[d] * if d == 0 { step as i32 } else { 1 })
            .map(|c| if for_stores { c.max(0) } else { c })
            .collect();
        Case { map, start, shared: 128 * (7 + shared) }
    })
}
