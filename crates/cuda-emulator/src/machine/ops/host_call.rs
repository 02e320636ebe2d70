//! Calls of the functions that CUDA provides rather than the program: device
//! `printf` and a failed `assert`.

use crate::code::{DecodeError, Decoder, Inst, Kind, List};
use crate::machine::lanes::both;
use crate::machine::ops::memory::{defined, read, write};
use crate::machine::ops::printf;
use crate::machine::{Cpu, Flow};
use crate::ptx::ast::Space;
use crate::verdict::{Access, Use, Verdict};

/// Reads the memory of one lane.
struct Reader<'c, 'm> {
    cpu: &'c mut Cpu<'m>,
    lane: usize,
    /// Address of the next argument.
    arguments: u64,
    /// Arguments read so far.
    count: u32,
}

impl Reader<'_, '_> {
    /// The value at an address, and whether all of it is defined.
    fn read(&mut self, space: Space, address: u64, bytes: u32) -> Result<(u64, bool), Verdict> {
        let span = self.cpu.span(space, self.lane, address, bytes, Access::Read)?;
        // SAFETY: the span is that of an aligned access of so many bytes.
        unsafe {
            let is_defined = read(span.shadow, bytes) == defined(bytes);
            Ok((read(span.data, bytes), is_defined))
        }
    }

    /// A parameter of the call, at this offset in the frame's local memory.
    fn parameter(&mut self, offset: u32, bytes: u32, name: &str) -> Result<u64, Verdict> {
        let address = u64::from(self.cpu.depth * self.cpu.kernel.local_bytes + offset);
        match self.read(Space::Local, address, bytes)? {
            (value, true) => Ok(value),
            _ => Err(Verdict::Undefined { used_as: Use::Control, register: name.to_owned() }),
        }
    }
}

impl printf::Arguments for Reader<'_, '_> {
    fn next(&mut self, bytes: u64) -> Result<u64, Verdict> {
        let address = self.arguments.next_multiple_of(bytes);
        self.arguments = address + bytes;
        self.count += 1;
        match self.read(Space::Generic, address, bytes as u32)? {
            (value, true) => Ok(value),
            _ => {
                let register = format!("argument {} of printf", self.count);
                Err(Verdict::Undefined { used_as: Use::Control, register })
            }
        }
    }

    fn string(&mut self, address: u64) -> Result<Vec<u8>, Verdict> {
        let mut text = Vec::new();
        loop {
            match self.read(Space::Generic, address + text.len() as u64, 1)? {
                (0, true) => return Ok(text),
                (byte, true) => text.push(byte as u8),
                _ => {
                    let register = format!("byte {} of a string", text.len());
                    return Err(Verdict::Undefined { used_as: Use::Control, register });
                }
            }
        }
    }
}

/// Runs `f` for each executing lane, in order.
fn each_lane(cpu: &mut Cpu<'_>, f: impl Fn(&mut Reader<'_, '_>) -> Result<(), Verdict>) -> Flow {
    let mask = cpu.mask;
    for lane in (0..32).filter(|l| mask >> l & 1 == 1) {
        if let Err(verdict) = f(&mut Reader { cpu, lane, arguments: 0, count: 0 }) {
            return cpu.fault(verdict, 1 << lane);
        }
    }
    Flow::Next
}

/// `int vprintf(const char *format, void *arguments)`: the number of arguments.
#[inline(always)]
fn vprintf(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    let [result, format, arguments] = places(cpu, i);
    cpu.block.events += 1;
    each_lane(cpu, |lane| {
        use printf::Arguments;
        let format = lane.parameter(format, 8, "the format")?;
        lane.arguments = lane.parameter(arguments, 8, "the address of the arguments")?;
        let format = lane.string(format)?;
        let text = printf::format(&format, lane)?;
        (lane.cpu.launch.print)(&String::from_utf8_lossy(&text));
        let address = u64::from(lane.cpu.depth * lane.cpu.kernel.local_bytes + result);
        let span = lane.cpu.span(Space::Local, lane.lane, address, 4, Access::Write)?;
        // SAFETY: the span is that of an aligned access of 4 bytes.
        unsafe {
            write(span.data, 4, lane.count.into());
            write(span.shadow, 4, defined(4));
        }
        Ok(())
    })
}

/// `void __assertfail(const char *message, const char *file, unsigned line,
/// const char *function, size_t character_bytes)`
#[inline(always)]
fn assert_fail(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    let [message, file, line, function, _] = places(cpu, i);
    each_lane(cpu, |lane| {
        let mut string = |offset| {
            use printf::Arguments;
            let address = lane.parameter(offset, 8, "a text of the assertion")?;
            Ok(String::from_utf8_lossy(&lane.string(address)?).into_owned())
        };
        let (message, file, function) = (string(message)?, string(file)?, string(function)?);
        let line = lane.parameter(line, 4, "the line of the assertion")? as u32;
        Err(Verdict::Assert { message, file, line, function })
    })
}

/// Where the call's results and parameters lie in the frame.
fn places<const N: usize>(cpu: &Cpu<'_>, i: &Inst) -> [u32; N] {
    let slots = cpu.operands(i);
    std::array::from_fn(|n| slots[n].index() as u32)
}

/// Decodes a call of a function that the program only declares; `places` are
/// the offsets in the frame of its results and parameters.
pub fn decode(d: &mut Decoder<'_>, name: &str, places: List) -> Result<(), DecodeError> {
    let (op, count) = match name {
        "vprintf" => (both!(vprintf), 3),
        "__assertfail" => (both!(assert_fail), 5),
        "malloc" | "free" => {
            return Err(d.error(format!(
                "the emulator has no heap for device code, so no `{name}`: allocate on the host and pass a pointer"
            )));
        }
        _ => return Err(d.error(format!("`{name}` has no body here, and the emulator does not provide it"))),
    };
    if places.ins != count {
        return Err(d.error(format!("`{name}` is called with results and parameters that it does not have")));
    }
    d.emit(op, Kind::Control, &[], &[]).list = places;
    Ok(())
}
