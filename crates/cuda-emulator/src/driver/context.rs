//! Contexts: the current one of each thread, and those of devices.

use std::cell::RefCell;
use std::ffi::{c_int, c_uint, c_ulonglong, c_void};
use std::mem::ManuallyDrop;
use std::sync::MutexGuard;

use super::arguments::Out;
use super::device::check_device;
use super::state::{Handle, State};
use super::status::{Outcome, Status, refuse, require};
use super::{Driver, export};

thread_local! {
    /// The contexts that this thread has pushed; the last is current. Never dropped: destructors of a thread's and a
    /// program's own variables call the driver when the thread's variables are gone.
    static STACK: ManuallyDrop<RefCell<Vec<Handle>>> = const { ManuallyDrop::new(RefCell::new(Vec::new())) };
}

fn stack<T>(f: impl FnOnce(&mut Vec<Handle>) -> T) -> T {
    STACK.with(|stack| f(&mut stack.borrow_mut()))
}

/// The handle on top of this thread's stack.
fn top() -> Option<Handle> {
    stack(|stack| stack.last().copied())
}

impl State {
    /// The current context, which must be alive.
    pub fn current(&self) -> Outcome<Handle> {
        let Some(context) = top() else {
            return refuse(Status::InvalidContext, "no context is current: call cuCtxSetCurrent first");
        };
        match self.context(context) {
            Ok(_) => Ok(context),
            Err(_) => refuse(Status::ContextIsDestroyed, "the current context was destroyed"),
        }
    }

    /// The current context, whose work must not have failed.
    pub fn usable(&self) -> Outcome<Handle> {
        let context = self.current()?;
        self.check_context(context)?;
        Ok(context)
    }

    /// The device of the current context.
    pub fn current_device(&self) -> Outcome<usize> {
        Ok(self.context(self.current()?)?.device)
    }
}

impl Driver {
    /// Ends a context's work and drops what it owns.
    fn drain<'a>(&'a self, state: MutexGuard<'a, State>, context: Handle) -> MutexGuard<'a, State> {
        let pending = state.last_of_context(context);
        let mut state = self.wait(state, pending);
        state.clear_context(context);
        state
    }

    fn create(&'static self, out: Out<Handle>, flags: c_uint, device: c_int) -> Outcome {
        out.check()?;
        let mut state = self.lock();
        let device = check_device(&state, device)?;
        let context = state.create_context(device, flags);
        stack(|stack| stack.push(context));
        out.set(context)
    }

    /// Waits for all work of a context.
    fn synchronise(&'static self, context: Handle) -> Outcome {
        let mut state = self.lock();
        state.check_context(context)?;
        state.forbid_in_capture()?;
        let pending = state.last_of_context(context);
        let state = self.wait(state, pending);
        state.check_context(context).map(drop)
    }
}

/// Default values of `CUlimit` 0 to 6; `None` for what does not exist.
fn default_limit(limit: c_uint) -> Option<usize> {
    [1024, 1 << 20, 8 << 20, 0, 2048, 128, 0].get(limit as usize).copied()
}

export! {
    |driver| fn cuDevicePrimaryCtxRetain(context: Out<Handle>, device: c_int) {
        context.check()?;
        let mut state = driver.lock();
        let device = check_device(&state, device)?;
        let primary = &state.primaries[device];
        let handle = match primary.context {
            Some(handle) => handle,
            None => {
                let flags = primary.flags;
                state.create_context(device, flags)
            }
        };
        let primary = &mut state.primaries[device];
        primary.context = Some(handle);
        primary.retained += 1;
        context.set(handle)
    }

    |driver| fn cuDevicePrimaryCtxRelease_v2(device: c_int) {
        let mut state = driver.lock();
        let device = check_device(&state, device)?;
        let primary = &mut state.primaries[device];
        let Some(context) = primary.context.filter(|_| primary.retained > 0) else {
            return refuse(Status::InvalidContext, "the primary context is not retained");
        };
        primary.retained -= 1;
        if primary.retained == 0 {
            primary.context = None;
            let mut state = driver.drain(state, context);
            state.contexts.remove(context)?;
        }
        Ok(())
    }

    |driver| fn cuDevicePrimaryCtxReset_v2(device: c_int) {
        let mut state = driver.lock();
        let device = check_device(&state, device)?;
        if let Some(context) = state.primaries[device].context {
            // What is queued is dropped with its streams, but a kernel that
            // runs has to end first.
            state.fail(context, Status::ContextIsDestroyed);
            let mut state = driver.drain(state, context);
            let fresh = state.create_context(device, 0);
            let fresh = state.contexts.remove(fresh)?;
            let legacy = fresh.legacy;
            *state.context_mut(context)? = fresh;
            state.streams.get_mut(legacy)?.context = context;
        }
        Ok(())
    }

    |driver| fn cuDevicePrimaryCtxSetFlags_v2(device: c_int, flags: c_uint) {
        let mut state = driver.lock();
        let device = check_device(&state, device)?;
        state.primaries[device].flags = flags;
        Ok(())
    }

    |driver| fn cuDevicePrimaryCtxGetState(device: c_int, flags: Out<c_uint>, active: Out<c_int>) {
        let state = driver.lock();
        let primary = &state.primaries[check_device(&state, device)?];
        flags.set_if_wanted(primary.flags);
        active.set(primary.context.is_some().into())
    }

    |driver| fn cuCtxCreate_v2(context: Out<Handle>, flags: c_uint, device: c_int) {
        driver.create(context, flags, device)
    }

    |driver| fn cuCtxCreate_v3(
        context: Out<Handle>,
        affinity: *const c_void,
        count: c_int,
        flags: c_uint,
        device: c_int,
    ) {
        require(affinity.is_null() && count == 0, Status::UnsupportedExecAffinity, String::new)?;
        driver.create(context, flags, device)
    }

    |driver| fn cuCtxCreate_v4(
        context: Out<Handle>,
        parameters: *const c_void,
        flags: c_uint,
        device: c_int,
    ) {
        require(parameters.is_null(), Status::NotSupported, || {
            "contexts with execution affinity or graphics are not emulated".into()
        })?;
        driver.create(context, flags, device)
    }

    |driver| fn cuCtxDestroy_v2(context: Handle) {
        let state = driver.lock();
        state.context(context)?;
        let primary = state.primaries.iter().any(|primary| primary.context == Some(context));
        require(!primary, Status::InvalidContext, || {
            "a primary context is released, not destroyed".into()
        })?;
        let mut state = driver.drain(state, context);
        state.contexts.remove(context)?;
        stack(|stack| if stack.last() == Some(&context) { stack.pop(); });
        Ok(())
    }

    |driver| fn cuCtxSetCurrent(context: Handle) {
        if context != 0 {
            driver.lock().context(context)?;
        }
        stack(|stack| {
            stack.pop();
            if context != 0 {
                stack.push(context);
            }
        });
        Ok(())
    }

    |_| fn cuCtxGetCurrent(context: Out<Handle>) {
        context.set(top().unwrap_or(0))
    }

    |driver| fn cuCtxPushCurrent_v2(context: Handle) {
        driver.lock().context(context)?;
        stack(|stack| stack.push(context));
        Ok(())
    }

    |_| fn cuCtxPopCurrent_v2(context: Out<Handle>) {
        match stack(Vec::pop) {
            Some(popped) => {
                context.set_if_wanted(popped);
                Ok(())
            }
            None => refuse(Status::InvalidContext, "no context is current"),
        }
    }

    |driver| fn cuCtxGetDevice(device: Out<c_int>) {
        device.set(driver.lock().current_device()? as c_int)
    }

    |driver| fn cuCtxGetDevice_v2(device: Out<c_int>, context: Handle) {
        let state = driver.lock();
        let context = if context == 0 { state.current()? } else { context };
        device.set(state.context(context)?.device as c_int)
    }

    |driver| fn cuCtxSynchronize() {
        let context = driver.lock().usable()?;
        driver.synchronise(context)
    }

    |driver| fn cuCtxSynchronize_v2(context: Handle) {
        let context = if context == 0 { driver.lock().usable()? } else { context };
        driver.synchronise(context)
    }

    |driver| fn cuCtxGetFlags(flags: Out<c_uint>) {
        let state = driver.lock();
        flags.set(state.context(state.current()?)?.flags)
    }

    |driver| fn cuCtxSetFlags(flags: c_uint) {
        let mut state = driver.lock();
        let context = state.usable()?;
        state.context_mut(context)?.flags = flags;
        Ok(())
    }

    |driver| fn cuCtxGetId(context: Handle, id: Out<c_ulonglong>) {
        let state = driver.lock();
        let context = if context == 0 { state.current()? } else { context };
        state.context(context)?;
        id.set(context)
    }

    |driver| fn cuCtxGetApiVersion(context: Handle, version: Out<c_uint>) {
        let state = driver.lock();
        let context = if context == 0 { state.current()? } else { context };
        state.context(context)?;
        version.set(3020)
    }

    |driver| fn cuCtxGetLimit(value: Out<usize>, limit: c_uint) {
        let state = driver.lock();
        let Some(default) = default_limit(limit) else {
            return refuse(Status::UnsupportedLimit, format!("there is no limit {limit}"));
        };
        value.set(state.context(state.current()?)?.limits.get(&limit).copied().unwrap_or(default))
    }

    |driver| fn cuCtxSetLimit(limit: c_uint, value: usize) {
        let mut state = driver.lock();
        let context = state.usable()?;
        require(default_limit(limit).is_some(), Status::UnsupportedLimit, || {
            format!("there is no limit {limit}")
        })?;
        state.context_mut(context)?.limits.insert(limit, value);
        Ok(())
    }

    |driver| fn cuCtxGetCacheConfig(config: Out<c_uint>) {
        let state = driver.lock();
        config.set(state.context(state.current()?)?.cache_config)
    }

    |driver| fn cuCtxSetCacheConfig(config: c_uint) {
        let mut state = driver.lock();
        let context = state.usable()?;
        require(config <= 3, Status::InvalidValue, || format!("there is no cache configuration {config}"))?;
        state.context_mut(context)?.cache_config = config;
        Ok(())
    }

    |driver| fn cuCtxGetStreamPriorityRange(least: Out<c_int>, greatest: Out<c_int>) {
        driver.lock().current()?;
        least.set_if_wanted(0);
        greatest.set_if_wanted(super::stream::GREATEST_PRIORITY);
        Ok(())
    }

    |driver| fn cuCtxResetPersistingL2Cache() {
        driver.lock().usable().map(drop)
    }

    |driver| fn cuCtxEnablePeerAccess(peer: Handle, flags: c_uint) {
        let mut state = driver.lock();
        let context = state.usable()?;
        require(flags == 0, Status::InvalidValue, || "the flags must be 0".into())?;
        let (own, other) = (state.context(context)?.device, state.context(peer)?.device);
        require(own != other, Status::InvalidDevice, || "a device is no peer of itself".into())?;
        let news = state.context_mut(context)?.peers.insert(peer);
        require(news, Status::PeerAccessAlreadyEnabled, String::new)?;
        state.memory.set_peer(own, other, true);
        Ok(())
    }

    |driver| fn cuCtxDisablePeerAccess(peer: Handle) {
        let mut state = driver.lock();
        let context = state.usable()?;
        let (own, other) = (state.context(context)?.device, state.context(peer)?.device);
        let known = state.context_mut(context)?.peers.remove(&peer);
        require(known, Status::PeerAccessNotEnabled, String::new)?;
        state.memory.set_peer(own, other, false);
        Ok(())
    }
}
