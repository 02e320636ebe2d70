//! `CUDA_EMULATOR_ARITHMETIC`: how tensor cores add.

use cudarc::driver::sys::{self, CUresult};

use super::kernels::{argument, function, launch, load};
use super::{Context, alloc, alone, download, ok};

/// 1 plus sixteen times 2^-25. Added one by one each is rounded away; added at once they are not.
const PTX: &str = "
    .version 8.7
    .target sm_90a
    .address_size 64
    .visible .entry sum(.param .u64 out)
    {
        .reg .b32 %a, %b;
        .reg .f32 %c, %d<4>;
        .reg .b64 %out;
        ld.param.u64 %out, [out];
        mov.b32 %a, 0x0c000c00;
        mov.b32 %b, 0x08000800;
        mov.f32 %c, 0f3F800000;
        mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32
            {%d0, %d1, %d2, %d3}, {%a, %a, %a, %a}, {%b, %b}, {%c, %c, %c, %c};
        st.global.f32 [%out], %d0;
        ret;
    }";

fn sum() -> f32 {
    let _context = Context::new();
    let mut out = alloc(4);
    ok(launch(function(load(PTX).unwrap(), "sum"), 1, 32, 0, &mut [argument(&mut out)]));
    let sum = f32::from_le_bytes(download(out, 4).try_into().unwrap());
    let counters = cuda_emulator::last_launch().expect("a launch").counters;
    assert_eq!(counters.tensor_multiply_adds, 16 * 8 * 16);
    sum
}

#[test]
fn sums_are_those_of_the_hardware() {
    for value in ["", "hardware"] {
        if alone("arithmetic::sums_are_those_of_the_hardware", &[("CUDA_EMULATOR_ARITHMETIC", value)]) {
            assert_eq!(sum(), 1.0 + 2f32.powi(-21));
        }
    }
}

#[test]
fn sums_are_exact_on_demand() {
    if alone("arithmetic::sums_are_exact_on_demand", &[("CUDA_EMULATOR_ARITHMETIC", "exact")]) {
        assert_eq!(sum(), 1.0);
    }
}

#[test]
fn an_arithmetic_that_is_none_is_refused() {
    if alone("arithmetic::an_arithmetic_that_is_none_is_refused", &[("CUDA_EMULATOR_ARITHMETIC", "roughly")])
    {
        cuda_emulator::install().expect("the emulator is beside the test binary");
        // SAFETY: called as the API asks.
        assert_eq!(unsafe { sys::cuInit(0) }, CUresult::CUDA_ERROR_INVALID_VALUE);
    }
}
