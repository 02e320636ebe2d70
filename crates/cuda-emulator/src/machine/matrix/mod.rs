//! Where the elements of matrices lie: pure functions of the PTX manual's layouts.
//!
//! - `fragment`: the registers of a warp that hold a part of a matrix (`mma`, `wgmma`)
//! - `eight`: 8x8 matrices of 16-bit elements (`ldmatrix`, `stmatrix`, `movmatrix`)
//! - `descriptor`: matrices in shared memory (`wgmma`)

pub mod descriptor;
pub mod eight;
pub mod fragment;
