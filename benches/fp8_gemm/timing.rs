//! Launches in a graph, and how long they take.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use deepkern::cudarc::driver::{
    CudaGraph, CudaStream,
    sys::{CUevent_flags, CUgraphInstantiate_flags, CUstreamCaptureMode},
};
use serde::Serialize;

use crate::{SAMPLES, text};

/// Launches of a graph, at least.
const LAUNCHES: usize = 16;

/// One launch for each copy of the operands, in a graph, several times over if they are few.
pub struct Launches {
    stream: Arc<CudaStream>,
    graph: CudaGraph,
    count: u64,
    /// Seconds a launch, of each time that it was asked for.
    times: Vec<f64>,
}

/// Seconds that a launch takes.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Sample {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Launches {
    /// Captures what `launch` queues for each copy.
    pub fn capture(
        stream: &Arc<CudaStream>,
        copies: usize,
        mut launch: impl FnMut(usize) -> Result<(), String>,
    ) -> Result<Self, String> {
        let count = copies * LAUNCHES.div_ceil(copies);
        stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED).map_err(text)?;
        let queued = (0..count).try_for_each(|i| launch(i % copies));
        // The capture has to end, whatever came of it.
        let flags = CUgraphInstantiate_flags::CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH;
        let graph = stream.end_capture(flags).map_err(text);
        queued?;
        let graph = graph?.ok_or("nothing was captured")?;
        Ok(Self { stream: stream.clone(), graph, count: count as u64, times: Vec::new() })
    }

    /// The time of so many launches, from that of whole graphs.
    pub fn time(&mut self, launches: u64) -> Duration {
        let rounds = launches.div_ceil(self.count);
        let event =
            || self.stream.record_event(Some(CUevent_flags::CU_EVENT_DEFAULT)).expect("records an event");
        let start = event();
        for _ in 0..rounds {
            self.graph.launch().expect("is launched");
        }
        let end = event();
        let seconds = f64::from(start.elapsed_ms(&end).expect("the events have passed")) * 1e-3;
        let one = seconds / (rounds * self.count) as f64;
        self.times.push(one);
        Duration::from_secs_f64(one * launches as f64)
    }

    /// Of the last measurements: those before warmed up.
    pub fn sample(&self) -> Sample {
        let first = self.times.len().saturating_sub(SAMPLES);
        let mut times = self.times[first..].to_vec();
        times.sort_by(f64::total_cmp);
        let at = |i: usize| times.get(i).copied().unwrap_or(f64::NAN);
        Sample { median: at(times.len() / 2), least: at(0), most: at(times.len().saturating_sub(1)) }
    }
}

/// Seconds that a launch takes the host: the median of those of a few short queues, which the driver takes without
/// waiting for the device.
pub fn host(
    mut launch: impl FnMut(usize) -> Result<(), String>,
    mut wait: impl FnMut() -> Result<(), String>,
) -> Result<f64, String> {
    let mut times = Vec::new();
    for _ in 0..4 {
        for i in 0..16 {
            let start = Instant::now();
            launch(i)?;
            times.push(start.elapsed().as_secs_f64());
        }
        wait()?;
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
