//! Programs that are wrong, and their correct twins.
//!
//! `tests/fail/` has at least one small program for each kind of finding, with the exact message beside it;
//! `tests/pass/` has the same programs, mended. Each runs under 20 orders of blocks and warps. A program says in lines
//! that begin with `//@` how it is launched (its one kernel; blocks and threads in x):
//!
//! ```text
//! //@ grid: 2                   blocks; 1 if it does not say, as of the next two
//! //@ block: 64                 threads
//! //@ cluster: 2                blocks of a cluster
//! //@ buffer: 8 bytes           a parameter, in order: the address of so many undefined bytes,
//! //@ buffer: 8 words of 5      or of words with a value
//! //@ unready: 8 words of 5     the same, which a kernel ahead may be writing still
//! //@ freed: 8 bytes            the same, freed
//! //@ map: 32x8                 a tensor map of a matrix of words, which it brings whole
//! //@ seeds: 2                  only so many orders, since each takes long
//! ```
//!
//! Programs compiled from a file beside them say it in that. After a change to messages or programs,
//! `make messages` writes what is found beside the programs, to be read in the diff.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

use cuda_emulator::machine::tensor_map::{ElementType, Fill, Interleave, Swizzle, TensorMap};
use cuda_emulator::verdict::{Finding, Verdict};

use crate::device::Device;

/// Orders of blocks and warps.
const SEEDS: u32 = 20;

/// Kinds that no launch of a kernel brings about, and the tests that have them.
const ELSEWHERE: [(&str, &str); 1] =
    // The host asks whether its output is whole.
    [("undefined-output", "tests/driver/memory.rs")];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Names of the programs in a folder.
fn programs(folder_name: &str) -> BTreeSet<String> {
    let files =
        fs::read_dir(folder(folder_name)).expect("the folder").map(|file| file.expect("a file").path());
    let ptx = files.filter(|path| path.extension().is_some_and(|extension| extension == "ptx"));
    ptx.map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned()).collect()
}

/// A program and how it is launched.
struct Program {
    ptx: String,
    header: Vec<(String, String)>,
}

/// Where a parameter points, and whether it is there still.
struct Buffer {
    address: u64,
    bytes: u64,
    freed: bool,
}

impl Program {
    fn read(folder_name: &str, name: &str) -> Self {
        let path = folder(folder_name).join(name);
        let ptx = read(&path.with_extension("ptx"));
        let source = path.with_extension("cu");
        let said = if source.exists() { read(&source) } else { ptx.clone() };
        let header = said.lines().filter_map(|line| line.strip_prefix("//@ ")).map(|line| {
            let (key, value) = line.split_once(": ").unwrap_or_else(|| panic!("{name}: `{line}`"));
            (key.to_owned(), value.to_owned())
        });
        Program { ptx, header: header.collect() }
    }

    fn seeds(&self) -> std::ops::Range<u64> {
        0..self.number("seeds", SEEDS).into()
    }

    fn number(&self, key: &str, default: u32) -> u32 {
        let found = self.header.iter().find(|(k, _)| k == key);
        found.map_or(default, |(_, value)| value.parse().unwrap_or_else(|_| panic!("{key}: {value}")))
    }

    /// The only kernel's name.
    fn kernel(&self) -> &str {
        let (_, rest) = self.ptx.split_once(".entry ").expect("a kernel");
        rest.split('(').next().expect("a name").trim()
    }

    /// Runs the program. Its results are the bytes of its buffers.
    fn run(&self, seed: u64) -> Result<Vec<Vec<u8>>, String> {
        let mut device = Device::new(&self.ptx);
        device.cluster = [self.number("cluster", 1), 1, 1];
        // So that a seed means one schedule, and one message.
        device.threads = 1;
        let (mut buffers, mut matrices) = (Vec::new(), Vec::new());
        for (key, value) in &self.header {
            match key.as_str() {
                "grid" | "block" | "cluster" | "seeds" => {}
                "map" => {
                    let (map, matrix) = map(&mut device, value);
                    buffers.push(map);
                    matrices.push(matrix);
                }
                "buffer" | "unready" | "freed" => {
                    let buffer = Buffer { freed: key == "freed", ..buffer(&mut device, value) };
                    if key == "freed" {
                        device.free(buffer.address);
                    }
                    if key == "unready" {
                        device.overlaps = true;
                        device.unready.push(buffer.address);
                    }
                    buffers.push(buffer);
                }
                other => panic!("`{other}` is nothing that a program says"),
            }
        }
        let arguments: Vec<u64> = buffers.iter().map(|buffer| buffer.address).collect();
        let (grid, block) = ([self.number("grid", 1), 1, 1], [self.number("block", 1), 1, 1]);
        match device.launch(self.kernel(), grid, block, &arguments, seed) {
            Ok(_) => {
                let kept = buffers.iter().filter(|buffer| !buffer.freed);
                let bytes = |buffer: &Buffer| device.get(buffer.address, buffer.bytes as usize);
                Ok(kept.map(|buffer| without(bytes(buffer), &matrices)).collect())
            }
            Err(finding) => Err(message(&finding, &buffers)),
        }
    }
}

/// "8 bytes" or "8 words of 5".
fn buffer(device: &mut Device, text: &str) -> Buffer {
    let words: Vec<&str> = text.split(' ').collect();
    let number = |text: &str| text.parse::<u32>().unwrap_or_else(|_| panic!("{text} is no number"));
    let (address, bytes) = match words[..] {
        [count, "bytes"] => (device.alloc(number(count).into()), number(count)),
        [count, "words", "of", value] => {
            (device.put(&vec![number(value); number(count) as usize]), 4 * number(count))
        }
        _ => panic!("`{text}` is no buffer"),
    };
    Buffer { address, bytes: bytes.into(), freed: false }
}

/// A result without the addresses of matrices, which are others each time: a program may copy its map.
fn without(mut bytes: Vec<u8>, matrices: &[u64]) -> Vec<u8> {
    for word in bytes.as_chunks_mut().0 {
        if matrices.contains(&u64::from_le_bytes(*word)) {
            *word = [0; 8];
        }
    }
    bytes
}

/// "32x8": a map of a matrix of numbered words, and where that is.
fn map(device: &mut Device, text: &str) -> (Buffer, u64) {
    let (columns, rows) = text.split_once('x').expect("a matrix");
    let [columns, rows] = [columns, rows].map(|size| size.parse::<u32>().expect("a number"));
    let map = TensorMap {
        address: device.put(&(0..columns * rows).collect::<Vec<u32>>()),
        rank: 2,
        dims: [columns.into(), rows.into(), 1, 1, 1],
        strides: [u64::from(columns) * 4, 0, 0, 0],
        box_dims: [columns, rows, 1, 1, 1],
        element_strides: [1; 5],
        element: ElementType::U32,
        interleave: Interleave::None,
        swizzle: Swizzle::None,
        fill: Fill::Zero,
    };
    let bytes = map.encode();
    // The address in it is another each time.
    (Buffer { address: device.put(&bytes), bytes: 0, freed: false }, map.address)
}

/// The finding's message. Addresses of device memory, which are others each time, become those of buffers.
fn message(finding: &Finding, buffers: &[Buffer]) -> String {
    let text = finding.to_string();
    let mut parts = text.split("0x");
    let mut message = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(part.len());
        let (digits, rest) = part.split_at(end);
        let address = u64::from_str_radix(digits, 16).unwrap_or(0);
        let near = |buffer: &&Buffer| address.wrapping_sub(buffer.address) <= buffer.bytes;
        // Descriptors have as many digits as they may need.
        let in_memory = (9..16).contains(&digits.len());
        message += &match buffers.iter().position(|buffer| near(&buffer)) {
            Some(nth) => format!("BUFFER{nth}+{}{rest}", address - buffers[nth].address),
            None if in_memory => format!("ADDRESS{rest}"),
            None => format!("0x{part}"),
        };
    }
    if let Verdict::Livelock { instructions, .. } = finding.verdict {
        message = message.replace(&instructions.to_string(), "MANY");
    }
    message + "\n"
}

/// The kind that a message names.
fn kind(message: &str) -> &str {
    message.strip_prefix("error[").and_then(|rest| rest.split(']').next()).expect("a kind")
}

#[test]
fn wrong_programs_are_found() {
    let bless = env::var_os("DEEPKERN_UPDATE_MESSAGES").is_some();
    for name in programs("fail") {
        let program = Program::read("fail", &name);
        let messages: Vec<String> = program
            .seeds()
            .map(|seed| program.run(seed).err().unwrap_or_else(|| panic!("{name}: seed {seed} passes")))
            .collect();
        let path = folder("fail").join(&name).with_extension("stderr");
        if bless {
            fs::write(&path, &messages[0]).expect("a place for messages");
        }
        assert_eq!(messages[0], read(&path), "{name}: is the message better? `make messages` writes it");
        // A program is named after what is found, whatever comes first.
        for (message, seed) in messages.iter().zip(program.seeds()) {
            let kind = kind(message).replace('-', "_");
            assert!(name.starts_with(&kind), "{name}, seed {seed}: {message}");
        }
    }
}

#[test]
fn right_programs_pass() {
    for name in programs("pass") {
        let program = Program::read("pass", &name);
        let mut runs = program
            .seeds()
            .map(|seed| program.run(seed).unwrap_or_else(|message| panic!("{name}, seed {seed}: {message}")));
        let first = runs.next().expect("a seed");
        runs.for_each(|other| assert_eq!(first, other, "{name}"));
    }
}

/// Lines that two texts do not have in common, with nothing between that they have.
fn changed<'a>(wrong: &'a str, right: &'a str) -> [Vec<&'a str>; 2] {
    let (mut wrong, mut right): (Vec<_>, Vec<_>) = (wrong.lines().collect(), right.lines().collect());
    let same = wrong.iter().zip(&right).take_while(|(a, b)| a == b).count();
    wrong.drain(..same);
    right.drain(..same);
    let same = wrong.iter().rev().zip(right.iter().rev()).take_while(|(a, b)| a == b).count();
    wrong.truncate(wrong.len() - same);
    right.truncate(right.len() - same);
    [wrong, right]
}

#[test]
fn twins_differ_by_what_mends_them() {
    const MOST: usize = 3;
    assert_eq!(programs("fail"), programs("pass"));
    for name in programs("fail") {
        let extension = if folder("fail").join(&name).with_extension("cu").exists() { "cu" } else { "ptx" };
        let [wrong, right] =
            ["fail", "pass"].map(|kind| read(&folder(kind).join(&name).with_extension(extension)));
        let [wrong, right] = changed(&wrong, &right);
        let lines = wrong.len().max(right.len());
        assert!((1..=MOST).contains(&lines), "{name}:\n- {}\n+ {}", wrong.join("\n- "), right.join("\n+ "));
    }
}

#[test]
fn every_kind_has_a_program() {
    // The list of kinds is that of the function which names them.
    let text = include_str!("../../src/verdict.rs");
    let (_, body) = text.split_once("pub fn kind(&self)").expect("the function");
    let (body, _) = body.split_once("\n    }\n").expect("its end");
    let kinds: BTreeSet<&str> = body.split('"').skip(1).step_by(2).collect();
    assert!(kinds.len() > 20 && kinds.contains("deadlock"), "{kinds:?}");
    let messages: Vec<String> = programs("fail")
        .iter()
        .map(|name| read(&folder("fail").join(name).with_extension("stderr")))
        .collect();
    let found: BTreeSet<&str> = messages.iter().map(|message| kind(message)).collect();
    let elsewhere: BTreeSet<&str> = ELSEWHERE.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds.difference(&found).copied().collect::<BTreeSet<_>>(), elsewhere);
    for (kind, file) in ELSEWHERE {
        let test = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(file));
        let variant: String = kind.split('-').map(|word| word[..1].to_uppercase() + &word[1..]).collect();
        assert!(test.contains(&format!("Verdict::{variant}")), "{file} has no {variant}");
    }
}
