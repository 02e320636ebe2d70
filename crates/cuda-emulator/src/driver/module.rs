//! Modules: code and variables loaded into a context.

use std::collections::HashMap;
use std::ffi::{c_char, c_uint, c_void};
use std::path::Path;

use super::arguments::{In, Out, Text};
use super::function::Function;
use super::image::Image;
use super::state::{Handle, State};
use super::status::{Failure, Outcome, Status, refuse};
use super::{Driver, export};
use crate::code::{Program, size_of};
use crate::fatbin::Resources;
use crate::memory::RegionKind;
use crate::ptx::ast::Space;

/// A loaded module.
pub struct Module {
    pub context: Handle,
    pub program: Program,
    resources: HashMap<String, Resources>,
    /// Handles given out, by kernel name: the same each time.
    functions: HashMap<String, Handle>,
}

impl State {
    /// The handle of a module's kernel.
    pub fn function(&mut self, module: Handle, name: &str) -> Outcome<Handle> {
        let found = self.modules.get(module)?;
        if let Some(&function) = found.functions.get(name) {
            return Ok(function);
        }
        let Some(kernel) = found.program.kernel(name) else {
            return refuse(Status::NotFound, format!("the module has no kernel {name}"));
        };
        let resources = found.resources.get(name).copied();
        let function = Function::new(found.context, module, kernel, resources);
        let function = self.functions.insert(function);
        self.modules.get_mut(module)?.functions.insert(name.to_owned(), function);
        Ok(function)
    }

    /// Address and size of a module's variable.
    pub fn global(&self, module: Handle, name: &str) -> Outcome<(u64, u64)> {
        let variables = &self.modules.get(module)?.program.variables;
        match variables.iter().find(|variable| variable.name == name) {
            Some(variable) => Ok((variable.address, variable.size)),
            None => refuse(Status::NotFound, format!("the module has no variable {name}")),
        }
    }

    /// Unloads a module whose kernels have ended.
    pub fn unload(&mut self, module: Handle) -> Outcome {
        let gone = self.modules.remove(module)?;
        for variable in &gone.program.variables {
            self.timeline.ledger.forget(variable.address, variable.size);
            let freed = self.memory.free(variable.address);
            debug_assert!(freed.is_ok(), "a variable without memory: {freed:?}");
        }
        self.functions.retain(|function| function.module != module);
        Ok(())
    }
}

impl Driver {
    /// Loads an image into a context. The lock is free while code is decoded.
    pub fn load(&'static self, context: Handle, image: &Image) -> Outcome<Handle> {
        let device = self.lock().check_context(context)?.device;
        let mut placed = Vec::new();
        let mut refused = None;
        let loaded = Program::load(&image.ptx, &mut |variable| {
            let kind = if variable.space == Space::Const { RegionKind::Constant } else { RegionKind::Global };
            // A variable of no size still has an address of its own.
            match self.lock().memory.alloc(device, size_of(variable).max(1), kind) {
                Ok(address) => {
                    placed.push(address);
                    address
                }
                Err(error) => {
                    refused = Some(Failure::from(error));
                    0
                }
            }
        });
        let mut state = self.lock();
        let failure = match (loaded, refused) {
            (Ok(program), None) => {
                for (address, bytes) in &program.images {
                    // SAFETY: a slice of that length.
                    unsafe { state.memory.write(*address, bytes.as_ptr(), bytes.len() as u64)? };
                }
                let resources = image.resources.clone();
                let module = Module { context, program, resources, functions: HashMap::new() };
                return Ok(state.modules.insert(module));
            }
            (_, Some(failure)) => failure,
            (Err(error), None) => Failure { status: Status::InvalidPtx, why: error.to_string() },
        };
        for address in placed {
            state.memory.free(address)?;
        }
        Err(failure)
    }

    /// Loads an image that a program hands over into the current context.
    pub fn load_module(&'static self, out: Out<Handle>, image: Outcome<Image>) -> Outcome {
        out.check()?;
        let context = {
            let mut state = self.lock();
            state.forbid_in_capture()?;
            state.usable()?
        };
        let loaded = image.and_then(|image| self.prepare(image)).and_then(|image| self.load(context, &image));
        if let Err(failure) = &loaded
            && !failure.why.is_empty()
        {
            eprintln!("cuda-emulator: the module cannot be loaded: {}", failure.why);
        }
        out.set(loaded?)
    }

    /// Applies what the environment says about modules.
    pub fn prepare(&'static self, image: Image) -> Outcome<Image> {
        let image = image.substitute(&self.settings)?;
        image.dump(&self.settings);
        Ok(image)
    }
}

/// `CUjit_option`s that the emulator answers.
const ERROR_LOG_BUFFER: c_uint = 5;
const ERROR_LOG_BUFFER_BYTES: c_uint = 6;

/// Writes why a module was refused into the buffer given for it.
fn write_log(count: c_uint, options: In<c_uint>, values: In<*mut c_void>, why: &str) -> Outcome {
    let (mut buffer, mut room) = (None, 0);
    for i in 0..count as usize {
        match options.at(i)? {
            ERROR_LOG_BUFFER => buffer = Some(values.at(i)?.cast::<u8>()),
            ERROR_LOG_BUFFER_BYTES => room = values.at(i)? as usize,
            _ => {}
        }
    }
    if let Some(buffer) = buffer.filter(|buffer| !buffer.is_null() && room > 0) {
        let kept = why.len().min(room - 1);
        // SAFETY: the program gives a buffer of `room` bytes.
        unsafe {
            buffer.copy_from(why.as_ptr(), kept);
            buffer.add(kept).write(0);
        }
    }
    Ok(())
}

export! {
    |driver| fn cuModuleLoad(module: Out<Handle>, path: Text) {
        driver.load_module(module, Image::from_file(Path::new(path.get()?), &driver.settings))
    }

    |driver| fn cuModuleLoadData(module: Out<Handle>, image: *const c_void) {
        // SAFETY: the caller gives an image.
        driver.load_module(module, unsafe { Image::from_pointer(image, &driver.settings) })
    }

    |driver| fn cuModuleLoadDataEx(
        module: Out<Handle>,
        image: *const c_void,
        count: c_uint,
        options: In<c_uint>,
        values: In<*mut c_void>,
    ) {
        // SAFETY: the caller gives an image.
        let loaded = driver.load_module(module, unsafe { Image::from_pointer(image, &driver.settings) });
        if let Err(failure) = &loaded {
            write_log(count, options, values, &failure.why)?;
        }
        loaded
    }

    |driver| fn cuModuleLoadFatBinary(module: Out<Handle>, image: *const c_void) {
        // SAFETY: the caller gives an image.
        driver.load_module(module, unsafe { Image::from_pointer(image, &driver.settings) })
    }

    |driver| fn cuModuleUnload(module: Handle) {
        let mut state = driver.lock();
        state.forbid_in_capture()?;
        let context = state.modules.get(module)?.context;
        let pending = state.last_of_context(context);
        let mut state = driver.wait(state, pending);
        state.unload(module)?;
        state.check_context(context).map(drop)
    }

    |driver| fn cuModuleGetFunction(function: Out<Handle>, module: Handle, name: Text) {
        function.check()?;
        let mut state = driver.lock();
        state.usable()?;
        function.set(state.function(module, name.get()?)?)
    }

    |driver| fn cuModuleGetFunctionCount(count: Out<c_uint>, module: Handle) {
        let state = driver.lock();
        count.set(state.modules.get(module)?.program.kernel_names().len() as c_uint)
    }

    |driver| fn cuModuleEnumerateFunctions(functions: Out<Handle>, room: c_uint, module: Handle) {
        let mut state = driver.lock();
        let names = state.modules.get(module)?.program.kernel_names();
        let names: Vec<String> = names.into_iter().take(room as usize).map(str::to_owned).collect();
        let handles: Outcome<Vec<Handle>> = names.iter().map(|name| state.function(module, name)).collect();
        functions.set_all(handles?)
    }

    |driver| fn cuModuleGetGlobal_v2(
        address: Out<u64>,
        bytes: Out<usize>,
        module: Handle,
        name: Text,
    ) {
        let state = driver.lock();
        state.usable()?;
        let (found, size) = state.global(module, name.get()?)?;
        address.set_if_wanted(found);
        bytes.set_if_wanted(size as usize);
        Ok(())
    }

    |_| fn cuModuleGetLoadingMode(mode: Out<c_uint>) {
        mode.set(1) // eager
    }

    |driver| fn cuFuncGetModule(module: Out<Handle>, function: Handle) {
        let state = driver.lock();
        module.set(state.functions.get(function)?.module)
    }

    |driver| fn cuFuncGetName(name: Out<*const c_char>, function: Handle) {
        let state = driver.lock();
        let function = state.resolve(function)?;
        name.set(state.functions.get(function)?.name.as_ptr())
    }
}
