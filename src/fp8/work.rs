//! What a GEMM takes the device, by its tiling alone: what counters and times are held to.

use super::select::{GemmShape, GemmVariant};
use crate::abi;

/// What the kernel of a [`GemmPlan`](super::GemmPlan) has to do, with its tiles as they are: the last ones of a row or
/// column count as whole where they are multiplied, and as far as they go where bytes move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct GemmWork {
    /// Blocks of the launch.
    pub blocks: u32,
    /// Tiles of A and B, each 128 of k deep, that a block has on their way or in use at a time; 0 on CUDA cores.
    pub stages: u32,
    /// Operations of the tensor cores, each of 64 rows, a tile's columns, and 32 of k; 0 on CUDA cores.
    pub tensor_operations: u64,
    /// Multiply-adds in them.
    pub tensor_multiply_adds: u64,
    /// Bytes from and to global memory without C: for each tile its rows of A and B with their scales, and D.
    pub global_bytes: u64,
}

/// Rows and depth of an operation of the tensor cores.
const OPERATION: (u64, u64) = (64, 32);

impl GemmWork {
    /// Of a variant on so many blocks; `element` is the size of an element of D.
    pub(super) fn new(shape: GemmShape, variant: GemmVariant, blocks: u32, element: usize) -> Self {
        let (height, width) = variant.tiling().tile;
        let [m, n, k] = [shape.m, shape.n, shape.k].map(|size| size as u64);
        let (height, width) = (u64::from(height), u64::from(width));
        let groups = k.div_ceil(u64::from(abi::FP8_BLOCK));
        let (tile_rows, tile_columns) = (m.div_ceil(height), n.div_ceil(width));
        let tiles = tile_rows * tile_columns;

        let depth = groups * u64::from(abi::FP8_BLOCK);
        let each = height / OPERATION.0 * (depth / OPERATION.1);
        let tensor_operations = if variant.uses_tensor_cores() { tiles * each } else { 0 };
        let a = tile_columns * m * (k + 4 * groups);
        let b = tile_rows * n * k + tiles * 4 * groups;
        Self {
            blocks,
            stages: variant.stages(),
            tensor_operations,
            tensor_multiply_adds: tensor_operations * OPERATION.0 * width * OPERATION.1,
            global_bytes: a + b + m * n * element as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_and_a_bit() {
        let shape = GemmShape { m: 129, n: 33, k: 144 };
        let work = GemmWork::new(shape, GemmVariant::HopperN32, 4, 2);
        // Four tiles of 128x32, 256 of k: two halves of the rows in eight steps.
        assert_eq!((work.blocks, work.tensor_operations), (4, 4 * 2 * 8));
        assert_eq!(work.tensor_multiply_adds, 4 * 128 * 32 * 256);
        // A with two scales a row twice, B twice, two scales of B for each tile, D.
        assert_eq!(work.global_bytes, 2 * 129 * (144 + 8) + 2 * 33 * 144 + 4 * 8 + 129 * 33 * 2);
        assert_eq!(GemmWork::new(shape, GemmVariant::SimpleM16, 9, 4).tensor_operations, 0);
    }
}
