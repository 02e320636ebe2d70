//! A GEMM of dense operands, there and back.

use deepkern::{
    Element, MatrixViewMut,
    fp8::{BLOCK, F8E4M3, Fp8Matrix, Fp8Weight, GemmPlan, GemmShape, GemmVariant, ScaleLayout, Vec128},
    reference::Quantized,
};

use crate::device;

/// `A B^T` as the device computes it; scales row by row, as the reference has them.
pub fn multiply<D: Element + Default>(
    a: &Quantized,
    b: &Quantized,
    shape: GemmShape,
    variant: GemmVariant,
) -> Vec<D> {
    let GemmShape { m, n, k } = shape;
    let device = device::device();
    let stream = device.context().default_stream();
    let codes = |codes: &[u8]| codes.iter().map(|&code| F8E4M3::from_bits(code)).collect::<Vec<_>>();
    // The layout of the activations' scales: transposed, and padded.
    let (groups, padded) = (k.div_ceil(BLOCK), Vec128::scale_shape(m, k).1);
    let scale = |group: usize, row: usize| if row < m { a.scales[row * groups + group] } else { 0.0 };
    let scales: Vec<f32> =
        (0..groups).flat_map(|group| (0..padded).map(move |row| scale(group, row))).collect();
    let a = Fp8Matrix::from_host(&stream, &codes(&a.codes), &scales, m, k).unwrap();
    let b = Fp8Weight::from_host(&stream, &codes(&b.codes), &b.scales, n, k).unwrap();
    let mut d = stream.clone_htod(&vec![D::default(); m * n]).unwrap();
    let mut plan = GemmPlan::with_variant(&device, shape, variant).unwrap();
    plan.run(&stream, &a, &b, MatrixViewMut::new(d.as_view_mut(), m, n).unwrap()).unwrap();
    stream.clone_dtoh(&d).unwrap()
}
