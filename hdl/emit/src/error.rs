//! What the back end refuses, and where.

use std::fmt;

/// Where in a design a construct stands: the block's instance path and the signal concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Instance path from the top, joined by dots.
    pub block: String,
    /// The signal as the rust-hdl source names it, `child.port` for a child's port; empty for the block itself.
    pub signal: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "block `{}`", self.block)?;
        if !self.signal.is_empty() {
            write!(f, ", signal `{}`", self.signal)?;
        }
        Ok(())
    }
}

/// A design that the back end does not turn into text, so that it never emits wrong text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EmitError {
    /// A construct outside the supported subset.
    #[error("{at}: {what} is not supported; {hint}")]
    Unsupported {
        /// Where.
        at: Place,
        /// The construct.
        what: String,
        /// How to write it instead.
        hint: &'static str,
    },
    /// Two sides of an operation or connection differ in width.
    #[error(
        "{at}: {what}: {left} bits against {right}; make the widths equal (bit_cast widens and narrows)"
    )]
    Width {
        /// Where.
        at: Place,
        /// The operation.
        what: String,
        /// Width of the left side or the target, in bits.
        left: usize,
        /// Width of the right side or the value, in bits.
        right: usize,
    },
    /// A literal needs more bits than its context has.
    #[error(
        "{at}: the literal 0x{literal} does not fit {width} bits; widen the signal or mend the value"
    )]
    LiteralTooWide {
        /// Where.
        at: Place,
        /// The value in hexadecimal.
        literal: String,
        /// The context's width in bits.
        width: usize,
    },
    /// A name in the kernel that is no field of the block.
    #[error(
        "{at}: `{name}` is no signal, constant or enum value of this block; put values into a `Constant` field"
    )]
    UnknownName {
        /// Where.
        at: Place,
        /// The name.
        name: String,
    },
    /// An output, local signal or child input that nothing drives.
    #[error("{at}: nothing drives it; assign it in `update`")]
    Undriven {
        /// The signal.
        at: Place,
    },
    /// A signal that keeps its value on some path: a latch.
    #[error(
        "{at}: some path through `update` leaves it unassigned (a latch); assign a default first"
    )]
    Latch {
        /// The signal.
        at: Place,
    },
    /// A signal that is read before its final value is known.
    #[error(
        "{at}: `{name}` is read before `update` has given it its final value; move the read behind the last assignment"
    )]
    ReadBeforeWrite {
        /// Where it is read.
        at: Place,
        /// What is read.
        name: String,
    },
    /// An assignment to something the block does not drive.
    #[error("{at}: an input of this block, an output of a child or a constant cannot be assigned")]
    WriteToInput {
        /// The signal.
        at: Place,
    },
    /// Two things would get one name in the emitted module, or a name is a SystemVerilog keyword.
    #[error("{at}: the emitted name `{name}` is taken or reserved; rename the field")]
    NameClash {
        /// Where.
        at: Place,
        /// The emitted name.
        name: String,
    },
}
