//! Kernels as programs see them: what they need, and what they were allowed.

use std::ffi::{CString, c_int, c_uint};
use std::sync::Arc;

use super::arguments::Out;
use super::device::{REGISTERS_PER_SM, SHARED_PER_BLOCK, SHARED_PER_BLOCK_OPTIN, THREADS_PER_BLOCK};
use super::export;
use super::state::{Handle, State};
use super::status::{Outcome, Status, refuse, require};
use crate::code::Kernel;
use crate::fatbin::Resources;

/// A kernel of a loaded module.
#[derive(Clone)]
pub struct Function {
    pub context: Handle,
    pub module: Handle,
    pub kernel: Arc<Kernel>,
    /// The kernel's name, for C.
    pub name: CString,
    /// Registers of a thread: what ptxas gave it, else an estimate.
    pub registers: u32,
    local_bytes: u32,
    /// The most dynamic shared memory that a launch may ask for.
    pub max_dynamic_shared: u32,
    /// Clusters of more than 8 blocks are allowed.
    pub large_clusters: bool,
    carveout: c_int,
}

impl Function {
    pub fn new(context: Handle, module: Handle, kernel: Arc<Kernel>, known: Option<Resources>) -> Self {
        // Without machine code: the rows that the compact form needs, within
        // what a block of the kernel's size can have.
        let [narrow, wide, _] = kernel.rows;
        let most = REGISTERS_PER_SM / kernel.max_threads.unwrap_or(THREADS_PER_BLOCK).max(1);
        let estimate = (narrow + 2 * wide + 8).clamp(16, 255).min(most as usize & !7) as u32;
        let known = known.unwrap_or(Resources { registers: estimate, stack: kernel.local_bytes });
        Function {
            context,
            module,
            name: CString::new(kernel.name.as_str()).unwrap_or_default(),
            registers: known.registers,
            local_bytes: known.stack,
            max_dynamic_shared: SHARED_PER_BLOCK.saturating_sub(kernel.static_shared),
            large_clusters: false,
            carveout: -1,
            kernel,
        }
    }

    /// The most threads that a block of this kernel can have.
    pub fn max_threads(&self) -> u32 {
        // Registers are handed to warps in units of 256.
        let per_warp = (self.registers * 32).next_multiple_of(256).max(256);
        let by_registers = REGISTERS_PER_SM / per_warp * 32;
        self.kernel.max_threads.unwrap_or(THREADS_PER_BLOCK).min(by_registers)
    }

    /// Where dynamic shared memory starts: after the static, aligned.
    pub fn before_dynamic_shared(&self) -> u32 {
        self.kernel.shared_bytes(1) - 1
    }

    /// The value of a `CUfunction_attribute`.
    fn attribute(&self, number: c_uint) -> Outcome<c_int> {
        let cluster = |axis: usize| self.kernel.cluster.map_or(0, |extents| extents[axis]);
        let value = match number {
            0 => self.max_threads(),
            1 => self.kernel.static_shared,
            2 => 0, // constants live in global memory
            3 => self.local_bytes,
            4 => self.registers,
            5 | 6 => 90, // PTX and binary version
            7 => 0,
            8 => self.max_dynamic_shared,
            9 => return Ok(self.carveout),
            10 => self.kernel.cluster.is_some().into(),
            11..=13 => cluster(number as usize - 11),
            14 => self.large_clusters.into(),
            15 => 0,
            _ => return refuse(Status::InvalidValue, format!("there is no function attribute {number}")),
        };
        Ok(value as c_int)
    }

    fn set_attribute(&mut self, number: c_uint, value: c_int) -> Outcome {
        match number {
            8 => {
                let most = SHARED_PER_BLOCK_OPTIN.saturating_sub(self.before_dynamic_shared());
                let wanted = u32::try_from(value).unwrap_or(u32::MAX);
                require(wanted <= most, Status::InvalidValue, || {
                    format!("{value} bytes of dynamic shared memory, where {most} are left of a block's")
                })?;
                self.max_dynamic_shared = wanted;
            }
            9 => {
                require((-1..=100).contains(&value), Status::InvalidValue, || {
                    format!("a carveout of {value} %")
                })?;
                self.carveout = value;
            }
            14 => self.large_clusters = value != 0,
            15 => {
                require((0..=2).contains(&value), Status::InvalidValue, || format!("cluster policy {value}"))?
            }
            _ => return refuse(Status::InvalidValue, format!("function attribute {number} cannot be set")),
        }
        Ok(())
    }
}

impl State {
    /// Offset and size of a kernel's parameter.
    pub fn parameter(&self, function: Handle, index: usize) -> Outcome<(usize, usize)> {
        let function = self.functions.get(self.resolve(function)?)?;
        match function.kernel.params.get(index) {
            Some(parameter) => Ok((parameter.offset as usize, parameter.size as usize)),
            None => refuse(Status::InvalidValue, format!("the kernel has no parameter {index}")),
        }
    }

    pub fn get_attribute(&self, function: Handle, number: c_uint) -> Outcome<c_int> {
        self.functions.get(self.resolve(function)?)?.attribute(number)
    }

    pub fn set_attribute(&mut self, function: Handle, number: c_uint, value: c_int) -> Outcome {
        let function = self.resolve(function)?;
        self.functions.get_mut(function)?.set_attribute(number, value)
    }
}

export! {
    |driver| fn cuFuncGetAttribute(value: Out<c_int>, number: c_uint, function: Handle) {
        value.set(driver.lock().get_attribute(function, number)?)
    }

    |driver| fn cuFuncSetAttribute(function: Handle, number: c_uint, value: c_int) {
        driver.lock().set_attribute(function, number, value)
    }

    |driver| fn cuFuncSetCacheConfig(function: Handle, config: c_uint) {
        require(config <= 3, Status::InvalidValue, || format!("there is no cache configuration {config}"))?;
        let state = driver.lock();
        state.resolve(function).map(drop)
    }

    |driver| fn cuFuncSetSharedMemConfig(function: Handle, _config: c_uint) {
        let state = driver.lock();
        state.resolve(function).map(drop)
    }

    |driver| fn cuFuncGetParamInfo(
        function: Handle,
        index: usize,
        offset: Out<usize>,
        size: Out<usize>,
    ) {
        let (at, bytes) = driver.lock().parameter(function, index)?;
        size.set_if_wanted(bytes);
        offset.set(at)
    }

    |driver| fn cuFuncGetParamCount(function: Handle, count: Out<usize>) {
        let state = driver.lock();
        let function = state.resolve(function)?;
        count.set(state.functions.get(function)?.kernel.params.len())
    }

    |driver| fn cuFuncIsLoaded(loading: Out<c_uint>, function: Handle) {
        let state = driver.lock();
        state.resolve(function)?;
        loading.set(1)
    }

    |driver| fn cuFuncLoad(function: Handle) {
        let state = driver.lock();
        state.resolve(function).map(drop)
    }
}
