//! Libraries: code that belongs to no context until it is used in one.
//!
//! A library keeps its image, and loads it as a module into each context that
//! uses one of its kernels. A `CUkernel` may stand wherever a `CUfunction` may.

use std::collections::HashMap;
use std::ffi::{CString, c_char, c_int, c_uint, c_void};
use std::path::Path;
use std::sync::Arc;

use super::arguments::{Out, Text};
use super::device::check_device;
use super::image::Image;
use super::state::{Handle, State};
use super::status::{Outcome, Status, refuse};
use super::{Driver, export};

/// A library.
#[derive(Debug)]
pub struct Library {
    image: Arc<Image>,
    /// The module of each context that uses it.
    pub modules: HashMap<Handle, Handle>,
}

/// A kernel of a library.
#[derive(Debug)]
pub struct LibraryKernel {
    library: Handle,
    name: CString,
}

impl State {
    /// The function that a handle names: one of a module, or a library's
    /// kernel in the current context.
    pub fn resolve(&self, handle: Handle) -> Outcome<Handle> {
        let Ok(kernel) = self.kernels.get(handle) else {
            return self.functions.get(handle).map(|_| handle);
        };
        let context = self.current()?;
        let module = self.libraries.get(kernel.library)?.modules.get(&context).copied();
        let found = self
            .functions
            .iter()
            .find(|(_, function)| Some(function.module) == module && function.name == kernel.name);
        match found {
            Some((function, _)) => Ok(function),
            None => refuse(Status::InvalidHandle, "the library is not loaded in this context"),
        }
    }
}

impl Driver {
    fn load_library(&'static self, out: Out<Handle>, image: Outcome<Image>) -> Outcome {
        out.check()?;
        let image = Arc::new(self.prepare(image?)?);
        let library = self.lock().libraries.insert(Library { image, modules: HashMap::new() });
        // Errors show here if they can, as the API has it.
        let current = self.lock().current();
        if let Err(failure) = current.map_or(Ok(0), |_| self.module_of(library)) {
            eprintln!("cuda-emulator: the library cannot be loaded: {}", failure.why);
            self.lock().libraries.remove(library)?;
            return Err(failure);
        }
        out.set(library)
    }

    /// The module that a library is in the current context.
    fn module_of(&'static self, library: Handle) -> Outcome<Handle> {
        let (context, image) = {
            let state = self.lock();
            let context = state.usable()?;
            let found = state.libraries.get(library)?;
            if let Some(&module) = found.modules.get(&context) {
                return Ok(module);
            }
            (context, found.image.clone())
        };
        let module = self.load(context, &image)?;
        let mut state = self.lock();
        state.libraries.get_mut(library)?.modules.insert(context, module);
        Ok(module)
    }

    /// The function that a library's kernel is in the current context.
    fn function_of(&'static self, kernel: Handle) -> Outcome<Handle> {
        let (library, name) = {
            let state = self.lock();
            let found = state.kernels.get(kernel)?;
            (found.library, found.name.clone())
        };
        let module = self.module_of(library)?;
        self.lock().function(module, &name.to_string_lossy())
    }
}

export! {
    |driver| fn cuLibraryLoadData(
        library: Out<Handle>,
        image: *const c_void,
        _options: *const c_void,
        _values: *const c_void,
        _count: c_uint,
        _library_options: *const c_void,
        _library_values: *const c_void,
        _library_count: c_uint,
    ) {
        // SAFETY: the caller gives an image.
        driver.load_library(library, unsafe { Image::from_pointer(image, &driver.settings) })
    }

    |driver| fn cuLibraryLoadFromFile(
        library: Out<Handle>,
        path: Text,
        _options: *const c_void,
        _values: *const c_void,
        _count: c_uint,
        _library_options: *const c_void,
        _library_values: *const c_void,
        _library_count: c_uint,
    ) {
        driver.load_library(library, Image::from_file(Path::new(path.get()?), &driver.settings))
    }

    |driver| fn cuLibraryUnload(library: Handle) {
        let mut state = driver.lock();
        let gone = state.libraries.remove(library)?;
        state.kernels.retain(|kernel| kernel.library != library);
        for (context, module) in gone.modules {
            let pending = state.last_of_context(context);
            state = driver.wait(state, pending);
            state.unload(module)?;
        }
        Ok(())
    }

    |driver| fn cuLibraryGetKernel(kernel: Out<Handle>, library: Handle, name: Text) {
        kernel.check()?;
        let name = name.get()?;
        let module = driver.module_of(library)?;
        let mut state = driver.lock();
        state.function(module, name)?;
        let name = CString::new(name).unwrap_or_default();
        let known = state.kernels.iter().find(|(_, k)| k.library == library && k.name == name);
        let known = known.map(|(handle, _)| handle);
        kernel.set(known.unwrap_or_else(|| state.kernels.insert(LibraryKernel { library, name })))
    }

    |driver| fn cuLibraryGetModule(module: Out<Handle>, library: Handle) {
        module.set(driver.module_of(library)?)
    }

    |driver| fn cuLibraryGetKernelCount(count: Out<c_uint>, library: Handle) {
        let module = driver.module_of(library)?;
        let state = driver.lock();
        count.set(state.modules.get(module)?.program.kernel_names().len() as c_uint)
    }

    |driver| fn cuLibraryGetGlobal(
        address: Out<u64>,
        bytes: Out<usize>,
        library: Handle,
        name: Text,
    ) {
        let module = driver.module_of(library)?;
        let (found, size) = driver.lock().global(module, name.get()?)?;
        address.set_if_wanted(found);
        bytes.set_if_wanted(size as usize);
        Ok(())
    }

    |driver| fn cuKernelGetFunction(function: Out<Handle>, kernel: Handle) {
        function.set(driver.function_of(kernel)?)
    }

    |driver| fn cuKernelGetLibrary(library: Out<Handle>, kernel: Handle) {
        library.set(driver.lock().kernels.get(kernel)?.library)
    }

    |driver| fn cuKernelGetName(name: Out<*const c_char>, kernel: Handle) {
        name.set(driver.lock().kernels.get(kernel)?.name.as_ptr())
    }

    |driver| fn cuKernelGetAttribute(
        value: Out<c_int>,
        number: c_uint,
        kernel: Handle,
        device: c_int,
    ) {
        check_device(&driver.lock(), device)?;
        let function = driver.function_of(kernel)?;
        value.set(driver.lock().get_attribute(function, number)?)
    }

    |driver| fn cuKernelSetAttribute(
        number: c_uint,
        value: c_int,
        kernel: Handle,
        device: c_int,
    ) {
        check_device(&driver.lock(), device)?;
        let function = driver.function_of(kernel)?;
        driver.lock().set_attribute(function, number, value)
    }

    |driver| fn cuKernelSetCacheConfig(kernel: Handle, _config: c_uint, device: c_int) {
        check_device(&driver.lock(), device)?;
        driver.function_of(kernel).map(drop)
    }

    |driver| fn cuKernelGetParamInfo(
        kernel: Handle,
        index: usize,
        offset: Out<usize>,
        size: Out<usize>,
    ) {
        let function = driver.function_of(kernel)?;
        let (at, bytes) = driver.lock().parameter(function, index)?;
        size.set_if_wanted(bytes);
        offset.set(at)
    }

    |driver| fn cuKernelGetParamCount(kernel: Handle, count: Out<usize>) {
        let function = driver.function_of(kernel)?;
        count.set(driver.lock().functions.get(function)?.kernel.params.len())
    }
}
