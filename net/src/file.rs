//! A graph as bytes: its structure as JSON, its constants one behind the other as a second part.

use crate::error::GraphError;
use crate::graph::Graph;
use crate::values::Values;
use std::borrow::Cow;

/// Elements of a constant that become bytes at a time.
const CHUNK: usize = 1 << 16;

/// The structure, without the constants' elements.
pub fn structure(graph: &Graph) -> Vec<u8> {
    serde_json::to_vec(graph).expect("a graph has no map with keys that are not text")
}

/// The constants in parts: for each its number of elements in 8 bytes, then the elements, little endian.
pub fn constants(graph: &Graph) -> impl Iterator<Item = Cow<'_, [u8]>> {
    let all = graph.nodes.iter().flat_map(|n| n.op.constants());
    all.flat_map(|v| {
        let len = (v.len() as u64).to_le_bytes().to_vec();
        std::iter::once(Cow::from(len)).chain(parts(v))
    })
}

fn parts(v: &Values) -> Box<dyn Iterator<Item = Cow<'_, [u8]>> + '_> {
    fn bytes<T: Copy, const N: usize>(
        v: &[T],
        to: impl Fn(T) -> [u8; N] + Copy + 'static,
    ) -> impl Iterator<Item = Cow<'_, [u8]>> {
        v.chunks(CHUNK)
            .map(move |c| Cow::from(c.iter().flat_map(|&e| to(e)).collect::<Vec<u8>>()))
    }
    match v {
        Values::Reals(v) => Box::new(bytes(v, f32::to_le_bytes)),
        Values::Words(v, _) => Box::new(bytes(v, i16::to_le_bytes)),
        Values::Sums(v) => Box::new(bytes(v, i64::to_le_bytes)),
    }
}

/// The graph from both parts. Errors: damaged or contradictory bytes.
pub fn decode(structure: &[u8], mut constants: &[u8]) -> Result<Graph, GraphError> {
    let mut graph: Graph =
        serde_json::from_slice(structure).map_err(|e| GraphError::Bytes(e.to_string()))?;
    for n in &mut graph.nodes {
        for v in n.op.constants_mut() {
            constants = fill(v, constants).ok_or_else(|| {
                GraphError::Bytes(format!("node `{}`: its constants are cut short", n.name))
            })?;
        }
    }
    if !constants.is_empty() {
        return Err(GraphError::Bytes(
            "there are constants that no node has".into(),
        ));
    }
    graph.check()?;
    Ok(graph)
}

/// Fills a constant and returns what follows it; `None` when there are too few bytes.
fn fill<'a>(v: &mut Values, bytes: &'a [u8]) -> Option<&'a [u8]> {
    fn take<'a, T, const N: usize>(
        to: &mut Vec<T>,
        bytes: &'a [u8],
        from: impl Fn([u8; N]) -> T,
    ) -> Option<&'a [u8]> {
        let (len, rest) = bytes.split_first_chunk::<8>()?;
        let len = usize::try_from(u64::from_le_bytes(*len)).ok()?;
        let (elements, rest) = rest.split_at_checked(len.checked_mul(N)?)?;
        let word = |b: &[u8]| from(b.try_into().expect("chunks_exact yields N bytes"));
        to.extend(elements.chunks_exact(N).map(word));
        Some(rest)
    }
    match v {
        Values::Reals(v) => take(v, bytes, f32::from_le_bytes),
        Values::Words(v, _) => take(v, bytes, i16::from_le_bytes),
        Values::Sums(v) => take(v, bytes, i64::from_le_bytes),
    }
}
