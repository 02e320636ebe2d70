//! `D = A B^T (+ C)` in FP8.

use std::{ffi::c_void, marker::PhantomData};

use super::{
    FAMILY,
    select::{GemmShape, GemmVariant},
    tensor::{Fp8MatrixView, Fp8WeightView},
};
use crate::{
    Device, Element, Error, MatrixView, MatrixViewMut, Queue, Result, abi,
    memory::{MAX_SIZE, check_equal, check_size},
    module::Kernel,
};

/// Computes `D[m, n] = A[m, k] B[n, k]^T`, optionally `+ C[m, n]`, for one shape; D is bf16 or f32, C is f32.
///
/// A is activations ([`Fp8Matrix`](super::Fp8Matrix)), B a weight ([`Fp8Weight`](super::Fp8Weight)). Products are
/// summed in f32 over 128 of k, multiplied by the product of the two scales, and summed in f32 again, in a fixed
/// order (the method of the DeepSeek-V3 technical report, section 3.3.2). Rounding to bf16 is to nearest even. A NaN
/// in a row of A or B makes that row, or column, of D NaN.
///
/// For finite results an element of D differs from the exact sum by at most `2e-6 (|A||B| + |C|) + 1e-37`, as measured
/// over the tests, and with bf16 by half a bf16 ulp more. Where the product of two scales is itself beyond f32's
/// normal numbers, so is the result, or it loses accuracy: below 2^-126 by at most 2^-125 per 128 of k.
///
/// Same inputs, same bits: whatever the schedule, the variant, and m.
///
/// Zero sizes are fine: with m or n zero nothing happens, with k zero D becomes 0, or C.
#[derive(Debug)]
pub struct GemmPlan<D> {
    device: Device,
    shape: GemmShape,
    variant: GemmVariant,
    blocks: u32,
    kernel: Kernel,
    output: PhantomData<fn() -> D>,
}

impl<D: Element> GemmPlan<D> {
    /// A plan for this shape with the variant that [`GemmVariant::select`] finds best.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], [`Error::KernelsMissing`], or the driver's, from loading the kernels.
    pub fn new(device: &Device, shape: GemmShape) -> Result<Self> {
        Self::with_variant(device, shape, GemmVariant::select(shape, device.capability())?)
    }

    /// A plan for this shape with this variant.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_variant(device: &Device, shape: GemmShape, variant: GemmVariant) -> Result<Self> {
        check_size("m", shape.m)?;
        check_size("n", shape.n)?;
        check_size("k", shape.k)?;
        let value = variant.blocks(shape);
        let blocks = u32::try_from(value).ok().filter(|_| value <= MAX_SIZE);
        let blocks = blocks.ok_or(Error::TooLarge { what: "the grid", value, limit: MAX_SIZE })?;

        let module = device.module(&FAMILY)?;
        let kernel = module.kernel(&format!("{}_{}", variant.name(), D::NAME))?;
        Ok(Self { device: device.clone(), shape, variant, blocks, kernel, output: PhantomData })
    }

    /// The kernel that was chosen.
    pub fn variant(&self) -> GemmVariant {
        self.variant
    }

    /// The sizes.
    pub fn shape(&self) -> GemmShape {
        self.shape
    }

    /// Queues `D = A B^T` on a stream, or into a capture.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`], [`Error::Misaligned`], [`Error::ContextMismatch`], [`Error::StreamCapturing`],
    /// [`Error::NotInGraph`], or the driver's.
    pub fn run<'q, 'a, 'b, 'd>(
        &mut self,
        queue: impl Into<Queue<'q>>,
        a: impl Into<Fp8MatrixView<'a>>,
        b: impl Into<Fp8WeightView<'b>>,
        d: impl Into<MatrixViewMut<'d, D>>,
    ) -> Result<()> {
        self.launch(queue.into(), a.into(), b.into(), None, d.into())
    }

    /// Queues `D = A B^T + C` on a stream, or into a capture.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_add<'q, 'a, 'b, 'c, 'd>(
        &mut self,
        queue: impl Into<Queue<'q>>,
        a: impl Into<Fp8MatrixView<'a>>,
        b: impl Into<Fp8WeightView<'b>>,
        c: impl Into<MatrixView<'c, f32>>,
        d: impl Into<MatrixViewMut<'d, D>>,
    ) -> Result<()> {
        self.launch(queue.into(), a.into(), b.into(), Some(c.into()), d.into())
    }

    fn launch(
        &mut self,
        queue: Queue<'_>,
        a: Fp8MatrixView<'_>,
        b: Fp8WeightView<'_>,
        c: Option<MatrixView<'_, f32>>,
        mut d: MatrixViewMut<'_, D>,
    ) -> Result<()> {
        let GemmShape { m, n, k } = self.shape;
        check_equal("the number of rows of a", m, a.rows())?;
        check_equal("the number of columns of a", k, a.columns())?;
        check_equal("the number of rows of b", n, b.rows())?;
        check_equal("the number of columns of b", k, b.columns())?;
        if let Some(c) = &c {
            check_equal("the number of rows of c", m, c.rows())?;
            check_equal("the number of columns of c", n, c.columns())?;
        }
        check_equal("the number of rows of d", m, d.rows())?;
        check_equal("the number of columns of d", n, d.columns())?;

        let launch = queue.open(&self.device)?;
        let ldd = d.stride() as u64;
        let a_codes = a.codes.address("the codes of a", &launch)?;
        let a_scales = a.scales.address("the scales of a", &launch)?;
        let b_codes = b.codes.address("the codes of b", &launch)?;
        let b_scales = b.scales.address("the scales of b", &launch)?;
        let c_address = c.as_ref().map(|c| c.memory.address("c", &launch)).transpose()?;
        let d_address = d.memory.address("d", &launch)?;
        if self.blocks == 0 {
            return Ok(());
        }
        let args = abi::Fp8GemmArgs {
            a: a_codes.pointer as *const u8,
            a_scale: a_scales.pointer as *const f32,
            b: b_codes.pointer as *const u8,
            b_scale: b_scales.pointer as *const f32,
            c: c_address.as_ref().map_or(std::ptr::null(), |c| c.pointer as *const f32),
            d: d_address.pointer as *mut c_void,
            lda: a.stride() as u64,
            lda_scale: a.scale_stride() as u64,
            ldb: b.stride() as u64,
            ldb_scale: b.scale_stride() as u64,
            ldc: c.as_ref().map_or(0, |c| c.stride() as u64),
            ldd,
            m: m as u32,
            n: n as u32,
            k: k as u32,
        };
        // SAFETY: the kernel takes these arguments. It touches the elements of the shapes, which the views hold, and
        // which the addresses above keep in use until it is queued.
        unsafe { self.kernel.launch(&launch, self.blocks, self.variant.threads(), &args) }
    }
}
