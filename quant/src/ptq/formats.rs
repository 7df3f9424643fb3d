//! One fraction count a tensor, from what each would like to have. Where values only move, tensors that meet share one; where
//! they are added, they share one when that costs less than the rescaling that it saves.

use super::range::covering;
use cnna_machine::num::Word;
use cnna_net::op::Activate;
use cnna_net::{Activation, Graph, Op, TensorId, activation::Function};

/// Bits that an operand of a sum may lose so that it need not be rescaled on its way. The sum's own rounding is as coarse as
/// its coarsest operand, so what a finer one loses there hardly shows.
fn spare(word: Word) -> i32 {
    match word {
        Word::W8 => 1,
        Word::W16 => 3,
    }
}

/// Sets that share a count: the coarsest of their members.
struct Sets {
    parent: Vec<usize>,
    frac: Vec<i32>,
}

impl Sets {
    fn root(&self, mut t: usize) -> usize {
        while self.parent[t] != t {
            t = self.parent[t];
        }
        t
    }
    fn frac(&self, t: usize) -> i32 {
        self.frac[self.root(t)]
    }
    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.parent[b] = a;
        self.frac[a] = self.frac[a].min(self.frac[b]);
    }
}

/// Magnitudes that no value of each tensor can exceed, from clips and functions; infinite where there is none.
pub fn bounds(graph: &Graph) -> Vec<f64> {
    let mut bounds = vec![f64::INFINITY; graph.tensors.len()];
    let of = |a: &Activation| match a {
        Activation::Clip { lo, hi } => f64::from(lo.abs().max(hi.abs())),
        Activation::Table(Function::Sigmoid | Function::Tanh | Function::HardSigmoid { .. }) => 1.0,
        _ => f64::INFINITY,
    };
    for n in &graph.nodes {
        bounds[n.output] = match &n.op {
            Op::Conv(c) => of(&c.activation),
            Op::ConvTranspose(c) => of(&c.activation),
            Op::Add(a) => of(&a.activation),
            Op::Activate(a) => of(&a.function),
            Op::Pad(_) => f64::INFINITY,
            op if op.keeps_format() || matches!(op, Op::AveragePool(_)) => {
                n.inputs.iter().map(|&t| bounds[t]).fold(0.0, f64::max)
            }
            Op::Softmax(s) if !s.log => 1.0,
            _ => f64::INFINITY,
        };
    }
    bounds
}

/// Gives tensors that sums write, or clips, and that have no format, one that covers whatever the formats and
/// weights before them can make. Returns their names.
pub fn cover(graph: &mut Graph) -> Vec<String> {
    let limits = bounds(graph);
    let most = graph.word.max() as f64 + 1.0;
    let format = |frac: Option<i32>| frac.map(|f| most * 2f64.powi(-f));
    let mut reach: Vec<Option<f64>> = graph.tensors.iter().map(|t| format(t.frac)).collect();
    let mut covered = Vec::new();
    for n in &graph.nodes {
        let inputs: Option<Vec<f64>> = n.inputs.iter().map(|&t| reach[t]).collect();
        let Some(inputs) = inputs.filter(|_| graph.tensors[n.output].frac.is_none()) else {
            continue;
        };
        let first = inputs.first().copied().unwrap_or_default();
        let far = match &n.op {
            Op::Conv(c) => {
                let frac = graph.tensors[n.inputs[0]].frac.unwrap_or_default();
                let (weights, bias) = (c.real_weights(), c.real_bias(frac));
                let each = (weights.len() / c.oc.max(1)).max(1);
                let sum = |(w, b): (&[f32], &f32)| {
                    let all: f64 = w.iter().map(|w| f64::from(w.abs())).sum();
                    all * first + f64::from(b.abs())
                };
                weights.chunks(each).zip(&bias).map(sum).fold(0.0, f64::max)
            }
            Op::Add(_) => inputs.iter().sum(),
            Op::Activate(a) if a.function.is_clip() => first,
            // What moves values takes the format of what it reads.
            op if op.keeps_format() => {
                reach[n.output] = inputs.iter().copied().reduce(f64::max);
                continue;
            }
            _ => continue,
        };
        let far = far.min(limits[n.output]);
        reach[n.output] = Some(far);
        graph.tensors[n.output].frac = Some(covering(far, graph.word));
        covered.push(format!("`{}`", graph.tensors[n.output].name));
    }
    covered
}

/// The formats of all tensors; `wanted` is what each would have alone.
pub fn assign(graph: &Graph, mut wanted: Vec<i32>, word: Word) -> Vec<i32> {
    let mut readers = vec![0; graph.tensors.len()];
    for &t in graph.nodes.iter().flat_map(|n| &n.inputs) {
        readers[t] += 1;
    }
    for p in &graph.outputs {
        readers[p.tensor] += 1;
    }
    for n in &graph.nodes {
        match &n.op {
            // What saturates before a flat function changes nothing: its table is the better the finer its input.
            Op::Activate(Activate {
                function: Activation::Table(f),
            }) if readers[n.inputs[0]] == 1 => {
                let (i, o) = (n.inputs[0], n.output);
                wanted[i] = wanted[i].max(f.input_frac(wanted[o].min(wanted[i]), word));
            }
            // Any class may come, not only those of the calibration images.
            Op::ArgMax(a) => {
                let classes = graph.tensors[n.inputs[0]].shape.sides()[a.axis];
                wanted[n.output] = covering(classes as f64, word);
            }
            _ => {}
        }
    }
    let mut sets = Sets {
        parent: (0..wanted.len()).collect(),
        frac: wanted,
    };
    for n in &graph.nodes {
        let moves = n.op.keeps_format() && !matches!(n.op, Op::Activate(_));
        if !moves && !matches!(n.op, Op::Add(_)) {
            continue;
        }
        for &t in &n.inputs {
            let apart = (sets.frac(t) - sets.frac(n.output)).abs();
            if (moves && readers[t] == 1) || apart <= spare(word) {
                sets.join(n.output, t);
            }
        }
    }
    (0..graph.tensors.len())
        .map(|t: TensorId| sets.frac(t))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cnna_net::Shape;
    use cnna_net::Window;
    use cnna_net::op::{Add, Concat, MaxPool, Softmax};

    const MAP: Shape = Shape { c: 4, h: 2, w: 2 };

    fn graph() -> (Graph, TensorId, TensorId) {
        let mut g = Graph::new("g", Word::W16);
        let a = g.input("a", MAP, None);
        let b = g.input("b", MAP, None);
        (g, a, b)
    }

    fn push(g: &mut Graph, name: &str, op: impl Into<Op>, inputs: &[TensorId]) -> TensorId {
        g.push(name, op, inputs, None).expect("it fits")
    }

    #[test]
    fn what_moves_shares_the_widest_format_and_what_is_far_from_a_sum_keeps_its_own() {
        let (mut g, a, b) = graph();
        let c = push(&mut g, "c", Concat { axis: 0 }, &[a, b]);
        let window = Window::plain(2, 2);
        let p = push(&mut g, "p", MaxPool { window }, &[c]);
        g.output(p);
        assert_eq!(assign(&g, vec![14, 3, 9, 9], Word::W16), [3; 4]);
        let (mut g, a, b) = graph();
        let s = push(&mut g, "s", Add::of(2), &[a, b]);
        g.output(s);
        assert_eq!(assign(&g, vec![12, 10, 9], Word::W16), [9; 3]);
        assert_eq!(assign(&g, vec![14, 10, 9], Word::W16), [14, 9, 9]);
        assert_eq!(assign(&g, vec![6, 4, 4], Word::W8), [6, 4, 4]);
    }

    #[test]
    fn a_shared_operand_is_not_made_coarse_for_one_of_its_readers() {
        let (mut g, a, b) = graph();
        let c = push(&mut g, "c", Concat { axis: 0 }, &[a, b]);
        let s = push(
            &mut g,
            "s",
            Softmax {
                axes: [true, false, false],
                log: false,
            },
            &[a],
        );
        g.output(c);
        g.output(s);
        assert_eq!(assign(&g, vec![14, 3, 3, 15], Word::W16), [14, 3, 3, 15]);
    }

    #[test]
    fn flat_functions_have_finer_inputs_than_their_range_asks_for() {
        let (mut g, a, _) = graph();
        let f = Activate {
            function: Activation::Table(Function::Sigmoid),
        };
        let y = push(&mut g, "y", f, &[a]);
        g.output(y);
        assert_eq!(assign(&g, vec![5, 14, 14], Word::W16), [11, 14, 14]);
        assert_eq!(assign(&g, vec![13, 14, 14], Word::W16), [13, 14, 14]);
    }
}
