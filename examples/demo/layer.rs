//! One layer of DeepSeek-V3, its projections left to whoever computes them.

use crate::{
    checkpoint::{Attention, Checkpoint, FeedForward, Mlp, Weight},
    golden::Golden,
    host::{attention, rms_norm, swiglu},
    matrix::Matrix,
};

/// Computes projections: on the device, or exactly.
pub trait Projections {
    type Error;

    /// `x[m, k] weight[n, k]^T` for each of some weights.
    fn project<const N: usize>(
        &mut self,
        x: &Matrix,
        weights: [&Weight; N],
    ) -> Result<[Matrix; N], Self::Error>;
}

/// A part of a layer that golden values begin and end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Attention, from the golden output of the layer before.
    SelfAttn,
    /// The feed-forward block, from the golden output of attention, with the golden choice of experts.
    Mlp,
}

impl Part {
    pub const ALL: [Self; 2] = [Self::SelfAttn, Self::Mlp];

    /// Its name in checkpoints.
    pub fn name(self) -> &'static str {
        match self {
            Self::SelfAttn => "self_attn",
            Self::Mlp => "mlp",
        }
    }
}

/// What a part of a layer puts out.
pub fn output<P: Projections>(
    projections: &mut P,
    model: &Checkpoint,
    golden: &Golden,
    layer: usize,
    part: Part,
) -> Result<Matrix, P::Error> {
    match part {
        Part::SelfAttn => self_attn(projections, model, golden, layer),
        Part::Mlp => mlp(projections, model, golden, layer),
    }
}

fn self_attn<P: Projections>(
    projections: &mut P,
    model: &Checkpoint,
    golden: &Golden,
    layer: usize,
) -> Result<Matrix, P::Error> {
    let (config, weights) = (&model.config, &model.layers[layer]);
    let Attention { q_a, q_a_norm, q_b, kv_a, kv_a_norm, kv_b, o } = &weights.attention;
    let norm = |x: &Matrix, weight: &[f64]| rms_norm(x, weight, config.rms_norm_eps);

    let x = norm(&layer_input(model, golden, layer), &weights.input_norm);
    let [q_latent, kv_latent] = projections.project(&x, [q_a, kv_a])?;
    let [q] = projections.project(&norm(&q_latent, q_a_norm), [q_b])?;

    let rank = config.kv_lora_rank;
    let k_rope = kv_latent.columns(rank..kv_latent.columns);
    let [kv] = projections.project(&norm(&kv_latent.columns(0..rank), kv_a_norm), [kv_b])?;

    let attended = attention(config, &golden.prompts, &q, &kv, &k_rope);
    let [output] = projections.project(&attended, [o])?;
    Ok(output)
}

fn mlp<P: Projections>(
    projections: &mut P,
    model: &Checkpoint,
    golden: &Golden,
    layer: usize,
) -> Result<Matrix, P::Error> {
    let weights = &model.layers[layer];
    let after_attention = &layer_input(model, golden, layer) + &golden.layers[layer].self_attn;
    let x = rms_norm(&after_attention, &weights.post_attention_norm, model.config.rms_norm_eps);
    match &weights.mlp {
        Mlp::Dense(block) => feed_forward(projections, block, &x),
        Mlp::Experts { shared, routed } => {
            let mut output = feed_forward(projections, shared, &x)?;
            for (expert, chosen_by) in routed.iter().zip(&golden.layers[layer].routes) {
                if chosen_by.is_empty() {
                    continue;
                }
                let gathered = x.gather(chosen_by.iter().map(|&(row, _)| row));
                let answer = feed_forward(projections, expert, &gathered)?;
                for (i, &(row, weight)) in chosen_by.iter().enumerate() {
                    let sums = output.row_mut(row).iter_mut();
                    sums.zip(answer.row(i)).for_each(|(sum, value)| *sum += weight * value);
                }
            }
            Ok(output)
        }
    }
}

fn feed_forward<P: Projections>(
    projections: &mut P,
    block: &FeedForward,
    x: &Matrix,
) -> Result<Matrix, P::Error> {
    let [gate, up] = projections.project(x, [&block.gate, &block.up])?;
    let [down] = projections.project(&swiglu(&gate, &up), [&block.down])?;
    Ok(down)
}

/// The embedding of the tokens, or what the layer before put out.
fn layer_input(model: &Checkpoint, golden: &Golden, layer: usize) -> Matrix {
    match layer.checked_sub(1) {
        None => model.embedding.gather(golden.tokens.iter().copied()),
        Some(before) => golden.layers[before].output.clone(),
    }
}
