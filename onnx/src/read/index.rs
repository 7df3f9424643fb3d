//! The file's graph with its names resolved: who writes what, which nodes count for the outputs, in which order they run.

use super::error::ReadError;
use crate::{GraphProto, NodeProto};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Names of nodes and values.
pub(crate) struct Index<'m> {
    /// Nodes that count for an output, in an order in which they can run.
    pub order: Vec<usize>,
    /// Each node's name, or its operator and count; unique.
    pub labels: Vec<String>,
    /// How many of the nodes in `order` read a value.
    pub uses: HashMap<&'m str, usize>,
}

impl<'m> Index<'m> {
    /// Resolves names. Errors: a value written twice, read without being written, or in a circle.
    pub fn new(proto: &'m GraphProto) -> Result<Self, ReadError> {
        let graph = |text: String| ReadError::Graph(text);
        let mut known: HashSet<&str> = HashSet::new();
        for t in &proto.initializer {
            if !known.insert(&t.name) {
                return Err(graph(format!(
                    "tensor `{}` is defined twice: the file is damaged",
                    t.name
                )));
            }
        }
        // Old files list their initializers among the inputs, too.
        known.extend(proto.input.iter().map(|i| i.name.as_str()));
        let mut writer: HashMap<&str, usize> = HashMap::new();
        for (i, n) in proto.node.iter().enumerate() {
            for o in n.output.iter().filter(|o| !o.is_empty()) {
                if writer.insert(o, i).is_some() || known.contains(o.as_str()) {
                    return Err(graph(format!(
                        "tensor `{o}` is defined twice: the file is damaged"
                    )));
                }
            }
        }
        let needed = needed(proto, &writer);
        let labels = labels(&proto.node);
        let mut uses: HashMap<&str, usize> = HashMap::new();
        let mut readers: HashMap<usize, Vec<usize>> = HashMap::new();
        let mut open = vec![0; proto.node.len()];
        let mut ready = BTreeSet::new();
        for &i in &needed {
            for name in proto.node[i].input.iter().filter(|n| !n.is_empty()) {
                *uses.entry(name).or_default() += 1;
                match writer.get(name.as_str()) {
                    Some(&w) => {
                        readers.entry(w).or_default().push(i);
                        open[i] += 1;
                    }
                    None if known.contains(name.as_str()) => {}
                    None => {
                        return Err(graph(format!(
                            "node `{}` reads `{name}`, which nothing writes: the file is damaged",
                            labels[i]
                        )));
                    }
                }
            }
            if open[i] == 0 {
                ready.insert(i);
            }
        }
        let mut order = Vec::with_capacity(needed.len());
        while let Some(i) = ready.pop_first() {
            order.push(i);
            for &r in readers.get(&i).map_or(&[][..], |r| r) {
                open[r] -= 1;
                if open[r] == 0 {
                    ready.insert(r);
                }
            }
        }
        if let Some(&i) = needed.iter().find(|&&i| open[i] > 0) {
            return Err(graph(format!(
                "node `{}` reads what it writes, in a circle",
                labels[i]
            )));
        }
        for o in &proto.output {
            if !writer.contains_key(o.name.as_str()) && !known.contains(o.name.as_str()) {
                return Err(graph(format!("output `{}` is written by no node", o.name)));
            }
        }
        Ok(Index {
            order,
            labels,
            uses,
        })
    }
}

/// Nodes from which an output can be reached.
fn needed(proto: &GraphProto, writer: &HashMap<&str, usize>) -> BTreeSet<usize> {
    let mut needed = BTreeSet::new();
    let mut open: Vec<&str> = proto.output.iter().map(|o| o.name.as_str()).collect();
    while let Some(name) = open.pop() {
        if let Some(&i) = writer.get(name) {
            if needed.insert(i) {
                open.extend(proto.node[i].input.iter().map(String::as_str));
            }
        }
    }
    needed
}

/// Unique names: the model's own first, counted where they are missing or equal.
fn labels(nodes: &[NodeProto]) -> Vec<String> {
    let mut taken: HashSet<String> = HashSet::new();
    let mut count: HashMap<String, usize> = HashMap::new();
    let mut labels = vec![String::new(); nodes.len()];
    for (label, n) in labels
        .iter_mut()
        .zip(nodes)
        .filter(|(_, n)| !n.name.is_empty())
    {
        if taken.insert(n.name.clone()) {
            *label = n.name.clone();
        }
    }
    for (label, n) in labels.iter_mut().zip(nodes).filter(|(l, _)| l.is_empty()) {
        let stem = if n.name.is_empty() {
            n.op_type.to_lowercase()
        } else {
            n.name.clone()
        };
        let number = count.entry(stem.clone()).or_default();
        loop {
            *number += 1;
            let name = format!("{stem}_{number}");
            if taken.insert(name.clone()) {
                *label = name;
                break;
            }
        }
    }
    labels
}
