//! Initialisation, version, and the names of errors.

use std::ffi::{c_char, c_int, c_uint};

use super::arguments::Out;
use super::status::{Outcome, Status, refuse, require};
use super::{Driver, error_names, export, guard};

/// The version of the API that is emulated: CUDA 13.0.
const VERSION: c_int = 13000;

/// Makes the driver ready; the first call of every program.
#[unsafe(no_mangle)]
#[allow(non_snake_case)]
pub extern "C" fn cuInit(flags: c_uint) -> Status {
    guard("cuInit", || {
        require(flags == 0, Status::InvalidValue, || "the flags of cuInit must be 0".into())?;
        Driver::initialise().map(drop)
    })
}

/// The version of the API, which can be asked for before `cuInit`.
#[unsafe(no_mangle)]
#[allow(non_snake_case)]
pub extern "C" fn cuDriverGetVersion(version: Out<c_int>) -> Status {
    guard("cuDriverGetVersion", || version.set(VERSION))
}

/// The name of a result code.
#[unsafe(no_mangle)]
#[allow(non_snake_case)]
pub extern "C" fn cuGetErrorName(code: c_uint, name: Out<*const c_char>) -> Status {
    guard("cuGetErrorName", || described(code, name, |(name, _)| name.as_ptr()))
}

/// What a result code means.
#[unsafe(no_mangle)]
#[allow(non_snake_case)]
pub extern "C" fn cuGetErrorString(code: c_uint, text: Out<*const c_char>) -> Status {
    guard("cuGetErrorString", || described(code, text, |(_, text)| text.as_ptr()))
}

type Described = (&'static std::ffi::CStr, &'static std::ffi::CStr);

fn described(code: c_uint, out: Out<*const c_char>, choose: impl Fn(Described) -> *const c_char) -> Outcome {
    match error_names::describe(code) {
        Some(described) => out.set(choose(described)),
        None => {
            out.set_if_wanted(std::ptr::null());
            refuse(Status::InvalidValue, format!("there is no result code {code}"))
        }
    }
}

export! {
    |_| fn cuProfilerStart() { Ok(()) }

    |_| fn cuProfilerStop() { Ok(()) }
}
