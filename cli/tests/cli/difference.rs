//! `check` must see a difference: here the file's reference network is not the one that was compiled.

use crate::workplace::Workplace;
use cnna_machine::program::Program;
use cnna_net::{Op, Values, file};

#[test]
fn check_names_the_first_difference_and_ends_with_status_1() {
    let w = Workplace::with_program(1);
    let path = w.path("tiny.cnna");
    let bytes = std::fs::read(&path).unwrap();
    let p = Program::parse(&path, &bytes).unwrap();
    let mut network = file::decode(p.network[0], p.network[1]).unwrap();
    // The last layer alone, its output 2 alone: far enough to change the rounded result, not to saturate it.
    let last = network.nodes.last_mut().unwrap();
    let frac = |t: usize| network.tensors[t].frac.unwrap();
    let (input, output) = (frac(last.inputs[0]), frac(last.output));
    let Op::Conv(c) = &mut last.op else {
        panic!("the last layer is fully connected");
    };
    let shift = c.shift(input, output).unwrap();
    let Values::Sums(bias) = &mut c.bias else {
        panic!("the network is quantised");
    };
    bias[2] += 3 << shift.max(0);
    let constants: Vec<u8> = file::constants(&network).flat_map(Vec::from).collect();
    let structure = file::structure(&network);
    w.write_program("other.cnna", &p.meta, p.image, &structure, &constants);
    let output = w.output("check other.cnna --input x.npy --engines reference,cycle --json d.json");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("different: image 0, layer fc, channel 2, row 0, column 0: reference "),
        "{text}"
    );
    let d = &w.json("d.json")["difference"];
    let value = |key: &str| d[key].as_i64().unwrap();
    assert_eq!(value("reference") - value("found"), 3, "{d}");
    w.succeeds("check tiny.cnna --input x.npy --engines reference,cycle");
}
