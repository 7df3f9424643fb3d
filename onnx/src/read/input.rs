//! The graph's inputs: their shape, their batch, and the order in which the operators behind them want them.

use super::reader::{Reader, Value};
use super::view::View;
use super::{Index, Stored, Walk};
use crate::{ElementType, GraphProto, Model, ValueInfoProto, dimension};
use cnna_net::{Port, Shape};
use std::collections::{HashMap, HashSet};

/// Most elements of one tensor: far beyond any buffer, so that a damaged file cannot ask for all memory.
pub(crate) const MAX_ELEMENTS: usize = 1 << 28;

/// Operators that keep their input's order, on the way to the first Transpose.
const KEEPING: &[&str] = &[
    "Identity",
    "Cast",
    "QuantizeLinear",
    "DequantizeLinear",
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Relu",
    "Clip",
    "Dropout",
    "Pad",
];

pub(super) fn inputs<'m>(r: &mut Reader<'m>, model: &'m Model, index: &Index, walk: &mut Walk<'m>) {
    let proto = &model.graph;
    let constants: HashSet<&str> = proto.initializer.iter().map(|t| t.name.as_str()).collect();
    let readers = readers(proto, index);
    for i in proto
        .input
        .iter()
        .filter(|i| !constants.contains(i.name.as_str()))
    {
        let unread = !index.uses.contains_key(i.name.as_str())
            && proto.output.iter().all(|o| o.name != i.name);
        match input(r, i, &readers) {
            Ok(view) => {
                walk.values
                    .insert(&i.name, Stored::Ready(Value::View(view)));
            }
            // Whatever nobody reads may be of any kind.
            Err(_) if unread => {}
            Err(reason) => {
                walk.obstacle(&i.name, "input", reason);
                walk.values.insert(&i.name, Stored::Lost);
            }
        }
    }
}

fn readers<'m>(proto: &'m GraphProto, index: &Index) -> HashMap<&'m str, Vec<usize>> {
    let mut readers: HashMap<&str, Vec<usize>> = HashMap::new();
    for &n in &index.order {
        for name in &proto.node[n].input {
            readers.entry(name).or_default().push(n);
        }
    }
    readers
}

/// The Transpose that the model brings this input to its operators' order with.
fn order(
    proto: &GraphProto,
    readers: &HashMap<&str, Vec<usize>>,
    input: &str,
    rank: usize,
) -> Option<Vec<usize>> {
    let mut open = vec![input];
    let mut seen = HashSet::new();
    while let Some(name) = open.pop() {
        for &n in readers.get(name).map_or(&[][..], |r| r) {
            let node = &proto.node[n];
            if node.op_type == "Transpose" {
                let perm: Vec<usize> = node
                    .ints("perm")
                    .ok()??
                    .iter()
                    .map(|&p| p as usize)
                    .collect();
                let sorted: std::collections::BTreeSet<_> = perm.iter().copied().collect();
                let whole = perm.len() == rank && sorted.into_iter().eq(0..rank) && perm[0] == 0;
                return whole.then_some(perm);
            }
            if KEEPING.contains(&node.op_type.as_str()) && seen.insert(n) {
                open.extend(node.output.first().map(String::as_str));
            }
        }
    }
    None
}

fn input(
    r: &mut Reader,
    info: &ValueInfoProto,
    readers: &HashMap<&str, Vec<usize>>,
) -> Result<View, String> {
    let name = &info.name;
    let tensor = info.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    let tensor = tensor.ok_or("it is no tensor, or has no type")?;
    let element = ElementType::from_number(tensor.elem_type)
        .filter(|e| *e != ElementType::Bool)
        .ok_or_else(|| {
            format!(
                "its element type {} is not read: use floats or integers",
                tensor.elem_type
            )
        })?;
    let shape = tensor
        .shape
        .as_ref()
        .ok_or("it has no shape: export the model with a fixed image size")?;
    let batch = shape.dim.len() > 1;
    let mut sides = Vec::new();
    for (d, dim) in shape.dim.iter().enumerate() {
        let fixed = match &dim.value {
            Some(dimension::Value::Fixed(n)) if *n > 0 => usize::try_from(*n).ok(),
            _ => None,
        };
        if d == 0 && batch {
            match (r.batch_known, fixed) {
                (false, _) => (r.batch, r.batch_known) = (fixed, true),
                // Inputs of different batches: it is left open.
                (true, f) if f != r.batch => r.batch = None,
                _ => {}
            }
            continue;
        }
        sides.push(fixed.ok_or_else(|| {
            format!("its dimension {d} has no fixed size: export the model with a fixed image size")
        })?);
    }
    let len = sides.iter().try_fold(1usize, |n, &s| n.checked_mul(s));
    if len.is_none_or(|n| n == 0 || n > MAX_ELEMENTS) {
        return Err(format!(
            "its shape {sides:?} is larger than {MAX_ELEMENTS} elements"
        ));
    }
    let perm = match batch {
        true => order(r.proto, readers, name, sides.len() + 1),
        false => None,
    };
    let perm = perm.unwrap_or_else(|| (0..sides.len() + usize::from(batch)).collect());
    let inner: Vec<usize> = perm
        .iter()
        .filter(|&&p| !batch || p > 0)
        .map(|&p| sides[p - usize::from(batch)])
        .collect();
    let name = r.unique(name);
    let id = r.graph.tensor(&name, map_shape(&inner), None);
    if !element.is_float() {
        r.integers.insert(id, element);
    }
    let back: Vec<usize> = (0..perm.len())
        .map(|d| perm.iter().position(|&p| p == d).unwrap_or(d))
        .collect();
    let view = View::plain(id, &inner, batch).transpose(&back);
    r.graph.inputs.push(Port {
        name: info.name.clone(),
        tensor: id,
        array: view.layout(),
    });
    Ok(view)
}

/// The tensor's shape for an array of these sides: [C, H, W], [C, L] as C x 1 x L, [K] as K x 1 x 1; of more the first ones
/// count as channels.
pub(crate) fn map_shape(sides: &[usize]) -> Shape {
    Shape::of(match *sides {
        [] => [1, 1, 1],
        [k] => [k, 1, 1],
        [c, l] => [c, 1, l],
        [ref first @ .., h, w] => [first.iter().product(), h, w],
    })
}
