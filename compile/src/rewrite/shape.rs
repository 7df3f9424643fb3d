//! Maps in another shape. Where no operator of a network sees a pixel's neighbours, its maps may have any rows and columns that
//! hold as many pixels: 28 x 28 take 28 passes of 4 x 8 pixels, 49 x 16 take 25.

use super::estimate;
use crate::error::CompileError;
use crate::options::Options;
use cnna_machine::layout::Shape;
use cnna_machine::{Accelerator, Board};
use cnna_net::{Graph, Op, Window};

/// Pictures have so many channels at most. They are read in their tensor's shape, which stays.
const PICTURE_CHANNELS: usize = 4;

/// The network with all maps in the shape that takes the fewest cycles; `None` where they stay as they are. Errors: as
/// [`crate::compile`].
pub fn in_best_shape(
    graph: &Graph,
    board: &Board,
    options: &Options,
) -> Result<Option<Graph>, CompileError> {
    let Some(now) = common_shape(graph).filter(|_| !options.keep) else {
        return Ok(None);
    };
    let a = &board.accelerator;
    let mut others = shapes(now)
        .filter(|&other| passes(other, a) < passes(now, a))
        .peekable();
    if others.peek().is_none() {
        return Ok(None);
    }
    let mut least = estimate(graph, board, options)?.cycles;
    let mut best = None;
    for other in others {
        let shaped = in_shape(graph, other);
        match estimate(&shaped, board, options) {
            Ok(e) if e.cycles < least => (least, best) = (e.cycles, Some(shaped)),
            _ => {}
        }
    }
    Ok(best)
}

/// Rows and columns.
type Map = [usize; 2];

/// All shapes of a map with as many pixels.
fn shapes([h, w]: Map) -> impl Iterator<Item = Map> {
    let pixels = h * w;
    (1..=pixels)
        .filter(move |rows| pixels % rows == 0)
        .map(move |rows| [rows, pixels / rows])
}

/// Passes of 4 rows and 4T columns that cover a map.
fn passes([h, w]: Map, a: &Accelerator) -> usize {
    h.div_ceil(4) * w.div_ceil(4 * a.tiles)
}

/// The shape of all maps, where each result depends on its own pixel alone; `None` of any other network.
fn common_shape(graph: &Graph) -> Option<Map> {
    let of = |s: Shape| [s.h, s.w];
    let map = of(graph.tensors[graph.inputs.first()?.tensor].shape);
    let same = graph.tensors.iter().all(|t| of(t.shape) == map);
    let picture = |t: usize| graph.tensors[t].shape.c <= PICTURE_CHANNELS;
    let pictures = graph.inputs.iter().any(|p| picture(p.tensor));
    let pixelwise = graph.nodes.iter().all(|n| is_pixelwise(&n.op));
    (same && !pictures && pixelwise).then_some(map)
}

/// True when an operator whose inputs and output have maps of one shape makes each pixel of the same one of its inputs.
fn is_pixelwise(op: &Op) -> bool {
    match op {
        Op::Conv(c) => c.window == Window::plain(1, 1),
        Op::Concat(c) => c.axis == 0,
        Op::Add(_) | Op::Mul(_) | Op::Activate(_) | Op::Slice(_) => true,
        _ => false,
    }
}

/// A network that has a [`common_shape`] with its maps in another one. Arrays count a tensor's elements, which keep their order.
fn in_shape(graph: &Graph, [h, w]: Map) -> Graph {
    let mut shaped = graph.clone();
    for t in &mut shaped.tensors {
        (t.shape.h, t.shape.w) = (h, w);
    }
    for n in &mut shaped.nodes {
        if let Op::Slice(s) = &mut n.op {
            (s.count[1], s.count[2]) = (h, w);
        }
    }
    shaped
}

#[cfg(test)]
mod tests {
    use super::super::tests::same_integers;
    use super::*;
    use cnna_machine::num::Word;
    use cnna_net::op::Slice;
    use cnna_net::{random, zoo};
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    fn board() -> Board {
        Board::load("ultra96", &[]).expect("it is built in")
    }

    #[test]
    fn a_map_of_28_columns_takes_a_shape_that_fills_the_array() {
        let graph = zoo::network("zoo:conv1x1@28x28x512-128", 1, Word::W16).expect("in the zoo");
        let shaped = in_best_shape(&graph, &board(), &Options::default()).expect("it compiles");
        let shaped = shaped.expect("25 passes for 28");
        shaped.check().expect("it is the same network");
        let a = board().accelerator;
        let map = common_shape(&shaped).expect("it was there before");
        assert!(map[0] * map[1] == 28 * 28 && passes(map, &a) < passes([28, 28], &a));
        for (name, why) in [
            ("zoo:conv1x1@32x32x64-64", "it fills the array"),
            ("zoo:conv3x3@28x28x64-64", "it sees neighbours"),
            ("zoo:conv1x1@28x28x3-64", "it may read pictures"),
        ] {
            let graph = zoo::network(name, 1, Word::W16).expect("in the zoo");
            let shaped = in_best_shape(&graph, &board(), &Options::default());
            assert!(shaped.expect("it compiles").is_none(), "{why}");
        }
    }

    /// Random networks without neighbours, in every shape.
    #[test]
    fn other_shapes_give_the_same_integers() {
        let mut seen = 0;
        for seed in 1..=1000 {
            let mut r = StdRng::seed_from_u64(seed);
            let limits = random::Limits::default();
            let mut graph = random::graph(seed, Word::W16, &limits);
            // A slice, whose counts change with the shape: random networks seldom have one among such operators alone.
            if let Some(first) = graph.inputs.first().map(|p| p.tensor) {
                let t = &graph.tensors[first];
                let (shape, frac) = (t.shape, t.frac);
                let op = Slice {
                    start: [0; 3],
                    count: shape.sides(),
                    step: [1; 3],
                };
                let made = graph
                    .push("whole", op, &[first], frac)
                    .expect("it is whole");
                graph.output(made);
            }
            let Some(map) = common_shape(&graph) else {
                continue;
            };
            seen += 1;
            for other in shapes(map) {
                same_integers(&graph, &in_shape(&graph, other), &mut r, seed);
            }
        }
        assert!(seen > 10, "{seen}");
    }
}
