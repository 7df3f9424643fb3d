//! What the machine does of each result behind its sum: the function of a command, and the words of its activation set.

use cnna_machine::Accelerator;
use cnna_machine::isa::{SET_PITCH, act};
use cnna_machine::num::Word;
use cnna_net::Activation;
use cnna_net::activation::{Table, slope_word};
use std::sync::Arc;

/// A function of saturated words.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Act {
    /// Nothing.
    #[default]
    None,
    /// `max(0, y)`.
    Relu,
    /// Lower and upper bound, as words.
    Clip([i16; 2]),
    /// Slope of what is negative, 15 fraction bits.
    Slope(i16),
    /// The same, one a channel.
    Slopes(Vec<i16>),
    /// By table.
    Table(Arc<Table>),
}

/// Most words of a set: a table, then bounds and slope.
pub type Words = Vec<[u16; 3]>;

impl Act {
    /// An activation for words of format `frac`; `None` for tables, which lie between two formats.
    pub fn new(f: &Activation, frac: i32, word: Word) -> Option<Act> {
        Some(match f {
            Activation::Table(_) => return None,
            Activation::Leaky(m) => Act::Slope(slope_word(*m)),
            Activation::PRelu(m) => match &m.to_reals(0)[..] {
                [m] => Act::Slope(slope_word(*m)),
                each => Act::Slopes(each.iter().map(|&m| slope_word(m)).collect()),
            },
            Activation::None | Activation::Relu | Activation::Clip { .. } => {
                let bounds = f.bounds(frac, word)?;
                let [min, max] = [word.min() as i16, word.max() as i16];
                match bounds {
                    b if b == [min, max] => Act::None,
                    b if b == [0, max] => Act::Relu,
                    b => Act::Clip(b),
                }
            }
        })
    }

    /// The table of a function between two formats; `None` where two of its entries are farther apart than the machine's words.
    pub fn table(table: Table) -> Option<Act> {
        let fits = |d: &i32| i16::try_from(*d).is_ok();
        table
            .delta
            .iter()
            .all(fits)
            .then(|| Act::Table(Arc::new(table)))
    }

    /// Value of a command's field `act`.
    pub fn code(&self) -> i32 {
        match self {
            Act::None | Act::Relu => act::NONE,
            Act::Clip(_) => act::CLIP,
            Act::Slope(_) | Act::Slopes(_) => act::SLOPE,
            Act::Table(_) => act::TABLE,
        }
    }

    /// Each channel's slope, where they differ.
    pub fn slopes(&self) -> &[i16] {
        match self {
            Act::Slopes(m) => m,
            _ => &[],
        }
    }

    /// The words of the set that it needs, and the place of the first in a set.
    pub fn set(&self, a: &Accelerator) -> Option<(usize, Words)> {
        let entries = a.word.table_entries();
        let last = |[lo, hi]: [i16; 2], m: i16| [lo as u16, hi as u16, m as u16];
        let all = [a.word.min() as i16, a.word.max() as i16];
        Some(match self {
            Act::None | Act::Relu => return None,
            Act::Clip(bounds) => (entries, vec![last(*bounds, 0)]),
            Act::Slope(m) => (entries, vec![last(all, *m)]),
            Act::Slopes(_) => (entries, vec![last(all, 0)]),
            Act::Table(t) => {
                let each = t.base.iter().zip(&t.delta);
                let mut words: Words = each.map(|(&b, &d)| [b as u16, d as u16, 0]).collect();
                words.push(last(all, 0));
                (0, words)
            }
        })
    }
}

// A table and the bounds behind it are one set.
const _: () = assert!(Word::W16.table_entries() < SET_PITCH);
