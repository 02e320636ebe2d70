//! Operands on the device, in copies.

use std::sync::Arc;

use deepkern::{
    Device, MatrixViewMut, Result,
    cudarc::driver::{CudaSlice, CudaStream, DevicePtr, result},
    fp8::{BLOCK, F8E4M3, Fp8View, GemmPlan, GemmShape, ScaleLayout, Vec128},
};
use half::bf16;

/// Codes on the host: what quantising numbers from N(0, 1) gives.
pub struct Pool(Vec<F8E4M3>);

impl Pool {
    pub fn new(len: usize) -> Self {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let table: Vec<F8E4M3> = (0..1 << 16)
            .map(|_| {
                // Box and Muller's method; of 128 such numbers the largest is about 2.7, and becomes 448.
                let mut uniform = || ((next() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
                let radius = (-2.0 * uniform().ln()).sqrt();
                let x = radius * (std::f64::consts::TAU * uniform()).cos() * (448.0 / 2.7);
                F8E4M3::from_f64(x.clamp(-448.0, 448.0))
            })
            .collect();
        let draw = |bits: u64| (0..4).map(move |i| (bits >> (16 * i)) as u16 as usize);
        let codes = (0..len.div_ceil(4)).flat_map(|_| draw(next())).map(|i| table[i]);
        Self(codes.take(len).collect())
    }
}

/// Copies of A, B and their scales, each with room for D.
pub struct Operands {
    pub shape: GemmShape,
    pub stream: Arc<CudaStream>,
    copies: Vec<Buffers>,
    addresses: Vec<Addresses>,
}

struct Buffers {
    a: CudaSlice<F8E4M3>,
    a_scales: CudaSlice<f32>,
    b: CudaSlice<F8E4M3>,
    b_scales: CudaSlice<f32>,
    d: CudaSlice<bf16>,
}

impl Buffers {
    fn addresses(&self, stream: &CudaStream) -> Addresses {
        Addresses {
            a: self.a.device_ptr(stream).0,
            a_scales: self.a_scales.device_ptr(stream).0,
            b: self.b.device_ptr(stream).0,
            b_scales: self.b_scales.device_ptr(stream).0,
            d: self.d.device_ptr(stream).0,
        }
    }
}

/// Addresses of one copy.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    pub a: u64,
    pub a_scales: u64,
    pub b: u64,
    pub b_scales: u64,
    pub d: u64,
}

impl Operands {
    /// m as cuBLASLt wants it.
    pub fn padded_m(&self) -> usize {
        self.shape.m.next_multiple_of(4)
    }

    /// Scales of B from the start of one row to that of the next, as cuBLASLt wants it.
    fn b_scale_stride(GemmShape { k, .. }: GemmShape) -> usize {
        k.div_ceil(BLOCK).next_multiple_of(4)
    }

    /// Bytes that a launch touches once.
    pub fn bytes(shape: GemmShape) -> usize {
        let GemmShape { m, n, k } = shape;
        let scales = Vec128::scale_len(m, k) + n.div_ceil(BLOCK) * k.div_ceil(BLOCK);
        m * k + n * k + 4 * scales + 2 * m * n
    }

    pub fn new(device: &Device, pool: &Pool, shape: GemmShape, copies: usize) -> Result<Self> {
        let GemmShape { m, n, k } = shape;
        let stream = device.context().new_stream()?;
        let rows = m.next_multiple_of(4);
        let scale = |i: usize| (1.0 + (i % 97) as f32 / 97.0) / 128.0;
        let scales = |count: usize| (0..count).map(scale).collect::<Vec<f32>>();
        let b_scale_len = n.div_ceil(BLOCK) * Self::b_scale_stride(shape);
        let mut all: Vec<Buffers> = Vec::new();
        for _ in 0..copies {
            let copy = match all.first() {
                None => {
                    let mut a = stream.alloc_zeros(rows * k)?;
                    stream.memcpy_htod(&pool.0[..m * k], &mut a)?;
                    Buffers {
                        a,
                        a_scales: stream.clone_htod(&scales(Vec128::scale_len(m, k)))?,
                        b: stream.clone_htod(&pool.0[pool.0.len() - n * k..])?,
                        b_scales: stream.clone_htod(&scales(b_scale_len))?,
                        d: stream.alloc_zeros(rows * n)?,
                    }
                }
                Some(first) => Buffers {
                    a: stream.clone_dtod(&first.a)?,
                    a_scales: stream.clone_dtod(&first.a_scales)?,
                    b: stream.clone_dtod(&first.b)?,
                    b_scales: stream.clone_dtod(&first.b_scales)?,
                    d: stream.alloc_zeros(rows * n)?,
                },
            };
            all.push(copy);
        }
        // Everything goes to one stream, which is waited for before anything is freed.
        let addresses = all.iter().map(|copy| copy.addresses(&stream)).collect();
        stream.synchronize()?;
        Ok(Self { shape, stream, copies: all, addresses })
    }

    pub fn copies(&self) -> usize {
        self.copies.len()
    }

    /// Where a copy is. In a capture cudarc may not be asked: it would have the graph wait for what came before.
    pub fn addresses(&self, copy: usize) -> Addresses {
        self.addresses[copy]
    }

    /// Queues our GEMM on one copy, as an engine with memory of its own does.
    pub fn run(&self, plan: &mut GemmPlan<bf16>, copy: usize) -> Result<()> {
        let GemmShape { m, n, k } = self.shape;
        let at = self.addresses(copy);
        // SAFETY: the buffers are as large as the shapes say, and outlive what is queued.
        unsafe {
            let a = Fp8View::from_raw(at.a, at.a_scales, m, k, k, Vec128::scale_stride(m, k))?;
            let b = Fp8View::from_raw(at.b, at.b_scales, n, k, k, Self::b_scale_stride(self.shape))?;
            plan.run(&self.stream, a, b, MatrixViewMut::from_raw(at.d, m, n, n)?)
        }
    }

    /// Makes a copy's D NaN, so that no result there is taken for another's.
    pub fn spoil(&self, copy: usize) -> Result<()> {
        let bytes = 2 * self.padded_m() * self.shape.n;
        // SAFETY: that many bytes are D's.
        unsafe { result::memset_d8_async(self.addresses[copy].d, 0xff, bytes, self.stream.cu_stream()) }?;
        Ok(())
    }

    /// The first and the last rows of a copy's D.
    pub fn result(&self, copy: usize) -> Result<Vec<bf16>> {
        let GemmShape { m, n, .. } = self.shape;
        let (d, rows) = (&self.copies[copy].d, m.min(64));
        let mut result = self.stream.clone_dtoh(&d.slice(..rows * n))?;
        result.extend(self.stream.clone_dtoh(&d.slice((m - rows) * n..m * n))?);
        self.stream.synchronize()?;
        Ok(result)
    }
}

impl Drop for Operands {
    fn drop(&mut self) {
        // Freeing would wait as well, if the driver could be told what is in use.
        let _ = self.stream.synchronize();
    }
}

/// `||b - a|| / ||a||`
pub fn difference(a: &[bf16], b: &[bf16]) -> f64 {
    let square = |x: f64| x * x;
    let apart: f64 = a.iter().zip(b).map(|(a, b)| square(b.to_f64() - a.to_f64())).sum();
    (apart / a.iter().map(|a| square(a.to_f64())).sum::<f64>()).sqrt()
}
