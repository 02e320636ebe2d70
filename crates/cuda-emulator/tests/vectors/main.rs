//! Vectors: what a driver's device made of given bytes, to the bit, so that the emulator can be held to hardware
//! where there is none.
//!
//! ```text
//! DEEPKERN_DEVICE=cuda cargo test -p cuda-emulator --test vectors -- --ignored    # on a GPU
//! cargo test -p cuda-emulator --test vectors                 # anywhere
//! ```
//!
//! The first writes a file into `recorded/`, the second repeats every file that is there on the driver at hand and
//! compares. A file holds all that it needs, programs and inputs, so that it means the same when what is written here
//! changes. `CUDA_EMULATOR_VECTORS` names another folder.
//!
//! What is recorded assumes as little as possible: operands are bytes of which the device decides what they are.

mod convert;
mod device;
mod file;
mod mma;
mod tensor_map;
#[path = "../common/tensor_map.rs"]
mod tensor_maps;
mod values;
mod vector;
mod wgmma;

use std::path::{Path, PathBuf};
use std::{env, fs};

use device::Device;
use file::File;
use vector::Vector;

/// Everything that is recorded, without results.
fn all() -> Vec<Vector> {
    [wgmma::vectors(), mma::vectors(), tensor_map::vectors(), convert::vectors()].concat()
}

/// Where recorded files are.
fn folder() -> PathBuf {
    let named = env::var_os("CUDA_EMULATOR_VECTORS").map(PathBuf::from);
    named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/recorded"))
}

/// The recorded files, by name.
fn recorded(folder: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(folder).map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "vectors"));
    files.sort();
    files
}

/// What the device at hand makes of everything.
fn record(device: &Device) -> File {
    let mut vectors = all();
    for vector in &mut vectors {
        vector.output = device.run(vector).unwrap_or_else(|error| panic!("{}: {error}", vector.name));
    }
    File { device: device.description(), vectors }
}

/// Each vector whose result is another on this device, with how it differs.
fn differences(device: &Device, file: &File) -> Vec<String> {
    let difference = |vector: &Vector| match device.run(vector) {
        Ok(output) => vector.difference(&output),
        Err(error) => Some(error),
    };
    let named = |vector| difference(vector).map(|difference| format!("{}: {difference}", vector.name));
    file.vectors.iter().filter_map(named).collect()
}

#[test]
fn what_is_recorded_holds() {
    let files = recorded(&folder());
    if files.is_empty() {
        println!("no recorded vectors in {}: nothing is compared", folder().display());
        return;
    }
    let device = Device::new();
    for path in files {
        let text = fs::read_to_string(&path).expect("a file");
        let file = File::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let different = differences(&device, &file);
        println!("{}: {}; {} vectors", path.display(), file.device, file.vectors.len());
        println!("compared with {}: {} differ", device.description(), different.len());
        assert!(different.is_empty(), "{} differ:\n{}", different.len(), different.join("\n"));
    }
}

#[test]
#[ignore = "writes a file: for a device that is the authority"]
fn record_vectors() {
    let device = Device::new();
    let file = record(&device);
    let letters = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = device.name().chars().map(letters).collect();
    let path = folder().join(name).with_extension("vectors");
    fs::create_dir_all(folder()).expect("a folder");
    fs::write(&path, file.to_string()).expect("room for the file");
    println!("{} vectors of {} in {}", file.vectors.len(), file.device, path.display());
}

/// Recorded, written, read and repeated, everything is as it was; and the names tell vectors apart.
#[test]
fn a_recording_holds_on_its_own_device() {
    let device = Device::new();
    let file = record(&device);
    let text = file.to_string();
    println!("{} vectors, {} KiB", file.vectors.len(), text.len() >> 10);
    let read = File::parse(&text).expect("what was written can be read");
    assert_eq!(read.device, file.device);
    assert_eq!(read.vectors, file.vectors);
    assert_eq!(differences(&device, &read), [""; 0]);

    let mut names: Vec<&str> = file.vectors.iter().map(|vector| vector.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), file.vectors.len());
}

/// One bit of one result, or of one input, and the vector is named.
#[test]
fn a_corrupted_recording_is_told() {
    let device = Device::new();
    for vector in [wgmma::vectors().remove(0), tensor_map::vectors().remove(0), convert::vectors().remove(0)]
    {
        let mut file = File { device: device.description(), vectors: vec![vector] };
        file.vectors[0].output = device.run(&file.vectors[0]).expect("it runs");
        assert_eq!(differences(&device, &file), [""; 0]);

        let middle = file.vectors[0].output.len() / 2;
        file.vectors[0].output[middle] ^= 0x10;
        let read = File::parse(&file.to_string()).expect("it can be read");
        let different = differences(&device, &read);
        assert!(different.len() == 1 && different[0].starts_with(&file.vectors[0].name), "{different:?}");
        assert!(different[0].contains(&format!("byte {middle} ")), "{different:?}");
    }
}

/// A file that is cut off, or of another kind, is no recording.
#[test]
fn a_broken_file_is_an_error() {
    let vector = Vector { output: vec![1, 2, 3], ..convert::vectors().remove(0) };
    let text = File { device: "a device".into(), vectors: vec![vector] }.to_string();
    assert!(File::parse(&text).is_ok());
    assert!(File::parse("").is_err());
    assert!(File::parse(&text.replacen(" 1\n", " 2\n", 1)).is_err(), "another version");
    for lines in 1..text.lines().count() {
        let cut: Vec<&str> = text.lines().take(lines).collect();
        assert!(File::parse(&cut.join("\n")).is_err(), "cut after {lines} lines");
    }
    assert!(File::parse(&text.replacen("010203", "01020", 1)).is_err(), "half a byte");
    assert!(File::parse(&text.replacen("010203", "0102é3", 1)).is_err(), "no hexadecimal digit");
}
