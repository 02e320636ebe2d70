//! A shared library that is nothing but a name.
//!
//! The loader knows a library by its SONAME: once one is loaded, opening that
//! name finds it and looks for no file. The library made here has a SONAME and
//! one dependency, and a symbol looked for in it is found in the dependency.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd};

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

/// Makes `name` mean the loaded library whose SONAME is `target`, for good.
pub fn take(name: &str, target: &str) -> io::Result<()> {
    // SAFETY: the name is terminated; the descriptor is checked.
    let descriptor = unsafe { libc::memfd_create(c"libcuda.so".as_ptr(), libc::MFD_CLOEXEC) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a fresh descriptor that nobody else owns.
    let mut file = unsafe { File::from_raw_fd(descriptor) };
    file.write_all(&elf(name, target))?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    // SAFETY: the library has no code.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) }.map_err(io::Error::other)?;
    std::mem::forget(library);
    Ok(())
}

const MACHINE: u16 = if cfg!(target_arch = "aarch64") { 183 } else { 62 };

const HEADER: u64 = 64;
const PROGRAM_HEADER: u64 = 56;

// Types of program headers.
const LOAD: u32 = 1;
const DYNAMIC: u32 = 2;
const GNU_STACK: u32 = 0x6474_E551;
const READ_WRITE: u32 = 6;

// Tags of the dynamic section.
const NEEDED: u64 = 1;
const HASH: u64 = 4;
const STRINGS: u64 = 5;
const SYMBOLS: u64 = 6;
const STRINGS_SIZE: u64 = 10;
const SYMBOL_SIZE: u64 = 11;
const SONAME: u64 = 14;

/// The bytes of a 64-bit ELF file with a SONAME, one dependency, and no symbols.
fn elf(soname: &str, needed: &str) -> Vec<u8> {
    let strings = format!("\0{soname}\0{needed}\0");
    let headers = HEADER + 3 * PROGRAM_HEADER;
    let dynamic_size = 8 * 16;
    let symbols = headers + dynamic_size;
    let hash = symbols + 24;
    let text = hash + 16;
    let size = text + strings.len() as u64;

    let mut file = Vec::new();
    let mut put = |bytes: &[u8]| file.extend_from_slice(bytes);
    // The ELF header: 64 bits, little-endian, version 1; a shared object.
    put(b"\x7FELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    put(&3u16.to_le_bytes());
    put(&MACHINE.to_le_bytes());
    put(&1u32.to_le_bytes());
    for word in [0, HEADER, 0] {
        put(&word.to_le_bytes()); // entry, program headers, section headers
    }
    put(&0u32.to_le_bytes());
    for half in [HEADER as u16, PROGRAM_HEADER as u16, 3, 64, 0, 0] {
        put(&half.to_le_bytes());
    }
    // The whole file is one segment, in which the dynamic section lies. Saying
    // that the stack is not executable keeps the loader from making it so.
    let segments = [(LOAD, 0, size, 0x10000), (DYNAMIC, headers, dynamic_size, 8), (GNU_STACK, 0, 0, 16)];
    for (kind, start, bytes, align) in segments {
        put(&kind.to_le_bytes());
        put(&READ_WRITE.to_le_bytes());
        for word in [start, start, start, bytes, bytes, align] {
            put(&word.to_le_bytes());
        }
    }
    let dynamic = [
        (SONAME, 1),
        (NEEDED, 2 + soname.len() as u64),
        (HASH, hash),
        (STRINGS, text),
        (STRINGS_SIZE, strings.len() as u64),
        (SYMBOLS, symbols),
        (SYMBOL_SIZE, 24),
        (0, 0),
    ];
    for (tag, value) in dynamic {
        put(&tag.to_le_bytes());
        put(&value.to_le_bytes());
    }
    put(&[0; 24]); // the symbol that is none
    for word in [1u32, 1, 0, 0] {
        put(&word.to_le_bytes()); // one bucket, one chain, both empty
    }
    put(strings.as_bytes());
    file
}
