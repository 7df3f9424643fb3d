//! What a configuration needs of a chip in look-up tables and flip-flops, estimated before any synthesis.
//!
//! Fitted to Yosys' counts (`synth_xilinx -family xc7`) of nine of the configurations in `hdl/benches/fit.rs`, least squares of the
//! relative error, largest 4 %; that program compares and fails when one is off by more than its limit: `make bench-fit`.
//! The first term and a tile's were then moved to the counts of `ultra96` and `pynq-z2` with activations, residuals and what stays
//! on chip, and the biases' was added: two counts of `pynq-z2`, of 128 and 256 rows.
//! Vivado's counts differ: it packs better, and worse when it copies registers for timing.

use crate::config::Accelerator;

/// One term: what it counts, and the look-up tables and flip-flops that each of it takes.
struct Term {
    count: fn(&Accelerator) -> usize,
    lut: f64,
    ff: f64,
}

fn word_bits(a: &Accelerator) -> usize {
    a.word.bits() as usize
}

/// 1 where the Winograd transforms are generated.
fn winograd(a: &Accelerator) -> usize {
    usize::from(a.winograd)
}

/// 1 where the paired mode is generated.
fn paired(a: &Accelerator) -> usize {
    usize::from(a.paired)
}

const TERMS: [Term; 11] = [
    // Registers, fetch, queues, sequencer, and the engines of one port each.
    Term {
        count: |_| 1,
        lut: 784.0,
        ff: 7026.0,
    },
    // Weight ports, whose gearbox moves whole words.
    Term {
        count: |a| a.weight_ports * word_bits(a),
        lut: 264.0,
        ff: 104.0,
    },
    // A tile: rotation of its window, drain and post-processing at 48 bits.
    Term {
        count: |a| a.tiles,
        lut: 6355.0,
        ff: 7525.0,
    },
    // A row of biases, in distributed RAM.
    Term {
        count: |a| a.bias_depth,
        lut: 5.37,
        ff: 0.0,
    },
    // A tile's inverse transform, and that of its window.
    Term {
        count: |a| a.tiles * winograd(a),
        lut: 2105.0,
        ff: 0.0,
    },
    Term {
        count: |a| a.tiles * word_bits(a) * winograd(a),
        lut: 0.0,
        ff: 81.0,
    },
    // A lane: its weights' registers, and the transform of its kernel.
    Term {
        count: |a| a.lanes * word_bits(a),
        lut: 0.0,
        ff: 54.0,
    },
    Term {
        count: |a| a.lanes * word_bits(a) * winograd(a),
        lut: 73.0,
        ff: 0.0,
    },
    // Pairs: an adder before each DSP, and the second operands on their way from lane to lane.
    Term {
        count: |a| paired(a) * a.dsps() * (word_bits(a) + 2),
        lut: 1.0,
        ff: 0.0,
    },
    Term {
        count: |a| paired(a) * a.dsps() * word_bits(a),
        lut: 0.0,
        ff: 1.06,
    },
    // ... a tile's second window, and what is taken back from its results.
    Term {
        count: |a| paired(a) * a.tiles * word_bits(a),
        lut: 94.0,
        ff: 66.0,
    },
];

fn total(a: &Accelerator, each: impl Fn(&Term) -> f64) -> usize {
    let sum: f64 = TERMS.iter().map(|t| each(t) * (t.count)(a) as f64).sum();
    sum.round() as usize
}

impl Accelerator {
    /// Look-up tables of the whole machine, those used as memory included; an estimate.
    pub fn luts(&self) -> usize {
        total(self, |t| t.lut)
    }
    /// Flip-flops of the whole machine outside DSP slices and block RAMs; an estimate.
    pub fn ffs(&self) -> usize {
        total(self, |t| t.ff)
    }
}
