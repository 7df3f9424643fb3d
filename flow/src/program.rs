//! Program files.

use crate::error::FlowError;
use cnna_compile::CompiledProgram;
use cnna_host::files::write_seekable;
use cnna_machine::program::write_to;
use cnna_net::{Graph, file};
use std::path::Path;

/// Writes a program with the network that it was made of. Errors: the file cannot be written; then nothing is left of it.
pub fn write(path: &Path, program: &CompiledProgram<'_>, graph: &Graph) -> Result<(), FlowError> {
    let structure = file::structure(graph);
    Ok(write_seekable(path, |w| {
        let (image, constants) = (&mut program.image.parts(), &mut file::constants(graph));
        write_to(w, &program.meta, image, &structure, constants)
    })?)
}
