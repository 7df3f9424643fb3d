//! The simulated devices by name, and where built models are kept.

use crate::error::FlowError;
use crate::progress::Session;
use cnna_host::{HostError, SharedFile, serve};
use cnna_machine::Board;
use cnna_machine::engine::{Engine, EngineError};
use std::path::PathBuf;

/// A simulated device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Simulated {
    /// The cycle-level simulator.
    Cycle,
    /// The RTL itself, by Verilator.
    Rtl,
}

impl Simulated {
    /// All of them.
    pub const ALL: [Simulated; 2] = [Simulated::Cycle, Simulated::Rtl];

    /// As the user writes it.
    pub fn name(self) -> &'static str {
        match self {
            Simulated::Cycle => "cycle",
            Simulated::Rtl => "rtl",
        }
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }

    /// Does what takes long once a configuration: verilating. Errors: no verilator, or it fails.
    pub fn prepare(self, board: &Board, session: &Session<'_>) -> Result<(), FlowError> {
        if self == Simulated::Rtl {
            let what = "building the RTL with Verilator (once a configuration)";
            session.progress.begin(what, None, "");
            let built = cnna_rtlsim::build(board, &cache(), Some(session.stop));
            session.progress.end();
            built.map_err(|source| FlowError::Rtl {
                board: board.name.clone(),
                source,
            })?;
        }
        Ok(())
    }

    /// A new engine, after [`Simulated::prepare`].
    pub fn engine(self, board: &Board) -> Result<Box<dyn Engine>, EngineError> {
        match self {
            Simulated::Cycle => Ok(Box::new(cnna_sim::Machine::new(board))),
            Simulated::Rtl => match cnna_rtlsim::Rtl::new(board, &cache()) {
                Ok(rtl) => Ok(Box::new(rtl)),
                Err(e) => Err(EngineError {
                    engine: "rtl",
                    message: e.to_string(),
                }),
            },
        }
    }

    /// Serves the engine from a thread of its own to `host`.
    pub fn with_device<T>(
        self,
        board: &Board,
        window_bytes: usize,
        session: &Session<'_>,
        host: impl FnOnce(&mut SharedFile) -> Result<T, HostError>,
    ) -> Result<T, FlowError> {
        self.prepare(board, session)?;
        Ok(serve::with_served(
            window_bytes,
            || self.engine(board),
            host,
        )?)
    }
}

/// Where verilated models are kept: `CNNA_CACHE`, or `cnna` in the user's cache folder.
fn cache() -> PathBuf {
    let variable = |name| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    variable("CNNA_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|c| c.join("cnna")))
        .or_else(|| variable("HOME").map(|h| h.join(".cache/cnna")))
        .unwrap_or_else(|| std::env::temp_dir().join("cnna-cache"))
}
