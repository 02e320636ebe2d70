//! Tensor maps: what a bulk tensor copy knows of its tensor.
//!
//! The driver makes them (`cuTensorMapEncodeTiled`), programs carry them about as 128 opaque bytes, and copies read
//! them.
//!
//! - here: the fields, and the rules that the driver API states
//! - `encoding`: the 128 bytes, and `tensormap.replace`
//! - [`Tile`]: one copy's box, as runs of contiguous bytes
//! - `transfer`: loads, stores and reductions over those runs
//!
//! Nothing here knows of the machine. What an instruction needs:
//!
//! ```text
//! let map = TensorMap::decode(&bytes)?;                  // or a finding: no tensor map
//! let tile = Tile::new(&map, &coordinates, shared, Way::Load)?;   // or a finding: a rule is broken
//! tile.ranges(|address, bytes| ...);                     // global memory: is all of it there?
//! tile.shared();                                         // the same of shared memory
//! unsafe { tile.load(place, |address, bytes| ...) };     // the copy itself, whenever it lands
//! tile.bytes();                                          // what completes on the mbarrier
//! ```

mod encoding;
mod tile;
mod transfer;

pub use encoding::{BYTES, Field, replace};
pub use tile::{Run, SHARED_ALIGNMENT, Tile, Way};
pub use transfer::{Memory, Reduction, copy, undefine};

/// The most dimensions that a tensor can have.
pub const MAX_RANK: usize = 5;

/// What the elements are, in the numbering of `tensormap.replace` (the driver API's is another).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ElementType {
    /// `.u8`, and every other type of one byte.
    U8,
    /// `.u16`
    U16,
    /// `.u32`
    U32,
    /// `.s32`
    S32,
    /// `.u64`
    U64,
    /// `.s64`
    S64,
    /// `.f16`
    F16,
    /// `.f32`
    F32,
    /// `.f32.ftz`: reductions flush subnormals to zero.
    F32Ftz,
    /// `.f64`
    F64,
    /// `.bf16`
    Bf16,
    /// `.tf32`: loads round f32 to it.
    Tf32,
    /// `.tf32.ftz`
    Tf32Ftz,
}

impl ElementType {
    /// All of them, by number.
    pub const ALL: [Self; 13] = [
        Self::U8,
        Self::U16,
        Self::U32,
        Self::S32,
        Self::U64,
        Self::S64,
        Self::F16,
        Self::F32,
        Self::F32Ftz,
        Self::F64,
        Self::Bf16,
        Self::Tf32,
        Self::Tf32Ftz,
    ];

    /// Bytes of one.
    pub fn bytes(self) -> u32 {
        match self {
            Self::U8 => 1,
            Self::U16 | Self::F16 | Self::Bf16 => 2,
            Self::U32 | Self::S32 | Self::F32 | Self::F32Ftz | Self::Tf32 | Self::Tf32Ftz => 4,
            Self::U64 | Self::S64 | Self::F64 => 8,
        }
    }

    /// Whether there is a NaN of it.
    pub fn is_float(self) -> bool {
        !matches!(self, Self::U8 | Self::U16 | Self::U32 | Self::S32 | Self::U64 | Self::S64)
    }
}

/// Whether channels are stored in slices (NC/8HWC8 and the like).
///
/// The manuals leave open what the dimensions then mean. On hardware they are `[W, (H, (D,)) C, N]`: an element of
/// dimension 0 is a whole slice, its neighbour in W is the next one in memory, the last dimension but one counts
/// slices, and a box holds one of them, whatever its size there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Interleave {
    /// No.
    None,
    /// In slices of 16 bytes.
    B16,
    /// In slices of 32 bytes.
    B32,
}

/// Which 16-byte chunks of shared memory change places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Swizzle {
    /// None.
    None,
    /// Those of 32 bytes.
    B32,
    /// Those of 64 bytes.
    B64,
    /// Those of 128 bytes.
    B128,
}

impl Swizzle {
    /// The bytes among which chunks change places: also the least distance of rows in shared memory.
    pub fn span(self) -> u32 {
        match self {
            Self::None => 0,
            Self::B32 => 32,
            Self::B64 => 64,
            Self::B128 => 128,
        }
    }

    /// Where the byte of a shared address goes: the number of its 16-byte chunk is combined with that of its 128-byte
    /// line. That is so of the address, not of the place in the box: a box that does not start where the pattern does
    /// is laid out by the pattern all the same.
    pub fn apply(self, address: u32) -> u32 {
        let chunks = (self.span() / 16).saturating_sub(1);
        address ^ ((address >> 7 & chunks) << 4)
    }
}

/// What elements outside the tensor are loaded as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Fill {
    /// Zero.
    Zero,
    /// The NaN that `fma...oob` takes for zero.
    Nan,
}

impl Fill {
    /// Two bytes of it, which repeat whatever the element's width. The manual only says that it is a special NaN;
    /// the bits that GPUs of compute capability 9.0 write are assumed to be these.
    pub fn pattern(self) -> [u8; 2] {
        match self {
            Self::Zero => [0; 2],
            Self::Nan => 0x7ff7u16.to_le_bytes(),
        }
    }
}

/// A tensor in global memory, and the box of it that a copy moves. Dimension 0 is the innermost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorMap {
    /// Where it starts.
    pub address: u64,
    /// Number of dimensions. In those that there are not, all that follows is 1, and a stride 0.
    pub rank: usize,
    /// Elements in each.
    pub dims: [u64; MAX_RANK],
    /// Bytes from one element to the next in each dimension but the first.
    pub strides: [u64; MAX_RANK - 1],
    /// Elements that the box spans in each.
    pub box_dims: [u32; MAX_RANK],
    /// The distance of those among them that are moved.
    pub element_strides: [u32; MAX_RANK],
    /// The elements' type.
    pub element: ElementType,
    /// The tensor's layout.
    pub interleave: Interleave,
    /// The box's layout in shared memory.
    pub swizzle: Swizzle,
    /// What is loaded where there is no tensor.
    pub fill: Fill,
}

impl TensorMap {
    /// Bytes of one step in dimension 0: an element, or a slice of channels.
    pub fn unit(&self) -> u32 {
        match self.interleave {
            Interleave::None => self.element.bytes(),
            Interleave::B16 => 16,
            Interleave::B32 => 32,
        }
    }

    /// What addresses and strides in global memory must be multiples of.
    fn alignment(&self) -> u64 {
        if self.interleave == Interleave::B32 { 32 } else { 16 }
    }

    /// The rules of `cuTensorMapEncodeTiled`: which one is broken, if one is.
    ///
    /// The manual also shows how strides may be computed, so that no two elements overlap. That is not among the
    /// rules: programs pass strides of 0 for dimensions of one element, and windows that overlap.
    pub fn check(&self) -> Result<(), String> {
        let require = |holds: bool, why: &dyn Fn() -> String| if holds { Ok(()) } else { Err(why()) };
        let rank = self.rank;
        require((1..=MAX_RANK).contains(&rank), &|| format!("a rank of {rank}, where 1 to 5 are allowed"))?;
        let interleaved = self.interleave != Interleave::None;
        require(!interleaved || rank >= 3, &|| format!("a rank of {rank}, where interleaving needs 3"))?;

        let (address, align) = (self.address, self.alignment());
        require(address.is_multiple_of(align), &|| {
            format!("a global address of {address:#x}, which is no multiple of {align}")
        })?;
        for (d, size) in self.dims[..rank].iter().enumerate() {
            require((1..=1 << 32).contains(size), &|| {
                format!("{size} elements in dimension {d}, where 1 to 2^32 are allowed")
            })?;
        }
        for (d, stride) in self.strides[..rank - 1].iter().enumerate() {
            require(stride.is_multiple_of(align), &|| {
                format!("a stride of {stride} bytes in dimension {}, which is no multiple of {align}", d + 1)
            })?;
            require(*stride < 1 << 40, &|| {
                format!("a stride of {stride} bytes in dimension {}, where 2^40 is too much", d + 1)
            })?;
        }
        for (d, size) in self.box_dims[..rank].iter().enumerate() {
            require((1..=256).contains(size), &|| {
                format!("a box of {size} elements in dimension {d}, where 1 to 256 are allowed")
            })?;
        }
        for (d, stride) in self.element_strides[..rank].iter().enumerate() {
            // There is none in dimension 0 of a tensor that is not interleaved.
            require((1..=8).contains(stride) || d == 0 && !interleaved, &|| {
                format!("an element stride of {stride} in dimension {d}, where 1 to 8 are allowed")
            })?;
        }

        let (inner, span) = (self.box_dims[0] * self.element.bytes(), self.swizzle.span());
        require(interleaved || inner.is_multiple_of(16), &|| {
            format!("a box of {inner} bytes in dimension 0, which is no multiple of 16")
        })?;
        require(interleaved || span == 0 || inner <= span, &|| {
            format!("a box of {inner} bytes in dimension 0, where the swizzle spans {span}")
        })?;
        require(self.interleave != Interleave::B32 || self.swizzle == Swizzle::B32, &|| {
            format!("an interleave of 32 bytes with {:?}, where it needs the swizzle of 32", self.swizzle)
        })?;
        require(self.fill == Fill::Zero || self.element.is_float(), &|| {
            format!("a fill with NaN of {:?}, which has none", self.element)
        })
    }
}
