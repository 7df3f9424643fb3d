//! Bilinear resizing: every output row and column is a mixture of two of the input's. On the host.

use super::{Operator, Pool, Random, one};
use cnna_machine::layout::Shape;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

/// Two of the input's rows or columns, and the second one's share.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Between {
    /// The first.
    pub first: u32,
    /// The second.
    pub second: u32,
    /// Share of the second, 0 to 1.
    pub share: f32,
}

/// Rows and columns interpolated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bilinear {
    /// For each output row.
    pub rows: Vec<Between>,
    /// For each output column.
    pub columns: Vec<Between>,
}

impl Operator for Bilinear {
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let i = one(inputs)?;
        let inside = |v: &[Between], side: usize| {
            v.iter().all(|b| (b.first.max(b.second) as usize) < side)
        };
        match inside(&self.rows, i.h) && inside(&self.columns, i.w) {
            true => Ok(Shape {
                c: i.c,
                h: self.rows.len(),
                w: self.columns.len(),
            }),
            false => Err(format!("it takes rows or columns beyond its input {i}")),
        }
    }

    fn reals(&self, inputs: &[(Shape, &[f32])]) -> Option<Vec<f32>> {
        let (i, x) = inputs[0];
        let mix = |a: f32, b: f32, share: f32| a + (b - a) * share;
        let mut out = Vec::new();
        for plane in x.chunks_exact(i.h * i.w) {
            for r in &self.rows {
                let row = |y: u32| &plane[y as usize * i.w..][..i.w];
                let (a, b) = (row(r.first), row(r.second));
                for c in &self.columns {
                    let at = |v: &[f32]| mix(v[c.first as usize], v[c.second as usize], c.share);
                    out.push(mix(at(a), at(b), r.share));
                }
            }
        }
        Some(out)
    }
}

impl Bilinear {
    /// None: random graphs hold what machines run.
    pub fn random(_: &mut StdRng, _: &Pool) -> Option<Random> {
        None
    }
}
