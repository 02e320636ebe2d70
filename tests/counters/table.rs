//! The counts as markdown.

use std::fmt::Write;

use cuda_emulator::{code::Kind, counters::Role};

use crate::{Counted, compiler::Resources};

const INTRODUCTION: &str = "# What the FP8 GEMM does

Counted by `tests/counters.rs` on the emulator, with the kernels as nvcc NVCC compiles them to PTX, under the schedule of
seed 0 on one thread of the host. D is bf16. `make counters` writes this file, `make test` compares. By which rules is in
the documentation of `cuda_emulator::counters`; what is needed follows from the tiling (`GemmPlan::work`).
";

const LAUNCHES: &str = "
## Launches

*MACs*: multiply-adds of the tensor cores over what the tiles need, and over m n k. *asked*: bytes that accesses to global
memory ask for and copies move, over what the tiles need; *moved*: the same with whole sectors of 32 bytes. *conflicts*:
wavefronts of shared memory beyond the fewest, and those. *spills* are bytes.

| m | n | k | kernel | blocks | registers | spills | operations | MACs / tiles | / m n k | asked / tiles | moved / tiles | conflicts |
| ---: | ---: | ---: | --- | ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: |
";

const CONFLICTS: &str = "
## Where conflicts are

";

const INSTRUCTIONS: &str = "
## Warp instructions

Of all blocks, by the warp's number in its block. *polls* failed, and they and the loops back to them are in no other
column.

";

pub fn table(counted: &[Counted], nvcc: &str) -> String {
    let mut text = INTRODUCTION.replace("NVCC", nvcc) + LAUNCHES;
    counted.iter().for_each(|counted| text += &launch(counted));
    text += CONFLICTS;
    text += &conflicts(counted);
    text += INSTRUCTIONS;
    text += &instructions(counted);
    text
}

fn launch(counted: &Counted) -> String {
    let Counted { shape, work, launch, .. } = counted;
    let counters = &launch.counters;
    let resources = Resources::of(&launch.kernel);
    let macs = counters.tensor_multiply_adds as f64;
    let operations = counters.tensor_operations.iter().map(|(shape, n)| format!("{n} {shape}"));
    let bytes = |bytes: u64| bytes as f64 / work.global_bytes as f64;
    format!(
        "| {} | {} | {} | {} | {} | {} | {} | {} | {:.3} | {:.3} | {:.3} | {:.3} | {} of {} |\n",
        shape.m,
        shape.n,
        shape.k,
        counted.variant,
        counters.blocks,
        resources.registers,
        resources.spills,
        operations.collect::<Vec<_>>().join(", "),
        macs / work.tensor_multiply_adds as f64,
        macs / (shape.m * shape.n * shape.k) as f64,
        bytes(counted.bytes_asked()),
        bytes(counters.global_bytes()),
        counters.shared.conflicts(),
        counters.shared.least,
    )
}

fn conflicts(counted: &[Counted]) -> String {
    let mut text = String::new();
    for Counted { shape, launch, .. } in counted {
        for conflict in &launch.counters.conflicts {
            let (file, line) = conflict.source.clone().unwrap_or_default();
            let file = file.trim_start_matches("/proc/self/cwd/");
            let [m, n, k] = [shape.m, shape.n, shape.k];
            let _ = writeln!(text, "- {m}x{n}x{k}: {} at {file}:{line}", conflict.conflicts);
        }
    }
    if text.is_empty() { "Nowhere.\n".to_owned() } else { text }
}

fn instructions(counted: &[Counted]) -> String {
    let roles = |counted: &Counted| counted.launch.counters.roles.clone();
    let occurs =
        |kind: &&Kind| counted.iter().flat_map(roles).any(|role: Role| role.instructions[**kind] > 0);
    let kinds: Vec<Kind> = Kind::ALL.iter().filter(occurs).copied().collect();
    let names: Vec<String> = kinds.iter().map(|kind| format!("{kind:?}").to_lowercase()).collect();
    let mut text = format!("| m | n | k | warps | {} | all | polls |\n", names.join(" | "));
    text += &format!("| ---: | ---: | ---: | --- |{} ---: | ---: |\n", " ---: |".repeat(kinds.len()));
    for counted in counted {
        let roles = roles(counted);
        // Neighbours that did the same share a line.
        for (start, group) in alike(&roles) {
            let role = &group[0];
            let counts = kinds.iter().map(|kind| role.instructions[*kind].to_string());
            let warps = match group.len() {
                1 => start.to_string(),
                n => format!("{start} to {}, each", start + n - 1),
            };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {warps} | {} | {} | {} |",
                counted.shape.m,
                counted.shape.n,
                counted.shape.k,
                counts.collect::<Vec<_>>().join(" | "),
                role.instructions.total(),
                role.failed_polls,
            );
        }
    }
    text
}

/// Runs of roles with the same counts, each with the number of its first.
fn alike(roles: &[Role]) -> Vec<(usize, &[Role])> {
    let mut start = 0;
    let groups = roles.chunk_by(|a, b| a == b).map(|group| {
        let first = start;
        start += group.len();
        (first, group)
    });
    groups.collect()
}
