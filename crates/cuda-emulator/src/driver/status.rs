//! Result codes, and the reasons behind them.

use crate::memory::MemoryError;

/// What an API function of the emulator returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Status {
    Success = 0,
    InvalidValue = 1,
    OutOfMemory = 2,
    NotInitialized = 3,
    InvalidDevice = 101,
    InvalidImage = 200,
    InvalidContext = 201,
    NoBinaryForGpu = 209,
    UnsupportedLimit = 215,
    InvalidPtx = 218,
    UnsupportedExecAffinity = 224,
    FileNotFound = 301,
    OperatingSystem = 304,
    InvalidHandle = 400,
    IllegalState = 401,
    NotFound = 500,
    NotReady = 600,
    IllegalAddress = 700,
    LaunchOutOfResources = 701,
    LaunchTimeout = 702,
    PeerAccessAlreadyEnabled = 704,
    PeerAccessNotEnabled = 705,
    ContextIsDestroyed = 709,
    Assert = 710,
    HostMemoryAlreadyRegistered = 712,
    HostMemoryNotRegistered = 713,
    HardwareStackError = 714,
    IllegalInstruction = 715,
    MisalignedAddress = 716,
    InvalidPc = 718,
    LaunchFailed = 719,
    CooperativeLaunchTooLarge = 720,
    NotPermitted = 800,
    NotSupported = 801,
    StreamCaptureUnsupported = 900,
    StreamCaptureInvalidated = 901,
    StreamCaptureMerge = 902,
    StreamCaptureUnmatched = 903,
    StreamCaptureUnjoined = 904,
    StreamCaptureIsolation = 905,
    StreamCaptureImplicit = 906,
    CapturedEvent = 907,
    StreamCaptureWrongThread = 908,
    InvalidClusterSize = 912,
    Unknown = 999,
}

/// Why a call is refused: the code that the program sees, and what the log says.
#[derive(Debug)]
pub struct Failure {
    /// The code returned.
    pub status: Status,
    /// The reason in words; empty where the code says all.
    pub why: String,
}

/// What the inside of an API function returns.
pub type Outcome<T = ()> = Result<T, Failure>;

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Failure { status, why: String::new() }
    }
}

impl From<MemoryError> for Failure {
    fn from(error: MemoryError) -> Self {
        let status = match error {
            MemoryError::OutOfMemory { .. } | MemoryError::System { .. } => Status::OutOfMemory,
            MemoryError::NotAnAllocation { .. } | MemoryError::OutOfBounds { .. } => Status::InvalidValue,
            MemoryError::AlreadyRegistered { .. } => Status::HostMemoryAlreadyRegistered,
        };
        Failure { status, why: error.to_string() }
    }
}

/// Refuses a call, with the reason.
pub fn refuse<T>(status: Status, why: impl Into<String>) -> Outcome<T> {
    Err(Failure { status, why: why.into() })
}

/// Refuses a call unless `condition` holds.
pub fn require(condition: bool, status: Status, why: impl FnOnce() -> String) -> Outcome {
    if condition { Ok(()) } else { refuse(status, why()) }
}
