// Grids that overlap (programmatic dependent launch): the next one starts before this one has ended.

#pragma once

namespace deepkern::ptx {

/// Waits until all earlier grids have ended and what they wrote is visible.
__device__ inline void grid_wait() { asm volatile("griddepcontrol.wait;" ::: "memory"); }

/// Lets the next grid begin, as far as there is room, once all blocks have said so.
__device__ inline void grid_release() { asm volatile("griddepcontrol.launch_dependents;" ::: "memory"); }

}  // namespace deepkern::ptx
