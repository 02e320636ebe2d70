//! What the environment says about how the emulator is to behave.

use std::env;
use std::path::PathBuf;
use std::sync::OnceLock;

use super::status::{Outcome, Status, refuse};
use crate::numeric::tensor_core::Arithmetic;

/// Read once, by `cuInit`.
#[derive(Debug)]
pub struct Settings {
    /// `CUDA_EMULATOR_DEVICES`: how many devices there are.
    pub devices: usize,
    /// `CUDA_EMULATOR_MEMORY`: bytes of memory per device, with an optional
    /// suffix K, M, G or T.
    pub memory: u64,
    /// `CUDA_EMULATOR_CAPABILITY`: the devices' compute capability, such as `8.0`.
    /// It decides which PTX of a fatbin runs; all else stays as it is on a 9.0.
    pub capability: (u32, u32),
    /// `CUDA_EMULATOR_EAGER=1`: operations run when they are queued.
    pub eager: bool,
    /// `CUDA_EMULATOR_SEED`: of the schedule.
    pub seed: u64,
    /// `CUDA_EMULATOR_THREADS`: of the host for a launch; 0 for as many as it has cores.
    pub threads: usize,
    /// `CUDA_EMULATOR_ARITHMETIC`: how tensor cores add.
    pub arithmetic: Arithmetic,
    /// `CUDA_EMULATOR_JSON`: the file to which findings are appended as JSON; `-` for stderr.
    pub json: Option<PathBuf>,
    /// `CUDA_EMULATOR=full`, the default: accesses are held against each other; `fast`: they are not.
    pub judges: bool,
    /// `CUDA_EMULATOR_SUBSTITUTE`: a PTX file that replaces the module with its kernels.
    pub substitute: Option<PathBuf>,
    /// `CUDA_EMULATOR_DUMP_PTX`: the folder to which each loaded module's PTX is written.
    pub dump_ptx: Option<PathBuf>,
}

impl Settings {
    pub fn from_environment() -> Outcome<Self> {
        let devices = number("CUDA_EMULATOR_DEVICES", 1)?;
        if !(1..=64).contains(&devices) {
            return refuse(Status::InvalidValue, "CUDA_EMULATOR_DEVICES must be 1 to 64");
        }
        Ok(Settings {
            devices: devices as usize,
            memory: number("CUDA_EMULATOR_MEMORY", 80 << 30)?,
            capability: capability("CUDA_EMULATOR_CAPABILITY")?,
            eager: flag("CUDA_EMULATOR_EAGER"),
            seed: number("CUDA_EMULATOR_SEED", 0)?,
            threads: number("CUDA_EMULATOR_THREADS", 0)? as usize,
            arithmetic: arithmetic("CUDA_EMULATOR_ARITHMETIC")?,
            json: env::var_os("CUDA_EMULATOR_JSON").filter(|path| !path.is_empty()).map(PathBuf::from),
            judges: judges("CUDA_EMULATOR")?,
            substitute: env::var_os("CUDA_EMULATOR_SUBSTITUTE").map(PathBuf::from),
            dump_ptx: env::var_os("CUDA_EMULATOR_DUMP_PTX").map(PathBuf::from),
        })
    }
}

/// `CUDA_EMULATOR_LOG=1`: every call that fails is written to stderr with its reason.
pub fn log() -> bool {
    static LOG: OnceLock<bool> = OnceLock::new();
    *LOG.get_or_init(|| flag("CUDA_EMULATOR_LOG"))
}

fn flag(name: &str) -> bool {
    env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0")
}

fn number(name: &str, default: u64) -> Outcome<u64> {
    let Some(value) = env::var_os(name).filter(|value| !value.is_empty()) else {
        return Ok(default);
    };
    match value.to_str().and_then(parse) {
        Some(number) => Ok(number),
        None => refuse(Status::InvalidValue, format!("{name} is no number: {value:?}")),
    }
}

/// An H100's, unless the variable says otherwise.
fn capability(name: &str) -> Outcome<(u32, u32)> {
    let Some(value) = env::var_os(name).filter(|value| !value.is_empty()) else {
        return Ok((9, 0));
    };
    let numbers = value.to_str().and_then(|text| text.split_once('.'));
    match numbers.map(|(major, minor)| (major.parse(), minor.parse())) {
        Some((Ok(major @ 5..), Ok(minor @ 0..=9))) => Ok((major, minor)),
        _ => refuse(Status::InvalidValue, format!("{name} is no compute capability such as 8.0: {value:?}")),
    }
}

/// As an H100 does it, unless the variable says otherwise.
fn arithmetic(name: &str) -> Outcome<Arithmetic> {
    match env::var_os(name).filter(|value| !value.is_empty()) {
        None => Ok(Arithmetic::Hardware),
        Some(value) if value == "hardware" => Ok(Arithmetic::Hardware),
        Some(value) if value == "exact" => Ok(Arithmetic::Exact),
        Some(value) => {
            refuse(Status::InvalidValue, format!("{name} is neither `hardware` nor `exact`: {value:?}"))
        }
    }
}

/// Are races looked for, as they are unless the variable says otherwise?
fn judges(name: &str) -> Outcome<bool> {
    match env::var_os(name).filter(|value| !value.is_empty()) {
        None => Ok(true),
        Some(value) if value == "full" => Ok(true),
        Some(value) if value == "fast" => Ok(false),
        Some(value) => {
            refuse(Status::InvalidValue, format!("{name} is neither `full` nor `fast`: {value:?}"))
        }
    }
}

/// A number with an optional binary suffix.
fn parse(text: &str) -> Option<u64> {
    let shift = match text.chars().last()?.to_ascii_uppercase() {
        'K' => 10,
        'M' => 20,
        'G' => 30,
        'T' => 40,
        _ => return text.parse().ok(),
    };
    let number: u64 = text[..text.len() - 1].parse().ok()?;
    number.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn sizes_have_suffixes() {
        assert_eq!(parse("12"), Some(12));
        assert_eq!(parse("3G"), Some(3 << 30));
        assert_eq!(parse("5k"), Some(5 << 10));
        assert_eq!(parse("99999999999T"), None);
        assert_eq!(parse("G"), None);
        assert_eq!(parse("1x"), None);
    }
}
