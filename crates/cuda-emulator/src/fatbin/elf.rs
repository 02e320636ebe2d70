//! What ptxas made of a kernel, from the machine code that lies beside its PTX.
//!
//! A cubin is an ELF file; its section `.nv.info` is a list of attributes, each
//! a format, a number and a value. Those about a function name it by its symbol.
//! (Static shared memory is taken from the PTX: the section for it also counts
//! what the system reserves.)

use std::collections::HashMap;

use super::{FatbinError, array, slice, u32_at, u64_at};

/// What a kernel takes on the device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resources {
    /// Registers of a thread.
    pub registers: u32,
    /// Bytes of stack of a thread, in local memory: arrays and spilled registers.
    pub stack: u32,
}

/// Value with a 16-bit length before it.
const FORMAT_SIZED: u8 = 4;
const REGISTER_COUNT: u8 = 0x2f;
const FRAME_SIZE: u8 = 0x11;

const SECTION: u64 = 64;
const SYMBOL: usize = 24;

/// By function, what the cubin `elf` says of it.
pub fn resources(elf: &[u8]) -> Result<HashMap<String, Resources>, FatbinError> {
    let sections = Sections::of(elf)?;
    let symbols = sections.named(".symtab")?;
    let names = sections.named(".strtab")?;
    let mut resources: HashMap<String, Resources> = HashMap::new();
    let mut info = sections.named(".nv.info")?;
    const WHAT: &str = "an attribute in the machine code";
    while !info.is_empty() {
        let [format, attribute, length @ ..] = array::<4>(info, 0, WHAT)?;
        let length = if format == FORMAT_SIZED { u16::from_le_bytes(length) } else { 0 };
        let value = slice(info, 4, length.into(), WHAT)?;
        info = &info[4 + value.len()..];
        if format != FORMAT_SIZED || !matches!(attribute, REGISTER_COUNT | FRAME_SIZE) {
            continue;
        }
        let (symbol, number) = (u32_at(value, 0, WHAT)?, u32_at(value, 4, WHAT)?);
        let symbol = slice(symbols, (symbol as usize).saturating_mul(SYMBOL), SYMBOL as u64, WHAT)?;
        let function = resources.entry(text(names, u32_at(symbol, 0, WHAT)?)).or_default();
        match attribute {
            REGISTER_COUNT => function.registers = number,
            _ => function.stack = number,
        }
    }
    Ok(resources)
}

struct Sections<'a> {
    elf: &'a [u8],
    headers: &'a [u8],
    /// The section with the sections' names.
    names: &'a [u8],
}

impl<'a> Sections<'a> {
    fn of(elf: &'a [u8]) -> Result<Sections<'a>, FatbinError> {
        const WHAT: &str = "the machine code's section headers";
        let at = u64_at(elf, 0x28, WHAT)?;
        let count = u16::from_le_bytes(array(elf, 0x3c, WHAT)?);
        let names = u16::from_le_bytes(array(elf, 0x3e, WHAT)?);
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let headers = slice(elf, at, u64::from(count) * SECTION, WHAT)?;
        let header = slice(headers, usize::from(names) * SECTION as usize, SECTION, WHAT)?;
        Ok(Sections { elf, headers, names: contents(elf, header)? })
    }

    /// The contents of a section; nothing if there is none of this name.
    fn named(&self, name: &str) -> Result<&'a [u8], FatbinError> {
        for header in self.headers.chunks_exact(SECTION as usize) {
            if text(self.names, u32_at(header, 0, "a section header")?) == name {
                return contents(self.elf, header);
            }
        }
        Ok(&[])
    }
}

fn contents<'a>(elf: &'a [u8], header: &[u8]) -> Result<&'a [u8], FatbinError> {
    const WHAT: &str = "a section of the machine code";
    let (at, size) = (u64_at(header, 24, WHAT)?, u64_at(header, 32, WHAT)?);
    slice(elf, usize::try_from(at).unwrap_or(usize::MAX), size, WHAT)
}

/// The text at `at` of a string table, up to its zero byte.
fn text(table: &[u8], at: u32) -> String {
    let rest = table.get(at as usize..).unwrap_or_default();
    let text = rest.split(|&byte| byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}
