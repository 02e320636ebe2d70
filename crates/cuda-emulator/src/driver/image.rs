//! What a program hands over as a module: PTX text, or a fatbin that holds it.

use std::collections::HashMap;
use std::ffi::c_void;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::settings::Settings;
use super::status::{Failure, Outcome, Status, refuse};
use crate::fatbin::{self, FatbinError, Resources};

/// A module before it is loaded.
#[derive(Debug, Clone)]
pub struct Image {
    pub ptx: String,
    /// What ptxas made of each kernel, where the image has machine code too.
    pub resources: HashMap<String, Resources>,
}

impl From<FatbinError> for Failure {
    fn from(error: FatbinError) -> Self {
        let status = match error {
            FatbinError::Null => Status::InvalidValue,
            FatbinError::OnlyMachineCode | FatbinError::NoneFits { .. } => Status::NoBinaryForGpu,
            _ => Status::InvalidImage,
        };
        Failure { status, why: error.to_string() }
    }
}

impl Image {
    /// Reads what an API call points at.
    ///
    /// # Safety
    /// As for [`fatbin::bytes_at`].
    pub unsafe fn from_pointer(start: *const c_void, settings: &Settings) -> Outcome<Self> {
        // SAFETY: by contract.
        Self::from_bytes(unsafe { fatbin::bytes_at(start)? }, settings)
    }

    /// Reads a file.
    pub fn from_file(path: &Path, settings: &Settings) -> Outcome<Self> {
        match fs::read(path) {
            Ok(bytes) => Self::from_bytes(&bytes, settings),
            Err(error) => refuse(Status::FileNotFound, format!("{}: {error}", path.display())),
        }
    }

    /// The PTX that a GPU of the devices' capability would get, and what the machine
    /// code that it would run instead says of the kernels.
    fn from_bytes(bytes: &[u8], settings: &Settings) -> Outcome<Self> {
        let images = fatbin::images(bytes)?;
        let ptx = fatbin::select(&images, settings.capability)?.ptx()?;
        let resources = match fatbin::machine_code(&images, settings.capability) {
            Some(code) => fatbin::resources(&code.contents()?)?,
            None => HashMap::new(),
        };
        Ok(Image { ptx, resources })
    }

    /// Writes the text where `CUDA_EMULATOR_DUMP_PTX` says.
    pub fn dump(&self, settings: &Settings) {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let Some(folder) = &settings.dump_ptx else { return };
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("module-{number}.ptx"));
        let written = fs::create_dir_all(folder).and_then(|()| fs::write(&path, &self.ptx));
        if let Err(error) = written {
            eprintln!("cuda-emulator: {} cannot be written: {error}", path.display());
        }
    }

    /// What `CUDA_EMULATOR_SUBSTITUTE` puts in this image's place: the named
    /// file, if it has a kernel of the same name.
    pub fn substitute(self, settings: &Settings) -> Outcome<Self> {
        let Some(path) = &settings.substitute else { return Ok(self) };
        let other = Self::from_file(path, settings)?;
        let names = kernel_names(&other.ptx);
        match kernel_names(&self.ptx).iter().any(|name| names.contains(name)) {
            true => {
                eprintln!("cuda-emulator: a module is loaded from {}", path.display());
                // What ptxas made of the original tells the shape of the launch still.
                Ok(Image { resources: self.resources, ..other })
            }
            false => Ok(self),
        }
    }
}

fn kernel_names(ptx: &str) -> Vec<String> {
    let module = crate::ptx::parse(ptx).unwrap_or_default();
    module.functions.into_iter().filter(|f| f.is_entry).map(|f| f.name).collect()
}
