//! Every object that a handle can name.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::ThreadId;
use std::time::Instant;

use super::capture::{Capture, Graph};
use super::function::Function;
use super::library::{Library, LibraryKernel};
use super::module::Module;
use super::queue::{Kind, Stream, Ticket};
use super::settings::Settings;
use super::status::{Failure, Outcome, Status, refuse};
use super::timeline::Timeline;
use crate::counters::LastLaunch;
use crate::memory::DeviceMemory;
use crate::numeric::tensor_core::Arithmetic;
use crate::verdict::Finding;

/// A handle as programs see it. Its high bits say what it names and make it
/// an address that nobody can dereference.
pub type Handle = u64;

/// Objects of one type by handle. A handle is never given out twice.
pub struct Table<T> {
    what: &'static str,
    tag: u64,
    next: u64,
    entries: BTreeMap<Handle, T>,
}

fn unknown(what: &str, handle: Handle) -> Failure {
    Failure { status: Status::InvalidHandle, why: format!("{handle:#x} is no live {what}") }
}

impl<T> Table<T> {
    fn new(what: &'static str, tag: u64) -> Self {
        Table { what, tag, next: 1, entries: BTreeMap::new() }
    }

    pub fn insert(&mut self, value: T) -> Handle {
        let handle = 0xC0DE_0000_0000_0000 | (self.tag << 40) | (self.next << 4);
        self.next += 1;
        self.entries.insert(handle, value);
        handle
    }

    pub fn get(&self, handle: Handle) -> Outcome<&T> {
        self.entries.get(&handle).ok_or_else(|| unknown(self.what, handle))
    }

    pub fn get_mut(&mut self, handle: Handle) -> Outcome<&mut T> {
        let what = self.what;
        self.entries.get_mut(&handle).ok_or_else(|| unknown(what, handle))
    }

    pub fn remove(&mut self, handle: Handle) -> Outcome<T> {
        self.entries.remove(&handle).ok_or_else(|| unknown(self.what, handle))
    }

    pub fn iter(&self) -> impl Iterator<Item = (Handle, &T)> {
        self.entries.iter().map(|(&handle, value)| (handle, value))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Handle, &mut T)> {
        self.entries.iter_mut().map(|(&handle, value)| (handle, value))
    }

    pub fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.entries.retain(|_, value| keep(value));
    }
}

/// A context: one user of a device, with its own memory, streams and errors.
#[derive(Debug)]
pub struct Context {
    pub device: usize,
    /// The first fault of its work; every later call returns it.
    pub error: Option<Status>,
    pub flags: u32,
    pub cache_config: u32,
    /// `CUlimit` to value, where the program has set one.
    pub limits: HashMap<u32, usize>,
    /// The default stream.
    pub legacy: Handle,
    /// The default streams of threads that use one of their own.
    pub per_thread: HashMap<ThreadId, Handle>,
    /// The last launch that ended well.
    pub last_launch: Option<LastLaunch>,
    /// Contexts whose memory this one may use.
    pub peers: BTreeSet<Handle>,
}

/// A device's primary context, shared by all that retain it.
#[derive(Debug, Default)]
pub struct Primary {
    pub context: Option<Handle>,
    pub retained: u32,
    pub flags: u32,
}

/// What an event was last recorded on.
#[derive(Debug, Clone, PartialEq)]
pub enum Recorded {
    Never,
    Queued(Ticket),
    Captured { capture: Handle, tail: Vec<usize> },
}

/// An event.
#[derive(Debug)]
pub struct Event {
    pub context: Handle,
    pub timing: bool,
    pub recorded: Recorded,
    /// When the device passed it.
    pub time: Option<Instant>,
}

/// Memory that a program has allocated, by its address.
#[derive(Debug)]
pub struct Allocation {
    pub context: Handle,
    pub how: How,
    /// Given back by a queued operation already.
    pub freeing: bool,
}

/// Which call made an allocation, hence which may free it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    Device,
    Pool(Handle),
    Managed,
    Pinned { flags: u32 },
    Registered { flags: u32 },
}

/// A memory pool: bookkeeping over the device's memory.
#[derive(Debug)]
pub struct Pool {
    pub device: usize,
    /// The device's own, which nobody may destroy.
    pub default: bool,
    /// `CUmemPool_attribute` to value, where the program has set one.
    pub attributes: HashMap<u32, u64>,
    pub used: u64,
    pub used_high: u64,
}

/// The state of the driver.
pub struct State {
    pub memory: DeviceMemory,
    pub allocations: BTreeMap<u64, Allocation>,
    pub contexts: Table<Context>,
    pub primaries: Vec<Primary>,
    pub streams: Table<Stream>,
    pub events: Table<Event>,
    pub modules: Table<Module>,
    pub functions: Table<Function>,
    pub libraries: Table<Library>,
    pub kernels: Table<LibraryKernel>,
    pub captures: Table<Capture>,
    pub graphs: Table<Graph>,
    pub execs: Table<Arc<Graph>>,
    pub pools: Table<Pool>,
    /// For each device its own pool, and the one that allocations use.
    pub device_pools: Vec<[Handle; 2]>,
    /// What has been found wrong, until somebody takes it.
    pub findings: Vec<Finding>,
    /// Where they are told as JSON.
    pub json: Option<PathBuf>,
    pub seed: u64,
    /// Of the host, for a launch; or 0.
    pub threads: usize,
    /// How tensor cores add.
    pub arithmetic: Arithmetic,
    pub eager: bool,
    /// Are accesses held against each other?
    pub judges: bool,
    /// What comes before what.
    pub timeline: Timeline,
}

impl State {
    pub fn new(settings: &Settings) -> Outcome<Self> {
        let mut pools = Table::new("memory pool", 8);
        let device_pools = (0..settings.devices).map(|device| {
            let pool = Pool { device, default: true, attributes: HashMap::new(), used: 0, used_high: 0 };
            [pools.insert(pool); 2]
        });
        let device_pools = device_pools.collect();
        Ok(State {
            memory: DeviceMemory::new(settings.devices, settings.memory)?,
            allocations: BTreeMap::new(),
            contexts: Table::new("context", 1),
            primaries: (0..settings.devices).map(|_| Primary::default()).collect(),
            streams: Table::new("stream", 2),
            events: Table::new("event", 3),
            modules: Table::new("module", 9),
            functions: Table::new("function", 10),
            libraries: Table::new("library", 11),
            kernels: Table::new("kernel", 12),
            captures: Table::new("capture", 4),
            graphs: Table::new("graph", 5),
            execs: Table::new("executable graph", 6),
            pools,
            device_pools,
            findings: Vec::new(),
            json: settings.json.clone(),
            seed: settings.seed,
            threads: settings.threads,
            arithmetic: settings.arithmetic,
            eager: settings.eager,
            judges: settings.judges,
            timeline: Timeline::default(),
        })
    }

    /// The context, unless it was destroyed or never was.
    pub fn context(&self, context: Handle) -> Outcome<&Context> {
        self.contexts.get(context).or_else(|failure| refuse(Status::InvalidContext, failure.why))
    }

    /// The context, to be changed.
    pub fn context_mut(&mut self, context: Handle) -> Outcome<&mut Context> {
        self.contexts.get_mut(context).or_else(|failure| refuse(Status::InvalidContext, failure.why))
    }

    /// Refuses whatever needs a context whose work has failed.
    pub fn check_context(&self, context: Handle) -> Outcome<&Context> {
        let found = self.context(context)?;
        match found.error {
            Some(status) => refuse(status, "earlier work of this context failed"),
            None => Ok(found),
        }
    }

    /// Makes a context with its default stream.
    pub fn create_context(&mut self, device: usize, flags: u32) -> Handle {
        let context = self.contexts.insert(Context {
            device,
            error: None,
            flags,
            cache_config: 0,
            limits: HashMap::new(),
            legacy: 0,
            per_thread: HashMap::new(),
            last_launch: None,
            peers: BTreeSet::new(),
        });
        let legacy = self.streams.insert(Stream::new(context, device, Kind::Legacy, 0));
        if let Ok(made) = self.contexts.get_mut(context) {
            made.legacy = legacy;
        }
        context
    }

    /// Drops everything that belongs to a context, whose work has ended or is
    /// abandoned; the context itself stays.
    pub fn clear_context(&mut self, context: Handle) {
        let mine = |allocation: &Allocation| allocation.context == context;
        let addresses: Vec<u64> =
            self.allocations.iter().filter(|(_, a)| mine(a)).map(|(&address, _)| address).collect();
        for address in addresses {
            self.release(address);
        }
        let modules = self.modules.iter().filter(|(_, module)| module.context == context);
        for module in modules.map(|(module, _)| module).collect::<Vec<_>>() {
            let unloaded = self.unload(module);
            debug_assert!(unloaded.is_ok());
        }
        for (_, library) in self.libraries.iter_mut() {
            library.modules.remove(&context);
        }
        self.streams.retain(|stream| stream.context != context);
        self.events.retain(|event| event.context != context);
        self.captures.retain(|capture| capture.context != context);
    }

    /// Gives an allocation's memory back.
    pub fn release(&mut self, address: u64) {
        let Some(allocation) = self.allocations.remove(&address) else { return };
        if let (How::Pool(pool), Some(region)) = (allocation.how, self.memory.find(address))
            && let Ok(pool) = self.pools.get_mut(pool)
        {
            pool.used -= region.len;
        }
        if let Some(region) = self.memory.find(address) {
            self.timeline.ledger.forget(region.base, region.len);
        }
        let freed = self.memory.free(address);
        debug_assert!(freed.is_ok(), "an allocation without memory: {freed:?}");
    }
}
