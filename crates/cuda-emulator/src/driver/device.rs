//! Devices and their properties: one H100-class device, as often as asked for.

use std::ffi::{c_char, c_int, c_uint, c_void};

use super::arguments::{Out, Text};
use super::export;
use super::state::{Handle, State};
use super::status::{Outcome, Status, refuse, require};

/// What a program sees as the device's name.
fn name((major, minor): (u32, u32)) -> String {
    let suffix = if (major, minor) == (9, 0) { "a" } else { "" };
    format!("cuda-emulator (sm_{major}{minor}{suffix})")
}

/// Streaming multiprocessors.
pub use crate::machine::MULTIPROCESSORS;
/// Threads of one block.
pub const THREADS_PER_BLOCK: u32 = 1024;
/// Threads resident on one multiprocessor.
pub const THREADS_PER_SM: u32 = 2048;
/// Blocks resident on one multiprocessor.
pub const BLOCKS_PER_SM: u32 = 32;
/// Registers of one multiprocessor, and of one block.
pub const REGISTERS_PER_SM: u32 = 65536;
/// Shared memory of one multiprocessor.
pub const SHARED_PER_SM: u32 = 228 << 10;
/// Shared memory of one block, without asking.
pub const SHARED_PER_BLOCK: u32 = 48 << 10;
/// Shared memory of one block, when asked for.
pub const SHARED_PER_BLOCK_OPTIN: u32 = 227 << 10;
/// Shared memory that the system takes of each block.
pub const SHARED_RESERVED: u32 = 1 << 10;
/// The longest extents of a grid.
pub const MAX_GRID: [u32; 3] = [0x7FFF_FFFF, 65535, 65535];
/// The longest extents of a block.
pub const MAX_BLOCK: [u32; 3] = [1024, 1024, 64];

/// The ordinal as an index.
pub fn check_device(state: &State, device: c_int) -> Outcome<usize> {
    match usize::try_from(device) {
        Ok(index) if index < state.primaries.len() => Ok(index),
        _ => refuse(Status::InvalidDevice, format!("there is no device {device}")),
    }
}

/// The value of a `CUdevice_attribute`; `None` for a number that is none.
fn attribute(attribute: c_uint, device: usize, capability: (u32, u32)) -> Option<c_int> {
    // What came with Hopper: clusters, memory synchronisation domains, tensor maps.
    let hopper = u32::from(capability >= (9, 0));
    let value = match attribute {
        1 => THREADS_PER_BLOCK,
        2..=4 => MAX_BLOCK[attribute as usize - 2],
        5..=7 => MAX_GRID[attribute as usize - 5],
        8 => SHARED_PER_BLOCK,
        9 => 64 << 10,               // constant memory
        10 => 32,                    // warp size
        11 => 0x7FFF_FFFF,           // pitch
        12 | 82 => REGISTERS_PER_SM, // per block, per multiprocessor
        13 => 1_980_000,             // clock, kHz
        14 => 512,                   // texture alignment
        15 => 1,                     // overlap of copies and kernels
        16 => MULTIPROCESSORS,
        17 => 0,                 // no limit on run time
        18 => 0,                 // not integrated
        19 => 1,                 // maps host memory
        20 => 0,                 // default compute mode
        30 => 512,               // surface alignment
        31 => 1,                 // concurrent kernels
        32 => 1,                 // ECC
        33 => device as u32 + 1, // PCI bus
        34 => 0,                 // PCI device
        35 => 0,                 // TCC
        36 => 2_619_000,         // memory clock, kHz
        37 => 5120,              // memory bus, bits
        38 => 50 << 20,          // L2
        39 => THREADS_PER_SM,
        40 => 3,  // copy engines
        41 => 1,  // unified addressing
        50 => 0,  // PCI domain
        51 => 32, // texture pitch alignment
        75 => capability.0,
        76 => capability.1,
        78 => 1,      // stream priorities
        79 | 80 => 1, // L1 caches global and local memory
        81 => SHARED_PER_SM,
        83 => 1, // managed memory
        84 => 0, // not a multi-GPU board
        85 => device as u32,
        86 => 0,                  // native atomics over the link
        87 => 2,                  // single to double rate
        88 => 0,                  // pageable memory is not accessible
        89 => 1,                  // concurrent managed access
        90 => 1,                  // preemption
        91 => 1,                  // registered memory at its own address
        92..=94 | 122 | 123 => 0, // stream memory operations
        95 => 1,                  // cooperative launch
        96 => 0,
        97 => SHARED_PER_BLOCK_OPTIN,
        98 => 1,
        99 => 1, // host registration
        100 | 101 => 0,
        102..=105 => 0, // virtual address management
        106 => BLOCKS_PER_SM,
        107 => 0,
        108 => 0, // persisting L2
        109 => 0,
        110 => 0,
        111 => SHARED_RESERVED,
        112..=114 => 0,
        115 => 1, // memory pools
        116..=119 => 0,
        120 => hopper, // cluster launch
        121 => 0,
        124 | 125 => 0,
        126 => 1 + 3 * hopper, // memory synchronisation domains
        127 => hopper,         // tensor maps
        128 => 0,
        129 => 1, // unified function pointers
        130..=158 | 161 => 0,
        // Textures and surfaces are not emulated: their limits are 0.
        21..=29 | 42..=49 | 52..=74 | 77 => 0,
        _ => return None,
    };
    Some(value as c_int)
}

/// A UUID that names the emulator and the ordinal.
fn uuid(device: usize) -> [u8; 16] {
    let mut uuid = *b"cuda-emulator-00";
    uuid[14] += (device / 10) as u8;
    uuid[15] += (device % 10) as u8;
    uuid
}

fn bus_id(device: usize) -> String {
    format!("0000:{:02X}:00.0", device + 1)
}

/// Copies text and its terminator into a buffer of `len` bytes, cut to fit.
fn set_text(out: Out<c_char>, text: &str, len: c_int) -> Outcome {
    require(len > 0, Status::InvalidValue, || "the buffer has no room".into())?;
    let kept = text.bytes().take(len as usize - 1);
    out.set_all(kept.chain([0]).map(|byte| byte as c_char))
}

export! {
    |driver| fn cuDeviceGetCount(count: Out<c_int>) {
        count.set(driver.lock().primaries.len() as c_int)
    }

    |driver| fn cuDeviceGet(device: Out<c_int>, ordinal: c_int) {
        check_device(&driver.lock(), ordinal)?;
        device.set(ordinal)
    }

    |driver| fn cuDeviceGetName(name_out: Out<c_char>, len: c_int, device: c_int) {
        check_device(&driver.lock(), device)?;
        set_text(name_out, &name(driver.settings.capability), len)
    }

    |driver| fn cuDeviceGetUuid(uuid_out: Out<[u8; 16]>, device: c_int) {
        uuid_out.set(uuid(check_device(&driver.lock(), device)?))
    }

    |driver| fn cuDeviceGetUuid_v2(uuid_out: Out<[u8; 16]>, device: c_int) {
        uuid_out.set(uuid(check_device(&driver.lock(), device)?))
    }

    |driver| fn cuDeviceTotalMem_v2(bytes: Out<usize>, device: c_int) {
        let state = driver.lock();
        let (total, _) = state.memory.usage(check_device(&state, device)?);
        bytes.set(total as usize)
    }

    |driver| fn cuDeviceGetAttribute(value: Out<c_int>, number: c_uint, device: c_int) {
        match attribute(number, check_device(&driver.lock(), device)?, driver.settings.capability) {
            Some(found) => value.set(found),
            None => refuse(Status::InvalidValue, format!("there is no device attribute {number}")),
        }
    }

    |driver| fn cuDeviceComputeCapability(major: Out<c_int>, minor: Out<c_int>, device: c_int) {
        check_device(&driver.lock(), device)?;
        major.set(driver.settings.capability.0 as c_int)?;
        minor.set(driver.settings.capability.1 as c_int)
    }

    |driver| fn cuDeviceGetPCIBusId(text: Out<c_char>, len: c_int, device: c_int) {
        let device = check_device(&driver.lock(), device)?;
        set_text(text, &bus_id(device), len)
    }

    |driver| fn cuDeviceGetByPCIBusId(device: Out<c_int>, text: Text) {
        let wanted = text.get()?;
        let devices = driver.lock().primaries.len();
        match (0..devices).find(|&index| bus_id(index).eq_ignore_ascii_case(wanted)) {
            Some(index) => device.set(index as c_int),
            None => refuse(Status::InvalidDevice, format!("there is no device at {wanted}")),
        }
    }

    |driver| fn cuDeviceCanAccessPeer(answer: Out<c_int>, device: c_int, peer: c_int) {
        let state = driver.lock();
        let (device, peer) = (check_device(&state, device)?, check_device(&state, peer)?);
        answer.set((device != peer).into())
    }

    |driver| fn cuDeviceGetP2PAttribute(value: Out<c_int>, number: c_uint, device: c_int, peer: c_int) {
        let state = driver.lock();
        let (device, peer) = (check_device(&state, device)?, check_device(&state, peer)?);
        require(device != peer, Status::InvalidDevice, || "a device is no peer of itself".into())?;
        match number {
            1 => value.set(0),     // performance rank
            2 | 3 => value.set(1), // access, native atomics
            4 => value.set(0),     // arrays
            _ => refuse(Status::InvalidValue, format!("there is no peer attribute {number}")),
        }
    }

    |driver| fn cuDeviceGetExecAffinitySupport(answer: Out<c_int>, kind: c_uint, device: c_int) {
        check_device(&driver.lock(), device)?;
        require(kind == 0, Status::InvalidValue, || format!("there is no affinity type {kind}"))?;
        answer.set(0)
    }

    |driver| fn cuDeviceGetDefaultMemPool(pool: Out<Handle>, device: c_int) {
        let state = driver.lock();
        pool.set(state.device_pools[check_device(&state, device)?][0])
    }

    |driver| fn cuDeviceGetMemPool(pool: Out<Handle>, device: c_int) {
        let state = driver.lock();
        pool.set(state.device_pools[check_device(&state, device)?][1])
    }

    |driver| fn cuDeviceSetMemPool(device: c_int, pool: Handle) {
        let mut state = driver.lock();
        let device = check_device(&state, device)?;
        require(state.pools.get(pool)?.device == device, Status::InvalidValue, || {
            "the pool belongs to another device".into()
        })?;
        state.device_pools[device][1] = pool;
        Ok(())
    }

    |driver| fn cuDeviceGetLuid(_luid: *mut c_void, _mask: *mut c_void, device: c_int) {
        check_device(&driver.lock(), device)?;
        Err(Status::NotSupported.into())
    }
}
