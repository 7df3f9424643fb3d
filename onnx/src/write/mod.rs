//! A graph as ONNX, operator set 21: float where it has no formats, else with QuantizeLinear and DequantizeLinear of
//! power-of-two scales. Every tensor is a value [N, C, H, W] of its name; inputs and outputs have the model's own shape.

use crate::read::view::merged;
use crate::{AttributeValue, ElementType, GraphBuilder, Model, NodeProto, Scalar};
use cnna_machine::num::Word;
use cnna_net::{Activation, ArrayLayout, Graph, Node, Op, Port, Shape, Tensor, TensorId, Values};
use std::collections::{HashMap, HashSet};

/// How a graph is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The float graph of a quantised one: its constants as the reals that they stand for, no formats.
    pub float: bool,
    /// Every tensor is an output, after the graph's own, named as the tensor.
    pub every_tensor: bool,
    /// Spell out operators that small engines lack: LRN, dilated maxima.
    pub basic: bool,
}

/// A constant that is an input of the model: see [`export_open`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenConstant {
    /// The input's name.
    pub name: String,
    /// The array that the node reads.
    pub dims: Vec<usize>,
    /// The tensor that the constant's node writes.
    pub tensor: TensorId,
    /// Its place among the operator's constants.
    pub place: usize,
}

/// Why a graph is not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// An operator that ONNX has no nodes for.
    #[error("node `{node}` ({operator}) cannot be written as ONNX: {reason}")]
    Node {
        /// The node's name.
        node: String,
        /// Its operator.
        operator: &'static str,
        /// Why.
        reason: String,
    },
    /// A format whose scale no float holds.
    #[error("tensor `{tensor}`: 2^-{frac} is no float's scale: quantise it again")]
    Scale {
        /// The tensor's name.
        tensor: String,
        /// Its fraction bits.
        frac: i32,
    },
}

/// The graph as a model: float where no tensor has a format, else QDQ.
pub fn export(graph: &Graph) -> Result<Model, WriteError> {
    export_with(graph, Options::default())
}

/// The same as the options say.
pub fn export_with(graph: &Graph, options: Options) -> Result<Model, WriteError> {
    for t in graph.tensors.iter().filter(|_| !options.float) {
        if let Some(frac) = t.frac.filter(|f| !(-120..=120).contains(f)) {
            return Err(WriteError::Scale {
                tensor: t.name.clone(),
                frac,
            });
        }
    }
    let mut w = Writer::new(graph, options);
    for p in &graph.inputs {
        w.input(p);
    }
    for n in &graph.nodes {
        crate::op::write(&mut w, n)?;
    }
    for p in &graph.outputs {
        w.output(p);
    }
    if options.every_tensor {
        w.every_tensor();
    }
    Ok(w.builder.finish())
}

/// The float graph for an engine that runs it node by node: every tensor, inputs and outputs too, is a value [N, C,
/// H, W] of its own name and an output; reals are inputs, so that the engine reads them where they lie. Operators
/// that small engines lack are spelt out.
pub fn export_open(graph: &Graph) -> Result<(Model, Vec<OpenConstant>), WriteError> {
    let options = Options {
        float: true,
        every_tensor: true,
        basic: true,
    };
    let mut w = Writer::new(graph, options);
    w.open = Some(Vec::new());
    w.names = graph.tensors.iter().map(|t| t.name.clone()).collect();
    for p in &graph.inputs {
        let Tensor { name, shape, .. } = &graph.tensors[p.tensor];
        w.builder.input(name, ElementType::F32, &shape.sides());
        w.values.insert(p.tensor, name.clone());
    }
    for n in &graph.nodes {
        crate::op::write(&mut w, n)?;
    }
    w.every_tensor();
    Ok((w.builder.finish(), w.open.unwrap_or_default()))
}

/// The model that grows.
pub(crate) struct Writer<'g> {
    graph: &'g Graph,
    options: Options,
    builder: GraphBuilder,
    /// The value of each tensor.
    values: HashMap<TensorId, String>,
    names: HashSet<String>,
    /// The constants that are inputs, where they are: see [`export_open`].
    open: Option<Vec<OpenConstant>>,
}

impl<'g> Writer<'g> {
    fn new(graph: &'g Graph, options: Options) -> Self {
        let mut names = HashSet::new();
        names.extend(
            graph
                .inputs
                .iter()
                .chain(&graph.outputs)
                .map(|p| p.name.clone()),
        );
        Writer {
            graph,
            options,
            builder: GraphBuilder::new(&graph.name),
            values: HashMap::new(),
            names,
            open: None,
        }
    }

    /// True when operators that small engines lack are to be spelt out.
    pub fn basic(&self) -> bool {
        self.options.basic
    }

    /// True when reals are written for words.
    pub fn is_float(&self) -> bool {
        self.options.float
    }

    /// Fraction bits of a tensor in the graph.
    pub fn format_of(&self, t: TensorId) -> Option<i32> {
        self.graph.tensors[t].frac
    }

    /// Shape of a tensor.
    pub fn shape(&self, t: TensorId) -> Shape {
        self.graph.tensors[t].shape
    }

    /// Name of a tensor's value.
    pub fn value(&self, t: TensorId) -> String {
        self.values.get(&t).cloned().unwrap_or_default()
    }

    /// Lets a tensor be a value that is there already.
    pub fn alias(&mut self, t: TensorId, value: String) {
        self.values.insert(t, value);
    }

    /// The error of an operator that ONNX has no nodes for.
    pub fn cannot(&self, n: &Node, reason: &str) -> WriteError {
        WriteError::Node {
            node: n.name.clone(),
            operator: n.op.name(),
            reason: reason.into(),
        }
    }

    fn unique(&mut self, stem: &str) -> String {
        let mut name = stem.to_string();
        let mut i = 1;
        while !self.names.insert(name.clone()) {
            i += 1;
            name = format!("{stem}_{i}");
        }
        name
    }

    /// A node without an output yet: give it to [`Writer::step`] or [`Writer::finish`].
    pub fn node(&mut self, operator: &str, n: &Node, inputs: &[&str]) -> NodeProto {
        NodeProto::new(operator, &n.name, inputs, &[])
    }

    /// Appends a node whose result is an inner value; returns its name.
    pub fn step(&mut self, n: &Node, suffix: &str, mut node: NodeProto) -> String {
        let value = self.unique(&format!("{}/{suffix}", n.name));
        node.name = value.clone();
        node.output = vec![value.clone()];
        self.builder.node(node);
        value
    }

    /// Appends the node that writes the output of `n`, and its format.
    pub fn finish(&mut self, n: &Node, mut node: NodeProto) {
        let value = self.value_of_tensor(n.output);
        let inner = match self.frac(n.output) {
            None => value.clone(),
            Some(_) => self.unique(&format!("{}/real", n.name)),
        };
        node.output = vec![inner.clone()];
        self.builder.node(node);
        self.format(n.output, &inner, &value);
    }

    /// The node, then the activation of `n`.
    pub fn activated(
        &mut self,
        n: &Node,
        node: NodeProto,
        activation: &Activation,
    ) -> Result<(), WriteError> {
        if *activation == Activation::None {
            self.finish(n, node);
            return Ok(());
        }
        // The operator's node keeps the name: it is what reports call the layer.
        let inner = self.unique(&format!("{}/linear", n.name));
        self.builder.node(NodeProto {
            output: vec![inner.clone()],
            ..node
        });
        match crate::op::activate::function(self, n, activation, &inner) {
            Some(mut function) => {
                function.name = format!("{}/activation", n.name);
                self.finish(n, function);
            }
            None => return Err(self.cannot(n, "its activation is none")),
        }
        Ok(())
    }

    /// Fraction bits that are written.
    fn frac(&self, t: TensorId) -> Option<i32> {
        self.graph.tensors[t].frac.filter(|_| !self.options.float)
    }

    /// The name under which others read a tensor: its output's, where it is an output of plain shape.
    fn value_of_tensor(&mut self, t: TensorId) -> String {
        let graph = self.graph;
        if self.open.is_some() {
            let name = graph.tensors[t].name.clone();
            self.values.insert(t, name.clone());
            return name;
        }
        let plain =
            |p: &&Port| p.tensor == t && p.array == ArrayLayout::plain(graph.tensors[t].shape);
        let value = match graph.outputs.iter().find(plain) {
            Some(p) => p.name.clone(),
            None => self.unique(&graph.tensors[t].name),
        };
        self.values.insert(t, value.clone());
        value
    }

    /// QuantizeLinear and DequantizeLinear between two values, if the tensor has a format.
    fn format(&mut self, t: TensorId, from: &str, to: &str) {
        let Some(frac) = self.frac(t) else { return };
        let name = &self.graph.tensors[t].name;
        let scale = self.unique(&format!("{name}/scale"));
        self.builder.constant(&scale, &[], &[2f32.powi(-frac)]);
        let zero = self.zero_point();
        let words = self.unique(&format!("{name}/words"));
        let quantise = NodeProto::new(
            "QuantizeLinear",
            &format!("{name}/quantize"),
            &[from, &scale, &zero],
            &[&words],
        );
        let back = NodeProto::new(
            "DequantizeLinear",
            &format!("{name}/dequantize"),
            &[&words, &scale, &zero],
            &[to],
        );
        self.builder.node(quantise).node(back);
    }

    fn zero_point(&mut self) -> String {
        const NAME: &str = "words/zero_point";
        if self.names.insert(NAME.into()) {
            match self.graph.word {
                Word::W8 => self.builder.constant(NAME, &[], &[0i8]),
                Word::W16 => self.builder.constant(NAME, &[], &[0i16]),
            };
        }
        NAME.into()
    }

    fn initializer<T: Scalar>(&mut self, stem: &str, dims: &[usize], data: &[T]) -> String {
        let name = self.unique(stem);
        self.builder.constant(&name, dims, data);
        name
    }

    /// Integers that a node reads.
    pub fn integers(&mut self, n: &Node, name: &str, v: &[i64]) -> String {
        self.initializer(&format!("{}/{name}", n.name), &[v.len()], v)
    }

    /// Reals that a node reads.
    pub fn reals(&mut self, n: &Node, name: &str, dims: &[usize], v: &[f32]) -> String {
        self.initializer(&format!("{}/{name}", n.name), dims, v)
    }

    /// A constant of a node: reals, or integers behind DequantizeLinear; `finer` has the fraction bits that each index of the
    /// first dimension has beyond the others, and is mostly empty.
    pub fn constant(
        &mut self,
        n: &Node,
        name: &str,
        dims: &[usize],
        values: &Values,
        sum_frac: Option<i32>,
        finer: &[u8],
    ) -> String {
        let stem = format!("{}/{name}", n.name);
        let constants = n.op.constants();
        // Readers of a constant tensor name its values themselves: those stay in the model.
        let tensor = matches!(n.op, Op::Constant(_));
        let own = |v: &&Values| std::ptr::eq(*v, values) && v.reals().is_some() && !tensor;
        if let (Some(place), true) = (constants.iter().position(own), self.open.is_some()) {
            let name = self.unique(&stem);
            self.builder.fixed_input(&name, ElementType::F32, dims);
            let open = OpenConstant {
                name: name.clone(),
                dims: dims.to_vec(),
                tensor: n.output,
                place,
            };
            self.open.get_or_insert_default().push(open);
            return name;
        }
        let sums = match (values, sum_frac) {
            (Values::Sums(v), Some(f)) if v.iter().all(|&q| i32::try_from(q).is_ok()) => {
                Some((v, f))
            }
            _ => None,
        };
        let (words, frac) = match (values.words(), sums) {
            _ if self.options.float => {
                return self.initializer(&stem, dims, &reals(values, sum_frac, finer));
            }
            (Some((w, frac)), _) if (-120..=120).contains(&frac) => {
                // 8-bit words are int8 in the file.
                let name = match (self.graph.word, w.iter().all(|&q| i8::try_from(q).is_ok())) {
                    (Word::W8, true) => self.initializer(
                        &format!("{stem}/words"),
                        dims,
                        &w.iter().map(|&q| q as i8).collect::<Vec<_>>(),
                    ),
                    _ => self.initializer(&format!("{stem}/words"), dims, w),
                };
                (name, frac)
            }
            (_, Some((v, frac))) if (-120..=120).contains(&frac) => {
                let v: Vec<i32> = v.iter().map(|&q| q as i32).collect();
                (self.initializer(&format!("{stem}/words"), dims, &v), frac)
            }
            _ => return self.initializer(&stem, dims, &reals(values, sum_frac, finer)),
        };
        let (shape, scales) = match finer {
            [] => (vec![], vec![2f32.powi(-frac)]),
            finer => (
                vec![finer.len()],
                finer
                    .iter()
                    .map(|&d| 2f32.powi(-frac - i32::from(d)))
                    .collect(),
            ),
        };
        let scale = self.initializer(&format!("{stem}/scale"), &shape, &scales);
        let value = self.unique(&stem);
        let node = NodeProto::new(
            "DequantizeLinear",
            &format!("{stem}/dequantize"),
            &[&words, &scale],
            &[&value],
        );
        self.builder.node(match finer {
            [] => node,
            _ => node.with("axis", 0),
        });
        value
    }

    /// A node's biases, in the scale of its input and weights.
    pub fn bias(
        &mut self,
        n: &Node,
        bias: &Values,
        oc: usize,
        weights: &Values,
        finer: &[u8],
    ) -> Result<String, WriteError> {
        let input = self.graph.tensors[n.inputs[0]].frac;
        let frac = input.zip(weights.words()).map(|(f, (_, w))| f + w);
        if bias.sums().is_some() && frac.is_none() {
            return Err(self.cannot(n, "its bias has words, its input or weights have none"));
        }
        Ok(self.constant(n, "bias", &[oc], bias, frac, finer))
    }

    /// The node that brings `from`, a value [N, C, H, W] of that shape, to another order and shape.
    pub fn reordered(
        &mut self,
        n: &Node,
        from: &str,
        shape: Shape,
        order: &ArrayLayout,
        dims: &[usize],
    ) -> NodeProto {
        let target: Vec<i64> = std::iter::once(0)
            .chain(dims.iter().map(|&d| d as i64))
            .collect();
        if order.first == 0 && matches!(order.axes[..], [(n, 1)] if n == shape.len()) {
            let target = self.integers(n, "shape", &target);
            return self.node("Reshape", n, &[from, &target]);
        }
        // The loops from the slowest in the tensor on are its own order.
        let mut sorted: Vec<usize> = (0..order.axes.len()).collect();
        sorted.sort_by_key(|&a| std::cmp::Reverse(order.axes[a].1));
        let mut rest = shape.len();
        let whole = order.first == 0
            && sorted.iter().all(|&a| {
                let (count, distance) = order.axes[a];
                let fits = count * distance == rest;
                rest = distance;
                fits
            })
            && rest == 1;
        if !whole {
            let flat = self.integers(n, "flat", &[0, -1]);
            let node = self.node("Reshape", n, &[from, &flat]);
            let flat = self.step(n, "flat_value", node);
            let index: Vec<i64> = order.offsets().map(|o| o as i64).collect();
            let index = self.integers(n, "index", &index);
            let node = self.node("Gather", n, &[&flat, &index]).with("axis", 1);
            let taken = self.step(n, "taken", node);
            let target = self.integers(n, "shape", &target);
            return self.node("Reshape", n, &[&taken, &target]);
        }
        let split: Vec<i64> = std::iter::once(0)
            .chain(sorted.iter().map(|&a| order.axes[a].0 as i64))
            .collect();
        let split = self.integers(n, "split", &split);
        let node = self.node("Reshape", n, &[from, &split]);
        let parts = self.step(n, "parts", node);
        let perm: Vec<i64> = std::iter::once(0)
            .chain(
                (0..order.axes.len())
                    .map(|a| sorted.iter().position(|&s| s == a).unwrap_or(a) as i64 + 1),
            )
            .collect();
        let node = self
            .node("Transpose", n, &[&parts])
            .with("perm", AttributeValue::Ints(perm));
        let turned = self.step(n, "turned", node);
        let target = self.integers(n, "shape", &target);
        self.node("Reshape", n, &[&turned, &target])
    }

    fn input(&mut self, p: &Port) {
        let shape = self.shape(p.tensor);
        self.builder.input(&p.name, ElementType::F32, &p.array.dims);
        let plain = p.array == ArrayLayout::plain(shape);
        let mut value = p.name.clone();
        if !plain {
            // The array's order is given over the tensor; what is needed is the tensor's over the array.
            let node = self.beside(p, p.tensor, "input");
            let node_out = match turned(&p.array, shape) {
                // One Transpose is what readers know channels-last inputs by, ours too.
                Some(perm) => self
                    .node("Transpose", &node, &[&value])
                    .with("perm", AttributeValue::Ints(perm)),
                None => {
                    let (inverse, dims) = inverted(&p.array, shape);
                    let from = Shape::of([p.array.len(), 1, 1]);
                    self.reordered(&node, &value, from, &inverse, &dims)
                }
            };
            value = self.step(&node, "map", node_out);
        }
        if self.frac(p.tensor).is_some() {
            let name = self.unique(&format!("{}/value", self.graph.tensors[p.tensor].name));
            self.format(p.tensor, &value, &name);
            value = name;
        }
        self.values.insert(p.tensor, value);
    }

    fn output(&mut self, p: &Port) {
        let shape = self.shape(p.tensor);
        self.builder
            .output(&p.name, ElementType::F32, &p.array.dims);
        let value = self.value(p.tensor);
        if value == p.name {
            return;
        }
        let node = self.beside(p, p.tensor, "output");
        let mut last = match p.array == ArrayLayout::plain(shape) {
            true => self.node("Identity", &node, &[&value]),
            false => self.reordered(&node, &value, shape, &p.array, &p.array.dims),
        };
        last.output = vec![p.name.clone()];
        self.builder.node(last);
    }

    /// A node of ours that nodes around a port are named after.
    fn beside(&self, p: &Port, t: TensorId, what: &str) -> Node {
        Node {
            name: format!("{}/{what}", p.name),
            op: cnna_net::op::Concat { axis: 0 }.into(),
            inputs: vec![t],
            output: t,
        }
    }

    fn every_tensor(&mut self) {
        let graph = self.graph;
        let open = self.open.is_some();
        let is_input = |name: &str| match open {
            true => graph
                .inputs
                .iter()
                .any(|p| graph.tensors[p.tensor].name == name),
            false => graph.inputs.iter().any(|p| p.name == name),
        };
        // An open model has no other outputs.
        let is_output = |name: &str| !open && graph.outputs.iter().any(|p| p.name == name);
        for (t, tensor) in graph.tensors.iter().enumerate() {
            let s = tensor.shape;
            let (Some(value), false) = (self.values.get(&t).cloned(), is_output(&tensor.name))
            else {
                continue;
            };
            if is_input(&tensor.name) {
                continue;
            }
            if value != tensor.name {
                self.builder.node(NodeProto::new(
                    "Identity",
                    &format!("{}/output", tensor.name),
                    &[&value],
                    &[&tensor.name],
                ));
            }
            self.builder
                .output(&tensor.name, ElementType::F32, &[s.c, s.h, s.w]);
        }
    }
}

/// The Transpose from an array [N, ...] to a tensor [N, C, H, W], where the array has the tensor's sides in another order.
fn turned(array: &ArrayLayout, tensor: Shape) -> Option<Vec<i64>> {
    let sides = tensor.sides();
    let distance = [tensor.h * tensor.w, tensor.w, 1];
    let orders = [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ];
    let order = orders.into_iter().find(|order| {
        let dims = order.map(|s| sides[s]);
        let axes = order.map(|s| (sides[s], distance[s]));
        array.first == 0 && array.dims == dims && merged(axes) == merged(array.axes.iter().copied())
    })?;
    let place = |side: usize| order.iter().position(|s| *s == side).unwrap_or(side) as i64 + 1;
    Some(vec![0, place(0), place(1), place(2)])
}

/// Where the tensor's elements, in their own order, lie in the array.
fn inverted(array: &ArrayLayout, tensor: Shape) -> (ArrayLayout, Vec<usize>) {
    let mut place = 1;
    let mut loops: Vec<(usize, usize, usize)> = Vec::new();
    for &(count, distance) in array.axes.iter().rev() {
        loops.push((count, distance, place));
        place *= count;
    }
    loops.sort_by_key(|&(_, distance, _)| std::cmp::Reverse(distance));
    let axes = loops
        .iter()
        .map(|&(count, _, place)| (count, place))
        .collect();
    let dims = tensor.sides().to_vec();
    (
        ArrayLayout {
            dims: dims.clone(),
            axes,
            first: 0,
        },
        dims,
    )
}

/// A constant's reals; the parts of its first dimension have so many fraction bits more than the rest.
fn reals(values: &Values, sum_frac: Option<i32>, finer: &[u8]) -> Vec<f32> {
    let mut reals = values.to_reals(sum_frac.unwrap_or(0));
    if values.reals().is_none() && !finer.is_empty() {
        let each = reals.len() / finer.len();
        for (part, &d) in reals.chunks_mut(each.max(1)).zip(finer) {
            part.iter_mut().for_each(|v| *v *= 2f32.powi(-i32::from(d)));
        }
    }
    reals
}
