//! `check` must see a difference: here the file's reference network is not the one that was compiled.

use crate::workplace::Workplace;
use cnna_machine::layer::Op;
use cnna_machine::program::{self, Program};

#[test]
fn check_names_the_first_difference_and_ends_with_status_1() {
    let w = Workplace::with_program(1);
    let path = w.path("tiny.cnna");
    let bytes = std::fs::read(&path).unwrap();
    let (meta, image, mut network) = {
        let p = Program::parse(&path, &bytes).unwrap();
        (p.meta.clone(), p.image.to_vec(), p.network().unwrap())
    };
    // The last layer alone, its output 2 alone: far enough to change the rounded result, not to saturate it.
    let last = network.layers.len() - 1;
    let Op::Conv(c) = &mut network.layers[last].op else {
        panic!("the last layer is fully connected");
    };
    c.bias[2] += 3 << c.shift.max(0);
    program::write(&w.path("other.cnna"), &meta, &image, &network).unwrap();
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
