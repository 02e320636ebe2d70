//! Matrices of f64: what the host computes in.

use std::ops::{Add, Range};

/// A matrix `[rows, columns]`, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    pub rows: usize,
    pub columns: usize,
    pub values: Vec<f64>,
}

impl Matrix {
    pub fn zeros(rows: usize, columns: usize) -> Self {
        Self { rows, columns, values: vec![0.0; rows * columns] }
    }

    /// The matrix whose element `(i, j)` is `value(i, j)`.
    pub fn from_fn(rows: usize, columns: usize, value: impl Fn(usize, usize) -> f64) -> Self {
        let value = &value;
        let values = (0..rows).flat_map(|i| (0..columns).map(move |j| value(i, j))).collect();
        Self { rows, columns, values }
    }

    pub fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.columns..][..self.columns]
    }

    pub fn row_mut(&mut self, row: usize) -> &mut [f64] {
        &mut self.values[row * self.columns..][..self.columns]
    }

    /// The rows with these indices, in this order.
    pub fn gather(&self, rows: impl ExactSizeIterator<Item = usize>) -> Self {
        let count = rows.len();
        let values = rows.flat_map(|row| self.row(row).iter().copied()).collect();
        Self { rows: count, columns: self.columns, values }
    }

    /// Some of the columns of all rows.
    pub fn columns(&self, columns: Range<usize>) -> Self {
        Self::from_fn(self.rows, columns.len(), |i, j| self.row(i)[columns.start + j])
    }

    /// The product with a transposed matrix, `self[m, k] other[n, k]^T`.
    pub fn times_transposed(&self, other: &Matrix) -> Self {
        Self::from_fn(self.rows, other.rows, |i, j| dot(self.row(i), other.row(j)))
    }
}

impl Add for &Matrix {
    type Output = Matrix;

    fn add(self, other: &Matrix) -> Matrix {
        Matrix::from_fn(self.rows, self.columns, |i, j| self.row(i)[j] + other.row(i)[j])
    }
}

/// The scalar product, in four sums so that the processor can work on them side by side.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 4];
    for (a, b) in a.chunks(4).zip(b.chunks(4)) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum()
}

/// `||ours - truth|| / ||truth||`, in the Euclidean norm of all elements.
pub fn relative_error(ours: &Matrix, truth: &Matrix) -> f64 {
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
    let difference = norm(&mut ours.values.iter().zip(&truth.values).map(|(ours, truth)| ours - truth));
    difference / norm(&mut truth.values.iter().copied())
}
