//! The arguments of the C API, as types that say what the caller promises.
//!
//! The promise is the API's own: a pointer is null, or valid for what the
//! function does with it. These values come from a C caller only, as arguments
//! of an exported function, so each dereference below rests on that promise.

use std::ffi::{CStr, c_char, c_void};

use super::status::{Outcome, Status, refuse};

/// A place for a result: `T *`.
#[derive(Debug)]
#[repr(transparent)]
pub struct Out<T>(*mut T);

impl<T> Clone for Out<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Out<T> {}

impl<T> Out<T> {
    /// Stores the result; null is an invalid value.
    pub fn set(self, value: T) -> Outcome {
        match self.set_if_wanted(value) {
            true => Ok(()),
            false => refuse(Status::InvalidValue, "the place for the result is null"),
        }
    }

    /// Stores the result unless the place is null, and says whether it did.
    pub fn set_if_wanted(self, value: T) -> bool {
        if !self.0.is_null() {
            // SAFETY: not null, so valid for a write by the caller's promise.
            unsafe { self.0.write_unaligned(value) };
        }
        !self.0.is_null()
    }

    /// Where it is.
    pub fn address(self) -> usize {
        self.0 as usize
    }

    /// Whether the caller gives no place.
    pub fn is_null(self) -> bool {
        self.0.is_null()
    }

    /// Refuses a null place before any work is done.
    pub fn check(self) -> Outcome {
        match self.is_null() {
            true => refuse(Status::InvalidValue, "the place for the result is null"),
            false => Ok(()),
        }
    }

    /// The value that is there now, for arguments that go both ways.
    pub fn get(self) -> Outcome<T>
    where
        T: Copy,
    {
        self.check()?;
        // SAFETY: not null, so valid for a read by the caller's promise.
        Ok(unsafe { self.0.read_unaligned() })
    }

    /// Stores several results, one after the other.
    pub fn set_all(self, values: impl IntoIterator<Item = T>) -> Outcome {
        self.check()?;
        for (i, value) in values.into_iter().enumerate() {
            // SAFETY: the caller gave room for as many as it asked for.
            unsafe { self.0.add(i).write_unaligned(value) };
        }
        Ok(())
    }
}

/// A value given by address: `const T *`.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub struct In<T>(*const T);

impl<T> In<T> {
    /// A pointer found inside another argument; 0 is null.
    pub fn at_address(address: usize) -> Self {
        In(address as *const T)
    }
}

impl<T: Copy> In<T> {
    /// The value; null is an invalid value.
    pub fn get(self) -> Outcome<T> {
        self.at(0)
    }

    /// Element `index` of an array of which the caller promises as many.
    pub fn at(self, index: usize) -> Outcome<T> {
        if self.0.is_null() {
            return refuse(Status::InvalidValue, "an argument is a null pointer");
        }
        // SAFETY: not null, so valid for a read by the caller's promise.
        Ok(unsafe { self.0.add(index).read_unaligned() })
    }

    /// Whether the pointer is null.
    pub fn is_null(self) -> bool {
        self.0.is_null()
    }
}

/// A string: `const char *`.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub struct Text(*const c_char);

impl Text {
    /// The string; null is an invalid value, as is what is not UTF-8.
    pub fn get<'a>(self) -> Outcome<&'a str> {
        if self.0.is_null() {
            return refuse(Status::InvalidValue, "a string argument is a null pointer");
        }
        // SAFETY: not null, so a terminated string by the caller's promise.
        match unsafe { CStr::from_ptr(self.0) }.to_str() {
            Ok(text) => Ok(text),
            Err(_) => refuse(Status::InvalidValue, "a string argument is not UTF-8"),
        }
    }
}

/// A function that the driver calls later: `void (*)(void *)`.
pub type HostFunction = unsafe extern "C" fn(*mut c_void);
