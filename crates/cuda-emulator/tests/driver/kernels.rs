//! Modules, functions, launches, occupancy, and what happens when a kernel fails.

use std::ffi::{CString, c_int, c_void};
use std::ptr;

use cuda_emulator::verdict::Verdict;
use cudarc::driver::sys::{self, CUfunction_attribute as Attribute, CUresult};

use super::{Context, alloc, alone, download, ok, stream, upload};

/// `scale` multiplies `n` words by a factor; `store` writes its argument
/// wherever it is told; `limited` may have 64 threads; `shared` has 1000 bytes.
const PTX: &str = "
.version 8.0
.target sm_90a
.address_size 64

.global .align 4 .u32 table[4] = {10, 20, 30};
.const .align 4 .f32 factor = 0f40000000;

.visible .entry scale(.param .u64 p_data, .param .u32 p_factor, .param .u32 p_n)
{
    .reg .pred %p<2>;
    .reg .b32 %r<8>;
    .reg .b64 %rd<4>;
    ld.param.u64 %rd1, [p_data];
    ld.param.u32 %r1, [p_factor];
    ld.param.u32 %r2, [p_n];
    mov.u32 %r3, %ctaid.x;
    mov.u32 %r4, %ntid.x;
    mov.u32 %r5, %tid.x;
    mad.lo.s32 %r6, %r3, %r4, %r5;
    setp.ge.u32 %p1, %r6, %r2;
    @%p1 bra done;
    mul.wide.u32 %rd2, %r6, 4;
    add.s64 %rd3, %rd1, %rd2;
    ld.global.u32 %r7, [%rd3];
    mul.lo.u32 %r7, %r7, %r1;
    st.global.u32 [%rd3], %r7;
done:
    ret;
}

.visible .entry store(.param .u64 p_to, .param .u8 p_small, .param .u32 p_value)
{
    .reg .b32 %r<3>;
    .reg .b64 %rd<2>;
    ld.param.u64 %rd1, [p_to];
    ld.param.u32 %r1, [p_value];
    ld.param.u8 %r2, [p_small];
    add.u32 %r1, %r1, %r2;
    st.global.u32 [%rd1], %r1;
    ret;
}

.visible .entry fail()
{
    trap;
}

.visible .entry limited() .maxntid 64, 1, 1
{
    ret;
}

.visible .entry shared()
{
    .shared .align 4 .b8 buffer[1000];
    ret;
}
";

pub fn load(ptx: &str) -> Result<sys::CUmodule, CUresult> {
    let text = CString::new(ptx).unwrap();
    let mut module = ptr::null_mut();
    // SAFETY: called as the API asks.
    match unsafe { sys::cuModuleLoadData(&mut module, text.as_ptr().cast()) } {
        CUresult::CUDA_SUCCESS => Ok(module),
        error => Err(error),
    }
}

pub fn function(module: sys::CUmodule, name: &str) -> sys::CUfunction {
    let name = CString::new(name).unwrap();
    let mut function = ptr::null_mut();
    // SAFETY: called as the API asks.
    ok(unsafe { sys::cuModuleGetFunction(&mut function, module, name.as_ptr()) });
    function
}

/// Launches with one-dimensional extents.
pub fn launch(
    function: sys::CUfunction,
    grid: u32,
    block: u32,
    shared: u32,
    arguments: &mut [*mut c_void],
) -> CUresult {
    // SAFETY: the arguments are those of the kernel.
    unsafe {
        sys::cuLaunchKernel(
            function,
            grid,
            1,
            1,
            block,
            1,
            1,
            shared,
            ptr::null_mut(),
            arguments.as_mut_ptr(),
            ptr::null_mut(),
        )
    }
}

/// The same as the extended call takes them, with attributes.
fn config(
    grid: u32,
    block: u32,
    shared: u32,
    attributes: &mut [sys::CUlaunchAttribute],
) -> sys::CUlaunchConfig {
    sys::CUlaunchConfig {
        gridDimX: grid,
        gridDimY: 1,
        gridDimZ: 1,
        blockDimX: block,
        blockDimY: 1,
        blockDimZ: 1,
        sharedMemBytes: shared,
        hStream: ptr::null_mut(),
        attrs: attributes.as_mut_ptr(),
        numAttrs: attributes.len() as u32,
    }
}

fn attribute(
    id: sys::CUlaunchAttributeID,
    set: impl FnOnce(&mut sys::CUlaunchAttributeValue),
) -> sys::CUlaunchAttribute {
    // SAFETY: zero is a value of every field that is not set.
    let mut attribute: sys::CUlaunchAttribute = unsafe { std::mem::zeroed() };
    attribute.id = id;
    set(&mut attribute.value);
    attribute
}

fn cluster_of([x, y, z]: [u32; 3]) -> sys::CUlaunchAttribute {
    let extent = sys::CUlaunchAttributeValue_union__bindgen_ty_1 { x, y, z };
    let id = sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
    attribute(id, |value| value.clusterDim = extent)
}

pub fn argument<T>(value: &mut T) -> *mut c_void {
    (value as *mut T).cast()
}

fn words(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[test]
fn a_kernel_runs() {
    let _context = Context::new();
    let scale = function(load(PTX).unwrap(), "scale");
    let values: Vec<u32> = (0..1000).collect();
    let (mut data, mut factor, mut n) = (upload(&words(&values)), 3u32, 900u32);
    ok(launch(scale, 8, 128, 0, &mut [argument(&mut data), argument(&mut factor), argument(&mut n)]));
    // The arguments were copied by the launch.
    (factor, n) = (0, 0);
    std::hint::black_box((factor, n));
    let expected: Vec<u32> = values.iter().map(|&v| if v < 900 { 3 * v } else { v }).collect();
    assert_eq!(download(data, 4000), words(&expected));
    let last = cuda_emulator::last_launch().unwrap();
    assert_eq!((last.kernel.as_str(), last.counters.blocks), ("scale", 8));
    assert!(last.counters.total() > 8 * 4 * 10);
}

#[test]
fn arguments_may_come_in_a_buffer() {
    let _context = Context::new();
    let store = function(load(PTX).unwrap(), "store");
    let to = alloc(4);
    let mut buffer = [0u8; 16];
    buffer[..8].copy_from_slice(&to.to_ne_bytes());
    buffer[8] = 5;
    buffer[12..].copy_from_slice(&100u32.to_ne_bytes());
    let run = |mut size: usize| {
        let mut extra: [*mut c_void; 5] = [
            ptr::without_provenance_mut(1),
            buffer.as_ptr().cast_mut().cast(),
            ptr::without_provenance_mut(2),
            (&raw mut size).cast(),
            ptr::null_mut(),
        ];
        // SAFETY: the buffer is laid out as the kernel's parameters.
        unsafe {
            sys::cuLaunchKernel(
                store,
                1,
                1,
                1,
                1,
                1,
                1,
                0,
                ptr::null_mut(),
                ptr::null_mut(),
                extra.as_mut_ptr(),
            )
        }
    };
    assert_eq!(run(12), CUresult::CUDA_ERROR_INVALID_VALUE);
    ok(run(16));
    assert_eq!(download(to, 4), words(&[105]));
}

#[test]
fn variables_have_addresses_and_contents() {
    let _context = Context::new();
    let module = load(PTX).unwrap();
    let (mut address, mut bytes) = (0, 0);
    // SAFETY: called as the API asks.
    unsafe {
        ok(sys::cuModuleGetGlobal_v2(&mut address, &mut bytes, module, c"table".as_ptr()));
        assert_eq!(bytes, 16);
        assert_eq!(download(address, 16), words(&[10, 20, 30, 0]));
        ok(sys::cuModuleGetGlobal_v2(&mut address, &mut bytes, module, c"factor".as_ptr()));
        assert_eq!(download(address, 4), 2.0f32.to_le_bytes());
        assert_eq!(
            sys::cuModuleGetGlobal_v2(&mut address, &mut bytes, module, c"nothing".as_ptr()),
            CUresult::CUDA_ERROR_NOT_FOUND
        );
        ok(sys::cuModuleUnload(module));
        let mut byte = 0u8;
        let gone = sys::cuMemcpyDtoH_v2((&raw mut byte).cast(), address, 1);
        assert_eq!(gone, CUresult::CUDA_ERROR_INVALID_VALUE);
    }
}

#[test]
fn what_cannot_be_loaded_says_why() {
    let _context = Context::new();
    assert_eq!(load("this is no PTX").unwrap_err(), CUresult::CUDA_ERROR_INVALID_IMAGE);
    let unknown = PTX.replace("mul.lo.u32 %r7", "frobnicate.u32 %r7");
    let line = 1 + unknown.lines().position(|line| line.contains("frobnicate")).unwrap();
    let text = CString::new(unknown).unwrap();
    let mut log = [0u8; 500];
    let mut options =
        [sys::CUjit_option::CU_JIT_ERROR_LOG_BUFFER, sys::CUjit_option::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES];
    let mut values = [log.as_mut_ptr().cast::<c_void>(), 500 as *mut c_void];
    let mut module = ptr::null_mut();
    // SAFETY: called as the API asks.
    let result = unsafe {
        sys::cuModuleLoadDataEx(
            &mut module,
            text.as_ptr().cast(),
            2,
            options.as_mut_ptr(),
            values.as_mut_ptr(),
        )
    };
    assert_eq!(result, CUresult::CUDA_ERROR_INVALID_PTX);
    let log = std::ffi::CStr::from_bytes_until_nul(&log).unwrap().to_str().unwrap();
    assert!(log.contains("frobnicate") && log.contains(&line.to_string()), "{log}");
    // SAFETY: called as the API asks.
    unsafe {
        let elf = b"\x7FELF\x02\x01\x01\0\0\0\0\0\0\0\0\0";
        let only_code = sys::cuModuleLoadData(&mut module, elf.as_ptr().cast());
        assert_eq!(only_code, CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU);
        let missing = sys::cuModuleLoad(&mut module, c"/nowhere/module.ptx".as_ptr());
        assert_eq!(missing, CUresult::CUDA_ERROR_FILE_NOT_FOUND);
        let mut function = ptr::null_mut();
        let module = load(PTX).unwrap();
        let unknown = sys::cuModuleGetFunction(&mut function, module, c"nothing".as_ptr());
        assert_eq!(unknown, CUresult::CUDA_ERROR_NOT_FOUND);
    }
}

#[test]
fn launches_out_of_bounds_are_refused() {
    let _context = Context::new();
    let module = load(PTX).unwrap();
    let (plain, limited, shared) =
        (function(module, "fail"), function(module, "limited"), function(module, "shared"));
    let invalid = CUresult::CUDA_ERROR_INVALID_VALUE;
    assert_eq!(launch(plain, 0, 32, 0, &mut []), invalid);
    assert_eq!(launch(plain, 1, 0, 0, &mut []), invalid);
    assert_eq!(launch(plain, 1, 1025, 0, &mut []), invalid);
    assert_eq!(launch(plain, 1 << 31, 1, 0, &mut []), invalid);
    assert_eq!(launch(limited, 1, 65, 0, &mut []), invalid);
    ok(launch(limited, 1, 64, 0, &mut []));
    let scale = function(module, "scale");
    // SAFETY: nothing is launched.
    unsafe {
        let (nothing, none) = (ptr::null_mut(), ptr::null_mut());
        assert_eq!(sys::cuLaunchKernel(scale, 1, 1, 1, 1, 1, 1, 0, ptr::null_mut(), nothing, none), invalid);
        assert_eq!(
            sys::cuLaunchKernel(plain, 1, 65536, 1, 1, 1, 1, 0, ptr::null_mut(), nothing, none),
            invalid
        );
        assert_eq!(sys::cuLaunchKernel(plain, 1, 1, 1, 1, 1, 65, 0, ptr::null_mut(), nothing, none), invalid);
    }
    // Shared memory: 48 KB with the static part, up to 227 KB when asked for.
    let set = |bytes: c_int| {
        let most = Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        // SAFETY: called as the API asks.
        unsafe { sys::cuFuncSetAttribute(shared, most, bytes) }
    };
    assert_eq!(launch(shared, 1, 32, 48 * 1024, &mut []), invalid);
    ok(launch(shared, 1, 32, 48 * 1024 - 1000, &mut []));
    assert_eq!(set(227 * 1024), invalid);
    assert_eq!(set(-1), invalid);
    ok(set(200 * 1024));
    ok(launch(shared, 1, 32, 200 * 1024, &mut []));
    assert_eq!(launch(shared, 1, 32, 200 * 1024 + 1, &mut []), invalid);
}

#[test]
fn attributes_and_parameters_of_a_kernel() {
    let _context = Context::new();
    let module = load(PTX).unwrap();
    let get = |function, attribute| {
        let mut value = 0;
        // SAFETY: called as the API asks.
        ok(unsafe { sys::cuFuncGetAttribute(&mut value, attribute, function) });
        value
    };
    let (limited, shared) = (function(module, "limited"), function(module, "shared"));
    assert_eq!(get(limited, Attribute::CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK), 64);
    assert_eq!(get(shared, Attribute::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES), 1000);
    assert_eq!(get(shared, Attribute::CU_FUNC_ATTRIBUTE_BINARY_VERSION), 90);
    assert!((16..=255).contains(&get(shared, Attribute::CU_FUNC_ATTRIBUTE_NUM_REGS)));
    assert_eq!(limited, function(module, "limited"), "the same handle each time");
    let store = function(module, "store");
    let mut layout = Vec::new();
    for i in 0..3 {
        let (mut offset, mut size) = (0, 0);
        // SAFETY: called as the API asks.
        ok(unsafe { sys::cuFuncGetParamInfo(store, i, &mut offset, &mut size) });
        layout.push((offset, size));
    }
    assert_eq!(layout, [(0, 8), (8, 1), (12, 4)]);
    let (mut offset, mut size) = (0, 0);
    // SAFETY: called as the API asks.
    let beyond = unsafe { sys::cuFuncGetParamInfo(store, 3, &mut offset, &mut size) };
    assert_eq!(beyond, CUresult::CUDA_ERROR_INVALID_VALUE);
}

#[test]
fn occupancy_counts_what_fits() {
    let _context = Context::new();
    let shared = function(load(PTX).unwrap(), "shared");
    let blocks = |threads, dynamic| {
        let mut blocks = 0;
        // SAFETY: called as the API asks.
        ok(unsafe {
            sys::cuOccupancyMaxActiveBlocksPerMultiprocessor(&mut blocks, shared, threads, dynamic)
        });
        blocks
    };
    assert_eq!(blocks(1024, 0), 2, "2048 threads");
    assert_eq!(blocks(32, 0), 32, "32 blocks");
    assert_eq!(blocks(128, 100 * 1024), 2, "228 KB of shared memory");
    assert_eq!(blocks(128, 200 * 1024), 1);
    assert_eq!(blocks(128, 227 * 1024), 0);
    let (mut grid, mut block, mut bytes) = (0, 0, 0);
    // SAFETY: called as the API asks.
    unsafe {
        ok(sys::cuOccupancyMaxPotentialBlockSize(&mut grid, &mut block, shared, None, 0, 0));
        assert_eq!((grid, block), (264, 1024));
        ok(sys::cuOccupancyAvailableDynamicSMemPerBlock(&mut bytes, shared, 2, 128));
        assert_eq!(blocks(128, bytes), 2);
        assert_eq!(blocks(128, bytes + 128), 1);
    }
    // What no block can have.
    assert_eq!(blocks(128, u32::MAX as usize), 0);
}

/// A cluster is in one GPC, and GPCs differ in size: fewer are resident than as many blocks would be.
#[test]
fn occupancy_of_clusters() {
    let _context = Context::new();
    let plain = function(load(PTX).unwrap(), "scale");
    let clusters = |cluster: [u32; 3], threads: u32, shared: u32| {
        let (mut attributes, mut count) = ([cluster_of(cluster)], 0);
        let config = config(16, threads, shared, &mut attributes);
        // SAFETY: called as the API asks.
        let status = unsafe { sys::cuOccupancyMaxActiveClusters(&mut count, plain, &config) };
        (status, count)
    };
    // A block fills a multiprocessor.
    for (cluster, fit) in [(1, 132), (2, 66), (3, 42), (4, 31), (5, 23), (6, 19), (7, 16), (8, 15)] {
        let found = clusters([cluster, 1, 1], 64, 200_000);
        assert_eq!(found, (CUresult::CUDA_SUCCESS, fit), "clusters of {cluster}");
    }
    // Two do; each GPC has some over.
    assert_eq!(clusters([2, 2, 2], 1024, 0), (CUresult::CUDA_SUCCESS, 31));
    let all = u32::MAX;
    for cluster in
        [[16, 1, 1], [0, 1, 1], [65536, 65536, 1], [65536, 65536, 65536], [all, all, 1], [all, all, all]]
    {
        let expected = (CUresult::CUDA_ERROR_INVALID_CLUSTER_SIZE, 0);
        assert_eq!(clusters(cluster, 1024, 0), expected, "{cluster:?}");
    }
}

/// A program's own function is asked for the shared memory of a block; it may call the API.
#[test]
fn occupancy_asks_without_the_lock() {
    unsafe extern "C" fn bytes(threads: std::ffi::c_int) -> usize {
        let (mut free, mut total) = (0, 0);
        // SAFETY: called as the API asks.
        ok(unsafe { sys::cuMemGetInfo_v2(&mut free, &mut total) });
        100 * threads as usize
    }
    let _context = Context::new();
    let shared = function(load(PTX).unwrap(), "shared");
    let (mut grid, mut block) = (0, 0);
    // SAFETY: called as the API asks.
    ok(unsafe { sys::cuOccupancyMaxPotentialBlockSize(&mut grid, &mut block, shared, Some(bytes), 0, 0) });
    assert!(grid > 0 && block > 0);
}

#[test]
fn clusters_and_cooperative_launches_are_checked() {
    let _context = Context::new();
    let plain = function(load(PTX).unwrap(), "shared");
    let run = |grid: u32, cluster: u32, cooperative: bool| {
        let together = attribute(sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_COOPERATIVE, |value| {
            value.cooperative = cooperative.into();
        });
        let mut attributes = [cluster_of([cluster, 1, 1]), together];
        let config = config(grid, 1024, 0, &mut attributes);
        // SAFETY: called as the API asks.
        unsafe { sys::cuLaunchKernelEx(&config, plain, ptr::null_mut(), ptr::null_mut()) }
    };
    ok(run(16, 8, false));
    assert_eq!(run(12, 8, false), CUresult::CUDA_ERROR_INVALID_VALUE, "no whole clusters");
    assert_eq!(run(32, 16, false), CUresult::CUDA_ERROR_INVALID_CLUSTER_SIZE);
    // SAFETY: called as the API asks.
    ok(unsafe {
        sys::cuFuncSetAttribute(plain, Attribute::CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED, 1)
    });
    ok(run(32, 16, false));
    ok(run(264, 1, true));
    assert_eq!(run(265, 1, true), CUresult::CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE);
    // SAFETY: called as the API asks.
    ok(unsafe { sys::cuCtxSynchronize() });
}

/// `write` writes a word; `copy` reads one before it waits for the kernels ahead, and writes it to another place.
const OVERLAPPING: &str = "
.version 8.0
.target sm_90a
.address_size 64
.visible .entry write(.param .u64 p_to)
{
    .reg .b64 %to;
    ld.param.u64 %to, [p_to];
    st.global.u32 [%to], 7;
    ret;
}
.visible .entry copy(.param .u64 p_from, .param .u64 p_to)
{
    .reg .b32 %r;
    .reg .b64 %from, %to;
    ld.param.u64 %from, [p_from];
    ld.param.u64 %to, [p_to];
    ld.global.u32 %r, [%from];
    griddepcontrol.wait;
    st.global.u32 [%to], %r;
    ret;
}
";

/// A kernel that may begin before those ahead have ended may not read what they write, unless it waits.
#[test]
fn what_kernels_ahead_write_is_waited_for() {
    let run = |steps: &[(&str, bool)]| {
        let _context = Context::new();
        let module = load(OVERLAPPING).unwrap();
        let (mut word, mut constant, mut to) = (upload(&[0; 4]), upload(&[1; 4]), alloc(4));
        for &(step, early) in steps {
            let (name, mut arguments) = match step {
                "write" => ("write", vec![argument(&mut word)]),
                "copy" => ("copy", vec![argument(&mut word), argument(&mut to)]),
                "copy a constant" => ("copy", vec![argument(&mut constant), argument(&mut to)]),
                _ => {
                    // SAFETY: called as the API asks.
                    ok(unsafe { sys::cuMemsetD8Async(to, 0, 4, ptr::null_mut()) });
                    continue;
                }
            };
            let id = sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
            let mut attributes =
                [attribute(id, |value| value.programmaticStreamSerializationAllowed = early.into())];
            let config = config(1, 1, 0, &mut attributes);
            let kernel = function(module, name);
            // SAFETY: these are the kernel's parameters.
            ok(unsafe { sys::cuLaunchKernelEx(&config, kernel, arguments.as_mut_ptr(), ptr::null_mut()) });
        }
        // SAFETY: called as the API asks.
        unsafe { sys::cuCtxSynchronize() }
    };
    let early = CUresult::CUDA_ERROR_ILLEGAL_ADDRESS;
    assert_eq!(run(&[("write", false), ("copy", true)]), early);
    ok(run(&[("write", false), ("copy", false)]));
    ok(run(&[("write", false), ("copy a constant", true)]));
    // The one between may begin as early, and does not make the first one end.
    assert_eq!(run(&[("write", false), ("copy a constant", true), ("copy", true)]), early);
    ok(run(&[("write", false), ("copy a constant", false), ("copy", true)]));
    // Anything else waits for kernels.
    ok(run(&[("write", false), ("fill", false), ("copy", true)]));
    // What never waits may not write.
    assert_eq!(run(&[("write", true)]), early);
}

#[test]
fn a_fault_stays_in_its_context_and_is_told() {
    let context = Context::new();
    let module = load(PTX).unwrap();
    let store = function(module, "store");
    let (mut to, mut small, mut value) = (alloc(4), 0u8, 1u32);
    let kept = upload(&[1, 2, 3, 4]);
    // SAFETY: called as the API asks, but for the use after free.
    unsafe {
        ok(sys::cuMemFree_v2(to));
        ok(launch(store, 1, 1, 0, &mut [argument(&mut to), argument(&mut small), argument(&mut value)]));
        // The launch returned; whoever waits gets the error, and everybody after.
        assert_eq!(sys::cuCtxSynchronize(), CUresult::CUDA_ERROR_ILLEGAL_ADDRESS);
        assert_eq!(sys::cuCtxSynchronize(), CUresult::CUDA_ERROR_ILLEGAL_ADDRESS);
        let again =
            launch(store, 1, 1, 0, &mut [argument(&mut to), argument(&mut small), argument(&mut value)]);
        assert_eq!(again, CUresult::CUDA_ERROR_ILLEGAL_ADDRESS);
        let mut back = [0u8; 4];
        let copied = sys::cuMemcpyDtoH_v2(back.as_mut_ptr().cast(), kept, 4);
        assert_eq!(copied, CUresult::CUDA_ERROR_ILLEGAL_ADDRESS);
    }
    assert_eq!(cuda_emulator::read_memory(kept, 4).unwrap(), [1, 2, 3, 4]);
    let finding = cuda_emulator::findings()
        .into_iter()
        .find(|finding| matches!(&finding.verdict, Verdict::OutOfBounds { address, .. } if *address == to));
    let finding = finding.expect("the fault is recorded");
    assert_eq!(finding.place.kernel, "store");
    let line = PTX.lines().nth(finding.place.ptx_line as usize - 1).unwrap();
    assert!(line.contains("st.global.u32 [%rd1]"), "{line}");
    assert!(finding.to_string().contains("freed"), "{finding}");
    drop(context);
    // Another context never noticed.
    let _other = Context::new();
    upload(&[1]);
}

#[test]
fn the_primary_context_is_reset() {
    if !alone("kernels::the_primary_context_is_reset", &[]) {
        return;
    }
    cuda_emulator::install().unwrap();
    let mut context = ptr::null_mut();
    // SAFETY: called as the API asks.
    unsafe {
        ok(sys::cuInit(0));
        ok(sys::cuDevicePrimaryCtxRetain(&mut context, 0));
        ok(sys::cuCtxSetCurrent(context));
        let address = alloc(16);
        ok(launch(function(load(PTX).unwrap(), "fail"), 1, 1, 0, &mut []));
        assert_eq!(sys::cuCtxSynchronize(), CUresult::CUDA_ERROR_LAUNCH_FAILED);
        assert_eq!(cuda_emulator::take_findings().len(), 1);
        assert!(cuda_emulator::findings().is_empty());
        ok(sys::cuDevicePrimaryCtxReset_v2(0));
        ok(sys::cuCtxSynchronize());
        assert_eq!(sys::cuMemFree_v2(address), CUresult::CUDA_ERROR_INVALID_VALUE);
        upload(&[1, 2, 3]);
        // The gentler way keeps the memory.
        let kept = upload(&[4]);
        ok(launch(function(load(PTX).unwrap(), "fail"), 1, 1, 0, &mut []));
        assert_eq!(sys::cuCtxSynchronize(), CUresult::CUDA_ERROR_LAUNCH_FAILED);
        cuda_emulator::reset();
        assert_eq!(download(kept, 1), [4]);
        ok(sys::cuDevicePrimaryCtxRelease_v2(0));
        assert_eq!(sys::cuDevicePrimaryCtxRelease_v2(0), CUresult::CUDA_ERROR_INVALID_CONTEXT);
    }
}

#[test]
fn libraries_load_into_each_context_that_uses_them() {
    let context = Context::new();
    let text = CString::new(PTX).unwrap();
    let (mut library, mut kernel) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: called as the API asks.
    unsafe {
        ok(sys::cuLibraryLoadData(
            &mut library,
            text.as_ptr().cast(),
            ptr::null_mut(),
            ptr::null_mut(),
            0,
            ptr::null_mut(),
            ptr::null_mut(),
            0,
        ));
        ok(sys::cuLibraryGetKernel(&mut kernel, library, c"store".as_ptr()));
        let (mut to, mut small, mut value) = (alloc(4), 1u8, 41u32);
        let arguments = &mut [argument(&mut to), argument(&mut small), argument(&mut value)];
        // A kernel stands for its function.
        ok(launch(kernel.cast(), 1, 1, 0, arguments));
        assert_eq!(download(to, 4), words(&[42]));
        drop(context);
        let _other = Context::new();
        let mut function = ptr::null_mut();
        ok(sys::cuKernelGetFunction(&mut function, kernel));
        to = alloc(4);
        let arguments = &mut [argument(&mut to), argument(&mut small), argument(&mut value)];
        ok(launch(function, 1, 1, 0, arguments));
        assert_eq!(download(to, 4), words(&[42]));
        ok(sys::cuLibraryUnload(library));
        let gone = sys::cuKernelGetFunction(&mut function, kernel);
        assert_eq!(gone, CUresult::CUDA_ERROR_INVALID_HANDLE);
    }
}

#[test]
fn a_captured_launch_keeps_its_arguments() {
    let _context = Context::new();
    let module = load(PTX).unwrap();
    let (scale, stream) = (function(module, "scale"), stream());
    let (mut data, mut factor, mut n) = (upload(&words(&[1, 2, 3])), 2u32, 3u32);
    let (mut graph, mut exec) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: called as the API asks.
    unsafe {
        ok(sys::cuStreamBeginCapture_v2(
            stream,
            sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL,
        ));
        let mut arguments = [argument(&mut data), argument(&mut factor), argument(&mut n)];
        ok(sys::cuLaunchKernel(scale, 1, 1, 1, 32, 1, 1, 0, stream, arguments.as_mut_ptr(), ptr::null_mut()));
        ok(sys::cuStreamEndCapture(stream, &mut graph));
        ok(sys::cuGraphInstantiateWithFlags(&mut exec, graph, 0));
        factor = 100;
        std::hint::black_box(factor);
        for _ in 0..3 {
            ok(sys::cuGraphLaunch(exec, stream));
        }
        ok(sys::cuStreamSynchronize(stream));
    }
    assert_eq!(download(data, 12), words(&[8, 16, 24]));
}

#[test]
fn edited_ptx_takes_a_modules_place() {
    let path = std::env::temp_dir().join(format!("cuda-emulator-substitute-{}.ptx", std::process::id()));
    // The child writes its own and does not look at it.
    std::fs::write(&path, PTX.replace("mul.lo.u32 %r7, %r7, %r1", "add.u32 %r7, %r7, %r1")).unwrap();
    let name = "kernels::edited_ptx_takes_a_modules_place";
    let child = alone(name, &[("CUDA_EMULATOR_SUBSTITUTE", path.to_str().unwrap())]);
    std::fs::remove_file(&path).unwrap();
    if !child {
        return;
    }
    let _context = Context::new();
    let scale = function(load(PTX).unwrap(), "scale");
    let (mut data, mut factor, mut n) = (upload(&words(&[5])), 3u32, 1u32);
    ok(launch(scale, 1, 1, 0, &mut [argument(&mut data), argument(&mut factor), argument(&mut n)]));
    assert_eq!(download(data, 4), words(&[8]));
}

#[test]
fn devices_have_the_capability_asked_for() {
    if !alone("kernels::devices_have_the_capability_asked_for", &[("CUDA_EMULATOR_CAPABILITY", "8.6")]) {
        return;
    }
    let _context = Context::new();
    let (mut major, mut minor) = (0, 0);
    // SAFETY: called as the API asks.
    unsafe {
        use sys::CUdevice_attribute_enum::*;
        ok(sys::cuDeviceGetAttribute(&mut major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 0));
        ok(sys::cuDeviceGetAttribute(&mut minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, 0));
    }
    assert_eq!((major, minor), (8, 6));
    // What is made for Hopper does not run there.
    assert_eq!(load(PTX), Err(CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU));
    load(&PTX.replace("sm_90a", "sm_80")).unwrap();
}

#[test]
fn a_capability_that_is_none_is_refused() {
    if alone("kernels::a_capability_that_is_none_is_refused", &[("CUDA_EMULATOR_CAPABILITY", "nine")]) {
        cuda_emulator::install().expect("the emulator is beside the test binary");
        // SAFETY: called as the API asks.
        assert_eq!(unsafe { sys::cuInit(0) }, CUresult::CUDA_ERROR_INVALID_VALUE);
    }
}

#[test]
fn eager_work_runs_at_once() {
    if !alone("kernels::eager_work_runs_at_once", &[("CUDA_EMULATOR_EAGER", "1")]) {
        return;
    }
    let _context = Context::new();
    let host = super::pinned(4);
    let stream = stream();
    // SAFETY: called as the API asks.
    unsafe {
        ok(sys::cuMemsetD8Async(host as u64, 3, 4, stream));
        assert_eq!(host.read_volatile(), 3);
    }
}

#[test]
fn there_are_as_many_devices_as_asked_for() {
    let name = "kernels::there_are_as_many_devices_as_asked_for";
    let environment = [("CUDA_EMULATOR_DEVICES", "3"), ("CUDA_EMULATOR_MEMORY", "2G")];
    if !alone(name, &environment) {
        return;
    }
    let _first = Context::new();
    let (mut count, mut total, mut second) = (0, 0, ptr::null_mut());
    let here = upload(&[1, 2, 3, 4]);
    // SAFETY: called as the API asks.
    unsafe {
        ok(sys::cuDeviceGetCount(&mut count));
        ok(sys::cuDeviceTotalMem_v2(&mut total, 2));
        assert_eq!((count, total), (3, 2 << 30));
        ok(sys::cuCtxCreate_v4(&mut second, ptr::null_mut(), 0, 2));
        let there = alloc(4);
        ok(sys::cuMemcpyPeer(there, second, here, _first.0, 4));
        assert_eq!(download(there, 4), [1, 2, 3, 4]);
        // A kernel sees a peer's memory only once it is allowed to.
        let store = function(load(PTX).unwrap(), "store");
        let (mut to, mut small, mut value) = (here, 0u8, 7u32);
        let mut arguments = [argument(&mut to), argument(&mut small), argument(&mut value)];
        ok(sys::cuCtxEnablePeerAccess(_first.0, 0));
        ok(launch(store, 1, 1, 0, &mut arguments));
        ok(sys::cuCtxSynchronize());
        assert_eq!(download(here, 4), words(&[7]));
        ok(sys::cuCtxDisablePeerAccess(_first.0));
        ok(launch(store, 1, 1, 0, &mut arguments));
        assert_eq!(sys::cuCtxSynchronize(), CUresult::CUDA_ERROR_ILLEGAL_ADDRESS);
    }
}
