//! Blocks of channels: a convolution and what reads it channel by channel, cut into several of each, so that what is between
//! them stays on chip where all channels' rows at once would not fit.

use super::estimate;
use crate::cost::MARGIN;
use crate::error::CompileError;
use crate::options::{Options, Use};
use crate::weights::spans;
use cnna_machine::Board;
use cnna_machine::config::BEAT_WORDS;
use cnna_net::op::Concat;
use cnna_net::{Graph, Node, Op};
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// Beats of a tensor whose way to memory and back is worth a look.
const LARGE: usize = 4096;
/// Most blocks.
const MOST: usize = 6;

/// The network with such pairs in blocks of channels, where that takes fewer cycles by the compiler's estimate. The integers are
/// the same. Errors: as [`crate::compile`].
pub fn in_blocks(
    graph: &Graph,
    board: &Board,
    options: &Options,
) -> Result<Option<Graph>, CompileError> {
    if options.keep || options.turns == Use::Never || options.local == Use::Never {
        return Ok(None);
    }
    let cuts = cuts(graph, board, options);
    if cuts.is_empty() {
        return Ok(None);
    }
    let cut = apply(graph, &cuts);
    let before = estimate(graph, board, options)?.cycles;
    let after = estimate(&cut, board, options);
    Ok(after.is_ok_and(|e| e.cycles < before).then_some(cut))
}

/// A convolution, its reader, and how many channels of both make a block; the last has what is left.
struct Cut {
    conv: usize,
    reader: usize,
    each: usize,
}

/// An operator's part that makes some channels; `None` where it has none.
fn part(op: &Op, channels: Range<usize>) -> Option<Op> {
    match op {
        Op::MaxPool(_) | Op::AveragePool(_) => Some(op.clone()),
        Op::Conv(c) if c.groups == 1 || c.groups == c.oc => Some(c.channels(channels).into()),
        _ => None,
    }
}

/// True where an operator makes each channel of the same channel of what it reads.
fn is_by_channel(op: &Op) -> bool {
    match op {
        Op::MaxPool(_) | Op::AveragePool(_) => true,
        Op::Conv(c) => c.groups == c.oc,
        _ => false,
    }
}

/// Convolutions without groups and what alone reads them, channel by channel.
fn pairs(graph: &Graph) -> impl Iterator<Item = (usize, usize)> {
    let (readers, writers) = (graph.readers(), graph.writers());
    let nodes = graph.nodes.iter().enumerate();
    nodes.filter_map(move |(reader, n)| {
        let [between] = n.inputs[..] else { return None };
        let conv = writers[between]?;
        let Op::Conv(c) = &graph.nodes[conv].op else {
            return None;
        };
        let alone = readers[between].len() == 1 && !graph.is_output(between);
        let same = graph.tensors[n.output].shape.c == c.oc;
        (alone && same && c.oc > 1 && c.groups == 1 && is_by_channel(&n.op))
            .then_some((conv, reader))
    })
}

/// The pairs of which each is faster by itself in blocks.
fn cuts(graph: &Graph, board: &Board, options: &Options) -> Vec<Cut> {
    // Networks repeat their layers.
    let mut known: HashMap<String, usize> = HashMap::new();
    let large = |&(conv, _): &(usize, usize)| {
        let between = &graph.tensors[graph.nodes[conv].output];
        between.shape.len() >= LARGE * BEAT_WORDS
    };
    pairs(graph)
        .filter(large)
        .filter_map(|(conv, reader)| {
            let kinds = [conv, reader].map(|n| {
                let n = &graph.nodes[n];
                let window = match &n.op {
                    Op::Conv(c) => Some(c.window),
                    Op::MaxPool(p) => Some(p.window),
                    Op::AveragePool(p) => Some(p.window),
                    _ => None,
                };
                (
                    n.op.name(),
                    window,
                    graph.shapes(n),
                    graph.tensors[n.output].shape,
                )
            });
            let each = *known
                .entry(format!("{kinds:?}"))
                .or_insert_with(|| best(graph, conv, reader, board, options));
            (each < channels(graph, conv)).then_some(Cut { conv, reader, each })
        })
        .collect()
}

/// Output channels of a node.
fn channels(graph: &Graph, node: usize) -> usize {
    graph.tensors[graph.nodes[node].output].shape.c
}

/// Channels of a block with which what is between stays on chip and the pair is the fastest; all where that is no faster.
fn best(graph: &Graph, conv: usize, reader: usize, board: &Board, options: &Options) -> usize {
    let channels = channels(graph, conv);
    // All channels in blocks of so many: each takes as long as the first.
    let cycles = |each: usize| {
        let e = estimate(&pair(graph, conv, reader, 0..each), board, options).ok()?;
        Some((e.cycles * channels as u64 / each as u64, e.stays))
    };
    let Some((apart, false)) = cycles(channels) else {
        return channels;
    };
    let a = &board.accelerator;
    let group = a.lanes - usize::from(a.paired);
    let groups = channels.div_ceil(group);
    let mut sizes: Vec<_> = (2..=MOST.min(groups))
        .map(|count| groups.div_ceil(count) * group)
        .collect();
    sizes.dedup();
    // From the first that stay on chip on, as long as more are faster.
    let mut fastest = (apart - apart / MARGIN, channels);
    for each in sizes {
        match cycles(each) {
            Some((cycles, true)) if cycles < fastest.0 => fastest = (cycles, each),
            Some((_, true)) => break,
            _ => {}
        }
    }
    fastest.1
}

/// A network of these two nodes, of some channels.
fn pair(graph: &Graph, conv: usize, reader: usize, channels: Range<usize>) -> Graph {
    let mut pair = Graph::new(&graph.name, graph.word);
    let first = &graph.tensors[graph.nodes[conv].inputs[0]];
    let mut from = pair.input(&first.name, first.shape, first.frac);
    for n in [conv, reader] {
        let n = &graph.nodes[n];
        let frac = graph.tensors[n.output].frac;
        let op = part(&n.op, channels.clone()).expect("it can be cut");
        let made = pair.push(&n.name, op, &[from], frac);
        from = made.expect("some of the channels have the shape of all");
    }
    pair.output(from);
    pair
}

/// The network with these pairs in blocks, each block's reader right behind its convolution.
fn apply(graph: &Graph, cuts: &[Cut]) -> Graph {
    let by_conv: HashMap<usize, &Cut> = cuts.iter().map(|c| (c.conv, c)).collect();
    let readers: HashSet<usize> = cuts.iter().map(|c| c.reader).collect();
    let mut cut = Graph {
        name: graph.name.clone(),
        word: graph.word,
        tensors: graph.tensors.clone(),
        nodes: Vec::new(),
        inputs: graph.inputs.clone(),
        outputs: graph.outputs.clone(),
    };
    for (i, n) in graph.nodes.iter().enumerate() {
        let Some(c) = by_conv.get(&i) else {
            if !readers.contains(&i) {
                cut.nodes.push(n.clone());
            }
            continue;
        };
        let reader = &graph.nodes[c.reader];
        let mut members = Vec::new();
        for (b, channels) in spans(channels(graph, i), c.each).enumerate() {
            let mut push = |of: &Node, input| {
                let op = part(&of.op, channels.clone()).expect("it can be cut");
                let frac = graph.tensors[of.output].frac;
                let made = cut.push(&format!("{}/{b}", of.name), op, &[input], frac);
                made.expect("some of the channels have the shape of all")
            };
            let made = push(n, n.inputs[0]);
            members.push(push(reader, made));
        }
        cut.nodes.push(Node {
            name: reader.name.clone(),
            op: Concat { axis: 0 }.into(),
            inputs: members,
            output: reader.output,
        });
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::super::tests::same_integers;
    use super::*;
    use cnna_machine::num::Word;
    use cnna_net::random;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    /// Every pair of random networks in blocks of random sizes, and some that the estimate chooses.
    #[test]
    fn blocks_of_channels_give_the_same_integers() {
        let (mut seen, mut chosen) = (0, 0);
        for seed in 1..=400 {
            let mut r = StdRng::seed_from_u64(seed);
            let word = if r.random() { Word::W16 } else { Word::W8 };
            let graph = random::graph(seed, word, &random::Limits::default());
            let cuts: Vec<_> = pairs(&graph)
                .map(|(conv, reader)| {
                    let each = r.random_range(1..=channels(&graph, conv));
                    Cut { conv, reader, each }
                })
                .collect();
            let several = |c: &&Cut| c.each < channels(&graph, c.conv);
            seen += cuts.iter().filter(several).count();
            let cut = apply(&graph, &cuts);
            same_integers(&graph, &cut, &mut r, seed);
        }
        let board = Board::load("pynq-z2", &[]).expect("it is built in");
        for (name, least) in [
            ("zoo:mobilenet-v2", 5),
            ("zoo:resnet18", 1),
            ("zoo:vgg16@56", 0),
        ] {
            let graph = cnna_net::zoo::network(name, 1, Word::W16).expect("it is in the zoo");
            let nodes = graph.nodes.len();
            let options = Options::default();
            let cut = in_blocks(&graph, &board, &options).expect("it can be built");
            let cut = cut.unwrap_or(graph);
            let concatenations = cut.nodes.iter().filter(|n| n.op.name() == "Concat").count();
            assert!(
                concatenations >= least && (least > 0) == (cut.nodes.len() > nodes),
                "{name}"
            );
            chosen += concatenations;
        }
        assert!(seen > 30 && chosen > 5, "{seen} {chosen}");
    }
}
