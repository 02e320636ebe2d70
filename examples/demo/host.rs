//! What lies between the projections: norms, rotary embedding, softmax attention, SwiGLU. On the host, in f64.

use std::{f64::consts::PI, ops::Range};

use crate::{
    checkpoint::Config,
    matrix::{Matrix, dot},
};

/// Every row divided by its root mean square, times a weight per column.
pub fn rms_norm(x: &Matrix, weight: &[f64], epsilon: f64) -> Matrix {
    let mut normed = x.clone();
    for row in 0..x.rows {
        let row = normed.row_mut(row);
        let mean_square = dot(row, row) / row.len() as f64;
        let scale = 1.0 / (mean_square + epsilon).sqrt();
        row.iter_mut().zip(weight).for_each(|(value, weight)| *value *= scale * weight);
    }
    normed
}

/// `silu(gate) * up`.
pub fn swiglu(gate: &Matrix, up: &Matrix) -> Matrix {
    let silu = |x: f64| x / (1.0 + (-x).exp());
    Matrix::from_fn(gate.rows, gate.columns, |i, j| silu(gate.row(i)[j]) * up.row(i)[j])
}

/// Causal attention of every prompt on its own.
///
/// `q` has for each head its `nope` and its `rope` part, `kv` for each head the `nope` part of k and then v; all heads
/// share `k_rope`. The rotary embedding is applied here.
pub fn attention(
    config: &Config,
    prompts: &[Range<usize>],
    q: &Matrix,
    kv: &Matrix,
    k_rope: &Matrix,
) -> Matrix {
    let (nope, v_dim) = (config.qk_nope_head_dim, config.v_head_dim);
    let rope = Rope::new(config);
    let scale = softmax_scale(config);
    let mut output = Matrix::zeros(q.rows, config.num_attention_heads * v_dim);

    for prompt in prompts {
        let rotated_k: Vec<Vec<f64>> =
            prompt.clone().map(|row| rope.rotate(k_rope.row(row), row - prompt.start)).collect();
        for head in 0..config.num_attention_heads {
            let k_and_v = |row| kv.row(row)[head * (nope + v_dim)..][..nope + v_dim].split_at(nope);
            for row in prompt.clone() {
                let position = row - prompt.start;
                let (q_nope, q_rope) =
                    q.row(row)[head * config.qk_head_dim()..][..config.qk_head_dim()].split_at(nope);
                let q_rope = rope.rotate(q_rope, position);
                let scores = (0..=position).map(|other| {
                    let (k_nope, _) = k_and_v(prompt.start + other);
                    scale * (dot(q_nope, k_nope) + dot(&q_rope, &rotated_k[other]))
                });
                let attended = &mut output.row_mut(row)[head * v_dim..][..v_dim];
                for (other, probability) in softmax(scores.collect()).into_iter().enumerate() {
                    let (_, v) = k_and_v(prompt.start + other);
                    attended.iter_mut().zip(v).for_each(|(sum, v)| *sum += probability * v);
                }
            }
        }
    }
    output
}

fn softmax(mut scores: Vec<f64>) -> Vec<f64> {
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    scores.iter_mut().for_each(|score| *score = (*score - largest).exp());
    let sum: f64 = scores.iter().sum();
    scores.iter_mut().for_each(|score| *score /= sum);
    scores
}

/// `1 / sqrt(length of a head)`, corrected by YaRN for the attention to stay as sharp in a stretched context.
fn softmax_scale(config: &Config) -> f64 {
    let yarn = &config.rope_scaling;
    let mscale = if yarn.factor > 1.0 { 0.1 * yarn.mscale_all_dim * yarn.factor.ln() + 1.0 } else { 1.0 };
    mscale * mscale / (config.qk_head_dim() as f64).sqrt()
}

/// The rotary embedding with YaRN: slow rotations are stretched over the longer context, fast ones are kept, those
/// between are blended.
struct Rope {
    /// Angle per position, of each pair.
    frequencies: Vec<f64>,
}

impl Rope {
    fn new(config: &Config) -> Self {
        let (dim, yarn) = (config.qk_rope_head_dim as f64, &config.rope_scaling);
        // The pair that turns this often within the original context, as a fraction.
        let pair_with_turns = |turns: f64| {
            let period = yarn.original_max_position_embeddings / (2.0 * PI * turns);
            dim * period.ln() / (2.0 * config.rope_theta.ln())
        };
        let low = pair_with_turns(yarn.beta_fast).floor().max(0.0);
        let high = pair_with_turns(yarn.beta_slow).ceil().min(dim - 1.0);
        let frequency = |pair: usize| {
            let kept = config.rope_theta.powf(-2.0 * pair as f64 / dim);
            let stretched = kept / yarn.factor;
            let blend = ((pair as f64 - low) / (high - low).max(0.001)).clamp(0.0, 1.0);
            stretched * blend + kept * (1.0 - blend)
        };
        Self { frequencies: (0..config.qk_rope_head_dim / 2).map(frequency).collect() }
    }

    /// Rotates neighbouring pairs: in the checkpoint they are interleaved.
    fn rotate(&self, x: &[f64], position: usize) -> Vec<f64> {
        let mut rotated = Vec::with_capacity(x.len());
        let (pairs, _) = x.as_chunks();
        for (&[a, b], frequency) in pairs.iter().zip(&self.frequencies) {
            let (sin, cos) = (position as f64 * frequency).sin_cos();
            rotated.extend([a * cos - b * sin, a * sin + b * cos]);
        }
        rotated
    }
}
