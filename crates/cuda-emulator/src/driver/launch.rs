//! Kernel launches: the shape is checked and the arguments are copied here;
//! the rest happens when the operation runs.

use std::ffi::c_uint;
use std::ops::Range;
use std::sync::Arc;

use super::arguments::In;
use super::device::{MAX_BLOCK, MAX_GRID, THREADS_PER_BLOCK};
use super::function::Function;
use super::occupancy::{blocks_per_sm, resident_blocks};
use super::operation::Operation;
use super::state::Handle;
use super::status::{Outcome, Status, refuse, require};
use super::{Driver, export};
use crate::code::Kernel;
use crate::machine::{Extent, Footprint};

/// The extents of a launch.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub cluster: [u32; 3],
    pub dynamic_shared: u32,
    /// It may begin before the kernels ahead of it in its stream have ended.
    pub overlaps: bool,
    /// All blocks must be resident at once.
    pub cooperative: bool,
}

impl Shape {
    /// How many clusters there are.
    pub fn clusters(&self) -> u64 {
        let extent = Extent { grid: self.grid, block: self.block, cluster: self.cluster };
        extent.clusters().iter().map(|n| u64::from(*n)).product()
    }

    /// Of a launch that says nothing of clusters: they are the kernel's own, if it has them.
    fn new(kernel: &Kernel, grid: [u32; 3], block: [u32; 3], dynamic_shared: u32, cooperative: bool) -> Self {
        let cluster = kernel.cluster.unwrap_or([1; 3]);
        Self { grid, block, cluster, dynamic_shared, overlaps: false, cooperative }
    }

    pub fn threads(&self) -> u32 {
        self.block.iter().fold(1, |product, &extent| product.saturating_mul(extent))
    }

    fn blocks(&self) -> u64 {
        self.grid.iter().map(|&extent| u64::from(extent)).product()
    }

    /// Refuses what the device or the kernel does not allow.
    fn check(&self, function: &Function) -> Outcome {
        let kernel = &function.kernel;
        for (what, extents, most) in [("grid", self.grid, MAX_GRID), ("block", self.block, MAX_BLOCK)] {
            let legal = extents.iter().zip(most).all(|(&extent, most)| (1..=most).contains(&extent));
            require(legal, Status::InvalidValue, || {
                format!("a {what} of {extents:?}, where {most:?} is the most")
            })?;
        }
        let threads = self.threads();
        require(threads <= THREADS_PER_BLOCK, Status::InvalidValue, || {
            format!("{threads} threads in a block, where {THREADS_PER_BLOCK} are the most")
        })?;
        if let Some(most) = kernel.max_threads {
            require(threads <= most, Status::InvalidValue, || {
                format!("{threads} threads in a block, where the kernel declares {most} at most")
            })?;
        }
        if let Some(required) = kernel.required_threads {
            require(self.block == required, Status::InvalidValue, || {
                format!("a block of {:?}, where the kernel requires {required:?}", self.block)
            })?;
        }
        require(self.dynamic_shared <= function.max_dynamic_shared, Status::InvalidValue, || {
            format!(
                "{} bytes of dynamic shared memory, where {} are allowed: raise the function attribute MAX_DYNAMIC_SHARED_SIZE_BYTES",
                self.dynamic_shared, function.max_dynamic_shared
            )
        })?;
        require(threads <= function.max_threads(), Status::LaunchOutOfResources, || {
            format!("{threads} threads of {} registers do not fit a multiprocessor", function.registers)
        })?;
        require(
            blocks_per_sm(function, threads, self.dynamic_shared) > 0,
            Status::LaunchOutOfResources,
            || "not one block fits a multiprocessor".into(),
        )?;
        self.check_cluster(function)?;
        let resident = u64::from(resident_blocks(function, self));
        require(!self.cooperative || self.blocks() <= resident, Status::CooperativeLaunchTooLarge, || {
            format!("{} blocks, where {resident} can be resident", self.blocks())
        })
    }

    /// Refuses clusters of more blocks than the kernel may have.
    pub fn check_cluster_size(&self, function: &Function) -> Outcome {
        let size = self.cluster.iter().fold(1u32, |product, &extent| product.saturating_mul(extent));
        let most = if function.large_clusters { 16 } else { 8 };
        require((1..=most).contains(&size), Status::InvalidClusterSize, || {
            format!("a cluster of {:?}, where {most} blocks are the most", self.cluster)
        })
    }

    fn check_cluster(&self, function: &Function) -> Outcome {
        self.check_cluster_size(function)?;
        let divides = self.grid.iter().zip(self.cluster).all(|(grid, cluster)| grid % cluster == 0);
        require(divides, Status::InvalidValue, || {
            format!("a grid of {:?} is not whole clusters of {:?}", self.grid, self.cluster)
        })?;
        let required = function.kernel.cluster.filter(|&required| required != self.cluster);
        require(required.is_none(), Status::InvalidValue, || {
            format!("a cluster of {:?}, where the kernel requires {required:?}", self.cluster)
        })
    }
}

/// `CUlaunchConfig`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Config {
    grid: [c_uint; 3],
    block: [c_uint; 3],
    dynamic_shared: c_uint,
    stream: Handle,
    attributes: In<Attribute>,
    attribute_count: c_uint,
}

/// `CUlaunchAttribute`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Attribute {
    id: c_uint,
    padding: [u8; 4],
    /// The union: its first words are all that is read.
    value: [c_uint; 16],
}

/// `CUlaunchAttributeID`.
mod attribute {
    pub const COOPERATIVE: u32 = 2;
    pub const CLUSTER_DIMENSION: u32 = 4;
    pub const PROGRAMMATIC_STREAM_SERIALIZATION: u32 = 6;
    pub const LAST_KNOWN: u32 = 18;
}

impl Config {
    /// The shape that it asks for; attributes that steer only speed are accepted.
    pub fn shape(&self, kernel: &Kernel) -> Outcome<Shape> {
        let mut shape = Shape {
            grid: self.grid,
            block: self.block,
            cluster: kernel.cluster.unwrap_or([1; 3]),
            dynamic_shared: self.dynamic_shared,
            cooperative: false,
            overlaps: false,
        };
        for i in 0..self.attribute_count as usize {
            let Attribute { id, value, .. } = self.attributes.at(i)?;
            match id {
                attribute::COOPERATIVE => shape.cooperative = value[0] != 0,
                attribute::PROGRAMMATIC_STREAM_SERIALIZATION => shape.overlaps = value[0] != 0,
                attribute::CLUSTER_DIMENSION => shape.cluster = [value[0], value[1], value[2]],
                0..=attribute::LAST_KNOWN => {}
                _ => return refuse(Status::InvalidValue, format!("there is no launch attribute {id}")),
            }
        }
        Ok(shape)
    }
}

/// A launch that waits in a stream.
#[derive(Clone)]
pub struct Work {
    pub kernel: Arc<Kernel>,
    pub shape: Shape,
    pub parameters: Vec<u8>,
    /// Blocks that the device can hold at a time.
    pub resident: u32,
}

impl Work {
    /// What is left of it once it has run.
    pub fn footprint(&self, clusters: Range<u32>) -> Footprint {
        let Shape { grid, block, cluster, .. } = self.shape;
        let (kernel, extent) = (Some(self.kernel.clone()), Extent { grid, block, cluster });
        Footprint { clusters, name: String::new(), kernel, extent }
    }
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.kernel.name, self.shape)
    }
}

/// Words of the `extra` argument.
mod extra {
    pub const END: usize = 0;
    pub const BUFFER_POINTER: usize = 1;
    pub const BUFFER_SIZE: usize = 2;
}

/// Copies a kernel's arguments, from an array of pointers to them or from a
/// buffer laid out as the kernel's.
fn copy_parameters(kernel: &Kernel, each: In<*const u8>, extra: In<usize>) -> Outcome<Vec<u8>> {
    let mut buffer = vec![0; kernel.param_bytes as usize];
    if !each.is_null() {
        require(extra.is_null(), Status::InvalidValue, || "both kernelParams and extra are given".into())?;
        for (i, parameter) in kernel.params.iter().enumerate() {
            let from = each.at(i)?;
            require(!from.is_null(), Status::InvalidValue, || format!("argument {i} is a null pointer"))?;
            let place = &mut buffer[parameter.offset as usize..][..parameter.size as usize];
            // SAFETY: the caller gives a pointer to each of the kernel's parameters.
            unsafe { place.as_mut_ptr().copy_from(from, place.len()) };
        }
        return Ok(buffer);
    }
    if extra.is_null() {
        require(kernel.params.is_empty(), Status::InvalidValue, || {
            "the kernel's arguments are missing".into()
        })?;
        return Ok(buffer);
    }
    let (mut start, mut size) = (std::ptr::null::<u8>(), 0);
    for pair in 0.. {
        match extra.at(2 * pair)? {
            extra::END => break,
            extra::BUFFER_POINTER => start = extra.at(2 * pair + 1)? as *const u8,
            extra::BUFFER_SIZE => size = In::<usize>::at_address(extra.at(2 * pair + 1)?).get()?,
            word => return refuse(Status::InvalidValue, format!("{word} is no word of the extra argument")),
        }
    }
    let needed = kernel.params.last().map_or(0, |last| (last.offset + last.size) as usize);
    require(size >= needed && (size == 0 || !start.is_null()), Status::InvalidValue, || {
        format!("a buffer of {size} bytes for arguments of {needed}")
    })?;
    // SAFETY: the caller gives a buffer of `size` bytes.
    unsafe { buffer.as_mut_ptr().copy_from(start, needed) };
    Ok(buffer)
}

impl Driver {
    fn launch(
        &'static self,
        function: Handle,
        stream: Handle,
        shape: impl FnOnce(&Kernel) -> Outcome<Shape>,
        each: In<*const u8>,
        extra: In<usize>,
    ) -> Outcome {
        let mut state = self.lock();
        let stream = state.stream(stream)?;
        let function = state.functions.get(state.resolve(function)?)?;
        let context = state.streams.get(stream)?.context;
        require(function.context == context, Status::InvalidHandle, || {
            "the kernel and the stream belong to different contexts".into()
        })?;
        let shape = shape(&function.kernel)?;
        shape.check(function)?;
        let parameters = copy_parameters(&function.kernel, each, extra)?;
        let resident = resident_blocks(function, &shape);
        let work = Work { kernel: function.kernel.clone(), shape, parameters, resident };
        let ticket = state.enqueue(stream, Operation::Launch(Arc::new(work)))?;
        self.submitted(state, ticket);
        Ok(())
    }
}

export! {
    |driver| fn cuLaunchKernel(
        function: Handle,
        grid_x: c_uint,
        grid_y: c_uint,
        grid_z: c_uint,
        block_x: c_uint,
        block_y: c_uint,
        block_z: c_uint,
        dynamic_shared: c_uint,
        stream: Handle,
        each: In<*const u8>,
        extra: In<usize>,
    ) {
        let (grid, block) = ([grid_x, grid_y, grid_z], [block_x, block_y, block_z]);
        let shape = |kernel: &Kernel| Ok(Shape::new(kernel, grid, block, dynamic_shared, false));
        driver.launch(function, stream, shape, each, extra)
    }

    |driver| fn cuLaunchCooperativeKernel(
        function: Handle,
        grid_x: c_uint,
        grid_y: c_uint,
        grid_z: c_uint,
        block_x: c_uint,
        block_y: c_uint,
        block_z: c_uint,
        dynamic_shared: c_uint,
        stream: Handle,
        each: In<*const u8>,
    ) {
        let (grid, block) = ([grid_x, grid_y, grid_z], [block_x, block_y, block_z]);
        let shape = |kernel: &Kernel| Ok(Shape::new(kernel, grid, block, dynamic_shared, true));
        driver.launch(function, stream, shape, each, In::at_address(0))
    }

    |driver| fn cuLaunchKernelEx(
        config: In<Config>,
        function: Handle,
        each: In<*const u8>,
        extra: In<usize>,
    ) {
        let config = config.get()?;
        driver.launch(function, config.stream, |kernel| config.shape(kernel), each, extra)
    }
}
