//! Which kernel computes a GEMM: a pure function of shape and device.

use crate::{Result, abi, device::check_capability};

/// The sizes of a GEMM `D[m, n] = A[m, k] B[n, k]^T`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GemmShape {
    /// Rows of A and D: tokens.
    pub m: usize,
    /// Rows of B, columns of D: output features.
    pub n: usize,
    /// Columns of A and B: input features.
    pub k: usize,
}

/// A kernel that computes a GEMM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GemmVariant {
    /// CUDA cores, tiles of 64x64, `kernels/fp8/gemm_simple.cuh`.
    SimpleM64,
    /// The same with tiles of 16x64. Gives the same bits.
    SimpleM16,
}

impl GemmVariant {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::SimpleM64, Self::SimpleM16];

    /// The variant for this shape on a device of this compute capability.
    ///
    /// ```
    /// use deepkern::fp8::{GemmShape, GemmVariant};
    ///
    /// let decode = GemmShape { m: 8, n: 7168, k: 2048 };
    /// assert_eq!(GemmVariant::select(decode, (9, 0))?, GemmVariant::SimpleM16);
    /// # Ok::<(), deepkern::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::GpuTooOld`](crate::Error::GpuTooOld).
    pub fn select(shape: GemmShape, capability: (u32, u32)) -> Result<Self> {
        check_capability(capability)?;
        let small = shape.m <= abi::FP8_SIMPLE_TILE_M_SMALL as usize;
        Ok(if small { Self::SimpleM16 } else { Self::SimpleM64 })
    }

    /// The kernel's name, but for the type of D at its end.
    pub fn name(self) -> &'static str {
        match self {
            Self::SimpleM64 => "fp8_gemm_simple_m64",
            Self::SimpleM16 => "fp8_gemm_simple_m16",
        }
    }

    /// Blocks that the kernel is launched with, one per tile.
    pub(crate) fn blocks(self, shape: GemmShape) -> usize {
        let tile_m = match self {
            Self::SimpleM64 => abi::FP8_SIMPLE_TILE_M,
            Self::SimpleM16 => abi::FP8_SIMPLE_TILE_M_SMALL,
        };
        let tiles_m = shape.m.div_ceil(tile_m as usize);
        tiles_m * shape.n.div_ceil(abi::FP8_SIMPLE_TILE_N as usize)
    }

    pub(crate) fn threads(self) -> u32 {
        match self {
            Self::SimpleM64 | Self::SimpleM16 => abi::FP8_SIMPLE_THREADS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn height_of_the_tile_follows_m() {
        let variant = |m| GemmVariant::select(GemmShape { m, n: 7168, k: 2048 }, (9, 0)).unwrap();
        assert_eq!([1, 16].map(variant), [GemmVariant::SimpleM16; 2]);
        assert_eq!([17, 4096].map(variant), [GemmVariant::SimpleM64; 2]);
    }

    #[test]
    fn every_gpu_since_ampere_will_do() {
        let select = |capability| GemmVariant::select(GemmShape { m: 1, n: 1, k: 1 }, capability);
        for capability in [(8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 0)] {
            select(capability).unwrap();
        }
        assert_eq!(select((7, 5)), Err(Error::GpuTooOld { capability: (7, 5) }));
    }

    #[test]
    fn a_block_for_each_tile() {
        let shape = GemmShape { m: 65, n: 129, k: 1 };
        assert_eq!(GemmVariant::SimpleM64.blocks(shape), 2 * 3);
        assert_eq!(GemmVariant::SimpleM16.blocks(shape), 5 * 3);
        assert_eq!(GemmVariant::SimpleM64.blocks(GemmShape { m: 0, ..shape }), 0);
    }
}
