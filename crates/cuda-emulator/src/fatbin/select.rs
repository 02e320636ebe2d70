//! Which images run on a device.

use super::{FatbinError, Image, Kind, Scope, Target};

impl Target {
    /// Whether PTX for this target runs on a device of `capability`.
    pub fn runs_on(self, capability: (u32, u32)) -> bool {
        match self.scope {
            Scope::Portable => self.capability <= capability,
            Scope::Family => self.capability <= capability && self.capability.0 == capability.0,
            Scope::Exact => self.capability == capability,
        }
    }
}

/// The PTX that the driver would take for a device of `capability`: of what runs
/// on it, the highest target, and of equal ones the most special.
pub fn select<'a, 'b>(images: &'a [Image<'b>], capability: (u32, u32)) -> Result<&'a Image<'b>, FatbinError> {
    let fits = images.iter().filter(|image| image.kind == Kind::Ptx && image.target.runs_on(capability));
    fits.max_by_key(|image| image.target).ok_or_else(|| {
        let all: Vec<String> = images.iter().map(Image::to_string).collect();
        let images = if all.is_empty() { "nothing".to_owned() } else { all.join(", ") };
        FatbinError::NoneFits { capability, images }
    })
}

/// The machine code that the driver would take for a device of `capability`
/// before any PTX: within a major version it runs on later minor ones too.
pub fn machine_code<'a, 'b>(images: &'a [Image<'b>], capability: (u32, u32)) -> Option<&'a Image<'b>> {
    let fits = images.iter().filter(|image| {
        let same_major = image.target.capability.0 == capability.0;
        image.kind == Kind::Elf && same_major && image.target.runs_on(capability)
    });
    fits.max_by_key(|image| image.target)
}
