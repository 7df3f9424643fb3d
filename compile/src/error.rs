//! Errors of the scheduler: each names the layer, the need, and what to change.

use cnna_machine::MachineError;

/// Why a network cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// A network whose parts contradict each other.
    #[error("layer {layer}: {message}")]
    Network {
        /// The layer's name.
        layer: String,
        /// What is wrong.
        message: String,
    },
    /// A channel whose sum could leave the 48-bit accumulator.
    #[error(
        "layer {layer}, output channel {channel}: |bias| + sum|w| * 2^{input_bits} = {bound} may reach 2^47, \
         the accumulator's end: use smaller weights or fewer fraction bits"
    )]
    Accumulator {
        /// The layer's name.
        layer: String,
        /// The output channel.
        channel: usize,
        /// log2 of the largest input magnitude.
        input_bits: u32,
        /// The proven bound.
        bound: i128,
    },
    /// A buffer that cannot hold even the smallest piece of a layer.
    #[error(
        "layer {layer}: needs {need} {what}, the machine has {have}: raise `{key}` (--set {key}={need})"
    )]
    Capacity {
        /// The layer's name.
        layer: String,
        /// What is short.
        what: &'static str,
        /// How many are needed.
        need: usize,
        /// How many there are.
        have: usize,
        /// The configuration's key.
        key: &'static str,
    },
    /// Something that the machine cannot do.
    #[error("layer {layer}: {message}")]
    Unsupported {
        /// The layer's name.
        layer: String,
        /// What, and what is possible instead.
        message: String,
    },
    /// The whole program needs more memory than 32-bit offsets reach.
    #[error("the program's memory window needs {bytes} bytes: 4 GiB is the largest")]
    Window {
        /// Bytes needed.
        bytes: usize,
    },
    /// A graph that contradicts itself.
    #[error(transparent)]
    Graph(#[from] cnna_net::GraphError),
    /// A command field out of range, or a configuration error.
    #[error(transparent)]
    Spec(#[from] MachineError),
    /// The schedule contradicts itself: a bug in this crate.
    #[error(
        "layer {layer}: the scheduler broke its own rule: {message}; please report this network"
    )]
    Internal {
        /// The layer's name.
        layer: String,
        /// Which rule.
        message: String,
    },
}
