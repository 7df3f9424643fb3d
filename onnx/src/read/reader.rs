//! What the operators' readers work with: the node at hand, and the graph that grows.

use super::Scale;
use super::array::Array;
use super::formula::{self, Formula};
use super::input::{MAX_ELEMENTS, map_shape};
use super::view::{Axes, View};
use crate::{AttributeProto, ElementType, GraphProto, NodeProto};
use cnna_net::op::{Activate, Constant, Conv, Rearrange};
use cnna_net::{Activation, ArrayLayout, Graph, Op, Shape, TensorId, Values, Window};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// What a name of the file stands for.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// The same for every image.
    Constant(Rc<Array>),
    /// A tensor's elements in some order.
    View(View),
    /// An elementwise function that no operator of ours computes alone, over the view's tensor: part of a larger one.
    Part(View, Vec<Formula>),
}

/// A node with its inputs.
pub(crate) struct Call<'a> {
    pub node: &'a NodeProto,
    /// Its name, unique in the graph.
    pub label: &'a str,
    /// Version of ONNX's operator set.
    pub opset: i64,
    /// `None` for an optional one that is absent.
    pub inputs: Vec<Option<Value>>,
    /// The batch size that the file fixes.
    pub batch: Option<usize>,
}

impl<'a> Call<'a> {
    pub fn new(
        node: &'a NodeProto,
        label: &'a str,
        opset: i64,
        inputs: Vec<Option<Value>>,
        batch: Option<usize>,
    ) -> Self {
        Call {
            node,
            label,
            opset,
            inputs,
            batch,
        }
    }

    fn attribute<T>(
        &self,
        name: &str,
        expected: &str,
        got: Result<T, crate::Error>,
    ) -> Result<T, String> {
        got.map_err(|_| format!("its attribute `{name}` should be {expected}"))
    }
    pub fn has(&self, name: &str) -> bool {
        self.node.attribute(name).is_some()
    }
    pub fn int(&self, name: &str, default: i64) -> Result<i64, String> {
        self.attribute(name, "an integer", self.node.int(name, default))
    }
    pub fn float(&self, name: &str, default: f32) -> Result<f32, String> {
        self.attribute(name, "a float", self.node.float(name, default))
    }
    pub fn string(&self, name: &str, default: &'a str) -> Result<&'a str, String> {
        self.attribute(name, "text", self.node.string(name, default))
    }
    pub fn ints(&self, name: &str) -> Result<Option<Vec<i64>>, String> {
        Ok(self
            .attribute(name, "a list of integers", self.node.ints(name))?
            .map(<[i64]>::to_vec))
    }
    pub fn floats(&self, name: &str) -> Result<Option<Vec<f32>>, String> {
        Ok(self
            .attribute(name, "a list of floats", self.node.floats(name))?
            .map(<[f32]>::to_vec))
    }
    pub fn raw(&self, name: &str) -> Option<&'a AttributeProto> {
        self.node.attribute(name)
    }

    /// Input number `i`. Errors: it is absent.
    pub fn input(&self, i: usize) -> Result<&Value, String> {
        self.optional(i)
            .ok_or_else(|| format!("it has no input {i}"))
    }
    pub fn optional(&self, i: usize) -> Option<&Value> {
        self.inputs.get(i)?.as_ref()
    }

    /// Constant input number `i`. Errors: it is absent, or images change it.
    pub fn constant(&self, i: usize) -> Result<&Rc<Array>, String> {
        self.optional_constant(i)?
            .ok_or_else(|| format!("it has no input {i}"))
    }
    pub fn optional_constant(&self, i: usize) -> Result<Option<&Rc<Array>>, String> {
        match self.optional(i) {
            None => Ok(None),
            Some(Value::Constant(a)) => Ok(Some(a)),
            Some(_) => Err(format!(
                "its input `{}` must be a constant",
                self.node.input.get(i).map_or("", |s| s)
            )),
        }
    }

    /// Integers of an attribute, or (newer operator sets) of constant input number `i`.
    pub fn ints_or_input(&self, name: &str, i: usize) -> Result<Option<Vec<i64>>, String> {
        match self.ints(name)? {
            Some(v) => Ok(Some(v)),
            None => self.optional_constant(i)?.map(|a| a.to_ints()).transpose(),
        }
    }
}

/// A dimension as ONNX counts it, negative ones from the end. Errors: there is no such dimension.
pub(crate) fn dimension(axis: i64, rank: usize) -> Result<usize, String> {
    let at = if axis < 0 {
        axis.checked_add(rank as i64)
    } else {
        Some(axis)
    };
    at.and_then(|a| usize::try_from(a).ok())
        .filter(|&a| a < rank)
        .ok_or_else(|| format!("its axis {axis} is none of {rank} dimensions"))
}

/// The graph that grows.
pub(crate) struct Reader<'m> {
    pub graph: Graph,
    pub proto: &'m GraphProto,
    /// The batch size that the inputs fix, once one is seen.
    pub batch: Option<usize>,
    pub batch_known: bool,
    pub scales: Vec<Scale>,
    /// Inputs that come as integers.
    pub integers: HashMap<TensorId, ElementType>,
    /// The node that writes each tensor.
    pub writers: HashMap<TensorId, usize>,
    formulas: HashMap<TensorId, Vec<Formula>>,
    rearranged: HashMap<(TensorId, Axes, Shape), TensorId>,
    names: HashSet<String>,
}

impl<'m> Reader<'m> {
    pub fn new(graph: Graph, proto: &'m GraphProto) -> Self {
        Reader {
            graph,
            proto,
            batch: None,
            batch_known: false,
            scales: Vec::new(),
            integers: HashMap::new(),
            writers: HashMap::new(),
            formulas: HashMap::new(),
            rearranged: HashMap::new(),
            names: HashSet::new(),
        }
    }

    /// A name that no node or tensor has yet.
    pub fn unique(&mut self, stem: &str) -> String {
        let mut name = stem.to_string();
        let mut n = 1;
        while !self.names.insert(name.clone()) {
            n += 1;
            name = format!("{stem}_{n}");
        }
        name
    }

    /// Appends an operator. Errors: its inputs do not fit it.
    pub fn push(
        &mut self,
        label: &str,
        op: impl Into<Op>,
        inputs: &[TensorId],
    ) -> Result<TensorId, String> {
        let op = op.into();
        let shapes: Vec<Shape> = inputs
            .iter()
            .map(|&t| self.graph.tensors[t].shape)
            .collect();
        let shape = op.shape(&shapes)?;
        if shape.len() > MAX_ELEMENTS {
            return Err(format!(
                "its output {shape} is larger than {MAX_ELEMENTS} elements"
            ));
        }
        let name = self.unique(label);
        let output = self
            .graph
            .push(&name, op, inputs, None)
            .map_err(|e| e.to_string())?;
        self.writers.insert(output, self.graph.nodes.len() - 1);
        Ok(output)
    }

    pub fn shape(&self, tensor: TensorId) -> Shape {
        self.graph.tensors[tensor].shape
    }

    /// The operator that writes a tensor, and its inputs.
    pub fn writer(&self, tensor: TensorId) -> Option<(&Op, &[TensorId])> {
        let n = &self.graph.nodes[*self.writers.get(&tensor)?];
        Some((&n.op, &n.inputs))
    }

    /// A tensor's format, or that of the tensor whose values it only moves.
    pub fn frac(&self, mut tensor: TensorId) -> Option<i32> {
        for _ in 0..64 {
            if let Some(f) = self.graph.tensors[tensor].frac {
                return Some(f);
            }
            let (op, inputs) = self.writer(tensor)?;
            if !op.keeps_format() {
                return None;
            }
            tensor = *inputs.first()?;
        }
        None
    }

    /// A value as activations; a constant becomes a tensor that the model holds.
    pub fn view(&mut self, v: &Value, label: &str) -> Result<View, String> {
        match v {
            Value::View(v) => Ok(v.clone()),
            Value::Constant(a) => self.held(a, label),
            Value::Part(like, formulas) => {
                for f in formulas {
                    let function = formula::lone(&f.samples);
                    let fits = self.shape(f.base) == self.shape(like.tensor);
                    if let Some(function) = function.filter(|_| fits) {
                        return self.activate(
                            label,
                            Activation::Table(function),
                            &like.over(f.base),
                        );
                    }
                }
                Err("it reads the result of Abs, Cosh, Erf, Exp, Log, Softplus or Pow, which are read only as parts of SiLU, GELU or Mish, and as exponentials, logarithms and powers of magnitudes".into())
            }
        }
    }

    /// Input number `i` of a node as activations.
    pub fn operand(&mut self, n: &Call, i: usize) -> Result<View, String> {
        let v = n.input(i)?.clone();
        let view = self.view(&v, n.label)?;
        match view.step {
            None => Ok(view),
            Some(_) => Err("it computes with integers between QuantizeLinear and DequantizeLinear: only QDQ models are read".into()),
        }
    }

    fn held(&mut self, a: &Array, label: &str) -> Result<View, String> {
        let batch = a.dims.len() > 1 && a.dims[0] == 1;
        let sides = &a.dims[usize::from(batch)..];
        let shape = map_shape(sides);
        let values = self.values(a)?;
        let t = self.push(
            &format!("{label}/constant"),
            Constant { shape, values },
            &[],
        )?;
        Ok(View::plain(t, sides, batch))
    }

    /// A constant's elements as an operator holds them. Errors: NaN and infinity.
    pub fn values(&self, a: &Array) -> Result<Values, String> {
        match a.words() {
            Some((w, frac)) => Ok(Values::Words(w.to_vec(), frac)),
            None => Ok(Values::Reals(a.finite()?)),
        }
    }

    /// The same of weights whose first dimension is output channels: what each channel has beyond the least fraction bits.
    pub fn weights(&self, a: &Array) -> Result<(Values, Vec<u8>), String> {
        match a.channel_words() {
            Some((w, frac)) => Ok((Values::Words(w.to_vec(), frac), a.finer.clone())),
            None => Ok((Values::Reals(a.finite()?), Vec::new())),
        }
    }

    /// The view as an array [N, ...] whose batch comes first.
    pub fn batched(&self, view: &View) -> Result<View, String> {
        match view.batch {
            Some(0) => Ok(view.clone()),
            None if view.dims.len() > 1 && view.dims[0].is_empty() => Ok(View {
                batch: Some(0),
                ..view.clone()
            }),
            None => Ok(view.clone()),
            Some(b) => Err(format!(
                "its input has the batch as dimension {b}, expected first: leave the batch where it is"
            )),
        }
    }

    /// The view's elements in its own order, as a tensor [C, H, W]; [C, L] is C x 1 x L, [K] is K x 1 x 1.
    pub fn map(&mut self, view: &View, label: &str) -> Result<TensorId, String> {
        let view = self.batched(view)?;
        self.ordered(&view, map_shape(&view.sides()), label)
    }

    /// The view's elements in its own order, as a tensor of that shape.
    pub fn ordered(&mut self, view: &View, shape: Shape, label: &str) -> Result<TensorId, String> {
        if view.is_plain() && self.shape(view.tensor) == shape {
            return Ok(view.tensor);
        }
        let axes = view.layout().axes;
        let key = (view.tensor, axes.clone(), shape);
        if let Some(&t) = self.rearranged.get(&key) {
            return Ok(t);
        }
        let order = ArrayLayout {
            dims: shape.sides().to_vec(),
            axes,
            first: 0,
        };
        let t = self.push(
            &format!("{label}/rearrange"),
            Rearrange { shape, order },
            &[view.tensor],
        )?;
        self.rearranged.insert(key, t);
        Ok(t)
    }

    /// The view where its dimensions are the tensor's sides in some order, and which: another one is rearranged first.
    pub fn sided(
        &mut self,
        view: &View,
        label: &str,
    ) -> Result<(View, Vec<Option<usize>>), String> {
        let view = self.batched(view)?;
        if let Some(side_of) = view.permutation(self.shape(view.tensor)) {
            return Ok((view, side_of));
        }
        let sides = view.sides();
        let t = self.map(&view, label)?;
        let plain = View {
            step: view.step,
            ..View::plain(t, &sides, view.batch.is_some())
        };
        let side_of = plain.permutation(self.shape(t)).ok_or_else(|| {
            format!(
                "its input has {} dimensions beside the batch, expected at most three",
                sides.len()
            )
        })?;
        Ok((plain, side_of))
    }

    /// The view as a tensor of three sides, `axis` the middle one: for arrays of more dimensions than a tensor has sides. An
    /// array over what becomes of it is plain again.
    pub fn grouped(&mut self, view: &View, axis: usize, label: &str) -> Result<TensorId, String> {
        let sizes = view.sizes();
        let side = |part: &[usize]| part.iter().product();
        let shape = Shape::of([side(&sizes[..axis]), sizes[axis], side(&sizes[axis + 1..])]);
        self.ordered(view, shape, label)
    }

    /// The view with other sizes; where its order does not divide so, it is rearranged first.
    pub fn reshape(
        &mut self,
        view: &View,
        sizes: &[usize],
        batch: Option<usize>,
        label: &str,
    ) -> Result<View, String> {
        if let Some(v) = view.reshape(sizes, batch) {
            return Ok(v);
        }
        let shape = map_shape(&view.sides());
        let t = self.ordered(view, shape, label)?;
        let plain = View {
            step: view.step,
            ..View::plain(t, &view.sides(), false)
        };
        plain
            .reshape(sizes, batch)
            .ok_or_else(|| format!("{:?} cannot become {sizes:?}", view.sizes()))
    }

    /// Two views brought to one order, the first one's.
    pub fn aligned(&mut self, a: &View, b: &View, label: &str) -> Result<(View, View), String> {
        let same = |r: &Self, a: &View, b: &View| {
            a.axes() == b.axes() && r.shape(a.tensor) == r.shape(b.tensor)
        };
        if same(self, a, b) {
            return Ok((a.clone(), b.clone()));
        }
        // The second one in the first one's order: for each of its loops the place in the other tensor.
        if let Some(axes) = relative(&a.axes(), &b.axes()) {
            let shape = self.shape(a.tensor);
            let there = View {
                tensor: b.tensor,
                dims: vec![axes],
                batch: None,
                step: None,
            };
            let t = self.ordered(&there, shape, label)?;
            return Ok((a.clone(), a.over(t)));
        }
        let (ta, tb) = (self.map(a, label)?, self.map(b, label)?);
        let sides = self.batched(a)?.sides();
        let batch = self.batched(a)?.batch.is_some();
        Ok((
            View::plain(ta, &sides, batch),
            View::plain(tb, &sides, batch),
        ))
    }

    /// Appends `function` over a view.
    pub fn activate(
        &mut self,
        label: &str,
        function: Activation,
        view: &View,
    ) -> Result<View, String> {
        let t = self.push(label, Activate { function }, &[view.tensor])?;
        Ok(view.over(t))
    }

    /// Appends `x * scale + offset`, one of each a channel of the tensor; reading folds it into a neighbour.
    pub fn affine(
        &mut self,
        label: &str,
        view: &View,
        scale: Vec<f32>,
        offset: Vec<f32>,
    ) -> Result<View, String> {
        let c = self.shape(view.tensor).c;
        let uniform =
            scale.iter().all(|s| *s == scale[0]) && offset.iter().all(|o| *o == offset[0]);
        let (s0, o0) = (f64::from(scale[0]), f64::from(offset[0]));
        let formulas = match uniform {
            true => formula::through(&self.formulas_of(view.tensor), |y| y * s0 + o0),
            false => Vec::new(),
        };
        if let Some(v) = self.known(label, view, &formulas)? {
            return Ok(v);
        }
        let conv = Conv {
            finer: Vec::new(),
            oc: c,
            groups: c,
            window: Window::plain(1, 1),
            weights: Values::Reals(scale),
            bias: Values::Reals(offset),
            activation: Activation::None,
        };
        let t = self.push(label, conv, &[view.tensor])?;
        self.remember(t, formulas);
        Ok(view.over(t))
    }

    /// What is known of a tensor as a function of those before it, and of itself.
    pub fn formulas_of(&self, tensor: TensorId) -> Vec<Formula> {
        let mut all = self.formulas.get(&tensor).cloned().unwrap_or_default();
        all.push(Formula {
            base: tensor,
            samples: formula::points().collect(),
        });
        all
    }

    /// The same of any value of the graph; empty for constants.
    pub fn formulas_of_value(&self, v: &Value) -> Vec<Formula> {
        match v {
            Value::View(v) => self.formulas_of(v.tensor),
            Value::Part(_, f) => f.clone(),
            Value::Constant(_) => Vec::new(),
        }
    }

    pub fn remember(&mut self, tensor: TensorId, mut formulas: Vec<Formula>) {
        formulas.drain(..formulas.len().saturating_sub(formula::KEPT));
        self.formulas.insert(tensor, formulas);
    }

    /// A tensor that has its own format is no step on the way to a function any more: its rounding is the model's wish.
    pub fn forget(&mut self, tensor: TensorId) {
        self.formulas.remove(&tensor);
    }

    /// The function that these formulas are, if it is one that runs by table; `like` has its order.
    pub fn known(
        &mut self,
        label: &str,
        like: &View,
        formulas: &[Formula],
    ) -> Result<Option<View>, String> {
        // The farthest tensor first: it swallows the most nodes.
        for f in formulas {
            let is_itself = f.base == like.tensor && formulas.len() == 1;
            if self.shape(f.base) != self.shape(like.tensor) && !is_itself {
                continue;
            }
            if let Some(function) = formula::known(&f.samples) {
                let from = like.over(f.base);
                let v = self.activate(label, Activation::Table(function), &from)?;
                self.remember(v.tensor, formulas.to_vec());
                return Ok(Some(v));
            }
        }
        Ok(None)
    }

    /// An elementwise function of a value: a table where the whole is one that runs by table, else a part of a larger one.
    pub fn part(
        &mut self,
        label: &str,
        v: &Value,
        f: impl Fn(f64) -> f64,
    ) -> Result<Value, String> {
        let like = match v {
            Value::Part(like, _) => like.clone(),
            other => self.view(&other.clone(), label)?,
        };
        let formulas = formula::through(&self.formulas_of_value(v), f);
        self.combined(label, like, formulas)
    }

    /// The value of these formulas in the order of `like`.
    pub fn combined(
        &mut self,
        label: &str,
        like: View,
        formulas: Vec<Formula>,
    ) -> Result<Value, String> {
        Ok(match self.known(label, &like, &formulas)? {
            Some(v) => Value::View(v),
            None => Value::Part(like, formulas),
        })
    }
}

/// For the elements of one tensor in their own order, where they lie in another; both are given as loops over one array.
fn relative(a: &[(usize, usize)], b: &[(usize, usize)]) -> Option<Vec<(usize, usize)>> {
    // Both lists are cut until they have the same counts.
    let (mut left, mut right) = (a.to_vec(), b.to_vec());
    left.reverse();
    right.reverse();
    let mut pairs: Vec<(usize, usize, usize)> = Vec::new();
    while let (Some((n, p)), Some((m, q))) = (left.pop(), right.pop()) {
        if n == m {
            pairs.push((n, p, q));
        } else if n > m && n % m == 0 {
            pairs.push((m, p * (n / m), q));
            left.push((n / m, p));
        } else if m > n && m % n == 0 {
            pairs.push((n, p, q * (m / n)));
            right.push((m / n, q));
        } else {
            return None;
        }
    }
    if !left.is_empty() || !right.is_empty() {
        return None;
    }
    pairs.sort_by_key(|&(_, p, _)| std::cmp::Reverse(p));
    Some(super::view::merged(
        pairs.into_iter().map(|(n, _, q)| (n, q)),
    ))
}
