//! Program files.

use crate::error::FlowError;
use crate::reference::graph;
use cnna_compile::CompiledProgram;
use cnna_host::HostError;
use cnna_host::files::write_seekable;
use cnna_machine::program::{Program, write_to};
use cnna_net::{Graph, file};
use std::io::{Cursor, Seek, Write};
use std::path::Path;

/// Writes a program with the network that it was made of. Errors: the file cannot be written; then nothing is left of it.
pub fn write(path: &Path, program: &CompiledProgram<'_>, graph: &Graph) -> Result<(), FlowError> {
    Ok(write_seekable(path, |w| put(w, program, graph))?)
}

/// The same file in memory.
pub fn bytes(program: &CompiledProgram<'_>, graph: &Graph) -> Result<Vec<u8>, FlowError> {
    let mut bytes = Cursor::new(Vec::new());
    put(&mut bytes, program, graph).map_err(HostError::io(Path::new("the program in memory")))?;
    Ok(bytes.into_inner())
}

fn put(w: impl Write + Seek, program: &CompiledProgram<'_>, graph: &Graph) -> std::io::Result<()> {
    let (image, constants) = (&mut program.image.parts(), &mut file::constants(graph));
    write_to(w, &program.meta, image, &file::structure(graph), constants)
}

/// The network for Graphviz, each node with how it runs. Errors: a network that is not the program's.
pub fn drawing(program: &Program<'_>) -> Result<String, FlowError> {
    let graph = graph(program)?;
    let meta = &program.meta;
    Ok(cnna_net::dot::dot(&graph, |node| {
        if meta.host.iter().any(|h| h.node == node) {
            return Some(("host".into(), "lightpink"));
        }
        let layer = meta.layers.iter().find(|l| l.nodes.contains(&node));
        Some(match layer {
            Some(l) => (l.mode.name().into(), "lightblue"),
            None => ("address".into(), "white"),
        })
    }))
}
