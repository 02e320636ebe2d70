//! Matrices in the middle of memory that has something else all around them: NaN, which spoils whatever reads it, or a
//! mark that whatever overwrites it would destroy.

use std::sync::Arc;

use deepkern::{
    cudarc::driver::{CudaSlice, CudaStream, CudaView, CudaViewMut, DeviceRepr},
    fp8::F8E4M3,
};
use half::bf16;
use proptest::prelude::*;

/// Where a matrix lies in its memory, in elements.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Elements before the first row.
    pub front: usize,
    /// Elements between rows.
    pub gap: usize,
    /// The row stride is rounded up to a multiple of this.
    pub multiple: usize,
    /// Elements behind the last row, with its gap. Without any, what is read there lies outside of all memory.
    pub after: usize,
}

impl Place {
    /// All that there is, without gaps.
    pub const DENSE: Self = Self { front: 0, gap: 0, multiple: 1, after: 0 };

    /// Any, or one with every row aligned to 16 elements.
    pub fn any() -> impl Strategy<Value = Self> {
        let after = || prop_oneof![Just(0), Just(20)];
        prop_oneof![
            (0..20usize, 0..5usize, after()).prop_map(|(front, gap, after)| Self {
                front,
                gap,
                multiple: 1,
                after
            }),
            (0..2usize, 0..2usize, after()).prop_map(|(front, gap, after)| Self {
                front: 16 * front,
                gap,
                multiple: 16,
                after
            }),
        ]
    }

    pub fn stride(&self, columns: usize) -> usize {
        (columns + self.gap).next_multiple_of(self.multiple)
    }
}

/// Compared by their bits: a NaN equals itself.
pub trait Bits: DeviceRepr + Copy {
    /// What is planted: a NaN.
    const PLANT: Self;
    fn bits(self) -> u32;
}

impl Bits for f32 {
    const PLANT: Self = f32::from_bits(0x7fc5_a5a5);
    fn bits(self) -> u32 {
        self.to_bits()
    }
}

impl Bits for bf16 {
    const PLANT: Self = bf16::from_bits(0x7fd5);
    fn bits(self) -> u32 {
        self.to_bits().into()
    }
}

impl Bits for F8E4M3 {
    const PLANT: Self = F8E4M3::from_bits(0xff);
    fn bits(self) -> u32 {
        self.to_bits().into()
    }
}

/// A matrix `[rows, columns]` on the device, with NaN all around it.
pub struct Planted<T> {
    pub memory: CudaSlice<T>,
    pub front: usize,
    pub stride: usize,
    rows: usize,
    columns: usize,
}

impl<T: Bits> Planted<T> {
    /// Uploads `values`, row by row.
    pub fn new(stream: &Arc<CudaStream>, values: &[T], rows: usize, columns: usize, place: Place) -> Self {
        assert_eq!(values.len(), rows * columns);
        let (front, stride) = (place.front, place.stride(columns));
        // There is no memory of no size.
        let mut memory = vec![T::PLANT; (front + rows * stride + place.after).max(1)];
        for row in 0..rows {
            let start = front + row * stride;
            memory[start..start + columns].copy_from_slice(&values[row * columns..][..columns]);
        }
        let memory = stream.clone_htod(&memory).expect("uploads");
        Self { memory, front, stride, rows, columns }
    }

    /// All elements are to be written.
    pub fn output(stream: &Arc<CudaStream>, rows: usize, columns: usize, place: Place) -> Self {
        Self::new(stream, &vec![T::PLANT; rows * columns], rows, columns, place)
    }

    /// The memory from the matrix's first element on.
    pub fn view(&self) -> CudaView<'_, T> {
        self.memory.slice(self.front..)
    }

    /// The memory from the matrix's first element on.
    pub fn view_mut(&mut self) -> CudaViewMut<'_, T> {
        self.memory.slice_mut(self.front..)
    }

    /// The elements, row by row. Panics if anything around them has changed.
    pub fn read(&self, stream: &Arc<CudaStream>) -> Vec<T> {
        let memory = stream.clone_dtoh(&self.memory).expect("downloads");
        let mut elements = Vec::with_capacity(self.rows * self.columns);
        for (i, &value) in memory.iter().enumerate() {
            let inside = i.checked_sub(self.front).is_some_and(|offset| {
                let (row, column) = (offset / self.stride.max(1), offset % self.stride.max(1));
                row < self.rows && column < self.columns
            });
            if inside {
                elements.push(value);
            } else {
                assert_eq!(value.bits(), T::PLANT.bits(), "element {i} is outside and was overwritten");
            }
        }
        elements
    }
}

/// The bits of values, to compare.
pub fn bits<T: Bits>(values: &[T]) -> Vec<u32> {
    values.iter().map(|value| value.bits()).collect()
}
