//! The kernels that compute a GEMM, and what each is launched with.

use std::fmt;

use super::GemmShape;
use crate::{Error, Result, abi, device::check_capability};

/// A kernel that computes a GEMM. They differ in speed, and in what they ask of the operands. All of
/// [`Hopper`](Self::Hopper) and those of [`Decode`](Self::Decode) that do not split k give the same bits, and so do
/// those of [`Simple`](Self::Simple).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GemmVariant {
    /// Hopper's tensor cores, for many tokens: `kernels/fp8/gemm_hopper.cuh`.
    Hopper {
        /// Columns of a tile of D, which has 128 rows: one of [`WIDTHS`](Self::WIDTHS).
        width: u32,
        /// Whether blocks work in pairs, and bring B's tiles to both.
        pair: bool,
    },
    /// Hopper's tensor cores, for few tokens: `kernels/fp8/gemm_decode.cuh`.
    Decode {
        /// Rows of a tile of D, which has 128 columns: one of [`TOKENS`](Self::TOKENS).
        tokens: u32,
        /// Blocks, 1 to 8, that share k out and add up their parts.
        split: u32,
    },
    /// CUDA cores: `kernels/fp8/gemm_simple.cuh`.
    Simple {
        /// Rows of a tile of D, which has 64 columns: 16 or 64.
        rows: u32,
    },
}

/// The one compute capability that has Hopper's tensor cores.
pub(super) const HOPPER: (u32, u32) = (9, 0);

/// What a kernel is launched with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tiling {
    /// Rows and columns of D that a block computes at a time.
    pub tile: (u32, u32),
    /// Rows of tiles that a cluster computes at a time.
    pub tile_rows: u32,
    /// Blocks of a cluster.
    pub cluster: u32,
    pub threads: u32,
    /// Dynamic shared memory, in bytes.
    pub shared: u32,
    /// Clusters take task after task, so that there need be no more than fit on the device. Such a kernel also waits
    /// itself for what was queued before it.
    pub persistent: bool,
}

impl GemmVariant {
    /// The widths of [`Hopper`](Self::Hopper)'s tiles.
    pub const WIDTHS: [u32; 9] = [16, 32, 64, 96, 112, 128, 160, 192, 256];
    /// The heights of [`Decode`](Self::Decode)'s tiles.
    pub const TOKENS: [u32; 4] = [8, 16, 32, 64];
    /// The largest number of parts of [`Decode`](Self::Decode)'s k.
    pub const MAX_SPLIT: u32 = 8;

    pub(super) const SIMPLE_LARGE: Self = Self::Simple { rows: abi::FP8_SIMPLE_TILE_M };
    pub(super) const SIMPLE_SMALL: Self = Self::Simple { rows: abi::FP8_SIMPLE_TILE_M_SMALL };

    /// Those for many tokens on Hopper, the widest first.
    pub fn hopper() -> impl Iterator<Item = Self> {
        let pairs = |width| [false, true].map(|pair| Self::Hopper { width, pair });
        Self::WIDTHS.into_iter().rev().flat_map(pairs)
    }

    /// Those for few tokens on Hopper, the smallest first.
    pub fn decode() -> impl Iterator<Item = Self> {
        let splits = |tokens| (1..=Self::MAX_SPLIT).map(move |split| Self::Decode { tokens, split });
        Self::TOKENS.into_iter().flat_map(splits)
    }

    /// Those on CUDA cores.
    pub fn simple() -> impl Iterator<Item = Self> {
        [Self::SIMPLE_LARGE, Self::SIMPLE_SMALL].into_iter()
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::hopper().chain(Self::decode()).chain(Self::simple())
    }

    /// Whether it multiplies on Hopper's tensor cores, which keep about 13 fraction bits of each sum of 32 products
    /// ([`GemmPlan`](super::GemmPlan) has what that means for D). Such a one takes only operands that the copy engine
    /// can read.
    pub fn uses_tensor_cores(self) -> bool {
        !matches!(self, Self::Simple { .. })
    }

    /// Whether it is one of [`all`](Self::all), and a device of this compute capability can run it.
    ///
    /// ```
    /// use deepkern::fp8::GemmVariant;
    ///
    /// let hopper = GemmVariant::Hopper { width: 128, pair: false };
    /// assert!(hopper.runs_on((9, 0)) && !hopper.runs_on((10, 0)));
    /// assert!(GemmVariant::Simple { rows: 64 }.runs_on((10, 0)));
    /// ```
    pub fn runs_on(self, capability: (u32, u32)) -> bool {
        self.check(capability).is_ok()
    }

    /// # Errors
    ///
    /// [`Error::NoSuchVariant`], [`Error::WrongGpu`], [`Error::GpuTooOld`].
    pub(super) fn check(self, capability: (u32, u32)) -> Result<()> {
        if !Self::all().any(|variant| variant == self) {
            return Err(Error::NoSuchVariant { variant: self.to_string() });
        }
        match self.uses_tensor_cores() && capability != HOPPER {
            true => Err(Error::WrongGpu { variant: self.to_string(), needed: HOPPER, capability }),
            false => check_capability(capability),
        }
    }

    /// The kernel's name, but for the type of D at its end.
    pub(super) fn kernel(self) -> String {
        match self {
            Self::Hopper { width, .. } => format!("fp8_gemm_hopper_n{width}"),
            Self::Decode { tokens, .. } => format!("fp8_gemm_decode_m{tokens}"),
            Self::Simple { rows } => format!("fp8_gemm_simple_m{rows}"),
        }
    }

    /// What the kernel is launched with.
    pub(super) fn tiling(self) -> Tiling {
        let hopper = Tiling {
            tile: (abi::FP8_HOPPER_TILE_M, abi::FP8_DECODE_TILE_N),
            tile_rows: 1,
            cluster: 1,
            threads: abi::FP8_HOPPER_THREADS,
            shared: abi::FP8_HOPPER_SHARED,
            persistent: true,
        };
        match self {
            Self::Hopper { width, pair } => {
                let blocks = if pair { 2 } else { 1 };
                let tile = (abi::FP8_HOPPER_TILE_M, width);
                Tiling { tile, tile_rows: blocks, cluster: blocks, ..hopper }
            }
            Self::Decode { tokens, split } => Tiling {
                tile: (tokens, abi::FP8_DECODE_TILE_N),
                cluster: split,
                threads: abi::FP8_DECODE_THREADS,
                ..hopper
            },
            Self::Simple { rows } => Tiling {
                tile: (rows, abi::FP8_SIMPLE_TILE_N),
                threads: abi::FP8_SIMPLE_THREADS,
                shared: 0,
                persistent: false,
                ..hopper
            },
        }
    }
}

impl fmt::Display for GemmVariant {
    /// The kernel's name, and how its blocks work together.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kernel())?;
        match self {
            Self::Hopper { pair: true, .. } => f.write_str(" in pairs"),
            Self::Decode { split, .. } if *split > 1 => write!(f, ", k in {split} parts"),
            _ => Ok(()),
        }
    }
}

impl Tiling {
    /// What clusters take one at a time: columns of `tile_rows` tiles of D.
    pub fn tasks(&self, shape: GemmShape) -> usize {
        let (height, width) = (self.tile.0 * self.tile_rows, self.tile.1);
        shape.m.div_ceil(height as usize).saturating_mul(shape.n.div_ceil(width as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_cover_d() {
        let tasks = |variant: GemmVariant, m, n| variant.tiling().tasks(GemmShape { m, n, k: 1 });
        assert_eq!(tasks(GemmVariant::SIMPLE_LARGE, 65, 129), 2 * 3);
        assert_eq!(tasks(GemmVariant::SIMPLE_SMALL, 65, 129), 5 * 3);
        assert_eq!(tasks(GemmVariant::Hopper { width: 64, pair: false }, 129, 129), 2 * 3);
        assert_eq!(tasks(GemmVariant::Hopper { width: 64, pair: true }, 129, 129), 3);
        assert_eq!(tasks(GemmVariant::Hopper { width: 16, pair: true }, 257, 129), 2 * 9);
        assert_eq!(tasks(GemmVariant::Decode { tokens: 16, split: 4 }, 65, 129), 5 * 2);
        assert_eq!(tasks(GemmVariant::SIMPLE_LARGE, 0, 129), 0);
    }

    #[test]
    fn only_those_that_are_there_run() {
        for variant in GemmVariant::all() {
            assert!(variant.runs_on((9, 0)), "{variant}");
            assert_eq!(variant.runs_on((8, 0)), !variant.uses_tensor_cores(), "{variant}");
            assert!(variant.tiling().shared <= 227 << 10, "{variant}");
        }
        for variant in [
            GemmVariant::Hopper { width: 224, pair: false },
            GemmVariant::Hopper { width: 8, pair: false },
            GemmVariant::Decode { tokens: 8, split: 9 },
            GemmVariant::Decode { tokens: 8, split: 0 },
            GemmVariant::Simple { rows: 1 },
        ] {
            assert_eq!(variant.check((9, 0)), Err(Error::NoSuchVariant { variant: variant.to_string() }));
        }
        let wrong = GemmVariant::Hopper { width: 64, pair: true }.check((10, 0)).unwrap_err();
        assert!(matches!(wrong, Error::WrongGpu { needed: (9, 0), capability: (10, 0), .. }), "{wrong}");
    }
}
