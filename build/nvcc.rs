//! Finds nvcc.

use std::{
    env, fmt,
    path::{Path, PathBuf},
    process::Command,
};

/// The oldest CUDA whose nvcc is accepted. (scripts/toolchain.sh has the same.)
const OLDEST: (u32, u32) = (12, 8);

/// An nvcc that is new enough.
pub struct Nvcc {
    pub path: PathBuf,
    /// All that `nvcc --version` prints: it identifies the compiler in the cache.
    pub version: String,
}

/// Why there is no nvcc: those that were found are too old.
pub struct Missing {
    too_old: Vec<String>,
}

impl Nvcc {
    /// Looks in `NVCC`, `PATH`, `CUDA_HOME`, `CUDA_PATH`, `/usr/local/cuda`, then in `.toolchain/`, and
    /// passes over what is too old. One that `NVCC` names is the only candidate.
    pub fn find(toolchain: &Path) -> Result<Result<Nvcc, Missing>, String> {
        if let Some(path) = env::var_os("NVCC").filter(|value| !value.is_empty()) {
            let path = PathBuf::from(path);
            return match version(&path) {
                Some((number, version)) if number >= OLDEST => Ok(Ok(Nvcc { path, version })),
                Some(((major, minor), _)) => Err(format!(
                    "NVCC={} is of CUDA {major}.{minor}; {}.{} or later is needed",
                    path.display(),
                    OLDEST.0,
                    OLDEST.1
                )),
                None => Err(format!("NVCC={} does not run as nvcc", path.display())),
            };
        }

        let on_path = env::var_os("PATH").unwrap_or_default();
        let candidates = env::split_paths(&on_path)
            .map(|folder| folder.join("nvcc"))
            .chain(
                ["CUDA_HOME", "CUDA_PATH"]
                    .into_iter()
                    .filter_map(env::var_os)
                    .map(|home| Path::new(&home).join("bin/nvcc")),
            )
            .chain([PathBuf::from("/usr/local/cuda/bin/nvcc"), Nvcc::in_toolchain(toolchain)]);

        let mut too_old = Vec::new();
        for path in candidates.filter(|path| path.is_file()) {
            match version(&path) {
                Some((number, version)) if number >= OLDEST => {
                    return Ok(Ok(Nvcc { path, version }));
                }
                Some(((major, minor), _)) => {
                    too_old.push(format!("{} is of CUDA {major}.{minor}", path.display()));
                }
                None => {}
            }
        }
        Ok(Err(Missing { too_old }))
    }

    /// Where scripts/toolchain.sh puts nvcc.
    pub fn in_toolchain(toolchain: &Path) -> PathBuf {
        toolchain.join("nvidia/cu13/bin/nvcc")
    }
}

/// The CUDA release, and all that `nvcc --version` prints.
fn version(nvcc: &Path) -> Option<((u32, u32), String)> {
    let output = Command::new(nvcc).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let release = text.split_once("release ")?.1.split(',').next()?;
    let (major, minor) = release.split_once('.')?;
    let number = (major.parse().ok()?, minor.trim().parse().ok()?);
    Some((number, text))
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "found no nvcc of CUDA {}.{} or later", OLDEST.0, OLDEST.1)?;
        match self.too_old.as_slice() {
            [] => Ok(()),
            found => write!(f, " ({})", found.join(", ")),
        }
    }
}
