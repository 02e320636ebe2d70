//! FP8 matrices with their scales: owned, and as views.

use std::{marker::PhantomData, sync::Arc};

use cudarc::driver::{CudaSlice, CudaStream, CudaView, CudaViewMut, sys::CUdeviceptr};
use float8::F8E4M3;

use super::layout::{Block128, ScaleLayout, Vec128};
use crate::{
    Result,
    graph::{Acquired, GraphBuffers},
    memory::{Memory, MemoryMut},
};

/// Activations `[m, k]`: one scale per row and 128 columns.
pub type Fp8Matrix = Fp8Tensor<Vec128>;
/// A view of activations, to read.
pub type Fp8MatrixView<'a> = Fp8View<'a, Vec128>;
/// A view of activations, to write.
pub type Fp8MatrixViewMut<'a> = Fp8ViewMut<'a, Vec128>;
/// Weights `[n, k]`: one scale per 128x128 elements.
pub type Fp8Weight = Fp8Tensor<Block128>;
/// A view of weights, to read.
pub type Fp8WeightView<'a> = Fp8View<'a, Block128>;
/// A view of weights, to write.
pub type Fp8WeightViewMut<'a> = Fp8ViewMut<'a, Block128>;

/// An FP8 matrix `[rows, columns]` that owns its memory: codes without gaps, and scales in layout `L`.
#[derive(Debug)]
pub struct Fp8Tensor<L> {
    codes: CudaSlice<F8E4M3>,
    scales: CudaSlice<f32>,
    rows: usize,
    columns: usize,
    layout: PhantomData<L>,
}

impl<L: ScaleLayout> Fp8Tensor<L> {
    /// All codes and scales zero.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`](crate::Error::TooLarge), or the driver's.
    pub fn zeros(stream: &Arc<CudaStream>, rows: usize, columns: usize) -> Result<Self> {
        let needed = L::needed(rows, columns, columns, L::scale_stride(rows, columns))?;
        Ok(Self {
            // The driver does not allocate nothing.
            codes: stream.alloc_zeros(needed.codes.max(1))?,
            scales: stream.alloc_zeros(needed.scales.max(1))?,
            rows,
            columns,
            layout: PhantomData,
        })
    }

    /// Copies codes `[rows, columns]` and scales (in layout `L`, without gaps) to the device.
    ///
    /// This is how a checkpoint's weight and its `weight_scale_inv` become an [`Fp8Weight`].
    ///
    /// # Errors
    ///
    /// [`Error::BufferTooSmall`](crate::Error::BufferTooSmall), [`Error::TooLarge`](crate::Error::TooLarge), or the
    /// driver's.
    pub fn from_host(
        stream: &Arc<CudaStream>,
        codes: &[F8E4M3],
        scales: &[f32],
        rows: usize,
        columns: usize,
    ) -> Result<Self> {
        let needed = L::needed(rows, columns, columns, L::scale_stride(rows, columns))?;
        needed.check(codes.len(), scales.len())?;
        let mut tensor = Self::zeros(stream, rows, columns)?;
        if needed.codes > 0 {
            stream.memcpy_htod(&codes[..needed.codes], &mut tensor.codes)?;
            stream.memcpy_htod(&scales[..needed.scales], &mut tensor.scales)?;
        }
        Ok(tensor)
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The codes, row by row; empty memory has one element that means nothing.
    pub fn codes(&self) -> &CudaSlice<F8E4M3> {
        &self.codes
    }

    /// The scales, in layout `L`; empty memory has one element that means nothing.
    pub fn scales(&self) -> &CudaSlice<f32> {
        &self.scales
    }

    /// A view to read.
    pub fn as_view(&self) -> Fp8View<'_, L> {
        Fp8View {
            codes: Memory::Borrowed(self.codes.as_view()),
            scales: Memory::Borrowed(self.scales.as_view()),
            shape: Shape::dense::<L>(self.rows, self.columns),
            layout: PhantomData,
        }
    }

    /// A view to write.
    pub fn as_view_mut(&mut self) -> Fp8ViewMut<'_, L> {
        Fp8ViewMut {
            codes: MemoryMut::Borrowed(self.codes.as_view_mut()),
            scales: MemoryMut::Borrowed(self.scales.as_view_mut()),
            shape: Shape::dense::<L>(self.rows, self.columns),
            layout: PhantomData,
        }
    }
}

// SAFETY: both buffers are acquired, and the view cannot free them.
unsafe impl<L: ScaleLayout> GraphBuffers for Fp8Tensor<L> {
    type ViewsMut<'a> = Fp8ViewMut<'a, L>;

    fn views_mut(&mut self) -> Fp8ViewMut<'_, L> {
        self.as_view_mut()
    }

    fn acquire<'a>(&'a mut self, stream: &'a CudaStream, acquired: &mut Vec<Acquired<'a>>) {
        self.codes.acquire(stream, acquired);
        self.scales.acquire(stream, acquired);
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub rows: usize,
    pub columns: usize,
    pub stride: usize,
    pub scale_stride: usize,
}

impl Shape {
    fn dense<L: ScaleLayout>(rows: usize, columns: usize) -> Self {
        Self { rows, columns, stride: columns, scale_stride: L::scale_stride(rows, columns) }
    }
}

/// An FP8 matrix `[rows, columns]` in memory of someone else's, to read.
///
/// Code `(i, j)` is at `i * stride + j`; the scales are where layout `L` says.
#[derive(Debug)]
pub struct Fp8View<'a, L> {
    pub(crate) codes: Memory<'a, F8E4M3>,
    pub(crate) scales: Memory<'a, f32>,
    pub(crate) shape: Shape,
    layout: PhantomData<L>,
}

/// An FP8 matrix `[rows, columns]` in memory of someone else's, to write.
///
/// Code `(i, j)` is at `i * stride + j`; the scales are where layout `L` says.
#[derive(Debug)]
pub struct Fp8ViewMut<'a, L> {
    pub(crate) codes: MemoryMut<'a, F8E4M3>,
    pub(crate) scales: MemoryMut<'a, f32>,
    pub(crate) shape: Shape,
    layout: PhantomData<L>,
}

impl<'a, L: ScaleLayout> Fp8View<'a, L> {
    /// The matrix whose codes and scales start at the start of these, without gaps.
    ///
    /// # Errors
    ///
    /// [`Error::BufferTooSmall`](crate::Error::BufferTooSmall), [`Error::TooLarge`](crate::Error::TooLarge).
    pub fn new(
        codes: CudaView<'a, F8E4M3>,
        scales: CudaView<'a, f32>,
        rows: usize,
        columns: usize,
    ) -> Result<Self> {
        Self::with_strides(codes, scales, rows, columns, columns, L::scale_stride(rows, columns))
    }

    /// The same with rows of codes `stride` apart, and of scales `scale_stride`.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), [`Error::StrideTooSmall`](crate::Error::StrideTooSmall) and
    /// [`Error::StrideMisaligned`](crate::Error::StrideMisaligned).
    pub fn with_strides(
        codes: CudaView<'a, F8E4M3>,
        scales: CudaView<'a, f32>,
        rows: usize,
        columns: usize,
        stride: usize,
        scale_stride: usize,
    ) -> Result<Self> {
        let needed = L::needed(rows, columns, stride, scale_stride)?;
        Ok(Self {
            codes: Memory::borrowed("the codes", codes, needed.codes)?,
            scales: Memory::borrowed("the scales", scales, needed.scales)?,
            shape: Shape { rows, columns, stride, scale_stride },
            layout: PhantomData,
        })
    }

    /// The matrix at device addresses.
    ///
    /// # Safety
    ///
    /// As for [`MatrixView::from_raw`](crate::MatrixView::from_raw), of codes and scales.
    ///
    /// # Errors
    ///
    /// As [`with_strides`](Self::with_strides).
    pub unsafe fn from_raw(
        codes: CUdeviceptr,
        scales: CUdeviceptr,
        rows: usize,
        columns: usize,
        stride: usize,
        scale_stride: usize,
    ) -> Result<Self> {
        L::needed(rows, columns, stride, scale_stride)?;
        Ok(Self {
            codes: Memory::Raw(codes),
            scales: Memory::Raw(scales),
            shape: Shape { rows, columns, stride, scale_stride },
            layout: PhantomData,
        })
    }
}

impl<'a, L: ScaleLayout> Fp8ViewMut<'a, L> {
    /// The matrix whose codes and scales start at the start of these, without gaps.
    ///
    /// # Errors
    ///
    /// [`Error::BufferTooSmall`](crate::Error::BufferTooSmall), [`Error::TooLarge`](crate::Error::TooLarge).
    pub fn new(
        codes: CudaViewMut<'a, F8E4M3>,
        scales: CudaViewMut<'a, f32>,
        rows: usize,
        columns: usize,
    ) -> Result<Self> {
        Self::with_strides(codes, scales, rows, columns, columns, L::scale_stride(rows, columns))
    }

    /// The same with rows of codes `stride` apart, and of scales `scale_stride`.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), [`Error::StrideTooSmall`](crate::Error::StrideTooSmall) and
    /// [`Error::StrideMisaligned`](crate::Error::StrideMisaligned).
    pub fn with_strides(
        codes: CudaViewMut<'a, F8E4M3>,
        scales: CudaViewMut<'a, f32>,
        rows: usize,
        columns: usize,
        stride: usize,
        scale_stride: usize,
    ) -> Result<Self> {
        let needed = L::needed(rows, columns, stride, scale_stride)?;
        Ok(Self {
            codes: MemoryMut::borrowed("the codes", codes, needed.codes)?,
            scales: MemoryMut::borrowed("the scales", scales, needed.scales)?,
            shape: Shape { rows, columns, stride, scale_stride },
            layout: PhantomData,
        })
    }

    /// The matrix at device addresses.
    ///
    /// # Safety
    ///
    /// As for [`MatrixViewMut::from_raw`](crate::MatrixViewMut::from_raw), of codes and scales.
    ///
    /// # Errors
    ///
    /// As [`with_strides`](Self::with_strides).
    pub unsafe fn from_raw(
        codes: CUdeviceptr,
        scales: CUdeviceptr,
        rows: usize,
        columns: usize,
        stride: usize,
        scale_stride: usize,
    ) -> Result<Self> {
        L::needed(rows, columns, stride, scale_stride)?;
        Ok(Self {
            codes: MemoryMut::Raw(codes),
            scales: MemoryMut::Raw(scales),
            shape: Shape { rows, columns, stride, scale_stride },
            layout: PhantomData,
        })
    }

    /// A view of the same to read.
    pub fn as_view(&self) -> Fp8View<'_, L> {
        Fp8View {
            codes: self.codes.as_read(),
            scales: self.scales.as_read(),
            shape: self.shape,
            layout: PhantomData,
        }
    }
}

macro_rules! shape {
    ($($view:ident)*) => {$(
        impl<L> $view<'_, L> {
            /// The number of rows.
            pub fn rows(&self) -> usize {
                self.shape.rows
            }

            /// The number of columns.
            pub fn columns(&self) -> usize {
                self.shape.columns
            }

            /// Codes from the start of one row to that of the next.
            pub fn stride(&self) -> usize {
                self.shape.stride
            }

            /// Scales from the start of one row of scales to that of the next.
            pub fn scale_stride(&self) -> usize {
                self.shape.scale_stride
            }
        }
    )*};
}

shape!(Fp8View Fp8ViewMut);

impl<L> Clone for Fp8View<'_, L> {
    fn clone(&self) -> Self {
        Self {
            codes: self.codes.reborrow(),
            scales: self.scales.reborrow(),
            shape: self.shape,
            layout: PhantomData,
        }
    }
}

impl<'a, L> From<&Fp8View<'a, L>> for Fp8View<'a, L> {
    fn from(view: &Fp8View<'a, L>) -> Self {
        view.clone()
    }
}

impl<'s, L> From<&'s mut Fp8ViewMut<'_, L>> for Fp8ViewMut<'s, L> {
    fn from(view: &'s mut Fp8ViewMut<'_, L>) -> Self {
        Self {
            codes: view.codes.reborrow(),
            scales: view.scales.reborrow(),
            shape: view.shape,
            layout: PhantomData,
        }
    }
}

impl<'a, L: ScaleLayout> From<&'a Fp8Tensor<L>> for Fp8View<'a, L> {
    fn from(tensor: &'a Fp8Tensor<L>) -> Self {
        tensor.as_view()
    }
}

impl<'a, L: ScaleLayout> From<&'a mut Fp8Tensor<L>> for Fp8ViewMut<'a, L> {
    fn from(tensor: &'a mut Fp8Tensor<L>) -> Self {
        tensor.as_view_mut()
    }
}
