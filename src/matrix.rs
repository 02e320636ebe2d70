//! Matrices of bf16 and f32 in device memory.

use cudarc::driver::{CudaView, CudaViewMut, DeviceRepr, sys::CUdeviceptr};
use half::bf16;

use crate::{
    Result,
    memory::{Memory, MemoryMut, check_size, extent},
};

/// An element type that kernels read and write beside FP8: [`bf16`] and `f32`.
pub trait Element: DeviceRepr + Copy + private::Sealed + 'static {
    /// Its name in the names of kernels.
    const NAME: &'static str;
}

impl Element for bf16 {
    const NAME: &'static str = "bf16";
}

impl Element for f32 {
    const NAME: &'static str = "f32";
}

mod private {
    pub trait Sealed {}
    impl Sealed for half::bf16 {}
    impl Sealed for f32 {}
}

/// A matrix `[rows, columns]` in device memory, to read.
///
/// Element `(i, j)` is at `i * stride + j`. What lies between the rows is never touched.
#[derive(Debug)]
pub struct MatrixView<'a, T> {
    pub(crate) memory: Memory<'a, T>,
    rows: usize,
    columns: usize,
    stride: usize,
}

/// A matrix `[rows, columns]` in device memory, to write.
///
/// Element `(i, j)` is at `i * stride + j`. What lies between the rows is never touched.
#[derive(Debug)]
pub struct MatrixViewMut<'a, T> {
    pub(crate) memory: MemoryMut<'a, T>,
    rows: usize,
    columns: usize,
    stride: usize,
}

impl<'a, T: Element> MatrixView<'a, T> {
    /// The matrix at the start of `memory`, its rows one behind the other.
    ///
    /// # Errors
    ///
    /// [`Error::BufferTooSmall`](crate::Error::BufferTooSmall), [`Error::TooLarge`](crate::Error::TooLarge).
    pub fn new(memory: CudaView<'a, T>, rows: usize, columns: usize) -> Result<Self> {
        Self::with_stride(memory, rows, columns, columns)
    }

    /// The matrix at the start of `memory`, the starts of its rows `stride` elements apart.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), and [`Error::StrideTooSmall`](crate::Error::StrideTooSmall).
    pub fn with_stride(memory: CudaView<'a, T>, rows: usize, columns: usize, stride: usize) -> Result<Self> {
        let needed = needed(rows, columns, stride)?;
        Ok(Self { memory: Memory::borrowed("the matrix", memory, needed)?, rows, columns, stride })
    }

    /// The matrix at a device address.
    ///
    /// # Safety
    ///
    /// The elements are there, in the context of the plan that will use them, until all work that uses them is done,
    /// graphs included. Ordering that work with other uses is the caller's business.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`](crate::Error::TooLarge), [`Error::StrideTooSmall`](crate::Error::StrideTooSmall).
    pub unsafe fn from_raw(address: CUdeviceptr, rows: usize, columns: usize, stride: usize) -> Result<Self> {
        needed(rows, columns, stride)?;
        Ok(Self { memory: Memory::Raw(address), rows, columns, stride })
    }
}

impl<'a, T: Element> MatrixViewMut<'a, T> {
    /// The matrix at the start of `memory`, its rows one behind the other.
    ///
    /// # Errors
    ///
    /// [`Error::BufferTooSmall`](crate::Error::BufferTooSmall), [`Error::TooLarge`](crate::Error::TooLarge).
    pub fn new(memory: CudaViewMut<'a, T>, rows: usize, columns: usize) -> Result<Self> {
        Self::with_stride(memory, rows, columns, columns)
    }

    /// The matrix at the start of `memory`, the starts of its rows `stride` elements apart.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), and [`Error::StrideTooSmall`](crate::Error::StrideTooSmall).
    pub fn with_stride(
        memory: CudaViewMut<'a, T>,
        rows: usize,
        columns: usize,
        stride: usize,
    ) -> Result<Self> {
        let needed = needed(rows, columns, stride)?;
        Ok(Self { memory: MemoryMut::borrowed("the matrix", memory, needed)?, rows, columns, stride })
    }

    /// The matrix at a device address.
    ///
    /// # Safety
    ///
    /// As for [`MatrixView::from_raw`]; and nothing else uses the elements meanwhile, except that the `c` of a GEMM
    /// may be its `d`.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`](crate::Error::TooLarge), [`Error::StrideTooSmall`](crate::Error::StrideTooSmall).
    pub unsafe fn from_raw(address: CUdeviceptr, rows: usize, columns: usize, stride: usize) -> Result<Self> {
        needed(rows, columns, stride)?;
        Ok(Self { memory: MemoryMut::Raw(address), rows, columns, stride })
    }
}

fn needed(rows: usize, columns: usize, stride: usize) -> Result<usize> {
    check_size("the matrix's rows", rows)?;
    check_size("the matrix's columns", columns)?;
    extent("the matrix", rows, columns, stride)
}

macro_rules! shape {
    ($($view:ident)*) => {$(
        impl<T> $view<'_, T> {
            /// The number of rows.
            pub fn rows(&self) -> usize {
                self.rows
            }

            /// The number of columns.
            pub fn columns(&self) -> usize {
                self.columns
            }

            /// Elements from the start of one row to that of the next.
            pub fn stride(&self) -> usize {
                self.stride
            }
        }
    )*};
}

shape!(MatrixView MatrixViewMut);

impl<T> Clone for MatrixView<'_, T> {
    fn clone(&self) -> Self {
        let &Self { ref memory, rows, columns, stride } = self;
        Self { memory: memory.reborrow(), rows, columns, stride }
    }
}

impl<'a, T> From<&MatrixView<'a, T>> for MatrixView<'a, T> {
    fn from(view: &MatrixView<'a, T>) -> Self {
        view.clone()
    }
}

impl<'s, T> From<&'s mut MatrixViewMut<'_, T>> for MatrixViewMut<'s, T> {
    fn from(view: &'s mut MatrixViewMut<'_, T>) -> Self {
        let &mut MatrixViewMut { ref mut memory, rows, columns, stride } = view;
        Self { memory: memory.reborrow(), rows, columns, stride }
    }
}
