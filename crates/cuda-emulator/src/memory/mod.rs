//! The memory that kernels can see: bounds, lifetime and definedness of every
//! allocation.
//!
//! Device memory lies in one arena of reserved address space, with
//! a shadow byte for each data byte; host memory that kernels may use (pinned,
//! managed, registered) has a shadow of its own. Both appear to the machine
//! as [`Region`]s in an [`AddressMap`], an immutable snapshot that a launch
//! holds while it runs, so that a lookup takes no lock.
//!
//! A shadow byte says which bits of its data byte are defined: 0 none, 0xFF
//! all. Anonymous pages read as zero, so fresh memory is undefined for free,
//! and an allocation costs only the pages that are touched.

mod arena;
mod device;
mod map;

pub use device::DeviceMemory;
pub use map::{AddressMap, Region, RegionKind};

/// Why an operation on device memory was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    /// The device's memory is used up.
    #[error("out of memory: {requested} bytes requested, {free} free")]
    OutOfMemory {
        /// Bytes asked for.
        requested: u64,
        /// Bytes that the device has left.
        free: u64,
    },
    /// The operating system gave no address space.
    #[error("the operating system refused {bytes} bytes of address space: error {code}")]
    System {
        /// Bytes asked for.
        bytes: u64,
        /// `errno`.
        code: i32,
    },
    /// Not the start of a live allocation.
    #[error("{address:#x} is not the start of a live allocation")]
    NotAnAllocation {
        /// The address.
        address: u64,
    },
    /// A range that is not inside one live allocation.
    #[error("{bytes} bytes at {address:#x} are not inside one live allocation")]
    OutOfBounds {
        /// Where the range starts.
        address: u64,
        /// Its length.
        bytes: u64,
    },
    /// Host memory that is registered or pinned already.
    #[error("{bytes} bytes at {address:#x} overlap memory that is registered already")]
    AlreadyRegistered {
        /// Where the range starts.
        address: u64,
        /// Its length.
        bytes: u64,
    },
}
