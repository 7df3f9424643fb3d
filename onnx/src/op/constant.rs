//! A tensor that the model holds: an initializer, in a quantised graph behind DequantizeLinear.

use super::Write;
use crate::write::{WriteError, Writer};
use cnna_net::Node;
use cnna_net::op::Constant;

impl Write for Constant {
    fn write(&self, w: &mut Writer, n: &Node) -> Result<(), WriteError> {
        let s = self.shape;
        let name = w.constant(n, "values", &[1, s.c, s.h, s.w], &self.values, None, &[]);
        w.alias(n.output, name);
        Ok(())
    }
}
