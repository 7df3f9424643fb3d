//! A builder of QDQ chains.

use cnna_compile::import::import;
use cnna_machine::layer::Network;
use cnna_onnx::{AttributeValue, ElementType, GraphBuilder, NodeProto, Scalar};

/// A chain under construction; `tensor` is its end.
pub struct Chain {
    /// For what a chain cannot say.
    pub b: GraphBuilder,
    pub tensor: String,
    count: usize,
}

impl Chain {
    /// Begins with input `x` of shape [N, dims...], not yet quantised.
    pub fn new(dims: &[usize]) -> Self {
        let mut b = GraphBuilder::new("net");
        b.input("x", ElementType::F32, dims);
        Chain {
            b,
            tensor: "x".into(),
            count: 0,
        }
    }

    pub fn fresh(&mut self, kind: &str) -> String {
        self.count += 1;
        format!("{kind}_{}", self.count)
    }

    /// Adds a node that reads the end, then `more`.
    pub fn node(
        &mut self,
        op: &str,
        name: &str,
        more: &[&str],
        attributes: &[(&str, AttributeValue)],
    ) -> &mut Self {
        let out = self.fresh("t");
        let inputs: Vec<&str> = std::iter::once(self.tensor.as_str())
            .chain(more.iter().copied())
            .collect();
        let node = NodeProto::new(op, name, &inputs, &[&out]);
        let node = attributes
            .iter()
            .fold(node, |n, (k, v)| n.with(k, v.clone()));
        self.b.node(node);
        self.tensor = out;
        self
    }

    pub fn constant<T: Scalar>(&mut self, dims: &[usize], v: &[T]) -> String {
        let name = self.fresh("c");
        self.b.constant(&name, dims, v);
        name
    }

    /// Only the QuantizeLinear (or only the other) with scale and a zero point of T.
    pub fn one<T: Scalar>(&mut self, op: &str, scale: f32, zero: T) -> &mut Self {
        let (s, z) = (self.constant(&[], &[scale]), self.constant(&[], &[zero]));
        self.node(op, "", &[&s, &z], &[])
    }

    /// Quantises the end to `frac` fraction bits in int16 and back.
    pub fn q(&mut self, frac: i32) -> &mut Self {
        self.one("QuantizeLinear", 2f32.powi(-frac), 0i16).one(
            "DequantizeLinear",
            2f32.powi(-frac),
            0i16,
        )
    }

    /// A constant behind a DequantizeLinear; returns its name.
    pub fn dequantised<T: Scalar>(&mut self, dims: &[usize], v: &[T], frac: i32) -> String {
        let (c, s) = (
            self.constant(dims, v),
            self.constant(&[], &[2f32.powi(-frac)]),
        );
        let out = self.fresh("d");
        self.b
            .node(NodeProto::new("DequantizeLinear", "", &[&c, &s], &[&out]));
        out
    }

    /// A Conv of counting weights [oc, ic, kh, kw] at 14 fraction bits without bias.
    pub fn conv(
        &mut self,
        name: &str,
        dims: [usize; 4],
        attributes: &[(&str, AttributeValue)],
    ) -> &mut Self {
        let w = self.dequantised(&dims, &counting(dims.iter().product()), 14);
        self.node("Conv", name, &[&w], attributes)
    }

    pub fn finish(&mut self) -> cnna_onnx::Model {
        self.b.output(&self.tensor.clone(), ElementType::F32, &[1]);
        std::mem::replace(&mut self.b, GraphBuilder::new("")).finish()
    }

    pub fn import(&mut self) -> Network {
        import(&self.finish()).unwrap()
    }

    pub fn refused(&mut self) -> String {
        import(&self.finish()).unwrap_err().to_string()
    }
}

/// -5, -4, ...
pub fn counting(n: usize) -> Vec<i16> {
    (0..n).map(|i| i as i16 - 5).collect()
}
