//! Files that are missing, damaged, or not what they should be are errors that say so.

use std::path::Path;

use super::{folder, load};
use crate::{
    checkpoint::{Checkpoint, Config},
    golden::Golden,
    tensors::{LoadError, read},
};

fn model_bytes() -> Vec<u8> {
    read(&folder().join("model.safetensors")).expect("the model is part of the repository")
}

fn parse(config: &Config, bytes: &[u8]) -> LoadError {
    Checkpoint::parse(config.clone(), Path::new("model"), bytes).expect_err("that is no checkpoint")
}

/// Replaces text in the header by text of the same length.
fn edited(from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = model_bytes();
    let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).expect("it is there");
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    bytes
}

#[test]
fn missing_files_are_named() {
    let nowhere = Path::new("/nowhere");
    let error = Checkpoint::read(nowhere).expect_err("nothing is there").to_string();
    assert!(error.starts_with("cannot read /nowhere/config.json: "), "{error}");
    let (model, _) = load();
    let error = Golden::read(nowhere, &model.config).expect_err("nothing is there").to_string();
    assert!(error.starts_with("cannot read /nowhere/golden.safetensors: "), "{error}");
}

#[test]
fn truncated_files_are_damaged() {
    let (model, _) = load();
    let bytes = model_bytes();
    for length in [0, 1, 7, 8, 9, 1000, bytes.len() / 2, bytes.len() - 1] {
        let error = parse(&model.config, &bytes[..length]);
        assert!(matches!(error, LoadError::Damaged { .. }), "{length} bytes: {error}");
    }
}

#[test]
fn tensors_have_to_be_there_with_their_type_and_shape() {
    let (model, _) = load();
    let config = &model.config;
    let error =
        parse(config, &edited("layers.2.self_attn.o_proj.weight\"", "layers.2.self_attn.p_proj.weight\""));
    assert!(
        matches!(error, LoadError::Missing { ref tensor, .. } if tensor.contains("layers.2.self_attn.o_proj"))
    );

    let error = parse(config, &edited("\"dtype\":\"F8_E4M3\"", "\"dtype\":\"F8_E5M2\""));
    let expected = "F8_E5M2, not F8_E4M3";
    assert!(matches!(error, LoadError::Type { .. }) && error.to_string().contains(expected), "{error}");

    let error = parse(&Config { hidden_size: 128, ..config.clone() }, &model_bytes());
    let expected = "model: model.embed_tokens.weight has the shape [256, 256], not [256, 128]";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn indices_have_to_exist() {
    let (model, _) = load();
    let config = Config { n_routed_experts: 3, ..model.config };
    let error = Golden::read(&folder(), &config).expect_err("there are 16 experts");
    assert!(matches!(error, LoadError::Index { limit: 3, .. }), "{error}");
}

#[test]
fn configurations_are_read_with_care() {
    let path = Path::new("config.json");
    let original = String::from_utf8(read(&folder().join(path)).expect("it is there")).expect("it is text");
    let error = |from: &str, to: &str| {
        assert!(original.contains(from), "{from}");
        let config = original.replace(from, to);
        Config::parse(path, config.as_bytes()).expect_err("that cannot be computed").to_string()
    };
    let expected = "config.json is not the configuration of a DeepSeek-V3: missing field `q_lora_rank`";
    assert!(error("q_lora_rank", "lora_rank").starts_with(expected));
    assert!(error("{", "[").starts_with("config.json is not the configuration of a DeepSeek-V3: "));
    assert_eq!(
        error("\"vocab_size\": 256", "\"vocab_size\": 0"),
        "config.json: vocab_size is 0, not one of 1..=2^20"
    );
    assert_eq!(
        error("\"qk_rope_head_dim\": 64", "\"qk_rope_head_dim\": 63"),
        "config.json: qk_rope_head_dim is 63, not even"
    );
    assert_eq!(error("\"mscale\": 1.0", "\"mscale\": 2.0"), "config.json: mscale and mscale_all_dim differ");
    assert!(error("128,\n", "64,\n").contains("weight_block_size is [64, 128], not 128x128"));
}
