//! Special registers: what each says in launches of several shapes.

use super::kernel::{Shape, launch, module};

/// What every thread reads in registers of 32 bits: `registers` of each thread, in the
/// order of the grid's threads.
fn read(declarations: &str, entry: &str, registers: &[&str], shape: Shape) -> Vec<Vec<u32>> {
    use std::fmt::Write;
    // The thread's number in the grid.
    let mut code = String::from(
        "mov.u32 %r0, %ctaid.x;\nmov.u32 %r1, %ctaid.y;\nmov.u32 %r2, %ctaid.z;\n\
         mov.u32 %r3, %nctaid.x;\nmov.u32 %r4, %nctaid.y;\n\
         mad.lo.u32 %r1, %r2, %r4, %r1;\nmad.lo.u32 %r0, %r1, %r3, %r0;\n\
         mov.u32 %r1, %ntid.x;\nmov.u32 %r2, %ntid.y;\nmov.u32 %r3, %ntid.z;\nmul.lo.u32 %r4, %r1, %r2;\n\
         mul.lo.u32 %r3, %r3, %r4;\nmul.lo.u32 %r0, %r0, %r3;\nmov.u32 %r2, %tid.z;\nmul.lo.u32 %r2, %r2, %r4;\n\
         add.u32 %r0, %r0, %r2;\nadd.u32 %r0, %r0, %t;\n",
    );
    let bytes = 4 * registers.len();
    let _ = writeln!(code, "mad.wide.u32 %out, %r0, {bytes}, %out;");
    for (n, name) in registers.iter().enumerate() {
        let _ = match *name {
            "%is_explicit_cluster" => writeln!(code, "mov.pred %p0, {name};\nselp.u32 %r5, 1, 0, %p0;"),
            _ => writeln!(code, "mov.u32 %r5, {name};"),
        };
        let _ = writeln!(code, "st.global.u32 [%out+{}], %r5;", 4 * n);
    }
    let ptx = module(declarations, &code).replace("bytes[128])\n{", &format!("bytes[128]){entry}\n{{"));
    let threads = shape.grid.iter().chain(&shape.block).product::<u32>() as usize;
    let words = launch(&ptx, shape, &[], threads * bytes);
    let words: Vec<u32> = words.chunks(4).map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]])).collect();
    words.chunks(registers.len()).map(<[u32]>::to_vec).collect()
}

/// All places of a box, `x` first.
fn places([x, y, z]: [u32; 3]) -> impl Iterator<Item = [u32; 3]> {
    (0..z).flat_map(move |k| (0..y).flat_map(move |j| (0..x).map(move |i| [i, j, k])))
}

const SHAPE: Shape = Shape { grid: [3, 2, 2], block: [5, 4, 3], shared: 0 };

#[test]
fn threads_and_blocks() {
    let names = [
        "%tid.x",
        "%tid.y",
        "%tid.z",
        "%tid.w",
        "%ntid.x",
        "%ntid.y",
        "%ntid.z",
        "%ntid.w",
        "%ctaid.x",
        "%ctaid.y",
        "%ctaid.z",
        "%ctaid.w",
        "%nctaid.x",
        "%nctaid.y",
        "%nctaid.z",
        "%nctaid.w",
    ];
    let got = read("", "", &names, SHAPE);
    let expected = places(SHAPE.grid).flat_map(|block| {
        places(SHAPE.block).map(move |thread| {
            [thread, SHAPE.block, block, SHAPE.grid]
                .iter()
                .flat_map(|[x, y, z]| [*x, *y, *z, 0])
                .collect::<Vec<_>>()
        })
    });
    assert!(got.into_iter().eq(expected));
}

#[test]
fn lanes_and_warps() {
    let names = [
        "%laneid",
        "%warpid",
        "%lanemask_eq",
        "%lanemask_lt",
        "%lanemask_le",
        "%lanemask_gt",
        "%lanemask_ge",
    ];
    for (n, got) in read("", "", &names, SHAPE).into_iter().enumerate() {
        let thread = n as u32 % 60;
        let lane = thread % 32;
        let lanes =
            |holds: &dyn Fn(u32) -> bool| (0..32).filter(|l| holds(*l)).map(|l| 1u32 << l).sum::<u32>();
        let expected = [
            lane,
            thread / 32,
            lanes(&|l| l == lane),
            lanes(&|l| l < lane),
            lanes(&|l| l <= lane),
            lanes(&|l| l > lane),
            lanes(&|l| l >= lane),
        ];
        assert_eq!(got, expected, "thread {n}");
    }
}

#[test]
fn the_device() {
    let names = ["%nsmid", "%smid", "%nwarpid", "%gridid", "%clock_hi", "%globaltimer_hi"];
    for got in read("", "", &names, SHAPE) {
        assert!(got[1] < got[0], "multiprocessor {} of {}", got[1], got[0]);
        assert_eq!(got[2], 64);
    }
}

/// Without clusters every block is one.
#[test]
fn without_clusters() {
    let names = [
        "%is_explicit_cluster",
        "%clusterid.x",
        "%clusterid.y",
        "%clusterid.z",
        "%clusterid.w",
        "%nclusterid.x",
        "%nclusterid.y",
        "%nclusterid.z",
        "%nclusterid.w",
        "%cluster_ctaid.x",
        "%cluster_ctaid.y",
        "%cluster_ctaid.z",
        "%cluster_ctaid.w",
        "%cluster_nctaid.x",
        "%cluster_nctaid.y",
        "%cluster_nctaid.z",
        "%cluster_nctaid.w",
        "%cluster_ctarank",
        "%cluster_nctarank",
    ];
    let shape = Shape { block: [1; 3], ..SHAPE };
    for ([x, y, z], got) in places(shape.grid).zip(read("", "", &names, shape)) {
        let [nx, ny, nz] = shape.grid;
        assert_eq!(got, [0, x, y, z, 0, nx, ny, nz, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 1]);
    }
}

#[test]
fn clusters() {
    let names = [
        "%is_explicit_cluster",
        "%clusterid.x",
        "%clusterid.y",
        "%clusterid.z",
        "%nclusterid.x",
        "%nclusterid.y",
        "%nclusterid.z",
        "%cluster_ctaid.x",
        "%cluster_ctaid.y",
        "%cluster_ctaid.z",
        "%cluster_nctaid.x",
        "%cluster_nctaid.y",
        "%cluster_nctaid.z",
        "%cluster_ctarank",
        "%cluster_nctarank",
    ];
    let shape = Shape { grid: [6, 4, 2], block: [1; 3], shared: 0 };
    let entry = ".reqnctapercluster 3, 2, 1";
    for ([x, y, z], got) in places(shape.grid).zip(read("", entry, &names, shape)) {
        let expected = [1, x / 3, y / 2, z, 2, 2, 2, x % 3, y % 2, 0, 3, 2, 1, x % 3 + 3 * (y % 2), 6];
        assert_eq!(got, expected, "block {x} {y} {z}");
    }
}

/// Sizes come in units of 128 bytes; the system has a KiB of its own.
#[test]
fn shared_memory() {
    let names = [
        "%dynamic_smem_size",
        "%total_smem_size",
        "%aggr_smem_size",
        "%reserved_smem_offset_begin",
        "%reserved_smem_offset_end",
        "%reserved_smem_offset_cap",
    ];
    let declarations = ".shared .align 16 .b8 here[100];\n.extern .shared .align 16 .b8 more[];";
    let shape = Shape { shared: 1000, ..Shape::threads(1) };
    // The variables must be used to be there.
    let code = "mov.u32 %r0, here;\nmov.u32 %r1, more;\nst.shared.u32 [%r0], %r1;\n";
    let mut ptx = module(declarations, code);
    let stores: String = names
        .iter()
        .enumerate()
        .map(|(n, name)| format!("mov.u32 %r5, {name};\nst.global.u32 [%out+{}], %r5;\n", 4 * n))
        .collect();
    ptx = ptx.replace("\n}\nret;", &format!("\n{stores}}}\nret;"));
    let got = launch(&ptx, shape, &[], 24);
    let got: Vec<u32> = got.chunks(4).map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]])).collect();
    assert_eq!(got[0], 1000);
    assert!(got[1] >= 1100 && got[1] < 1100 + 256 && got[1].is_multiple_of(128), "{}", got[1]);
    assert_eq!(got[2], got[1] + 1024);
    assert_eq!(got[3..], [0, 1024, 1024]);
}

#[test]
fn clocks_go_on() {
    for (clock, size) in [("%clock", 32), ("%clock64", 64), ("%globaltimer", 64), ("%globaltimer_lo", 32)] {
        let register = if size == 32 { "%r" } else { "%l" };
        let code = format!(
            "mov.u{size} {register}2, {clock};\nnanosleep.u32 100;\nnanosleep.u32 %t;\nmov.u{size} {register}3, {clock};\n\
             sub.u{size} {register}4, {register}3, {register}2;\nst.global.u{size} [%out], {register}4;"
        );
        let got = super::kernel::bytes(1, &code, &[], 8);
        assert!(got[..size / 8].iter().any(|byte| *byte != 0), "{clock} stood still");
    }
}

#[test]
fn what_the_environment_and_graphs_say() {
    let code = "mov.b32 %r2, %envreg0;\nmov.b32 %r3, %envreg31;\nor.b32 %r2, %r2, %r3;\nst.global.b32 [%out], %r2;\n\
                mov.u64 %l0, %current_graph_exec;\nst.global.u64 [%out+8], %l0;";
    let got = super::kernel::bytes(1, code, &[], 16);
    assert_eq!((&got[..4], &got[8..]), (&[0; 4][..], &[0; 8][..]));
}

/// The half-width forms of early PTX.
#[test]
fn in_16_bits() {
    let code = "mov.u16 %h0, %ctaid.x;\nmov.u16 %h1, %ntid.x;\nmov.b32 %r2, {%h0, %h1};\nmov.u32 %r3, %ctaid.x;\n\
                setp.ne.u32 %p0, %r3, 70000;\n@!%p0 st.global.b32 [%out], %r2;\n";
    let shape = Shape { grid: [70001, 1, 1], block: [2, 1, 1], shared: 0 };
    let got = launch(&module("", code), shape, &[], 4);
    assert_eq!(got, (70000 % 65536 + 2u32 * 65536).to_le_bytes());
}
