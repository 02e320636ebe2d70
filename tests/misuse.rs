//! Each misuse is an error that says what was wrong, with the numbers; and then nothing was queued. On Hopper the plans
//! are for its tensor cores, and once more, as for another GPU, for CUDA cores.

#[path = "common/again.rs"]
mod again;
#[path = "common/capability.rs"]
mod capability;
#[path = "common/device.rs"]
mod device;

use deepkern::{
    Device, Error, MatrixView, MatrixViewMut,
    cudarc::driver::{CudaContext, CudaSlice, DevicePtr, sys::CUstreamCaptureMode},
    fp8::{
        Block128, F8E4M3, Fp8Matrix, Fp8MatrixView, Fp8MatrixViewMut, Fp8View, Fp8Weight, Fp8WeightView,
        GemmPlan, GemmShape, GemmVariant, QuantizePlan, ScaleFormat, ScaleLayout, Vec128,
    },
};

const SHAPE: GemmShape = GemmShape { m: 6, n: 130, k: 208 };

/// A GEMM's operands of the right shapes.
struct Operands {
    a: Fp8Matrix,
    b: Fp8Weight,
    c: CudaSlice<f32>,
    d: CudaSlice<f32>,
}

impl Operands {
    fn new(device: &Device) -> Self {
        let GemmShape { m, n, k } = SHAPE;
        let stream = device.context().default_stream();
        Self {
            a: Fp8Matrix::zeros(&stream, m, k).unwrap(),
            b: Fp8Weight::zeros(&stream, n, k).unwrap(),
            c: stream.alloc_zeros(m * n).unwrap(),
            d: stream.alloc_zeros(m * n).unwrap(),
        }
    }
}

fn shape_error(what: &'static str, expected: usize, actual: usize) -> Result<(), Error> {
    Err(Error::Shape { what, expected, actual })
}

#[test]
fn shapes_of_a_gemm() {
    let device = device::device();
    let stream = device.context().default_stream();
    let GemmShape { m, n, k } = SHAPE;
    let Operands { a, b, c, mut d } = Operands::new(&device);
    let mut run = |shape, c_shape: (usize, usize), d_shape: (usize, usize)| {
        let c = MatrixView::new(c.as_view(), c_shape.0, c_shape.1).unwrap();
        let d = MatrixViewMut::new(d.as_view_mut(), d_shape.0, d_shape.1).unwrap();
        GemmPlan::new(&device, shape).unwrap().run_add(&stream, &a, &b, c, d)
    };
    let fits = (m, n);
    assert_eq!(run(GemmShape { m: 5, ..SHAPE }, fits, fits), shape_error("the number of rows of a", 5, m));
    assert_eq!(
        run(GemmShape { k: 209, ..SHAPE }, fits, fits),
        shape_error("the number of columns of a", 209, k)
    );
    assert_eq!(run(GemmShape { n: 1, ..SHAPE }, fits, fits), shape_error("the number of rows of b", 1, n));
    assert_eq!(run(SHAPE, (5, n), fits), shape_error("the number of rows of c", m, 5));
    assert_eq!(run(SHAPE, (m, 1), fits), shape_error("the number of columns of c", n, 1));
    assert_eq!(run(SHAPE, fits, (0, n)), shape_error("the number of rows of d", m, 0));
    assert_eq!(run(SHAPE, fits, (m, 129)), shape_error("the number of columns of d", n, 129));
    assert_eq!(run(SHAPE, fits, fits), Ok(()));

    let b = Fp8Weight::zeros(&stream, n, k + 1).unwrap();
    let d = MatrixViewMut::new(d.as_view_mut(), m, n).unwrap();
    let refused = GemmPlan::new(&device, SHAPE).unwrap().run(&stream, &a, &b, d);
    assert_eq!(refused, shape_error("the number of columns of b", k, k + 1));
}

#[test]
fn shapes_of_a_quantisation() {
    let device = device::device();
    let stream = device.context().default_stream();
    let x = stream.alloc_zeros::<f32>(600).unwrap();
    let mut plan = QuantizePlan::new(&device, 3, 200, ScaleFormat::F32).unwrap();
    let mut run = |x_shape: (usize, usize), q_shape: (usize, usize)| {
        let x = MatrixView::new(x.as_view(), x_shape.0, x_shape.1).unwrap();
        plan.run(&stream, x, &mut Fp8Matrix::zeros(&stream, q_shape.0, q_shape.1).unwrap())
    };
    assert_eq!(run((2, 200), (3, 200)), shape_error("the number of rows of x", 3, 2));
    assert_eq!(run((3, 199), (3, 200)), shape_error("the number of columns of x", 200, 199));
    assert_eq!(run((3, 200), (4, 200)), shape_error("the number of rows of q", 3, 4));
    assert_eq!(run((3, 200), (3, 201)), shape_error("the number of columns of q", 200, 201));
    assert_eq!(run((3, 200), (3, 200)), Ok(()));
}

#[test]
fn memory_too_short() {
    let device = device::device();
    let stream = device.context().default_stream();
    let too_small = |what, needed, len| Error::BufferTooSmall { what, needed, len };

    let mut x = stream.alloc_zeros::<f32>(99).unwrap();
    let read = MatrixView::new(x.as_view(), 10, 10);
    assert_eq!(read.unwrap_err(), too_small("the matrix", 100, 99));
    let read = MatrixView::with_stride(x.as_view(), 10, 9, 11);
    assert_eq!(read.unwrap_err(), too_small("the matrix", 108, 99));
    let write = MatrixViewMut::new(x.as_view_mut(), 10, 10);
    assert_eq!(write.unwrap_err(), too_small("the matrix", 100, 99));
    MatrixView::with_stride(x.as_view(), 9, 11, 11).unwrap();

    // Two groups of k; five rows are padded to eight.
    let mut codes = stream.alloc_zeros::<F8E4M3>(5 * 129).unwrap();
    let mut scales = stream.alloc_zeros::<f32>(15).unwrap();
    let read = Fp8MatrixView::new(codes.as_view(), scales.as_view(), 5, 129);
    assert_eq!(read.unwrap_err(), too_small("the scales", 16, 15));
    let write = Fp8MatrixViewMut::new(codes.as_view_mut(), scales.as_view_mut(), 5, 129);
    assert_eq!(write.unwrap_err(), too_small("the scales", 16, 15));
    let read = Fp8WeightView::new(codes.as_view(), scales.as_view(), 5, 130);
    assert_eq!(read.unwrap_err(), too_small("the codes", 650, 645));

    let host = [F8E4M3::ZERO; 10];
    let short = Fp8Weight::from_host(&stream, &host, &[], 2, 5);
    assert_eq!(short.unwrap_err(), too_small("the scales", 1, 0));
    let short = Fp8Matrix::from_host(&stream, &host, &[1.0; 4], 2, 6);
    assert_eq!(short.unwrap_err(), too_small("the codes", 12, 10));
}

#[test]
fn strides() {
    let device = device::device();
    let stream = device.context().default_stream();
    let x = stream.alloc_zeros::<f32>(100).unwrap();
    let codes = stream.alloc_zeros::<F8E4M3>(1000).unwrap();

    let narrow = MatrixView::with_stride(x.as_view(), 2, 10, 9);
    assert_eq!(narrow.unwrap_err(), Error::StrideTooSmall { what: "the matrix", stride: 9, minimum: 10 });
    let narrow = Fp8MatrixView::with_strides(codes.as_view(), x.as_view(), 2, 10, 9, 4);
    assert_eq!(narrow.unwrap_err(), Error::StrideTooSmall { what: "the codes", stride: 9, minimum: 10 });
    let narrow = Fp8MatrixView::with_strides(codes.as_view(), x.as_view(), 5, 10, 10, 5);
    assert_eq!(narrow.unwrap_err(), Error::StrideTooSmall { what: "the scales", stride: 5, minimum: 8 });
    let odd = Fp8MatrixView::with_strides(codes.as_view(), x.as_view(), 5, 10, 10, 10);
    assert_eq!(odd.unwrap_err(), Error::StrideMisaligned { what: "the scales", stride: 10, multiple: 4 });
    Fp8WeightView::with_strides(codes.as_view(), x.as_view(), 5, 10, 10, 5).unwrap();
}

#[test]
fn sizes_beyond_31_bits() {
    let device = device::device();
    let stream = device.context().default_stream();
    let limit = i32::MAX as usize;
    let value = limit + 1;
    let too_large = |what, value| Error::TooLarge { what, value, limit };

    let x = stream.alloc_zeros::<f32>(1).unwrap();
    assert_eq!(MatrixView::new(x.as_view(), value, 0).unwrap_err(), too_large("the matrix's rows", value));
    assert_eq!(MatrixView::new(x.as_view(), 0, value).unwrap_err(), too_large("the matrix's columns", value));
    let weight = Fp8Weight::zeros(&stream, value, 1);
    assert_eq!(weight.unwrap_err(), too_large("the FP8 matrix's rows", value));
    let plan = QuantizePlan::<f32, Vec128>::new(&device, 1, value, ScaleFormat::F32);
    assert_eq!(plan.unwrap_err(), too_large("columns", value));
    for (shape, what) in [
        (GemmShape { m: value, ..SHAPE }, "m"),
        (GemmShape { n: value, ..SHAPE }, "n"),
        (GemmShape { k: value, ..SHAPE }, "k"),
    ] {
        assert_eq!(GemmPlan::<f32>::new(&device, shape).unwrap_err(), too_large(what, value));
    }

    let most = GemmShape { m: usize::MAX, n: usize::MAX, k: usize::MAX };
    assert_eq!(GemmPlan::<f32>::new(&device, most).unwrap_err(), too_large("m", usize::MAX));

    // More tiles than a grid can have.
    let shape = GemmShape { m: limit, n: limit, k: 1 };
    let plan = GemmPlan::<f32>::new(&device, shape);
    assert!(matches!(plan.unwrap_err(), Error::TooLarge { what: "the grid", .. }));
    let plan = GemmPlan::<f32>::with_variant(&device, shape, GemmVariant::Simple { rows: 64 });
    assert_eq!(plan.unwrap_err(), too_large("the grid", (1 << 25) * (1 << 25)));
    let plan = QuantizePlan::<f32, Block128>::new(&device, limit, limit, ScaleFormat::F32);
    assert_eq!(plan.unwrap_err(), too_large("the grid", (1 << 24) * (1 << 24)));
    // More memory than there are addresses.
    // SAFETY: refused.
    let matrix = unsafe { MatrixView::<f32>::from_raw(0, limit, 1, usize::MAX) };
    assert!(matches!(matrix.unwrap_err(), Error::TooLarge { what: "the matrix", .. }));
}

#[test]
fn misaligned_addresses() {
    let device = device::device();
    let stream = device.context().default_stream();
    let GemmShape { m, n, k } = SHAPE;
    let Operands { a, b, d, .. } = Operands::new(&device);
    let address = d.device_ptr(&stream).0 + 2;
    let scales = b.scales().device_ptr(&stream).0 + 1;
    let codes = b.codes().device_ptr(&stream).0 + 1;
    let mut plan = GemmPlan::<f32>::new(&device, SHAPE).unwrap();

    // SAFETY: refused before use.
    let misaligned = unsafe { MatrixViewMut::from_raw(address, m, n, n) }.unwrap();
    let refused = plan.run(&stream, &a, &b, misaligned);
    assert_eq!(refused, Err(Error::Misaligned { what: "d", address, alignment: 4 }));

    let mut d = d;
    let stride = Block128::scale_stride(n, k);
    // SAFETY: refused before use.
    let misaligned = unsafe { Fp8View::<Block128>::from_raw(codes, scales, n, k, k, stride) }.unwrap();
    let refused = plan.run(&stream, &a, misaligned, MatrixViewMut::new(d.as_view_mut(), m, n).unwrap());
    assert_eq!(refused, Err(Error::Misaligned { what: "the scales of b", address: scales, alignment: 4 }));
}

#[test]
fn another_context() {
    let device = device::device();
    let stream = device.context().default_stream();
    let elsewhere = Device::from_context(&CudaContext::new_non_primary(0, 0).unwrap()).unwrap();
    let GemmShape { m, n, .. } = SHAPE;
    let mismatch = |what| Err(Error::ContextMismatch { what, expected: 0, actual: 0 });
    let mut here = Operands::new(&device);
    let there = Operands::new(&elsewhere);
    let mut plan = GemmPlan::<f32>::new(&device, SHAPE).unwrap();

    let d = MatrixViewMut::new(here.d.as_view_mut(), m, n).unwrap();
    let refused = plan.run(&elsewhere.context().default_stream(), &here.a, &here.b, d);
    assert_eq!(refused, mismatch("the stream"));
    let d = MatrixViewMut::new(here.d.as_view_mut(), m, n).unwrap();
    assert_eq!(plan.run(&stream, &here.a, &there.b, d), mismatch("the codes of b"));
    // cudarc frees on the default stream of whichever context is current: no work must be left in either.
    elsewhere.context().synchronize().unwrap();
    device.context().synchronize().unwrap();
}

#[test]
fn a_capture_that_owns_nothing() {
    let device = device::device();
    let stream = device.context().new_stream().unwrap();
    let GemmShape { m, n, .. } = SHAPE;
    let Operands { a, b, mut d, .. } = Operands::new(&device);
    let mut plan = GemmPlan::<f32>::new(&device, SHAPE).unwrap();
    let d = MatrixViewMut::new(d.as_view_mut(), m, n).unwrap();

    stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).unwrap();
    let refused = plan.run(&stream, &a, &b, d);
    let flags = deepkern::cudarc::driver::sys::CUgraphInstantiate_flags(0);
    let _ = stream.end_capture(flags).unwrap();
    assert_eq!(refused, Err(Error::StreamCapturing { what: "the codes of a" }));
}

#[test]
fn a_device_that_is_not_there() {
    device::device();
    let count = CudaContext::device_count().unwrap() as usize;
    let ordinal = count + 7;
    assert_eq!(Device::new(ordinal).unwrap_err(), Error::NoSuchDevice { ordinal, count });
}

/// Hopper's kernels by name, where they run and where they do not.
#[test]
fn a_kernel_of_another_gpu() {
    let device = device::device();
    let capability = device.capability();
    for variant in GemmVariant::all() {
        let plan = GemmPlan::<f32>::with_variant(&device, SHAPE, variant);
        if variant.uses_tensor_cores() && capability != (9, 0) {
            let wrong = Error::WrongGpu { variant: variant.to_string(), needed: (9, 0), capability };
            assert_eq!(plan.unwrap_err(), wrong);
        } else {
            assert_eq!(plan.unwrap().variant(), variant);
        }
    }
}

#[test]
fn on_every_gpu_since_ampere() {
    capability::passes_on("8.0");
}

/// Messages name the numbers and what to do.
#[test]
fn messages() {
    let messages = [
        (Error::NoDriver, "cuda-emulator"),
        (Error::KernelsMissing { family: "fp8" }, "scripts/toolchain.sh"),
        (Error::GpuTooOld { capability: (7, 5) }, "7.5"),
        (Error::Shape { what: "the number of rows of d", expected: 4, actual: 5 }, "rows of d is 5"),
        (Error::Misaligned { what: "d", address: 0x102, alignment: 4 }, "0x102"),
    ];
    for (error, part) in messages {
        assert!(error.to_string().contains(part), "{error}");
    }
}
