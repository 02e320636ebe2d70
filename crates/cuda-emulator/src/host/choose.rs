//! The choice between a real driver and the emulator.

use std::ffi::{c_int, c_uint};
use std::fmt;
use std::path::Path;

use libloading::os::unix::{Library as Handle, RTLD_LAZY, RTLD_LOCAL};

use super::library::{self, Library};
use super::{InstallError, install};

/// The driver that the process uses. Prints as one line that says which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// The machine's own.
    Real {
        /// How many devices it has.
        devices: u32,
    },
    /// The emulator.
    Emulator,
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Driver::Real { devices: 1 } => write!(f, "device: real CUDA driver, 1 device"),
            Driver::Real { devices } => write!(f, "device: real CUDA driver, {devices} devices"),
            Driver::Emulator => write!(f, "device: cuda-emulator {}", env!("CARGO_PKG_VERSION")),
        }
    }
}

/// Sees to it that there is a driver before the first call of CUDA.
///
/// `request` is what the user asks for: `cuda` for the real driver, `emulator`,
/// or nothing: then the real one if it has a device, else the emulator.
pub fn choose(request: Option<&str>) -> Result<Driver, InstallError> {
    match request.filter(|request| !request.is_empty()) {
        Some("emulator") => install().map(|()| Driver::Emulator),
        Some("cuda") => real().map_err(InstallError::NoRealDriver),
        Some(other) => Err(InstallError::UnknownRequest(other.to_owned())),
        None if Library::installed().is_none() && has_device_node() => match real() {
            Ok(driver) => Ok(driver),
            Err(_) => install().map(|()| Driver::Emulator),
        },
        None => install().map(|()| Driver::Emulator),
    }
}

/// Whether the system shows a device. It is asked before the real driver is
/// loaded, since a driver that is loaded cannot be replaced.
fn has_device_node() -> bool {
    let named = ["/dev/dxg", "/dev/nvhost-gpu"].iter().any(|path| Path::new(path).exists());
    named || (0..64).any(|minor| Path::new(&format!("/dev/nvidia{minor}")).exists())
}

/// Loads the real driver and counts its devices.
fn real() -> Result<Driver, String> {
    if Library::installed().is_some() {
        return Err("the emulator is installed in this process already".into());
    }
    // SAFETY: the driver's own initialisation is what any CUDA program runs.
    let handle = unsafe { Handle::open(Some("libcuda.so.1"), RTLD_LAZY | RTLD_LOCAL) }
        .map_err(|error| error.to_string())?;
    if library::version(&handle).is_some() {
        return Err("libcuda.so.1 is the emulator".into());
    }
    let count = count_devices(&handle)?;
    // Programs will want it loaded.
    std::mem::forget(handle);
    Ok(Driver::Real { devices: count })
}

fn count_devices(handle: &Handle) -> Result<u32, String> {
    // SAFETY: the types are those of the driver API.
    let (init, count) = unsafe {
        let init = handle.get::<unsafe extern "C" fn(c_uint) -> c_uint>(b"cuInit\0");
        let count = handle.get::<unsafe extern "C" fn(*mut c_int) -> c_uint>(b"cuDeviceGetCount\0");
        (init.map_err(|error| error.to_string())?, count.map_err(|error| error.to_string())?)
    };
    // SAFETY: called as the API asks.
    let status = unsafe { init(0) };
    if status != 0 {
        return Err(format!("cuInit returns {status}"));
    }
    let mut devices = 0;
    // SAFETY: the place is a local variable.
    let status = unsafe { count(&mut devices) };
    match u32::try_from(devices) {
        Ok(devices) if status == 0 && devices > 0 => Ok(devices),
        _ => Err(format!("it has no device (cuDeviceGetCount returns {status})")),
    }
}
