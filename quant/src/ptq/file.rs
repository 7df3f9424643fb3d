//! A model's file run as it is, by `rten`: what our integers are compared with, untouched by our reader.

use super::PtqError;
use cnna_machine::layout::ArrayLayout;
use rten::{Model, NodeId, Value};
use std::path::Path;

/// A file, its inputs and outputs by name.
pub struct FileModel {
    model: Model,
    inputs: Vec<(NodeId, ArrayLayout)>,
    outputs: Vec<NodeId>,
}

fn engine(e: &dyn std::fmt::Display) -> PtqError {
    PtqError::Engine {
        reason: e.to_string(),
    }
}

impl FileModel {
    /// Loads it. Errors: not readable, or without one of the names.
    pub fn open<'n>(
        path: &Path,
        inputs: impl IntoIterator<Item = (&'n str, &'n ArrayLayout)>,
        outputs: impl IntoIterator<Item = &'n str>,
    ) -> Result<Self, PtqError> {
        let model = Model::load_file(path).map_err(|e| PtqError::File {
            model: path.display().to_string(),
            reason: e.to_string(),
        })?;
        let id = |name: &str| {
            model.node_id(name).map_err(|_| PtqError::Other {
                model: path.display().to_string(),
                name: name.into(),
            })
        };
        Ok(FileModel {
            inputs: inputs
                .into_iter()
                .map(|(n, a)| Ok((id(n)?, a.clone())))
                .collect::<Result<_, PtqError>>()?,
            outputs: outputs.into_iter().map(id).collect::<Result<_, _>>()?,
            model,
        })
    }

    /// The outputs of one image, in the file's own order; the inputs are [channel][row][column].
    ///
    /// Errors: what the engine does not run.
    pub fn run(&self, inputs: &[Vec<f32>]) -> Result<Vec<Vec<f32>>, PtqError> {
        let mut given = Vec::with_capacity(inputs.len());
        for ((id, layout), values) in self.inputs.iter().zip(inputs) {
            let array: Vec<f32> = layout.offsets().map(|at| values[at]).collect();
            let dims: Vec<usize> = std::iter::once(1)
                .chain(layout.dims.iter().copied())
                .collect();
            let value = Value::from_shape(dims, array).map_err(|e| engine(&e))?;
            given.push((*id, value.into()));
        }
        let results = self
            .model
            .run(given, &self.outputs, None)
            .map_err(|e| engine(&e))?;
        let floats = |value| match value {
            Value::FloatTensor(v) => Ok(v.into_data()),
            _ => Err(engine(&"an output that is not float")),
        };
        results.into_iter().map(floats).collect()
    }
}
