//! Stages: what the machine runs between two marks. A layer is one stage, or shares one with the pooling after it, or needs
//! several.

use cnna_machine::Accelerator;
use cnna_machine::layer::{Activation, Conv, Layer, Op, Padding, Window};
use cnna_machine::program::TensorInfo;

/// The arithmetic of a stage.
#[derive(Clone, Copy, Debug)]
pub enum Kind<'a> {
    /// Convolution or fully connected.
    Conv(&'a Conv),
    /// Maximum.
    Pool,
}

/// One stage.
#[derive(Clone, Debug)]
pub struct Stage<'a> {
    /// The layer's name.
    pub name: &'a str,
    /// What it computes.
    pub kind: Kind<'a>,
    /// Kernel, stride, dilation and padding.
    pub window: Window,
    /// Its input in memory.
    pub input: TensorInfo,
    /// Its output in memory.
    pub output: TensorInfo,
    /// Result rows before pooling.
    pub oh: usize,
    /// Result columns before pooling.
    pub ow: usize,
    /// A 2x2 maximum follows in the same pass.
    pub pooled: bool,
    /// Each result lies alone at the start of `4T` output columns: for steps that planes cannot express.
    pub spread: bool,
}

impl<'a> Stage<'a> {
    /// The stage of a whole layer.
    pub fn of(layer: &'a Layer, input: TensorInfo, output: TensorInfo) -> Self {
        let (kind, window) = match &layer.op {
            Op::Conv(c) => (Kind::Conv(c), c.window),
            Op::MaxPool(w) => (Kind::Pool, *w),
        };
        Stage {
            name: &layer.name,
            kind,
            window,
            input,
            output,
            oh: layer.output.h,
            ow: layer.output.w,
            pooled: false,
            spread: false,
        }
    }

    /// A stage that keeps every `every`-th column of a tensor.
    pub fn thin(name: &'a str, every: usize, input: TensorInfo, output: TensorInfo) -> Self {
        let mut window = Window::plain(1, 1);
        window.stride = [1, every];
        let shape = output.layout.shape;
        Stage {
            name,
            kind: Kind::Pool,
            window,
            input,
            output,
            oh: shape.h,
            ow: shape.w,
            pooled: false,
            spread: false,
        }
    }

    /// The same stage on tensors that lie `bytes` further on: those of another image.
    pub fn moved(&self, bytes: usize) -> Self {
        let mut stage = self.clone();
        stage.input.offset += bytes;
        stage.output.offset += bytes;
        stage
    }

    /// Row and column planes of the input in the buffer.
    pub fn planes(&self) -> [usize; 2] {
        if self.spread {
            [1, 1]
        } else {
            self.window.stride
        }
    }

    /// Rows of the map from the first to the last vertical tap.
    pub fn span(&self, axis: usize) -> usize {
        (self.window.kernel[axis] - 1) * self.window.dilation[axis] + 1
    }

    /// Map position of a result's first tap; may lie above or left of the map.
    pub fn origin(&self, axis: usize, at: usize) -> i64 {
        let pad = [self.window.pad.top, self.window.pad.left][axis];
        (at * self.window.stride[axis]) as i64 - pad as i64
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
    pub fn input_rows(&self, o: usize, n: usize) -> std::ops::Range<usize> {
        let h = self.input.layout.shape.h;
        let clamp = |v: i64| v.clamp(0, h as i64) as usize;
        let from = clamp(self.origin(0, o));
        let to = clamp(self.origin(0, o + n - 1) + self.span(0) as i64);
        from..to.max(from)
    }

    /// True for the activation that clamps at zero.
    pub fn relu(&self) -> bool {
        matches!(self.kind, Kind::Conv(c) if c.activation == Activation::Relu)
    }
}

/// True when planes in the buffer express the window's steps.
pub fn has_planes(w: &Window) -> bool {
    let legal = |s: usize| [1, 2, 4].contains(&s);
    let [sy, sx] = w.stride;
    let single = w.kernel == [1, 1];
    legal(sy) && legal(sx) && (single || sy == sx && (sy == 1 || w.dilation == [1, 1]))
}

/// True for the pooling that rides on the convolution before it.
pub fn rides(pool: &Window, conv: &Layer) -> bool {
    *pool
        == Window {
            kernel: [2, 2],
            stride: [2, 2],
            dilation: [1, 1],
            pad: Padding::default(),
        }
        && conv.output.h % 2 == 0
        && conv.output.w % 2 == 0
}
