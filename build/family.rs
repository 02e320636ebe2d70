//! Compiles one kernel family, `kernels/<family>.cu`, into one fatbin, or reuses the one that is there.

use std::{
    collections::hash_map::DefaultHasher,
    env,
    ffi::OsString,
    fs,
    hash::{Hash, Hasher},
    path::Path,
    process::Command,
    time::SystemTime,
};

use crate::nvcc::Nvcc;

/// One translation unit, one cargo feature, one fatbin.
pub struct Family {
    pub name: String,
}

/// In the fatbin: machine code and PTX for Hopper, and PTX that any GPU since Ampere can run.
/// (Kernels for Hopper alone leave the latter by `__CUDA_ARCH_FEAT_SM90_ALL`.)
const FLAGS: [&str; 13] = [
    "--fatbin",
    "-O3",
    "-std=c++17",
    "-lineinfo",
    "-gencode=arch=compute_90a,code=sm_90a",
    "-gencode=arch=compute_90a,code=compute_90a",
    "-gencode=arch=compute_80,code=compute_80",
    "--threads=0",
    "-Xptxas=-v",
    "-Ikernels",
    "-Ikernels/include",
    "-MD",
    "-MF",
];

/// The families whose cargo feature is on.
pub fn enabled() -> Result<Vec<Family>, String> {
    let mut families = Vec::new();
    let files = fs::read_dir("kernels").map_err(|error| format!("kernels/: {error}"))?;
    for file in files.flatten() {
        let path = file.path();
        let Some(name) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
        let feature = format!("CARGO_FEATURE_{}", name.to_uppercase());
        if path.extension().is_some_and(|extension| extension == "cu") && env::var_os(feature).is_some() {
            families.push(Family { name: name.to_owned() });
        }
    }
    families.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(families)
}

impl Family {
    /// Relative to the package's root.
    pub fn source(&self) -> String {
        format!("kernels/{}.cu", self.name)
    }

    /// Returns ptxas's report on the family's kernels.
    pub fn compile(&self, nvcc: &Nvcc, out: &Path) -> Result<String, String> {
        let file = |extension: &str| out.join(format!("{}.{extension}", self.name));
        let (fatbin, dependencies) = (file("fatbin"), file("d"));
        let (report, fingerprint) = (file("ptxas"), file("fingerprint"));

        let mut command = Command::new(&nvcc.path);
        command.args(FLAGS).arg(&dependencies).arg("-o").arg(&fatbin);
        if let Some(compiler) = host_compiler() {
            command.arg("-ccbin").arg(compiler);
        }
        command.arg(self.source());
        // nvcc completes the file names in the line information by PWD. With this one they name no folder of
        // the machine that built the fatbin.
        command.env("PWD", "/proc/self/cwd");

        let current = || Some(self.fingerprint(&command, nvcc, &read(&dependencies)?));
        let reusable = fatbin.is_file() && current().is_some_and(|now| read(&fingerprint) == Some(now));
        if !reusable {
            let started = SystemTime::now();
            // Until the new one is complete, there is none.
            let _ = fs::remove_file(&fingerprint);
            let output = command.output().map_err(|error| format!("{}: {error}", nvcc.path.display()))?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr);
            if !output.status.success() {
                return Err(format!("{command:?} failed ({}):\n{text}", output.status));
            }
            write(&report, &text)?;
            // A file that was edited meanwhile leaves no fingerprint: it is compiled again.
            let text = read(&dependencies).ok_or("nvcc wrote no list of dependencies")?;
            let edited = |path: &&str| modified(path.as_ref()).is_none_or(|time| time >= started);
            if !included(&text).any(|path| edited(&path)) {
                write(&fingerprint, &self.fingerprint(&command, nvcc, &text))?;
            }
        }

        for path in included(&read(&dependencies).ok_or("the list of dependencies is gone")?) {
            println!("cargo:rerun-if-changed={path}");
        }
        read(&report).ok_or_else(|| format!("{} is gone", report.display()))
    }

    /// All that the fatbin depends on: the command, the compiler, and every file of ours included.
    fn fingerprint(&self, command: &Command, nvcc: &Nvcc, dependencies: &str) -> String {
        let flags = ["NVCC_PREPEND_FLAGS", "NVCC_APPEND_FLAGS"].map(env::var_os);
        let mut text = format!("{command:?}\n{flags:?}\n{}\n", nvcc.version);
        for path in included(dependencies) {
            let mut hasher = DefaultHasher::new();
            fs::read(path).ok().hash(&mut hasher);
            text += &format!("{path} {:016x}\n", hasher.finish());
        }
        text
    }
}

/// The files under `kernels/` in a list of dependencies as `nvcc -MD` writes it. The toolkit's own
/// headers are known by its version.
fn included(dependencies: &str) -> impl Iterator<Item = &str> {
    dependencies.split_whitespace().filter(|word| word.starts_with("kernels/"))
}

/// For nvcc's `-ccbin`: what the user says, else what `cc` would use.
fn host_compiler() -> Option<OsString> {
    env::var_os("NVCC_CCBIN").or_else(|| {
        let compiler = cc::Build::new().cpp(true).try_get_compiler().ok()?;
        Some(compiler.path().into())
    })
}

fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok()
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}
