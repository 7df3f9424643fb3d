//! What models become: the integers of small ones, spelling against spelling.

mod common;

use cnna_net::activation::Function;
use cnna_net::op::Op;
use cnna_net::{Activation, Graph};
use cnna_onnx::{ElementType, GraphBuilder, NodeProto, TensorProto};
use common::{Net, node, run};

/// Operators of a graph, in order.
fn names(g: &Graph) -> Vec<&'static str> {
    g.nodes.iter().map(|n| n.op.name()).collect()
}

fn conv(net: Net) -> Net {
    net.ramp("w", &[4, 3, 3, 3])
        .ramp("b", &[4])
        .n(node("Conv", &["x", "w", "b"], "c"))
}

#[test]
fn transposes_of_channels_last_are_only_views() {
    let first =
        conv(Net::new(&[3, 6, 5])).n(node("Transpose", &["c"], "y").with("perm", [0, 2, 3, 1]));
    let g = first.read();
    assert_eq!(names(&g), ["Conv"]);
    assert_eq!(g.outputs[0].array.dims, [4, 3, 4]);
    // The same network from a channels-last input: the tensors keep their order, the port has the model's.
    let last = Net::new(&[6, 5, 3])
        .ramp("w", &[4, 3, 3, 3])
        .ramp("b", &[4])
        .n(node("Transpose", &["x"], "t").with("perm", [0, 3, 1, 2]))
        .n(node("Conv", &["t", "w", "b"], "c"))
        .n(node("Transpose", &["c"], "d").with("perm", [0, 2, 3, 1]))
        .n(node("Relu", &["d"], "y"));
    let g = last.read();
    assert_eq!(names(&g), ["Conv", "Activate"]);
    assert_eq!(g.inputs[0].array.dims, [6, 5, 3]);
    assert_eq!(g.tensors[g.inputs[0].tensor].shape.sides(), [3, 6, 5]);
}

#[test]
fn a_dense_layer_behind_channels_last_has_its_weights_in_the_maps_order() {
    let net = |perm: bool| {
        let net = conv(Net::new(&[3, 4, 4]))
            .ramp("f", &[16, 5])
            .i("s", &[0, -1]);
        match perm {
            true => net
                .n(node("Transpose", &["c"], "t").with("perm", [0, 2, 3, 1]))
                .n(node("Reshape", &["t", "s"], "r"))
                .n(node("MatMul", &["r", "f"], "y")),
            false => net
                .n(node("Flatten", &["c"], "r"))
                .n(node("Gemm", &["r", "f"], "y")),
        }
    };
    assert_eq!(names(&net(true).read()), ["Conv", "Conv"]);
    assert_ne!(net(true).run(), net(false).run());
    // Permuted by hand: row (y, x, c) of the one is row (c, y, x) of the other.
    let order: Vec<usize> = (0..4)
        .flat_map(|c| (0..4).map(move |p| p * 4 + c))
        .collect();
    let ramp: Vec<f32> = (0..80).map(|i: usize| (i * 7 % 11) as f32 - 5.0).collect();
    let turned: Vec<f32> = order
        .iter()
        .flat_map(|&r| ramp[r * 5..r * 5 + 5].to_vec())
        .collect();
    let by_hand = conv(Net::new(&[3, 4, 4]))
        .f("f", &[16, 5], &turned)
        .n(node("Flatten", &["c"], "r"))
        .n(node("Gemm", &["r", "f"], "y"));
    assert_eq!(net(true).run(), by_hand.run());
}

#[test]
fn same_padding_of_even_and_dilated_kernels() {
    let with = |n: NodeProto| Net::new(&[1, 5, 6]).ramp("w", &[1, 1, 2, 2]).n(n).run();
    let n = || node("Conv", &["x", "w"], "y");
    let lower = n().with("auto_pad", "SAME_LOWER");
    assert_eq!(with(lower), with(n().with("pads", [1, 1, 0, 0])));
    let upper = n().with("auto_pad", "SAME_UPPER").with("dilations", [2, 2]);
    assert_eq!(
        with(upper),
        with(n().with("pads", [1, 1, 1, 1]).with("dilations", [2, 2]))
    );
    let strided = n().with("auto_pad", "SAME_UPPER").with("strides", [2, 2]);
    assert_eq!(
        with(strided),
        with(n().with("pads", [0, 0, 1, 0]).with("strides", [2, 2]))
    );
}

#[test]
fn one_dimension_is_one_row() {
    let line = Net::new(&[2, 9])
        .ramp("w", &[3, 2, 3])
        .n(node("Conv", &["x", "w"], "y")
            .with("pads", [1, 0])
            .with("strides", [2]));
    let map = Net::new(&[2, 1, 9])
        .ramp("w", &[3, 2, 1, 3])
        .n(node("Conv", &["x", "w"], "y")
            .with("pads", [0, 1, 0, 0])
            .with("strides", [1, 2]));
    let g = Net::new(&[2, 9])
        .ramp("w", &[3, 2, 3])
        .n(node("Conv", &["x", "w"], "y"))
        .read();
    assert_eq!(
        (
            g.inputs[0].array.dims.clone(),
            g.outputs[0].array.dims.clone()
        ),
        (vec![2, 9], vec![3, 7])
    );
    assert_eq!(line.run(), map.run());
}

#[test]
fn gemm_scales_and_transposes() {
    let gemm = |n: NodeProto| {
        Net::new(&[4])
            .ramp("w", &[4, 3])
            .ramp("t", &[3, 4])
            .f("c", &[1, 3], &[1.0, 2.0, 3.0])
            .n(n)
            .run()
    };
    let plain = gemm(node("Gemm", &["x", "w"], "y"));
    let scaled = gemm(
        node("Gemm", &["x", "w", "c"], "y")
            .with("alpha", 2.0f32)
            .with("beta", 3.0f32),
    );
    let want: Vec<i16> = plain
        .iter()
        .zip([3, 6, 9])
        .map(|(p, b)| 2 * p + b)
        .collect();
    assert_eq!(scaled, want);
    // The transposed matrix of a ramp is another one: compare with MatMul of its transposition.
    let turned = gemm(node("Gemm", &["x", "t"], "y").with("transB", 1));
    let by_hand = Net::new(&[4])
        .ramp("t", &[3, 4])
        .n(node("Transpose", &["t"], "tt"))
        .n(node("MatMul", &["x", "tt"], "y"))
        .run();
    assert_eq!(turned, by_hand);
}

#[test]
fn a_product_along_the_last_dimension_is_a_convolution() {
    let net = Net::new(&[5, 4])
        .ramp("w", &[4, 3])
        .n(node("MatMul", &["x", "w"], "y"));
    let g = net.read();
    assert_eq!(g.outputs[0].array.dims, [5, 3]);
    let want: Vec<i16> = {
        let x = |i: usize| (i * 5 % 13) as i16 - 6;
        let w = |i: usize| (i * 7 % 11) as i16 - 5;
        (0..15)
            .map(|i| (0..4).map(|k| x(i / 3 * 4 + k) * w(k * 3 + i % 3)).sum())
            .collect()
    };
    assert_eq!(run(g), want);
    // In a channels-last map nothing moves.
    let net = conv(Net::new(&[3, 4, 4]))
        .ramp("w2", &[4, 2])
        .n(node("Transpose", &["c"], "t").with("perm", [0, 2, 3, 1]))
        .n(node("MatMul", &["t", "w2"], "y"));
    assert_eq!(names(&net.read()), ["Conv", "Conv"]);
}

#[test]
fn normalisation_folds_backwards_and_forwards_but_not_through_a_border() {
    let bn = |x: &str, y: &str| {
        node("BatchNormalization", &[x, "s", "o", "m", "v"], y).with("epsilon", 0.0f32)
    };
    let constants = |net: Net, c: usize| {
        let v = vec![0.25; c];
        net.ramp("s", &[c])
            .ramp("o", &[c])
            .ramp("m", &[c])
            .f("v", &[c], &v)
    };
    let behind = constants(conv(Net::new(&[3, 5, 5])), 4).n(bn("c", "y"));
    assert_eq!(names(&behind.read()), ["Conv"]);
    let before = |pad: i64| {
        constants(Net::new(&[3, 5, 5]), 3)
            .ramp("w", &[2, 3, 3, 3])
            .n(bn("x", "n"))
            .n(node("Conv", &["n", "w"], "y").with("pads", [pad; 4]))
    };
    assert_eq!(names(&before(0).read()), ["Conv"]);
    assert_eq!(names(&before(1).read()), ["Conv", "Conv"]);
    // Inside the border both are equal.
    let (inner, outer) = (before(0).run(), before(1).run());
    for c in 0..2 {
        for y in 0..3 {
            for x in 0..3 {
                assert_eq!(
                    inner[c * 9 + y * 3 + x],
                    outer[c * 25 + (y + 1) * 5 + x + 1]
                );
            }
        }
    }
}

#[test]
fn constants_beside_maps_are_per_channel_per_element_or_refused() {
    let with = |dims: &[usize]| {
        conv(Net::new(&[3, 4, 4]))
            .ramp("k", dims)
            .n(node("Add", &["c", "k"], "y"))
    };
    assert_eq!(names(&with(&[4, 1, 1]).read()), ["Conv"]);
    assert_eq!(names(&with(&[1]).read()), ["Conv"]);
    // By column: a tensor that the model holds.
    let by_column = || with(&[2]);
    assert_eq!(names(&by_column().read()), ["Conv", "Constant", "Add"]);
    let base = conv(Net::new(&[3, 4, 4]))
        .n(node("Identity", &["c"], "y"))
        .run();
    let want: Vec<i16> = base
        .iter()
        .enumerate()
        .map(|(i, v)| v + [-5, 2][i % 2])
        .collect();
    assert_eq!(by_column().run(), want);
    assert!(with(&[3]).refused().contains("not fit"));
}

#[test]
fn functions_are_known_in_their_many_spellings() {
    let f = |net: Net| -> Activation {
        let g = net.read();
        let [Op::Activate(a)] = &g.nodes.iter().map(|n| &n.op).collect::<Vec<_>>()[..] else {
            panic!("{:?}", names(&g));
        };
        a.function.clone()
    };
    let net = || {
        Net::new(&[2, 3, 3])
            .f("one", &[], &[1.0])
            .f("half", &[], &[0.5])
            .f("three", &[], &[3.0])
            .f("six", &[], &[6.0])
            .f("zero", &[], &[0.0])
    };
    let root = |x: f32| x.sqrt();
    let gelu = net()
        .f("r", &[], &[root(2.0)])
        .n(node("Div", &["x", "r"], "a"))
        .n(node("Erf", &["a"], "b"))
        .n(node("Add", &["b", "one"], "c"))
        .n(node("Mul", &["x", "c"], "d"))
        .n(node("Mul", &["d", "half"], "y"));
    assert_eq!(f(gelu), Activation::Table(Function::Gelu));
    let by_tanh = net()
        .f("k", &[], &[0.044715])
        .f("r", &[], &[root(2.0 / std::f32::consts::PI)])
        .n(node("Pow", &["x", "three"], "a"))
        .n(node("Mul", &["a", "k"], "b"))
        .n(node("Add", &["x", "b"], "c"))
        .n(node("Mul", &["c", "r"], "d"))
        .n(node("Tanh", &["d"], "e"))
        .n(node("Add", &["e", "one"], "g"))
        .n(node("Mul", &["half", "x"], "h"))
        .n(node("Mul", &["h", "g"], "y"));
    assert_eq!(f(by_tanh), Activation::Table(Function::Gelu));
    let silu = net()
        .n(node("Sigmoid", &["x"], "a"))
        .n(node("Mul", &["a", "x"], "y"));
    assert_eq!(f(silu), Activation::Table(Function::Silu));
    let mish = net()
        .n(node("Softplus", &["x"], "a"))
        .n(node("Tanh", &["a"], "b"))
        .n(node("Mul", &["x", "b"], "y"));
    assert_eq!(f(mish), Activation::Table(Function::Mish));
    let hard = net()
        .n(node("Add", &["x", "three"], "a"))
        .n(node("Clip", &["a", "zero", "six"], "b"))
        .n(node("Mul", &["x", "b"], "c"))
        .n(node("Div", &["c", "six"], "y"));
    assert_eq!(f(hard), Activation::Table(Function::HardSwish));
    let alone = net().n(node("Erf", &["x"], "y"));
    assert!(alone.refused().contains("GELU"));
}

#[test]
fn shuffles_and_spaces_move_the_right_elements() {
    let shuffle = Net::new(&[4, 1, 2])
        .i("s5", &[0, 2, 2, 1, 2])
        .i("s4", &[0, 4, 1, 2])
        .n(node("Reshape", &["x", "s5"], "a"))
        .n(node("Transpose", &["a"], "b").with("perm", [0, 2, 1, 3, 4]))
        .n(node("Reshape", &["b", "s4"], "c"))
        .n(node("MaxPool", &["c"], "y").with("kernel_shape", [1, 1]));
    let x: Vec<i16> = (0..8).map(|i| (i * 5 % 13) as i16 - 6).collect();
    assert_eq!(
        shuffle.run(),
        [x[0], x[1], x[4], x[5], x[2], x[3], x[6], x[7]]
    );
    let space = |mode: &str| {
        Net::new(&[8, 1, 1])
            .n(node("DepthToSpace", &["x"], "a")
                .with("blocksize", 2)
                .with("mode", mode))
            .n(node("MaxPool", &["a"], "y").with("kernel_shape", [1, 1]))
            .run()
    };
    assert_eq!(
        space("DCR"),
        [x[0], x[2], x[4], x[6], x[1], x[3], x[5], x[7]]
    );
    assert_eq!(space("CRD"), x);
}

#[test]
fn pools_round_up_and_count_as_they_say() {
    let pool = |op: &str, ceil: i64, all: i64| {
        let n = node(op, &["x"], "y")
            .with("kernel_shape", [3, 3])
            .with("strides", [2, 2])
            .with("ceil_mode", ceil);
        let n = if op == "MaxPool" {
            n
        } else {
            n.with("count_include_pad", all)
        };
        Net::new(&[1, 6, 6]).n(n).read()
    };
    assert_eq!(pool("MaxPool", 0, 0).outputs[0].array.dims, [1, 2, 2]);
    assert_eq!(pool("MaxPool", 1, 0).outputs[0].array.dims, [1, 3, 3]);
    let Op::AveragePool(a) = &pool("AveragePool", 1, 1).nodes[0].op.clone() else {
        panic!()
    };
    assert_eq!((a.window.pad.bottom, a.counted.bottom), (1, 0));
}

#[test]
fn shapes_that_the_graph_computes_are_folded() {
    let net = conv(Net::new(&[3, 4, 4]))
        .f("f", &[16, 2], &[1.0; 32])
        .i("zero", &[0])
        .i("rest", &[-1])
        .n(node("Shape", &["c"], "s"))
        .n(node("Gather", &["s", "zero"], "n"))
        .n(node("Cast", &["n"], "nf").with("to", 1))
        .n(node("Floor", &["nf"], "nl"))
        .n(node("Cast", &["nl"], "ni").with("to", 7))
        .n(node("Concat", &["ni", "rest"], "to").with("axis", 0))
        .n(node("Reshape", &["c", "to"], "r"))
        .n(node("MatMul", &["r", "f"], "y"));
    assert_eq!(names(&net.read()), ["Conv", "Conv"]);
}

#[test]
fn a_deep_chain_of_constants_and_of_views_is_walked_without_recursion() {
    let mut net = Net::new(&[3, 4, 4]).ramp("w0", &[2, 3, 1, 1]);
    for i in 0..20_000 {
        net = net.n(node(
            "Identity",
            &[&format!("w{i}")],
            &format!("w{}", i + 1),
        ));
    }
    net = net.n(node("Conv", &["x", "w20000"], "c0"));
    for i in 0..20_000 {
        net = net.n(node("Relu", &[&format!("c{i}")], &format!("c{}", i + 1)));
    }
    let mut g = net.n(node("Identity", &["c20000"], "y")).read();
    assert_eq!(g.nodes.len(), 20_001);
    cnna_net::settle::fuse(&mut g);
    assert_eq!(g.nodes.len(), 1);
}

#[test]
fn words_with_formats_come_from_scales_that_are_powers_of_two() {
    let qdq = |net: Net, x: &str, y: &str| {
        net.n(node("QuantizeLinear", &[x, "s", "z"], &format!("{y}q")))
            .n(node("DequantizeLinear", &[&format!("{y}q"), "s", "z"], y))
    };
    let mut net = Net::new(&[1, 3, 3])
        .f("s", &[], &[0.25])
        .f("ws", &[], &[0.125])
        .f("bs", &[], &[0.03125]);
    net.b
        .constant("z", &[], &[0i16])
        .constant("w", &[1, 1, 1, 1], &[24i16])
        .constant("b", &[1], &[100_000i32]);
    let net = qdq(net, "x", "xd")
        .n(node("DequantizeLinear", &["w", "ws"], "wd"))
        .n(node("DequantizeLinear", &["b", "bs"], "bd"))
        .n(node("Conv", &["xd", "wd", "bd"], "c"))
        .n(node("Relu", &["c"], "r"));
    let model = qdq(net, "r", "y").model();
    let g = cnna_onnx::quantised(cnna_onnx::import(&model, None).unwrap()).unwrap();
    let [Op::Conv(c)] = &g.nodes.iter().map(|n| &n.op).collect::<Vec<_>>()[..] else {
        panic!()
    };
    assert_eq!(c.weights.words(), Some((&[24i16][..], 3)));
    assert_eq!(c.bias.sums(), Some(&[100_000i64][..]));
    assert_eq!(c.activation, Activation::Relu);
    assert!(g.tensors.iter().all(|t| t.frac == Some(2)));
}

#[test]
fn other_scales_are_noted_for_the_quantiser() {
    let mut net = Net::new(&[1, 3, 3])
        .f("s", &[], &[0.3])
        .f("ws", &[2], &[0.1, 0.2]);
    net.b
        .constant("z", &[], &[128u8])
        .constant("w", &[2, 1, 1, 1], &[10i8, -20]);
    let model = net
        .n(node("QuantizeLinear", &["x", "s", "z"], "q"))
        .n(node("DequantizeLinear", &["q", "s", "z"], "d"))
        .n(node("DequantizeLinear", &["w", "ws"], "wd").with("axis", 0))
        .n(node("Conv", &["d", "wd"], "y"))
        .model();
    let i = cnna_onnx::import(&model, None).unwrap();
    assert_eq!(
        (
            i.scales[0].tensor,
            i.scales[0].scale,
            i.scales[0].zero_point
        ),
        (i.graph.nodes[0].output, 0.3, 128)
    );
    assert_eq!(i.scales[0].limits, [0, 255]);
    let Op::Activate(a) = &i.graph.nodes[0].op else {
        panic!()
    };
    let [lo, hi] = i.scales[0].range();
    assert_eq!(a.function, Activation::Clip { lo, hi });
    let Op::Conv(c) = &i.graph.nodes[1].op else {
        panic!()
    };
    assert_eq!(c.weights.reals(), Some(&[1.0f32, -4.0][..]));
    let e = cnna_onnx::quantised(i).unwrap_err().to_string();
    assert!(e.contains("cnna quantize") && e.contains("0.3"), "{e}");
}

#[test]
fn batches_of_every_kind_are_left_out() {
    for batch in [None, Some(-1), Some(0), Some(1), Some(8)] {
        let mut model = conv(Net::new(&[3, 4, 4]))
            .i("s", &[batch.filter(|b| *b > 0).unwrap_or(-1), 16])
            .n(node("Reshape", &["c", "s"], "y"))
            .model();
        let dim = &mut model.graph.input[0]
            .r#type
            .as_mut()
            .unwrap()
            .tensor_type
            .as_mut()
            .unwrap()
            .shape
            .as_mut()
            .unwrap()
            .dim[0];
        if let Some(b) = batch {
            dim.value = Some(cnna_onnx::dimension::Value::Fixed(b));
        }
        let g = cnna_onnx::import(&model, None).unwrap().graph;
        assert_eq!(
            (
                g.inputs[0].array.dims.clone(),
                g.outputs[0].array.dims.clone()
            ),
            (vec![3, 4, 4], vec![16]),
            "{batch:?}"
        );
    }
}

#[test]
fn several_inputs_and_outputs_and_names_that_are_missing_or_equal() {
    let mut b = GraphBuilder::new("two");
    b.input("a", ElementType::F32, &[2, 3, 3])
        .input("b", ElementType::F32, &[2, 3, 3]);
    b.output("s", ElementType::F32, &[])
        .output("d", ElementType::F32, &[]);
    b.node(NodeProto::new("Add", "n", &["a", "b"], &["s"]))
        .node(NodeProto::new("Sub", "n", &["a", "b"], &["d"]));
    let g = cnna_onnx::import(&b.finish(), None).unwrap().graph;
    assert_eq!((g.inputs.len(), g.outputs.len()), (2, 2));
    assert_ne!(g.nodes[0].name, g.nodes[1].name);
}

#[test]
fn data_beside_the_model_are_found_and_paths_out_of_its_folder_are_not() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("external");
    std::fs::create_dir_all(&folder).unwrap();
    let bytes: Vec<u8> = [9.0f32, 1.0, 2.0, 3.0]
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    std::fs::write(folder.join("w.bin"), bytes).unwrap();
    let model = |place: &str, length: &str| {
        let mut model = Net::new(&[3, 2, 2])
            .f("w", &[1, 3, 1, 1], &[0.0; 3])
            .n(node("Conv", &["x", "w"], "y"))
            .model();
        let entry = |key: &str, value: &str| cnna_onnx::StringStringEntryProto {
            key: key.into(),
            value: value.into(),
        };
        let t: &mut TensorProto = &mut model.graph.initializer[0];
        t.raw_data = Default::default();
        t.data_location = 1;
        t.external_data = vec![
            entry("location", place),
            entry("offset", "4"),
            entry("length", length),
        ];
        model
    };
    let g = cnna_onnx::import(&model("w.bin", "12"), Some(&folder))
        .unwrap()
        .graph;
    let Op::Conv(c) = &g.nodes[0].op else {
        panic!()
    };
    assert_eq!(c.weights.reals(), Some(&[1.0f32, 2.0, 3.0][..]));
    for (place, length, says) in [
        ("../w.bin", "12", "inside"),
        ("/w.bin", "12", "inside"),
        ("none.bin", "12", "beside"),
        ("w.bin", "99", "cut short"),
    ] {
        let e = cnna_onnx::import(&model(place, length), Some(&folder))
            .unwrap_err()
            .to_string();
        assert!(e.contains(says), "{place}: {e}");
    }
}

/// Where a Relu follows a convolution, tools leave it to the integers' saturation: what is folded into the convolution
/// would come before it.
#[test]
fn a_normalisation_behind_a_saturation_stays_behind_it() {
    let mut net = Net::new(&[2, 3, 3])
        .ramp("w", &[4, 2, 1, 1])
        .f("s", &[], &[0.03])
        .ramp("g", &[4])
        .f("v", &[4], &[1.0, 2.0, 3.0, 4.0]);
    net.b.constant("z", &[], &[0u8]);
    let model = net
        .n(node("Conv", &["x", "w"], "c"))
        .n(node("QuantizeLinear", &["c", "s", "z"], "q"))
        .n(node("DequantizeLinear", &["q", "s", "z"], "d"))
        .n(node("BatchNormalization", &["d", "g", "g", "g", "v"], "y"))
        .model();
    let i = cnna_onnx::import(&model, None).unwrap();
    assert_eq!(names(&i.graph), ["Conv", "Activate", "Conv"]);
    assert_eq!(i.scales[0].tensor, i.graph.nodes[1].output);
}
