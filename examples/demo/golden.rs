//! What another implementation computes from the same checkpoint in float32, without quantising activations.

use std::{ops::Range, path::Path};

use crate::{
    checkpoint::Config,
    layer::Part,
    matrix::Matrix,
    tensors::{LoadError, Result, Tensors, read},
};

/// The golden values of all prompts, their tokens batched: one row a token.
#[derive(Debug, Clone)]
pub struct Golden {
    pub tokens: Vec<usize>,
    /// The rows of each prompt.
    pub prompts: Vec<Range<usize>>,
    pub layers: Vec<GoldenLayer>,
}

/// What a layer and its two parts put out.
#[derive(Debug, Clone)]
pub struct GoldenLayer {
    pub self_attn: Matrix,
    pub mlp: Matrix,
    pub output: Matrix,
    /// Of each expert: the rows that chose it, with its weight there. Empty for a dense layer.
    pub routes: Vec<Vec<(usize, f64)>>,
}

impl GoldenLayer {
    /// What a part of the layer puts out.
    pub fn part(&self, part: Part) -> &Matrix {
        match part {
            Part::SelfAttn => &self.self_attn,
            Part::Mlp => &self.mlp,
        }
    }
}

impl Golden {
    /// Reads `golden.safetensors`.
    pub fn read(folder: &Path, config: &Config) -> Result<Self> {
        let path = folder.join("golden.safetensors");
        let bytes = read(&path)?;
        let tensors = Tensors::parse(&path, &bytes)?;

        let mut golden = Self { tokens: Vec::new(), prompts: Vec::new(), layers: Vec::new() };
        // The first has to be there.
        while golden.prompts.is_empty() || tensors.contains(&ids(golden.prompts.len())) {
            let name = ids(golden.prompts.len());
            let start = golden.tokens.len();
            golden.tokens.extend(tensors.indices(&name, &[tensors.length(&name)?], config.vocab_size)?);
            golden.prompts.push(start..golden.tokens.len());
        }
        if golden.tokens.is_empty() {
            return Err(LoadError::Unsupported { path, what: "the prompts are empty".into() });
        }
        for layer in 0..config.num_hidden_layers {
            golden.layers.push(golden.read_layer(&tensors, config, layer)?);
        }
        Ok(golden)
    }

    /// The most rows that any projection takes.
    pub fn max_rows(&self) -> usize {
        let routes = self.layers.iter().flat_map(|layer| &layer.routes);
        routes.map(Vec::len).max().unwrap_or(0).max(self.tokens.len())
    }

    fn read_layer(&self, tensors: &Tensors<'_>, config: &Config, layer: usize) -> Result<GoldenLayer> {
        let hidden = config.hidden_size;
        let batched = |part: &str| {
            let mut values = Vec::with_capacity(self.tokens.len() * hidden);
            for (prompt, rows) in self.prompts.iter().enumerate() {
                let name = format!("{prompt}.prefill.layers.{layer}{part}");
                values.extend(tensors.f32_matrix(&name, rows.len(), hidden)?.values);
            }
            Ok(Matrix { rows: self.tokens.len(), columns: hidden, values })
        };
        let routes = if layer < config.first_k_dense_replace {
            Vec::new()
        } else {
            self.read_routes(tensors, config, layer)?
        };
        Ok(GoldenLayer {
            self_attn: batched(".self_attn")?,
            mlp: batched(".mlp")?,
            output: batched("")?,
            routes,
        })
    }

    fn read_routes(
        &self,
        tensors: &Tensors<'_>,
        config: &Config,
        layer: usize,
    ) -> Result<Vec<Vec<(usize, f64)>>> {
        let chosen = config.num_experts_per_tok;
        let mut routes = vec![Vec::new(); config.n_routed_experts];
        for (prompt, rows) in self.prompts.iter().enumerate() {
            let name = format!("{prompt}.prefill.layers.{layer}");
            let shape = [rows.len(), chosen];
            let experts =
                tensors.indices(&format!("{name}.topk_indices"), &shape, config.n_routed_experts)?;
            let weights = tensors.f32_matrix(&format!("{name}.topk_weights"), shape[0], shape[1])?;
            for (i, (&expert, &weight)) in experts.iter().zip(&weights.values).enumerate() {
                routes[expert].push((rows.start + i / chosen, weight));
            }
        }
        Ok(routes)
    }
}

fn ids(prompt: usize) -> String {
    format!("{prompt}.input_ids")
}
