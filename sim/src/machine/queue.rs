//! The command queues between fetch and the engines.

use cnna_machine::isa::Command;
use std::rc::Rc;

/// A command on its way, shared between queue, engine and completion.
pub(super) type Entry = Rc<Command>;
