//! Which tensors share memory: concatenation, split and slices are addresses where they can be.

use cnna_machine::layout::{Shape, TensorLayout};
use cnna_net::op::{Concat, Slice};
use cnna_net::{Activation, Graph, Node, Op, TensorId};
use std::collections::BTreeMap;

/// A tensor's place in another one's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The other tensor.
    pub of: TensorId,
    /// First channel.
    pub channel: usize,
    /// First row.
    pub row: usize,
    /// Rows from one to the next.
    pub row_step: usize,
}

impl Part {
    /// The layout of a part of `shape` in a tensor, and its distance from the tensor's first byte.
    pub fn layout(&self, of: &TensorLayout, shape: Shape) -> (TensorLayout, usize) {
        let (mut layout, at) = of.part(shape, self.channel, self.row);
        layout.row_bytes *= self.row_step;
        (layout, at)
    }
}

/// Each input's place in a concatenation's output; `None` along columns, which are not addresses.
pub fn in_concat(c: &Concat, output: TensorId, shapes: &[Shape]) -> Option<Vec<Part>> {
    let mut at = 0;
    let part = |s: &Shape| {
        let first = at;
        at += s.sides()[c.axis];
        let [channel, row] = match c.axis {
            0 => [first, 0],
            _ => [0, first],
        };
        Part {
            of: output,
            channel,
            row,
            row_step: 1,
        }
    };
    (c.axis < 2).then(|| shapes.iter().map(part).collect())
}

/// A slice's place in its input; `None` when it takes a part of the columns or leaves channels out.
fn in_input(s: &Slice, input: TensorId, shape: Shape) -> Option<Part> {
    let one = |axis: usize| s.step[axis] == 1 || s.count[axis] == 1;
    let whole_rows = s.start[2] == 0 && s.count[2] == shape.w;
    (whole_rows && one(0) && one(2)).then_some(Part {
        of: input,
        channel: s.start[0],
        row: s.start[1],
        row_step: if s.count[1] == 1 { 1 } else { s.step[1] },
    })
}

/// A node that changes nothing, or only takes a part.
fn as_part(graph: &Graph, n: &Node) -> Option<Part> {
    let &[input] = &n.inputs[..] else { return None };
    let (i, o) = (&graph.tensors[input], &graph.tensors[n.output]);
    let same = Part {
        of: input,
        channel: 0,
        row: 0,
        row_step: 1,
    };
    if i.frac != o.frac {
        return None;
    }
    match &n.op {
        Op::Slice(s) => in_input(s, input, i.shape),
        Op::Activate(a) if a.function == Activation::None => Some(same),
        Op::Rearrange(r) if i.shape == o.shape && r.order.offsets().eq(0..i.shape.len()) => {
            Some(same)
        }
        Op::Pad(_) | Op::Resize(_) if i.shape == o.shape => match &n.op {
            Op::Resize(r) => {
                let same_order = |v: &[u32]| v.iter().enumerate().all(|(i, &n)| i == n as usize);
                (same_order(&r.rows) && same_order(&r.columns)).then_some(same)
            }
            _ => Some(same),
        },
        _ => None,
    }
}

/// Tensors of which a concatenation takes all channels by slices in their order, so that they can lie in it whole, and where.
fn whole_in_parts(
    graph: &Graph,
    concat: &Node,
    places: &[Part],
    writers: &[Option<usize>],
) -> BTreeMap<TensorId, Part> {
    // Channels of each tensor that lie where they should if its first channel lies at a place.
    let mut covered: BTreeMap<(TensorId, usize), usize> = BTreeMap::new();
    for (&t, place) in concat.inputs.iter().zip(places) {
        let Some(slice) = writers[t].map(|w| &graph.nodes[w]) else {
            continue;
        };
        let (Op::Slice(s), Some(part)) = (&slice.op, as_part(graph, slice)) else {
            continue;
        };
        let (of, member) = (graph.tensors[part.of].shape, graph.tensors[t].shape);
        let sides = (of.h, of.w) == (member.h, member.w) && s.step[0] == 1;
        let format = graph.tensors[t].frac == graph.tensors[concat.output].frac;
        let first = place.channel.checked_sub(part.channel);
        if let (true, true, Some(first)) = (sides && place.row == 0, format, first) {
            *covered.entry((part.of, first)).or_default() += member.c;
        }
    }
    let whole = |&((t, _), n): &((TensorId, usize), usize)| {
        n == graph.tensors[t].shape.c && writers[t].is_some()
    };
    let place = |((t, first), _): ((TensorId, usize), usize)| {
        let part = Part {
            of: concat.output,
            channel: first,
            row: 0,
            row_step: 1,
        };
        (t, part)
    };
    covered.into_iter().filter(whole).map(place).collect()
}

/// For each tensor its place in another one, for those that need no memory of their own.
///
/// Members of a concatenation are written where it lies, the outermost concatenation first; what a slice takes is read where
/// its input lies. Inputs of the network stay by themselves, and outputs that would only be parts of them are copied.
pub fn parts(graph: &Graph) -> Vec<Option<Part>> {
    let writers = graph.writers();
    let mut parts: Vec<Option<Part>> = vec![None; graph.tensors.len()];
    for n in graph.nodes.iter().rev() {
        let Op::Concat(c) = &n.op else { continue };
        let Some(places) = in_concat(c, n.output, &graph.shapes(n)) else {
            continue;
        };
        let whole = whole_in_parts(graph, n, &places, &writers);
        for (&t, place) in &whole {
            parts[t].get_or_insert(*place);
        }
        for (&t, place) in n.inputs.iter().zip(places) {
            // What a slice takes of a tensor that lies here whole lies here too.
            let slice = writers[t].map(|w| &graph.nodes[w]);
            let of_whole = |n: &Node| n.inputs.first().is_some_and(|i| whole.contains_key(i));
            if slice.is_some_and(|s| of_whole(s) && as_part(graph, s).is_some()) {
                continue;
            }
            let twice = n.inputs.iter().filter(|&&i| i == t).count() > 1;
            let format = graph.tensors[t].frac == graph.tensors[n.output].frac;
            if parts[t].is_none() && writers[t].is_some() && !twice && format {
                parts[t] = Some(place);
            }
        }
    }
    for n in &graph.nodes {
        let Some(part) = as_part(graph, n) else {
            continue;
        };
        let of_input = writers[root(&parts, part.of).0].is_none();
        if parts[n.output].is_none() && !(of_input && graph.is_output(n.output)) {
            parts[n.output] = Some(part);
        }
    }
    parts
}

/// True for a node whose output is a part of its input and needs no command.
pub fn is_address(graph: &Graph, n: &Node, parts: &[Option<Part>]) -> bool {
    as_part(graph, n).is_some_and(|p| parts[n.output] == Some(p))
}

/// The tensor whose memory holds `t`, and the way there, innermost first.
pub fn root(parts: &[Option<Part>], t: TensorId) -> (TensorId, Vec<(TensorId, Part)>) {
    let (mut t, mut way) = (t, Vec::new());
    while let Some(p) = parts[t] {
        way.push((t, p));
        t = p.of;
    }
    (t, way)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cnna_machine::num::Word;
    use cnna_net::op::{Concat, Constant, MaxPool};
    use cnna_net::{Values, Window};

    /// Two poolings, concatenated twice over.
    #[test]
    fn members_of_nested_concatenations_lie_in_the_outermost() {
        let mut g = Graph::new("nested", Word::W16);
        let shape = Shape { c: 4, h: 6, w: 6 };
        let x = g.input("x", shape, Some(8));
        let pool = || MaxPool {
            window: Window::plain(1, 1),
        };
        let a = g.push("a", pool(), &[x], Some(8)).unwrap();
        let b = g.push("b", pool(), &[x], Some(8)).unwrap();
        let ab = g.push("ab", Concat { axis: 0 }, &[a, b], Some(8)).unwrap();
        let all = g
            .push("all", Concat { axis: 0 }, &[x, ab], Some(8))
            .unwrap();
        g.output(all);
        let parts = parts(&g);
        let channel = |t: TensorId| {
            root(&parts, t)
                .1
                .iter()
                .map(|(_, p)| p.channel)
                .sum::<usize>()
        };
        assert_eq!([a, b, ab].map(|t| root(&parts, t).0), [all; 3]);
        assert_eq!([a, b, ab].map(channel), [4, 8, 4]);
        assert_eq!(parts[x], None, "the input is the user's to write");
    }

    /// A constant reads nothing: of ONNX's node tests.
    #[test]
    fn a_constant_lies_in_the_concatenation_that_it_is_a_member_of() {
        let mut g = Graph::new("constant", Word::W16);
        let shape = Shape { c: 2, h: 1, w: 1 };
        let x = g.input("x", shape, Some(8));
        let values = Values::Reals(vec![1.0; 2]);
        let constant = Constant { shape, values };
        let c = g.push("c", constant, &[], Some(8)).unwrap();
        let all = g.push("all", Concat { axis: 0 }, &[x, c], Some(8)).unwrap();
        g.output(all);
        let parts = parts(&g);
        assert_eq!(
            (parts[c].map(|p| (p.of, p.channel)), parts[x]),
            (Some((all, 2)), None)
        );
    }
}
