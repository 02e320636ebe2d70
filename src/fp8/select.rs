//! Which kernel computes a GEMM: a pure function of shape and device.
//!
//! On Hopper, that for which a model of the device predicts the least time. The model is simple on purpose: what
//! limits a block is the slower of its tensor cores and the copies into its shared memory; what limits them all is
//! memory. `docs/tuning.md` has where the numbers come from, and what they decide.

use super::variant::{GemmVariant, HOPPER};
use crate::{
    Result, abi,
    device::{Clusters, check_capability},
};

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

/// What a plan is to keep to, beyond computing the right thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct GemmOptions {
    batch_invariant: bool,
}

impl GemmOptions {
    /// None.
    pub const fn new() -> Self {
        Self { batch_invariant: false }
    }

    /// A row of D has the same bits whatever m is: the order in which it is summed depends on k alone. (And on whether
    /// the operands are aligned as [`GemmPlan::new`](super::GemmPlan::new) says: those that are not are computed on
    /// CUDA cores, which sum otherwise.)
    ///
    /// It costs time where there are few tiles, since their k is not shared out then.
    #[must_use]
    pub const fn batch_invariant(mut self) -> Self {
        self.batch_invariant = true;
        self
    }

    pub(super) fn allows(self, variant: GemmVariant) -> bool {
        !self.batch_invariant || !matches!(variant, GemmVariant::Decode { split: 2.., .. })
    }
}

/// The device that selection is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gpu {
    pub capability: (u32, u32),
    pub clusters: Clusters,
}

impl Gpu {
    /// An H100 SXM, or what has the same compute capability as another GPU.
    fn like_h100(capability: (u32, u32)) -> Self {
        // A cluster is in one GPC. Which multiprocessors a chip has switched off differs from chip to chip; an H100 was
        // seen to hold 15 clusters of eight blocks (accel-sim's gpu-app-collection, pull request 87), as these do.
        const GPCS: [u32; 8] = [18, 18, 18, 16, 16, 16, 16, 14];
        let clusters = |size| GPCS.iter().map(|multiprocessors| multiprocessors / size).sum();
        Self {
            capability,
            clusters: std::array::from_fn(|size| if size == 0 { 0 } else { clusters(size as u32) }),
        }
    }
}

impl GemmVariant {
    /// The variant for this shape on a device of this compute capability, with the multiprocessors of an H100 SXM: 132,
    /// in GPCs that hold 15 clusters of eight. (A plan asks its own device.)
    ///
    /// ```
    /// use deepkern::fp8::{GemmOptions, GemmShape, GemmVariant};
    ///
    /// let decode = GemmShape { m: 8, n: 512, k: 7168 };
    /// let select = |options| GemmVariant::select(decode, (9, 0), options);
    /// assert_eq!(select(GemmOptions::new())?, GemmVariant::Decode { tokens: 8, split: 8 });
    /// assert_eq!(select(GemmOptions::new().batch_invariant())?, GemmVariant::Decode { tokens: 8, split: 1 });
    /// # Ok::<(), deepkern::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::GpuTooOld`](crate::Error::GpuTooOld).
    pub fn select(shape: GemmShape, capability: (u32, u32), options: GemmOptions) -> Result<Self> {
        Self::select_for(shape, Gpu::like_h100(capability), options)
    }

    pub(super) fn select_for(shape: GemmShape, gpu: Gpu, options: GemmOptions) -> Result<Self> {
        check_capability(gpu.capability)?;
        if gpu.capability != HOPPER || shape.k == 0 {
            return Ok(Self::simple_for(shape));
        }
        // The second of a pair has nothing to do where one tile has all rows.
        let idles = |variant| {
            matches!(variant, Self::Hopper { pair: true, .. }) && shape.m <= abi::FP8_HOPPER_TILE_M as usize
        };
        let variants = Self::hopper().chain(Self::decode());
        let fits = |variant: Self| gpu.clusters[variant.tiling().cluster as usize] > 0;
        let allowed = variants.filter(|&variant| options.allows(variant) && !idles(variant) && fits(variant));
        let timed = allowed.map(|variant| (variant, predict(variant, shape, gpu.clusters)));
        let best = timed.reduce(|best, next| if next.1 < best.1 { next } else { best });
        Ok(best.map_or(Self::simple_for(shape), |(variant, _)| variant))
    }

    /// The variant on CUDA cores for this shape.
    pub(super) fn simple_for(shape: GemmShape) -> Self {
        let small = shape.m <= abi::FP8_SIMPLE_TILE_M_SMALL as usize;
        if small { Self::SIMPLE_SMALL } else { Self::SIMPLE_LARGE }
    }
}

// What a multiprocessor of an H100 SXM does in a clock, at 1,830 MHz, for which its datasheet gives figures.

/// Products of E4M3 that its tensor cores add up: 1,979 TFLOP/s over 132 of them.
const MULTIPLY_ADDS: f64 = 4096.0;
/// Bytes that copies bring into its shared memory from L2.
const FILL: f64 = 40.0;
/// Bytes that all of them together get from memory: 3.35 TB/s.
const MEMORY: f64 = 1831.0;

// Clocks.

/// A wgmma takes as long as one of 32 columns at least: it reads 64 rows of A.
const LEAST_COLUMNS: f64 = 32.0;
/// From a block's start to its first product, and from its last to its end.
const BEGIN: f64 = 2000.0;
/// Between two tiles of a block, for each column of the tile: the sums go to D while the tensor cores wait.
const STORE: f64 = 6.0;
/// What is not the limit takes this share of its time all the same: nothing overlaps wholly.
const HIDDEN: f64 = 0.1;
/// To add up the parts of a k that was shared out.
const REDUCE: f64 = 1200.0;

/// Clocks that a GEMM takes.
fn predict(variant: GemmVariant, shape: GemmShape, clusters: Clusters) -> f64 {
    let tiling = variant.tiling();
    let (height, width) = (f64::from(tiling.tile.0), f64::from(tiling.tile.1));
    let block = f64::from(abi::FP8_BLOCK);
    let blocks_k = shape.k.div_ceil(abi::FP8_BLOCK as usize) as f64;
    // The rows and columns of a wgmma, the bytes that come in for each block of k, blocks of k, and what follows.
    let (rows, columns, bytes, blocks_k, after) = match variant {
        GemmVariant::Hopper { pair, .. } => {
            let b = if pair { width / 2.0 } else { width };
            (height, width, (height + b) * block, blocks_k, width * STORE)
        }
        GemmVariant::Decode { split, .. } => {
            let reduce = if split > 1 { REDUCE } else { 0.0 };
            let blocks_k = (blocks_k / f64::from(split)).ceil();
            (width, height, (height + width) * block, blocks_k, height * STORE + reduce)
        }
        GemmVariant::Simple { .. } => return f64::INFINITY,
    };
    let step = (rows * columns.max(LEAST_COLUMNS) * block / MULTIPLY_ADDS).max(bytes / FILL);
    let waves = (tiling.tasks(shape) as f64 / f64::from(clusters[tiling.cluster as usize])).ceil();
    let (m, n, k) = (shape.m as f64, shape.n as f64, shape.k as f64);
    let memory = (m * k + n * k + m * n * 2.0) / MEMORY;
    let busy = waves * blocks_k * step;
    memory.max(busy) + HIDDEN * memory.min(busy) + waves * after + BEGIN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variant_follows_the_shape() {
        let hopper =
            |m, n, k| GemmVariant::select(GemmShape { m, n, k }, (9, 0), GemmOptions::new()).unwrap();
        assert!(matches!(hopper(4096, 7168, 2048), GemmVariant::Hopper { pair: true, .. }));
        assert!(matches!(hopper(1, 7168, 2048), GemmVariant::Decode { tokens: 8, .. }));
        assert!(matches!(hopper(64, 24576, 1536), GemmVariant::Decode { tokens: 64, .. }));
        assert_eq!(hopper(64, 512, 0), GemmVariant::SIMPLE_LARGE);
    }

    /// Narrow tiles are for few of them: where wide ones leave multiprocessors idle, and k is not shared out.
    #[test]
    fn narrow_tiles_where_there_is_little_to_do() {
        let width = |m, n, k, options| match GemmVariant::select(GemmShape { m, n, k }, HOPPER, options) {
            Ok(GemmVariant::Hopper { width, .. }) => Some(width),
            _ => None,
        };
        let invariant = GemmOptions::new().batch_invariant();
        for (m, n, k, expected) in [(512, 512, 7168, 16), (768, 512, 7168, 32), (256, 2112, 7168, 32)] {
            assert_eq!(width(m, n, k, invariant), Some(expected), "{m}x{n}x{k}");
        }
        // Parts of k are faster, where they are allowed and k is long.
        assert_eq!(width(512, 512, 7168, GemmOptions::new()), None);
        assert_eq!(width(512, 512, 512, GemmOptions::new()), Some(16));
        assert_eq!(width(4096, 512, 7168, invariant), Some(128));
    }

    /// No block of a cluster is left without k: fewer parts would be as long, and they come first.
    #[test]
    fn every_part_of_k_has_blocks() {
        for blocks_k in 1..=64u32 {
            for (m, n) in [(1, 128), (8, 512), (64, 2112), (128, 7168), (512, 512)] {
                let shape = GemmShape { m, n, k: blocks_k as usize * 128 - 100 };
                let variant = GemmVariant::select(shape, HOPPER, GemmOptions::new()).unwrap();
                if let GemmVariant::Decode { split, .. } = variant {
                    assert!((split - 1) * blocks_k.div_ceil(split) < blocks_k, "{shape:?}: {variant}");
                }
            }
        }
    }

    /// The table in `docs/tuning.md` is what this file decides. `DEEPKERN_UPDATE_DOCS=1` writes it anew. (The published
    /// crate has no docs.)
    #[test]
    fn the_documented_choices_are_these() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/tuning.md");
        let Ok(text) = std::fs::read_to_string(path) else { return };
        let (begin, end) = ("<!-- choices -->\n", "<!-- end of choices -->");
        let (before, rest) = text.split_once(begin).expect("a place for the table");
        let (_, after) = rest.split_once(end).expect("an end of the table");
        let written = format!("{before}{begin}{}{end}{after}", choices());
        if std::env::var_os("DEEPKERN_UPDATE_DOCS").is_some() {
            std::fs::write(path, written).expect("docs/tuning.md can be written");
        } else {
            assert!(text == written, "docs/tuning.md is out of date: set DEEPKERN_UPDATE_DOCS=1");
        }
    }

    fn choices() -> String {
        const CLOCKS_A_MICROSECOND: f64 = 1830.0;
        let mut table = String::from(
            "| n, k | m | floor, us | kernel | predicted, us | batch-invariant | predicted, us |\n\
             | --- | ---: | ---: | --- | ---: | --- | ---: |\n",
        );
        for (n, k) in [
            (2112, 7168),
            (24576, 1536),
            (32768, 512),
            (7168, 16384),
            (4096, 7168),
            (7168, 2048),
            (512, 7168),
        ] {
            for m in [1, 16, 64, 128, 256, 512, 4096] {
                let shape = GemmShape { m, n, k };
                let [fastest, invariant] = [GemmOptions::new(), GemmOptions::new().batch_invariant()]
                    .map(|options| GemmVariant::select(shape, HOPPER, options).unwrap());
                let predicted =
                    |variant| predict(variant, shape, Gpu::like_h100(HOPPER).clusters) / CLOCKS_A_MICROSECOND;
                let bytes = (m * k + n * k + m * n * 2) as f64 / MEMORY;
                let products = (m * n * k) as f64 / MULTIPLY_ADDS / 132.0;
                let floor = bytes.max(products) / CLOCKS_A_MICROSECOND;
                table += &format!("| {n}, {k} | {m} | {floor:.1} | {fastest} | {:.1} | ", predicted(fastest));
                table += &match invariant == fastest {
                    true => "the same | |\n".to_owned(),
                    false => format!("{invariant} | {:.1} |\n", predicted(invariant)),
                };
            }
        }
        table
    }

    #[test]
    fn without_hopper_the_simple_ones() {
        let select = |capability, m| {
            GemmVariant::select(GemmShape { m, n: 7168, k: 2048 }, capability, GemmOptions::new())
        };
        for capability in [(8, 0), (8, 6), (8, 9), (10, 0), (12, 0)] {
            for (m, expected) in [(1, 16), (16, 16), (17, 64), (4096, 64)] {
                assert_eq!(select(capability, m), Ok(GemmVariant::Simple { rows: expected }));
            }
        }
        assert_eq!(select((7, 5), 1), Err(crate::Error::GpuTooOld { capability: (7, 5) }));
    }

    /// Sizes beyond all memory are chosen for, too.
    #[test]
    fn any_size_has_a_variant() {
        let most = crate::memory::MAX_SIZE;
        for (m, n, k) in [(most, most, most), (1, most, 1), (most, 1, most), (0, 0, 1)] {
            let variant = GemmVariant::select(GemmShape { m, n, k }, (9, 0), GemmOptions::new()).unwrap();
            assert!(variant.uses_tensor_cores(), "{variant}");
        }
    }
}
