//! How fast the machine is: a tiled f32 GEMM, most of whose instructions are
//! multiply-adds and loads of shared memory.

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Instant;

use support::Device;

fn main() {
    const N: usize = 512;
    let mut device = Device::new(include_str!("../tests/data/machine.ptx"));
    let values: Vec<f32> = (0..N * N).map(|i| (i % 17) as f32).collect();
    let (a, b, c) = (device.put(&values), device.put(&values), device.alloc(4 * (N * N) as u64));
    let blocks = (N / 32) as u32;
    for _ in 0..3 {
        let start = Instant::now();
        let counters = device
            .launch("gemm", [blocks, blocks, 1], [8, 8, 1], &[c, a, b, N as u64], 0)
            .expect("no finding");
        let seconds = start.elapsed().as_secs_f64();
        let lanes = 32.0 * counters.total() as f64;
        println!(
            "{:.2} G lane operations/s ({seconds:.2} s on {} threads)",
            lanes / seconds / 1e9,
            rayon_threads()
        );
    }
}

fn rayon_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
