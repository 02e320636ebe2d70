//! The text of a device `printf`.
//!
//! Arguments lie packed in a buffer, each at a multiple of its size, promoted
//! as C promotes variable arguments. Each conversion is done by the host's own
//! `snprintf`, as the CUDA driver does it.

use std::ffi::{CString, c_int, c_longlong};

use crate::verdict::Verdict;

/// Where the arguments of one call come from.
pub trait Arguments {
    /// The next argument, of 4 or 8 bytes.
    fn next(&mut self, bytes: u64) -> Result<u64, Verdict>;
    /// The string at an address, without its NUL.
    fn string(&mut self, address: u64) -> Result<Vec<u8>, Verdict>;
}

/// What a format and its arguments print.
pub fn format(format: &[u8], arguments: &mut impl Arguments) -> Result<Vec<u8>, Verdict> {
    let mut out = Vec::new();
    let mut rest = format;
    while let Some(percent) = rest.iter().position(|b| *b == b'%') {
        out.extend_from_slice(&rest[..percent]);
        rest = convert(&rest[percent + 1..], arguments, &mut out)?;
    }
    out.extend_from_slice(rest);
    Ok(out)
}

/// Does the conversion that begins behind a `%`; gives what follows it.
fn convert<'f>(
    mut rest: &'f [u8],
    arguments: &mut impl Arguments,
    out: &mut Vec<u8>,
) -> Result<&'f [u8], Verdict> {
    let start = rest;
    let mut spec = String::from("%");
    spec.push_str(take_while(&mut rest, |b| b"-+ #0".contains(&b)));
    amount(&mut rest, arguments, &mut spec)?;
    if let [b'.', after @ ..] = rest {
        rest = after;
        let mut precision = String::new();
        amount(&mut rest, arguments, &mut precision)?;
        // A negative precision is none.
        if !precision.starts_with('-') {
            spec.push('.');
            spec.push_str(&precision);
        }
    }
    let length = take_while(&mut rest, |b| b"hlzjt".contains(&b));
    let wide = !length.is_empty() && !length.starts_with('h');
    let conversion = rest.first().copied().unwrap_or_default();
    rest = rest.get(1..).unwrap_or_default();
    match conversion {
        b'%' => out.push(b'%'),
        b'd' | b'i' | b'u' | b'x' | b'X' | b'o' => {
            spec.push_str(if wide { "ll" } else { length });
            spec.push(conversion.into());
            match wide {
                true => print(&spec, arguments.next(8)? as c_longlong, out),
                false => print(&spec, arguments.next(4)? as c_int, out),
            }
        }
        b'c' => {
            spec.push('c');
            print(&spec, arguments.next(4)? as c_int, out);
        }
        b'e' | b'E' | b'f' | b'F' | b'g' | b'G' | b'a' | b'A' => {
            spec.push(conversion.into());
            print(&spec, f64::from_bits(arguments.next(8)?), out);
        }
        b'p' => {
            spec.push('p');
            print(&spec, arguments.next(8)? as usize as *const u8, out);
        }
        b's' => {
            spec.push('s');
            let address = arguments.next(8)?;
            let string = CString::new(arguments.string(address)?).unwrap_or_default();
            print(&spec, string.as_ptr(), out);
        }
        _ => {
            let text = String::from_utf8_lossy(&start[..start.len() - rest.len()]);
            return Err(Verdict::Operand { problem: format!("printf has no conversion `%{text}`") });
        }
    }
    Ok(rest)
}

/// A width or precision: digits, or `*` for an argument.
fn amount(rest: &mut &[u8], arguments: &mut impl Arguments, spec: &mut String) -> Result<(), Verdict> {
    if let [b'*', after @ ..] = *rest {
        *rest = after;
        spec.push_str(&(arguments.next(4)? as i32).to_string());
    } else {
        spec.push_str(take_while(rest, |b| b.is_ascii_digit()));
    }
    Ok(())
}

/// Takes the leading bytes that are `wanted`, which are ASCII.
fn take_while<'f>(rest: &mut &'f [u8], wanted: impl Fn(u8) -> bool) -> &'f str {
    let len = rest.iter().position(|b| !wanted(*b)).unwrap_or(rest.len());
    let (taken, after) = rest.split_at(len);
    *rest = after;
    std::str::from_utf8(taken).unwrap_or_default()
}

/// A type that may stand for C's variable arguments.
trait Vararg: Copy {}
impl Vararg for c_int {}
impl Vararg for c_longlong {}
impl Vararg for f64 {}
impl<T> Vararg for *const T {}

/// One conversion by the C library. `spec` must fit the type of `value`.
fn print<T: Vararg>(spec: &str, value: T, out: &mut Vec<u8>) {
    let spec = CString::new(spec).unwrap_or_default();
    // SAFETY: `convert` made a specification for one value of this type; a
    // length of 0 writes nothing, the second call no more than was measured.
    unsafe {
        let len = libc::snprintf(std::ptr::null_mut(), 0, spec.as_ptr(), value);
        let mut buffer = vec![0u8; usize::try_from(len).map_or(0, |n| n + 1)];
        libc::snprintf(buffer.as_mut_ptr().cast(), buffer.len(), spec.as_ptr(), value);
        buffer.pop();
        out.append(&mut buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Given(Vec<u64>);

    impl Arguments for Given {
        fn next(&mut self, bytes: u64) -> Result<u64, Verdict> {
            let value = self.0.remove(0);
            Ok(if bytes == 4 { value & 0xffff_ffff } else { value })
        }

        fn string(&mut self, address: u64) -> Result<Vec<u8>, Verdict> {
            Ok(format!("string {address}").into_bytes())
        }
    }

    fn text(spec: &str, arguments: &[u64]) -> String {
        let mut given = Given(arguments.to_vec());
        let text = format(spec.as_bytes(), &mut given).unwrap();
        assert!(given.0.is_empty(), "{spec} left arguments over");
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn conversions() {
        let minus = (-5i64) as u64;
        assert_eq!(text("plain, 100%%\n", &[]), "plain, 100%\n");
        assert_eq!(text("%d|%5d|%-5d|%05d|%+d", &[minus, 42, 42, 42, 42]), "-5|   42|42   |00042|+42");
        assert_eq!(text("%i %u %x %X %#o", &[minus, minus, 255, 255, 8]), "-5 4294967291 ff FF 010");
        assert_eq!(text("%ld %lld %llu", &[minus, minus, minus]), "-5 -5 18446744073709551611");
        assert_eq!(text("%zu %hhd %hd", &[1 << 40, 0x1ff, 0x1_8000]), "1099511627776 -1 -32768");
        assert_eq!(text("%*d|%-*d|%.*f", &[4, 7, 4, 7, 2, 1.0f64.to_bits()]), "   7|7   |1.00");
        assert_eq!(text("%*d|%.*d", &[minus, 7, minus, 7]), "7    |7");
        let (pi, tenth) = (3.25f64.to_bits(), 0.1f64.to_bits());
        assert_eq!(
            text("%f %e %g %a %8.3f", &[pi, pi, tenth, pi, tenth]),
            "3.250000 3.250000e+00 0.1 0x1.ap+1    0.100"
        );
        assert_eq!(text("%c%c", &[b'o'.into(), b'k'.into()]), "ok");
        assert_eq!(text("%p", &[0x1234]), "0x1234");
        assert_eq!(text("<%s> <%.3s> <%10s>", &[1, 2, 3]), "<string 1> <str> <  string 3>");
    }

    #[test]
    fn what_is_no_conversion_is_named() {
        for (spec, named) in [("%q", "`%q`"), ("%5n", "`%5n`"), ("ends in %", "`%`")] {
            let verdict = format(spec.as_bytes(), &mut Given(vec![])).unwrap_err();
            assert!(verdict.to_string().contains(named), "{verdict}");
        }
    }
}
