//! GlobalMaxPool against MaxPool spelt out.

mod common;

use common::{Net, node};

#[test]
fn it_is_the_maximum_of_the_whole_map() {
    let one = |op: &str| Net::new(&[3, 4, 5]).n(node(op, &["x"], "y"));
    let spelt = Net::new(&[3, 4, 5]).n(node("MaxPool", &["x"], "y").with("kernel_shape", [4, 5]));
    assert_eq!(one("GlobalMaxPool").read().outputs[0].array.dims, [3, 1, 1]);
    let words = one("GlobalMaxPool").run();
    assert_eq!(words, spelt.run());
    assert_ne!(words, one("GlobalAveragePool").run());
}
