//! Reading `.safetensors` files: every tensor by name, type and shape, or a message that says what is wrong.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use half::bf16;
use safetensors::{Dtype, SafeTensorError, SafeTensors};

use crate::matrix::Matrix;

/// Why the model could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} is not the configuration of a DeepSeek-V3: {source}")]
    Config { path: PathBuf, source: serde_json::Error },
    #[error("{path}: {what}")]
    Unsupported { path: PathBuf, what: String },
    #[error("{path} is damaged: {source}")]
    Damaged { path: PathBuf, source: SafeTensorError },
    #[error("{path} has no tensor {tensor}")]
    Missing { path: PathBuf, tensor: String },
    #[error("{path}: {tensor} has elements of type {actual}, not {expected}")]
    Type { path: PathBuf, tensor: String, actual: Dtype, expected: Dtype },
    #[error("{path}: {tensor} has the shape {actual:?}, not {expected:?}")]
    Shape { path: PathBuf, tensor: String, actual: Vec<usize>, expected: Vec<usize> },
    #[error("{path}: {tensor} has the value {value}, not one of 0..{limit}")]
    Index { path: PathBuf, tensor: String, value: i32, limit: usize },
}

pub type Result<T, E = LoadError> = std::result::Result<T, E>;

/// Reads a whole file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|source| LoadError::Read { path: path.into(), source })
}

/// The tensors of a file, checked for type and shape as they are taken out.
pub struct Tensors<'a> {
    path: &'a Path,
    tensors: SafeTensors<'a>,
}

impl<'a> Tensors<'a> {
    /// The tensors in the bytes of a file; `path` is for messages.
    pub fn parse(path: &'a Path, bytes: &'a [u8]) -> Result<Self> {
        let tensors = SafeTensors::deserialize(bytes);
        let tensors = tensors.map_err(|source| LoadError::Damaged { path: path.into(), source })?;
        Ok(Self { path, tensors })
    }

    pub fn contains(&self, tensor: &str) -> bool {
        self.tensors.tensor(tensor).is_ok()
    }

    /// The bytes of a tensor of this type and shape.
    pub fn bytes(&self, tensor: &str, expected: Dtype, shape: &[usize]) -> Result<&'a [u8]> {
        let (path, name) = (self.path.to_path_buf(), tensor.to_owned());
        let Ok(tensor) = self.tensors.tensor(tensor) else {
            return Err(LoadError::Missing { path, tensor: name });
        };
        if tensor.dtype() != expected {
            return Err(LoadError::Type { path, tensor: name, actual: tensor.dtype(), expected });
        }
        if tensor.shape() != shape {
            let (actual, expected) = (tensor.shape().to_vec(), shape.to_vec());
            return Err(LoadError::Shape { path, tensor: name, actual, expected });
        }
        Ok(tensor.data())
    }

    pub fn f32(&self, tensor: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let (elements, _) = self.bytes(tensor, Dtype::F32, shape)?.as_chunks();
        Ok(elements.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
    }

    pub fn f32_matrix(&self, tensor: &str, rows: usize, columns: usize) -> Result<Matrix> {
        let values = self.f32(tensor, &[rows, columns])?.into_iter().map(f64::from).collect();
        Ok(Matrix { rows, columns, values })
    }

    pub fn bf16(&self, tensor: &str, shape: &[usize]) -> Result<Vec<f64>> {
        let (elements, _) = self.bytes(tensor, Dtype::BF16, shape)?.as_chunks();
        Ok(elements.iter().map(|&bytes| bf16::from_le_bytes(bytes).to_f64()).collect())
    }

    /// Integers that have to be below `limit`.
    pub fn indices(&self, tensor: &str, shape: &[usize], limit: usize) -> Result<Vec<usize>> {
        let (elements, _) = self.bytes(tensor, Dtype::I32, shape)?.as_chunks();
        let index = |&bytes: &[u8; 4]| {
            let value = i32::from_le_bytes(bytes);
            let index = usize::try_from(value).ok().filter(|&index| index < limit);
            let (path, tensor) = (self.path.to_path_buf(), tensor.to_owned());
            index.ok_or(LoadError::Index { path, tensor, value, limit })
        };
        elements.iter().map(index).collect()
    }

    /// The length of a tensor of one dimension.
    pub fn length(&self, tensor: &str) -> Result<usize> {
        let path = || self.path.to_path_buf();
        match self.tensors.tensor(tensor).map(|found| found.shape().to_vec()).as_deref() {
            Ok(&[length]) => Ok(length),
            Ok(shape) => {
                let what = format!("{tensor} has the shape {shape:?}, where one dimension is expected");
                Err(LoadError::Unsupported { path: path(), what })
            }
            Err(_) => Err(LoadError::Missing { path: path(), tensor: tensor.into() }),
        }
    }
}
