//! What the device can do at best.

use deepkern::{Device, Result, cudarc::driver::sys::CUevent_flags, fp8::GemmShape};
use serde::Serialize;

use crate::operands::Operands;

/// The device, and its rates.
#[derive(Debug, Serialize)]
pub struct Machine {
    pub name: String,
    pub emulated: bool,
    /// Bytes a second that a large copy on the device reads and writes, measured.
    pub copy: Option<f64>,
    /// Those that floors are made of; none of the emulator's.
    pub rates: Option<Rates>,
}

/// Bytes and FP8 operations a second.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Rates {
    pub bytes: f64,
    pub operations: f64,
    pub source: &'static str,
}

/// Datasheets', dense, by what a device's name holds; the first that fits. (A GH200 comes with different memories: it
/// is measured.)
const DATASHEETS: [(&str, Rates); 7] = {
    const fn of(bytes: f64, operations: f64) -> Rates {
        Rates { bytes: bytes * 1e12, operations: operations * 1e12, source: "datasheet" }
    }
    [
        ("H200 NVL", of(4.8, 1671.0)),
        ("H200", of(4.8, 1979.0)),
        ("H100 NVL", of(3.9, 1671.0)),
        ("H100 PCIe", of(2.0, 1513.0)),
        ("H800 PCIe", of(2.0, 1513.0)),
        ("H100", of(3.35, 1979.0)),
        ("H800", of(3.35, 1979.0)),
    ]
};

/// Bytes of the copy that is measured.
const COPY: usize = 1 << 30;

/// The least time of a GEMM.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Floor {
    pub seconds: f64,
    /// `memory` or `tensor`.
    pub bound: &'static str,
}

impl Machine {
    pub fn measure(device: &Device, emulated: bool) -> Result<Self> {
        let name = device.context().name()?;
        if emulated {
            return Ok(Self { name, emulated, copy: None, rates: None });
        }
        let copy = copy(device)?;
        let listed = DATASHEETS.iter().find(|(part, _)| name.contains(part) && !name.contains("GH200"));
        let listed = listed.map(|(_, rates)| *rates);
        // Of an unknown device the memory is what was measured, and operations are no bound.
        let measured =
            Rates { bytes: copy, operations: f64::INFINITY, source: "the measured copy, without operations" };
        Ok(Self { name, emulated, copy: Some(copy), rates: Some(listed.unwrap_or(measured)) })
    }

    /// The larger of what the bytes take and what the operations take.
    pub fn floor(&self, shape: GemmShape) -> Option<Floor> {
        let rates = self.rates?;
        let GemmShape { m, n, k } = shape;
        let memory = Operands::bytes(shape) as f64 / rates.bytes;
        let tensor = 2.0 * m as f64 * n as f64 * k as f64 / rates.operations;
        Some(match memory >= tensor {
            true => Floor { seconds: memory, bound: "memory" },
            false => Floor { seconds: tensor, bound: "tensor" },
        })
    }
}

fn copy(device: &Device) -> Result<f64> {
    let stream = device.context().default_stream();
    let from = stream.alloc_zeros::<u8>(COPY)?;
    let mut to = stream.alloc_zeros::<u8>(COPY)?;
    let mut seconds = Vec::new();
    for _ in 0..6 {
        let event = || stream.record_event(Some(CUevent_flags::CU_EVENT_DEFAULT));
        let start = event()?;
        stream.memcpy_dtod(&from, &mut to)?;
        let end = event()?;
        seconds.push(f64::from(start.elapsed_ms(&end)?) * 1e-3);
    }
    Ok(2.0 * COPY as f64 / seconds.into_iter().fold(f64::INFINITY, f64::min))
}
