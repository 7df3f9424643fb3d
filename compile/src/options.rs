//! What the user may choose.

/// How a form of a layer is used where the machine has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Not at all.
    Never,
    /// Where it is faster.
    Cheaper,
    /// Wherever it fits: for tests.
    Always,
}

/// What the user may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Use F(2x2, 3x3) where the machine has it and it is faster.
    pub winograd: bool,
    /// Use two channels a step.
    pub paired: Use,
    /// Let neighbouring convolutions take turns, a few rows each.
    pub turns: Use,
    /// Let some of them make half of the others' rows a turn: more of them fit, and compiling takes two to four times as long.
    pub uneven: bool,
    /// Let what one of them makes stay in the activation buffer for the next one, where nobody else reads it.
    pub local: Use,
    /// Let 2x2 pooling ride on the convolution before it.
    pub fuse: bool,
    /// Most images that share the weights of fully connected layers; 1: no stream for several images.
    pub batch: usize,
    /// Leave to the host what the machine cannot run; otherwise refuse it.
    pub host: bool,
    /// Bytes a cycle that plans count on the memory for, where not the board's: transfers that meet get less.
    pub plan_bytes: Option<u32>,
    /// Give each tensor memory of its own, so that all values can be compared after a run.
    pub keep: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            winograd: true,
            paired: Use::Cheaper,
            turns: Use::Cheaper,
            uneven: false,
            local: Use::Cheaper,
            fuse: true,
            batch: usize::MAX,
            host: true,
            plan_bytes: None,
            keep: false,
        }
    }
}
