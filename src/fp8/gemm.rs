//! `D = A B^T (+ C)` in FP8.

use std::{ffi::c_void, marker::PhantomData};

use super::{
    FAMILY,
    select::{GemmOptions, GemmShape, Gpu},
    tensor::{Fp8MatrixView, Fp8WeightView},
    tensor_map::{LastMap, TiledMatrix},
    variant::{GemmVariant, HOPPER},
    work::GemmWork,
};
use crate::{
    Device, Element, Error, MatrixView, MatrixViewMut, Queue, Result, abi,
    device::Clusters,
    memory::{Address, MAX_SIZE, check_equal, check_size},
    module::{Grid, Kernel},
    queue::Launch,
};

/// Computes `D[m, n] = A[m, k] B[n, k]^T`, optionally `+ C[m, n]`, for one shape; D is bf16 or f32, C is f32.
///
/// A is activations ([`Fp8Matrix`](super::Fp8Matrix)), B a weight ([`Fp8Weight`](super::Fp8Weight)). Products are
/// summed in f32 over 128 of k, multiplied by the product of the two scales, and summed in f32 again, in a fixed
/// order (the method of the DeepSeek-V3 technical report, section 3.3.2). Rounding to bf16 is to nearest even. A NaN
/// in a row of A or B makes that row, or column, of D NaN.
///
/// For finite results an element of D differs from the exact sum by at most `bound (|A||B| + |C|) + 1e-37`, and with
/// bf16 by half a bf16 ulp more. On CUDA cores `bound` is 2e-6, as measured over the tests. Hopper's tensor cores keep
/// about 13 fraction bits of the largest of 32 products and of the sum so far ("FP22"), which is why sums are promoted
/// to f32 every 128 of k: four such sums cut 34 numbers each, so that `bound` is 136/8192 at the worst. The error of
/// all of D, `||D - D64|| / ||D64||`, is below 1e-3 over the tests' normally distributed data. Where the product of two
/// scales is itself beyond f32's normal numbers, so is the result, or it loses accuracy: below 2^-126 by at most 2^-125
/// per 128 of k.
///
/// Same inputs, same bits, whatever the schedule. With [`GemmOptions::batch_invariant`] a row's bits do not depend on m
/// either; without it, k may be summed in parts, whose number follows the shape. (Operands that are not aligned as
/// [`new`](Self::new) says are computed on CUDA cores, which sum otherwise.)
///
/// Zero sizes are fine: with m or n zero nothing happens, with k zero D becomes 0, or C.
#[derive(Debug)]
pub struct GemmPlan<D> {
    device: Device,
    shape: GemmShape,
    choice: Choice,
    /// For operands that the copy engine cannot read, where the plan may choose.
    fallback: Option<Choice>,
    maps: Maps,
    output: PhantomData<fn() -> D>,
}

/// What the copy engine was told last.
#[derive(Debug, Default)]
struct Maps {
    a: LastMap,
    b: LastMap,
    a_scale: LastMap,
    d: LastMap,
}

/// A kernel that is ready to launch.
#[derive(Debug)]
struct Choice {
    variant: GemmVariant,
    kernel: Kernel,
}

impl Choice {
    fn new<D: Element>(device: &Device, shape: GemmShape, variant: GemmVariant) -> Result<Self> {
        let tiling = variant.tiling();
        let value = tiling.tasks(shape);
        let tasks = u32::try_from(value).ok().filter(|_| value <= MAX_SIZE);
        let tasks = tasks.ok_or(Error::TooLarge { what: "the grid", value, limit: MAX_SIZE })?;
        let blocks = match tiling.persistent {
            true => tasks.min(clusters(device)?[tiling.cluster as usize].max(1)) * tiling.cluster,
            false => tasks,
        };
        let kernel = kernel(device, variant, D::NAME, blocks)?;
        Ok(Self { variant, kernel })
    }

    /// This one, if it can read operands at these places, or the other, if there is one.
    fn or<'c>(&'c self, fallback: Option<&'c Self>, args: &abi::Fp8GemmArgs) -> Result<&'c Self> {
        if !self.variant.uses_tensor_cores() {
            return Ok(self);
        }
        match (check_readable(args), fallback) {
            (Ok(()), _) => Ok(self),
            (Err(_), Some(fallback)) => Ok(fallback),
            (Err(error), None) => Err(error),
        }
    }
}

/// The clusters of Hopper's kernels that the device can hold at a time; none where it is not a Hopper. Each of their
/// blocks fills a multiprocessor, so one kernel can speak for all.
fn clusters(device: &Device) -> Result<Clusters> {
    device.clusters(|| {
        let mut clusters = [0; 9];
        if device.capability() == HOPPER {
            for (split, count) in (0..).zip(&mut clusters).skip(1) {
                let variant = GemmVariant::Decode { tokens: GemmVariant::TOKENS[0], split };
                *count = kernel(device, variant, f32::NAME, split)?.resident_clusters()?;
            }
        }
        Ok(clusters)
    })
}

/// A variant's kernel for D of this type, with so many blocks.
fn kernel(device: &Device, variant: GemmVariant, d: &str, blocks: u32) -> Result<Kernel> {
    let tiling = variant.tiling();
    let grid = Grid {
        blocks,
        threads: tiling.threads,
        cluster: tiling.cluster,
        shared: tiling.shared,
        overlaps: tiling.persistent,
    };
    device.module(&FAMILY)?.kernel(&format!("{}_{d}", variant.kernel()), grid)
}

impl<D: Element> GemmPlan<D> {
    /// A plan for this shape with the variant that [`GemmVariant::select`] finds best.
    ///
    /// Hopper's kernels read A, its scales, and B through the copy engine, which wants addresses and row strides that
    /// are multiples of 16 bytes. Operands that are not run on the simple kernel, each time that they are given
    /// ([`variant_for`](Self::variant_for) tells). (D may lie anywhere; where it is so aligned, storing it is faster.)
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], [`Error::KernelsMissing`], or the driver's, from loading the kernels.
    pub fn new(device: &Device, shape: GemmShape) -> Result<Self> {
        Self::with_options(device, shape, GemmOptions::new())
    }

    /// The same, kept to these options.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_options(device: &Device, shape: GemmShape, options: GemmOptions) -> Result<Self> {
        check_shape(shape)?;
        let gpu = Gpu { capability: device.capability(), clusters: clusters(device)? };
        let variant = GemmVariant::select_for(shape, gpu, options)?;
        let mut plan = Self::with_variant(device, shape, variant)?;
        if plan.choice.variant.uses_tensor_cores() {
            plan.fallback = Some(Choice::new::<D>(device, shape, GemmVariant::simple_for(shape))?);
        }
        Ok(plan)
    }

    /// A plan for this shape with this variant and no other (but with k zero, a simple one).
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new); [`Error::NoSuchVariant`], [`Error::WrongGpu`].
    pub fn with_variant(device: &Device, shape: GemmShape, variant: GemmVariant) -> Result<Self> {
        check_shape(shape)?;
        variant.check(device.capability())?;
        // Where nothing is multiplied there is nothing to copy either.
        let variant = if shape.k == 0 { GemmVariant::simple_for(shape) } else { variant };
        let choice = Choice::new::<D>(device, shape, variant)?;
        Ok(Self {
            device: device.clone(),
            shape,
            choice,
            fallback: None,
            maps: Maps::default(),
            output: PhantomData,
        })
    }

    /// The kernel that was chosen. Operands that it cannot read go to a simple one, if the plan may choose:
    /// [`variant_for`](Self::variant_for) says which they get.
    pub fn variant(&self) -> GemmVariant {
        self.choice.variant
    }

    /// The kernel that [`run`](Self::run) takes for these operands: [`variant`](Self::variant), or a simple one where
    /// that cannot read them, which takes many times as long. C and D make no difference. Nothing is launched,
    /// but the stream waits for the operands as it does for [`run`](Self::run).
    ///
    /// ```no_run
    /// # use deepkern::fp8::{Fp8Matrix, Fp8Weight, GemmPlan};
    /// # fn check(
    /// #     plan: &GemmPlan<f32>, stream: &deepkern::cudarc::driver::CudaStream, a: &Fp8Matrix, b: &Fp8Weight,
    /// # ) -> deepkern::Result<()> {
    /// assert_eq!(plan.variant_for(stream, a, b)?, plan.variant(), "these operands are out of line");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn variant_for<'q, 'a, 'b>(
        &self,
        queue: impl Into<Queue<'q>>,
        a: impl Into<Fp8MatrixView<'a>>,
        b: impl Into<Fp8WeightView<'b>>,
    ) -> Result<GemmVariant> {
        let (a, b) = (a.into(), b.into());
        self.check_factors(&a, &b)?;
        let launch = queue.into().open(&self.device)?;
        let factors = factors(&a, &b, &launch)?;
        if self.shape.m == 0 || self.shape.n == 0 {
            return Ok(self.choice.variant);
        }
        let args = self.product(&a, &b, &factors);
        Ok(self.choice.or(self.fallback.as_ref(), &args)?.variant)
    }

    /// What that kernel has to do.
    pub fn work(&self) -> GemmWork {
        GemmWork::new(self.shape, self.choice.variant, self.choice.kernel.blocks(), size_of::<D>())
    }

    /// The sizes.
    pub fn shape(&self) -> GemmShape {
        self.shape
    }

    /// Queues `D = A B^T` on a stream, or into a capture.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`], [`Error::Misaligned`], [`Error::StrideMisaligned`], [`Error::ContextMismatch`],
    /// [`Error::StreamCapturing`], [`Error::NotInGraph`], or the driver's.
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
        let GemmShape { m, n, .. } = self.shape;
        self.check_factors(&a, &b)?;
        if let Some(c) = &c {
            check_equal("the number of rows of c", m, c.rows())?;
            check_equal("the number of columns of c", n, c.columns())?;
        }
        check_equal("the number of rows of d", m, d.rows())?;
        check_equal("the number of columns of d", n, d.columns())?;

        let launch = queue.open(&self.device)?;
        let ldd = d.stride() as u64;
        let factors = factors(&a, &b, &launch)?;
        let c_address = c.as_ref().map(|c| c.memory.address("c", &launch)).transpose()?;
        let d_address = d.memory.address("d", &launch)?;
        if m == 0 || n == 0 {
            return Ok(());
        }
        let args = abi::Fp8GemmArgs {
            c: c_address.as_ref().map_or(std::ptr::null(), |c| c.pointer as *const f32),
            d: d_address.pointer as *mut c_void,
            ldc: c.as_ref().map_or(0, |c| c.stride() as u64),
            ldd,
            ..self.product(&a, &b, &factors)
        };
        let choice = self.choice.or(self.fallback.as_ref(), &args)?;
        // SAFETY: the kernel takes these arguments. It touches the elements of the shapes, which the views hold, and
        // which the addresses above keep in use until it is queued.
        unsafe {
            match choice.variant.uses_tensor_cores() {
                true => {
                    choice.kernel.launch(&launch, &hopper_args::<D>(args, choice.variant, &mut self.maps)?)
                }
                false => choice.kernel.launch(&launch, &args),
            }
        }
    }

    /// Checks that A and B have the plan's shape.
    fn check_factors(&self, a: &Fp8MatrixView<'_>, b: &Fp8WeightView<'_>) -> Result<()> {
        let GemmShape { m, n, k } = self.shape;
        check_equal("the number of rows of a", m, a.rows())?;
        check_equal("the number of columns of a", k, a.columns())?;
        check_equal("the number of rows of b", n, b.rows())?;
        check_equal("the number of columns of b", k, b.columns())
    }

    /// The arguments, as far as A and B say them.
    fn product(
        &self,
        a: &Fp8MatrixView<'_>,
        b: &Fp8WeightView<'_>,
        [a_codes, a_scales, b_codes, b_scales]: &[Address<'_>; 4],
    ) -> abi::Fp8GemmArgs {
        abi::Fp8GemmArgs {
            a: a_codes.pointer as *const u8,
            a_scale: a_scales.pointer as *const f32,
            b: b_codes.pointer as *const u8,
            b_scale: b_scales.pointer as *const f32,
            c: std::ptr::null(),
            d: std::ptr::null_mut(),
            lda: a.stride() as u64,
            lda_scale: a.scale_stride() as u64,
            ldb: b.stride() as u64,
            ldb_scale: b.scale_stride() as u64,
            ldc: 0,
            ldd: 0,
            m: self.shape.m as u32,
            n: self.shape.n as u32,
            k: self.shape.k as u32,
        }
    }
}

/// Where codes and scales of A and B are.
fn factors<'s>(
    a: &'s Fp8MatrixView<'_>,
    b: &'s Fp8WeightView<'_>,
    launch: &Launch<'s>,
) -> Result<[Address<'s>; 4]> {
    Ok([
        a.codes.address("the codes of a", launch)?,
        a.scales.address("the scales of a", launch)?,
        b.codes.address("the codes of b", launch)?,
        b.scales.address("the scales of b", launch)?,
    ])
}

fn check_shape(GemmShape { m, n, k }: GemmShape) -> Result<()> {
    [("m", m), ("n", n), ("k", k)].into_iter().try_for_each(|(what, size)| check_size(what, size).map(drop))
}

/// What Hopper's kernels take, for operands that they can read.
fn hopper_args<D: Element>(
    args: abi::Fp8GemmArgs,
    variant: GemmVariant,
    maps: &mut Maps,
) -> Result<abi::Fp8HopperGemmArgs> {
    let tiling = variant.tiling();
    let (rows, columns) = tiling.tile;
    // Blocks in pairs bring half of B each.
    let columns_of_b = match variant {
        GemmVariant::Hopper { pair: true, .. } => columns / 2,
        _ => columns,
    };
    let [a, b, a_scale] = readable(&args, rows, columns_of_b);
    let d = writable::<D>(&args, columns);
    let store_by_copies = matches!(variant, GemmVariant::Hopper { .. }) && d.check().is_ok();
    Ok(abi::Fp8HopperGemmArgs {
        a_map: maps.a.of(a)?,
        b_map: maps.b.of(b)?,
        a_scale_map: maps.a_scale.of(a_scale)?,
        d_map: if store_by_copies { maps.d.of(d)? } else { abi::TensorMap { opaque: [0; 16] } },
        gemm: args,
        cluster: tiling.cluster,
        store_by_copies: store_by_copies.into(),
    })
}

/// What Hopper's kernels read through the copy engine, in boxes of which one of each makes a stage: codes of A and of
/// B, and A's scales.
fn readable(args: &abi::Fp8GemmArgs, rows_of_a: u32, rows_of_b: u32) -> [TiledMatrix; 3] {
    let (rows, columns) = (args.m as usize, args.k as usize);
    let codes = |what, pointer: *const u8, rows, stride: u64, tile_rows| TiledMatrix {
        what,
        address: pointer as u64,
        element: 1,
        rows,
        columns,
        stride: stride as usize,
        tile: (tile_rows, abi::FP8_BLOCK),
        swizzled: true,
    };
    let a_scale = TiledMatrix {
        what: "the scales of a",
        address: args.a_scale as u64,
        element: 4,
        rows: columns.div_ceil(abi::FP8_BLOCK as usize),
        columns: rows,
        stride: args.lda_scale as usize,
        tile: (1, rows_of_a),
        swizzled: false,
    };
    let a = codes("the codes of a", args.a, rows, args.lda, rows_of_a);
    let b = codes("the codes of b", args.b, args.n as usize, args.ldb, rows_of_b);
    [a, b, a_scale]
}

fn check_readable(args: &abi::Fp8GemmArgs) -> Result<()> {
    readable(args, 1, 1).iter().try_for_each(TiledMatrix::check)
}

/// D as the kernel for many tokens writes it through the copy engine, in slices of its tiles: rows of 128 bytes, or of
/// 64, or of 32, where only that divides a tile's width.
fn writable<D: Element>(args: &abi::Fp8GemmArgs, width: u32) -> TiledMatrix {
    let element = size_of::<D>() as u32;
    let slice =
        [128, 64, 32].into_iter().find(|slice| (width * element).is_multiple_of(*slice)).unwrap_or(32);
    TiledMatrix {
        what: "d",
        address: args.d as u64,
        element: element as usize,
        rows: args.m as usize,
        columns: args.n as usize,
        stride: args.ldd as usize,
        tile: (abi::FP8_HOPPER_STORE_ROWS, slice / element),
        swizzled: true,
    }
}
