//! From a bare pointer, as the driver API gets it, to the bytes of an image.

use std::ffi::{CStr, c_void};

use super::{ELF_MAGIC, FATBIN_MAGIC, FatbinError, WRAPPER_MAGIC};

/// Where in the wrapper that nvcc's host code registers the pointer to the fatbin
/// is, behind the magic number and a version.
const WRAPPED: usize = 8;

/// The image that `pointer` points to, as long as its own header says; PTX text
/// ends with a zero byte. Everything after this is safe code on the slice.
///
/// # Safety
/// `pointer` is null, or points to PTX text that ends with a zero byte, to a
/// fatbin, a fatbin's wrapper or a cubin, each whole, and all of it outlives `'a`.
pub unsafe fn bytes_at<'a>(pointer: *const c_void) -> Result<&'a [u8], FatbinError> {
    let start = pointer.cast::<u8>();
    if start.is_null() {
        return Err(FatbinError::Null);
    }
    // Text may be shorter than a magic number, so bytes are read only as long as they match one.
    let begins_with = |magic: u32| {
        let mut magic = magic.to_le_bytes().into_iter().enumerate();
        // SAFETY: the bytes before this one were those of a magic number, none
        // of which is zero, so neither a binary nor a text has ended yet.
        magic.all(|(at, byte)| unsafe { start.add(at).read() } == byte)
    };
    if begins_with(WRAPPER_MAGIC) {
        // SAFETY: by the magic number this is a wrapper, which has a pointer there.
        let data = unsafe { start.add(WRAPPED).cast::<*const u8>().read_unaligned() };
        if data.is_null() {
            return Err(FatbinError::Null);
        }
        // SAFETY: a wrapper points to a fatbin.
        return unsafe { fatbin_at(data) };
    }
    if begins_with(FATBIN_MAGIC) {
        // SAFETY: by the magic number this is a fatbin.
        return unsafe { fatbin_at(start) };
    }
    if begins_with(ELF_MAGIC) {
        return Err(FatbinError::OnlyMachineCode);
    }
    // SAFETY: what is none of the above is text that ends with a zero byte.
    Ok(unsafe { CStr::from_ptr(start.cast()) }.to_bytes())
}

/// # Safety
/// `start` points to a whole fatbin that outlives `'a`.
unsafe fn fatbin_at<'a>(start: *const u8) -> Result<&'a [u8], FatbinError> {
    // SAFETY: a fatbin begins with a header of 16 bytes.
    let header = unsafe { start.cast::<[u8; 16]>().read() };
    let [.., h0, h1, s0, s1, s2, s3, s4, s5, s6, s7] = header;
    let header_size = u64::from(u16::from_le_bytes([h0, h1]));
    let size = u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]);
    let whole = header_size.checked_add(size).and_then(|whole| isize::try_from(whole).ok());
    let whole = whole.ok_or(FatbinError::Truncated {
        what: "the fatbin",
        needs: header_size.saturating_add(size),
        has: isize::MAX as u64,
    })?;
    // SAFETY: it is whole, which is to say as long as its header says.
    Ok(unsafe { std::slice::from_raw_parts(start, whole as usize) })
}
