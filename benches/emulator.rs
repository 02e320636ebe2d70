//! How fast one core of the host emulates the FP8 GEMM, in multiply-adds a second.
//!
//! 4,096-deep operands on the kernel with 128 x 128 tiles, through the driver API: tensor cores, promotion, copies, and
//! the judgement of all of it; and without that (`CUDA_EMULATOR=fast`).

use std::time::Duration;

use cpu_time::ProcessTime;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use cuda_emulator::{Arithmetic, Mode};
use deepkern::{
    Device, MatrixViewMut,
    fp8::{BLOCK, F8E4M3, Fp8Matrix, Fp8Weight, GemmPlan, GemmShape, GemmVariant, ScaleLayout, Vec128},
};
use half::bf16;

const SHAPE: GemmShape = GemmShape { m: 256, n: 512, k: 4096 };
const VARIANT: GemmVariant = GemmVariant::Hopper { width: 128, pair: false };

/// Numbers of all signs and sizes but NaN.
fn codes(len: usize) -> Vec<F8E4M3> {
    (0..len as u32).map(|i| F8E4M3::from_bits((i.wrapping_mul(0x9e37_79b9) >> 24) as u8 & 0xfe)).collect()
}

fn emulator(criterion: &mut Criterion) {
    cuda_emulator::install().expect("the emulator");
    cuda_emulator::set_threads(1);
    let device = Device::new(0).expect("a device");
    let stream = device.context().default_stream();
    let GemmShape { m, n, k } = SHAPE;
    let a_scales = vec![1.0; Vec128::scale_len(m, k)];
    let b_scales = vec![1.0; n.div_ceil(BLOCK) * k.div_ceil(BLOCK)];
    let a = Fp8Matrix::from_host(&stream, &codes(m * k), &a_scales, m, k).expect("uploads A");
    let b = Fp8Weight::from_host(&stream, &codes(n * k), &b_scales, n, k).expect("uploads B");
    let mut d = stream.alloc_zeros::<bf16>(m * n).expect("allocates D");
    let mut plan = GemmPlan::with_variant(&device, SHAPE, VARIANT).expect("plans");

    let mut group = criterion.benchmark_group(format!("emulated {m}x{n}x{k}, one core"));
    group.throughput(Throughput::Elements((m * n * k) as u64));
    for (arithmetic, mode) in [
        (Arithmetic::Exact, Mode::Fast),
        (Arithmetic::Exact, Mode::Full),
        (Arithmetic::Hardware, Mode::Fast),
        (Arithmetic::Hardware, Mode::Full),
    ] {
        cuda_emulator::set_arithmetic(arithmetic);
        cuda_emulator::set_mode(mode);
        group.bench_function(format!("{arithmetic:?}, {mode:?}"), |bencher| {
            bencher.iter_custom(|times| {
                // What the core has spent on this: it may have had other work, which is nothing to the emulator.
                let start = ProcessTime::now();
                for _ in 0..times {
                    let d = MatrixViewMut::new(d.as_view_mut(), m, n).expect("D's shape");
                    plan.run(&stream, &a, &b, d).expect("is queued");
                    stream.synchronize().expect("has run");
                }
                start.elapsed()
            });
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(5));
    targets = emulator
}
criterion_main!(benches);
