//! What each convolution could do at best: the array's own time in each mode, whatever memory and ports do.

use crate::error::CompileError;
use crate::lower::Build;
use crate::options::Options;
use cnna_machine::Board;
use cnna_machine::program::Mode;
use cnna_net::Graph;

/// A convolution and its modes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AtBest {
    /// Its name.
    pub name: String,
    /// The mode that the compiler takes.
    pub taken: Mode,
    /// Cycles of the array for one image in each mode that it fits, the best tiling's: it never waits, but for the results that the
    /// post units drain.
    pub cycles: Vec<(Mode, u64)>,
}

/// Every convolution of a network that tiles, in order of execution. Errors: as [`crate::compile`].
pub fn at_best(
    graph: &Graph,
    board: &Board,
    options: &Options,
) -> Result<Vec<AtBest>, CompileError> {
    Ok(Build::run(graph, board, options)?.at_best())
}
