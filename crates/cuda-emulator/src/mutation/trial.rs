//! A program that is run with other kernels than its own, to see whether it notices.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// A program that exits with success where it is content with its results.
#[derive(Debug, Clone)]
pub struct Trial {
    /// The program, and its arguments.
    pub command: Vec<OsString>,
    /// What it finds in its environment besides.
    pub environment: Vec<(OsString, OsString)>,
    /// How many orders of blocks and warps it is run in, `CUDA_EMULATOR_SEED` 0 and up, until it notices something.
    pub seeds: u64,
    /// A run that has not ended by then never does.
    pub limit: Duration,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nobody noticed anything.
    Passed,
    /// The emulator found something: its kind.
    Found(String),
    /// The program was not content.
    Failed,
    /// It did not end.
    Endless,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("nothing"),
            Self::Found(kind) => f.write_str(kind),
            Self::Failed => f.write_str("a wrong result"),
            Self::Endless => f.write_str("no end"),
        }
    }
}

/// Why a trial says nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrialError {
    /// The system refuses something.
    #[error("{what}: {error}")]
    System {
        /// What was tried.
        what: String,
        /// What the system says.
        error: io::Error,
    },
    /// The other kernels are no program.
    #[error("what was to be run instead is no program: {0}")]
    NoProgram(String),
    /// The program does not load the kernels in question.
    #[error("the program loads no module with these kernels onto the emulator")]
    NotLoaded,
}

impl Trial {
    /// Runs the program with the kernels of this PTX in place of its own.
    ///
    /// # Errors
    /// Where nothing can be said, because the kernels have not run.
    pub fn run(&self, ptx: &str) -> Result<Outcome, TrialError> {
        let folder = Folder::new()?;
        let file = folder.path.join("kernels.ptx");
        fs::write(&file, ptx).map_err(|error| system(&file, error))?;
        for seed in 0..self.seeds.max(1) {
            let variables = [
                ("CUDA_EMULATOR_SUBSTITUTE", file.clone().into_os_string()),
                ("CUDA_EMULATOR_SEED", seed.to_string().into()),
                // So that it does the same on every machine.
                ("CUDA_EMULATOR_THREADS", "1".into()),
            ];
            let (status, said) = self.start(&folder, &variables)?;
            if let Some((_, why)) = said.split_once(NO_MODULE) {
                return Err(TrialError::NoProgram(why.lines().next().unwrap_or_default().to_owned()));
            }
            let ended = match (found(&said), status) {
                (Some(kind), _) => return Ok(Outcome::Found(kind.to_owned())),
                (None, None) => return Ok(Outcome::Endless),
                (None, Some(status)) => status,
            };
            if !said.contains(LOADED) {
                return Err(TrialError::NotLoaded);
            }
            if !ended.success() {
                return Ok(Outcome::Failed);
            }
        }
        Ok(Outcome::Passed)
    }

    /// The PTX of the modules that the program loads.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn modules(&self) -> Result<Vec<String>, TrialError> {
        let folder = Folder::new()?;
        self.start(&folder, &[("CUDA_EMULATOR_DUMP_PTX", folder.path.clone().into_os_string())])?;
        let mut modules = Vec::new();
        for number in 0.. {
            let file = folder.path.join(format!("module-{number}.ptx"));
            match fs::read_to_string(&file) {
                Ok(text) => modules.push(text),
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(system(&file, error)),
            }
        }
        Ok(modules)
    }

    /// One run: how it ended, if it did, and what it wrote to stderr.
    fn start(
        &self,
        folder: &Folder,
        variables: &[(&str, OsString)],
    ) -> Result<(Option<ExitStatus>, String), TrialError> {
        let log = folder.path.join("stderr");
        let stderr = File::create(&log).map_err(|error| system(&log, error))?;
        let (program, arguments) = self.command.split_first().ok_or(TrialError::NotLoaded)?;
        let refused = |error| system(Path::new(program), error);
        let mut child = Command::new(program)
            .args(arguments)
            // Nobody reads it, and it takes long to make.
            .env("RUST_BACKTRACE", "0")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .map_err(refused)?;
        let started = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().map_err(refused)? {
                break Some(status);
            }
            if started.elapsed() > self.limit {
                child.kill().and_then(|()| child.wait()).map_err(refused)?;
                break None;
            }
            thread::sleep(Duration::from_millis(5));
        };
        let said = fs::read(&log).map_err(|error| system(&log, error))?;
        Ok((status, String::from_utf8_lossy(&said).into_owned()))
    }
}

/// What the driver writes to stderr where it takes another module, and where it refuses one.
const LOADED: &str = "cuda-emulator: a module is loaded from ";
const NO_MODULE: &str = "cuda-emulator: the module cannot be loaded: ";

/// The kind of the first finding.
fn found(said: &str) -> Option<&str> {
    said.split_once("cuda-emulator: error[")?.1.split(']').next()
}

fn system(path: &Path, error: io::Error) -> TrialError {
    TrialError::System { what: path.display().to_string(), error }
}

/// A folder that nobody else uses, for as long as this lives.
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn new() -> Result<Self, TrialError> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("cuda-emulator-trial-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).map_err(|error| system(&path, error))?;
        Ok(Self { path })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}
