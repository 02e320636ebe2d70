//! Where a GEMM's work goes and where its operands come from: captured graphs, several streams, raw pointers; with
//! each kind of kernel.

#[path = "common/again.rs"]
mod again;
#[path = "common/bounds.rs"]
mod bounds;
#[path = "common/capability.rs"]
mod capability;
#[path = "common/device.rs"]
mod device;

use bounds::{accuracy, check_bounds};
use deepkern::{
    CapturedGraph, Device, Error, MatrixView, MatrixViewMut,
    fp8::{
        BLOCK, Block128, Fp8Matrix, Fp8View, Fp8Weight, GemmPlan, GemmShape, GemmVariant, QuantizePlan,
        ScaleFormat, ScaleLayout, Vec128,
    },
    reference::{self, Exact},
};

/// More than a tile each way for most kernels.
const M: usize = 140;
const N: usize = 144;

/// How a plan comes to its kernel.
#[derive(Debug, Clone, Copy)]
struct Kind {
    /// What is asked for by name; or the plan chooses.
    named: Option<GemmVariant>,
    /// Where it is no multiple of 16, the copy engine cannot read dense operands.
    k: usize,
    /// The kernel that runs.
    runs: GemmVariant,
}

/// Each kind of kernel that the device can run, and the simple one also where a plan resorts to it.
fn kinds() -> Vec<Kind> {
    let simple = GemmVariant::Simple { rows: 64 };
    let named = [
        simple,
        GemmVariant::Hopper { width: 128, pair: false },
        GemmVariant::Hopper { width: 96, pair: true },
        GemmVariant::Hopper { width: 16, pair: true },
        GemmVariant::Decode { tokens: 32, split: 1 },
        GemmVariant::Decode { tokens: 16, split: 3 },
    ];
    let capability = device::device().capability();
    let named = named.into_iter().filter(|variant| variant.runs_on(capability));
    let named = named.map(|variant| Kind { named: Some(variant), k: 272, runs: variant });
    named.chain([Kind { named: None, k: 200, runs: simple }]).collect()
}

impl Kind {
    fn plan(self, device: &Device) -> GemmPlan<f32> {
        let shape = GemmShape { m: M, n: N, k: self.k };
        match self.named {
            Some(variant) => GemmPlan::with_variant(device, shape, variant),
            None => GemmPlan::new(device, shape),
        }
        .unwrap()
    }

    /// Activations and weights, neither of them symmetric.
    fn numbers(self, step: f32) -> (Vec<f32>, Vec<f32>) {
        let values = |len: usize, step: f32| (0..len).map(|i| (i as f32 * step).sin()).collect();
        (values(M * self.k, step), values(N * self.k, 1.3))
    }

    /// `D = A B^T + C` of these, quantised on the host.
    fn exact(self, (x, w): &(Vec<f32>, Vec<f32>), c: Option<&[f32]>) -> Vec<Exact> {
        let a = reference::quantize(x, M, self.k, (1, BLOCK), ScaleFormat::F32);
        let b = reference::quantize(w, N, self.k, (BLOCK, BLOCK), ScaleFormat::F32);
        reference::gemm(&a, &b, c, M, N, self.k)
    }

    fn check(self, d: &[f32], exact: &[Exact]) {
        println!("{self:?}");
        check_bounds(d, exact, N, accuracy(self.runs));
    }
}

type Stream = std::sync::Arc<deepkern::cudarc::driver::CudaStream>;

fn quantize(device: &Device, stream: &Stream, (x, w): &(Vec<f32>, Vec<f32>)) -> (Fp8Matrix, Fp8Weight) {
    let k = x.len() / M;
    let mut a = Fp8Matrix::zeros(stream, M, k).unwrap();
    let mut b = Fp8Weight::zeros(stream, N, k).unwrap();
    let x = stream.clone_htod(x).unwrap();
    let w = stream.clone_htod(w).unwrap();
    let format = ScaleFormat::F32;
    let x = MatrixView::new(x.as_view(), M, k).unwrap();
    QuantizePlan::new(device, M, k, format).unwrap().run(stream, x, &mut a).unwrap();
    let w = MatrixView::new(w.as_view(), N, k).unwrap();
    QuantizePlan::new(device, N, k, format).unwrap().run(stream, w, &mut b).unwrap();
    (a, b)
}

/// Quantise, multiply, and add another product to the first, in one graph: each needs what the one before wrote. It is
/// replayed on new input.
#[test]
fn a_captured_graph_replays() {
    for kind in kinds() {
        let device = device::device();
        let stream = device.context().new_stream().unwrap();
        let (a, b) = quantize(&device, &stream, &kind.numbers(0.0));
        let x = stream.alloc_zeros::<f32>(M * kind.k).unwrap();
        let [first, second] = [(); 2].map(|()| stream.alloc_zeros::<f32>(M * N).unwrap());

        let mut quantize = QuantizePlan::new(&device, M, kind.k, ScaleFormat::F32).unwrap();
        let mut multiply = kind.plan(&device);
        let buffers = (x, a, b, first, second);
        let mut graph =
            CapturedGraph::capture(&stream, buffers, |capture, (x, mut a, b, mut first, mut second)| {
                quantize.run(capture, MatrixView::new(x.as_view(), M, kind.k)?, &mut a)?;
                let d = MatrixViewMut::new(first.slice_mut(..), M, N)?;
                assert_eq!(multiply.variant_for(capture, a.as_view(), b.as_view())?, kind.runs);
                multiply.run(capture, a.as_view(), b.as_view(), d)?;
                let (c, d) = (
                    MatrixView::new(first.as_view(), M, N)?,
                    MatrixViewMut::new(second.slice_mut(..), M, N)?,
                );
                multiply.run_add(capture, a.as_view(), b.as_view(), c, d)
            })
            .unwrap();
        // The graph keeps what it needs.
        drop((quantize, multiply, device));
        for round in 1..4 {
            let numbers = kind.numbers(0.7 * round as f32);
            stream.memcpy_htod(&numbers.0, &mut graph.buffers_mut().0).unwrap();
            graph.launch().unwrap();
            let (_, _, _, first, second) = graph.buffers();
            let (first, second) = (stream.clone_dtoh(first).unwrap(), stream.clone_dtoh(second).unwrap());
            kind.check(&first, &kind.exact(&numbers, None));
            kind.check(&second, &kind.exact(&numbers, Some(&first)));
        }
    }
}

/// A graph takes no operand that it does not own, and the stream can be used again afterwards.
#[test]
fn a_graph_refuses_what_it_does_not_own() {
    for kind in kinds() {
        let device = device::device();
        let stream = device.context().new_stream().unwrap();
        let (a, b) = quantize(&device, &stream, &kind.numbers(1.0));
        let d = stream.alloc_zeros::<f32>(M * N).unwrap();
        let mut plan = kind.plan(&device);
        let refused = CapturedGraph::capture(&stream, (b, d), |capture, (b, mut d)| {
            plan.run(capture, &a, b.as_view(), MatrixViewMut::new(d.slice_mut(..), M, N)?)
        });
        assert!(matches!(refused, Err(Error::NotInGraph { what: "the codes of a", .. })), "{refused:?}");
        stream.synchronize().unwrap();
        assert_eq!(stream.clone_dtoh(a.scales()).unwrap().len(), a.scales().len());
    }
}

/// Work on one stream waits for what it needs from another: cudarc's events are kept. What quantises and what
/// multiplies agree on the layout of scales.
#[test]
fn streams_wait_for_each_other() {
    let device = device::device();
    let streams = [(); 2].map(|()| device.context().new_stream().unwrap());
    for kind in kinds() {
        let numbers = kind.numbers(0.7);
        let (a, b) = quantize(&device, &streams[0], &numbers);
        let mut d = streams[0].alloc_zeros::<f32>(M * N).unwrap();
        let d_view = MatrixViewMut::new(d.as_view_mut(), M, N).unwrap();
        kind.plan(&device).run(&streams[1], &a, &b, d_view).unwrap();
        // Freed on the first stream while the second still reads them.
        drop((a, b));
        kind.check(&streams[0].clone_dtoh(&d).unwrap(), &kind.exact(&numbers, None));
    }
}

/// Plans take addresses and a stream that belong to someone else.
#[test]
fn raw_pointers_on_a_raw_stream() {
    use deepkern::cudarc::driver::{DevicePtr, DevicePtrMut};

    let device = device::device();
    let stream = device.context().default_stream();
    for kind in kinds() {
        let (k, numbers) = (kind.k, kind.numbers(0.7));
        let (a, b) = quantize(&device, &stream, &numbers);
        let mut d = stream.alloc_zeros::<f32>(M * N).unwrap();
        {
            // SAFETY: the default stream lives as long as the context.
            let raw = unsafe { device.wrap_stream(stream.cu_stream().cast()) };
            let address = |(pointer, _): (u64, _)| pointer;
            // SAFETY: `a`, `b` and `d` outlive the synchronising copy below.
            let (a, b, d) = unsafe {
                let (codes, scales) =
                    (address(a.codes().device_ptr(&stream)), address(a.scales().device_ptr(&stream)));
                let a =
                    Fp8View::<Vec128>::from_raw(codes, scales, M, k, k, Vec128::scale_stride(M, k)).unwrap();
                let (codes, scales) =
                    (address(b.codes().device_ptr(&stream)), address(b.scales().device_ptr(&stream)));
                let b = Fp8View::<Block128>::from_raw(codes, scales, N, k, k, Block128::scale_stride(N, k))
                    .unwrap();
                let d = address(d.device_ptr_mut(&stream));
                (a, b, MatrixViewMut::<f32>::from_raw(d, M, N, N).unwrap())
            };
            kind.plan(&device).run(&raw, a, b, d).unwrap();
        }
        kind.check(&stream.clone_dtoh(&d).unwrap(), &kind.exact(&numbers, None));
    }
}

/// On other GPUs only the simple kernel is left.
#[test]
fn on_every_gpu_since_ampere() {
    capability::passes_on("8.0");
}
