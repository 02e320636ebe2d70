pub const FP8_BLOCK: u32 = 128;
pub const FP8_SCALE_ROWS: u32 = 4;
pub const FP8_E4M3_MAX: u32 = 448;
pub const FP8_SCALE_F32: u32 = 0;
pub const FP8_SCALE_POW2: u32 = 1;
pub const FP8_QUANTIZE_THREADS: u32 = 256;
pub const FP8_QUANTIZE_ROWS: u32 = 8;
pub const FP8_SIMPLE_THREADS: u32 = 128;
pub const FP8_SIMPLE_TILE_N: u32 = 64;
pub const FP8_SIMPLE_TILE_M: u32 = 64;
pub const FP8_SIMPLE_TILE_M_SMALL: u32 = 16;
pub const FP8_HOPPER_SHARED: u32 = 232448;
pub const FP8_HOPPER_TILE_M: u32 = 128;
pub const FP8_HOPPER_THREADS: u32 = 384;
pub const FP8_HOPPER_STORE_ROWS: u32 = 64;
pub const FP8_DECODE_TILE_N: u32 = 128;
pub const FP8_DECODE_THREADS: u32 = 288;
#[repr(C)]
#[repr(align(64))]
#[derive(Debug, Copy, Clone)]
pub struct TensorMap {
    pub opaque: [u64; 16usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of TensorMap"][::core::mem::size_of::<TensorMap>() - 128usize];
    ["Alignment of TensorMap"][::core::mem::align_of::<TensorMap>() - 64usize];
    [
        "Offset of field: TensorMap::opaque",
    ][::core::mem::offset_of!(TensorMap, opaque) - 0usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct Fp8QuantizeArgs {
    pub x: *const ::core::ffi::c_void,
    pub q: *mut u8,
    pub scale: *mut f32,
    pub ldx: u64,
    pub ldq: u64,
    pub ld_scale: u64,
    pub rows: u32,
    pub columns: u32,
    pub scale_format: u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of Fp8QuantizeArgs"][::core::mem::size_of::<Fp8QuantizeArgs>() - 64usize];
    [
        "Alignment of Fp8QuantizeArgs",
    ][::core::mem::align_of::<Fp8QuantizeArgs>() - 8usize];
    [
        "Offset of field: Fp8QuantizeArgs::x",
    ][::core::mem::offset_of!(Fp8QuantizeArgs, x) - 0usize];
    [
        "Offset of field: Fp8QuantizeArgs::q",
    ][::core::mem::offset_of!(Fp8QuantizeArgs, q) - 8usize];
    [
        "Offset of field: Fp8QuantizeArgs::scale",
    ][::core::mem::offset_of!(Fp8QuantizeArgs, scale) - 16usize];
    [
        "Offset of field: Fp8QuantizeArgs::ldx",
    ][::core::mem::offset_of!(Fp8QuantizeArgs, ldx) - 24usize];
    [
        "Offset of field: Fp8QuantizeArgs::ldq",
    ][::core::mem::offset_of!(Fp8QuantizeArgs, ldq) - 32usize];
    [
        "Offset of field: Fp8QuantizeArgs::ld_scale",
    ][::core::mem::offset_of!(Fp8QuantizeArgs, ld_scale) - 40usize];
    [
        "Offset of field: Fp8QuantizeArgs::rows",
    ][::core::mem::offset_of!(Fp8QuantizeArgs, rows) - 48usize];
    [
        "Offset of field: Fp8QuantizeArgs::columns",
    ][::core::mem::offset_of!(Fp8QuantizeArgs, columns) - 52usize];
    [
        "Offset of field: Fp8QuantizeArgs::scale_format",
    ][::core::mem::offset_of!(Fp8QuantizeArgs, scale_format) - 56usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct Fp8GemmArgs {
    pub a: *const u8,
    pub a_scale: *const f32,
    pub b: *const u8,
    pub b_scale: *const f32,
    pub c: *const f32,
    pub d: *mut ::core::ffi::c_void,
    pub lda: u64,
    pub lda_scale: u64,
    pub ldb: u64,
    pub ldb_scale: u64,
    pub ldc: u64,
    pub ldd: u64,
    pub m: u32,
    pub n: u32,
    pub k: u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of Fp8GemmArgs"][::core::mem::size_of::<Fp8GemmArgs>() - 112usize];
    ["Alignment of Fp8GemmArgs"][::core::mem::align_of::<Fp8GemmArgs>() - 8usize];
    [
        "Offset of field: Fp8GemmArgs::a",
    ][::core::mem::offset_of!(Fp8GemmArgs, a) - 0usize];
    [
        "Offset of field: Fp8GemmArgs::a_scale",
    ][::core::mem::offset_of!(Fp8GemmArgs, a_scale) - 8usize];
    [
        "Offset of field: Fp8GemmArgs::b",
    ][::core::mem::offset_of!(Fp8GemmArgs, b) - 16usize];
    [
        "Offset of field: Fp8GemmArgs::b_scale",
    ][::core::mem::offset_of!(Fp8GemmArgs, b_scale) - 24usize];
    [
        "Offset of field: Fp8GemmArgs::c",
    ][::core::mem::offset_of!(Fp8GemmArgs, c) - 32usize];
    [
        "Offset of field: Fp8GemmArgs::d",
    ][::core::mem::offset_of!(Fp8GemmArgs, d) - 40usize];
    [
        "Offset of field: Fp8GemmArgs::lda",
    ][::core::mem::offset_of!(Fp8GemmArgs, lda) - 48usize];
    [
        "Offset of field: Fp8GemmArgs::lda_scale",
    ][::core::mem::offset_of!(Fp8GemmArgs, lda_scale) - 56usize];
    [
        "Offset of field: Fp8GemmArgs::ldb",
    ][::core::mem::offset_of!(Fp8GemmArgs, ldb) - 64usize];
    [
        "Offset of field: Fp8GemmArgs::ldb_scale",
    ][::core::mem::offset_of!(Fp8GemmArgs, ldb_scale) - 72usize];
    [
        "Offset of field: Fp8GemmArgs::ldc",
    ][::core::mem::offset_of!(Fp8GemmArgs, ldc) - 80usize];
    [
        "Offset of field: Fp8GemmArgs::ldd",
    ][::core::mem::offset_of!(Fp8GemmArgs, ldd) - 88usize];
    [
        "Offset of field: Fp8GemmArgs::m",
    ][::core::mem::offset_of!(Fp8GemmArgs, m) - 96usize];
    [
        "Offset of field: Fp8GemmArgs::n",
    ][::core::mem::offset_of!(Fp8GemmArgs, n) - 100usize];
    [
        "Offset of field: Fp8GemmArgs::k",
    ][::core::mem::offset_of!(Fp8GemmArgs, k) - 104usize];
};
#[repr(C)]
#[repr(align(64))]
#[derive(Debug, Copy, Clone)]
pub struct Fp8HopperGemmArgs {
    pub a_map: TensorMap,
    pub b_map: TensorMap,
    pub a_scale_map: TensorMap,
    pub d_map: TensorMap,
    pub gemm: Fp8GemmArgs,
    pub cluster: u32,
    pub store_by_copies: u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    [
        "Size of Fp8HopperGemmArgs",
    ][::core::mem::size_of::<Fp8HopperGemmArgs>() - 640usize];
    [
        "Alignment of Fp8HopperGemmArgs",
    ][::core::mem::align_of::<Fp8HopperGemmArgs>() - 64usize];
    [
        "Offset of field: Fp8HopperGemmArgs::a_map",
    ][::core::mem::offset_of!(Fp8HopperGemmArgs, a_map) - 0usize];
    [
        "Offset of field: Fp8HopperGemmArgs::b_map",
    ][::core::mem::offset_of!(Fp8HopperGemmArgs, b_map) - 128usize];
    [
        "Offset of field: Fp8HopperGemmArgs::a_scale_map",
    ][::core::mem::offset_of!(Fp8HopperGemmArgs, a_scale_map) - 256usize];
    [
        "Offset of field: Fp8HopperGemmArgs::d_map",
    ][::core::mem::offset_of!(Fp8HopperGemmArgs, d_map) - 384usize];
    [
        "Offset of field: Fp8HopperGemmArgs::gemm",
    ][::core::mem::offset_of!(Fp8HopperGemmArgs, gemm) - 512usize];
    [
        "Offset of field: Fp8HopperGemmArgs::cluster",
    ][::core::mem::offset_of!(Fp8HopperGemmArgs, cluster) - 624usize];
    [
        "Offset of field: Fp8HopperGemmArgs::store_by_copies",
    ][::core::mem::offset_of!(Fp8HopperGemmArgs, store_by_copies) - 628usize];
};
