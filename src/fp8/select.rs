//! Which kernel computes a GEMM: a pure function of shape and device.

use crate::{Error, Result, abi, device::check_capability};

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
    /// Hopper's tensor cores, tiles of 128x128, `kernels/fp8/gemm_hopper.cuh`.
    HopperN128,
    /// The same with tiles of 128x64. Gives the same bits.
    HopperN64,
    /// The same with tiles of 128x32. Gives the same bits.
    HopperN32,
    /// The same with tiles of 128x16. Gives the same bits.
    HopperN16,
    /// CUDA cores, tiles of 64x64, `kernels/fp8/gemm_simple.cuh`.
    SimpleM64,
    /// The same with tiles of 16x64. Gives the same bits.
    SimpleM16,
}

/// The one compute capability that has Hopper's tensor cores.
const HOPPER: (u32, u32) = (9, 0);

/// Multiprocessors of an H100 SXM or H200, for which selection is made.
const MULTIPROCESSORS: usize = 132;

/// What a kernel is launched with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tiling {
    /// Rows and columns of D that a block computes at a time.
    pub tile: (u32, u32),
    pub threads: u32,
    /// Dynamic shared memory, in bytes.
    pub shared: u32,
    /// Blocks take tile after tile: there need be no more than fit on the device.
    pub persistent: bool,
}

impl GemmVariant {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::HopperN128,
        Self::HopperN64,
        Self::HopperN32,
        Self::HopperN16,
        Self::SimpleM64,
        Self::SimpleM16,
    ];

    /// The variant for this shape on a device of this compute capability.
    ///
    /// On Hopper it is the tile that leaves the fewest multiprocessors idle, counted in columns of D that one of
    /// them has to compute, with 16 more for what a tile costs whatever its width.
    ///
    /// ```
    /// use deepkern::fp8::{GemmShape, GemmVariant};
    ///
    /// let decode = GemmShape { m: 8, n: 7168, k: 2048 };
    /// assert_eq!(GemmVariant::select(decode, (9, 0))?, GemmVariant::HopperN64);
    /// assert_eq!(GemmVariant::select(decode, (8, 9))?, GemmVariant::SimpleM16);
    /// # Ok::<(), deepkern::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::GpuTooOld`](crate::Error::GpuTooOld).
    pub fn select(shape: GemmShape, capability: (u32, u32)) -> Result<Self> {
        check_capability(capability)?;
        if capability != HOPPER || shape.k == 0 {
            return Ok(Self::simple(shape));
        }
        let cost = |variant: &Self| {
            let width = variant.tiling().tile.1 as usize;
            variant.tiles(shape).div_ceil(MULTIPROCESSORS).saturating_mul(width + 16)
        };
        let hopper = [Self::HopperN128, Self::HopperN64, Self::HopperN32, Self::HopperN16];
        // Of equal ones the first, whose tiles are the widest.
        Ok(hopper.into_iter().min_by_key(cost).unwrap_or(Self::HopperN128))
    }

    /// The variant on CUDA cores for this shape.
    pub(super) fn simple(shape: GemmShape) -> Self {
        let small = shape.m <= abi::FP8_SIMPLE_TILE_M_SMALL as usize;
        if small { Self::SimpleM16 } else { Self::SimpleM64 }
    }

    /// Whether it multiplies on tensor cores, which keep about 13 fraction bits of each sum of 32 products
    /// ([`GemmPlan`](super::GemmPlan) has what that means for D).
    pub fn uses_tensor_cores(self) -> bool {
        self.is_hopper()
    }

    /// Does it take operands that the copy engine can read, and run on Hopper alone?
    pub(super) fn is_hopper(self) -> bool {
        matches!(self, Self::HopperN128 | Self::HopperN64 | Self::HopperN32 | Self::HopperN16)
    }

    /// Whether a device of this compute capability can run it.
    ///
    /// ```
    /// use deepkern::fp8::GemmVariant;
    ///
    /// assert!(GemmVariant::HopperN128.runs_on((9, 0)) && !GemmVariant::HopperN128.runs_on((10, 0)));
    /// assert!(GemmVariant::SimpleM64.runs_on((10, 0)));
    /// ```
    pub fn runs_on(self, capability: (u32, u32)) -> bool {
        self.check(capability).is_ok()
    }

    pub(super) fn check(self, capability: (u32, u32)) -> Result<()> {
        match self.is_hopper() && capability != HOPPER {
            true => Err(Error::WrongGpu { variant: self.name(), needed: HOPPER, capability }),
            false => check_capability(capability),
        }
    }

    /// The kernel's name, but for the type of D at its end.
    pub fn name(self) -> &'static str {
        match self {
            Self::HopperN128 => "fp8_gemm_hopper_n128",
            Self::HopperN64 => "fp8_gemm_hopper_n64",
            Self::HopperN32 => "fp8_gemm_hopper_n32",
            Self::HopperN16 => "fp8_gemm_hopper_n16",
            Self::SimpleM64 => "fp8_gemm_simple_m64",
            Self::SimpleM16 => "fp8_gemm_simple_m16",
        }
    }

    /// What the kernel is launched with.
    pub(super) fn tiling(self) -> Tiling {
        let hopper = |width, shared| Tiling {
            tile: (abi::FP8_HOPPER_TILE_M, width),
            threads: abi::FP8_HOPPER_THREADS,
            shared,
            persistent: true,
        };
        let simple = |height| Tiling {
            tile: (height, abi::FP8_SIMPLE_TILE_N),
            threads: abi::FP8_SIMPLE_THREADS,
            shared: 0,
            persistent: false,
        };
        match self {
            Self::HopperN128 => hopper(128, abi::FP8_HOPPER_SHARED_N128),
            Self::HopperN64 => hopper(64, abi::FP8_HOPPER_SHARED_N64),
            Self::HopperN32 => hopper(32, abi::FP8_HOPPER_SHARED_N32),
            Self::HopperN16 => hopper(16, abi::FP8_HOPPER_SHARED_N16),
            Self::SimpleM64 => simple(abi::FP8_SIMPLE_TILE_M),
            Self::SimpleM16 => simple(abi::FP8_SIMPLE_TILE_M_SMALL),
        }
    }

    /// Tiles of A and B that a block has on their way or in use at a time; 0 without a ring of them.
    pub(super) fn stages(self) -> u32 {
        match self {
            Self::HopperN128 => abi::FP8_HOPPER_STAGES_N128,
            Self::HopperN64 => abi::FP8_HOPPER_STAGES_N64,
            Self::HopperN32 => abi::FP8_HOPPER_STAGES_N32,
            Self::HopperN16 => abi::FP8_HOPPER_STAGES_N16,
            Self::SimpleM64 | Self::SimpleM16 => 0,
        }
    }

    /// Tiles of D.
    pub(super) fn tiles(self, shape: GemmShape) -> usize {
        let (height, width) = self.tiling().tile;
        shape.m.div_ceil(height as usize).saturating_mul(shape.n.div_ceil(width as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tile_follows_the_shape() {
        let on =
            |capability| move |m, n| GemmVariant::select(GemmShape { m, n, k: 2048 }, capability).unwrap();
        let (hopper, ampere) = (on((9, 0)), on((8, 0)));
        assert_eq!([1, 16].map(|m| ampere(m, 7168)), [GemmVariant::SimpleM16; 2]);
        assert_eq!([17, 4096].map(|m| ampere(m, 7168)), [GemmVariant::SimpleM64; 2]);
        // 112 of 132 multiprocessors with tiles of 64, 56 with tiles of 128.
        assert_eq!(hopper(64, 7168), GemmVariant::HopperN64);
        assert_eq!(hopper(4096, 7168), GemmVariant::HopperN128);
        assert_eq!(hopper(64, 512), GemmVariant::HopperN16);
        assert_eq!(
            GemmVariant::select(GemmShape { m: 64, n: 512, k: 0 }, (9, 0)),
            Ok(GemmVariant::SimpleM64)
        );
    }

    #[test]
    fn every_gpu_since_ampere_will_do() {
        let select = |capability| GemmVariant::select(GemmShape { m: 1, n: 1, k: 1 }, capability);
        for capability in [(8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 0)] {
            let variant = select(capability).unwrap();
            assert_eq!(variant.is_hopper(), capability == (9, 0));
            variant.check(capability).unwrap();
        }
        assert_eq!(select((7, 5)), Err(Error::GpuTooOld { capability: (7, 5) }));
        let wrong = GemmVariant::HopperN64.check((10, 0)).unwrap_err();
        assert!(matches!(wrong, Error::WrongGpu { needed: (9, 0), capability: (10, 0), .. }), "{wrong}");
    }

    #[test]
    fn tiles_cover_d() {
        let shape = GemmShape { m: 65, n: 129, k: 1 };
        assert_eq!(GemmVariant::SimpleM64.tiles(shape), 2 * 3);
        assert_eq!(GemmVariant::SimpleM16.tiles(shape), 5 * 3);
        assert_eq!(GemmVariant::HopperN32.tiles(shape), 5);
        assert_eq!(GemmVariant::SimpleM64.tiles(GemmShape { m: 0, ..shape }), 0);
    }

    #[test]
    fn every_variant_fits_into_shared_memory() {
        for variant in GemmVariant::ALL {
            assert!(variant.tiling().shared <= 227 << 10, "{variant:?}");
        }
    }
}
