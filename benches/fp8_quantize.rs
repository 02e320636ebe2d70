//! Time of the kernel that quantises, by CUDA events.
//!
//! On a GPU the rows are those of the published figures; on the emulator, where time says something about the emulator
//! alone, one small row.

#[path = "../tests/common/device.rs"]
mod device;

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use cuda_emulator::Driver;
use deepkern::{
    Device, MatrixView, Result,
    cudarc::driver::sys::CUevent_flags,
    fp8::{Fp8Matrix, QuantizePlan, ScaleFormat, ScaleLayout, Vec128},
};
use half::bf16;

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

criterion_group! {
    name = fp8_quantize;
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = quantize
}
criterion_main!(fp8_quantize);
