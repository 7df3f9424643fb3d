//! What can go wrong on the way from a program file to compared results; each error says what to do.

use cnna_host::HostError;
use cnna_machine::MachineError;
use cnna_net::zoo;

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
    /// A model that is not read, or not quantised.
    #[error("{model}")]
    Quantise {
        /// As the user named it.
        model: String,
        /// Why.
        source: Box<cnna_quant::ptq::PtqError>,
    },
    /// A model and a board whose words have different widths.
    #[error(
        "{model}: it has {model_bits}-bit words, the board's machine {board_bits}-bit ones: use --set word={model_bits}, or quantise with the other width"
    )]
    Words {
        /// As the user named it.
        model: String,
        /// Bits of its words.
        model_bits: u32,
        /// Bits of the machine's.
        board_bits: u32,
    },
    /// A name that is no network of the zoo.
    #[error(transparent)]
    Zoo(#[from] zoo::ZooError),
    /// A network that a board's machine cannot run.
    #[error("{model} for {board}")]
    Compile {
        /// As the user named it.
        model: String,
        /// The board's name.
        board: String,
        /// Why.
        source: Box<cnna_compile::CompileError>,
    },
    /// A plan of a network that the simulator cannot run.
    #[error("{model} for {board}: tuning")]
    Tune {
        /// As the user named it.
        model: String,
        /// The board's name.
        board: String,
        /// Why.
        source: Box<HostError>,
    },
    /// A quantised model that cannot be written.
    #[error("{model}")]
    Export {
        /// As the user named it.
        model: String,
        /// Why.
        source: cnna_onnx::WriteError,
    },
    /// An ONNX file that cannot be written.
    #[error(transparent)]
    Onnx(#[from] cnna_onnx::Error),
    /// Pictures or arrays.
    #[error(transparent)]
    Data(#[from] cnna_data::DataError),
    /// A run whose numbers cannot be shown.
    #[error("{program}")]
    Report {
        /// The program.
        program: String,
        /// Why.
        source: cnna_report::ReportError,
    },
    /// A table of signal-to-noise ratios that is none, or of another network.
    #[error("{name}: {message}")]
    Quantisation {
        /// The table's file.
        name: String,
        /// What is wrong and what to do.
        message: String,
    },
    /// Pictures for a program that takes something else.
    #[error("{message}")]
    Pictures {
        /// What is wrong and what to do.
        message: String,
    },
    /// The reference model where cycles are asked for.
    #[error("--device reference counts no cycles: use cycle, rtl or a board's device")]
    NoCycles,
    /// A board's RTL or bitstream sources.
    #[error("{what}")]
    Sources {
        /// Which of them.
        what: String,
        /// The generator's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
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
