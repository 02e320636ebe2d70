//! What the machine does with whole programs: divergence, calls, memory spaces,
//! barriers, the warp's own operations, atomics, printf. Each program gives the
//! same result in every order of blocks and warps.
//!
//! The programs are in `programs.cu`, compiled by
//! `nvcc -arch=sm_90a -ptx programs.cu -o programs.ptx` (CUDA 13.0).

use crate::device::Device;

/// Orders of blocks and warps: 0 is the natural one.
const SEEDS: std::ops::Range<u64> = 0..6;

fn device() -> Device {
    Device::new(include_str!("programs.ptx"))
}

/// Runs a kernel with an output of `count` words as its first parameter, under each seed.
fn outputs(kernel: &str, grid: u32, block: u32, count: usize, more: &[u64]) -> Vec<u32> {
    let mut device = device();
    let mut runs = SEEDS.map(|seed| {
        let out = device.alloc(4 * count as u64);
        let arguments: Vec<u64> = [out].iter().chain(more).copied().collect();
        let counters = device
            .launch(kernel, [grid, 1, 1], [block, 1, 1], &arguments, seed)
            .unwrap_or_else(|finding| panic!("seed {seed}: {finding}"));
        assert_eq!(counters.blocks, u64::from(grid));
        assert_eq!(device.first_undefined(out, 4 * count as u64), None);
        device.get::<u32>(out, count)
    });
    let first = runs.next().expect("a seed");
    runs.for_each(|other| assert_eq!(first, other));
    first
}

/// Checks an output word of each thread of two blocks.
fn each_thread(kernel: &str, block: u32, expected: impl Fn(u32) -> u32) {
    let out = outputs(kernel, 2, block, 2 * block as usize, &[]);
    let expected: Vec<u32> = (0..2 * block).map(expected).collect();
    assert_eq!(out, expected, "{kernel}");
}

#[test]
fn nested_branches_join_again() {
    for (block, last_warp) in [(64, u32::MAX), (40, 0xff)] {
        let out = outputs("nested", 2, block, 4 * block as usize, &[]);
        for (t, got) in (0u32..).zip(out.chunks(2)) {
            let value = match t {
                t if t & 7 == 7 => (11 * 3) ^ 0x55,
                t if t & 3 == 3 => 11 * 3 + 7,
                t if t & 1 == 1 => 11 - 4,
                t if t % 3 == 0 => t * t,
                _ => 1,
            };
            let active = if t % block / 32 == 1 { last_warp } else { u32::MAX };
            assert_eq!(got, [value, active], "thread {t} of {block} a block");
        }
    }
}

#[test]
fn loops_end_when_each_lane_ends() {
    each_thread("loops", 96, |t| {
        let (mut x, mut n) = (t + 1, 0);
        while x != 1 {
            if x % 5 != 0 {
                if n > 100 {
                    break;
                }
                n += 1;
            }
            x = if x % 2 == 1 { 3 * x + 1 } else { x / 2 };
        }
        n
    });
}

#[test]
fn jump_tables() {
    let mut device = Device::new(
        "
        .version 9.0
        .target sm_90a
        .address_size 64
        .visible .entry table(.param .u64 out)
        {
            .reg .b32 %t, %v, %i;
            .reg .b64 %out, %at;
            ld.param.u64 %out, [out];
            mov.u32 %t, %tid.x;
            mul.wide.u32 %at, %t, 4;
            add.u64 %at, %at, %out;
            and.b32 %i, %t, 3;
            mov.u32 %v, 1;
            targets: .branchtargets A, B, C, B;
            brx.idx %i, targets;
        A:
            add.u32 %v, %v, 10;
        B:
            add.u32 %v, %v, 100;
            bra.uni D;
        C:
            mov.u32 %v, %t;
        D:
            st.global.u32 [%at], %v;
            ret;
        }",
    );
    for seed in SEEDS {
        let out = device.alloc(4 * 50);
        device.launch("table", [1; 3], [50, 1, 1], &[out], seed).expect("no finding");
        let expected: Vec<u32> = (0..50).map(|t| [111, 101, t, 101][t as usize % 4]).collect();
        assert_eq!(device.get::<u32>(out, 50), expected);
    }
}

#[test]
fn threads_that_ended_are_not_waited_for() {
    for n in [1, 31, 32, 33, 100, 256] {
        let out = outputs("early", 1, n.max(200), n as usize, &[u64::from(n)]);
        let expected: Vec<u32> = (0..n).map(|t| (n - 1 - t) * 2).collect();
        assert_eq!(out, expected, "{n} threads");
    }
}

#[test]
fn locks_between_lanes_warps_and_blocks() {
    for kernel in ["lock", "spin"] {
        for (grid, block) in [(1, 32), (1, 96), (4, 32)] {
            for seed in SEEDS {
                let mut device = device();
                let (mutex, count) = (device.put(&[0u32]), device.put(&[0u32]));
                device
                    .launch(kernel, [grid, 1, 1], [block, 1, 1], &[mutex, count], seed)
                    .unwrap_or_else(|finding| panic!("{kernel}, seed {seed}: {finding}"));
                assert_eq!(device.get::<u32>(count, 1), [grid * block]);
            }
        }
    }
}

#[test]
fn blocks_wait_for_each_other() {
    for seed in SEEDS {
        let mut device = device();
        let (arrived, out) = (device.put(&[0u32]), device.alloc(4 * 2 * 12));
        device.launch("grid_barrier", [12, 1, 1], [64, 1, 1], &[arrived, out], seed).expect("no finding");
        let expected: Vec<u32> = (1..=12).map(|b| b % 12 * 11).collect();
        assert_eq!(device.get::<u32>(out + 48, 12), expected);
    }
}

#[test]
fn recursion() {
    fn ackermann(m: u32, n: u32) -> u32 {
        match (m, n) {
            (0, n) => n + 1,
            (m, 0) => ackermann(m - 1, 1),
            (m, n) => ackermann(m - 1, ackermann(m, n - 1)),
        }
    }
    each_thread("recursion", 64, |t| ackermann(t % 3, t % 7));
}

#[test]
fn function_pointers() {
    each_thread("pointers", 64, |t| match t % 3 {
        0 => 2 * (t + 1),
        1 => (t + 1) * (t + 1),
        _ => (t + 1).wrapping_neg(),
    });
}

#[test]
fn local_arrays() {
    each_thread("local_array", 64, |t| {
        let mut a = [0; 16];
        (0..16).for_each(|i| a[((i * 5 + t) % 16) as usize] = i + t);
        (0..16).fold(0u32, |sum, i| sum.wrapping_mul(3).wrapping_add(a[((t + i * i) % 16) as usize]))
    });
}

#[test]
fn static_and_dynamic_shared_memory() {
    let mut device = device();
    device.dynamic_shared = 512;
    let values: Vec<f32> = (0..64).map(|t| t as f32 + 0.5).collect();
    let (out, input) = (device.alloc(256), device.put(&values));
    device.launch("shared_memory", [1; 3], [64, 1, 1], &[out, input], 0).expect("no finding");
    let expected: Vec<f32> =
        (0..64).map(|t| values[63 - t] + 2.0 * values[(t + 1) % 64] + 3.0 * values[t / 2]).collect();
    assert_eq!(device.get::<f32>(out, 64), expected);
}

const PRIMES: [u32; 8] = [2, 3, 5, 7, 11, 13, 17, 19];

#[test]
fn generic_addresses() {
    let out = outputs("generic", 1, 32, 32, &[]);
    let expected: Vec<u32> = (0..32)
        .map(|t| match t % 4 {
            0 => 7 * (31 - t),
            1 => 10u32.pow(t / 8),
            2 => PRIMES[t as usize / 4],
            _ => t + t / 8,
        })
        .collect();
    assert_eq!(out, expected);
}

#[test]
fn constants() {
    each_thread("constants", 32, |t| PRIMES[t as usize % 8] * 10u32.pow(t % 4));
}

#[test]
fn printf() {
    let mut device = device();
    device.launch("print", [1; 3], [48, 1, 1], &[], 0).expect("no finding");
    assert_eq!(
        device.printed(),
        [
            "thread 3 of block 0: early  2.50 d -8 0x30 %\n",
            "thread 19 of block 0: late  2.50 t -524288 0x130 %\n",
            "no arguments\n",
            "thread 35 of block 0: late  2.50 \u{fffd} -34359738368 0x230 %\n",
        ]
    );
}

#[test]
fn indices_in_three_dimensions() {
    let mut device = device();
    let (grid, block) = ([3, 2, 2], [5, 3, 2]);
    for seed in SEEDS {
        let out = device.alloc(4 * 12 * 30);
        device.launch("indices", grid, block, &[out], seed).expect("no finding");
        let got = device.get::<u32>(out, 360);
        for (n, word) in (0u32..).zip(got) {
            let (b, t) = (n / 30, n % 30);
            let thread = ((t % 5) << 8) | ((t / 5 % 3) << 12) | ((t / 15) << 16);
            assert_eq!(word, t | thread | ((b % 3) << 20) | ((b / 3 % 2) << 24) | ((b / 6) << 28));
        }
    }
}

#[test]
fn a_sum_over_a_block() {
    let values: Vec<u32> = (0..1000u32).map(|i| i.wrapping_mul(2654435761)).collect();
    let expected = values.iter().fold(0u32, |sum, v| sum.wrapping_add(*v));
    for threads in [32, 64, 256, 1024] {
        for seed in SEEDS {
            let mut device = device();
            let (out, input) = (device.alloc(4), device.put(&values));
            device
                .launch("block_sum", [1; 3], [threads, 1, 1], &[out, input, 1000], seed)
                .unwrap_or_else(|finding| panic!("{finding}"));
            assert_eq!(device.get::<u32>(out, 1), [expected]);
        }
    }
}

#[test]
fn shuffles() {
    let out = outputs("shuffles", 1, 32, 32 * 12, &[]);
    let value = |lane: u32| lane * 100 + 1;
    for t in 0..32u32 {
        let within = |from: i64, width: u32| {
            let first = t - t % width;
            let inside = from >= first.into() && from < (first + width).into();
            value(if inside { from as u32 } else { t })
        };
        let at = i64::from(t);
        // XOR may reach back into an earlier segment, but not into a later one.
        let back = |from: u32, width: u32| if from < t - t % width + width { value(from) } else { value(t) };
        let expected = [
            within(at - 3, 32),
            within(at - 3, 8),
            within(at + 5, 32),
            within(at + 5, 16),
            value(t ^ 9),
            back(t ^ 9, 8),
            value(37 % 32),
            value(t - t % 4 + t * 7 % 4),
            value(t ^ if t < 16 { 1 } else { 2 }),
            value(t ^ 7),
            within(at - 4, 32),
            u32::from(t >= 4),
        ];
        assert_eq!(out[t as usize * 12..][..12], expected, "lane {t}");
    }
}

#[test]
fn votes() {
    let values: [u32; 32] = std::array::from_fn(|t| [3, 5, 7, 1, 3, 19][t % 6]);
    let mut device = device();
    let input = device.put(&values);
    let out = device.alloc(4 * 320);
    device.launch("votes", [1; 3], [32, 1, 1], &[out, input], 0).expect("no finding");
    let got = device.get::<u32>(out, 320);
    let lanes = |f: &dyn Fn(usize) -> bool| (0..32).fold(0u32, |m, l| m | u32::from(f(l)) << l);
    for t in 0..32usize {
        let eight = 0xffu32 << (t & 24);
        let same = lanes(&|l| values[l] & 16 == values[t] & 16) & eight == eight;
        let half = &values[t & 16..][..16];
        let expected = [
            0,
            1,
            u32::MAX,
            1,
            lanes(&|l| values[l] == values[t]),
            if same { eight } else { 0 },
            u32::from(same),
            -3i32 as u32,
            half.iter().fold(0, |x, v| x ^ v),
            u32::from(t % 8 == 0),
        ];
        assert_eq!(got[t * 10..][..10], expected, "lane {t}");
    }
}

#[test]
fn named_barriers() {
    let out = outputs("named_barriers", 1, 64, 160, &[]);
    let expected: Vec<u32> = (0..160).map(|i| i / 32 * 100 + 31 - i % 32).collect();
    assert_eq!(out, expected);
}

#[test]
fn barriers_that_reduce() {
    for (threads, any) in [(64, 0), (72, 1)] {
        let out = outputs("barrier_votes", 1, threads, 3 * threads as usize, &[]);
        let expected = [threads.div_ceil(3), 1, any].repeat(threads as usize);
        assert_eq!(out, expected);
    }
}

#[test]
fn integer_atomics() {
    const THREADS: u32 = 16 * 64;
    for seed in SEEDS {
        let mut device = device();
        let mut words = [0u32; 32];
        (words[1], words[2], words[3]) = (1000, -7i32 as u32, u32::MAX);
        let (words, longs) = (device.put(&words), device.put(&[0u64; 2]));
        let old = device.alloc(4 * u64::from(THREADS));
        device.launch("atomics", [16, 1, 1], [64, 1, 1], &[words, longs, old], seed).expect("no finding");
        let sum = THREADS * (THREADS - 1) / 2;
        let got = device.get::<u32>(words, 32);
        let xor = (0..THREADS).fold(0, |x, t| x ^ t);
        // `inc` and `dec` have a period of ten.
        let (inc, dec) = (THREADS % 10, (10 - THREADS % 10) % 10);
        assert_eq!(got[..9], [sum, 5, 0, !0x300, u32::MAX, xor, inc, dec, THREADS]);
        assert_eq!(got[16..], [128; 16]);
        assert_eq!(device.get::<u64>(longs, 2), [u64::from(sum) << 30, u64::from(THREADS - 1) << 40]);
        let mut old = device.get::<u32>(old, THREADS as usize);
        old.sort_unstable();
        assert!(old.into_iter().eq(0..THREADS));
    }
}

#[test]
fn floating_point_atomics() {
    for seed in SEEDS {
        let mut device = device();
        let (f, d) = (device.put(&[0f32]), device.put(&[0f64]));
        let (b, v) = (device.put(&[0u32]), device.put(&[0f32; 4]));
        device.launch("float_atomics", [2, 1, 1], [64, 1, 1], &[f, d, b, v], seed).expect("no finding");
        assert_eq!(device.get::<f32>(f, 1), [8128.0 * 0.25]);
        assert_eq!(device.get::<f64>(d, 1), [64.0]);
        // 128 as bf16 below, 0 above.
        assert_eq!(device.get::<u32>(b, 1), [0x0000_4300]);
        assert_eq!(device.get::<f32>(v, 4), [128.0, 256.0, 64.0, 8128.0]);
    }
}

#[test]
fn a_tiled_gemm() {
    const N: usize = 64;
    let value = |i: usize| ((i * 7919 % 1000) as f32 - 500.0) / 256.0;
    let a: Vec<f32> = (0..N * N).map(value).collect();
    let b: Vec<f32> = (0..N * N).map(|i| value(i + 12345)).collect();
    let mut expected = vec![0f32; N * N];
    for (i, c) in expected.iter_mut().enumerate() {
        *c = (0..N).fold(0f32, |sum, k| a[i / N * N + k].mul_add(b[k * N + i % N], sum));
    }
    for seed in SEEDS {
        let mut device = device();
        let (c, a, b) = (device.alloc(4 * (N * N) as u64), device.put(&a), device.put(&b));
        let counters =
            device.launch("gemm", [2, 2, 1], [8, 8, 1], &[c, a, b, N as u64], seed).expect("no finding");
        assert_eq!(device.get::<f32>(c, N * N), expected);
        assert_eq!(counters.global_written.asked, 4 * (N * N) as u64);
        assert_eq!(counters.global_read.asked, 2 * 2 * 4 * (N * N) as u64);
    }
}
