//! An activation value: an array of some shape and order over a tensor's elements [channel][row][column]. Transposes and
//! reshapes change nothing but the view.

use cnna_net::{ArrayLayout, Shape, TensorId};

/// Nested loops (count, distance), the last innermost; none for a dimension of one.
pub(crate) type Axes = Vec<(usize, usize)>;

/// Where integers between a QuantizeLinear and its DequantizeLinear stand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Step {
    /// Real distance of two integers.
    pub scale: f32,
    /// The integer of zero.
    pub zero: i64,
}

/// A value of the graph that images change.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct View {
    /// Whose elements; each occurs once.
    pub tensor: TensorId,
    /// For each dimension of the array how it runs through the tensor.
    pub dims: Vec<Axes>,
    /// Which dimension is the batch: it has no axes.
    pub batch: Option<usize>,
    /// Set while the graph has it as integers.
    pub step: Option<Step>,
}

/// Neighbouring loops that run on as one are one; loops of one are none.
pub(crate) fn merged(axes: impl IntoIterator<Item = (usize, usize)>) -> Axes {
    let mut all: Axes = Vec::new();
    for (count, distance) in axes.into_iter().filter(|(count, _)| *count != 1) {
        match all.last_mut() {
            Some((outer, step)) if *step == count * distance => {
                (*outer, *step) = (*outer * count, distance)
            }
            _ => all.push((count, distance)),
        }
    }
    all
}

fn count(axes: &Axes) -> usize {
    axes.iter().map(|(n, _)| n).product()
}

impl View {
    /// The whole tensor as an array of `sides`, behind a batch if `batch`. The sides' product is the tensor's length.
    pub fn plain(tensor: TensorId, sides: &[usize], batch: bool) -> Self {
        let strides = super::array::strides(sides);
        let dims = sides.iter().zip(strides).map(|(&n, s)| merged([(n, s)]));
        View {
            tensor,
            dims: batch.then(Vec::new).into_iter().chain(dims).collect(),
            batch: batch.then_some(0),
            step: None,
        }
    }

    /// The same array over another tensor of the same shape, as reals.
    pub fn over(&self, tensor: TensorId) -> Self {
        View {
            tensor,
            step: None,
            ..self.clone()
        }
    }

    /// Sizes, the batch as 1.
    pub fn sizes(&self) -> Vec<usize> {
        self.dims.iter().map(count).collect()
    }

    /// Sizes without the batch.
    pub fn sides(&self) -> Vec<usize> {
        let all = self.dims.iter().enumerate();
        all.filter(|(d, _)| Some(*d) != self.batch)
            .map(|(_, a)| count(a))
            .collect()
    }

    /// All loops in order, neighbours merged.
    pub fn axes(&self) -> Axes {
        merged(self.dims.iter().flatten().copied())
    }

    /// True when the array's order is the tensor's.
    pub fn is_plain(&self) -> bool {
        matches!(self.axes()[..], [] | [(_, 1)])
    }

    /// The array as users see it.
    pub fn layout(&self) -> ArrayLayout {
        let mut axes = self.axes();
        if axes.is_empty() {
            axes.push((1, 1));
        }
        ArrayLayout {
            dims: self.sides(),
            axes,
            first: 0,
        }
    }

    /// With its dimensions in another order.
    pub fn transpose(&self, perm: &[usize]) -> Self {
        View {
            dims: perm.iter().map(|&p| self.dims[p].clone()).collect(),
            batch: self
                .batch
                .map(|b| perm.iter().position(|&p| p == b).unwrap_or(b)),
            ..self.clone()
        }
    }

    /// As an array of other sizes (the batch, at `batch`, as 1); `None` where a loop does not divide so.
    pub fn reshape(&self, sizes: &[usize], batch: Option<usize>) -> Option<Self> {
        let mut rest = self.axes().into_iter();
        let mut open: Option<(usize, usize)> = None;
        let mut dims = Vec::new();
        for &size in sizes {
            let mut need = size;
            let mut axes = Axes::new();
            while need > 1 {
                let (n, s) = open.take().or_else(|| rest.next())?;
                if need % n == 0 {
                    axes.push((n, s));
                    need /= n;
                } else if n % need == 0 {
                    axes.push((need, s * (n / need)));
                    open = Some((n / need, s));
                    need = 1;
                } else {
                    return None;
                }
            }
            dims.push(merged(axes));
        }
        (open.is_none() && rest.next().is_none()).then_some(View {
            tensor: self.tensor,
            dims,
            batch,
            step: self.step,
        })
    }

    /// Where the array is the tensor with its sides in another order, for each dimension its side (0 channels, 1 rows, 2 columns);
    /// `None` for the batch and for dimensions of one that no side is left for.
    pub fn permutation(&self, shape: Shape) -> Option<Vec<Option<usize>>> {
        let sides = shape.sides();
        let distance = [shape.h * shape.w, shape.w, 1];
        let mut side_of = vec![None; self.dims.len()];
        let mut free = [true; 3];
        for (d, axes) in self.dims.iter().enumerate().filter(|(_, a)| !a.is_empty()) {
            let side = (0..3).find(|&s| free[s] && axes[..] == [(sides[s], distance[s])])?;
            side_of[d] = Some(side);
            free[side] = false;
        }
        // What is left over are sides of one: those dimensions of one take them in order. A rank of 3 or 2 begins with
        // channels, and [C, L] is C x 1 x L.
        let ones: Vec<usize> = (0..self.dims.len())
            .filter(|&d| Some(d) != self.batch && self.dims[d].is_empty())
            .collect();
        let mut free: Vec<usize> = (0..3).filter(|&s| free[s]).collect();
        if free.iter().any(|&s| sides[s] != 1) {
            return None;
        }
        for (n, &d) in ones.iter().enumerate() {
            let left = ones.len() - n;
            // Too few dimensions for the sides: rows go first, columns next.
            while free.len() > left {
                let skip = free
                    .iter()
                    .position(|&s| s == 1)
                    .or(free.iter().position(|&s| s == 2))
                    .unwrap_or(0);
                free.remove(skip);
            }
            side_of[d] = (!free.is_empty()).then(|| free.remove(0));
        }
        Some(side_of)
    }
}

impl View {
    /// The array whose dimensions are the sides of a tensor of that shape, as [`View::permutation`] names them.
    pub fn of_sides(
        tensor: TensorId,
        shape: Shape,
        side_of: &[Option<usize>],
        batch: Option<usize>,
    ) -> Self {
        let sides = shape.sides();
        let distance = [shape.h * shape.w, shape.w, 1];
        let axes = |side: &Option<usize>| {
            side.map_or_else(Vec::new, |s| merged([(sides[s], distance[s])]))
        };
        View {
            tensor,
            dims: side_of.iter().map(axes).collect(),
            batch,
            step: None,
        }
    }
}
