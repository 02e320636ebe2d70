//! The model's projections on the device, as an engine would run them: weights resident, plans made once for each
//! shape, buffers allocated once for the largest.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use cuda_emulator::counters::Counters;
use deepkern::{
    Device, MatrixView, MatrixViewMut, Result,
    cudarc::driver::{CudaEvent, CudaSlice, CudaStream, sys::CUevent_flags},
    fp8::{
        BLOCK, F8E4M3, Fp8MatrixView, Fp8MatrixViewMut, Fp8Weight, GemmPlan, GemmShape, GemmVariant,
        GemmWork, QuantizePlan, ScaleFormat, ScaleLayout, Vec128,
    },
    reference::Quantized,
};
use half::bf16;

use crate::checkpoint::Weight;

/// The output of a GEMM.
pub struct Product {
    pub values: Vec<f32>,
    /// The same by the kernel on CUDA cores.
    pub simple: Vec<f32>,
    pub variant: GemmVariant,
    /// What its tiling needs.
    pub work: GemmWork,
    /// What the emulator has counted.
    pub counted: Option<Counters>,
    /// From when the GEMM started on the device to when it had ended.
    pub milliseconds: f32,
}

pub struct Engine {
    device: Device,
    stream: Arc<CudaStream>,
    started: CudaEvent,
    ended: CudaEvent,
    weights: HashMap<String, Fp8Weight>,
    quantize_plans: HashMap<(usize, usize), QuantizePlan<bf16, Vec128>>,
    gemm_plans: HashMap<GemmShape, [GemmPlan<f32>; 2]>,
    // The input of a projection, its quantised form, and the output, each at the start of its buffer.
    x: CudaSlice<bf16>,
    codes: CudaSlice<F8E4M3>,
    scales: CudaSlice<f32>,
    d: CudaSlice<f32>,
}

impl Engine {
    /// Copies the weights to the device; inputs will have up to `max_rows` rows.
    pub fn new(device: &Device, weights: &[&Weight], max_rows: usize) -> Result<Self> {
        let context = device.context();
        let stream = context.default_stream();
        let timed = Some(CUevent_flags::CU_EVENT_DEFAULT);

        let max_k = weights.iter().map(|weight| weight.k).max().unwrap_or(1);
        let max_n = weights.iter().map(|weight| weight.n).max().unwrap_or(1);
        let upload = |weight: &&Weight| {
            let &&Weight { ref name, n, k, ref quantized } = weight;
            let codes: Vec<F8E4M3> = quantized.codes.iter().map(|&code| F8E4M3::from_bits(code)).collect();
            Ok((name.clone(), Fp8Weight::from_host(&stream, &codes, &quantized.scales, n, k)?))
        };
        Ok(Self {
            device: device.clone(),
            started: context.new_event(timed)?,
            ended: context.new_event(timed)?,
            weights: weights.iter().map(upload).collect::<Result<_>>()?,
            quantize_plans: HashMap::new(),
            gemm_plans: HashMap::new(),
            x: stream.alloc_zeros(max_rows * max_k)?,
            codes: stream.alloc_zeros(max_rows * max_k)?,
            scales: stream.alloc_zeros(Vec128::scale_len(max_rows, max_k))?,
            d: stream.alloc_zeros(max_rows * max_n)?,
            stream,
        })
    }

    /// Copies `x[m, k]` to the device and quantises it there.
    pub fn quantize(&mut self, x: &[bf16], m: usize, k: usize) -> Result<()> {
        let plan = match self.quantize_plans.entry((m, k)) {
            Entry::Occupied(plan) => plan.into_mut(),
            Entry::Vacant(none) => none.insert(QuantizePlan::new(&self.device, m, k, ScaleFormat::F32)?),
        };
        self.stream.memcpy_htod(x, &mut self.x)?;
        plan.run(
            &self.stream,
            MatrixView::new(self.x.as_view(), m, k)?,
            Fp8MatrixViewMut::new(self.codes.as_view_mut(), self.scales.as_view_mut(), m, k)?,
        )
    }

    /// Multiplies what was quantised last with a weight, by the kernel that the plan chooses and by the simple one.
    pub fn gemm(&mut self, weight: &str, m: usize) -> Result<Product> {
        let weight = &self.weights[weight];
        let shape = GemmShape { m, n: weight.rows(), k: weight.columns() };
        let simple = GemmVariant::Simple { rows: 64 };
        let [plan, simple] = match self.gemm_plans.entry(shape) {
            Entry::Occupied(plans) => plans.into_mut(),
            Entry::Vacant(none) => none.insert([
                GemmPlan::new(&self.device, shape)?,
                GemmPlan::with_variant(&self.device, shape, simple)?,
            ]),
        };
        let a = Fp8MatrixView::new(self.codes.as_view(), self.scales.as_view(), m, shape.k)?;
        let d = MatrixViewMut::new(self.d.as_view_mut(), m, shape.n)?;

        self.started.record(&self.stream)?;
        plan.run(&self.stream, a, weight, d)?;
        self.ended.record(&self.stream)?;
        let milliseconds = self.started.elapsed_ms(&self.ended)?;
        let counted = cuda_emulator::last_launch().map(|launch| launch.counters);
        let values = self.stream.clone_dtoh(&self.d.slice(..m * shape.n))?;

        let a = Fp8MatrixView::new(self.codes.as_view(), self.scales.as_view(), m, shape.k)?;
        simple.run(&self.stream, a, weight, MatrixViewMut::new(self.d.as_view_mut(), m, shape.n)?)?;
        Ok(Product {
            values,
            simple: self.stream.clone_dtoh(&self.d.slice(..m * shape.n))?,
            variant: plan.variant(),
            work: plan.work(),
            milliseconds,
            counted,
        })
    }

    /// What was quantised last, `[m, k]`, its scales row by row as the reference has them.
    pub fn quantized(&self, m: usize, k: usize) -> Result<Quantized> {
        let codes = self.stream.clone_dtoh(&self.codes.slice(..m * k))?;
        let scales = self.stream.clone_dtoh(&self.scales.slice(..Vec128::scale_len(m, k)))?;
        let stride = Vec128::scale_stride(m, k);
        let groups = k.div_ceil(BLOCK);
        Ok(Quantized {
            codes: codes.iter().map(F8E4M3::to_bits).collect(),
            scales: (0..m * groups).map(|i| scales[i % groups * stride + i / groups]).collect(),
        })
    }
}
