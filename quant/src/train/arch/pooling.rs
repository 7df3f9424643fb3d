//! Pooling and down-sampling blocks from the literature, each of operators that the machine has: convolutions, maxima,
//! means, sums and tables. Products of two maps are differences of squares by table, and what would need a wide range is
//! computed relative to a window's maximum, so that 8 bits hold it.

use super::build::{Builder, First, Sums};
use super::{ArchActivation, Sides};
use cnna_net::activation::Function;
use cnna_net::op::{Concat, MaxPool, Rearrange, Slice};
use cnna_net::{ArrayLayout, Shape, TensorId, Window};

const RECIPROCAL: Function = Function::Power {
    factor: 1.0,
    exponent: -1.0,
};

/// The widest binomial filter.
const WIDEST_BLUR: usize = 5;
/// The deepest tree: 8 leaves.
const DEEPEST_TREE: u32 = 3;

/// Windows that do not overlap.
fn apart(kernel: usize) -> Window {
    Window {
        stride: [kernel; 2],
        ..Window::plain(kernel, kernel)
    }
}

impl Builder<'_> {
    /// Leaves out the last rows and columns that fill no block, as pooling does. Errors: there is no whole block.
    pub fn whole_blocks(&mut self, x: TensorId, block: usize) -> Result<TensorId, String> {
        let s = self.shape(x);
        if block == 0 || s.h < block || s.w < block {
            return Err(format!(
                "blocks of {block} by {block} do not fit its {s} input: use 1 to {}",
                s.h.min(s.w)
            ));
        }
        let [h, w] = [s.h, s.w].map(|n| n / block * block);
        if [h, w] == [s.h, s.w] {
            return Ok(x);
        }
        let slice = Slice {
            start: [0; 3],
            count: [s.c, h, w],
            step: [1; 3],
        };
        self.push("whole", slice, &[x])
    }

    /// Parts of the channels lie below each other, and the maximum looks at one pixel of each. Source: Goodfellow et al.
    /// 2013, arXiv:1302.4389.
    pub fn maxout(&mut self, x: TensorId, pieces: usize) -> Result<TensorId, String> {
        let s = self.shape(x);
        if pieces == 0 || !s.c.is_multiple_of(pieces) {
            return Err(format!(
                "{pieces} pieces do not divide its {} channels: use a divisor",
                s.c
            ));
        }
        let each = s.c / pieces;
        let mut parts = Vec::with_capacity(pieces);
        for n in 0..pieces {
            parts.push(self.channels(&format!("part{n}"), x, n * each, each)?);
        }
        let below = self.push("below", Concat { axis: 1 }, &parts)?;
        let window = Window {
            dilation: [s.h, 1],
            ..Window::plain(pieces, 1)
        };
        self.push("", MaxPool { window }, &[below])
    }

    /// `base + share * (other - base)`, with a learned share a channel that is a half at first.
    fn mixture(&mut self, base: TensorId, other: TensorId) -> Result<TensorId, String> {
        let difference = self.less("difference", other, base)?;
        let share = Sums {
            first: First::All(0.5),
            ..Sums::depthwise(self.shape(base).c, Window::plain(1, 1))
        };
        let share = self.sums("share", difference, share)?;
        self.plus("", share, base)
    }

    /// `base + gate * (other - base)`.
    fn chosen(
        &mut self,
        suffix: &str,
        gate: TensorId,
        base: TensorId,
        other: TensorId,
    ) -> Result<TensorId, String> {
        let inner = |part: &str| within(suffix, part);
        let difference = self.less(&inner("difference"), other, base)?;
        let product = self.product(&inner("share"), gate, difference)?;
        self.plus(suffix, product, base)
    }

    /// A number between 0 and 1 for each window of each channel.
    fn gate(&mut self, suffix: &str, x: TensorId, window: Window) -> Result<TensorId, String> {
        let gate = Sums {
            activation: ArchActivation::Sigmoid,
            ..Sums::depthwise(self.shape(x).c, window)
        };
        self.sums(suffix, x, gate)
    }

    fn max_and_mean(&mut self, x: TensorId, window: Window) -> Result<[TensorId; 2], String> {
        Ok([
            self.push("max", MaxPool { window }, &[x])?,
            self.average("mean", x, window)?,
        ])
    }

    /// Source: Lee, Gallagher and Tu 2016, arXiv:1509.08985, "mixed".
    pub fn mixed_pool(&mut self, x: TensorId, window: Window) -> Result<TensorId, String> {
        let [max, mean] = self.max_and_mean(x, window)?;
        self.mixture(mean, max)
    }

    /// Source: the same, "gated", with a gate a channel.
    pub fn gated_pool(&mut self, x: TensorId, window: Window) -> Result<TensorId, String> {
        let [max, mean] = self.max_and_mean(x, window)?;
        let gate = self.gate("gate", x, window)?;
        self.chosen("", gate, mean, max)
    }

    /// Source: the same, "tree", with filters and gates a channel.
    pub fn tree_pool(
        &mut self,
        x: TensorId,
        window: Window,
        levels: u32,
    ) -> Result<TensorId, String> {
        if !(1..=DEEPEST_TREE).contains(&levels) {
            return Err(format!("it has {levels} levels: use 1 to {DEEPEST_TREE}"));
        }
        let c = self.shape(x).c;
        let mut nodes = Vec::new();
        for n in 0..1usize << levels {
            let leaf = Sums {
                first: First::NearMean,
                ..Sums::depthwise(c, window)
            };
            nodes.push(self.sums(&format!("leaf{n}"), x, leaf)?);
        }
        // From the leaves to the root, in pairs.
        while nodes.len() > 1 {
            let level = nodes.len() / 2;
            let mut above = Vec::with_capacity(level);
            for (n, pair) in nodes.chunks_exact(2).enumerate() {
                let gate = self.gate(&format!("gate{level}_{n}"), x, window)?;
                let suffix = match level {
                    1 => String::new(),
                    _ => format!("node{level}_{n}"),
                };
                above.push(self.chosen(&suffix, gate, pair[1], pair[0])?);
            }
            nodes = above;
        }
        Ok(nodes[0])
    }

    /// The mean weighted by exponentials, as the maximum `m` and what lies below it: with `s = x - m`, which is not
    /// positive, it is `m + mean(s * exp(s)) / mean(exp(s))`, and all of these are bounded.
    ///
    /// Source: Stergiou, Poppe and Kalliatakis 2021, arXiv:2101.00440.
    pub fn soft_pool(
        &mut self,
        suffix: &str,
        x: TensorId,
        kernel: usize,
    ) -> Result<TensorId, String> {
        let inner = |part: &str| within(suffix, part);
        let Shape { h, w, .. } = self.shape(x);
        let window = apart(kernel);
        let max = self.push(&inner("max"), MaxPool { window }, &[x])?;
        let wide = self.resize(&inner("wide"), max, [h, w])?;
        let below = self.less(&inner("below"), x, wide)?;
        let weights = self.table(&inner("weights"), below, Function::Exp)?;
        let weighted = self.table(&inner("weighted"), below, Function::XExp)?;
        let all = self.average(&inner("all"), weights, window)?;
        let sum = self.average(&inner("sum"), weighted, window)?;
        let inverse = self.table(&inner("inverse"), all, RECIPROCAL)?;
        let lower = self.product(&inner("lower"), sum, inverse)?;
        self.plus(suffix, lower, max)
    }

    /// A learned mixture a channel of SoftPool and of the mean weighted by `exp(d)`, where `d` is twice the product of a
    /// value and the window's mean over the sum of their squares: the hyperbolic secant of the difference of their
    /// logarithms.
    ///
    /// Source: Stergiou and Poppe 2022, arXiv:2111.00772.
    pub fn ada_pool(&mut self, x: TensorId, kernel: usize) -> Result<TensorId, String> {
        let x = self.whole_blocks(x, kernel)?;
        let Shape { h, w, .. } = self.shape(x);
        let window = apart(kernel);
        let soft = self.soft_pool("soft", x, kernel)?;
        let mean = self.average("mean", x, window)?;
        let log_mean = self.table("log_mean", mean, Function::Log)?;
        let log_mean = self.resize("wide", log_mean, [h, w])?;
        let log = self.table("log", x, Function::Log)?;
        let apart = self.less("apart", log, log_mean)?;
        let weights = self.table("weights", apart, Function::ExpSech)?;
        let weighted = self.product("weighted", weights, x)?;
        let all = self.average("all", weights, window)?;
        let sum = self.average("sum", weighted, window)?;
        let inverse = self.table("inverse", all, RECIPROCAL)?;
        let alike = self.product("alike", sum, inverse)?;
        self.mixture(soft, alike)
    }

    /// Source: Zhang 2019, arXiv:1904.11486; zeros at the border.
    pub fn blur_pool(&mut self, x: TensorId, kernel: usize) -> Result<TensorId, String> {
        if !(2..=WIDEST_BLUR).contains(&kernel) {
            return Err(format!("its kernel is {kernel}: use 2 to {WIDEST_BLUR}"));
        }
        // Pascal's triangle; its rows sum to powers of two, so that words hold the weights exactly.
        let mut row = vec![1.0f32];
        while row.len() < kernel {
            let last = row.clone();
            row.push(0.0);
            last.iter().enumerate().for_each(|(k, v)| row[k + 1] += v);
        }
        let half = (kernel - 1) / 2;
        let pad = Sides::Both(half);
        let both = Sides::Both;
        let window = self.window(x, both(kernel), both(2), pad)?;
        let c = self.shape(x).c;
        let scale = 4f32.powi(1 - kernel as i32);
        let filter: Vec<f32> = row
            .iter()
            .flat_map(|a| row.iter().map(move |b| a * b * scale))
            .collect();
        self.constant_sums("", x, Sums::depthwise(c, window), filter.repeat(c))
    }

    /// Blocks of pixels become channels, those of one place in the block together. Source: Sunkara and Luo 2022,
    /// arXiv:2208.03641.
    pub fn space_to_depth(&mut self, x: TensorId, block: usize) -> Result<TensorId, String> {
        let x = self.whole_blocks(x, block)?;
        let Shape { c, h, w } = self.shape(x);
        let shape = Shape {
            c: c * block * block,
            h: h / block,
            w: w / block,
        };
        let order = ArrayLayout {
            dims: shape.sides().to_vec(),
            axes: vec![
                (block, w),
                (block, 1),
                (c, h * w),
                (h / block, block * w),
                (w / block, block),
            ],
            first: 0,
        };
        self.push("", Rearrange { shape, order }, &[x])
    }

    /// Source: Radenovic, Tolias and Chum 2018, arXiv:1711.02512, with a constant power.
    pub fn gem_pool(
        &mut self,
        x: TensorId,
        kernel: Option<usize>,
        power: f32,
    ) -> Result<TensorId, String> {
        if !(power.is_finite() && power >= 1.0) {
            return Err(format!("its power is {power}: use at least 1"));
        }
        let s = self.shape(x);
        let window = match kernel {
            None => Window::plain(s.h, s.w),
            Some(k) => {
                let both = Sides::Both;
                self.window(x, both(k), both(k), both(0))?
            }
        };
        let of = |exponent: f32| Function::Power {
            factor: 1.0,
            exponent,
        };
        let powers = self.table("powers", x, of(power))?;
        let mean = self.average("mean", powers, window)?;
        self.table("", mean, of(1.0 / power))
    }

    /// Source: Hu et al. 2018, arXiv:1709.01507.
    pub fn squeeze_excite(&mut self, x: TensorId, reduction: usize) -> Result<TensorId, String> {
        let Shape { c, h, w } = self.shape(x);
        if reduction == 0 || reduction > c {
            return Err(format!("its reduction is {reduction}: use 1 to {c}"));
        }
        let mean = self.average("mean", x, Window::plain(h, w))?;
        let squeeze = Sums {
            activation: ArchActivation::Relu,
            ..Sums::new(c / reduction, Window::plain(1, 1))
        };
        let squeeze = self.sums("squeeze", mean, squeeze)?;
        let excite = Sums {
            activation: ArchActivation::Sigmoid,
            ..Sums::new(c, Window::plain(1, 1))
        };
        let gate = self.sums("gate", squeeze, excite)?;
        let wide = self.resize("wide", gate, [h, w])?;
        self.product("", x, wide)
    }
}

/// The suffix of a part of what has a suffix itself.
fn within(suffix: &str, part: &str) -> String {
    match suffix {
        "" => part.to_string(),
        s => format!("{s}/{part}"),
    }
}
