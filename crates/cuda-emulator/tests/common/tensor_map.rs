//! Tensor maps made by the driver, for every test that needs one.

use cudarc::driver::sys::{
    self, CUresult, CUtensorMap, CUtensorMapDataType, CUtensorMapFloatOOBfill, CUtensorMapInterleave,
    CUtensorMapL2promotion, CUtensorMapSwizzle,
};

/// The arguments of `cuTensorMapEncodeTiled`.
#[derive(Debug, Clone, PartialEq)]
pub struct Tiled {
    pub element: CUtensorMapDataType,
    pub rank: u32,
    pub address: u64,
    pub dims: Vec<u64>,
    pub strides: Vec<u64>,
    pub box_dims: Vec<u32>,
    pub element_strides: Vec<u32>,
    pub interleave: CUtensorMapInterleave,
    pub swizzle: CUtensorMapSwizzle,
    pub promotion: CUtensorMapL2promotion,
    pub fill: CUtensorMapFloatOOBfill,
}

impl Tiled {
    /// A dense tensor, its rows padded to 16 bytes, and all else as plain as it can be.
    pub fn new(element: CUtensorMapDataType, address: u64, dims: &[u64], box_dims: &[u32]) -> Self {
        let mut bytes = (dims[0] * bytes_of(element)).next_multiple_of(16);
        let strides = dims[1..].iter().map(|size| {
            let stride = bytes;
            bytes *= size;
            stride
        });
        Self {
            element,
            rank: dims.len() as u32,
            address,
            dims: dims.to_vec(),
            strides: strides.collect(),
            box_dims: box_dims.to_vec(),
            element_strides: vec![1; dims.len()],
            interleave: CUtensorMapInterleave::CU_TENSOR_MAP_INTERLEAVE_NONE,
            swizzle: CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_NONE,
            promotion: CUtensorMapL2promotion::CU_TENSOR_MAP_L2_PROMOTION_NONE,
            fill: CUtensorMapFloatOOBfill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
        }
    }

    /// The map, or the driver's refusal.
    pub fn encode(&self) -> Result<CUtensorMap, CUresult> {
        let mut map = CUtensorMap { opaque: [0; 16] };
        // SAFETY: the map is aligned as its type says, and the arrays are as long as the rank, as far as it is legal.
        let result = unsafe {
            sys::cuTensorMapEncodeTiled(
                &mut map,
                self.element,
                self.rank,
                self.address as *mut _,
                self.dims.as_ptr(),
                self.strides.as_ptr(),
                self.box_dims.as_ptr(),
                self.element_strides.as_ptr(),
                self.interleave,
                self.swizzle,
                self.promotion,
                self.fill,
            )
        };
        if result == CUresult::CUDA_SUCCESS { Ok(map) } else { Err(result) }
    }
}

/// Bytes of an element.
pub fn bytes_of(element: CUtensorMapDataType) -> u64 {
    use CUtensorMapDataType::*;
    match element {
        CU_TENSOR_MAP_DATA_TYPE_UINT8 => 1,
        CU_TENSOR_MAP_DATA_TYPE_UINT16
        | CU_TENSOR_MAP_DATA_TYPE_FLOAT16
        | CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 => 2,
        CU_TENSOR_MAP_DATA_TYPE_UINT64 | CU_TENSOR_MAP_DATA_TYPE_INT64 | CU_TENSOR_MAP_DATA_TYPE_FLOAT64 => 8,
        _ => 4,
    }
}
