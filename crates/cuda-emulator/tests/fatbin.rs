//! Fatbins as nvcc writes them, compressed in each way, and damaged ones. How
//! the files were made is said in `data/fatbin/kernels.cu`.

use std::ffi::c_void;

use cuda_emulator::fatbin::{
    FatbinError, Image, Kind, Resources, Scope, Target, bytes_at, images, machine_code, resources, select,
};
use proptest::prelude::*;

const PLAIN: &[u8] = include_bytes!("data/fatbin/ptx_none.fatbin");
const ZSTD: &[u8] = include_bytes!("data/fatbin/ptx_default.fatbin");
const LZ4: &[u8] = include_bytes!("data/fatbin/ptx_speed.fatbin");
const WITH_ELF: &[u8] = include_bytes!("data/fatbin/with_elf.fatbin");
const MANY: &[u8] = include_bytes!("data/fatbin/many.fatbin");

const TEXT: &str = "// .target sm_80\n.version 9.0\n.target sm_90a, debug\n.address_size 64\n";

fn target(name: &str) -> Target {
    Target::parse(name).unwrap()
}

/// The PTX of the only image.
fn only_ptx(fatbin: &[u8]) -> String {
    let images = images(fatbin).unwrap();
    assert_eq!(images.len(), 1);
    assert_eq!((images[0].kind, images[0].target), (Kind::Ptx, target("sm_90a")));
    assert_eq!(images[0].options, "-O2");
    images[0].ptx().unwrap()
}

#[test]
fn every_compression_holds_the_same_text() {
    let text = only_ptx(PLAIN);
    let module = cuda_emulator::ptx::parse(&text).unwrap();
    let names: Vec<&str> = module.functions.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["scale", "shuffle"]);
    assert_eq!(only_ptx(ZSTD), text);
    assert_eq!(only_ptx(LZ4), text);
}

#[test]
fn machine_code_tells_registers_and_stack() {
    let images = images(WITH_ELF).unwrap();
    let kinds: Vec<Kind> = images.iter().map(|image| image.kind).collect();
    assert_eq!(kinds, [Kind::Elf, Kind::Ptx]);
    assert!(machine_code(&images, (9, 1)).is_none(), "sm_90a is for 9.0 alone");
    let code = machine_code(&images, (9, 0)).unwrap();
    let found = resources(&code.contents().unwrap()).unwrap();
    // `cuobjdump -res-usage` says so.
    assert_eq!(found["scale"], Resources { registers: 8, stack: 0 });
    assert_eq!(found["shuffle"], Resources { registers: 10, stack: 256 });
    assert_eq!(found.len(), 2);
}

#[test]
fn text_is_one_image() {
    for text in [TEXT.to_owned(), format!("{TEXT}\0\0rest"), TEXT.replace('\n', "\r\n")] {
        let images = images(text.as_bytes()).unwrap();
        assert_eq!((images.len(), images[0].target), (1, target("sm_90a")));
        assert_eq!(images[0].ptx().unwrap(), text.split('\0').next().unwrap());
    }
    for text in [&b""[..], b"P", b".version 9.0", b".target gfx90a", b"\xff\xfe.target sm_90"] {
        assert_eq!(images(text).unwrap_err(), FatbinError::Unknown);
    }
}

#[test]
fn the_highest_target_that_runs_is_taken() {
    let images = images(MANY).unwrap();
    let targets: Vec<String> = images.iter().map(|image| image.target.to_string()).collect();
    assert_eq!(targets, ["sm_80", "sm_90", "sm_90a", "sm_100f"]);
    for (capability, taken) in [
        ((8, 0), "sm_80"),
        ((8, 9), "sm_80"),
        ((9, 0), "sm_90a"),
        ((9, 1), "sm_90"),
        ((10, 0), "sm_100f"),
        ((10, 3), "sm_100f"),
        ((12, 0), "sm_90"),
    ] {
        let image = select(&images, capability).unwrap();
        assert_eq!(image.target, target(taken), "{capability:?}");
        // The container's word and the text's agree.
        assert!(image.ptx().unwrap().contains(&format!(".target {taken}")));
    }
    let error = select(&images, (7, 5)).unwrap_err().to_string();
    assert!(error.contains("7.5") && error.contains("sm_90a PTX"), "{error}");
    assert!(select(&[], (9, 0)).unwrap_err().to_string().contains("nothing"));
}

#[test]
fn machine_code_is_never_taken() {
    let images: Vec<Image> =
        images(WITH_ELF).unwrap().into_iter().filter(|image| image.kind == Kind::Elf).collect();
    let error = select(&images, (9, 0)).unwrap_err().to_string();
    assert!(error.contains("sm_90a machine code"), "{error}");
}

#[test]
fn targets() {
    let sm_103f = Target { capability: (10, 3), scope: Scope::Family };
    assert_eq!(Target::parse("sm_103f"), Some(sm_103f));
    for wrong in ["", "sm_", "sm_a", "90", "compute_90", "sm_90af"] {
        assert_eq!(Target::parse(wrong), None, "{wrong}");
    }
}

/// As a wrapper, which nvcc's host code registers, lies in memory.
#[repr(C)]
struct Wrapper {
    magic: u32,
    version: u32,
    data: *const u8,
    others: *const u8,
}

#[test]
fn the_length_behind_a_pointer() {
    // Something behind each, so that a length that is wrong shows.
    let with_tail = |bytes: &[u8]| [bytes, b"tail"].concat();
    let fatbin = with_tail(ZSTD);
    let text = format!("{TEXT}\0tail");
    let wrapper = |data| Wrapper { magic: 0x4662_43b1, version: 1, data, others: std::ptr::null() };
    let (wrapped, hollow) = (wrapper(fatbin.as_ptr()), wrapper(std::ptr::null()));
    let cubin = images(WITH_ELF).unwrap()[0].contents().unwrap().into_owned();
    // SAFETY: each is null or a whole image.
    unsafe {
        assert_eq!(bytes_at(fatbin.as_ptr().cast()), Ok(ZSTD));
        assert_eq!(bytes_at((&raw const wrapped).cast()), Ok(ZSTD));
        assert_eq!(bytes_at((&raw const hollow).cast()), Err(FatbinError::Null));
        assert_eq!(bytes_at(std::ptr::null::<c_void>()), Err(FatbinError::Null));
        assert_eq!(bytes_at(text.as_ptr().cast()), Ok(TEXT.as_bytes()));
        // Texts shorter than a magic number, and ones that begin like it.
        for short in [&b"\0"[..], b"P\0", b"P\xedU\0", b"\x7fEL\0"] {
            assert_eq!(bytes_at(short.as_ptr().cast()), Ok(&short[..short.len() - 1]));
        }
        assert_eq!(bytes_at(cubin.as_ptr().cast()), Err(FatbinError::OnlyMachineCode));
    }
    assert_eq!(images(&cubin).unwrap_err(), FatbinError::OnlyMachineCode);
}

/// Offset of the first entry.
const ENTRY: usize = 16;

/// The error of loading `fatbin` after writing `bytes` at `at`.
fn damaged(fatbin: &[u8], at: usize, bytes: &[u8]) -> String {
    let mut fatbin = fatbin.to_vec();
    fatbin[at..at + bytes.len()].copy_from_slice(bytes);
    let result = images(&fatbin).and_then(|images| images[0].ptx());
    result.unwrap_err().to_string()
}

#[test]
fn errors_name_what_is_wrong() {
    let cut = images(&ZSTD[..ZSTD.len() - 1]).unwrap_err().to_string();
    assert!(cut.starts_with("the fatbin is cut off"), "{cut}");
    let all = [0xff; 8];
    for (fatbin, at, bytes, expected) in [
        (ZSTD, 8, &all[..], "the fatbin is cut off"),
        (ZSTD, ENTRY + 4, &[8, 0, 0, 0], "an entry's header is cut off"),
        (ZSTD, ENTRY + 4, &all[..4], "an entry's header is cut off"),
        (ZSTD, ENTRY + 8, &all, "an entry's payload is cut off"),
        (ZSTD, ENTRY + 16, &all[..4], "a compressed payload is cut off"),
        (ZSTD, ENTRY + 20, &all[..4], "an entry's list of options is cut off"),
        (ZSTD, ENTRY + 56, &all, "the size of the sm_90a PTX is damaged"),
        (ZSTD, ENTRY + 56, &[8, 0], "the zstd frame of the sm_90a PTX is damaged"),
        (ZSTD, ENTRY + 57, &[0x70], "the size of the sm_90a PTX is damaged"),
        (LZ4, ENTRY + 56, &[8, 0], "the LZ4 block of the sm_90a PTX is damaged"),
        (LZ4, ENTRY + 57, &[0x70], "the size of the sm_90a PTX is damaged"),
        (PLAIN, ENTRY + 100, &[0xff], "the text of the sm_90a PTX is damaged"),
    ] {
        let error = damaged(fatbin, at, bytes);
        assert!(error.starts_with(expected), "{at}: {error}");
    }
}

proptest! {
    /// Any bytes changed, any end cut off: a result or an error, nothing else.
    #[test]
    fn damage(
        which in 0..4usize,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in 0..64usize,
    ) {
        let mut fatbin = [ZSTD, LZ4, WITH_ELF, MANY][which].to_vec();
        for (at, byte) in edits {
            // Headers are where it hurts, so half of the edits go there.
            let range = if byte % 2 == 0 { 200 } else { fatbin.len() };
            let at = at.index(range);
            fatbin[at] = byte;
        }
        fatbin.truncate(fatbin.len() - cut);
        if let Ok(images) = images(&fatbin) {
            for image in &images {
                if let Ok(contents) = image.contents() {
                    let _ = (image.ptx(), resources(&contents));
                }
            }
            let _ = select(&images, (9, 0));
        }
    }

    #[test]
    fn damaged_machine_code(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let images = images(WITH_ELF).unwrap();
        let mut elf = images[0].contents().unwrap().into_owned();
        for (at, byte) in edits {
            let at = at.index(elf.len());
            elf[at] = byte;
        }
        let _ = resources(&elf);
    }
}
