//! Building a graph: nodes with typed attributes, constants from slices, inputs and outputs with a symbolic batch.

use crate::messages::attribute_type as kind;
use crate::{
    AttributeProto, DimensionProto, ElementType, GraphProto, Model, NodeProto, Scalar, TensorProto,
    TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto, dimension,
};

/// A value that an attribute can hold.
#[derive(Clone, Debug, PartialEq)]
pub enum AttributeValue {
    /// One integer.
    Int(i64),
    /// One float.
    Float(f32),
    /// Text.
    String(String),
    /// A list of integers.
    Ints(Vec<i64>),
    /// A list of floats.
    Floats(Vec<f32>),
    /// A tensor.
    Tensor(Box<TensorProto>),
}

macro_rules! into_value {
    ($($t:ty => $v:ident),*) => {$(
        impl From<$t> for AttributeValue {
            fn from(v: $t) -> Self {
                AttributeValue::$v(v.into())
            }
        }
    )*};
}
into_value!(i64 => Int, f32 => Float, &str => String, String => String, Vec<i64> => Ints, &[i64] => Ints,
    Vec<f32> => Floats, TensorProto => Tensor);

impl<const N: usize> From<[i64; N]> for AttributeValue {
    fn from(v: [i64; N]) -> Self {
        AttributeValue::Ints(v.to_vec())
    }
}

impl NodeProto {
    /// A node of ONNX's own operator set.
    pub fn new(op_type: &str, name: &str, inputs: &[&str], outputs: &[&str]) -> Self {
        let own = |l: &[&str]| l.iter().map(|s| s.to_string()).collect();
        NodeProto {
            op_type: op_type.into(),
            name: name.into(),
            input: own(inputs),
            output: own(outputs),
            ..Default::default()
        }
    }

    /// The node with one more attribute: `.with("pads", [1, 1, 1, 1]).with("group", 1)`.
    pub fn with(mut self, name: &str, value: impl Into<AttributeValue>) -> Self {
        let mut a = AttributeProto {
            name: name.into(),
            ..Default::default()
        };
        match value.into() {
            AttributeValue::Int(v) => (a.kind, a.i) = (kind::INT, Some(v)),
            AttributeValue::Float(v) => (a.kind, a.f) = (kind::FLOAT, Some(v)),
            AttributeValue::String(v) => (a.kind, a.s) = (kind::STRING, Some(v.into())),
            AttributeValue::Ints(v) => (a.kind, a.ints) = (kind::INTS, v),
            AttributeValue::Floats(v) => (a.kind, a.floats) = (kind::FLOATS, v),
            AttributeValue::Tensor(v) => (a.kind, a.t) = (kind::TENSOR, Some(*v)),
        }
        self.attribute.push(a);
        self
    }
}

/// Collects a graph in execution order; `finish` makes it a model.
#[derive(Clone, Debug, Default)]
pub struct GraphBuilder {
    graph: GraphProto,
    metadata: Vec<(String, String)>,
}

impl GraphBuilder {
    /// An empty graph of that name.
    pub fn new(name: &str) -> Self {
        let mut b = Self::default();
        b.graph.name = name.into();
        b
    }

    /// Declares an input of shape `[N, dims...]`, N symbolic.
    pub fn input(&mut self, name: &str, element: ElementType, dims: &[usize]) -> &mut Self {
        self.graph.input.push(batched(name, element, dims));
        self
    }

    /// Declares an input of just that shape.
    pub fn fixed_input(&mut self, name: &str, element: ElementType, dims: &[usize]) -> &mut Self {
        self.graph.input.push(value_info(name, element, None, dims));
        self
    }

    /// Declares an output of shape `[N, dims...]`, N symbolic.
    pub fn output(&mut self, name: &str, element: ElementType, dims: &[usize]) -> &mut Self {
        self.graph.output.push(batched(name, element, dims));
        self
    }

    /// Adds a constant; `dims` empty makes a scalar. Panics when `data` is not as long as `dims` says.
    pub fn constant<T: Scalar>(&mut self, name: &str, dims: &[usize], data: &[T]) -> &mut Self {
        self.graph
            .initializer
            .push(TensorProto::new(name, dims, data));
        self
    }

    /// Adds a node after those already there.
    pub fn node(&mut self, node: NodeProto) -> &mut Self {
        self.graph.node.push(node);
        self
    }

    /// Adds a key-value pair to the file.
    pub fn metadata(&mut self, key: &str, value: &str) -> &mut Self {
        self.metadata.push((key.into(), value.into()));
        self
    }

    /// The model.
    pub fn finish(self) -> Model {
        Model {
            metadata: self.metadata,
            ..Model::new(self.graph)
        }
    }
}

fn batched(name: &str, element: ElementType, dims: &[usize]) -> ValueInfoProto {
    value_info(name, element, Some("N"), dims)
}

fn value_info(
    name: &str,
    element: ElementType,
    batch: Option<&str>,
    dims: &[usize],
) -> ValueInfoProto {
    let batch = batch.map(|b| dimension::Value::Symbol(b.into()));
    let fixed = dims.iter().map(|&d| dimension::Value::Fixed(d as i64));
    let dim = batch
        .into_iter()
        .chain(fixed)
        .map(|v| DimensionProto { value: Some(v) })
        .collect();
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto {
            tensor_type: Some(TensorTypeProto {
                elem_type: element as i32,
                shape: Some(TensorShapeProto { dim }),
            }),
        }),
    }
}
