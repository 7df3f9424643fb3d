//! A constant beside an activation: one for all, one a channel of the tensor, or one an element.

use super::array::{Array, MAX_FOLDED, strides, walk};
use super::reader::Reader;
use super::view::View;

/// How a constant runs over a tensor's elements.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Spread {
    /// One for each channel.
    Channels(Vec<f32>),
    /// One for each element, [channel][row][column].
    Elements(Vec<f32>),
}

impl Reader<'_> {
    /// The constant over the view's tensor, whatever the array's order. Errors: it does not fit, or would make the array larger.
    pub fn spread(&self, view: &View, a: &Array) -> Result<Spread, String> {
        let values = a.finite()?;
        let shape = self.shape(view.tensor);
        if values.len() == 1 && a.dims.len() <= view.dims.len() {
            return Ok(Spread::Channels(vec![values[0]; shape.c]));
        }
        let sizes = view.sizes();
        let bad = || {
            format!(
                "its constant `{}` of shape {:?} does not fit its input {sizes:?}",
                a.name, a.dims
            )
        };
        let skip = sizes.len().checked_sub(a.dims.len()).ok_or_else(bad)?;
        let own = strides(&a.dims);
        // The tensor's own loops, each with the constant's distance along it.
        let mut loops: Vec<(usize, usize, usize)> = Vec::new();
        for (d, axes) in view.dims.iter().enumerate() {
            let side = d.checked_sub(skip).map(|i| (a.dims[i], own[i]));
            let step = match side {
                None | Some((1, _)) => 0,
                Some((n, s)) if n == sizes[d] => s,
                _ => return Err(bad()),
            };
            let mut inner: usize = axes.iter().map(|(n, _)| n).product();
            for &(n, distance) in axes {
                inner /= n;
                loops.push((n, distance, step * inner));
            }
        }
        loops.sort_by_key(|&(_, distance, _)| std::cmp::Reverse(distance));
        let plane = shape.h * shape.w;
        let inside = |&(_, distance, step): &(usize, usize, usize)| step != 0 && distance < plane;
        if !loops.iter().any(inside) {
            // One a channel: the loops over channels, of one that runs on into the map its part.
            let channels: Vec<(usize, usize)> = loops
                .iter()
                .filter(|(n, distance, _)| n * distance > plane)
                .map(|&(n, distance, step)| {
                    (
                        if distance < plane {
                            n * distance / plane
                        } else {
                            n
                        },
                        step,
                    )
                })
                .collect();
            if channels.iter().map(|(n, _)| n).product::<usize>() == shape.c {
                return Ok(Spread::Channels(
                    walk(&channels, 0).map(|i| values[i]).collect(),
                ));
            }
        }
        if shape.len() > MAX_FOLDED {
            return Err(format!(
                "its constant `{}` has one value an element of {shape}: too many",
                a.name
            ));
        }
        let all: Vec<(usize, usize)> = loops.iter().map(|&(n, _, step)| (n, step)).collect();
        Ok(Spread::Elements(walk(&all, 0).map(|i| values[i]).collect()))
    }
}
