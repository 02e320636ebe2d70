//! The demo notices every scale that is wrong, and says what is wrong with files.

mod files;
mod scales;
mod simulation;

use std::path::{Path, PathBuf};

use crate::{checkpoint::Checkpoint, golden::Golden};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/devil-v3")
}

fn load() -> (Checkpoint, Golden) {
    let model = Checkpoint::read(&folder()).expect("the model is part of the repository");
    let golden = Golden::read(&folder(), &model.config).expect("so are its golden values");
    (model, golden)
}
