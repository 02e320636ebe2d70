//! Where the scales of an FP8 matrix are.

use crate::{
    Error, Result, abi,
    memory::{check_size, extent},
};

/// Columns that share a scale; for weights also rows.
pub const BLOCK: usize = abi::FP8_BLOCK as usize;

/// Where the scales of an FP8 matrix `[rows, columns]` are: [`Vec128`] or [`Block128`].
pub trait ScaleLayout: private::Sealed + Sized + 'static {
    /// Rows and columns of the matrix of scales.
    fn scale_shape(rows: usize, columns: usize) -> (usize, usize);

    /// The least number of scales from the start of one row of scales to that of the next.
    fn scale_stride(rows: usize, columns: usize) -> usize {
        Self::scale_shape(rows, columns).1
    }

    /// Scales in all, without gaps.
    fn scale_len(rows: usize, columns: usize) -> usize {
        let (outer, inner) = Self::scale_shape(rows, columns);
        outer * inner
    }

    /// What `scale_stride` has to be a multiple of.
    #[doc(hidden)]
    const STRIDE_MULTIPLE: usize;

    /// What comes before `_bf16` in the name of the kernel that quantises.
    #[doc(hidden)]
    const QUANTIZE_KERNEL: &'static str;

    /// Blocks that this kernel is launched with.
    #[doc(hidden)]
    fn quantize_blocks(rows: usize, columns: usize) -> usize;

    /// Checks sizes and strides; the codes and scales that they reach.
    #[doc(hidden)]
    fn needed(rows: usize, columns: usize, stride: usize, scale_stride: usize) -> Result<Needed> {
        check_size("the FP8 matrix's rows", rows)?;
        check_size("the FP8 matrix's columns", columns)?;
        let (outer, inner) = Self::scale_shape(rows, columns);
        let needed = Needed {
            codes: extent("the codes", rows, columns, stride)?,
            scales: extent("the scales", outer, inner, scale_stride)?,
        };
        let multiple = Self::STRIDE_MULTIPLE;
        if !scale_stride.is_multiple_of(multiple) {
            return Err(Error::StrideMisaligned { what: "the scales", stride: scale_stride, multiple });
        }
        Ok(needed)
    }
}

/// Elements that an FP8 matrix takes.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct Needed {
    pub(crate) codes: usize,
    pub(crate) scales: usize,
}

impl Needed {
    pub(crate) fn check(self, codes: usize, scales: usize) -> Result<()> {
        for (what, needed, len) in [("the codes", self.codes, codes), ("the scales", self.scales, scales)] {
            if len < needed {
                return Err(Error::BufferTooSmall { what, needed, len });
            }
        }
        Ok(())
    }
}

/// One scale per row and 128 columns, rows innermost: the scale of element `(i, j)` is at `(j / 128) * stride + i`,
/// with `stride` a multiple of 4 and at least `rows`.
///
/// So a column of scales starts at a multiple of 16 bytes, as TMA and cuBLASLt's `VEC128` mode want. Rows of padding,
/// up to the next multiple of 4, belong to the layout: quantising writes them 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vec128 {}

/// One scale per 128x128 elements: the scale of element `(i, j)` is at `(i / 128) * stride + j / 128`, with `stride`
/// at least `columns / 128`, rounded up. The public FP8 checkpoints store `weight_scale_inv` so, without gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block128 {}

impl ScaleLayout for Vec128 {
    fn scale_shape(rows: usize, columns: usize) -> (usize, usize) {
        (columns.div_ceil(BLOCK), rows.next_multiple_of(Self::STRIDE_MULTIPLE))
    }

    const STRIDE_MULTIPLE: usize = abi::FP8_SCALE_ROWS as usize;
    const QUANTIZE_KERNEL: &'static str = "fp8_quantize";

    fn quantize_blocks(rows: usize, columns: usize) -> usize {
        let (groups, padded_rows) = Self::scale_shape(rows, columns);
        padded_rows.div_ceil(abi::FP8_QUANTIZE_ROWS as usize) * groups
    }
}

impl ScaleLayout for Block128 {
    fn scale_shape(rows: usize, columns: usize) -> (usize, usize) {
        (rows.div_ceil(BLOCK), columns.div_ceil(BLOCK))
    }

    const STRIDE_MULTIPLE: usize = 1;
    const QUANTIZE_KERNEL: &'static str = "fp8_quantize_weight";

    fn quantize_blocks(rows: usize, columns: usize) -> usize {
        Self::scale_len(rows, columns)
    }
}

mod private {
    pub trait Sealed {}
    impl Sealed for super::Vec128 {}
    impl Sealed for super::Block128 {}
}
