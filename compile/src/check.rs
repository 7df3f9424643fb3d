//! What must hold before anything is scheduled: the graph is sound and quantised, in words of the machine's width, and
//! nothing is larger than command fields can say.

use crate::error::CompileError;
use crate::linear::Linear;
use cnna_machine::num::{SHIFT_RANGE, Word};
use cnna_machine::{Accelerator, MachineError};
use cnna_net::{Graph, Node, Op, Window};

/// Largest map side, kernel side, stride and padding that command fields can express.
const LARGEST: usize = 32_000;
const LARGEST_DILATION: usize = 63;
/// Most elements of a tensor.
const MOST_ELEMENTS: usize = 1 << 28;

/// Refuses networks that contradict themselves or the machine.
pub fn network(graph: &Graph, a: &Accelerator) -> Result<(), CompileError> {
    if graph.word != a.word {
        return Err(MachineError::config(
            "word",
            format!(
                "the machine has {}-bit words, the network {}-bit ones: use --set word={} or quantise again",
                a.word.bits(),
                graph.word.bits(),
                graph.word.bits()
            ),
        )
        .into());
    }
    graph.check()?;
    for n in &graph.nodes {
        let bad = |message: String| CompileError::Network {
            layer: n.name.clone(),
            message,
        };
        for &t in n.inputs.iter().chain([&n.output]) {
            let tensor = &graph.tensors[t];
            if tensor.shape.len() > MOST_ELEMENTS
                || tensor.shape.sides().iter().any(|&s| s > LARGEST * 2)
            {
                return Err(bad(format!(
                    "its tensor {} of {} elements is larger than {MOST_ELEMENTS}, or a side of it than {}",
                    tensor.shape,
                    tensor.shape.len(),
                    LARGEST * 2
                )));
            }
            if tensor.frac.is_none() {
                return Err(bad(format!(
                    "its tensor `{}` has no number format: quantise the network",
                    tensor.name
                )));
            }
        }
        // Slopes stay real until they meet the words that they multiply.
        let multiplied = match &n.op {
            Op::Conv(_) | Op::ConvTranspose(_) => 2,
            _ => 0,
        };
        if n.op
            .constants()
            .iter()
            .take(multiplied)
            .any(|v| v.reals().is_some())
        {
            return Err(bad("its constants are not quantised".into()));
        }
        if let Some(w) = window(n) {
            check_window(w).map_err(bad)?;
        }
    }
    Ok(())
}

fn window(n: &Node) -> Option<&Window> {
    match &n.op {
        Op::Conv(c) => Some(&c.window),
        Op::ConvTranspose(c) => Some(&c.window),
        Op::MaxPool(p) => Some(&p.window),
        Op::AveragePool(p) => Some(&p.window),
        _ => None,
    }
}

fn check_window(w: &Window) -> Result<(), String> {
    let p = &w.pad;
    let sides = [p.top, p.left, p.bottom, p.right];
    for v in sides.into_iter().chain(w.kernel).chain(w.stride) {
        if v > LARGEST {
            return Err(format!(
                "a kernel, stride or padding of {v} is beyond {LARGEST}"
            ));
        }
    }
    for axis in 0..2 {
        if w.kernel[axis] > 1 && w.dilation[axis] > LARGEST_DILATION {
            return Err(format!(
                "dilation {:?} is beyond {LARGEST_DILATION}",
                w.dilation
            ));
        }
    }
    Ok(())
}

/// Refuses sums that could leave the accumulator, and shifts that the machine has not.
pub fn linear(layer: &str, l: &Linear, word: Word) -> Result<(), CompileError> {
    let most = l.shift + i32::from(l.finer.iter().copied().max().unwrap_or(0));
    if let Some(s) = [l.shift, most]
        .into_iter()
        .find(|s| !SHIFT_RANGE.contains(s))
    {
        return Err(CompileError::Network {
            layer: layer.into(),
            message: format!("its shift {s} is outside {SHIFT_RANGE:?}"),
        });
    }
    match l.overflow(word) {
        None => Ok(()),
        Some((channel, bound)) => Err(CompileError::Accumulator {
            layer: layer.into(),
            channel,
            input_bits: word.bits() - 1,
            bound,
        }),
    }
}
