//! bf16 and f32 to FP8 with scales.

use std::{ffi::c_void, marker::PhantomData};

use super::{FAMILY, layout::ScaleLayout, tensor::Fp8ViewMut};
use crate::{
    Device, Element, Error, MatrixView, Queue, Result, abi,
    memory::{MAX_SIZE, check_equal, check_size},
    module::{Grid, Kernel},
};

/// What scales are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ScaleFormat {
    /// Any f32.
    F32,
    /// Rounded up to a power of two: what UE8M0 can hold.
    Pow2,
}

impl ScaleFormat {
    fn code(self) -> u32 {
        match self {
            Self::F32 => abi::FP8_SCALE_F32,
            Self::Pow2 => abi::FP8_SCALE_POW2,
        }
    }
}

/// Quantises matrices `[rows, columns]` of `T`, bf16 or f32, to FP8 with scales in layout `L`: activations to an
/// [`Fp8Matrix`](super::Fp8Matrix), weights to an [`Fp8Weight`](super::Fp8Weight).
///
/// For each group of elements that share a scale (1x128, or 128x128, or what is left of that at an edge):
///
/// - `amax` is the largest magnitude of the group's finite elements
/// - `scale = max(amax / 448, 2^-126)`, the quotient rounded to the nearest f32, ties to even; with
///   [`ScaleFormat::Pow2`] rounded up to a power of two, exactly
/// - `code = e4m3(x / scale)`: the quotient rounded to the nearest f32, and this to the nearest E4M3 value, ties to
///   even
/// - where `x` is NaN or infinite, the code is `0x7f`, NaN. E4M3 has no infinity; a clamped one would go unnoticed
///
/// So a group of zeros has the scale 2^-126, and the codes keep the zeros' signs. The result is the same bits on every
/// device, and those of [`reference::quantize`](crate::reference::quantize).
///
/// The groups are those of the DeepSeek-V3 technical report (section 3.3.2); dividing by the scale is what the
/// inference code published with the model does.
#[derive(Debug)]
pub struct QuantizePlan<T, L> {
    device: Device,
    rows: usize,
    columns: usize,
    format: ScaleFormat,
    kernel: Kernel,
    types: PhantomData<fn(T) -> L>,
}

impl<T: Element, L: ScaleLayout> QuantizePlan<T, L> {
    /// A plan for matrices of this shape.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], [`Error::KernelsMissing`], or the driver's, from loading the kernels.
    pub fn new(device: &Device, rows: usize, columns: usize, format: ScaleFormat) -> Result<Self> {
        check_size("rows", rows)?;
        check_size("columns", columns)?;
        let value = L::quantize_blocks(rows, columns);
        let blocks = u32::try_from(value).ok().filter(|_| value <= MAX_SIZE);
        let blocks = blocks.ok_or(Error::TooLarge { what: "the grid", value, limit: MAX_SIZE })?;

        let module = device.module(&FAMILY)?;
        let grid = Grid::plain(blocks, abi::FP8_QUANTIZE_THREADS);
        let kernel = module.kernel(&format!("{}_{}", L::QUANTIZE_KERNEL, T::NAME), grid)?;
        Ok(Self { device: device.clone(), rows, columns, format, kernel, types: PhantomData })
    }

    /// Queues `q = x` on a stream, or into a capture. Both are `[rows, columns]`.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`], [`Error::Misaligned`], [`Error::ContextMismatch`], [`Error::StreamCapturing`],
    /// [`Error::NotInGraph`], or the driver's.
    pub fn run<'q, 'x, 'y>(
        &mut self,
        queue: impl Into<Queue<'q>>,
        x: impl Into<MatrixView<'x, T>>,
        q: impl Into<Fp8ViewMut<'y, L>>,
    ) -> Result<()> {
        let (x, mut q) = (x.into(), q.into());
        check_equal("the number of rows of x", self.rows, x.rows())?;
        check_equal("the number of columns of x", self.columns, x.columns())?;
        check_equal("the number of rows of q", self.rows, q.rows())?;
        check_equal("the number of columns of q", self.columns, q.columns())?;

        let launch = queue.into().open(&self.device)?;
        let shape = q.shape;
        let from = x.memory.address("x", &launch)?;
        let codes = q.codes.address("the codes of q", &launch)?;
        let scales = q.scales.address("the scales of q", &launch)?;
        if self.kernel.blocks() == 0 {
            return Ok(());
        }
        let args = abi::Fp8QuantizeArgs {
            x: from.pointer as *const c_void,
            q: codes.pointer as *mut u8,
            scale: scales.pointer as *mut f32,
            ldx: x.stride() as u64,
            ldq: shape.stride as u64,
            ld_scale: shape.scale_stride as u64,
            rows: self.rows as u32,
            columns: self.columns as u32,
            scale_format: self.format.code(),
        };
        // SAFETY: the kernel takes these arguments. It touches the elements of the shapes, which views hold, and
        // which the addresses above keep in use until it is queued.
        unsafe { self.kernel.launch(&launch, &args) }
    }
}
