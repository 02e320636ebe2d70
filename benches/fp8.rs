//! Time of the FP8 kernels, by CUDA events.
//!
//! On a GPU the rows are those of the published figures; on the emulator, where time says something about the emulator
//! alone, one small row of each.

#[path = "../tests/common/device.rs"]
mod device;

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use cuda_emulator::Driver;
use deepkern::{
    Device, MatrixView, MatrixViewMut, Result,
    cudarc::driver::sys::CUevent_flags,
    fp8::{Fp8Matrix, Fp8Weight, GemmPlan, GemmShape, QuantizePlan, ScaleFormat, ScaleLayout, Vec128},
};
use half::bf16;

/// n and k of DeepSeek-V3's projections.
const WEIGHTS: [(usize, usize); 6] =
    [(2112, 7168), (24576, 1536), (32768, 512), (7168, 16384), (4096, 7168), (7168, 2048)];
/// Tokens: decode to prefill.
const TOKENS: [usize; 6] = [1, 16, 64, 128, 512, 4096];

/// The time that the device takes for `iterations` of `queue`.
fn time(device: &Device, iterations: u64, mut queue: impl FnMut() -> Result<()>) -> Duration {
    let stream = device.context().default_stream();
    let event = || stream.record_event(Some(CUevent_flags::CU_EVENT_DEFAULT)).expect("records an event");
    let start = event();
    for _ in 0..iterations {
        queue().expect("is queued");
    }
    let end = event();
    Duration::from_secs_f64(f64::from(start.elapsed_ms(&end).expect("the events have passed")) * 1e-3)
}

fn quantize(criterion: &mut Criterion) {
    let device = device::device();
    let stream = device.context().default_stream();
    let shapes: Vec<(usize, usize)> = if device::driver() == Driver::Emulator {
        vec![(32, 1024)]
    } else {
        TOKENS.iter().flat_map(|&m| [(m, 7168), (m, 2048)]).collect()
    };
    let mut group = criterion.benchmark_group("quantize bf16");
    for (m, k) in shapes {
        let host: Vec<bf16> = (0..m * k).map(|i| bf16::from_f32((i as f32).sin())).collect();
        let x = stream.clone_htod(&host).expect("uploads");
        let mut q = Fp8Matrix::zeros(&stream, m, k).expect("allocates");
        let mut plan = QuantizePlan::new(&device, m, k, ScaleFormat::F32).expect("plans");

        // Read, codes, scales.
        group.throughput(Throughput::Bytes((m * k * 3 + Vec128::scale_len(m, k) * 4) as u64));
        group.bench_function(BenchmarkId::from_parameter(format!("{m}x{k}")), |bencher| {
            bencher.iter_custom(|iterations| {
                time(&device, iterations, || plan.run(&stream, MatrixView::new(x.as_view(), m, k)?, &mut q))
            });
        });
    }
}

fn gemm(criterion: &mut Criterion) {
    let device = device::device();
    let stream = device.context().default_stream();
    let shapes: Vec<(usize, usize, usize)> = if device::driver() == Driver::Emulator {
        vec![(16, 128, 512), (64, 128, 512)]
    } else {
        TOKENS.iter().flat_map(|&m| WEIGHTS.map(|(n, k)| (m, n, k))).collect()
    };
    let mut group = criterion.benchmark_group("gemm bf16");
    for (m, n, k) in shapes {
        let shape = GemmShape { m, n, k };
        let random = |rows: usize| -> Vec<f32> { (0..rows * k).map(|i| (i as f32 * 0.37).sin()).collect() };
        let (x, w) = (random(m), random(n));
        let mut a = Fp8Matrix::zeros(&stream, m, k).expect("allocates");
        let mut b = Fp8Weight::zeros(&stream, n, k).expect("allocates");
        let mut d = stream.alloc_zeros::<bf16>(m * n).expect("allocates");
        let mut prepare = || {
            let (x, w) = (stream.clone_htod(&x)?, stream.clone_htod(&w)?);
            let format = ScaleFormat::F32;
            let x = MatrixView::new(x.as_view(), m, k)?;
            QuantizePlan::new(&device, m, k, format)?.run(&stream, x, &mut a)?;
            let w = MatrixView::new(w.as_view(), n, k)?;
            QuantizePlan::new(&device, n, k, format)?.run(&stream, w, &mut b)
        };
        prepare().expect("quantises");
        let mut plan = GemmPlan::new(&device, shape).expect("plans");

        // Multiply-adds.
        group.throughput(Throughput::Elements((m * n * k) as u64));
        let id = BenchmarkId::new(plan.variant().to_string(), format!("{m}x{n}x{k}"));
        group.bench_function(id, |bencher| {
            bencher.iter_custom(|iterations| {
                time(&device, iterations, || {
                    plan.run(&stream, &a, &b, MatrixViewMut::new(d.as_view_mut(), m, n)?)
                })
            });
        });
    }
}

criterion_group! {
    name = fp8;
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = quantize, gemm
}
criterion_main!(fp8);
