//! What must hold before anything is scheduled: shapes fit, shifts are legal, no accumulator can overflow.

use crate::error::CompileError;
use cnna_machine::layer::{Conv, Layer, Network, Op, Shape, Window};
use cnna_machine::num::{SHIFT_RANGE, Word};
use cnna_machine::{Accelerator, MachineError};

/// Largest map side, kernel side, stride and padding that command fields can express.
const LARGEST: usize = 32_000;
const LARGEST_DILATION: usize = 63;

/// Refuses networks that contradict themselves or the machine.
pub fn network(net: &Network, a: &Accelerator) -> Result<(), CompileError> {
    if net.word != a.word {
        return Err(MachineError::config(
            "word",
            format!(
                "the machine has {}-bit words, the network {}-bit ones: use --set word={} or quantise again",
                a.word.bits(),
                net.word.bits(),
                net.word.bits()
            ),
        )
        .into());
    }
    let mut input = net.input;
    if net.layers.is_empty() || input.is_empty() {
        return Err(CompileError::Network {
            layer: net.name.clone(),
            message: "the network has no layers or an empty input".into(),
        });
    }
    for l in &net.layers {
        let bad = |message: String| CompileError::Network {
            layer: l.name.clone(),
            message,
        };
        if l.input != input {
            return Err(bad(format!(
                "its input is {}, the layer before gives {input}",
                l.input
            )));
        }
        let (window, channels) = match &l.op {
            Op::Conv(c) => (&c.window, c.oc),
            Op::MaxPool(w) => (w, l.input.c),
        };
        check_window(window, l).map_err(&bad)?;
        let Some([h, w]) = window.output(input.h, input.w) else {
            return Err(bad(format!(
                "its kernel does not fit into its input {input}"
            )));
        };
        let output = Shape { c: channels, h, w };
        if output != l.output || output.is_empty() {
            return Err(bad(format!(
                "its output is {}, its window gives {output}",
                l.output
            )));
        }
        if let Op::Conv(c) = &l.op {
            check_conv(c, l).map_err(&bad)?;
            accumulators(c, l, net.word)?;
        }
        input = output;
    }
    Ok(())
}

fn check_window(w: &Window, l: &Layer) -> Result<(), String> {
    let p = &w.pad;
    let sides = [l.input.h, l.input.w, p.top, p.left, p.bottom, p.right];
    for v in sides.into_iter().chain(w.kernel).chain(w.stride) {
        if v > LARGEST {
            return Err(format!(
                "a side, kernel, stride or padding of {v} is beyond {LARGEST}"
            ));
        }
    }
    if w.kernel.contains(&0) || w.stride.contains(&0) || w.dilation.contains(&0) {
        return Err("a kernel, stride or dilation of zero".into());
    }
    if w.dilation.iter().any(|&d| d > LARGEST_DILATION) {
        return Err(format!(
            "dilation {:?} is beyond {LARGEST_DILATION}",
            w.dilation
        ));
    }
    Ok(())
}

fn check_conv(c: &Conv, l: &Layer) -> Result<(), String> {
    let n = c.oc * l.input.c * c.window.kernel[0] * c.window.kernel[1];
    if c.weights.len() != n || c.bias.len() != c.oc {
        return Err(format!(
            "it has {} weights and {} biases, its shape needs {n} and {}",
            c.weights.len(),
            c.bias.len(),
            c.oc
        ));
    }
    if !SHIFT_RANGE.contains(&c.shift) {
        return Err(format!("its shift {} is outside {SHIFT_RANGE:?}", c.shift));
    }
    Ok(())
}

/// Largest `sum|w|` times the largest input over all output channels, proven below 2^47 with the bias.
fn accumulators(c: &Conv, l: &Layer, word: Word) -> Result<(), CompileError> {
    let input_bits = word.bits() - 1;
    let taps = c.weights.len() / c.oc;
    for (channel, (w, &b)) in c.weights.chunks_exact(taps).zip(&c.bias).enumerate() {
        let bound = (i128::from(sum_abs(w)) << input_bits) + i128::from(b.unsigned_abs());
        if bound >= 1 << 47 {
            return Err(CompileError::Accumulator {
                layer: l.name.clone(),
                channel,
                input_bits,
                bound,
            });
        }
    }
    Ok(())
}

fn sum_abs(w: &[i16]) -> u64 {
    // Sums of at most 2^16 magnitudes of at most 2^15 fit 32 bits.
    w.chunks(1 << 16)
        .map(|w| u64::from(w.iter().map(|v| u32::from(v.unsigned_abs())).sum::<u32>()))
        .sum()
}

/// True when the Winograd form, whose sums are four times the result, cannot leave 48 bits either.
pub fn winograd_is_exact(c: &Conv, word: Word) -> bool {
    let taps = c.weights.len() / c.oc;
    c.weights
        .chunks_exact(taps)
        .all(|w| sum_abs(w) << (word.bits() - 1) < 1 << 45)
}
