//! A program's host steps by the operators of the network: the same integers as in the reference.

use cnna_host::{HostError, HostSteps};
use cnna_machine::program::ProgramMeta;
use cnna_net::{Graph, run};

/// Computes host steps.
pub struct Steps<'a> {
    /// The program's network.
    pub graph: &'a Graph,
    /// The program.
    pub meta: &'a ProgramMeta,
}

impl HostSteps for Steps<'_> {
    fn run(&self, step: usize, inputs: &[Vec<i16>]) -> Result<Vec<i16>, HostError> {
        let step = &self.meta.host[step];
        let bad = |message: String| HostError::HostStep {
            step: step.name.clone(),
            message,
        };
        let node = self
            .graph
            .nodes
            .get(step.node)
            .filter(|n| n.inputs.len() == inputs.len())
            .ok_or_else(|| bad("the network has no such node: compile the model again".into()))?;
        let lens = node
            .inputs
            .iter()
            .map(|&t| self.graph.tensors[t].shape.len());
        if !lens.eq(inputs.iter().map(Vec::len)) {
            return Err(bad(
                "its tensors are of other sizes: compile the model again".into(),
            ));
        }
        // An input that comes twice is the same tensor.
        let words = |t| {
            let at = node.inputs.iter().position(|&i| i == t);
            &inputs[at.expect("the node reads its inputs")][..]
        };
        let result = run::node(self.graph, node, words).map_err(|e| bad(e.to_string()))?;
        Ok(result.values)
    }
}
