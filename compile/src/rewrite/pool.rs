//! Maxima over the rows of a window, then over its columns: 10 taps a result instead of 25 for a window of 5 x 5.

use super::estimate;
use crate::cost::MARGIN;
use crate::error::CompileError;
use crate::options::Options;
use cnna_machine::Board;
use cnna_machine::layout::Shape;
use cnna_net::op::MaxPool;
use cnna_net::{Graph, Node, Op, Window};
use std::collections::HashMap;

/// The network with such maxima in two steps as are faster so by the cost of each alone; `None` without one. Errors: none.
pub fn in_two_steps(
    graph: &Graph,
    board: &Board,
    options: &Options,
) -> Result<Option<Graph>, CompileError> {
    // Networks repeat their layers.
    let mut known: HashMap<(Shape, String), bool> = HashMap::new();
    let mut chosen = vec![false; graph.nodes.len()];
    for (chosen, n) in chosen.iter_mut().zip(&graph.nodes) {
        let Some(halves) = halves(&n.op) else {
            continue;
        };
        let input = &graph.tensors[n.inputs[0]];
        let kind = (input.shape, format!("{:?}", n.op));
        if let Some(&faster) = known.get(&kind) {
            *chosen = faster;
            continue;
        }
        let alone = |ops: &[Op]| {
            let mut alone = Graph::new(&graph.name, graph.word);
            let mut from = alone.input(&input.name, input.shape, input.frac);
            for (i, op) in ops.iter().enumerate() {
                let made = alone.push(&format!("{i}"), op.clone(), &[from], input.frac);
                from = made.expect("the window fits");
            }
            alone.output(from);
            estimate(&alone, board, options).map_or(u64::MAX, |e| e.cycles)
        };
        let (once, twice) = (alone(std::slice::from_ref(&n.op)), alone(&halves));
        *chosen = twice < once - once / MARGIN;
        known.insert(kind, *chosen);
    }
    Ok(chosen.contains(&true).then(|| apply(graph, &chosen)))
}

/// The maxima over a window's rows, of which fewer are left, and over the columns of what these make; `None` where that is no less
/// work.
fn halves(op: &Op) -> Option<[Op; 2]> {
    let Op::MaxPool(MaxPool { window: w }) = op else {
        return None;
    };
    let along = |axis: usize| {
        let mut one = Window::plain(1, 1);
        one.kernel[axis] = w.kernel[axis];
        one.stride[axis] = w.stride[axis];
        one.dilation[axis] = w.dilation[axis];
        match axis {
            0 => (one.pad.top, one.pad.bottom) = (w.pad.top, w.pad.bottom),
            _ => (one.pad.left, one.pad.right) = (w.pad.left, w.pad.right),
        }
        Op::from(MaxPool { window: one })
    };
    let [kh, kw] = w.kernel;
    (kh * w.stride[1] + kw < kh * kw).then(|| [along(0), along(1)])
}

/// The network with the chosen nodes in two steps; the second keeps the node's name.
fn apply(graph: &Graph, chosen: &[bool]) -> Graph {
    let mut all = Graph {
        nodes: Vec::new(),
        ..graph.clone()
    };
    for (n, &chosen) in graph.nodes.iter().zip(chosen) {
        let Some([rows, columns]) = halves(&n.op).filter(|_| chosen) else {
            all.nodes.push(n.clone());
            continue;
        };
        let frac = graph.tensors[n.output].frac;
        let made = all.push(&format!("{}/rows", n.name), rows, &n.inputs, frac);
        all.nodes.push(Node {
            op: columns,
            inputs: vec![made.expect("the window fits")],
            ..n.clone()
        });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::tests::same_integers;
    use super::*;
    use cnna_machine::num::Word;
    use cnna_net::{random, zoo};
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    /// Every maximum of random networks that can be, in two steps.
    #[test]
    fn two_steps_give_the_same_integers() {
        let mut seen = 0;
        for seed in 1..=1000 {
            let mut r = StdRng::seed_from_u64(seed);
            let graph = random::graph(seed, Word::W16, &random::Limits::default());
            let chosen: Vec<bool> = graph
                .nodes
                .iter()
                .map(|n| halves(&n.op).is_some())
                .collect();
            seen += chosen.iter().filter(|c| **c).count();
            let all = apply(&graph, &chosen);
            same_integers(&graph, &all, &mut r, seed);
        }
        assert!(seen > 20, "{seen}");
    }

    #[test]
    fn wide_windows_are_faster_in_two_steps() {
        let board = Board::load("ultra96", &[]).expect("it is built in");
        let options = Options::default();
        let count = |name: &str| {
            let graph = zoo::network(name, 1, Word::W16).expect("it is in the zoo");
            let nodes = graph.nodes.len();
            let all = in_two_steps(&graph, &board, &options).expect("it compiles");
            all.map_or(0, |g| g.nodes.len() - nodes)
        };
        // Three of 5 x 5; those of 3 x 3 with stride 2 are no less work so.
        assert_eq!([count("zoo:yolov8n"), count("zoo:squeezenet1.1")], [3, 0]);
    }
}
