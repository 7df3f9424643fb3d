//! A file that another tool quantised, in its own integers: every tensor that has a scale there counts in units of that scale,
//! as integers without their zero point, so that this machine's rounding to words is the file's rounding to its grid.
//!
//! A tensor holds `T / unit`. Linear operators take the units into their weights (`w * unit in / unit out`, reals that
//! become words as all others), bounds and borders are divided by them, and what only moves or chooses values keeps them.
//! Operands of a sum are brought to the sum's unit, finer than its grid, by a depthwise convolution of one weight; so is
//! what enters and leaves the network. Functions and products read and write plain reals.

use super::range::covering;
use cnna_machine::num::Word;
use cnna_net::op::{Activate, Constant, Conv, Op};
use cnna_net::{Activation, Graph, GraphError, Node, TensorId, Values, Window};
use cnna_onnx::Scale;
use std::collections::HashMap;

/// The graph of `import`'s reals in the units of its scales: those tensors have no fraction bits. `None` where integers
/// of the file are no words: 8-bit machines, uint16 and the like.
///
/// Errors: operators that do not fit each other, which reading has ruled out.
pub fn own_integers(
    import: &Graph,
    scales: &[Scale],
    word: Word,
) -> Result<Option<Graph>, GraphError> {
    let fits = |s: &Scale| {
        let [lo, hi] = s.limits.map(|q| q - s.zero_point);
        s.grid && lo >= word.min() && hi <= word.max() && lo < hi
    };
    if word == Word::W8 || scales.is_empty() || !scales.iter().all(fits) {
        return Ok(None);
    }
    let scales: HashMap<TensorId, &Scale> = scales.iter().map(|s| (s.tensor, s)).collect();
    let mut new = Graph::new(&import.name, word);
    // The old tensors keep their numbers, so that what follows them can be told by them.
    new.tensors = import.tensors.clone();
    let mut own = Own {
        units: vec![1.0; new.tensors.len()],
        ranges: vec![None; new.tensors.len()],
        place: (0..new.tensors.len()).collect(),
        wanted: wanted(import, &scales),
        graph: new,
        brought: HashMap::new(),
    };
    for p in &import.inputs {
        own.input(import, p.tensor, &scales);
        own.graph.inputs.push(p.clone());
    }
    for n in &import.nodes {
        own.node(import, n, scales.get(&n.output).copied())?;
    }
    for p in &import.outputs {
        let tensor = own.brought(own.place[p.tensor], 1.0)?;
        own.graph.outputs.push(cnna_net::Port {
            tensor,
            ..p.clone()
        });
    }
    // Tensors whose clip was none are gone.
    cnna_net::simplify::simplify(&mut own.graph);
    Ok(Some(own.graph))
}

/// For each tensor the scale that its writer can count in at once, because nothing else happens before the file rounds.
fn wanted(import: &Graph, scales: &HashMap<TensorId, &Scale>) -> Vec<Option<f64>> {
    let mut uses = vec![0; import.tensors.len()];
    import
        .nodes
        .iter()
        .flat_map(|n| &n.inputs)
        .for_each(|&t| uses[t] += 1);
    import.outputs.iter().for_each(|p| uses[p.tensor] += 1);
    let mut wanted: Vec<Option<f64>> = vec![None; import.tensors.len()];
    for n in import.nodes.iter().rev() {
        let scale = scales
            .get(&n.output)
            .map(|s| f64::from(s.scale))
            .or(wanted[n.output]);
        let moves = n.op.keeps_format();
        for &t in n
            .inputs
            .iter()
            .filter(|&&t| moves && uses[t] == 1 && !scales.contains_key(&t))
        {
            wanted[t] = scale;
        }
    }
    wanted
}

/// Least and largest value.
type Range = [f64; 2];

struct Own {
    graph: Graph,
    /// What one stands for in each tensor of the graph.
    units: Vec<f64>,
    /// The least and the largest value of each, in its unit, where they are known.
    ranges: Vec<Option<Range>>,
    /// Of each tensor of the file.
    place: Vec<TensorId>,
    wanted: Vec<Option<f64>>,
    /// Tensors in other units, by tensor and unit.
    brought: HashMap<(TensorId, u64), TensorId>,
}

impl Own {
    /// What enters is real, as fine as its word can be: its first scale rounds it.
    fn input(&mut self, import: &Graph, t: TensorId, scales: &HashMap<TensorId, &Scale>) {
        let readers = import.nodes.iter().filter(|n| n.inputs.contains(&t));
        let all = readers
            .filter_map(|n| scales.get(&n.output))
            .map(|s| s.range().map(f64::from));
        if let (Some(range), None) = (all.reduce(both), self.graph.tensors[t].frac) {
            self.graph.tensors[t].frac = Some(covering(magnitude(range), self.graph.word));
            self.ranges[t] = Some(range);
        }
    }

    /// Appends a node that writes a tensor of the file.
    fn write(
        &mut self,
        n: &Node,
        op: impl Into<Op>,
        inputs: Vec<TensorId>,
        (unit, frac, range): (f64, Option<i32>, Option<Range>),
    ) {
        let t = self.place[n.output];
        (self.units[t], self.ranges[t], self.graph.tensors[t].frac) = (unit, range, frac);
        self.graph.nodes.push(Node {
            name: n.name.clone(),
            op: op.into(),
            inputs,
            output: t,
        });
    }

    fn frac(&self, t: TensorId) -> Option<i32> {
        self.graph.tensors[t].frac
    }

    fn node(&mut self, import: &Graph, n: &Node, scale: Option<&Scale>) -> Result<(), GraphError> {
        let inputs: Vec<TensorId> = n.inputs.iter().map(|&t| self.place[t]).collect();
        let given = import.tensors[n.output].frac;
        let wanted = self.wanted[n.output];
        // Of one that is rounded at once, or else plain reals.
        let (unit, frac) = wanted.map_or((1.0, given), |u| (u, Some(0)));
        if let Some(s) = scale {
            return self.quantise(n, inputs[0], s);
        }
        match &n.op {
            Op::Conv(c) => {
                let mut c = c.clone();
                let input_frac = import.tensors[n.inputs[0]].frac;
                let ratio = self.units[inputs[0]] / unit;
                if ratio != 1.0 || unit != 1.0 {
                    c.unquantise(input_frac.unwrap_or(0));
                    multiply(&mut c.weights, ratio);
                    multiply(&mut c.bias, 1.0 / unit);
                    c.activation = scaled(&c.activation, unit);
                }
                self.write(n, c, inputs, (unit, frac, None));
            }
            Op::ConvTranspose(c) => {
                let mut c = c.clone();
                let ratio = self.units[inputs[0]] / unit;
                if ratio != 1.0 || unit != 1.0 {
                    let sums = c.weights.words().map_or(0, |(_, f)| f)
                        + import.tensors[n.inputs[0]].frac.unwrap_or(0);
                    c.bias = Values::Reals(c.bias.to_reals(sums));
                    multiply(&mut c.weights, ratio);
                    multiply(&mut c.bias, 1.0 / unit);
                    c.activation = scaled(&c.activation, unit);
                }
                self.write(n, c, inputs, (unit, frac, None));
            }
            Op::Add(a) => {
                let inputs = self.all(inputs, unit)?;
                let mut a = a.clone();
                a.activation = scaled(&a.activation, unit);
                self.write(n, a, inputs, (unit, frac, None));
            }
            Op::Constant(_) => self.write(n, n.op.clone(), inputs, (1.0, given, None)),
            op if moves_or_scales(op) => {
                let first = (self.units[inputs[0]], self.frac(inputs[0]));
                let alike = inputs
                    .iter()
                    .all(|&t| (self.units[t], self.frac(t)) == first);
                let unit = if alike { first.0 } else { unit };
                let inputs = if alike {
                    inputs
                } else {
                    self.all(inputs, unit)?
                };
                let all = inputs.iter().map(|&t| self.ranges[t]);
                let mut range = all.reduce(|a, b| Some(both(a?, b?))).flatten();
                let frac = match op.keeps_format() {
                    // Several that meet share one, which what follows finds.
                    true if alike => first.1,
                    true => given,
                    // Between two integers there is more than they can say.
                    false if unit != 1.0 => range.map(|r| covering(magnitude(r), self.graph.word)),
                    false => given,
                };
                let mut op = op.clone();
                match &mut op {
                    Op::Activate(a) => a.function = scaled(&a.function, unit),
                    Op::Pad(p) => {
                        p.value = (f64::from(p.value) / unit) as f32;
                        range = range.map(|r| both(r, [p.value.into(); 2]));
                    }
                    _ => {}
                }
                self.write(n, op, inputs, (unit, frac, range));
            }
            op => {
                let inputs = self.all(inputs, 1.0)?;
                self.write(n, op.clone(), inputs, (1.0, given, None));
            }
        }
        Ok(())
    }

    /// The clip of a scale: to its integers, where it does not stand in them already.
    fn quantise(&mut self, n: &Node, input: TensorId, s: &Scale) -> Result<(), GraphError> {
        let unit = f64::from(s.scale);
        let [lo, hi] = s.limits.map(|q| (q - s.zero_point) as f32);
        let clip = Activation::Clip { lo, hi };
        let range = [lo, hi].map(f64::from);
        let there = self.units[input] == unit && self.frac(input) == Some(0);
        let held = |r: Range| range[0] <= r[0] && r[1] <= range[1];
        match there {
            true if self.ranges[input].is_some_and(held) => self.place[n.output] = input,
            true => self.write(
                n,
                Activate { function: clip },
                vec![input],
                (unit, Some(0), Some(range)),
            ),
            false => {
                let ratio = self.units[input] / unit;
                let op = Conv {
                    activation: clip,
                    ..depthwise(self.graph.tensors[input].shape.c, ratio)
                };
                self.write(n, op, vec![input], (unit, Some(0), Some(range)));
            }
        }
        Ok(())
    }

    fn all(&mut self, inputs: Vec<TensorId>, unit: f64) -> Result<Vec<TensorId>, GraphError> {
        inputs.into_iter().map(|t| self.brought(t, unit)).collect()
    }

    /// The tensor in another unit, as fine as its word can be.
    fn brought(&mut self, t: TensorId, unit: f64) -> Result<TensorId, GraphError> {
        let ratio = self.units[t] / unit;
        if ratio == 1.0 {
            return Ok(t);
        }
        if let Some(&there) = self.brought.get(&(t, unit.to_bits())) {
            return Ok(there);
        }
        let writer = self.graph.nodes.iter().find(|n| n.output == t);
        let constant = writer.and_then(|n| match &n.op {
            Op::Constant(c) => Some(c.values.to_reals(0)),
            _ => None,
        });
        let shape = self.graph.tensors[t].shape;
        let range = self.ranges[t].map(|r| r.map(|v| v * ratio));
        let name = self.name(&format!(
            "{}/{}",
            self.graph.tensors[t].name,
            if unit == 1.0 { "real" } else { "unit" }
        ));
        let (op, inputs, range): (Op, _, _) = match constant {
            Some(v) => {
                let mut values = Values::Reals(v);
                multiply(&mut values, ratio);
                let all = values
                    .reals()
                    .unwrap_or_default()
                    .iter()
                    .map(|&v| [f64::from(v); 2]);
                let range = all.reduce(both);
                (Constant { shape, values }.into(), vec![], range)
            }
            None => (depthwise(shape.c, ratio).into(), vec![t], range),
        };
        let frac = range.map(|r| covering(magnitude(r), self.graph.word));
        let there = self.graph.push(&name, op, &inputs, frac)?;
        self.units.push(unit);
        self.ranges.push(range);
        self.brought.insert((t, unit.to_bits()), there);
        Ok(there)
    }

    fn name(&self, stem: &str) -> String {
        let taken = |name: &String| self.graph.tensors.iter().any(|t| t.name == *name);
        let mut names =
            std::iter::once(stem.to_string()).chain((2..).map(|i| format!("{stem}_{i}")));
        names.find(|n| !taken(n)).expect("numbers do not end")
    }
}

/// Operators whose result is in the unit of what they read.
fn moves_or_scales(op: &Op) -> bool {
    match op {
        Op::Activate(a) => !matches!(a.function, Activation::Table(_)),
        Op::AveragePool(_) | Op::Bilinear(_) => true,
        op => op.keeps_format(),
    }
}

/// The range of both.
fn both(a: Range, b: Range) -> Range {
    [a[0].min(b[0]), a[1].max(b[1])]
}

fn magnitude([lo, hi]: [f64; 2]) -> f64 {
    lo.abs().max(hi.abs())
}

fn multiply(values: &mut Values, factor: f64) {
    let v = values.to_reals(0);
    *values = Values::Reals(v.iter().map(|&v| (f64::from(v) * factor) as f32).collect());
}

/// The same function of values in a unit.
fn scaled(a: &Activation, unit: f64) -> Activation {
    match a {
        Activation::Clip { lo, hi } => {
            let [lo, hi] = [lo, hi].map(|&v| (f64::from(v) / unit) as f32);
            Activation::Clip { lo, hi }
        }
        other => other.clone(),
    }
}

/// One weight for every value.
fn depthwise(channels: usize, weight: f64) -> Conv {
    Conv {
        oc: channels,
        groups: channels,
        window: Window::plain(1, 1),
        weights: Values::Reals(vec![weight as f32; channels]),
        finer: Vec::new(),
        bias: Values::Reals(vec![0.0; channels]),
        activation: Activation::None,
    }
}
