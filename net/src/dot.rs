//! A graph as Graphviz draws it.

use crate::graph::Graph;
use std::fmt::Write as _;

/// The graph in the DOT language: a box a node, an arrow a tensor with its shape. `note` adds a line and a colour to a node,
/// by index: how it runs, for example.
pub fn dot(graph: &Graph, note: impl Fn(usize) -> Option<(String, &'static str)>) -> String {
    // Writing to a String cannot fail.
    let mut s = format!(
        "digraph {} {{\n  node [shape=box, fontname=\"sans-serif\", style=filled, fillcolor=white];\n",
        quoted(&graph.name)
    );
    for (i, p) in graph.inputs.iter().enumerate() {
        let _ = writeln!(s, "  in{i} [label={}, shape=oval];", quoted(&p.name));
    }
    for (i, n) in graph.nodes.iter().enumerate() {
        let mut label = format!("{}\n{}", n.name, n.op.name());
        let mut colour = "white";
        if let Some((line, its)) = note(i) {
            label += &format!(", {line}");
            colour = its;
        }
        let _ = writeln!(s, "  n{i} [label={}, fillcolor={colour}];", quoted(&label));
    }
    let writers = graph.writers();
    let from = |t: usize| match writers[t] {
        Some(n) => format!("n{n}"),
        None => {
            let port = graph.inputs.iter().position(|p| p.tensor == t);
            format!("in{}", port.unwrap_or(0))
        }
    };
    let mut arrow = |t: usize, to: String| {
        let shape = graph.tensors[t].shape.to_string();
        let _ = writeln!(s, "  {} -> {to} [label={}];", from(t), quoted(&shape));
    };
    for (i, n) in graph.nodes.iter().enumerate() {
        n.inputs.iter().for_each(|&t| arrow(t, format!("n{i}")));
    }
    for (i, p) in graph.outputs.iter().enumerate() {
        arrow(p.tensor, format!("out{i}"));
    }
    for (i, p) in graph.outputs.iter().enumerate() {
        let _ = writeln!(s, "  out{i} [label={}, shape=oval];", quoted(&p.name));
    }
    s + "}\n"
}

fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", escaped.replace('\n', "\\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Add;
    use cnna_machine::layout::Shape;
    use cnna_machine::num::Word;

    #[test]
    fn every_node_and_tensor_is_drawn_and_names_are_escaped() {
        let mut g = Graph::new("a \"b\"", Word::W16);
        let x = g.input("x\\", Shape { c: 2, h: 3, w: 4 }, Some(8));
        let y = g.push("sum", Add::of(2), &[x, x], Some(8)).unwrap();
        g.output(y);
        let text = dot(&g, |_| Some(("direct".into(), "orange")));
        for wanted in [
            "digraph \"a \\\"b\\\"\" {",
            "in0 [label=\"x\\\\\", shape=oval];",
            "n0 [label=\"sum\\nAdd, direct\", fillcolor=orange];",
            "in0 -> n0 [label=\"2x3x4\"];",
            "n0 -> out0 [label=\"2x3x4\"];",
        ] {
            assert!(text.contains(wanted), "{wanted} in\n{text}");
        }
        assert_eq!(text.matches("in0 -> n0").count(), 2);
    }
}
