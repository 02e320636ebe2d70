//! The demo itself: every projection of every layer on the device, and what comes out against the golden values.

use crate::{
    checked::Checked,
    checkpoint::{Checkpoint, Mlp},
    engine::Engine,
    exact::Exact,
    golden::Golden,
    layer::{Part, output},
    matrix::relative_error,
    report::{OutputRow, Report},
};

/// How far f64 may be from the golden float32: its rounding is 4e-7 here, and doubling any one scale of the checkpoint
/// has an effect of 7e-4 or more.
pub const GOLDEN_ROUNDING_BOUND: f64 = 1e-5;

/// What quantising activations costs `self_attn` and `mlp` of devil-v3's layers, as a simulation on the host finds.
pub const EXPECTED_ERRORS: [[f64; 2]; 3] = [[0.0104, 0.0125], [0.0162, 0.0155], [0.0163, 0.0162]];

/// The device may err this many times as much.
const MARGIN: f64 = 1.3;

/// Computes all parts of all layers; what is found goes into the report.
pub fn run(
    engine: &mut Engine,
    model: &Checkpoint,
    golden: &Golden,
    report: &mut Report,
) -> deepkern::Result<()> {
    for layer in 0..model.layers.len() {
        for part in Part::ALL {
            run_part(engine, model, golden, layer, part, report)?;
        }
    }
    Ok(())
}

/// Computes a part of a layer.
///
/// A wrong scale on its way to the device, or there, shows in the checks of the single GEMM. A wrong scale in the
/// checkpoint misleads those too, since they compare with what the checkpoint says; but then f64, which reads the same
/// checkpoint, differs from the golden values by far more than float32's rounding.
pub fn run_part(
    engine: &mut Engine,
    model: &Checkpoint,
    golden: &Golden,
    layer: usize,
    part: Part,
    report: &mut Report,
) -> deepkern::Result<()> {
    let Ok(exact) = output(&mut Exact, model, golden, layer, part);
    let device = output(&mut Checked { engine, report }, model, golden, layer, part)?;
    let golden = golden.layers[layer].part(part);

    let row = OutputRow {
        name: format!("layers.{layer}.{}", part.name()),
        exact: relative_error(&exact, golden),
        device: relative_error(&device, golden),
        bound: MARGIN * EXPECTED_ERRORS[layer.min(EXPECTED_ERRORS.len() - 1)][part as usize],
    };
    report.check(format!("f64 against golden {}", row.name), row.exact, GOLDEN_ROUNDING_BOUND);
    report.check(format!("device against golden {}", row.name), row.device, row.bound);
    report.output(row);
    Ok(())
}

/// How many GEMMs that will be.
pub fn count_gemms(model: &Checkpoint, golden: &Golden) -> usize {
    let feed_forwards = model.layers.iter().zip(&golden.layers).map(|(layer, golden)| match layer.mlp {
        Mlp::Dense(_) => 1,
        Mlp::Experts { .. } => 1 + golden.routes.iter().filter(|rows| !rows.is_empty()).count(),
    });
    5 * model.layers.len() + 3 * feed_forwards.sum::<usize>()
}
