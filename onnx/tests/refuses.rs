//! What is not read is said at once, node by node, with what to do.

mod common;

use cnna_onnx::ReadError;
use common::{Net, node};

#[test]
fn every_obstacle_is_listed_with_its_node_and_operator() {
    let net = Net::new(&[3, 4, 4])
        .ramp("w", &[2, 3, 3, 3])
        .f("bad", &[2, 2, 1, 1], &[1.0, f32::NAN, 0.0, 0.0])
        .n(node("Conv", &["x", "w"], "a"))
        .n(node("Selu", &["a"], "b"))
        .n(node("Loop", &["b"], "c"))
        .n(node("Conv", &["a", "bad"], "d"))
        .n(node("MaxPool", &["a"], "e").with("kernel_shape", [9, 9]))
        .n(node("Sum", &["c", "d", "e"], "y"));
    let e = cnna_onnx::import(&net.model(), None).unwrap_err();
    let ReadError::Obstacles(all) = &e else {
        panic!("{e}")
    };
    let operators: Vec<&str> = all.iter().map(|o| o.operator.as_str()).collect();
    assert_eq!(operators, ["Selu", "Loop", "Conv", "MaxPool"]);
    let text = e.to_string();
    assert!(text.contains("`bad` holds NaN at element 1"), "{text}");
    assert!(
        text.contains("selu_1") && text.contains("larger than its padded input"),
        "{text}"
    );
}

#[test]
fn a_long_list_is_cut_and_no_line_is_longer_than_200() {
    let mut net = Net::new(&[3, 4, 4]);
    for i in 0..50 {
        net = net.n(node(
            &format!("Unheard{}", "of".repeat(300)),
            &["x"],
            &format!("a{i}"),
        ));
    }
    let names: Vec<String> = (0..50).map(|i| format!("a{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let text = net.n(node("Sum", &names, "y")).refused();
    assert!(text.lines().all(|l| l.chars().count() <= 200), "{text}");
    assert_eq!(text.lines().count(), 22);
    assert!(text.ends_with("and 30 more"), "{text}");
}

#[test]
fn kinds_that_no_operator_of_ours_is() {
    let cases: Vec<(Net, &str)> = vec![
        (
            Net::new(&[3, 4, 4]).n(node("MatMul", &["x", "x"], "y")),
            "attention",
        ),
        (
            Net::new(&[3, 4, 4]).n(node("Softmax", &["x"], "y").with("axis", 0)),
            "batch",
        ),
        (
            Net::new(&[3, 4, 4]).n(node("LeakyRelu", &["x"], "y").with("alpha", 1.5f32)),
            "between -1 and 1",
        ),
        (
            Net::new(&[3, 4, 4])
                .i("s", &[12, -1])
                .n(node("Reshape", &["x", "s"], "y")),
            "batch",
        ),
        (
            Net::new(&[3, 4, 4]).n(node("Transpose", &["x"], "y").with("perm", [1, 0, 2, 3])),
            "first dimension",
        ),
        (
            Net::new(&[3, 4, 4]).n(node("Cast", &["x"], "y").with("to", 7)),
            "reals",
        ),
        (
            Net::new(&[3, 4, 4]).n(node("Conv", &["x", "x"], "y")),
            "must be a constant",
        ),
        (
            Net::new(&[3, 4, 4]).n(node("Conv", &["x", "w"], "y")),
            "nothing writes",
        ),
        (Net::new(&[3, 4, 4]).n(node("Relu", &["y"], "y")), "circle"),
        (
            Net::new(&[3, 4, 4])
                .f("s", &[4], &[1.0, 1.0, 2.0, 2.0])
                .n(node("Resize", &["x", "", "s"], "y").with("mode", "cubic")),
            "nearest or linear",
        ),
        (
            Net::new(&[3, 4, 4])
                .ramp("w", &[2, 2, 3, 3])
                .n(node("Conv", &["x", "w"], "y")),
            "its input has 3",
        ),
        (Net::new(&[3, 4, 4]).n(node("Relu", &["x"], "x")), "twice"),
    ];
    for (net, says) in cases {
        let text = net.refused();
        assert!(text.contains(says), "expected `{says}` in: {text}");
    }
}

#[test]
fn a_float_model_is_no_quantised_one_and_says_what_to_do() {
    let model = Net::new(&[3, 4, 4]).n(node("Relu", &["x"], "y")).model();
    let e = cnna_onnx::quantised(cnna_onnx::import(&model, None).unwrap()).unwrap_err();
    assert!(matches!(e, ReadError::Float(_)));
    let text = e.to_string();
    assert!(
        text.contains("cnna quantize") && text.contains("--calib"),
        "{text}"
    );
}

#[test]
fn sizes_that_are_not_fixed_are_named() {
    let mut model = Net::new(&[3, 4, 4]).n(node("Relu", &["x"], "y")).model();
    let shape = model.graph.input[0]
        .r#type
        .as_mut()
        .unwrap()
        .tensor_type
        .as_mut()
        .unwrap()
        .shape
        .as_mut()
        .unwrap();
    shape.dim[2].value = Some(cnna_onnx::dimension::Value::Symbol("height".into()));
    let text = cnna_onnx::import(&model, None).unwrap_err().to_string();
    assert!(
        text.contains("`x` (input)") && text.contains("dimension 2"),
        "{text}"
    );
}
