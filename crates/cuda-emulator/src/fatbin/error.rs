//! Why an image cannot be loaded.

/// What is wrong with a fatbin, or missing in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FatbinError {
    /// A null pointer.
    #[error("the image is a null pointer")]
    Null,
    /// Neither a fatbin nor PTX text with a `.target`.
    #[error("the image is neither a fatbin nor PTX: no known magic number, and no `.target sm_..` in it")]
    Unknown,
    /// A bare cubin.
    #[error(
        "the image is machine code without PTX (a cubin), and PTX is what is executed here: \
         load a fatbin with PTX in it (nvcc -fatbin -gencode arch=compute_90a,code=[sm_90a,compute_90a])"
    )]
    OnlyMachineCode,
    /// No PTX for this device.
    #[error("no PTX for compute capability {}.{} among: {images}", .capability.0, .capability.1)]
    NoneFits {
        /// The device's.
        capability: (u32, u32),
        /// What there is.
        images: String,
    },
    /// A size says more than there is.
    #[error("{what} is cut off: it needs {needs} bytes, and there are {has}")]
    Truncated {
        /// The part.
        what: &'static str,
        /// Bytes it should have.
        needs: u64,
        /// Bytes it has.
        has: u64,
    },
    /// An image whose contents are not what its header says.
    #[error("the {what} of the {image} is damaged: {why}")]
    Damaged {
        /// The image, `sm_90a PTX`.
        image: String,
        /// What of it.
        what: &'static str,
        /// The reason.
        why: String,
    },
}
