//! Cycles of one image by the simulator, without values; and of several plans the one that takes the fewest.

use crate::Session;
use cnna_compile::{CompileError, CompiledProgram, Options, compile};
use cnna_host::HostError;
use cnna_machine::Board;
use cnna_machine::engine::{Engine, EngineError};
use cnna_machine::regs;
use cnna_net::Graph;
use cnna_sim::Machine as Simulator;
use std::sync::atomic::Ordering;

/// Cycles between two looks at the user's wish to stop.
const SLICE: u64 = 1 << 20;

/// Percent of the memory's bytes a cycle that a plan counts on.
const SHARES: [u32; 5] = [100, 96, 92, 88, 84];

/// Cycles of one image by the simulator, from start to done. They do not depend on values, so nothing is computed, on the machine
/// or on the host.
///
/// Errors: the simulator's, interrupted.
pub fn cycles(program: &CompiledProgram<'_>, session: &Session<'_>) -> Result<u64, HostError> {
    let (meta, board) = (&program.meta, &program.meta.board);
    let bad = |message: String| EngineError {
        engine: "cycle simulator",
        message,
    };
    // The image's first part: all commands.
    let commands = program.image.parts().next().unwrap_or_default();
    let mut window = vec![0; meta.window_bytes];
    window[..commands.len()].copy_from_slice(&commands);
    let mut machine = Simulator::timing(board);
    let size = u32::try_from(meta.window_bytes).map_err(|e| bad(e.to_string()))?;
    machine.write(regs::MEM_SIZE, size);
    let mut cycles = 0;
    for (n, (offset, count)) in meta.streams[0].segments().enumerate() {
        // Both lie in the window.
        machine.write(regs::PROG_OFFSET, offset as u32);
        machine.write(regs::PROG_COUNT, count as u32);
        machine.write(regs::START, n as u32 + 1);
        while machine.advance(&mut window, SLICE)? {
            if session.stop.load(Ordering::SeqCst) {
                return Err(HostError::Interrupted);
            }
        }
        let code = machine.read(regs::STATUS) >> 8 & 0xff;
        if code != 0 {
            return Err(bad(format!("it stopped with error code {code}")).into());
        }
        cycles += u64::from(machine.read(regs::CYCLES));
    }
    Ok(cycles)
}

/// What tuning found wrong.
#[derive(Debug, thiserror::Error)]
pub enum TuneError {
    /// See [`compile`].
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// See [`cycles`].
    #[error(transparent)]
    Simulate(#[from] HostError),
}

/// Compiles several plans, which differ in what they count on the memory for and whether they know uneven turns, and returns the one whose image takes the fewest
/// cycles in the simulator, with these cycles.
pub fn compile_fastest<'g>(
    graph: &'g Graph,
    board: &Board,
    options: &Options,
    session: &Session<'_>,
) -> Result<(CompiledProgram<'g>, u64), TuneError> {
    session
        .progress
        .begin("tuning", Some(2 * SHARES.len() as u64), "plans");
    let best = fastest(graph, board, options, session);
    session.progress.end();
    best
}

fn fastest<'g>(
    graph: &'g Graph,
    board: &Board,
    options: &Options,
    session: &Session<'_>,
) -> Result<(CompiledProgram<'g>, u64), TuneError> {
    let bytes = board.memory.bytes_per_cycle;
    let mut plans = SHARES.map(|share| (bytes * share / 100).max(1)).to_vec();
    plans.dedup();
    let mut best: Option<(CompiledProgram, u64)> = None;
    // Estimates miss by a percent or so: what more choices promise is not always so.
    let all = plans
        .into_iter()
        .flat_map(|bytes| [(bytes, false), (bytes, true)]);
    for (n, (plan_bytes, uneven)) in all.enumerate() {
        let options = Options {
            plan_bytes: Some(plan_bytes),
            uneven,
            ..*options
        };
        let program = compile(graph, board, &options)?;
        let taken = cycles(&program, session)?;
        if best.as_ref().is_none_or(|b| taken < b.1) {
            best = Some((program, taken));
        }
        session.progress.at(n as u64 + 1);
    }
    Ok(best.expect("there is a plan"))
}
