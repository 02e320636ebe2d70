//! Matrices as Hopper's copy engine (TMA) sees them.

use std::ffi::c_void;

use cudarc::driver::sys::{
    self, CUtensorMap, CUtensorMapDataType, CUtensorMapFloatOOBfill, CUtensorMapInterleave,
    CUtensorMapL2promotion, CUtensorMapSwizzle,
};

use crate::{Error, Result, abi};

/// What the engine asks of the first address and of the distance between rows, in bytes.
const GRAIN: usize = 16;

/// A matrix in device memory, and the box of it that one copy brings.
pub(super) struct TiledMatrix {
    /// The operand, for errors.
    pub what: &'static str,
    /// Its first element.
    pub address: u64,
    /// Bytes of an element: 1 (codes) or 4 (f32).
    pub element: usize,
    pub rows: usize,
    pub columns: usize,
    /// Elements from row to row.
    pub stride: usize,
    /// Rows and columns of a box.
    pub tile: (u32, u32),
    /// Whether boxes, of 128 bytes a row, lie in shared memory with the 128-byte swizzle.
    pub swizzled: bool,
}

impl TiledMatrix {
    /// Whether the engine can read it.
    ///
    /// # Errors
    ///
    /// [`Error::Misaligned`] or [`Error::StrideMisaligned`].
    pub fn check(&self) -> Result<()> {
        if !self.address.is_multiple_of(GRAIN as u64) {
            return Err(Error::Misaligned { what: self.what, address: self.address, alignment: GRAIN });
        }
        let multiple = GRAIN / self.element;
        match self.stride.is_multiple_of(multiple) {
            true => Ok(()),
            false => Err(Error::StrideMisaligned { what: self.what, stride: self.stride, multiple }),
        }
    }

    /// The map of a matrix that has been checked. What lies outside of the matrix is read as zero.
    ///
    /// # Errors
    ///
    /// The driver's.
    pub fn map(&self) -> Result<abi::TensorMap> {
        let kind = match self.element {
            1 => CUtensorMapDataType::CU_TENSOR_MAP_DATA_TYPE_UINT8,
            _ => CUtensorMapDataType::CU_TENSOR_MAP_DATA_TYPE_FLOAT32,
        };
        let sizes = [self.columns as u64, self.rows as u64];
        // A single row has no distance, but the driver wants one.
        let distances = [(self.stride.max(self.columns) * self.element).next_multiple_of(GRAIN) as u64];
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
                match self.swizzled {
                    true => CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_128B,
                    false => CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_NONE,
                },
                CUtensorMapL2promotion::CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                CUtensorMapFloatOOBfill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
            )
            .result()?;
        }
        Ok(abi::TensorMap { opaque: map.opaque })
    }
}
