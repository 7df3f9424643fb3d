//! Why nothing is explored.

use cnna_compile::CompileError;
use cnna_host::HostError;

/// Errors of this room.
#[derive(Debug, thiserror::Error)]
pub enum ExploreError {
    /// A key that is not varied, or values that are none of it.
    #[error("--vary {key}: {message}")]
    Vary {
        /// As given.
        key: String,
        /// What is wrong and what is legal.
        message: String,
    },
    /// The board's own machine cannot run a network; others would fail alike.
    #[error("{network} for {board}")]
    Network {
        /// The network's name.
        network: String,
        /// The board's name.
        board: String,
        /// Why.
        source: Box<CompileError>,
    },
    /// A network's command stream is not what the program says, or the simulator refuses it.
    #[error("{network} on {machine}: {message}: please report it")]
    Simulator {
        /// The network's name.
        network: String,
        /// The machine's name.
        machine: String,
        /// What it said.
        message: String,
    },
    /// Output files; the user's wish to stop.
    #[error(transparent)]
    Host(#[from] HostError),
}
