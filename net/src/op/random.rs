//! What random instances of operators are drawn from.

use super::Op;
use cnna_machine::layout::Shape;
use cnna_machine::num::Word;

/// Tensors that a random node may read.
#[derive(Clone, Debug)]
pub struct Pool {
    /// Width of all words.
    pub word: Word,
    /// Shape and fraction bits of each tensor.
    pub tensors: Vec<(Shape, i32)>,
    /// Multiply-accumulates of one node, at most.
    pub macs: usize,
}

/// A random node: its operator, what it reads, and its output's fraction bits.
#[derive(Clone, Debug)]
pub struct Random {
    /// What it computes.
    pub op: Op,
    /// Indices in the pool.
    pub inputs: Vec<usize>,
    /// Fraction bits of what it writes.
    pub frac: i32,
}
