//! Recorded vectors as text: the device, then programs, each before the first vector that runs it.
//!
//! ```text
//! cuda-emulator vectors 1
//! device NVIDIA H100 80GB HBM3, compute capability 9.0, driver 12080
//! program
//! .version 8.7
//! ...
//! end
//! vector wgmma e4m3 e4m3 f32 n8 near
//! launch 1 128
//! map input u8 swizzle 3 fill 0 dims 64 16 strides 64 box 32 8 steps 1 1
//! in 00010203...
//! out 0405...
//! end 1
//! ```
//!
//! A vector without a program of its own runs the last one; not every vector has a map. The last line says how many
//! there are.

use std::fmt::{self, Write};
use std::str::Lines;

use crate::tensor_map::{ELEMENTS, FILLS, SWIZZLES};
use crate::tensor_maps::Tiled;
use crate::vector::{Map, Vector};

const FIRST: &str = "cuda-emulator vectors 1";

/// A recording.
pub struct File {
    /// What made it.
    pub device: String,
    pub vectors: Vec<Vector>,
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST}\ndevice {}", self.device)?;
        let mut program = "";
        for vector in &self.vectors {
            if vector.ptx != program {
                program = &vector.ptx;
                writeln!(f, "program\n{}\nend", program.trim_end())?;
            }
            writeln!(f, "vector {}\nlaunch {} {}", vector.name, vector.blocks, vector.threads)?;
            if let Some(Map { output, tiled }) = &vector.map {
                let tensor = if *output { "output" } else { "input" };
                write!(f, "map {tensor} {}", name(&ELEMENTS, tiled.element))?;
                write!(f, " swizzle {} fill {}", name(&SWIZZLES, tiled.swizzle), name(&FILLS, tiled.fill))?;
                writeln!(
                    f,
                    " dims{} strides{} box{} steps{}",
                    list(&tiled.dims),
                    list(&tiled.strides),
                    list(&tiled.box_dims),
                    list(&tiled.element_strides)
                )?;
            }
            writeln!(f, "in {}\nout {}", hex(&vector.input), hex(&vector.output))?;
        }
        writeln!(f, "end {}", self.vectors.len())
    }
}

impl File {
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines();
        if lines.next() != Some(FIRST) {
            return Err(format!("it does not begin with `{FIRST}`"));
        }
        let device = field(&mut lines, "device")?.to_owned();
        let (mut program, mut vectors) = (None, Vec::new());
        loop {
            let line = lines.next().ok_or("it has no end")?;
            match line.split_once(' ').unwrap_or((line, "")) {
                ("program", "") => program = Some(code(&mut lines)?),
                ("vector", name) => {
                    let ptx = program.clone().ok_or("a vector before any program")?;
                    let vector = vector(name, ptx, &mut lines).map_err(|error| format!("{name}: {error}"))?;
                    vectors.push(vector);
                }
                ("end", count) if count == vectors.len().to_string() => {
                    return Ok(Self { device, vectors });
                }
                _ => return Err(format!("`{line}` is not expected")),
            }
        }
    }
}

/// The lines of a program up to its end.
fn code(lines: &mut Lines<'_>) -> Result<String, String> {
    let mut text = String::new();
    loop {
        match lines.next().ok_or("a program has no end")? {
            "end" => return Ok(text),
            line => text += &format!("{line}\n"),
        }
    }
}

/// What follows the name at the start of the next line.
fn field<'t>(lines: &mut Lines<'t>, name: &str) -> Result<&'t str, String> {
    let line = lines.next().ok_or_else(|| format!("no `{name}`"))?;
    let rest = line.strip_prefix(name).ok_or_else(|| format!("`{line}` instead of `{name}`"))?;
    Ok(rest.trim_start())
}

fn vector(name: &str, ptx: String, lines: &mut Lines<'_>) -> Result<Vector, String> {
    let [blocks, threads] = numbers(field(lines, "launch")?)?[..] else {
        return Err("a launch is two numbers".into());
    };
    let mut rest = lines.clone();
    let map = match field(&mut rest, "map ") {
        Ok(text) => {
            *lines = rest;
            Some(map(text)?)
        }
        Err(_) => None,
    };
    let (input, output) = (bytes(field(lines, "in ")?)?, bytes(field(lines, "out ")?)?);
    Ok(Vector { name: name.to_owned(), ptx, blocks, threads, map, input, output })
}

fn map(text: &str) -> Result<Map, String> {
    let wrong = || format!("`{text}` is no map");
    let (head, lists) = text.split_once(" dims ").ok_or_else(wrong)?;
    let [tensor, element, "swizzle", swizzle, "fill", fill] = head.split(' ').collect::<Vec<_>>()[..] else {
        return Err(wrong());
    };
    let (dims, lists) = lists.split_once(" strides ").ok_or_else(wrong)?;
    let (strides, lists) = lists.split_once(" box ").ok_or_else(wrong)?;
    let (box_dims, steps) = lists.split_once(" steps ").ok_or_else(wrong)?;
    let dims = numbers(dims)?;
    let plain = Tiled::new(named(&ELEMENTS, element)?, 0, &dims, &numbers(box_dims)?);
    let tiled = Tiled {
        strides: numbers(strides)?,
        element_strides: numbers(steps)?,
        swizzle: named(&SWIZZLES, swizzle)?,
        fill: named(&FILLS, fill)?,
        ..plain
    };
    match tensor {
        "input" => Ok(Map { output: false, tiled }),
        "output" => Ok(Map { output: true, tiled }),
        _ => Err(wrong()),
    }
}

fn numbers<T: std::str::FromStr>(text: &str) -> Result<Vec<T>, String> {
    text.split(' ').map(|word| word.parse().map_err(|_| format!("`{word}` is no number"))).collect()
}

fn list<T: fmt::Display>(numbers: &[T]) -> String {
    numbers.iter().map(|number| format!(" {number}")).collect()
}

fn name<T: PartialEq>(table: &[(&'static str, T)], value: T) -> &'static str {
    table.iter().find(|(_, v)| *v == value).map_or("unknown", |(name, _)| name)
}

fn named<T: Copy>(table: &[(&str, T)], name: &str) -> Result<T, String> {
    table.iter().find(|(n, _)| *n == name).map(|(_, v)| *v).ok_or_else(|| format!("`{name}` is not known"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let digit = |c: &u8| char::from(*c).to_digit(16).ok_or("no hexadecimal digit");
    let digits = text.as_bytes().iter().map(digit).collect::<Result<Vec<_>, _>>()?;
    match digits.as_chunks::<2>() {
        (pairs, []) => Ok(pairs.iter().map(|[high, low]| (high << 4 | low) as u8).collect()),
        _ => Err("half a byte".into()),
    }
}
