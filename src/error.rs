//! What can go wrong, with the numbers.

use cudarc::driver::DriverError;

/// The result of everything here that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What was wrong with a call.
///
/// Whatever the host can see is checked before anything is queued: after an error
/// other than [`Error::Driver`] nothing has happened on the device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no CUDA driver to load.
    #[error(
        "no CUDA driver: libcuda.so.1 could not be loaded. Install the NVIDIA driver, or add its folder to \
         LD_LIBRARY_PATH; on a machine without a GPU, use the cuda-emulator crate"
    )]
    NoDriver,

    /// The driver shows fewer devices than that.
    #[error("there is no device {ordinal}: the driver shows {count}")]
    NoSuchDevice {
        /// The device asked for.
        ordinal: usize,
        /// How many there are.
        count: usize,
    },

    /// The GPU is older than any kernel here.
    #[error(
        "the GPU's compute capability is {major}.{minor}; the kernels need 8.0 (Ampere) or newer",
        major = .capability.0, minor = .capability.1
    )]
    GpuTooOld {
        /// The GPU's compute capability, major and minor.
        capability: (u32, u32),
    },

    /// A kernel was asked for by name that there is not.
    #[error("there is no kernel {variant}")]
    NoSuchVariant {
        /// The kernel.
        variant: String,
    },

    /// A kernel was asked for by name that this GPU cannot run.
    #[error(
        "{variant} is for compute capability {major}.{minor} alone; this GPU has {}.{}",
        .capability.0, .capability.1, major = .needed.0, minor = .needed.1
    )]
    WrongGpu {
        /// The kernel.
        variant: String,
        /// The compute capability that it is for.
        needed: (u32, u32),
        /// The GPU's.
        capability: (u32, u32),
    },

    /// The crate was built without nvcc.
    #[error(
        "deepkern was built without its {family} kernels, since no nvcc was found. Install CUDA 12.8 or newer, \
         or set NVCC, or (in a checkout of deepkern) run scripts/toolchain.sh; then build again. \
         DEEPKERN_REQUIRE_KERNELS=1 makes their absence a build error"
    )]
    KernelsMissing {
        /// The family of kernels that the call needs.
        family: &'static str,
    },

    /// Sizes that have to be equal differ.
    #[error("{what} is {actual}, and has to be {expected}")]
    Shape {
        /// The size in question, such as "rows of d".
        what: &'static str,
        /// What the plan or the other operands ask for.
        expected: usize,
        /// What was given.
        actual: usize,
    },

    /// A size is beyond what the kernels can index.
    #[error("{what} is {value}; at most {limit} is possible")]
    TooLarge {
        /// The size in question.
        what: &'static str,
        /// What was given.
        value: usize,
        /// The largest possible.
        limit: usize,
    },

    /// Rows would overlap.
    #[error("the row stride of {what} is {stride} elements, less than the {minimum} that a row has")]
    StrideTooSmall {
        /// The operand.
        what: &'static str,
        /// The stride given.
        stride: usize,
        /// The length of a row.
        minimum: usize,
    },

    /// A stride does not keep the rows aligned.
    #[error("the row stride of {what} is {stride} elements, not a multiple of {multiple}")]
    StrideMisaligned {
        /// The operand.
        what: &'static str,
        /// The stride given.
        stride: usize,
        /// What it has to be a multiple of.
        multiple: usize,
    },

    /// A pointer is not aligned to its element.
    #[error("{what} starts at {address:#x}, not a multiple of {alignment} bytes")]
    Misaligned {
        /// The operand.
        what: &'static str,
        /// Its address on the device.
        address: u64,
        /// The alignment needed, in bytes.
        alignment: usize,
    },

    /// The memory given is shorter than shape and stride say.
    #[error("{what} needs {needed} elements, and its memory has {len}")]
    BufferTooSmall {
        /// The operand.
        what: &'static str,
        /// Elements from the first to the last that the shape reaches.
        needed: usize,
        /// Elements there are.
        len: usize,
    },

    /// An operand or a stream belongs to another context (usually: another GPU) than the plan.
    #[error(
        "{what} belongs to device {actual}, or to another context of device {expected}, where the plan is for device {expected}"
    )]
    ContextMismatch {
        /// The operand, or "the stream".
        what: &'static str,
        /// The plan's device.
        expected: usize,
        /// The operand's device.
        actual: usize,
    },

    /// The stream is being captured by other means than [`CapturedGraph`](crate::CapturedGraph), and so nothing
    /// would keep the memory alive for the graph.
    #[error(
        "the stream is being captured into a graph that would not keep {what} alive: capture with \
         deepkern::CapturedGraph, or pass views made from raw pointers"
    )]
    StreamCapturing {
        /// The operand.
        what: &'static str,
    },

    /// The operand is not one of the buffers that the graph being captured owns.
    #[error("{what} (device memory at {address:#x}) is not among the buffers that the graph owns")]
    NotInGraph {
        /// The operand.
        what: &'static str,
        /// Its address on the device.
        address: u64,
    },

    /// The driver ended a capture without a graph.
    #[error("the capture gave no graph")]
    CaptureFailed,

    /// The driver said no.
    #[error(transparent)]
    Driver(#[from] DriverError),
}
