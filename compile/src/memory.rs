//! The memory window: who lies where, counted from the end of the commands until their number is known.

use crate::weights::Block;
use cnna_machine::Accelerator;
use cnna_machine::config::BURST_BEATS;
use std::ops::Range;

/// The images of a run: how many, and bytes from a tensor of one to that of the next.
#[derive(Clone, Copy, Debug)]
pub struct Images {
    /// Images of a run.
    pub count: usize,
    /// Bytes between their tensors.
    pub pitch: usize,
}

/// Where weights and biases go.
#[derive(Debug)]
pub struct Placer<'b, 'a> {
    /// The machine.
    pub accelerator: &'b Accelerator,
    /// Their part of the window.
    pub arena: Arena,
    /// What to write where in it.
    pub blocks: Vec<Block<'a>>,
}

impl<'b> Placer<'b, '_> {
    /// Nothing placed yet.
    pub fn new(accelerator: &'b Accelerator) -> Self {
        Placer {
            accelerator,
            arena: Arena::new(accelerator),
            blocks: Vec::new(),
        }
    }
}

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

/// Where fills of the activation buffer lie: each behind the one before it, whose rows may still be in use when its first ones come.
#[derive(Clone, Debug)]
pub struct Fills {
    depth: usize,
    /// Lines of the latest fill, the first of its sets where it has two.
    latest: Range<usize>,
}

impl Fills {
    /// An empty buffer of `depth` lines.
    pub fn new(depth: usize) -> Self {
        Fills {
            depth,
            latest: 0..0,
        }
    }

    /// The first line of a ring of slots of `pitch` lines, in a buffer of so many sets, and the slot of its first row: one that
    /// does not hold the fill before, where some do not.
    pub fn take(&mut self, slots: usize, pitch: usize, sets: usize) -> (usize, usize) {
        let depth = self.depth / sets;
        let lines = slots * pitch;
        let end = match self.latest.end % depth {
            0 => depth,
            end => end,
        };
        let start = end - self.latest.len().min(end);
        let last = depth - lines;
        let (base, first) = match () {
            _ if end <= last => (end, 0),
            _ if lines <= start => (0, 0),
            _ => (last, (end - last).div_ceil(pitch) % slots),
        };
        // Its last rows lie before the slot of the first.
        self.latest = match first {
            0 => base..base + lines,
            _ => base..base + first * pitch,
        };
        (base, first)
    }
}

/// Memory for blocks of which each is needed from one step to another; `lives` are (bytes, first step, last step). Returns
/// each block's offset and the bytes of all.
///
/// First fit by size: the largest blocks find their places first. Source: Pisarchyk and Lee 2020, arXiv:2001.03288, greedy by
/// size.
pub fn by_lifetime(lives: &[(usize, Range<usize>)], a: &Accelerator) -> (Vec<usize>, usize) {
    let align = BURST_BEATS * a.beat_bytes();
    let mut order: Vec<usize> = (0..lives.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(lives[i].0), i));
    let mut offsets = vec![0; lives.len()];
    // Placed blocks by offset.
    let mut placed: Vec<usize> = Vec::with_capacity(lives.len());
    let mut end = 0;
    for i in order {
        let (bytes, steps) = &lives[i];
        let mut at = 0;
        for &other in &placed {
            let (size, life) = &lives[other];
            if life.end <= steps.start || steps.end <= life.start {
                continue;
            }
            if at + bytes <= offsets[other] {
                break;
            }
            at = at.max((offsets[other] + size).next_multiple_of(align));
        }
        offsets[i] = at;
        end = end.max(at + bytes);
        let position = placed.partition_point(|&p| offsets[p] <= at);
        placed.insert(position, i);
    }
    (offsets, end.next_multiple_of(align))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cnna_machine::Board;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    #[test]
    fn blocks_that_live_together_never_share_a_byte() {
        let board = Board::load("ultra96", &[]).unwrap();
        let mut r = StdRng::seed_from_u64(1);
        for _ in 0..200 {
            let lives: Vec<_> = (0..r.random_range(1..40))
                .map(|_| {
                    let from = r.random_range(0..30);
                    (
                        r.random_range(1..100_000),
                        from..from + r.random_range(1..10),
                    )
                })
                .collect();
            let (offsets, bytes) = by_lifetime(&lives, &board.accelerator);
            for (i, (size, life)) in lives.iter().enumerate() {
                assert!(offsets[i] + size <= bytes);
                for (j, (other, its)) in lives.iter().enumerate().skip(i + 1) {
                    let together = life.start < its.end && its.start < life.end;
                    let apart = offsets[i] + size <= offsets[j] || offsets[j] + other <= offsets[i];
                    assert!(!together || apart, "{i} and {j}");
                }
            }
        }
    }

    #[test]
    fn a_chain_needs_no_more_than_its_two_largest_neighbours() {
        let board = Board::load("ultra96", &[]).unwrap();
        let lives: Vec<_> = (0..50).map(|i| (4096, i..i + 2)).collect();
        assert_eq!(by_lifetime(&lives, &board.accelerator).1, 2 * 4096);
    }
}
