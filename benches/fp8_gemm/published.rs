//! Figures that others have published, in TFLOP/s. They were measured elsewhere, by a profiler, which leaves out the
//! gaps between launches.

use deepkern::fp8::GemmShape;

/// DeepGEMM on an H800, from its README of April 2025.
pub const H800: &str = "DeepGEMM H800 (its README, 2025-04)";
/// DeepGEMM on an H100, from its issue 136.
pub const H100: &str = "DeepGEMM H100 (its issue 136)";

/// n and k; on the H800 with m = 64, 128, 4096; on the H100 with m = 64.
type Published = ((usize, usize), [Option<f64>; 3], f64);

const PUBLISHED: [Published; 6] = [
    ((2112, 7168), [Some(206.0), None, Some(1127.0)], 155.0),
    ((24576, 1536), [Some(289.0), None, Some(1212.0)], 230.0),
    ((32768, 512), [Some(219.0), None, Some(775.0)], 184.0),
    ((7168, 16384), [Some(336.0), Some(645.0), Some(1520.0)], 292.0),
    ((4096, 7168), [Some(287.0), Some(533.0), Some(1410.0)], 206.0),
    ((7168, 2048), [Some(295.0), None, Some(1168.0)], 189.0),
];

/// [`H800`]'s and [`H100`]'s figures.
pub fn figures(GemmShape { m, n, k }: GemmShape) -> [Option<f64>; 2] {
    let Some((_, h800, h100)) = PUBLISHED.iter().find(|(weight, ..)| *weight == (n, k)) else {
        return [None, None];
    };
    let column = [64, 128, 4096].iter().position(|&tokens| tokens == m);
    [column.and_then(|i| h800[i]), (m == 64).then_some(*h100)]
}
