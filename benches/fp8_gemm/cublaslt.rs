//! cuBLASLt's GEMM with block scales, there since CUDA 12.9: loaded at run time, if at all.
//!
//! It thinks in columns. Our D = A B^T, row by row, is its D^T = B A^T: its first operand is our B, its second our A,
//! and both are transposed as its FP8 wants them.

use std::{ffi::c_void, ptr};

use deepkern::{
    Device,
    cudarc::{
        cublaslt::{
            result::{self, CublasError},
            sys::{self, cublasLtMatmulDescAttributes_t::*, cudaDataType},
        },
        driver::{CudaSlice, DevicePtr},
    },
    fp8::GemmShape,
};

use crate::{
    operands::{Addresses, Operands},
    text,
};

/// The first version that has block scales.
const NEEDED: usize = 120_900;

/// `CUBLASLT_MATMUL_MATRIX_SCALE_VEC128_32F` and `..._BLK128x128_32F` of CUDA 12.9's header, which is newer than the one
/// that cudarc is asked for.
const VEC128: i32 = 4;
const BLK128X128: i32 = 5;

/// `CUBLAS_OP_N` and `CUBLAS_OP_T`, which cudarc declares for cuBLAS alone.
const PLAIN: i32 = 0;
const TRANSPOSED: i32 = 1;

/// Bytes that it may use beside its operands: what is recommended for Hopper.
const WORKSPACE: usize = 32 << 20;

/// The library, with what every multiplication needs.
pub struct CublasLt {
    handle: sys::cublasLtHandle_t,
    /// Held for its address.
    _workspace: CudaSlice<u8>,
    workspace: u64,
    version: usize,
}

/// A call as an error that says which.
fn called<T>(what: &str, result: Result<T, CublasError>) -> Result<T, String> {
    result.map_err(|error| format!("{what}: {error}"))
}

impl CublasLt {
    /// The library, or why it is not to be had.
    pub fn new(device: &Device) -> Result<Self, String> {
        // SAFETY: loads the library, whose initialisers run as with any use of it.
        if !unsafe { sys::is_culib_present() } {
            return Err("libcublasLt is not found (LD_LIBRARY_PATH says where it may be)".into());
        }
        // SAFETY: every version has this function.
        let version = unsafe { sys::cublasLtGetVersion() };
        if version < NEEDED {
            return Err(format!("libcublasLt is version {version}; block scales are there from {NEEDED} on"));
        }
        if device.capability() != (9, 0) {
            return Err("these block scales are for Hopper alone".into());
        }
        let stream = device.context().default_stream();
        let buffer = stream.alloc_zeros(WORKSPACE).map_err(text)?;
        let workspace = buffer.device_ptr(&stream).0;
        stream.synchronize().map_err(text)?;
        let handle = called("cublasLtCreate", result::create_handle())?;
        Ok(Self { handle, _workspace: buffer, workspace, version })
    }

    pub fn version(&self) -> usize {
        self.version
    }
}

impl Drop for CublasLt {
    fn drop(&mut self) {
        // SAFETY: nobody has it but this.
        let _ = unsafe { result::destroy_handle(self.handle) };
    }
}

/// One shape, with the algorithm that the library's heuristic puts first.
pub struct Multiplication<'a> {
    peer: &'a CublasLt,
    description: sys::cublasLtMatmulDesc_t,
    layouts: [sys::cublasLtMatrixLayout_t; 3],
    algorithm: Option<sys::cublasLtMatmulAlgo_t>,
}

impl<'a> Multiplication<'a> {
    pub fn new(peer: &'a CublasLt, operands: &Operands) -> Result<Self, String> {
        let GemmShape { n, k, .. } = operands.shape;
        let m = operands.padded_m();
        let (fp8, bf16) = (cudaDataType::CUDA_R_8F_E4M3, cudaDataType::CUDA_R_16BF);
        let (compute, scale) = (sys::cublasComputeType_t::CUBLAS_COMPUTE_32F, cudaDataType::CUDA_R_32F);
        let description = called("cublasLtMatmulDescCreate", result::create_matmul_desc(compute, scale))?;
        let mut this = Self { peer, description, layouts: [ptr::null_mut(); 3], algorithm: None };
        let sizes = [(fp8, k, n, k), (fp8, k, m, k), (bf16, n, m, n)];
        for (layout, (of, rows, columns, stride)) in this.layouts.iter_mut().zip(sizes) {
            let made = result::create_matrix_layout(of, rows as u64, columns as u64, stride as i64);
            *layout = called("cublasLtMatrixLayoutCreate", made)?;
        }
        this.set(CUBLASLT_MATMUL_DESC_TRANSA, &TRANSPOSED)?;
        this.set(CUBLASLT_MATMUL_DESC_TRANSB, &PLAIN)?;
        this.set(CUBLASLT_MATMUL_DESC_A_SCALE_MODE, &BLK128X128)?;
        this.set(CUBLASLT_MATMUL_DESC_B_SCALE_MODE, &VEC128)?;
        this.point(operands.addresses(0))?;
        this.algorithm = Some(this.choose()?);
        Ok(this)
    }

    fn set<T>(&self, attribute: sys::cublasLtMatmulDescAttributes_t, value: &T) -> Result<(), String> {
        let (value, size) = (ptr::from_ref(value).cast::<c_void>(), size_of::<T>());
        // SAFETY: the description lives as long as this, and the value is as long as it says.
        let set = unsafe { result::set_matmul_desc_attribute(self.description, attribute, value, size) };
        called(&format!("{attribute:?}"), set)
    }

    /// The scales' addresses are part of the description.
    fn point(&self, at: Addresses) -> Result<(), String> {
        self.set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, &at.b_scales)?;
        self.set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, &at.a_scales)
    }

    fn choose(&self) -> Result<sys::cublasLtMatmulAlgo_t, String> {
        let preference = called("cublasLtMatmulPreferenceCreate", result::create_matmul_pref())?;
        let size = WORKSPACE as u64;
        let [a, b, d] = self.layouts;
        // SAFETY: all of these have been made and not destroyed.
        let chosen = unsafe {
            let workspace =
                sys::cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
            let chosen =
                result::set_matmul_pref_attribute(preference, workspace, ptr::from_ref(&size).cast(), 8)
                    .and_then(|()| {
                        let (handle, description) = (self.peer.handle, self.description);
                        result::get_matmul_algo_heuristic(handle, description, a, b, d, d, preference)
                    });
            let _ = result::destroy_matmul_pref(preference);
            chosen
        };
        called("cublasLtMatmulAlgoGetHeuristic", chosen).map(|chosen| chosen.algo)
    }

    /// Queues the multiplication of one copy of the operands.
    pub fn run(&self, operands: &Operands, copy: usize) -> Result<(), String> {
        let at = operands.addresses(copy);
        self.point(at)?;
        let (one, zero) = (1f32, 0f32);
        let [a, b, d] = self.layouts;
        let algorithm = self.algorithm.as_ref().map_or(ptr::null(), ptr::from_ref);
        // SAFETY: the operands are as large as the layouts say, and outlive what is queued.
        let queued = unsafe {
            result::matmul(
                self.peer.handle,
                self.description,
                ptr::from_ref(&one).cast(),
                ptr::from_ref(&zero).cast(),
                at.b as *const c_void,
                a,
                at.a as *const c_void,
                b,
                at.d as *const c_void,
                d,
                at.d as *mut c_void,
                d,
                algorithm,
                self.peer.workspace as *mut c_void,
                WORKSPACE,
                operands.stream.cu_stream().cast(),
            )
        };
        called("cublasLtMatmul", queued)
    }
}

impl Drop for Multiplication<'_> {
    fn drop(&mut self) {
        // SAFETY: nobody has them but this.
        unsafe {
            for layout in self.layouts.into_iter().filter(|layout| !layout.is_null()) {
                let _ = result::destroy_matrix_layout(layout);
            }
            let _ = result::destroy_matmul_desc(self.description);
        }
    }
}
