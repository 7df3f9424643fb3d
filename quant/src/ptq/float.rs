//! Float values of every tensor of a graph, by `rten`, which runs the ONNX of that very graph: what is quantised is
//! what is measured. The engine runs node by node and reads the graph's constants where they lie, so that an image
//! costs the memory of the few tensors that are needed at once.

use super::PtqError;
use cnna_net::{Graph, Op, Port, TensorId, Values};
use rten::{Model, NodeId, Value, ValueOrView, ValueView};

/// A constant that the engine is given with each node.
struct Constant {
    input: NodeId,
    dims: Vec<usize>,
    place: usize,
}

/// A graph in float.
pub struct FloatModel<'g> {
    graph: &'g Graph,
    model: Model,
    /// The engine's name of each tensor; none for one that is never written.
    tensors: Vec<Option<NodeId>>,
    /// Of the node that writes each tensor.
    constants: Vec<Vec<Constant>>,
    /// How many nodes read each tensor.
    readers: Vec<usize>,
}

fn engine(e: &dyn std::fmt::Display) -> PtqError {
    PtqError::Engine {
        reason: e.to_string(),
    }
}

impl<'g> FloatModel<'g> {
    /// Loads a graph of reals: see [`unquantised`].
    ///
    /// Errors: an operator that neither ONNX nor the engine has.
    pub fn new(graph: &'g Graph) -> Result<Self, PtqError> {
        let (model, open) = cnna_onnx::export_open(graph)?;
        let model = Model::load(model.encode()).map_err(|e| engine(&e))?;
        let mut constants: Vec<Vec<Constant>> = graph.tensors.iter().map(|_| Vec::new()).collect();
        for c in open {
            constants[c.tensor].push(Constant {
                input: model.node_id(&c.name).map_err(|e| engine(&e))?,
                dims: c.dims,
                place: c.place,
            });
        }
        let mut readers = vec![0; graph.tensors.len()];
        for n in &graph.nodes {
            distinct(&n.inputs).for_each(|t| readers[t] += 1);
        }
        Ok(FloatModel {
            tensors: graph
                .tensors
                .iter()
                .map(|t| model.find_node(&t.name))
                .collect(),
            graph,
            model,
            constants,
            readers,
        })
    }

    /// How many tensors its graph has.
    pub fn tensors(&self) -> usize {
        self.tensors.len()
    }

    /// Hands every tensor of one image to `read`, inputs first, in the order in which they are computed: its index
    /// in the graph and its values, [channel][row][column].
    pub fn run(
        &self,
        inputs: Vec<Vec<f32>>,
        mut read: impl FnMut(TensorId, &[f32]) -> Result<(), PtqError>,
    ) -> Result<(), PtqError> {
        let graph = self.graph;
        let mut left = self.readers.clone();
        let mut values: Vec<Option<Value>> = graph.tensors.iter().map(|_| None).collect();
        for (p, v) in graph.inputs.iter().zip(inputs) {
            read(p.tensor, &v)?;
            values[p.tensor] = Some(self.value(p.tensor, v)?);
        }
        for n in &graph.nodes {
            let id = |t: TensorId| {
                let name = &graph.tensors[t].name;
                self.tensors[t].ok_or_else(|| engine(&format!("it has no tensor `{name}`")))
            };
            let mut given: Vec<(NodeId, ValueOrView)> = Vec::new();
            for t in distinct(&n.inputs) {
                let value = values[t].as_ref().map(|v| v.as_view().into());
                given.push((
                    id(t)?,
                    value.ok_or_else(|| engine(&"its nodes are out of order"))?,
                ));
            }
            let own = n.op.constants();
            for c in &self.constants[n.output] {
                let reals = own[c.place].reals().unwrap_or_default();
                let view = ValueView::from_shape(&c.dims, reals).map_err(|e| engine(&e))?;
                given.push((c.input, view.into()));
            }
            let [value] = self
                .model
                .run_n(given, [id(n.output)?], None)
                .map_err(|e| engine(&e))?;
            let Value::FloatTensor(tensor) = value else {
                return Err(engine(&format!("a tensor of type {:?}", value.dtype())));
            };
            let tensor = tensor.into_data();
            for t in distinct(&n.inputs) {
                left[t] -= 1;
                if left[t] == 0 {
                    values[t] = None;
                }
            }
            read(n.output, &tensor)?;
            if left[n.output] > 0 {
                values[n.output] = Some(self.value(n.output, tensor)?);
            }
        }
        Ok(())
    }

    /// The outputs of one image, [channel][row][column] each.
    pub fn outputs(&self, inputs: Vec<Vec<f32>>) -> Result<Vec<Vec<f32>>, PtqError> {
        let ports = &self.graph.outputs;
        let mut outputs = vec![Vec::new(); ports.len()];
        self.run(inputs, |t, values| {
            let mine = |(p, _): &(&Port, &mut Vec<f32>)| p.tensor == t;
            let all = ports.iter().zip(&mut outputs);
            all.filter(mine).for_each(|(_, o)| *o = values.to_vec());
            Ok(())
        })?;
        Ok(outputs)
    }

    fn value(&self, t: TensorId, values: Vec<f32>) -> Result<Value, PtqError> {
        let [c, h, w] = self.graph.tensors[t].shape.sides();
        Value::from_shape([1, c, h, w], values).map_err(|e| engine(&e))
    }
}

/// Each tensor once.
fn distinct(inputs: &[TensorId]) -> impl Iterator<Item = TensorId> {
    let first = |(i, t): (usize, &TensorId)| (!inputs[..i].contains(t)).then_some(*t);
    inputs.iter().enumerate().filter_map(first)
}

/// The float graph: no formats, constants as reals. Where the graph has words they are the reals that they stand for.
pub fn unquantised(mut graph: Graph) -> Graph {
    for n in &mut graph.nodes {
        let input = n
            .inputs
            .first()
            .and_then(|&t| graph.tensors[t].frac)
            .unwrap_or(0);
        if let Op::Conv(c) = &mut n.op {
            let words = c.weights.reals().is_none() || c.bias.reals().is_none();
            if words || !c.finer.is_empty() {
                c.unquantise(input);
            }
        }
        let mut weights = 0;
        for v in n.op.constants_mut() {
            // Weights come before the bias, whose scale is theirs and the input's.
            weights = v.words().map_or(weights, |(_, f)| f);
            if v.reals().is_none() {
                *v = Values::Reals(v.to_reals(input + weights));
            }
        }
    }
    graph.tensors.iter_mut().for_each(|t| t.frac = None);
    graph
}
