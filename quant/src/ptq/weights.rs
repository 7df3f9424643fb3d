//! Weights as words: of a layer's one scale, of a scale for each output channel, or of eight bits in the upper half of a word,
//! which a machine loads in half the time.
//!
//! Which layers have eight bits is measured: each layer's own error on the images' own words in one pass over the network,
//! then the set with the least error a byte saved that the output's signal-to-noise bears. A classifier's best class must bear
//! it too (`classes.rs`).

use super::{FloatModel, Measured, PtqError, output_db};
use cnna_machine::num::{SHIFT_RANGE, Word, auto_scale, quantise};
use cnna_net::op::conv::{Conv, MOST_FINER};
use cnna_net::settle::bounded;
use cnna_net::{Graph, GraphError, Node, Op, TensorId, Values, run};
use serde::{Deserialize, Serialize};

/// Which layers have weights of eight bits among words of sixteen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Narrow {
    /// None.
    #[default]
    Off,
    /// As many as leave the output [`NARROW_DB`], or within a decibel of what it has, and a classifier the best class of
    /// [`LEAST_AGREEMENT`](super::LEAST_AGREEMENT) percent of the calibration images.
    Auto,
    /// All.
    All,
}

/// What [`Narrow::Auto`] leaves of the output's signal-to-noise, in dB.
pub const NARROW_DB: f64 = 40.0;
/// What it may cost an output that has less.
const COST_DB: f64 = 1.0;
/// Below the sum of all layers' errors so far no layer's is looked for.
const WIDEST_DB: f64 = 60.0;
/// Sets of layers that are tried.
const TRIALS: usize = 8;
/// Bits below those of an eight-bit weight in a word of sixteen.
const LOW_BITS: i32 = 8;

/// How the weights of a graph are rounded.
#[derive(Clone, Debug, Default)]
pub struct Rounding {
    /// A scale for each output channel; fully connected layers keep one.
    pub per_channel: bool,
    /// For each tensor whether the weights of the node that writes it have eight bits; shorter lists end in false. (Passes
    /// insert nodes, but leave tensors where they are.)
    pub narrow: Vec<bool>,
}

impl Rounding {
    fn narrow(&self, output: TensorId) -> bool {
        self.narrow.get(output).copied().unwrap_or_default()
    }
}

/// True for weights that are eight bits in the upper half of their words.
pub fn is_narrow(weights: &Values, word: Word) -> bool {
    let low = |q: &i16| q & 0xff == 0;
    word == Word::W16 && weights.words().is_some_and(|(w, _)| w.iter().all(low))
}

/// The graph of a float one's words: `fracs` are its tensors' formats, `biases` stand for those of its convolutions
/// where they are. Weights of convolutions are rounded on the way, so that their reals are not copied first;
/// [`cnna_net::settle`] does the rest. Errors: NaN or infinity.
pub fn round(
    float: &Graph,
    fracs: Vec<i32>,
    how: &Rounding,
    biases: &[Option<Vec<f32>>],
) -> Result<Graph, GraphError> {
    let mut tensors = float.tensors.clone();
    for (t, frac) in tensors.iter_mut().zip(&fracs) {
        t.frac = Some(*frac);
    }
    let mut nodes = Vec::with_capacity(float.nodes.len());
    for (i, n) in float.nodes.iter().enumerate() {
        let op = match &n.op {
            Op::Conv(c) => {
                let shape = float.tensors[n.inputs[0]].shape;
                let layer = Layer {
                    formats: [fracs[n.inputs[0]], fracs[n.output]],
                    word: float.word,
                    narrow: how.narrow(n.output) && float.word == Word::W16,
                    per_channel: how.per_channel && !c.is_fc(shape),
                };
                let bias = biases.get(i).and_then(|b| b.as_deref());
                let rounded = layer.rounded(c, bias).map_err(|reason| GraphError::Node {
                    node: n.name.clone(),
                    operator: n.op.name(),
                    reason,
                })?;
                rounded.into()
            }
            op => op.clone(),
        };
        nodes.push(Node {
            name: n.name.clone(),
            op,
            inputs: n.inputs.clone(),
            output: n.output,
        });
    }
    Ok(Graph {
        name: float.name.clone(),
        word: float.word,
        tensors,
        nodes,
        inputs: float.inputs.clone(),
        outputs: float.outputs.clone(),
    })
}

/// The graph of [`round`], settled, without the words of its weights: [`Rounded::operator`] makes a layer's again. Where
/// the reals are there too it takes the memory of one layer's words instead of all.
pub struct Rounded<'f> {
    /// Convolutions have no weights.
    pub graph: Graph,
    float: &'f Graph,
    how: &'f Rounding,
    /// The node of `float` that writes each of its tensors.
    writers: Vec<Option<usize>>,
}

impl<'f> Rounded<'f> {
    /// Of a graph that was rounded so.
    pub fn new(mut graph: Graph, float: &'f Graph, how: &'f Rounding) -> Self {
        let writers = float.writers();
        for n in &mut graph.nodes {
            let real = writers.get(n.output).copied().flatten();
            let real = real.and_then(|i| float.nodes[i].op.conv());
            // Those that the file has as words are words in both.
            if real.is_none_or(|c| c.weights.reals().is_none()) {
                continue;
            }
            if let Op::Conv(c) = &mut n.op
                && let Some((_, frac)) = c.weights.words()
            {
                c.weights = Values::Words(Vec::new(), frac);
            }
        }
        Rounded {
            graph,
            float,
            how,
            writers,
        }
    }

    /// The convolution of a node with its weights; `None` for a node that has all it needs.
    pub fn operator(&self, n: &Node) -> Option<Op> {
        let Op::Conv(c) = &n.op else { return None };
        if !c.weights.is_empty() {
            return None;
        }
        let real = self.float.nodes[self.writers[n.output]?].op.conv()?;
        let input = n.inputs[0];
        let frac = |t: TensorId| self.graph.tensors[t].frac;
        let layer = Layer {
            formats: [frac(input)?, frac(n.output)?],
            word: self.float.word,
            narrow: self.how.narrow(n.output) && self.float.word == Word::W16,
            per_channel: self.how.per_channel && !real.is_fc(self.float.tensors[input].shape),
        };
        let (_, frac) = c.weights.words()?;
        let words = layer.words(&real.weights, frac, &c.finer);
        Some(Op::Conv(Conv {
            weights: Values::Words(words, frac),
            ..c.clone()
        }))
    }
}

/// How one convolution's weights are rounded.
struct Layer {
    /// Fraction bits of its input and output.
    formats: [i32; 2],
    word: Word,
    narrow: bool,
    per_channel: bool,
}

impl Layer {
    /// The convolution with words for weights, and `bias`, if given, for its own.
    fn rounded(&self, c: &Conv, bias: Option<&[f32]>) -> Result<Conv, String> {
        let mut done = Conv {
            oc: c.oc,
            groups: c.groups,
            window: c.window,
            weights: Values::default(),
            finer: c.finer.clone(),
            bias: bias.map_or_else(|| c.bias.clone(), |b| Values::Reals(b.to_vec())),
            activation: c.activation.clone(),
        };
        let Some(weights) = c.weights.reals() else {
            done.weights = c.weights.clone();
            return Ok(done);
        };
        let [input, output] = self.formats;
        let word = self.word;
        let bias = done.bias.reals().unwrap_or_default();
        let bits = if self.narrow { Word::W8 } else { word };
        let taps = weights.len() / c.oc.max(1);
        let finest = |part: &[f32], bias: &[f32]| -> Result<i32, String> {
            let e = auto_scale(part, bits).map_err(|i| format!("weight {i} is {}", part[i]))?;
            Ok(bounded(
                word.weight_frac() - e,
                taps,
                bias,
                self.formats,
                word,
            ))
        };
        let whole = finest(weights, bias)?;
        // A channel of zeros has no scale of its own.
        let own = |(oc, part): (usize, &[f32])| match part.iter().all(|w| *w == 0.0) {
            true => Ok(whole),
            false => finest(part, bias.get(oc..=oc).unwrap_or_default()),
        };
        let fracs: Vec<i32> = match self.per_channel {
            true => weights
                .chunks(taps.max(1))
                .enumerate()
                .map(own)
                .collect::<Result<_, _>>()?,
            false => vec![whole; c.oc],
        };
        let least = fracs.iter().copied().min().unwrap_or(whole);
        // Beyond the machine's last shift a finer weight is of no use.
        let most = (*SHIFT_RANGE.end() + output - input - least).clamp(0, MOST_FINER.into());
        let finer: Vec<u8> = fracs.iter().map(|f| (f - least).min(most) as u8).collect();
        done.weights = Values::Words(self.words(&c.weights, least, &finer), least);
        done.finer = match finer.iter().all(|d| *d == 0) {
            true => Vec::new(),
            false => finer,
        };
        Ok(done)
    }

    /// The words of reals, of so many fraction bits, and some more of each output channel, if `finer` says so.
    fn words(&self, weights: &Values, least: i32, finer: &[u8]) -> Vec<i16> {
        let weights = weights.reals().unwrap_or_default();
        let taps = weights.len() / finer.len().max(1);
        let mut words = Vec::with_capacity(weights.len());
        for (c, part) in weights.chunks(taps.max(1)).enumerate() {
            let frac = least + finer.get(c).map_or(0, |&d| d.into());
            words.extend(part.iter().map(|&w| match self.narrow {
                true => {
                    quantise(w.into(), frac - LOW_BITS, Word::W8).unwrap_or_default() << LOW_BITS
                }
                false => quantise(w.into(), frac, self.word).unwrap_or_default(),
            }));
        }
        words
    }
}

/// The layers that have eight bits: `with` makes the graph of a rounding. Returns the tensors that they write, those first that
/// lose the most by it.
///
/// Errors: as the reference run.
pub fn pick(
    with: impl Fn(&Rounding) -> Result<Graph, PtqError>,
    per_channel: bool,
    float: &FloatModel,
    images: &Measured,
) -> Result<Vec<TensorId>, PtqError> {
    let rounding = |narrow: Vec<bool>| Rounding {
        per_channel,
        narrow,
    };
    let wide = with(&rounding(Vec::new()))?;
    let all = with(&rounding(vec![true; wide.tensors.len()]))?;
    let layers = costs(&wide, &all, images)?;
    let base = output_db(&wide, float, images)?;
    let allowed = NARROW_DB.min(base - COST_DB);
    // Layers' errors add up: the cheapest a byte first, those that the rest of the noise has room for.
    let within = |noise: f64| {
        let (mut left, mut narrow) = (noise, vec![false; wide.tensors.len()]);
        for l in layers.iter() {
            if l.noise <= left {
                left -= l.noise;
                narrow[l.output] = true;
            }
        }
        narrow
    };
    // How much of a layer's error reaches the output is measured: bisection of the noise, on the scale of decibels.
    let whole: f64 = layers.iter().map(|l| l.noise).sum();
    let mut best = vec![false; wide.tensors.len()];
    let (mut fits, mut fails) = (-WIDEST_DB, 0.0);
    for step in 0..TRIALS {
        let tried = if step == 0 {
            fails
        } else {
            (fits + fails) / 2.0
        };
        let narrow = within(whole * 10f64.powf(tried / 10.0) * (1.0 + 1e-9));
        match output_db(&with(&rounding(narrow.clone()))?, float, images)? >= allowed {
            true => (best, fits) = (narrow, tried),
            false => fails = tried,
        }
        if fits == fails {
            break;
        }
    }
    let mut picked: Vec<Cost> = layers.into_iter().filter(|l| best[l.output]).collect();
    picked.sort_by(|a, b| b.noise.total_cmp(&a.noise));
    Ok(picked.iter().map(|l| l.output).collect())
}

/// What eight bits cost a layer.
struct Cost {
    /// The tensor that it writes.
    output: TensorId,
    /// Power of the error over that of the values.
    noise: f64,
    /// Words of its weights.
    words: usize,
}

/// Convolutions by the error that eight bits cost a byte that they save, the cheapest first.
fn costs(wide: &Graph, narrow: &Graph, images: &Measured) -> Result<Vec<Cost>, PtqError> {
    // Those of words in the file have no other bits.
    let differs = |(n, other): (&Node, &Node)| n.op.conv().is_some() && n.op != other.op;
    let pairs = wide.nodes.iter().zip(&narrow.nodes);
    let differs: Vec<bool> = pairs.map(differs).collect();
    let mut powers = vec![[0f64; 2]; wide.nodes.len()];
    // Errors differ by layer far more than by image.
    for inputs in images.images().take(1) {
        let words = super::table::words(wide, &inputs?);
        let words: Vec<&[i16]> = words.iter().map(|w| &w[..]).collect();
        let done = run::run(wide, &words)?;
        for (i, (n, other)) in wide.nodes.iter().zip(&narrow.nodes).enumerate() {
            if !differs[i] {
                continue;
            }
            let tensor = |t: usize| &done.tensors[t].values[..];
            let rough = run::node(narrow, other, tensor)?;
            for (&a, &b) in tensor(n.output).iter().zip(&rough.values) {
                powers[i][0] += f64::from(a).powi(2);
                powers[i][1] += (f64::from(a) - f64::from(b)).powi(2);
            }
        }
    }
    let cost = |(i, n): (usize, &Node)| Cost {
        output: n.output,
        noise: powers[i][1] / powers[i][0].max(f64::MIN_POSITIVE),
        words: n.op.constants()[0].len().max(1),
    };
    let convolutions = wide.nodes.iter().enumerate();
    let mut all: Vec<Cost> = convolutions
        .filter(|(i, _)| differs[*i])
        .map(cost)
        .collect();
    let each = |c: &Cost| c.noise / c.words as f64;
    all.sort_by(|a, b| each(a).total_cmp(&each(b)));
    Ok(all)
}
