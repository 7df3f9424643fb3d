//! Another order of the elements: Reshape, Transpose, Reshape; read as views.

use super::Write;
use crate::write::{WriteError, Writer};
use cnna_net::Node;
use cnna_net::op::Rearrange;

impl Write for Rearrange {
    fn write(&self, w: &mut Writer, n: &Node) -> Result<(), WriteError> {
        let from = w.value(n.inputs[0]);
        let node = w.reordered(n, &from, w.shape(n.inputs[0]), &self.order, &self.shape.sides());
        w.finish(n, node);
        Ok(())
    }
}
