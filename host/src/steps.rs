//! A program's host steps by the operators of the network: the same integers as in the reference, on every processor.

use crate::driver::HostSteps;
use crate::error::HostError;
use cnna_machine::program::{PortInfo, Program, ProgramMeta};
use cnna_net::{Graph, GraphError, Port, file, run};

/// The network of a program. Errors: damaged, or not the one that the program was made of.
pub fn graph(program: &Program<'_>) -> Result<Graph, GraphError> {
    let [structure, constants] = program.network;
    let graph = file::decode(structure, constants)?;
    let meta = &program.meta;
    let of_graph = |ports: &[Port]| -> Vec<usize> {
        let tensors = ports.iter().map(|p| &graph.tensors[p.tensor]);
        tensors.map(|t| t.shape.len()).collect()
    };
    let of_meta = |ports: &[PortInfo]| -> Vec<usize> {
        ports.iter().map(|p| p.tensor.layout.shape.len()).collect()
    };
    let same = of_graph(&graph.inputs) == of_meta(&meta.inputs)
        && of_graph(&graph.outputs) == of_meta(&meta.outputs)
        && meta
            .layers
            .iter()
            .all(|l| !l.nodes.is_empty() && l.nodes.iter().all(|&n| n < graph.nodes.len()));
    match same {
        true => Ok(graph),
        false => Err(GraphError::Bytes(
            "it is not the one that the program was made of: compile the model again".into(),
        )),
    }
}

/// The same for programs that leave something to the host, `None` for the others. Errors: as for [`graph`].
pub fn needed(program: &Program<'_>) -> Result<Option<Graph>, GraphError> {
    match program.meta.host.is_empty() {
        true => Ok(None),
        false => graph(program).map(Some),
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use cnna_machine::layout::Shape;
    use cnna_machine::num::Word;
    use cnna_net::Activation;
    use cnna_net::activation::Function;
    use cnna_net::op::{activate::Activate, lrn::Lrn, softmax::Softmax};

    /// Everything with an exponential, over all words of 16 bits.
    fn transcendental() -> Graph {
        let shape = Shape {
            c: 16,
            h: 64,
            w: 64,
        };
        let mut g = Graph::new("transcendental", Word::W16);
        let x = g.input("x", shape, Some(12));
        let mut push = |name: &str, op: cnna_net::Op, frac| {
            let t = g.push(name, op, &[x], Some(frac)).expect("it fits");
            g.output(t);
        };
        let axes = [true, false, false];
        for log in [false, true] {
            push(&format!("softmax {log}"), Softmax { axes, log }.into(), 11);
        }
        let lrn = Lrn {
            size: 5,
            alpha: 1e-2,
            beta: 0.75,
            bias: 1.0,
        };
        push("lrn", lrn.into(), 12);
        use Function::*;
        for f in [Sigmoid, Tanh, Silu, Gelu, Mish] {
            let function = Activation::Table(f);
            push(&format!("{f:?}"), Activate { function }.into(), 12);
        }
        g
    }

    /// The sum is of x86-64; on another processor the same test holds its results to it (`make arm`).
    #[test]
    fn results_are_the_same_words_on_every_processor() {
        let g = transcendental();
        // An odd factor: every word once, neighbours far apart.
        let x: Vec<i16> = (0..1u32 << 16)
            .map(|i| i.wrapping_mul(40503) as i16)
            .collect();
        let run = run::run(&g, &[&x]).expect("it runs");
        let outputs = g.outputs.iter().map(|p| &run.tensors[p.tensor].values);
        // FNV-1a over the words: each one changes it.
        let step = |h: u64, &w: &i16| (h ^ u64::from(w as u16)).wrapping_mul(0x0000_0100_0000_01b3);
        let sums = outputs.map(|words| words.iter().fold(0xcbf2_9ce4_8422_2325, step));
        let names = g.outputs.iter().map(|p| &p.name[..]);
        let got: Vec<(&str, u64)> = names.zip(sums).collect();
        assert_eq!(
            got,
            [
                ("softmax false", 0x38fc_d65f_da70_7a01),
                ("softmax true", 0xd46f_04b6_c967_2325),
                ("lrn", 0x48f9_80b8_b60c_3130),
                ("Sigmoid", 0xe448_6cc6_a500_da15),
                ("Tanh", 0x188b_43f4_ecd2_4a57),
                ("Silu", 0xd1df_6d5d_ad20_3738),
                ("Gelu", 0xbc1a_b247_2fa9_4d22),
                ("Mish", 0x4ddc_9af6_ec5a_b1ea),
            ]
        );
    }
}
