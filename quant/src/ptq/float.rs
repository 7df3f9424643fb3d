//! Float values of every tensor of a graph, by `rten`, which runs the ONNX of that very graph: what is quantised is what is
//! measured.

use super::PtqError;
use cnna_net::{ArrayLayout, Graph, Op, Shape, Values};
use cnna_onnx::Options;
use rten::{Model, NodeId, Value};

/// A graph in float.
pub struct FloatModel {
    model: Model,
    inputs: Vec<(NodeId, Shape)>,
    tensors: Vec<NodeId>,
}

impl FloatModel {
    /// Loads the graph, formats and words taken as the reals that they stand for.
    ///
    /// Errors: an operator that neither ONNX nor the engine has.
    pub fn new(graph: &Graph) -> Result<Self, PtqError> {
        let mut graph = graph.clone();
        // Inputs and outputs as the tensors that they are: images come in the tensors' order here.
        for i in 0..graph.inputs.len() + graph.outputs.len() {
            let tensors = &graph.tensors;
            let p = match i.checked_sub(graph.inputs.len()) {
                None => &mut graph.inputs[i],
                Some(o) => &mut graph.outputs[o],
            };
            p.name = tensors[p.tensor].name.clone();
            p.array = ArrayLayout::plain(tensors[p.tensor].shape);
        }
        let mut seen = std::collections::HashSet::new();
        graph.outputs.retain(|p| seen.insert(p.tensor));
        let options = Options {
            float: true,
            every_tensor: true,
            basic: true,
        };
        let bytes = cnna_onnx::export_with(&graph, options)?.encode();
        let engine = |e: &dyn std::fmt::Display| PtqError::Engine {
            reason: e.to_string(),
        };
        let model = Model::load(bytes).map_err(|e| engine(&e))?;
        let id = |t: usize| {
            model
                .node_id(&graph.tensors[t].name)
                .map_err(|e| engine(&e))
        };
        let inputs = graph
            .inputs
            .iter()
            .map(|p| Ok((id(p.tensor)?, graph.tensors[p.tensor].shape)));
        Ok(FloatModel {
            inputs: inputs.collect::<Result<_, PtqError>>()?,
            tensors: (0..graph.tensors.len()).map(id).collect::<Result<_, _>>()?,
            model,
        })
    }

    /// Every tensor of one image, by its index in the graph, [channel][row][column].
    pub fn run(&self, inputs: &[Vec<f32>]) -> Result<Vec<Vec<f32>>, PtqError> {
        let engine = |e: &dyn std::fmt::Display| PtqError::Engine {
            reason: e.to_string(),
        };
        let mut given = Vec::with_capacity(inputs.len());
        for ((id, s), values) in self.inputs.iter().zip(inputs) {
            let value =
                Value::from_shape([1, s.c, s.h, s.w], values.clone()).map_err(|e| engine(&e))?;
            given.push((*id, value.into()));
        }
        // The engine returns computed values only.
        let wanted: Vec<usize> = (0..self.tensors.len())
            .filter(|&t| self.inputs.iter().all(|(id, _)| *id != self.tensors[t]))
            .collect();
        let ids: Vec<NodeId> = wanted.iter().map(|&t| self.tensors[t]).collect();
        let results = self.model.run(given, &ids, None).map_err(|e| engine(&e))?;
        let mut tensors = vec![Vec::new(); self.tensors.len()];
        for (t, value) in wanted.into_iter().zip(results) {
            tensors[t] = match value {
                Value::FloatTensor(v) => v.into_data(),
                Value::Int32Tensor(v) => v.into_data().into_iter().map(|i| i as f32).collect(),
                other => {
                    return Err(engine(&format!("a tensor of type {:?}", other.dtype())));
                }
            };
        }
        for ((id, _), values) in self.inputs.iter().zip(inputs) {
            for t in (0..self.tensors.len()).filter(|&t| self.tensors[t] == *id) {
                tensors[t] = values.clone();
            }
        }
        Ok(tensors)
    }
}

/// The float graph: no formats, constants as reals. Where the graph has words they are the reals that they stand for.
pub fn unquantised(graph: &Graph) -> Graph {
    let mut float = graph.clone();
    for n in &mut float.nodes {
        let input = n
            .inputs
            .first()
            .and_then(|&t| graph.tensors[t].frac)
            .unwrap_or(0);
        if let Op::Conv(c) = &mut n.op {
            c.unquantise(input);
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
    float.tensors.iter_mut().for_each(|t| t.frac = None);
    float
}
