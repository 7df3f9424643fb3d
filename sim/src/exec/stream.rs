//! A whole command stream in stream order, without time: the machine's values, and a check of its tokens.

use super::fault::{ExecError, Fault};
use super::{compute, load, store, weight};
use crate::buffers::Buffers;
use cnna_machine::Accelerator;
use cnna_machine::counters::{Counters, RECORD_BYTES};
use cnna_machine::isa::{Body, Command, Queue, store_kind};

/// A mark that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The command's layer.
    pub tag: u16,
    /// Byte offset of its record in the window.
    pub record: usize,
    /// Results changed by saturation since the start.
    pub saturated: u64,
}

/// Runs a stream command by command and returns its marks. Of a mark's record only the saturation counter has a value.
///
/// Errors: a fault in a command, a token awaited before it is sent in stream order, or a stream without end.
pub fn run_in_order(
    commands: &[Command],
    accelerator: &Accelerator,
    window: &mut [u8],
) -> Result<Vec<Mark>, ExecError> {
    let mut buffers = Buffers::new(accelerator);
    let mut tokens = [[0i64; 4]; 4];
    let mut marks = Vec::new();
    let mut saturated = 0;
    for (index, c) in commands.iter().enumerate() {
        let here = |fault: Fault| ExecError {
            index,
            queue: c.queue(),
            tag: c.tag,
            fault,
        };
        let me = c.queue() as usize;
        for q in Queue::ALL {
            if c.wait & q.bit() != 0 {
                tokens[q as usize][me] -= 1;
                if tokens[q as usize][me] < 0 {
                    return Err(here(Fault::Token { from: q }));
                }
            }
        }
        match &c.body {
            Body::Load(l) => load(l, &mut buffers, window).map_err(here)?,
            Body::Weight(w) => weight(c.kind, w, &mut buffers, window).map_err(here)?,
            Body::Compute(k) => saturated += compute(k, &mut buffers).map_err(here)?,
            Body::Store(s) => match c.kind {
                store_kind::STORE => store(s, &mut buffers, window).map_err(here)?,
                store_kind::MARK => {
                    let record = s.ddr as u32 as usize;
                    let bytes = window.len();
                    let to = record + RECORD_BYTES;
                    let dest = window.get_mut(record..to).ok_or_else(|| {
                        here(Fault::Window {
                            from: record,
                            to,
                            bytes,
                        })
                    })?;
                    let counted = Counters {
                        saturated,
                        ..Counters::default()
                    };
                    dest.copy_from_slice(&counted.to_bytes());
                    marks.push(Mark {
                        tag: c.tag,
                        record,
                        saturated,
                    });
                }
                store_kind::FENCE => {}
                store_kind::END => return Ok(marks),
                kind => {
                    return Err(here(Fault::Field {
                        field: "kind",
                        value: kind,
                        expected: "0 store, 1 mark, 2 end or 3 fence",
                    }));
                }
            },
        }
        for q in Queue::ALL {
            if c.signal & q.bit() != 0 {
                tokens[me][q as usize] += 1;
            }
        }
    }
    Err(ExecError {
        index: commands.len(),
        queue: Queue::Store,
        tag: 0,
        fault: Fault::NoEnd,
    })
}
