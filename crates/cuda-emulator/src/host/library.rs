//! Finding the shared library, and loading it as the process's CUDA driver.
//!
//! The library's SONAME is `libcuda.so.1`, so that whoever opens that name
//! afterwards gets it. Some programs open `libcuda.so` first, which on a machine
//! with a real driver would be the real one: that name is taken by a library
//! without contents that depends on `libcuda.so.1` (see [`super::name`]).

use std::env;
use std::ffi::{c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use libloading::os::unix::{Library as Handle, RTLD_GLOBAL, RTLD_NOW};

use super::{InstallError, name};

const FILE: &str = "libcuda_emulator.so";

/// The names by which programs open the driver.
const DRIVER_NAMES: [&str; 2] = ["libcuda.so.1", "libcuda.so"];

/// Takes an answer in JSON.
pub type Sink = extern "C" fn(*mut c_void, *const u8, usize);

/// The functions through which the library is asked.
pub struct Library {
    pub findings: extern "C" fn(c_int, Sink, *mut c_void) -> u32,
    pub settle: extern "C" fn() -> u32,
    pub schedule: extern "C" fn(*mut u64, *mut u32) -> u32,
    pub set_seed: extern "C" fn(u64) -> u32,
    pub set_threads: extern "C" fn(u32) -> u32,
    pub set_exact: extern "C" fn(c_int) -> u32,
    pub set_judges: extern "C" fn(c_int) -> u32,
    pub require_defined: extern "C" fn(u64, u64, Sink, *mut c_void) -> u32,
    pub reset: extern "C" fn() -> u32,
    pub last_launch: extern "C" fn(Sink, *mut c_void) -> u32,
    pub read: extern "C" fn(u64, *mut u8, u64) -> u32,
}

static INSTALLED: OnceLock<Library> = OnceLock::new();

impl Library {
    /// The library, if it is installed in this process.
    pub fn installed() -> Option<&'static Library> {
        INSTALLED.get()
    }

    /// Looks up the functions, after making sure that they are the ones meant.
    fn resolve(handle: &Handle) -> Result<Self, String> {
        let found = version(handle).ok_or("it is not the emulator")?;
        let expected = crate::CONTROL_VERSION;
        if found != expected {
            return Err(format!("its interface has version {found}, not {expected}"));
        }
        macro_rules! get {
            ($name:literal) => {
                // SAFETY: the version says that the function has this type.
                *unsafe { handle.get($name) }.map_err(|error| error.to_string())?
            };
        }
        Ok(Library {
            findings: get!(b"cudaEmulatorFindings\0"),
            settle: get!(b"cudaEmulatorSettle\0"),
            schedule: get!(b"cudaEmulatorSchedule\0"),
            set_seed: get!(b"cudaEmulatorSetSeed\0"),
            set_threads: get!(b"cudaEmulatorSetThreads\0"),
            set_exact: get!(b"cudaEmulatorSetExact\0"),
            set_judges: get!(b"cudaEmulatorSetJudges\0"),
            require_defined: get!(b"cudaEmulatorRequireDefined\0"),
            reset: get!(b"cudaEmulatorReset\0"),
            last_launch: get!(b"cudaEmulatorLastLaunch\0"),
            read: get!(b"cudaEmulatorRead\0"),
        })
    }
}

/// The version of the emulator's interface that a library has; `None` for
/// another library.
pub(super) fn version(handle: &Handle) -> Option<u32> {
    // SAFETY: a symbol of this name is this function.
    let function = unsafe { handle.get::<extern "C" fn() -> u32>(b"cudaEmulatorVersion\0") }.ok()?;
    Some(function())
}

/// A library that the process has loaded under a name already.
pub(super) fn loaded(name: &str) -> Option<Handle> {
    // SAFETY: nothing is loaded, so nothing runs.
    unsafe { Handle::open(Some(name), RTLD_NOW | libc::RTLD_NOLOAD) }.ok()
}

/// Makes the emulator the CUDA driver of this process, from the first call of
/// CUDA on. Calling it again does nothing.
pub fn install() -> Result<(), InstallError> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    if Library::installed().is_some() {
        return Ok(());
    }
    // From outside, the emulator may be the process's driver already.
    let mut present = DRIVER_NAMES.iter().filter_map(|name| loaded(name));
    let (handle, path) = match present.next() {
        Some(handle) if version(&handle).is_some() => (handle, PathBuf::from(DRIVER_NAMES[0])),
        Some(_) => return Err(InstallError::DriverLoaded),
        None => open()?,
    };
    let unusable = |problem| InstallError::Unusable { path, problem };
    let resolved = Library::resolve(&handle).and_then(|library| take_names().map(|()| library));
    let library = resolved.map_err(unusable)?;
    // The driver stays until the process ends.
    std::mem::forget(handle);
    INSTALLED.get_or_init(|| library);
    Ok(())
}

/// Where the library may be: where `CUDA_EMULATOR_LIBRARY` says, or where cargo
/// puts it: beside test binaries, in `deps` beside programs, one folder up for
/// examples.
fn candidates() -> Vec<PathBuf> {
    if let Some(path) = env::var_os("CUDA_EMULATOR_LIBRARY") {
        return vec![path.into()];
    }
    let Ok(program) = env::current_exe() else { return Vec::new() };
    let Some(folder) = program.parent() else { return Vec::new() };
    [folder.join("deps"), folder.join("../deps"), folder.to_owned(), folder.join("..")]
        .map(|folder| folder.join(FILE))
        .to_vec()
}

/// Loads the library from where it is.
fn open() -> Result<(Handle, PathBuf), InstallError> {
    let candidates = candidates();
    let found = candidates.iter().find(|path| path.is_file());
    // Documentation tests lie elsewhere, but cargo gives them a search path;
    // who names a path means no other.
    let elsewhere = match candidates.as_slice() {
        [named] => named.as_path(),
        _ => Path::new(FILE),
    };
    let path = found.map_or(elsewhere, PathBuf::as_path);
    // SAFETY: the library runs no code on being loaded.
    match unsafe { Handle::open(Some(path), RTLD_NOW | RTLD_GLOBAL) } {
        Ok(handle) => Ok((handle, path.to_owned())),
        Err(_) if found.is_none() => Err(InstallError::NotFound(
            candidates.iter().filter_map(|path| path.parent()).map(Path::to_owned).collect(),
        )),
        Err(error) => Err(InstallError::Unusable { path: path.to_owned(), problem: error.to_string() }),
    }
}

/// Makes sure that both names of the driver mean the emulator from now on.
fn take_names() -> Result<(), String> {
    if loaded("libcuda.so").is_none() {
        name::take("libcuda.so", "libcuda.so.1").map_err(|error| error.to_string())?;
    }
    for name in DRIVER_NAMES {
        if loaded(name).as_ref().and_then(version).is_none() {
            return Err(format!("{name} still means another driver"));
        }
    }
    Ok(())
}
