//! What it cost: a program and the counters of its run become numbers ([`Report`]) and one HTML page ([`page()`]).
//!
//! ```text
//! Program -> stream (commands, traffic) -> memory (the window's map) --.
//! RunReport (the device's counters) ------------------------------------+-> Report -> JSON
//!                                                                       '---------> page: roofline, bars, window, table
//! ```
//! The page is whole in itself: no script, no font, no request.

pub mod axis;
pub mod curves;
pub mod format;
pub mod memory;
pub mod numbers;
pub mod quantisation;
pub mod stream;

mod bars;
mod page;
mod palette;
mod roofline;
mod table;
mod window;

pub use numbers::Report;
pub use page::{document, page, summary};
pub use quantisation::Quantisation;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The command stream is not where the program says.
    #[error("the command stream leaves the program's image: compile the model again")]
    Stream,
    /// The counters belong to another program.
    #[error(
        "the run has counters of {found} layers, the program has {expected}: run the same program"
    )]
    Layers {
        /// Layers of the program.
        expected: usize,
        /// Layers of the run.
        found: usize,
    },
    /// A plot could not be drawn.
    #[error("the plot: {0}")]
    Plot(String),
}
