//! What a program hands to `cuModuleLoadData`: PTX text, or a fatbin, which
//! holds PTX and machine code for several architectures.
//!
//! A fatbin is a header and a run of entries, each a header and a payload that
//! may be compressed. The layout is not documented; it was read off what
//! `fatbinary` 13.0 writes and `cuobjdump` shows:
//!
//! ```text
//! fatbin   0 u32 0xBA55ED50   4 u16 version   6 u16 header size   8 u64 size of what follows
//! entry    0 u16 kind (1 PTX, 2 ELF)   4 u32 header size   8 u64 payload size, padded
//!         16 u32 compressed size      20 u32 offset of the options, 0 if none
//!         28 u32 architecture (90)    40 u64 flags    56 u64 size when decompressed
//! options  0 u32 offset   4 u32 length: from the entry's start, what ptxas was or will be told
//! ```

mod elf;
mod error;
mod pointer;
mod select;

pub use elf::{Resources, resources};
pub use error::FatbinError;
pub use pointer::bytes_at;
pub use select::{machine_code, select};

use std::borrow::Cow;
use std::fmt;

const FATBIN_MAGIC: u32 = 0xBA55_ED50;
const WRAPPER_MAGIC: u32 = 0x4662_43B1;
const ELF_MAGIC: u32 = u32::from_le_bytes(*b"\x7fELF");

const FLAG_LZ4: u64 = 0x2000;
const FLAG_ZSTD: u64 = 0x8000;
/// The `a` of `sm_90a`.
const FLAG_EXACT: u64 = 0x10_0000;
/// The `f` of `sm_100f`.
const FLAG_FAMILY: u64 = 0x20_0000;

/// The most that one image may decompress to: a header must not be able to ask for all memory.
const LARGEST_IMAGE: u64 = 1 << 30;

/// What an image holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// PTX text.
    Ptx,
    /// Machine code, a cubin.
    Elf,
    /// Something else, by its number (intermediate code for link-time optimisation).
    Other(u16),
}

/// The devices of a later or equal compute capability on which an image runs.
/// Ordered by preference: the more special, the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// `sm_90`: all.
    Portable,
    /// `sm_100f`: those of the same major version.
    Family,
    /// `sm_90a`: exactly this one.
    Exact,
}

/// The architecture that an image is for, `sm_90a`. Ordered by preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// Compute capability: major, minor.
    pub capability: (u32, u32),
    /// Where else it runs.
    pub scope: Scope,
}

/// One image of a fatbin, still as it lies there.
#[derive(Debug, Clone)]
pub struct Image<'a> {
    /// What it holds.
    pub kind: Kind,
    /// What it is for.
    pub target: Target,
    /// What ptxas was, or is to be, told: `-v --generate-line-info`.
    pub options: &'a str,
    payload: &'a [u8],
    compression: Compression,
}

#[derive(Debug, Clone, Copy)]
enum Compression {
    None,
    Lz4 { size: usize },
    Zstd { size: usize },
}

/// The images in `bytes`: a fatbin, or PTX text, which is one image.
///
/// Machine code alone (a cubin) is an error: there is no PTX in it.
pub fn images(bytes: &[u8]) -> Result<Vec<Image<'_>>, FatbinError> {
    match bytes.first_chunk().map(|magic| u32::from_le_bytes(*magic)) {
        Some(FATBIN_MAGIC) => fatbin(bytes),
        Some(ELF_MAGIC) => Err(FatbinError::OnlyMachineCode),
        _ => Ok(vec![ptx_text(bytes)?]),
    }
}

impl Image<'_> {
    /// What is in it, decompressed.
    pub fn contents(&self) -> Result<Cow<'_, [u8]>, FatbinError> {
        let (Compression::Lz4 { size } | Compression::Zstd { size }) = self.compression else {
            return Ok(Cow::Borrowed(self.payload));
        };
        let mut contents = vec![0; size];
        let length = match self.compression {
            Compression::Zstd { .. } => ruzstd::decoding::FrameDecoder::new()
                .decode_all(self.payload, &mut contents)
                .map_err(|error| self.damaged("zstd frame", error))?,
            _ => lz4_flex::block::decompress_into(self.payload, &mut contents)
                .map_err(|error| self.damaged("LZ4 block", error))?,
        };
        if length != size {
            return Err(self.damaged("size", format!("{length} bytes instead of {size}")));
        }
        Ok(Cow::Owned(contents))
    }

    /// The text of a PTX image.
    pub fn ptx(&self) -> Result<String, FatbinError> {
        let contents = self.contents()?;
        // Padded with zeros to the next entry.
        let text = contents.split(|&byte| byte == 0).next().unwrap_or_default();
        let text = std::str::from_utf8(text);
        Ok(text.map_err(|error| self.damaged("text", error))?.to_owned())
    }

    fn damaged(&self, what: &'static str, why: impl fmt::Display) -> FatbinError {
        FatbinError::Damaged { image: self.to_string(), what, why: why.to_string() }
    }
}

/// `sm_90a PTX`
impl fmt::Display for Image<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} ", self.target)?;
        match self.kind {
            Kind::Ptx => write!(f, "PTX"),
            Kind::Elf => write!(f, "machine code"),
            Kind::Other(kind) => write!(f, "image of kind {kind}"),
        }
    }
}

impl Target {
    /// From its name, `sm_90a`.
    pub fn parse(name: &str) -> Option<Target> {
        let number = name.strip_prefix("sm_")?;
        let (number, scope) = match (number.strip_suffix('a'), number.strip_suffix('f')) {
            (Some(number), _) => (number, Scope::Exact),
            (_, Some(number)) => (number, Scope::Family),
            _ => (number, Scope::Portable),
        };
        Some(Target::new(number.parse().ok()?, scope))
    }

    fn new(number: u32, scope: Scope) -> Target {
        Target { capability: (number / 10, number % 10), scope }
    }
}

/// `sm_90a`
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (major, minor) = self.capability;
        let suffix = match self.scope {
            Scope::Portable => "",
            Scope::Family => "f",
            Scope::Exact => "a",
        };
        write!(f, "sm_{major}{minor}{suffix}")
    }
}

/// PTX that is not in a container: its target is in its text.
fn ptx_text(bytes: &[u8]) -> Result<Image<'_>, FatbinError> {
    let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    let text = std::str::from_utf8(text).map_err(|_| FatbinError::Unknown)?;
    // In a comment it does not count.
    let mut lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    let target = lines.find_map(|line| line.split_once(".target")).and_then(|(_, rest)| {
        let name = rest.split([',', '/', ' ', '\t']).find(|word| !word.is_empty())?;
        Target::parse(name)
    });
    Ok(Image {
        kind: Kind::Ptx,
        target: target.ok_or(FatbinError::Unknown)?,
        options: "",
        payload: text.as_bytes(),
        compression: Compression::None,
    })
}

fn fatbin(bytes: &[u8]) -> Result<Vec<Image<'_>>, FatbinError> {
    let header = usize::from(u16::from_le_bytes(array(bytes, 6, "the fatbin's header")?));
    let size = u64_at(bytes, 8, "the fatbin's header")?;
    let mut rest = slice(bytes, header, size, "the fatbin")?;
    let mut images = Vec::new();
    while !rest.is_empty() {
        let (image, size) = entry(rest)?;
        images.push(image);
        rest = &rest[size..];
    }
    Ok(images)
}

/// The entry that `bytes` begins with, and its whole size.
fn entry(bytes: &[u8]) -> Result<(Image<'_>, usize), FatbinError> {
    const WHAT: &str = "an entry's header";
    /// The fields that every header has.
    const FIELDS: u32 = 64;
    let header_size = u32_at(bytes, 4, WHAT)?;
    if header_size < FIELDS {
        return Err(FatbinError::Truncated { what: WHAT, needs: FIELDS.into(), has: header_size.into() });
    }
    let header = slice(bytes, 0, header_size.into(), WHAT)?;
    let payload = slice(bytes, header.len(), u64_at(header, 8, WHAT)?, "an entry's payload")?;
    let size = header.len() + payload.len();

    let flags = u64_at(header, 40, WHAT)?;
    let scope = match flags {
        _ if flags & FLAG_EXACT != 0 => Scope::Exact,
        _ if flags & FLAG_FAMILY != 0 => Scope::Family,
        _ => Scope::Portable,
    };
    let image = Image {
        kind: match u16::from_le_bytes(array(header, 0, WHAT)?) {
            1 => Kind::Ptx,
            2 => Kind::Elf,
            other => Kind::Other(other),
        },
        target: Target::new(u32_at(header, 28, WHAT)?, scope),
        options: options(header)?,
        payload,
        compression: Compression::None,
    };
    Ok((compressed(image, header, flags)?, size))
}

/// Cuts the payload to what is compressed in it, if it is.
fn compressed<'a>(image: Image<'a>, header: &[u8], flags: u64) -> Result<Image<'a>, FatbinError> {
    const WHAT: &str = "an entry's header";
    if flags & (FLAG_LZ4 | FLAG_ZSTD) == 0 {
        return Ok(image);
    }
    let compressed = u32_at(header, 16, WHAT)?;
    let payload = slice(image.payload, 0, compressed.into(), "a compressed payload")?;
    let size = u64_at(header, 56, WHAT)?;
    if size > LARGEST_IMAGE {
        return Err(image.damaged("size", format!("{size} bytes when decompressed")));
    }
    let size = size as usize;
    let compression = match flags & FLAG_ZSTD {
        0 => Compression::Lz4 { size },
        _ => Compression::Zstd { size },
    };
    Ok(Image { payload, compression, ..image })
}

/// What ptxas was told; none if the header has no room for it.
fn options(header: &[u8]) -> Result<&str, FatbinError> {
    const WHAT: &str = "an entry's list of options";
    let at = u32_at(header, 20, WHAT)? as usize;
    if at == 0 {
        return Ok("");
    }
    let lengths = slice(header, at, 8, WHAT)?;
    let (offset, length) = (u32_at(lengths, 0, WHAT)?, u32_at(lengths, 4, WHAT)?);
    let text = slice(header, offset as usize, length.into(), WHAT)?;
    Ok(std::str::from_utf8(text).unwrap_or("").trim_matches(['\0', ' ']))
}

/// `bytes[at..at + length]`, or the error that `what` is cut off.
fn slice<'a>(bytes: &'a [u8], at: usize, length: u64, what: &'static str) -> Result<&'a [u8], FatbinError> {
    let end = (at as u64).saturating_add(length);
    let range = usize::try_from(end).ok().and_then(|end| bytes.get(at..end));
    range.ok_or(FatbinError::Truncated { what, needs: end, has: bytes.len() as u64 })
}

fn array<const N: usize>(bytes: &[u8], at: usize, what: &'static str) -> Result<[u8; N], FatbinError> {
    let mut array = [0; N];
    array.copy_from_slice(slice(bytes, at, N as u64, what)?);
    Ok(array)
}

fn u32_at(bytes: &[u8], at: usize, what: &'static str) -> Result<u32, FatbinError> {
    Ok(u32::from_le_bytes(array(bytes, at, what)?))
}

fn u64_at(bytes: &[u8], at: usize, what: &'static str) -> Result<u64, FatbinError> {
    Ok(u64::from_le_bytes(array(bytes, at, what)?))
}
