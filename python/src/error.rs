//! Errors as the package's exceptions: one class a kind, all of `cnna.errors`, with the command line's messages.

use cnna_explore::ExploreError;
use cnna_flow::{FlowError, failure};
use cnna_host::HostError;
use cnna_machine::MachineError;
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;

/// An error of any of the paths.
pub enum Failure {
    Flow(FlowError),
    Explore(ExploreError),
}

impl<E: Into<FlowError>> From<E> for Failure {
    fn from(e: E) -> Self {
        Failure::Flow(e.into())
    }
}

/// For `map_err`: exploration's errors are no flow's.
pub fn explored(e: ExploreError) -> Failure {
    match e {
        ExploreError::Host(e) => Failure::Flow(e.into()),
        e => Failure::Explore(e),
    }
}

/// The class of `cnna.errors` for an error.
fn class(error: &FlowError) -> &'static str {
    match error {
        FlowError::Host(e) => host_class(e),
        FlowError::Machine(e) => machine_class(e),
        FlowError::Quantise { .. }
        | FlowError::Words { .. }
        | FlowError::Zoo(_)
        | FlowError::Graph(_)
        | FlowError::Export { .. }
        | FlowError::Onnx(_) => "ModelError",
        FlowError::Compile { .. } => "CompileError",
        FlowError::Data(_) | FlowError::Pictures { .. } => "InputError",
        FlowError::Network { .. } | FlowError::Report { .. } | FlowError::Quantisation { .. } => {
            "ProgramError"
        }
        FlowError::Sources { .. } => "BoardError",
        FlowError::NoCycles
        | FlowError::Rtl { .. }
        | FlowError::Recording
        | FlowError::Tune { .. } => "DeviceError",
    }
}

fn host_class(error: &HostError) -> &'static str {
    match error {
        HostError::Tensor { .. } | HostError::Ports { .. } => "InputError",
        HostError::Program(e) => machine_class(e),
        HostError::Io { .. } | HostError::Place { .. } | HostError::NoSpace { .. } => "FileError",
        _ => "DeviceError",
    }
}

fn machine_class(error: &MachineError) -> &'static str {
    match error {
        MachineError::Program { .. } | MachineError::Field { .. } => "ProgramError",
        MachineError::Io { .. } => "FileError",
        _ => "BoardError",
    }
}

/// An exception of `cnna.errors` with that message.
pub fn exception(py: Python<'_>, class: &str, message: String) -> PyErr {
    let made = py
        .import("cnna.errors")
        .and_then(|m| m.getattr(class))
        .and_then(|c| c.call1((message,)));
    match made {
        Ok(e) => PyErr::from_value(e),
        Err(e) => e,
    }
}

/// The exception of an error, with the line that the command line prints.
pub fn raise(py: Python<'_>, error: &Failure) -> PyErr {
    match error {
        Failure::Flow(FlowError::Host(HostError::Interrupted)) => {
            PyKeyboardInterrupt::new_err("interrupted")
        }
        Failure::Flow(e) => exception(py, class(e), failure::line(e)),
        Failure::Explore(e) => {
            let class = match e {
                ExploreError::Vary { .. } => "BoardError",
                ExploreError::Network { .. } => "CompileError",
                _ => "DeviceError",
            };
            exception(py, class, failure::line(e))
        }
    }
}
