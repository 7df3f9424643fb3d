//! Stages: what the machine runs between two marks. An operator is one stage, or shares one with the pooling after it, or
//! needs several.

use crate::linear::Linear;
use cnna_machine::Accelerator;
use cnna_machine::layout::Shape;
use cnna_machine::program::TensorInfo;
use cnna_net::Window;
use std::ops::Range;
use std::sync::Arc;

/// The arithmetic of a stage.
#[derive(Clone, Debug)]
pub enum Kind<'a> {
    /// Sums of products.
    Linear(Arc<Linear<'a>>),
    /// Maximum.
    Pool,
}

/// Some channels of a tensor.
#[derive(Clone, Debug)]
pub struct Source {
    /// The tensor.
    pub info: TensorInfo,
    /// Its channels that are read.
    pub channels: Range<usize>,
}

/// What is added to the results of a stage.
#[derive(Clone, Debug)]
pub struct Residual {
    /// Words of the results' shape and format.
    pub info: TensorInfo,
    /// It comes behind the activation instead of before it.
    pub last: bool,
}

/// Kernel and its steps, and where the first result's first tap lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Taps {
    /// Tap rows and columns.
    pub kernel: [usize; 2],
    /// Rows and columns between results.
    pub stride: [usize; 2],
    /// Rows and columns between taps.
    pub dilation: [usize; 2],
    /// Map row and column of the first result's first tap: negative in the border, positive in a part of the map.
    pub first: [i64; 2],
}

impl Taps {
    /// One tap a result.
    pub fn single() -> Self {
        Taps {
            kernel: [1, 1],
            stride: [1, 1],
            dilation: [1, 1],
            first: [0, 0],
        }
    }

    /// Distance of taps that are there; of a single tap it means nothing, and must not reach a command.
    pub fn of(w: &Window) -> Self {
        let dilation = |axis: usize| {
            if w.kernel[axis] == 1 {
                1
            } else {
                w.dilation[axis]
            }
        };
        Taps {
            kernel: w.kernel,
            stride: w.stride,
            dilation: [dilation(0), dilation(1)],
            first: [-(w.pad.top as i64), -(w.pad.left as i64)],
        }
    }

    /// True when planes in the buffer express the steps.
    pub fn has_planes(&self) -> bool {
        let legal = |s: usize| [1, 2, 4].contains(&s);
        let [sy, sx] = self.stride;
        let single = self.kernel == [1, 1];
        legal(sy) && legal(sx) && (single || sy == sx && (sy == 1 || self.dilation == [1, 1]))
    }

    /// True for what a 2x2 maximum behind a convolution does in the same pass.
    pub fn rides(&self) -> bool {
        (self.kernel, self.stride, self.dilation, self.first) == ([2, 2], [2, 2], [1, 1], [0, 0])
    }
}

/// One stage.
#[derive(Clone, Debug)]
pub struct Stage<'a> {
    /// The node's name.
    pub name: &'a str,
    /// What it computes.
    pub kind: Kind<'a>,
    /// Kernel, stride, dilation and border.
    pub taps: Taps,
    /// What it reads: channels behind each other.
    pub sources: Vec<Source>,
    /// Sources lie side by side instead, as column planes that the tap columns go round: result channel c sees channel c of
    /// each.
    pub side: bool,
    /// Its output in memory.
    pub output: TensorInfo,
    /// Result rows before pooling.
    pub oh: usize,
    /// Result columns before pooling.
    pub ow: usize,
    /// Added to the results.
    pub residual: Option<Residual>,
    /// What holds its weights: see [`crate::weights::Given`].
    pub weights: Option<TensorInfo>,
    /// A 2x2 maximum follows in the same pass.
    pub pooled: bool,
    /// Each result lies alone at the start of `4T` output columns: for steps that planes cannot express.
    pub spread: bool,
}

impl<'a> Stage<'a> {
    /// A stage on whole tensors.
    pub fn new(
        name: &'a str,
        kind: Kind<'a>,
        taps: Taps,
        sources: Vec<Source>,
        output: TensorInfo,
    ) -> Self {
        let shape = output.layout.shape;
        Stage {
            name,
            kind,
            taps,
            sources,
            side: false,
            output,
            oh: shape.h,
            ow: shape.w,
            residual: None,
            weights: None,
            pooled: false,
            spread: false,
        }
    }

    /// Shape of what it reads; with sources side by side that of one of them.
    pub fn input(&self) -> Shape {
        let each = self.sources.iter().map(|s| s.channels.len());
        let c = match self.side {
            true => each.max().unwrap_or(0),
            false => each.sum(),
        };
        let Shape { h, w, .. } = self.sources[0].info.layout.shape;
        Shape { c, h, w }
    }

    /// The same stage on tensors that lie `bytes` further on: those of another image.
    pub fn moved(&self, bytes: usize) -> Self {
        let mut stage = self.clone();
        for s in &mut stage.sources {
            s.info.offset += bytes;
        }
        if let Some(r) = &mut stage.residual {
            r.info.offset += bytes;
        }
        if let Some(w) = &mut stage.weights {
            w.offset += bytes;
        }
        stage.output.offset += bytes;
        stage
    }

    /// Row and column planes of the input in the buffer.
    pub fn planes(&self) -> [usize; 2] {
        match (self.side, self.spread) {
            (true, _) => [1, self.sources.len().next_power_of_two()],
            (_, true) => [1, 1],
            _ => self.taps.stride,
        }
    }

    /// Rows or columns of the map from the first to the last tap.
    pub fn span(&self, axis: usize) -> usize {
        if self.side && axis == 1 {
            return 1;
        }
        (self.taps.kernel[axis] - 1) * self.taps.dilation[axis] + 1
    }

    /// Map position of a result's first tap; may lie above or left of the map.
    pub fn origin(&self, axis: usize, at: usize) -> i64 {
        (at * self.taps.stride[axis]) as i64 + self.taps.first[axis]
    }

    /// Output column of a result column.
    pub fn stored(&self, x: usize, a: &Accelerator) -> usize {
        match (self.pooled, self.spread) {
            (true, _) => x / 2,
            (_, true) => x * a.line_words(),
            _ => x,
        }
    }

    /// Fewest result columns whose outputs fill whole beats and lines; blocks of columns are multiples of it.
    pub fn unit(&self, a: &Accelerator) -> usize {
        match (self.pooled, self.spread) {
            (true, _) => a.column_align() * 2,
            (_, true) => a.column_align() / a.line_words(),
            _ => a.column_align(),
        }
    }

    /// Rows of the map that results of rows `o..o + n` need.
    pub fn input_rows(&self, o: usize, n: usize) -> Range<usize> {
        let h = self.sources[0].info.layout.shape.h;
        let clamp = |v: i64| v.clamp(0, h as i64) as usize;
        let from = clamp(self.origin(0, o));
        let to = clamp(self.origin(0, o + n - 1) + self.span(0) as i64);
        from..to.max(from)
    }
}
