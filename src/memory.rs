//! Device memory behind a view: borrowed from cudarc, or an address that the caller answers for.

use cudarc::driver::{
    CudaView, CudaViewMut, DevicePtr, DevicePtrMut, DeviceSlice, SyncOnDrop, sys::CUdeviceptr,
};

use crate::{Error, Result, queue::Launch};

/// The largest size of a dimension: rounded up to a tile, it still fits in 32 bits.
pub(crate) const MAX_SIZE: usize = i32::MAX as usize;

/// Memory to read.
#[derive(Debug)]
pub(crate) enum Memory<'a, T> {
    Borrowed(CudaView<'a, T>),
    Raw(CUdeviceptr),
}

/// Memory to write.
#[derive(Debug)]
pub(crate) enum MemoryMut<'a, T> {
    Borrowed(CudaViewMut<'a, T>),
    Raw(CUdeviceptr),
}

/// An operand's address. While it lives, cudarc holds the memory in use.
pub(crate) struct Address<'a> {
    pub pointer: CUdeviceptr,
    _order: Option<SyncOnDrop<'a>>,
}

impl<'a, T> Memory<'a, T> {
    /// Borrowed memory that holds at least `needed` elements.
    pub fn borrowed(what: &'static str, view: CudaView<'a, T>, needed: usize) -> Result<Self> {
        check_length(what, view.len(), needed)?;
        Ok(Self::Borrowed(view))
    }

    pub fn reborrow(&self) -> Memory<'a, T> {
        match self {
            Self::Borrowed(view) => Memory::Borrowed(view.slice(..)),
            Self::Raw(pointer) => Memory::Raw(*pointer),
        }
    }

    /// The address, for a kernel that reads it.
    pub fn address<'s>(&'s self, what: &'static str, launch: &Launch<'s>) -> Result<Address<'s>> {
        let (pointer, order) = match self {
            Self::Borrowed(view) => {
                let (pointer, order) = view.device_ptr(launch.admit(what, view.stream())?);
                launch.check_owned(what, pointer, view.num_bytes())?;
                (pointer, Some(order))
            }
            Self::Raw(pointer) => (*pointer, None),
        };
        Address::new::<T>(what, pointer, order, launch)
    }
}

impl<'a, T> MemoryMut<'a, T> {
    /// Borrowed memory that holds at least `needed` elements.
    pub fn borrowed(what: &'static str, view: CudaViewMut<'a, T>, needed: usize) -> Result<Self> {
        check_length(what, view.len(), needed)?;
        Ok(Self::Borrowed(view))
    }

    pub fn reborrow(&mut self) -> MemoryMut<'_, T> {
        match self {
            Self::Borrowed(view) => MemoryMut::Borrowed(view.slice_mut(..)),
            Self::Raw(pointer) => MemoryMut::Raw(*pointer),
        }
    }

    pub fn as_read(&self) -> Memory<'_, T> {
        match self {
            Self::Borrowed(view) => Memory::Borrowed(view.as_view()),
            Self::Raw(pointer) => Memory::Raw(*pointer),
        }
    }

    /// The address, for a kernel that writes it.
    pub fn address<'s>(&'s mut self, what: &'static str, launch: &Launch<'s>) -> Result<Address<'s>> {
        let (pointer, order) = match self {
            Self::Borrowed(view) => {
                let stream = launch.admit(what, view.stream())?;
                let bytes = view.num_bytes();
                let (pointer, order) = view.device_ptr_mut(stream);
                launch.check_owned(what, pointer, bytes)?;
                (pointer, Some(order))
            }
            Self::Raw(pointer) => (*pointer, None),
        };
        Address::new::<T>(what, pointer, order, launch)
    }
}

impl<'a> Address<'a> {
    fn new<T>(
        what: &'static str,
        pointer: CUdeviceptr,
        order: Option<SyncOnDrop<'a>>,
        launch: &Launch<'_>,
    ) -> Result<Self> {
        let alignment = align_of::<T>();
        if !pointer.is_multiple_of(alignment as u64) {
            return Err(Error::Misaligned { what, address: pointer, alignment });
        }
        // Dropping `order` records an event on the stream. In a capture that has to stay out.
        let order = if launch.is_ordered() {
            order
        } else {
            std::mem::forget(order);
            None
        };
        Ok(Self { pointer, _order: order })
    }
}

fn check_length(what: &'static str, len: usize, needed: usize) -> Result<()> {
    if len < needed { Err(Error::BufferTooSmall { what, needed, len }) } else { Ok(()) }
}

/// Checks that `value` is a possible size of a dimension.
pub(crate) fn check_size(what: &'static str, value: usize) -> Result<u32> {
    match u32::try_from(value) {
        Ok(size) if value <= MAX_SIZE => Ok(size),
        _ => Err(Error::TooLarge { what, value, limit: MAX_SIZE }),
    }
}

/// Elements from the first to the last of `rows` rows of `columns`, `stride` apart.
pub(crate) fn extent(what: &'static str, rows: usize, columns: usize, stride: usize) -> Result<usize> {
    if stride < columns {
        return Err(Error::StrideTooSmall { what, stride, minimum: columns });
    }
    if rows == 0 || columns == 0 {
        return Ok(0);
    }
    let before_last = (rows - 1).checked_mul(stride);
    before_last.and_then(|start| start.checked_add(columns)).ok_or(Error::TooLarge {
        what,
        value: usize::MAX,
        limit: isize::MAX as usize,
    })
}

/// Checks that two sizes agree.
pub(crate) fn check_equal(what: &'static str, expected: usize, actual: usize) -> Result<()> {
    if expected == actual { Ok(()) } else { Err(Error::Shape { what, expected, actual }) }
}
