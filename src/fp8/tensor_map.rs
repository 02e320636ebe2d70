//! Matrices as Hopper's copy engine (TMA) sees them.

use std::ffi::c_void;

use cudarc::driver::sys::{
    self, CUtensorMap, CUtensorMapDataType, CUtensorMapFloatOOBfill, CUtensorMapInterleave,
    CUtensorMapL2promotion, CUtensorMapSwizzle,
};

use crate::{Error, Result, abi};

/// What the engine asks of the first address and of the distance between rows, in bytes.
const GRAIN: usize = 16;
/// Rows are at most this many bytes apart.
const MAX_DISTANCE: u64 = (1 << 40) - GRAIN as u64;

/// A matrix in device memory, and the box of it that one copy brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TiledMatrix {
    /// The operand, for errors.
    pub what: &'static str,
    /// Its first element.
    pub address: u64,
    /// Bytes of an element: 1 (codes), 2 (bf16) or 4 (f32).
    pub element: usize,
    pub rows: usize,
    pub columns: usize,
    /// Elements from row to row.
    pub stride: usize,
    /// Rows and columns of a box.
    pub tile: (u32, u32),
    /// Whether boxes lie in shared memory with the swizzle that is as wide as their rows: of 32, 64 or 128 bytes.
    pub swizzled: bool,
}

impl TiledMatrix {
    /// Whether the engine can read it.
    ///
    /// # Errors
    ///
    /// [`Error::Misaligned`], [`Error::StrideMisaligned`] or [`Error::TooLarge`].
    pub fn check(&self) -> Result<()> {
        if !self.address.is_multiple_of(GRAIN as u64) {
            return Err(Error::Misaligned { what: self.what, address: self.address, alignment: GRAIN });
        }
        self.distance().map(drop)
    }

    /// Bytes from row to row. A single row has none, but the stride that was given counts all the same: which kernel
    /// computes a row must not depend on how many there are.
    fn distance(&self) -> Result<u64> {
        let (element, multiple) = (self.element as u64, GRAIN / self.element);
        if !self.stride.is_multiple_of(multiple) {
            return Err(Error::StrideMisaligned { what: self.what, stride: self.stride, multiple });
        }
        let limit = (MAX_DISTANCE / element) as usize;
        if self.stride > limit {
            return Err(Error::TooLarge { what: self.what, value: self.stride, limit });
        }
        Ok(self.stride as u64 * element)
    }

    /// The map of a matrix that has been checked. What lies outside of the matrix is read as zero,
    /// and not written.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check), or the driver's.
    pub fn map(&self) -> Result<abi::TensorMap> {
        let kind = match self.element {
            1 => CUtensorMapDataType::CU_TENSOR_MAP_DATA_TYPE_UINT8,
            2 => CUtensorMapDataType::CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
            _ => CUtensorMapDataType::CU_TENSOR_MAP_DATA_TYPE_FLOAT32,
        };
        let sizes = [self.columns as u64, self.rows as u64];
        let distances = [self.distance()?];
        let tile = [self.tile.1, self.tile.0];
        let steps = [1, 1];
        let mut map = CUtensorMap { opaque: [0; 16] };
        // SAFETY: the arrays have an entry for each of the two dimensions (distances: all but one), and the map is
        // the caller's own. The address is not read.
        unsafe {
            sys::cuTensorMapEncodeTiled(
                &mut map,
                kind,
                2,
                self.address as *mut c_void,
                sizes.as_ptr(),
                distances.as_ptr(),
                tile.as_ptr(),
                steps.as_ptr(),
                CUtensorMapInterleave::CU_TENSOR_MAP_INTERLEAVE_NONE,
                match (self.swizzled, self.tile.1 as usize * self.element) {
                    (true, 128) => CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_128B,
                    (true, 64) => CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_64B,
                    (true, 32) => CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_32B,
                    _ => CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_NONE,
                },
                CUtensorMapL2promotion::CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                CUtensorMapFloatOOBfill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
            )
            .result()?;
        }
        Ok(abi::TensorMap { opaque: map.opaque })
    }
}

/// The last map that was made: from launch to launch an operand is mostly where it was, and a map is nothing but what
/// its matrix says.
#[derive(Debug, Default)]
pub(super) struct LastMap(Option<(TiledMatrix, abi::TensorMap)>);

impl LastMap {
    /// The map of a matrix that has been checked.
    ///
    /// # Errors
    ///
    /// As [`TiledMatrix::map`].
    pub fn of(&mut self, matrix: TiledMatrix) -> Result<abi::TensorMap> {
        match &self.0 {
            Some((last, map)) if *last == matrix => Ok(*map),
            _ => {
                let map = matrix.map()?;
                self.0 = Some((matrix, map));
                Ok(map)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There is no driver here to encode a map.
    #[test]
    fn the_same_matrix_is_not_encoded_again() {
        let matrix = TiledMatrix {
            what: "a",
            address: 256,
            element: 1,
            rows: 3,
            columns: 5,
            stride: 16,
            tile: (8, 128),
            swizzled: true,
        };
        let kept = abi::TensorMap { opaque: [7; 16] };
        let mut last = LastMap(Some((matrix.clone(), kept)));
        assert_eq!(last.of(matrix.clone()).map(|map| map.opaque), Ok(kept.opaque));
        let elsewhere = TiledMatrix { stride: 17, ..matrix };
        assert!(matches!(last.of(elsewhere), Err(Error::StrideMisaligned { .. })));
    }
}
