//! Where things lie: sizes of types and variables, and the windows of the
//! generic address space.

use crate::ptx::ast::{Initial, Type, Variable};

/// Generic addresses of shared memory start here; the offset is in the low 32 bits.
pub const SHARED_WINDOW: u64 = 0x8100_0000_0000_0000;
/// Generic addresses of local memory (each thread sees its own).
pub const LOCAL_WINDOW: u64 = 0x8200_0000_0000_0000;
/// Generic addresses of kernel parameters.
pub const PARAM_WINDOW: u64 = 0x8300_0000_0000_0000;
/// Addresses of functions: only `call` can use them.
pub const FUNCTION_WINDOW: u64 = 0x8400_0000_0000_0000;
const WINDOW_MASK: u64 = 0xff00_0000_0000_0000;

/// The first shared address a program sees. A GPU keeps the first KiB for
/// itself; so a null shared pointer is caught here.
pub const SHARED_START: u32 = 0x400;

/// Shared addresses of one block lie below this. In the cluster's window
/// (`mapa`) those of the block with rank `r` begin at `r + 1` times as much.
pub const SHARED_SIZE: u32 = 1 << 24;

/// Which window a generic address falls into, and the offset within.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Windowed {
    /// Global memory: the address itself.
    Global(u64),
    /// Shared memory.
    Shared(u64),
    /// Local memory.
    Local(u64),
    /// Kernel parameters.
    Param(u64),
}

impl Windowed {
    /// Resolves a generic address.
    #[inline]
    pub fn of(address: u64) -> Self {
        match address & WINDOW_MASK {
            SHARED_WINDOW => Self::Shared(address & !WINDOW_MASK),
            LOCAL_WINDOW => Self::Local(address & !WINDOW_MASK),
            PARAM_WINDOW => Self::Param(address & !WINDOW_MASK),
            _ => Self::Global(address),
        }
    }
}

impl Type {
    /// Bytes of one element; predicates have none.
    pub fn bytes(self) -> u64 {
        use Type::*;
        match self {
            B8 | U8 | S8 | E4m3 | E5m2 => 1,
            B16 | U16 | S16 | F16 | Bf16 | E4m3x2 | E5m2x2 => 2,
            B32 | U32 | S32 | U16x2 | S16x2 | F16x2 | Bf16x2 | Tf32 | F32 => 4,
            B64 | U64 | S64 | F64 => 8,
            B128 => 16,
            Pred => 0,
        }
    }
}

/// Bytes a variable takes (0 for one of open size).
pub fn size_of(v: &Variable) -> u64 {
    v.dims.iter().fold(v.ty.bytes() * u64::from(v.vector), |n, d| n.saturating_mul(*d))
}

/// The initial contents of a variable, zero-filled to its size (PTX variables
/// without an initialiser, or with a short one, are zero).
/// `address` resolves the symbols in it.
pub fn initial_bytes(v: &Variable, mut address: impl FnMut(&str) -> Option<u64>) -> Result<Vec<u8>, String> {
    let width = v.ty.bytes() as usize;
    let mut bytes = Vec::with_capacity(size_of(v) as usize);
    for element in &v.init {
        let bits = match element {
            Initial::Bits(bits) => *bits,
            Initial::Address { symbol, offset, mask, .. } => {
                let whole = address(symbol)
                    .ok_or_else(|| {
                        format!("the initialiser of {} names {symbol}, which is not known", v.name)
                    })?
                    .wrapping_add_signed(*offset);
                (whole & mask) >> mask.trailing_zeros().min(63)
            }
        };
        let le = bits.to_le_bytes();
        bytes.extend((0..width).map(|i| le.get(i).copied().unwrap_or(0)));
    }
    let size = size_of(v) as usize;
    if bytes.len() > size {
        return Err(format!(
            "the initialiser of {} has {} bytes for a variable of {size}",
            v.name,
            bytes.len()
        ));
    }
    bytes.resize(size, 0);
    Ok(bytes)
}
