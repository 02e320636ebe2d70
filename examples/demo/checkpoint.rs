//! The model: its configuration and weights, as the public FP8 checkpoints store them.

use std::path::Path;

use deepkern::reference::{Quantized, decode_e4m3};
use safetensors::Dtype;
use serde::Deserialize;

use crate::{
    matrix::Matrix,
    tensors::{LoadError, Result, Tensors, read},
};

/// What of `config.json` the demo needs, under the names it has there.
#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub moe_intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub first_k_dense_replace: usize,
    pub num_attention_heads: usize,
    pub n_routed_experts: usize,
    pub n_shared_experts: usize,
    pub num_experts_per_tok: usize,
    pub q_lora_rank: usize,
    pub kv_lora_rank: usize,
    pub qk_nope_head_dim: usize,
    pub qk_rope_head_dim: usize,
    pub v_head_dim: usize,
    pub rms_norm_eps: f64,
    pub rope_theta: f64,
    pub rope_scaling: Yarn,
    pub quantization_config: Quantization,
}

/// How the rotary embedding is stretched over a longer context.
#[derive(Debug, Clone, Deserialize)]
pub struct Yarn {
    pub beta_fast: f64,
    pub beta_slow: f64,
    pub factor: f64,
    pub mscale: f64,
    pub mscale_all_dim: f64,
    pub original_max_position_embeddings: f64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Quantization {
    pub weight_block_size: [usize; 2],
}

impl Config {
    /// The configuration in the bytes of a `config.json`; `path` is for messages.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self> {
        let config: Self = serde_json::from_slice(bytes)
            .map_err(|source| LoadError::Config { path: path.into(), source })?;
        match config.unsupported() {
            None => Ok(config),
            Some(what) => Err(LoadError::Unsupported { path: path.into(), what }),
        }
    }

    /// What the demo cannot compute. Bounding the sizes here keeps every product of two from overflowing.
    fn unsupported(&self) -> Option<String> {
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("moe_intermediate_size", self.moe_intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("n_routed_experts", self.n_routed_experts),
            ("n_shared_experts", self.n_shared_experts),
            ("num_experts_per_tok", self.num_experts_per_tok),
            ("q_lora_rank", self.q_lora_rank),
            ("kv_lora_rank", self.kv_lora_rank),
            ("qk_nope_head_dim", self.qk_nope_head_dim),
            ("qk_rope_head_dim", self.qk_rope_head_dim),
            ("v_head_dim", self.v_head_dim),
        ];
        if let Some((name, size)) = sizes.into_iter().find(|(_, size)| !(1..=1 << 20).contains(size)) {
            return Some(format!("{name} is {size}, not one of 1..=2^20"));
        }
        if !self.qk_rope_head_dim.is_multiple_of(2) {
            return Some(format!("qk_rope_head_dim is {}, not even", self.qk_rope_head_dim));
        }
        if self.rope_scaling.mscale != self.rope_scaling.mscale_all_dim {
            return Some("mscale and mscale_all_dim differ".into());
        }
        let block = self.quantization_config.weight_block_size;
        (block != [deepkern::fp8::BLOCK; 2]).then(|| format!("weight_block_size is {block:?}, not 128x128"))
    }

    /// The length of a head of q and k.
    pub fn qk_head_dim(&self) -> usize {
        self.qk_nope_head_dim + self.qk_rope_head_dim
    }
}

/// The weight `[n, k]` of a projection.
#[derive(Debug, Clone)]
pub struct Weight {
    /// Such as `layers.0.self_attn.q_a_proj`.
    pub name: String,
    pub n: usize,
    pub k: usize,
    /// E4M3 codes, and one scale per 128x128.
    pub quantized: Quantized,
}

impl Weight {
    /// The weight that the codes and scales stand for.
    pub fn dequantized(&self) -> Matrix {
        let block = deepkern::fp8::BLOCK;
        let blocks_k = self.k.div_ceil(block);
        Matrix::from_fn(self.n, self.k, |i, j| {
            let code = f64::from(decode_e4m3(self.quantized.codes[i * self.k + j]));
            code * f64::from(self.quantized.scales[i / block * blocks_k + j / block])
        })
    }
}

/// The weights of one layer.
#[derive(Debug, Clone)]
pub struct Layer {
    pub input_norm: Vec<f64>,
    pub attention: Attention,
    pub post_attention_norm: Vec<f64>,
    pub mlp: Mlp,
}

/// Multi-head latent attention: q and kv each through a low rank.
#[derive(Debug, Clone)]
pub struct Attention {
    pub q_a: Weight,
    pub q_a_norm: Vec<f64>,
    pub q_b: Weight,
    pub kv_a: Weight,
    pub kv_a_norm: Vec<f64>,
    pub kv_b: Weight,
    pub o: Weight,
}

/// `down(silu(gate(x)) * up(x))`.
#[derive(Debug, Clone)]
pub struct FeedForward {
    pub gate: Weight,
    pub up: Weight,
    pub down: Weight,
}

#[derive(Debug, Clone)]
pub enum Mlp {
    Dense(FeedForward),
    Experts { shared: FeedForward, routed: Vec<FeedForward> },
}

#[derive(Debug, Clone)]
pub struct Checkpoint {
    pub config: Config,
    pub embedding: Matrix,
    pub layers: Vec<Layer>,
}

impl Checkpoint {
    /// Reads `config.json` and `model.safetensors`.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        let config = Config::parse(&path, &read(&path)?)?;
        let path = folder.join("model.safetensors");
        Self::parse(config, &path, &read(&path)?)
    }

    /// The checkpoint in the bytes of a `model.safetensors`; `path` is for messages.
    pub fn parse(config: Config, path: &Path, bytes: &[u8]) -> Result<Self> {
        let tensors = Tensors::parse(path, bytes)?;
        let (vocabulary, hidden) = (config.vocab_size, config.hidden_size);
        let embedding = tensors.bf16("model.embed_tokens.weight", &[vocabulary, hidden])?;
        let embedding = Matrix { rows: vocabulary, columns: hidden, values: embedding };
        let layers = (0..config.num_hidden_layers).map(|layer| read_layer(&tensors, &config, layer));
        Ok(Self { embedding, layers: layers.collect::<Result<_>>()?, config })
    }

    /// Every FP8 weight there is.
    pub fn weights(&self) -> Vec<&Weight> {
        let mut weights = Vec::new();
        for Layer { attention: Attention { q_a, q_b, kv_a, kv_b, o, .. }, mlp, .. } in &self.layers {
            weights.extend([q_a, q_b, kv_a, kv_b, o]);
            let blocks = match mlp {
                Mlp::Dense(block) => vec![block],
                Mlp::Experts { shared, routed } => [shared].into_iter().chain(routed).collect(),
            };
            weights.extend(blocks.into_iter().flat_map(|block| [&block.gate, &block.up, &block.down]));
        }
        weights
    }
}

fn read_layer(tensors: &Tensors<'_>, config: &Config, layer: usize) -> Result<Layer> {
    let hidden = config.hidden_size;
    let attention = format!("layers.{layer}.self_attn");
    let mlp = format!("layers.{layer}.mlp");

    let norm = |name: String, length| tensors.bf16(&format!("model.{name}.weight"), &[length]);
    let weight = |name: String, n: usize, k: usize| {
        let block = deepkern::fp8::BLOCK;
        let codes = tensors.bytes(&format!("model.{name}.weight"), Dtype::F8_E4M3, &[n, k])?.to_vec();
        let blocks = [n.div_ceil(block), k.div_ceil(block)];
        let scales = tensors.f32(&format!("model.{name}.weight_scale_inv"), &blocks)?;
        Ok(Weight { name, n, k, quantized: Quantized { codes, scales } })
    };
    let feed_forward = |name: String, intermediate| {
        Ok(FeedForward {
            gate: weight(format!("{name}.gate_proj"), intermediate, hidden)?,
            up: weight(format!("{name}.up_proj"), intermediate, hidden)?,
            down: weight(format!("{name}.down_proj"), hidden, intermediate)?,
        })
    };

    let heads = config.num_attention_heads;
    let (q_rank, kv_rank) = (config.q_lora_rank, config.kv_lora_rank);
    Ok(Layer {
        input_norm: norm(format!("layers.{layer}.input_layernorm"), hidden)?,
        attention: Attention {
            q_a: weight(format!("{attention}.q_a_proj"), q_rank, hidden)?,
            q_a_norm: norm(format!("{attention}.q_a_layernorm"), q_rank)?,
            q_b: weight(format!("{attention}.q_b_proj"), heads * config.qk_head_dim(), q_rank)?,
            kv_a: weight(
                format!("{attention}.kv_a_proj_with_mqa"),
                kv_rank + config.qk_rope_head_dim,
                hidden,
            )?,
            kv_a_norm: norm(format!("{attention}.kv_a_layernorm"), kv_rank)?,
            kv_b: weight(
                format!("{attention}.kv_b_proj"),
                heads * (config.qk_nope_head_dim + config.v_head_dim),
                kv_rank,
            )?,
            o: weight(format!("{attention}.o_proj"), hidden, heads * config.v_head_dim)?,
        },
        post_attention_norm: norm(format!("layers.{layer}.post_attention_layernorm"), hidden)?,
        mlp: if layer < config.first_k_dense_replace {
            Mlp::Dense(feed_forward(mlp, config.intermediate_size)?)
        } else {
            let intermediate = config.moe_intermediate_size;
            let shared = config.n_shared_experts * intermediate;
            let routed = (0..config.n_routed_experts)
                .map(|expert| feed_forward(format!("{mlp}.experts.{expert}"), intermediate));
            Mlp::Experts {
                shared: feed_forward(format!("{mlp}.shared_experts"), shared)?,
                routed: routed.collect::<Result<_>>()?,
            }
        },
    })
}
