//! One shape and one network: the plan's cycles and bytes, and the simulator's cycles.

use crate::error::ExploreError;
use cnna_compile::{CompiledProgram, Options, compile, for_board};
use cnna_flow::{Session, tune};
use cnna_host::HostError;
use cnna_machine::Board;
use cnna_machine::program::Program;
use cnna_net::Graph;
use cnna_report::stream;
use serde::Serialize;

/// A network in words of the board's width.
#[derive(Clone, Debug)]
pub struct Network {
    /// As the user named it.
    pub name: String,
    /// Integers.
    pub graph: Graph,
}

/// What one image of one network costs on one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// The compiler's estimate.
    pub planned: u64,
    /// By the cycle simulator, once it has run.
    pub simulated: Option<u64>,
    /// Over the memory's ports: activations, results, weights, biases, commands.
    pub ddr_bytes: u64,
}

impl Cost {
    /// The simulator's where it has run, else the plan's.
    pub fn cycles(&self) -> u64 {
        self.simulated.unwrap_or(self.planned)
    }
}

/// Only one image a run is compared.
fn options() -> Options {
    Options {
        batch: 1,
        ..Options::default()
    }
}

/// Plans a network for a machine, without a look for blocks of channels, which would take half as long again.
///
/// Errors: it does not fit, for example a buffer that is too small for a layer.
pub fn plan(network: &Network, board: &Board) -> Result<Cost, ExploreError> {
    let refused = |source| ExploreError::Network {
        network: network.name.clone(),
        board: board.name.clone(),
        source: Box::new(source),
    };
    let compiled = compile(&network.graph, board, &options()).map_err(refused)?;
    let commands = commands(&compiled);
    let program = Program {
        meta: compiled.meta,
        image: &commands,
        network: [&[], &[]],
    };
    let stream = &program.meta.streams[0];
    let traffic = stream::traffic(&program, stream).map_err(|e| bad(network, board, &e))?;
    Ok(Cost {
        planned: stream.estimated_cycles,
        simulated: None,
        ddr_bytes: traffic.layers.iter().map(|l| l.ddr_bytes()).sum(),
    })
}

fn bad(network: &Network, board: &Board, message: &dyn std::fmt::Display) -> ExploreError {
    ExploreError::Simulator {
        network: network.name.clone(),
        machine: board.name.clone(),
        message: message.to_string(),
    }
}

/// The image's first part: all commands.
fn commands(compiled: &CompiledProgram<'_>) -> Vec<u8> {
    compiled
        .image
        .parts()
        .next()
        .unwrap_or_default()
        .into_owned()
}

/// Cycles of one image by the simulator, the network written as `cnna compile` writes it. Errors: see [`tune::cycles`].
pub fn simulate(
    network: &Network,
    board: &Board,
    session: &Session<'_>,
) -> Result<u64, ExploreError> {
    let bad = |message: &dyn std::fmt::Display| bad(network, board, message);
    let written = for_board(&network.graph, board, &options()).map_err(|e| bad(&e))?;
    let graph = written.as_ref().unwrap_or(&network.graph);
    let compiled = compile(graph, board, &options()).map_err(|e| bad(&e))?;
    tune::cycles(&compiled, session).map_err(|e| match e {
        HostError::Interrupted => e.into(),
        e => bad(&e),
    })
}
