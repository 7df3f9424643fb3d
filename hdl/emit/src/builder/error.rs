//! What is wrong with a structure before anything is emitted.

use crate::EmitError;

/// A mistake in the wiring of a top level. `at` is `instance.port`, or the port of the top itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WiringError {
    /// A name that SystemVerilog cannot use.
    #[error(
        "`{name}` is no usable SystemVerilog name; use letters, digits and `_`, and no keyword"
    )]
    BadName {
        /// The name.
        name: String,
    },
    /// Two ports, wires or instances of one name.
    #[error("`{name}` is declared twice; rename one of them")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// A width of zero.
    #[error("`{at}` is 0 bits wide; leave it out or give it a width")]
    ZeroWidth {
        /// The signal or port.
        at: String,
    },
    /// A net that no port, wire or output declares.
    #[error("{at}: there is no wire `{wire}`; drive it from an output, or declare it with `wire`")]
    UnknownWire {
        /// Where it is used.
        at: String,
        /// The missing wire.
        wire: String,
    },
    /// Port and net differ in width.
    #[error("{at}: the port has {port} bits, `{net}` has {found}; make them equal")]
    Width {
        /// The port.
        at: String,
        /// Bits of the port.
        port: usize,
        /// The net.
        net: String,
        /// Bits of the net.
        found: usize,
    },
    /// A part beyond the end of its wire.
    #[error("{at}: bits {lo}..{end} are outside `{wire}`, which has {width}")]
    OutOfRange {
        /// Where it is used.
        at: String,
        /// The wire.
        wire: String,
        /// Lowest bit.
        lo: usize,
        /// Bit after the highest.
        end: usize,
        /// Bits of the wire.
        width: usize,
    },
    /// A value that needs more bits than its port has.
    #[error("{at}: the value {value} does not fit {width} bits")]
    ValueTooWide {
        /// The port.
        at: String,
        /// The value.
        value: u64,
        /// Bits of the port.
        width: usize,
    },
    /// Two drivers for one bit.
    #[error("bit {bit} of `{wire}` is driven by {first} and by {second}; disconnect one")]
    TwoDrivers {
        /// The wire.
        wire: String,
        /// The bit.
        bit: usize,
        /// First driver.
        first: String,
        /// Second driver.
        second: String,
    },
    /// A bit that something needs and nothing drives.
    #[error("bit {bit} of `{wire}` has no driver; connect an output to it")]
    NoDriver {
        /// The wire or output of the top.
        wire: String,
        /// The lowest such bit.
        bit: usize,
    },
    /// A wire that nothing reads.
    #[error("nothing reads `{wire}`; connect it, or leave the output open with `open`")]
    Unread {
        /// The wire.
        wire: String,
    },
    /// An output connected to a value.
    #[error("{at}: an output cannot drive a constant value")]
    ValueDriven {
        /// The output.
        at: String,
    },
    /// A block's port that is connected neither to a net nor left open.
    #[error("{at}: the port is not connected; use `connect`, or `open` for an output")]
    Unconnected {
        /// The port.
        at: String,
    },
    /// A connection to a port that the block does not have.
    #[error("{at}: the block has no such port; it has {ports}")]
    UnknownPort {
        /// The port.
        at: String,
        /// The ports there are.
        ports: String,
    },
    /// A block with a clock in a top without one.
    #[error("{at}: no clock is known; call `clock` on the builder first")]
    NoClock {
        /// The block's port.
        at: String,
    },
    /// rust-hdl's own checks reject the block.
    #[error("block `{block}`: rust-hdl finds {problem}")]
    RustHdl {
        /// The instance.
        block: String,
        /// Its check's answer.
        problem: String,
    },
    /// The back end refuses a block.
    #[error(transparent)]
    Emit(#[from] EmitError),
}
