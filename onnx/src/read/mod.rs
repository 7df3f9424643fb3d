//! One reader from ONNX to a graph of operators: float models, and quantised ones with QuantizeLinear and DequantizeLinear.
//!
//! ```text
//! index.rs    names resolved, nodes that count, their order
//! input.rs    the model's inputs
//! array.rs    constant tensors
//! fold.rs     nodes of constants alone, computed
//! view.rs     what images change: an array over a tensor
//! spread.rs   a constant beside a view
//! formula.rs  functions known by their values: SiLU, GELU, Mish
//! reader.rs   what the operators' readers work with
//! ```
//!
//! Nodes are walked once, in running order. What depends on constants alone is folded; what images change is a view of a
//! tensor, so that transposes and reshapes cost nothing until an operator needs another order.

pub(crate) mod array;
pub(crate) mod error;
pub(crate) mod fold;
pub(crate) mod formula;
mod index;
mod input;
pub(crate) mod reader;
pub(crate) mod spread;
pub(crate) mod view;

use crate::{ElementType, GraphProto, Model};
use array::Array;
use cnna_machine::num::Word;
use cnna_net::{Graph, Port, TensorId};
use error::{Obstacle, ReadError};
use index::Index;
use reader::{Call, Reader, Value};
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;

/// How a model's QuantizeLinear stores a tensor, where that is no format of words (a scale that is no power of two, a zero
/// point, uint8).
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    /// What a clip to the reals of `limits` writes.
    pub tensor: TensorId,
    /// Real distance of two integers.
    pub scale: f32,
    /// The integer of zero.
    pub zero_point: i64,
    /// The least and the largest integer.
    pub limits: [i64; 2],
    /// False where the range alone is to be kept: QONNX's networks are float ones that round on their way.
    pub grid: bool,
}

impl Scale {
    /// The reals of the least and the largest integer.
    pub fn range(&self) -> [f32; 2] {
        self.limits
            .map(|q| ((q - self.zero_point) as f64 * f64::from(self.scale)) as f32)
    }
}

/// A model as a graph, and what the graph cannot hold.
#[derive(Clone, Debug)]
pub struct Import {
    /// Formats where the model has scales that are powers of two.
    pub graph: Graph,
    /// The other scales, for the quantiser.
    pub scales: Vec<Scale>,
    /// The file's free key-value pairs.
    pub metadata: Vec<(String, String)>,
    /// Width of the file's own words, at most the graph's.
    pub word: Word,
}

/// Reads a model from a file. Errors: everything in it that is not read.
pub fn read_graph(path: impl AsRef<Path>) -> Result<Graph, ReadError> {
    Ok(read_import(path)?.graph)
}

/// Reads a model and its scales from a file. Errors: everything in it that is not read.
pub fn read_import(path: impl AsRef<Path>) -> Result<Import, ReadError> {
    read_import_for(path, Word::W8)
}

/// The same for words of at least that width: narrower ones of the file are exact among them, what they saturate is
/// clipped.
pub fn read_import_for(path: impl AsRef<Path>, word: Word) -> Result<Import, ReadError> {
    let path = path.as_ref();
    let model = crate::read(path)?;
    import_for(&model, path.parent(), word)
}

/// Reads a quantised model: formats spread, activations fused, all constants integers. Errors: a float model, and as
/// [`read_graph`].
pub fn read_quantised(path: impl AsRef<Path>) -> Result<Graph, ReadError> {
    quantised(read_import(path)?)
}

/// The same for a model that is read already.
pub fn quantised(import: Import) -> Result<Graph, ReadError> {
    let Import {
        mut graph, scales, ..
    } = import;
    if graph.tensors.iter().all(|t| t.frac.is_none()) {
        return Err(ReadError::Float(match scales.first() {
            None => "it has no QuantizeLinear and DequantizeLinear".into(),
            Some(s) => format!(
                "its scales (the first is {} of `{}`) are no powers of two with int8 or int16 words",
                s.scale, graph.tensors[s.tensor].name
            ),
        }));
    }
    cnna_net::settle::settle(&mut graph)?;
    Ok(graph)
}

/// The model as a graph; external data lie in `folder`. Errors: everything in it that is not read.
pub fn import(model: &Model, folder: Option<&Path>) -> Result<Import, ReadError> {
    import_for(model, folder, Word::W8)
}

/// The same for words of at least `least`.
fn import_for(model: &Model, folder: Option<&Path>, least: Word) -> Result<Import, ReadError> {
    let proto = &model.graph;
    let index = Index::new(proto)?;
    let own = word(proto);
    let word = if own == Word::W8 { least } else { own };
    let mut r = Reader::new(Graph::new(&proto.name, word), proto);
    let mut walk = Walk {
        values: HashMap::new(),
        left: index.uses.clone(),
        obstacles: Vec::new(),
        filled: 0,
        folder,
    };
    for o in &proto.output {
        // Outputs are never taken out of the table.
        *walk.left.entry(&o.name).or_default() += 1;
    }
    input::inputs(&mut r, model, &index, &mut walk);
    for t in &proto.initializer {
        walk.values.insert(&t.name, Stored::File(t));
    }
    for &i in &index.order {
        walk.node(&mut r, model, i, &index);
    }
    for o in &proto.output {
        walk.output(&mut r, &o.name);
    }
    if !walk.obstacles.is_empty() {
        return Err(ReadError::Obstacles(walk.obstacles));
    }
    if r.graph.outputs.len() != proto.output.len() {
        return Err(ReadError::Graph(
            "some of its outputs are written by no node".into(),
        ));
    }
    let Reader {
        mut graph,
        mut scales,
        ..
    } = r;
    let kept = cnna_net::simplify::simplify(&mut graph);
    scales.retain_mut(|s| kept[s.tensor].map(|t| s.tensor = t).is_some());
    unique_tensors(&mut graph);
    graph.check().map_err(|e| ReadError::Graph(e.to_string()))?;
    Ok(Import {
        graph,
        scales,
        metadata: model.metadata.clone(),
        word: own,
    })
}

/// 16 bits where one QuantizeLinear has 16; 8 bits where they have 8.
fn word(proto: &GraphProto) -> Word {
    let zero_points: HashMap<&str, i32> = proto
        .initializer
        .iter()
        .map(|t| (t.name.as_str(), t.data_type))
        .chain(
            proto
                .node
                .iter()
                .filter(|n| n.op_type == "Constant")
                .filter_map(|n| {
                    let t = n.tensor("value").ok()??;
                    Some((n.output.first()?.as_str(), t.data_type))
                }),
        )
        .collect();
    let (mut narrow, mut wide) = (false, false);
    for n in proto.node.iter().filter(|n| n.op_type == "QuantizeLinear") {
        let by_zero = n
            .input
            .get(2)
            .and_then(|z| zero_points.get(z.as_str()).copied());
        let by_attribute = n
            .int("output_dtype", 0)
            .ok()
            .filter(|&t| t != 0)
            .map(|t| t as i32);
        match by_zero.or(by_attribute).and_then(ElementType::from_number) {
            Some(ElementType::I8) => narrow = true,
            Some(ElementType::I16) => wide = true,
            _ => {}
        }
    }
    match narrow && !wide {
        true => Word::W8,
        false => Word::W16,
    }
}

/// Tensor names that the graph's ports and nodes share stay; equal ones are counted.
fn unique_tensors(graph: &mut Graph) {
    let mut taken = std::collections::HashSet::new();
    for t in &mut graph.tensors {
        let mut n = 1;
        let stem = t.name.clone();
        while !taken.insert(t.name.clone()) {
            n += 1;
            t.name = format!("{stem}_{n}");
        }
    }
}

/// A value as it lies in the table.
enum Stored<'m> {
    File(&'m crate::TensorProto),
    Ready(Value),
    /// Its node is an obstacle.
    Lost,
}

struct Walk<'m> {
    values: HashMap<&'m str, Stored<'m>>,
    /// How often a value is still to be read.
    left: HashMap<&'m str, usize>,
    obstacles: Vec<Obstacle>,
    /// Elements of constants that were computed from a shape.
    filled: usize,
    folder: Option<&'m Path>,
}

impl<'m> Walk<'m> {
    fn obstacle(&mut self, node: &str, operator: &str, reason: impl Into<String>) {
        self.obstacles.push(Obstacle {
            node: node.into(),
            operator: operator.into(),
            reason: reason.into(),
        });
    }

    /// The value of that name, taken out of the table at its last use. Errors: damaged data; `None`: its node is an obstacle.
    fn value(&mut self, name: &'m str) -> Result<Option<Value>, String> {
        let left = self.left.entry(name).or_default();
        *left = left.saturating_sub(1);
        let last = *left == 0;
        Ok(match self.values.get(name) {
            None | Some(Stored::Lost) => None,
            Some(Stored::File(t)) => {
                Some(Value::Constant(Rc::new(Array::load(name, t, self.folder)?)))
            }
            Some(Stored::Ready(v)) if !last => Some(v.clone()),
            Some(Stored::Ready(_)) => match self.values.remove(name) {
                Some(Stored::Ready(v)) => Some(v),
                _ => None,
            },
        })
    }

    fn node(&mut self, r: &mut Reader<'m>, model: &'m Model, i: usize, index: &Index) {
        let node = &model.graph.node[i];
        let label = &index.labels[i];
        match self.outputs(r, model, i, label) {
            Ok(Some(values)) => {
                let more = node.output.iter().skip(values.len());
                for name in more.filter(|o| self.left.get(o.as_str()).is_some_and(|&n| n > 0)) {
                    let reason = format!("its output `{name}` is not computed: leave it unused");
                    self.obstacles.push(Obstacle {
                        node: label.clone(),
                        operator: node.op_type.clone(),
                        reason,
                    });
                }
                for (name, v) in node
                    .output
                    .iter()
                    .zip(values)
                    .filter(|(name, _)| !name.is_empty())
                {
                    self.values.insert(name, Stored::Ready(v));
                }
            }
            Ok(None) => {}
            Err(reason) => {
                let operator = match node.domain.as_str() {
                    "" | "ai.onnx" => node.op_type.clone(),
                    d => format!("{d}.{}", node.op_type),
                };
                self.obstacle(label, &operator, reason);
            }
        }
        for name in node.output.iter().filter(|n| !n.is_empty()) {
            self.values.entry(name).or_insert(Stored::Lost);
        }
    }

    /// What a node writes; `None` behind an obstacle. Errors: why it is one.
    fn outputs(
        &mut self,
        r: &mut Reader<'m>,
        model: &'m Model,
        i: usize,
        label: &str,
    ) -> Result<Option<Vec<Value>>, String> {
        let node = &model.graph.node[i];
        let entry = crate::op::entry(&node.domain, &node.op_type);
        let mut inputs = Vec::with_capacity(node.input.len());
        let mut lost = false;
        for name in &node.input {
            inputs.push(match name.as_str() {
                "" => None,
                name => {
                    let v = self.value(name)?;
                    lost |= v.is_none();
                    v
                }
            });
        }
        let folds = fold::folds(&node.op_type);
        if entry.is_none() && !folds {
            return Err(format!(
                "this operator is not supported; supported are {}",
                crate::op::supported()
            ));
        }
        if lost {
            return Ok(None);
        }
        let mut call = Call::new(node, label, model.opset, inputs, r.batch);
        if let Some(done) = fold::fold(&mut call) {
            let all = done?;
            // What a few bytes of the file can make large is counted, so that a damaged one cannot ask for all memory.
            if matches!(
                node.op_type.as_str(),
                "ConstantOfShape" | "Expand" | "Range" | "Where"
            ) {
                self.filled += all.iter().map(Array::len).sum::<usize>();
                if self.filled > array::MAX_FILLED {
                    return Err(format!(
                        "the model's computed constants have more than {} elements",
                        array::MAX_FILLED
                    ));
                }
            }
            let value = |a| Value::Constant(Rc::new(a));
            return Ok(Some(all.into_iter().map(value).collect()));
        }
        let Some(read) = entry else {
            return Err(
                "it is read only where it computes a constant: fold the model with onnxsim".into(),
            );
        };
        read(r, &call).map(Some)
    }

    fn output(&mut self, r: &mut Reader<'m>, name: &'m str) {
        let value = match self.value(name) {
            Ok(Some(v)) => v,
            Ok(None) => return,
            Err(reason) => return self.obstacle(name, "output", reason),
        };
        let view = match r.view(&value, name) {
            Ok(v) => v,
            Err(reason) => return self.obstacle(name, "output", reason),
        };
        let view = match crate::op::quantize::integers(r, &view, name) {
            Ok(v) => v,
            Err(reason) => return self.obstacle(name, "output", reason),
        };
        if view.batch.is_some_and(|b| b != 0) {
            return self.obstacle(
                name,
                "output",
                "its batch is not its first dimension: remove the Transpose at the end",
            );
        }
        r.graph.outputs.push(Port {
            name: name.into(),
            tensor: view.tensor,
            array: view.layout(),
        });
    }
}
