//! The same network written as a board runs it faster, by the compiler's own estimate. The integers are the same.

mod blocks;
mod pool;
mod shape;

use crate::cost;
use crate::error::CompileError;
use crate::lower::Build;
use crate::options::Options;
use cnna_machine::Board;
use cnna_net::Graph;

/// The network with its maps in another shape, wide maxima in two steps and some layers in blocks of channels; `None` where it is as
/// fast as it is.
///
/// Errors: as [`crate::compile`].
pub fn for_board(
    graph: &Graph,
    board: &Board,
    options: &Options,
) -> Result<Option<Graph>, CompileError> {
    let mut written = None;
    for rewrite in [shape::in_best_shape, pool::in_two_steps, blocks::in_blocks] {
        let now = written.as_ref().unwrap_or(graph);
        if let Some(faster) = rewrite(now, board, options)? {
            written = Some(faster);
        }
    }
    Ok(written)
}

/// What a network takes.
struct Estimate {
    cycles: u64,
    /// Some results stay on chip.
    stays: bool,
}

fn estimate(graph: &Graph, board: &Board, options: &Options) -> Result<Estimate, CompileError> {
    let build = Build::run(graph, board, options)?;
    let (entries, _) = build.allocate(false).stream(1)?;
    Ok(Estimate {
        cycles: cost::cycles(&entries, board),
        stays: build.stays(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cnna_net::random;
    use cnna_net::run::run;
    use rand::rngs::StdRng;

    /// Asserts that a network and what it was rewritten to have the same results of random inputs.
    pub fn same_integers(graph: &Graph, written: &Graph, r: &mut StdRng, seed: u64) {
        written
            .check()
            .unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        let images = random::inputs(r, graph);
        let images: Vec<&[i16]> = images.iter().map(Vec::as_slice).collect();
        let results = |g: &Graph| {
            let done = run(g, &images).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
            let outputs = g.outputs.iter();
            outputs
                .map(|o| done.tensors[o.tensor].values.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(results(graph), results(written), "seed {seed}");
    }
}
