//! Entry points by name: how the CUDA runtime and language bindings find the
//! functions of a driver of unknown version.

use std::ffi::{CString, c_int, c_ulonglong, c_void};
use std::sync::OnceLock;

use super::arguments::{Out, Text};
use super::export;
use super::status::{Outcome, Status, refuse};

/// Functions that changed after CUDA 3.2: the version of the API from which a
/// name means a newer symbol, newest first. Older changes are always in force.
const CHANGES: &[(&str, &[(c_int, &str)])] = &[
    ("cuCtxCreate", &[(12050, "cuCtxCreate_v4"), (11040, "cuCtxCreate_v3"), (0, "cuCtxCreate_v2")]),
    ("cuCtxGetDevice", &[(13000, "cuCtxGetDevice_v2")]),
    ("cuCtxSynchronize", &[(13000, "cuCtxSynchronize_v2")]),
    ("cuDeviceGetUuid", &[(11040, "cuDeviceGetUuid_v2")]),
    ("cuEventElapsedTime", &[(12080, "cuEventElapsedTime_v2")]),
    ("cuGetProcAddress", &[(12000, "cuGetProcAddress_v2")]),
    ("cuGraphInstantiate", &[(12000, "cuGraphInstantiateWithFlags"), (0, "cuGraphInstantiate_v2")]),
    ("cuLaunchHostFunc", &[(13020, "cuLaunchHostFunc_v2")]),
    ("cuMemAdvise", &[(12020, "cuMemAdvise_v2")]),
    ("cuMemPrefetchAsync", &[(12020, "cuMemPrefetchAsync_v2")]),
    ("cuStreamGetCaptureInfo", &[(12030, "cuStreamGetCaptureInfo_v3"), (11030, "cuStreamGetCaptureInfo_v2")]),
];

/// The symbol that `name` means to a program written for `version`.
fn find(name: &str, version: c_int) -> Option<*mut c_void> {
    if let Some((_, newer)) = CHANGES.iter().find(|(changed, _)| *changed == name) {
        let symbol = newer.iter().find(|(since, _)| version >= *since).map_or(name, |(_, symbol)| symbol);
        return exported(symbol);
    }
    exported(&format!("{name}_v2")).or_else(|| exported(name))
}

/// The address of a symbol of this library.
fn exported(symbol: &str) -> Option<*mut c_void> {
    let symbol = CString::new(symbol).ok()?;
    // SAFETY: the handle is this library's, the name is terminated.
    let address = unsafe { libc::dlsym(library()? as *mut c_void, symbol.as_ptr()) };
    (!address.is_null()).then_some(address)
}

/// A handle on the library that this code is in.
fn library() -> Option<usize> {
    static HANDLE: OnceLock<Option<usize>> = OnceLock::new();
    *HANDLE.get_or_init(|| {
        let mut info = std::mem::MaybeUninit::<libc::Dl_info>::uninit();
        // SAFETY: any address may be asked for; the place has room.
        let found = unsafe { libc::dladdr(library as *const c_void, info.as_mut_ptr()) };
        if found == 0 {
            return None;
        }
        // SAFETY: filled in, since the address was found; its name is terminated.
        let handle =
            unsafe { libc::dlopen(info.assume_init().dli_fname, libc::RTLD_NOLOAD | libc::RTLD_NOW) };
        (!handle.is_null()).then_some(handle as usize)
    })
}

/// `CUdriverProcAddressQueryResult`.
const FOUND: c_int = 0;
const NOT_FOUND: c_int = 1;
const VERSION_NOT_SUFFICIENT: c_int = 2;

fn get(name: &str, function: Out<*mut c_void>, version: c_int) -> Outcome<c_int> {
    if let Some(address) = find(name, version) {
        function.set(address)?;
        return Ok(FOUND);
    }
    function.set(std::ptr::null_mut())?;
    Ok(if find(name, c_int::MAX).is_some() { VERSION_NOT_SUFFICIENT } else { NOT_FOUND })
}

#[unsafe(no_mangle)]
#[allow(non_snake_case)]
pub extern "C" fn cuGetProcAddress(
    name: Text,
    function: Out<*mut c_void>,
    version: c_int,
    _flags: c_ulonglong,
) -> Status {
    super::guard("cuGetProcAddress", || match get(name.get()?, function, version)? {
        FOUND => Ok(()),
        _ => refuse(Status::NotFound, format!("there is no {}", name.get()?)),
    })
}

#[unsafe(no_mangle)]
#[allow(non_snake_case)]
pub extern "C" fn cuGetProcAddress_v2(
    name: Text,
    function: Out<*mut c_void>,
    version: c_int,
    _flags: c_ulonglong,
    result: Out<c_int>,
) -> Status {
    super::guard("cuGetProcAddress", || match get(name.get()?, function, version)? {
        found if result.set_if_wanted(found) || found == FOUND => Ok(()),
        _ => refuse(Status::NotFound, format!("there is no {}", name.get()?)),
    })
}

export! {
    |_| fn cuGetExportTable(table: Out<*const c_void>, _id: *const c_void) {
        // Private tables of functions, which no public interface needs.
        table.set_if_wanted(std::ptr::null());
        Err(Status::NotFound.into())
    }
}
