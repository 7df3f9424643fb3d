//! The memory window: who lies where, counted from the end of the commands until their number is known.

use cnna_machine::Accelerator;
use cnna_machine::config::BURST_BEATS;
use std::ops::Range;

/// Offsets handed out one after another.
#[derive(Clone, Debug)]
pub struct Arena {
    next: usize,
    align: usize,
}

impl Arena {
    /// An empty arena whose blocks begin where bursts may.
    pub fn new(a: &Accelerator) -> Self {
        Arena {
            next: 0,
            align: BURST_BEATS * a.beat_bytes(),
        }
    }
    /// A block of `bytes`.
    pub fn take(&mut self, bytes: usize) -> usize {
        let at = self.next.next_multiple_of(self.align);
        self.next = at + bytes;
        at
    }
    /// Bytes handed out, up to where another block may begin.
    pub fn bytes(&self) -> usize {
        self.next.next_multiple_of(self.align)
    }
}

/// A ring of buffer rows from which contiguous ranges are taken in turn; hazards are the stream builder's business.
#[derive(Clone, Debug)]
pub struct Ring {
    next: usize,
    depth: usize,
}

impl Ring {
    /// A ring of `depth` rows.
    pub fn new(depth: usize) -> Self {
        Ring { next: 0, depth }
    }
    /// The next `rows` rows; `rows` must not exceed the depth.
    pub fn take(&mut self, rows: usize) -> Range<usize> {
        if self.next + rows > self.depth {
            self.next = 0;
        }
        let at = self.next;
        self.next += rows;
        at..at + rows
    }
    /// Makes sure that the next `rows` rows taken, in any pieces, lie in one range.
    pub fn reserve(&mut self, rows: usize) {
        if self.next + rows > self.depth {
            self.next = 0;
        }
    }
}
