//! Models in a few lines, their integers by the reference, and graphs compared without their names.
#![allow(dead_code)]

use cnna_net::op::Op;
use cnna_net::{Graph, Values};
use cnna_onnx::{ElementType, GraphBuilder, Model, NodeProto};

pub fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto::new(op, "", inputs, &[output])
}

/// A model of one input `x` [N, dims...] and one output `y`.
pub struct Net {
    pub b: GraphBuilder,
    pub opset: i64,
}

impl Net {
    pub fn new(input: &[usize]) -> Self {
        let mut b = GraphBuilder::new("net");
        b.input("x", ElementType::F32, input)
            .output("y", ElementType::F32, &[]);
        Net { b, opset: 21 }
    }
    pub fn opset(mut self, opset: i64) -> Self {
        self.opset = opset;
        self
    }
    pub fn f(mut self, name: &str, dims: &[usize], data: &[f32]) -> Self {
        self.b.constant(name, dims, data);
        self
    }
    pub fn i(mut self, name: &str, data: &[i64]) -> Self {
        self.b.constant(name, &[data.len()], data);
        self
    }
    /// Small integers as reals, all different enough that a wrong order shows.
    pub fn ramp(self, name: &str, dims: &[usize]) -> Self {
        let data: Vec<f32> = (0..dims.iter().product())
            .map(|i: usize| (i * 7 % 11) as f32 - 5.0)
            .collect();
        self.f(name, dims, &data)
    }
    pub fn n(mut self, n: NodeProto) -> Self {
        self.b.node(n);
        self
    }
    pub fn model(self) -> Model {
        Model {
            opset: self.opset,
            ..self.b.finish()
        }
    }
    pub fn read(self) -> Graph {
        match cnna_onnx::import(&self.model(), None) {
            Ok(i) => i.graph,
            Err(e) => panic!("{e}"),
        }
    }
    pub fn refused(self) -> String {
        cnna_onnx::import(&self.model(), None)
            .expect_err("it should be refused")
            .to_string()
    }
    /// The output for a ramp as input; every number is an integer, so that the reference is exact.
    pub fn run(self) -> Vec<i16> {
        run(self.read())
    }
}

/// The first output for a ramp at each input, all formats without fraction bits.
pub fn run(mut g: Graph) -> Vec<i16> {
    for t in &mut g.tensors {
        t.frac = Some(0);
    }
    let words =
        |v: &mut Values| *v = Values::Words(v.to_reals(0).iter().map(|&x| x as i16).collect(), 0);
    let sums =
        |v: &mut Values| *v = Values::Sums(v.to_reals(0).iter().map(|&x| x as i64).collect());
    for n in &mut g.nodes {
        match &mut n.op {
            Op::Conv(c) => (words(&mut c.weights), sums(&mut c.bias)).0,
            Op::ConvTranspose(c) => (words(&mut c.weights), sums(&mut c.bias)).0,
            Op::Constant(c) => words(&mut c.values),
            _ => {}
        }
    }
    let inputs: Vec<Vec<i16>> = g
        .inputs
        .iter()
        .map(|p| {
            let mut all = vec![0; p.array.len()];
            p.array
                .offsets()
                .enumerate()
                .for_each(|(i, at)| all[at] = (i * 5 % 13) as i16 - 6);
            all
        })
        .collect();
    let inputs: Vec<&[i16]> = inputs.iter().map(|v| &v[..]).collect();
    let done = cnna_net::run::run(&g, &inputs).expect("it runs");
    let out = &g.outputs[0];
    out.array
        .offsets()
        .map(|at| done.tensors[out.tensor].values[at])
        .collect()
}

/// Tensors counted in running order, names gone: equal for graphs that compute the same in the same way.
pub fn nameless(g: &Graph) -> Graph {
    let mut place = vec![usize::MAX; g.tensors.len()];
    let mut order = Vec::new();
    for t in g
        .inputs
        .iter()
        .map(|p| p.tensor)
        .chain(g.nodes.iter().map(|n| n.output))
    {
        if place[t] == usize::MAX {
            place[t] = order.len();
            order.push(t);
        }
    }
    let mut out = Graph::new("", g.word);
    out.tensors = order.iter().map(|&t| g.tensors[t].clone()).collect();
    out.nodes = g.nodes.clone();
    out.inputs = g.inputs.clone();
    out.outputs = g.outputs.clone();
    out.tensors.iter_mut().for_each(|t| t.name.clear());
    for n in &mut out.nodes {
        n.name.clear();
        n.inputs.iter_mut().for_each(|t| *t = place[*t]);
        n.output = place[n.output];
    }
    for p in out.inputs.iter_mut().chain(&mut out.outputs) {
        p.tensor = place[p.tensor];
    }
    out
}
