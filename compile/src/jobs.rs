//! Work before it has an order: transfers into buffers (items), and the commands that use them (jobs).
//!
//! Items and jobs are listed in the order in which they are first needed. Each says which rows of which buffer it
//! touches; [`crate::stream`] derives from that when an item may be issued, and every token.

use crate::act::Words;
use crate::memory::{Fills, Ring};
use cnna_machine::Accelerator;
use cnna_machine::isa::{Body, Compute, Load, SETS, Store, Weight, store_kind};
use smallvec::SmallVec;
use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;

/// The lists of loads.
pub const ACTIVATIONS: usize = 0;
/// See [`ACTIVATIONS`].
pub const RESIDUALS: usize = 1;
/// Loads of what a local store brings.
pub const LOCAL: usize = 2;
/// How many lists there are.
pub const LISTS: usize = 3;

/// Loads that a job reads, of each list: those of the same fill as the first.
#[derive(Clone, Debug, Default)]
pub struct Loads {
    lists: [Range<usize>; LISTS],
    /// The first row of the fill's map that it reads: of two rows that come in one load that may be the second.
    pub first_row: usize,
}

impl Deref for Loads {
    type Target = [Range<usize>; LISTS];

    fn deref(&self) -> &Self::Target {
        &self.lists
    }
}

impl DerefMut for Loads {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.lists
    }
}

/// Lines that an item overwrites: mostly one run, or one in each of two sets.
pub type Lines = SmallVec<[Range<usize>; 2]>;
/// Stores behind a job: mostly one.
pub type Stores = SmallVec<[Store; 1]>;

/// A buffer that items fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// A row bank of the activation buffer, in lines.
    Act(usize),
    /// The same lines of two row banks, from this one on.
    TwoAct(usize),
    /// The weight buffer, in rows.
    Weights,
    /// The bias buffer, in rows.
    Bias,
    /// A row bank of the residual buffer, in lines.
    Residual(usize),
    /// The activation sets.
    Sets,
}

/// A load or weight command.
#[derive(Clone, Debug)]
pub struct Item {
    /// The command's body.
    pub body: Body,
    /// Its kind.
    pub kind: i32,
    /// Its layer.
    pub tag: u16,
    /// The fill that it is part of.
    pub fill: usize,
    /// Which row of that fill's map it brings, or the first of two.
    pub row: usize,
    /// Rows that it overwrites.
    pub rows: (Space, Lines),
    /// The mark after which memory holds what it reads.
    pub after: Option<usize>,
    /// Its place among the loads of all lists.
    pub order: usize,
}

/// A compute command with its stores, or a store command alone.
#[derive(Clone, Debug)]
pub struct Job {
    /// Compute, or a mark or the end.
    pub body: Body,
    /// Its kind.
    pub kind: i32,
    /// Its layer.
    pub tag: u16,
    /// Load items that it reads, of each list of [`Jobs::loads`].
    pub loads: Loads,
    /// Weight items that it reads: weights, biases, its activation set.
    pub weights: [Option<usize>; 3],
    /// Output buffer lines that it writes.
    pub region: Range<usize>,
    /// Stores of what this job and the ones before it left in its region.
    pub stores: Stores,
    /// The mark before it: a layer's counters hold nothing of the next, not even of a result that needs no input.
    pub after: Option<usize>,
}

impl Job {
    /// True when some of its results go to a local load.
    pub fn stays(&self) -> bool {
        self.stores.iter().any(|s| s.local != 0)
    }

    /// A store command that no compute command comes before: a mark, a fence, the end.
    pub fn alone(kind: i32, tag: u16, body: Store) -> Self {
        Job {
            body: Body::Store(body),
            kind,
            tag,
            loads: Loads::default(),
            weights: [None; 3],
            region: 0..0,
            stores: Stores::new(),
            after: None,
        }
    }
}

/// The lists, and the state of the buffers' allocation.
#[derive(Clone, Debug)]
pub struct Jobs {
    /// Loads in order of need: of activations, and of residuals, which do not wait for one another; and those of what local stores
    /// bring.
    pub loads: [Vec<Item>; LISTS],
    /// Weight and bias transfers in order of need.
    pub weights: Vec<Item>,
    /// In order of execution.
    pub jobs: Vec<Job>,
    /// Activation buffer, in lines of each row bank.
    pub fills: Fills,
    /// Weight buffer.
    pub weight_ring: Ring,
    /// Bias buffer.
    pub bias_ring: Ring,
    /// Output buffer.
    pub out_ring: Ring,
    /// What each activation set holds, and the item that brought it.
    pub sets: [Option<(Arc<Words>, usize)>; SETS],
    /// The set used last.
    last_set: usize,
    /// Lines of a bank of the residual buffer.
    residual_depth: usize,
    /// Layer of what is added.
    pub tag: u16,
    /// Fills so far.
    pub fill: usize,
    /// The last mark.
    mark: Option<usize>,
}

impl Jobs {
    /// Empty lists for a machine.
    pub fn new(a: &Accelerator) -> Self {
        Jobs {
            loads: Default::default(),
            weights: Vec::new(),
            jobs: Vec::new(),
            fills: Fills::new(a.act_depth),
            weight_ring: Ring::new(a.weight_depth),
            bias_ring: Ring::new(a.bias_depth),
            out_ring: Ring::new(a.out_depth),
            sets: Default::default(),
            last_set: 0,
            residual_depth: a.residual_depth(),
            tag: 0,
            fill: 0,
            mark: None,
        }
    }

    /// Appends a load of a fill's row, or of it and the one below, that writes these lines.
    pub fn load(&mut self, fill: usize, row: usize, load: Load, lines: Lines) {
        let (list, after) = match load.local {
            0 => (ACTIVATIONS, self.mark),
            _ => (LOCAL, None),
        };
        let order = self.loads.iter().map(Vec::len).sum();
        let bank = load.row_bank as usize;
        let space = match load.both {
            0 => Space::Act(bank),
            _ => Space::TwoAct(bank),
        };
        self.loads[list].push(Item {
            body: Body::Load(load),
            kind: 0,
            tag: self.tag,
            fill,
            row,
            rows: (space, lines),
            after,
            order,
        });
    }

    /// Appends a load of residuals for output buffer lines `lines`.
    pub fn residual(&mut self, load: Load, lines: Range<usize>) {
        let depth = self.residual_depth;
        let (from, count) = (lines.start % depth, lines.len());
        let end = (from + count).min(depth);
        let order = self.loads.iter().map(Vec::len).sum();
        self.loads[RESIDUALS].push(Item {
            body: Body::Load(load),
            kind: 0,
            tag: self.tag,
            fill: 0,
            row: 0,
            rows: (
                Space::Residual(load.row_bank as usize),
                Lines::from_iter([from..end, 0..from + count - end]),
            ),
            after: self.mark,
            order,
        });
    }

    /// Appends a weight or bias transfer and returns its index.
    pub fn weight(&mut self, kind: i32, weight: Weight, space: Space, rows: Range<usize>) -> usize {
        self.weights.push(Item {
            body: Body::Weight(weight),
            kind,
            tag: self.tag,
            fill: 0,
            row: 0,
            rows: (space, Lines::from_iter([rows])),
            after: None,
            order: self.weights.len(),
        });
        self.weights.len() - 1
    }

    /// Lets a weight transfer wait for the layers before its own, which make what it reads.
    pub fn made_before(&mut self, item: usize) {
        self.weights[item].after = self.mark;
    }

    /// Appends a compute command.
    pub fn compute(
        &mut self,
        compute: Compute,
        loads: Loads,
        weights: [Option<usize>; 3],
        region: &Range<usize>,
        stores: Stores,
    ) {
        self.jobs.push(Job {
            body: Body::Compute(compute),
            kind: 0,
            tag: self.tag,
            loads,
            weights,
            region: region.clone(),
            stores,
            after: self.mark,
        });
    }

    /// Makes the latest job's stores local, of `pairs` of rows where they can be: loads of [`LOCAL`] listed next take what they
    /// bring. Returns how many rows each of these takes.
    pub fn stay(&mut self, pairs: bool) -> impl Iterator<Item = usize> + use<> {
        let job = self.jobs.last_mut().expect("there is a job");
        let stores = std::mem::take(&mut job.stores);
        job.stores = stores.iter().flat_map(|s| stay(s, pairs)).collect();
        let loads = job.stores.clone().into_iter();
        loads.flat_map(|s| std::iter::repeat_n(1 + s.both as usize, s.rows as usize))
    }

    /// Appends a mark: later loads wait for it.
    pub fn mark(&mut self, record: usize) {
        self.mark = Some(self.jobs.len());
        let mark = Store {
            ddr: address(record),
            ..Store::default()
        };
        self.jobs.push(Job::alone(store_kind::MARK, self.tag, mark));
    }

    /// The item that brought a set with these words, and which set it is, where it is still there.
    pub fn set(&mut self, words: &Words) -> Option<(usize, usize)> {
        let holds =
            |set: &Option<(Arc<Words>, usize)>| set.as_ref().is_some_and(|s| *s.0 == *words);
        let at = self.sets.iter().position(holds)?;
        self.last_set = at;
        Some((self.sets[at].as_ref()?.1, at))
    }

    /// The set to bring next: not the one used last.
    pub fn next_set(&mut self) -> usize {
        self.last_set = (self.last_set + 1) % SETS;
        self.last_set
    }

    /// Appends a fence, and returns which job it is.
    pub fn fence(&mut self) -> usize {
        let fence = Job::alone(store_kind::FENCE, self.tag, Store::default());
        self.jobs.push(fence);
        self.jobs.len() - 1
    }

    /// Lets what `list` appends wait for a fence, where there is one, instead of the mark.
    pub fn behind(&mut self, fence: Option<usize>, list: impl FnOnce(&mut Self)) {
        let mark = self.mark;
        self.mark = fence.or(mark);
        list(self);
        self.mark = mark;
    }

    /// Appends the end.
    pub fn end(&mut self) {
        let end = Job::alone(store_kind::END, self.tag, Store::default());
        self.jobs.push(end);
    }
}

/// A store made local: its pairs of rows, and the row that is left.
fn stay(store: &Store, pairs: bool) -> impl Iterator<Item = Store> + use<> {
    let local = Store {
        ddr: 0,
        seg_stride: 0,
        row_stride: 0,
        local: 1,
        ..*store
    };
    let count = match pairs && store.bank == 0 {
        true => store.rows / 2,
        false => 0,
    };
    let both = Store {
        rows: count,
        both: 1,
        ..local
    };
    let rest = Store {
        line: store.line + count * store.row_pitch,
        rows: store.rows - 2 * count,
        ..local
    };
    [both, rest].into_iter().filter(|s| s.rows > 0)
}

/// A count as a command field; one that no field can hold stays so, for the encoder to refuse.
pub fn field(v: usize) -> i32 {
    i32::try_from(v).unwrap_or(i32::MAX)
}

/// A byte offset as a command field: its 32 bits. The window's size is checked before anything is encoded.
pub fn address(v: usize) -> i32 {
    v as u32 as i32
}
