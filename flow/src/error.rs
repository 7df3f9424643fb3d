//! What can go wrong on the way from a program file to compared results; each error says what to do.

use cnna_host::HostError;
use cnna_machine::MachineError;

/// An error of a whole path.
#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    /// A device, a file, or an engine behind a device.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A program file that cannot be used.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The network in a program file contradicts itself.
    #[error(transparent)]
    Graph(#[from] cnna_net::GraphError),
    /// The RTL of a board cannot be verilated.
    #[error("the RTL of {board}")]
    Rtl {
        /// The board's name.
        board: String,
        /// The generator's or the tool's error.
        source: cnna_rtlsim::RtlsimError,
    },
    /// A program file whose parts are whole, but do not belong together.
    #[error("the program's network contradicts the program: {what}: compile the model again")]
    Network {
        /// Where.
        what: String,
    },
    /// The simulator panicked while it recorded.
    #[error(
        "the simulator failed while it recorded the timeline: run without --trace for its error"
    )]
    Recording,
}
