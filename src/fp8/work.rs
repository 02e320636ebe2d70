//! What a GEMM takes the device, by its tiling alone: what counters and times are held to.

use super::{select::GemmShape, variant::GemmVariant};
use crate::abi;

/// What the kernel of a [`GemmPlan`](super::GemmPlan) has to do, with its tiles as they are: the last ones of a row or
/// column count as whole where they are multiplied, and as far as they go where bytes move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct GemmWork {
    /// Blocks of the launch.
    pub blocks: u32,
    /// Operations of the tensor cores, each of 64 rows, 32 of k, and a tile's other side, or half of it where that is
    /// 256; 0 on CUDA cores.
    pub tensor_operations: u64,
    /// Multiply-adds in them.
    pub tensor_multiply_adds: u64,
    /// Bytes from and to global memory without C: for each tile its rows of A and B with their scales (B once for two
    /// tiles that blocks in pairs compute), and D.
    pub global_bytes: u64,
}

/// Rows and depth of an operation of the tensor cores, and the most columns that the kernels ask of one.
const OPERATION: (u64, u64, u64) = (64, 32, 192);

impl GemmWork {
    /// Of a variant on so many blocks; `element` is the size of an element of D.
    pub(super) fn new(shape: GemmShape, variant: GemmVariant, blocks: u32, element: usize) -> Self {
        let tiling = variant.tiling();
        let (height, width) = (u64::from(tiling.tile.0), u64::from(tiling.tile.1));
        let [m, n, k] = [shape.m, shape.n, shape.k].map(|size| size as u64);
        let block = u64::from(abi::FP8_BLOCK);
        let groups = k.div_ceil(block);
        // Rows of tiles that have B in common, and their tiles.
        let (rows, columns) = (m.div_ceil(height * u64::from(tiling.tile_rows)), n.div_ceil(width));
        let tiles = rows * columns * u64::from(tiling.tile_rows);

        let (side, other) = match variant {
            GemmVariant::Decode { .. } => (width, height),
            _ => (height, width),
        };
        let halves = if other > OPERATION.2 { 2 } else { 1 };
        let each = side / OPERATION.0 * halves * (groups * block / OPERATION.1);
        let tensor_operations = if variant.uses_tensor_cores() { tiles * each } else { 0 };
        let scales = if block.is_multiple_of(width) { 1 } else { 2 };
        let a = columns * m * (k + 4 * groups);
        let b = rows * n * k + tiles * scales * 4 * groups;
        Self {
            blocks,
            tensor_operations,
            tensor_multiply_adds: tensor_operations * OPERATION.0 * (other / halves) * OPERATION.1,
            global_bytes: a + b + m * n * element as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_and_a_bit() {
        let shape = GemmShape { m: 129, n: 65, k: 144 };
        let work = GemmWork::new(shape, GemmVariant::Hopper { width: 64, pair: false }, 4, 2);
        // Four tiles of 128x64, 256 of k: two halves of the rows in eight steps.
        assert_eq!((work.blocks, work.tensor_operations), (4, 4 * 2 * 8));
        assert_eq!(work.tensor_multiply_adds, 4 * 128 * 64 * 256);
        // A with two scales a row twice, B twice, two scales of B for each tile, D.
        assert_eq!(work.global_bytes, 2 * 129 * (144 + 8) + 2 * 65 * 144 + 4 * 8 + 129 * 65 * 2);

        // In pairs B comes once; tiles that straddle blocks have two scales of each.
        let work = GemmWork::new(shape, GemmVariant::Hopper { width: 256, pair: true }, 2, 2);
        assert_eq!((work.tensor_operations, work.tensor_multiply_adds), (2 * 4 * 8, 2 * 128 * 256 * 256));
        assert_eq!(work.global_bytes, 129 * (144 + 8) + 65 * 144 + 2 * 2 * 8 + 129 * 65 * 2);

        // Weights are the rows, 128 at a time, and k in parts is the same k.
        let work = GemmWork::new(shape, GemmVariant::Decode { tokens: 64, split: 2 }, 6, 4);
        assert_eq!((work.tensor_operations, work.tensor_multiply_adds), (3 * 2 * 8, 3 * 128 * 64 * 256));
        assert_eq!(work.global_bytes, 129 * (144 + 8) + 3 * 65 * 144 + 3 * 8 + 129 * 65 * 4);
        assert_eq!(GemmWork::new(shape, GemmVariant::SIMPLE_SMALL, 9, 4).tensor_operations, 0);
    }
}
