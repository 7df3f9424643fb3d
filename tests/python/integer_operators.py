"""Every operator on integers by ONNX Runtime, which is another implementation, and by `cnna` at 16 bits on the cycle simulator.

usage: integer_operators.py CNNA [NAME ...]

The inputs lie on their scale's grid, so that their rounding is exact on both sides, and the program runs in the file's own
integers: nine of ten results are ONNX Runtime's, the others, where a rounding is nearly a tie, the neighbour; where one operator
feeds another, a step of the first adds to it, times what the second makes of it. What is quantised image by image has no steps
here: it is near in dB.
"""
import os, subprocess, sys, tempfile
import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper as h, numpy_helper as nh

rng = np.random.default_rng(3)
node = h.make_node
MS = "com.microsoft"
X, Y, A, W = ["q", "xs", "xz"], ["ys", "yz"], ["a", "as", "az"], ["w", "ws", "wz"]
IN, OUT, MID = 0.03, 0.05, 0.04  # scales
SAME = 0.9  # of the results, at least


def c(name, value):
    return nh.from_array(np.asarray(value), name)


def i8(*shape):
    return rng.integers(-100, 100, shape).astype(np.int8)


def i32(*shape):
    return rng.integers(-2000, 2000, shape).astype(np.int32)


def scales(n):
    return rng.uniform(0.002, 0.01, n).astype(np.float32)


def model(nodes, constants, shape):
    value = lambda name, dims: h.make_tensor_value_info(name, TensorProto.FLOAT, dims)
    graph = h.make_graph(nodes, "g", [value("x", ["N", *shape])], [value("y", None)], constants)
    m = h.make_model(graph, opset_imports=[h.make_opsetid("", 13), h.make_opsetid(MS, 1)])
    m.ir_version = 8
    return m


def grid(shape, scale, zero, low, high):
    return ((np.clip(np.round(rng.normal(0, 1, shape) / scale) + zero, low, high) - zero) * scale).astype(np.float32)


def between(middle, constants, shape, out=OUT, step=None, kind=np.int8, zeros=(-5, 3), scale=IN):
    """x quantised, the nodes from `q` to `r`, the reals of r; the largest difference that is right, and the step of r."""
    info = np.iinfo(kind)
    x = grid((4, *shape), scale, zeros[0], info.min, info.max)
    own = [c("xs", np.float32(scale)), c("xz", kind(zeros[0])), c("ys", np.float32(out)), c("yz", kind(zeros[1]))]
    nodes = [node("QuantizeLinear", ["x", "xs", "xz"], ["q"]), *middle, node("DequantizeLinear", ["r", *Y], ["y"])]
    return model(nodes, own + constants, shape), x, (1.02 * out + 0.6 * (step or 0), out)


def dynamic(operator, weights, shape):
    x = rng.normal(0, 1, (1, *shape)).astype(np.float32)
    nodes = [
        node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        node(operator, ["q", "w", "z", "wz"], ["i"]),
        node("Cast", ["i"], ["f"], to=1),
        node("Mul", ["s", "ws"], ["k"]),
        node("Mul", ["f", "k"], ["p"]),
        node("Add", ["p", "b"], ["y"]),
    ]
    return model(nodes, [c("w", weights), c("wz", np.uint8(128)), c("ws", np.float32(0.01)), c("b", np.float32(0.3))], shape), x, None


def cases():
    u8 = lambda *shape: rng.integers(0, 255, shape).astype(np.uint8)
    conv = ["QLinearConv", X + W + Y + ["b"], ["r"]]
    per_channel = lambda n: [c("ws", scales(n)), c("wz", np.zeros(n, np.int8))]
    yield "conv, per channel", between([node(*conv, pads=[1] * 4, strides=[2, 2])], [c("w", i8(6, 3, 3, 3)), *per_channel(6), c("b", i32(6))], (3, 9, 8))
    depthwise = [c("w", u8(6, 1, 3, 3)), c("ws", np.float32(0.01)), c("wz", np.uint8(128))]
    yield "conv, uint8", between([node("QLinearConv", X + W + Y, ["r"], group=3)], depthwise, (3, 9, 8), kind=np.uint8, zeros=(120, 100))
    exact = [c("w", i8(6, 3, 3, 3)), c("ws", np.float32(2**-7)), c("wz", np.int8(0)), c("b", i32(6))]
    # The same grid on both sides: a tie may be rounded up or to even.
    yield "conv, powers of two", between([node(*conv)], exact, (3, 9, 8), out=2**-3, step=2**-3, scale=2**-5, zeros=(0, 0))
    matmul = node("QLinearMatMul", X + W + Y, ["r"])
    yield "matmul", between([matmul], [c("w", i8(12, 7)), c("ws", np.float32(0.01)), c("wz", np.int8(2))], (12,))
    yield "matmul, per column", between([matmul], [c("w", i8(12, 7)), *per_channel(7)], (12,))
    gemm = node("QGemm", X + W + ["b"] + Y, ["r"], domain=MS, transB=1, alpha=1.0)
    yield "gemm", between([gemm], [c("w", i8(7, 12)), *per_channel(7), c("b", i32(7))], (12,))
    first = node("QLinearConv", X + W + ["as", "az"], ["a"])
    two = [c("as", np.float32(MID)), c("az", np.int8(4)), c("w", i8(3, 3, 1, 1)), c("ws", np.float32(0.008)), c("wz", np.int8(0))]
    yield "add", between([first, node("QLinearAdd", A + X + Y, ["r"], domain=MS)], two, (3, 5, 6), step=MID)
    gate = [c("k", i8(3, 1, 1)), c("ks", np.float32(0.02)), c("kz", np.int8(1))]
    mul = node("QLinearMul", A + ["k", "ks", "kz"] + Y, ["r"], domain=MS)
    yield "mul", between([first, mul], two + gate, (3, 5, 6), step=MID * 2.1)
    yield "concat", between([first, node("QLinearConcat", Y + A + X, ["r"], domain=MS, axis=1)], two, (3, 5, 6), step=MID)
    pool = [first, node("MaxPool", ["a"], ["m"], kernel_shape=[2, 2], strides=[2, 2])]
    leaky = lambda names: node("QLinearLeakyRelu", names + Y, ["r"], domain=MS, alpha=0.2)
    yield "max pool on integers", between(pool + [leaky(["m", "as", "az"])], two, (3, 6, 6), step=MID)
    yield "leaky", between([leaky(X)], [], (3, 5, 6), out=0.03)
    unary = lambda name, **more: [node(name, X + Y, ["r"], domain=MS, **more)]
    yield "sigmoid", between(unary("QLinearSigmoid"), [], (3, 5, 6), out=1 / 256, zeros=(-5, -128))
    average = unary("QLinearAveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    yield "average", between(average, [], (3, 8, 8), out=0.015)
    yield "global average", between(unary("QLinearGlobalAveragePool"), [], (3, 8, 8), out=0.006, kind=np.uint8, zeros=(128, 110))
    softmax = [matmul, node("QLinearSoftmax", ["r", *Y, "ss", "sz"], ["t"], domain=MS, axis=1, opset=13), node("DequantizeLinear", ["t", "ss", "sz"], ["y"])]
    more = [c("w", i8(12, 7)), c("ws", np.float32(0.003)), c("wz", np.int8(2)), c("ss", np.float32(1 / 256)), c("sz", np.int8(-128))]
    m, x, _ = between(softmax, more, (12,))
    del m.graph.node[-1]
    yield "softmax", (m, x, 0.6 / 256 + 0.6 * OUT / 4)
    yield "conv, image by image", dynamic("ConvInteger", u8(6, 3, 3, 3), (3, 7, 7))
    yield "matmul, image by image", dynamic("MatMulInteger", u8(12, 5), (12,))
    sums = [node("ConvInteger", ["q", "w", "xz", "wz"], ["i"]), node("Cast", ["i"], ["f"], to=1), node("Mul", ["f", "k"], ["y"])]
    weights = [c("w", u8(6, 3, 3, 3)), c("wz", np.uint8(128)), c("k", np.float32(IN * 0.01))]
    m, x, _ = between(sums, weights, (3, 7, 7), kind=np.uint8, zeros=(127, 0))
    del m.graph.node[-1]
    yield "sums of integers", (m, x, 0.005)
    chain = [node("QLinearMatMul", X + ["w2", "ws2", "wz2", "as", "az"], ["a"]), node("Reshape", ["a", "shape"], ["s"]), node("QLinearMatMul", ["s", "as", "az", "v", "vs", "vz"] + Y, ["r"])]
    more = [c("w2", i8(12, 6)), c("ws2", np.float32(0.004)), c("wz2", np.int8(0)), c("as", np.float32(MID)), c("az", np.int8(4)),
            c("shape", np.array([0, 6])), c("v", i8(6, 4)), c("vs", np.float32(0.005)), c("vz", np.int8(0))]
    yield "reshape on integers", between(chain, more, (12,), step=MID * 3)


def run(cnna, m, x, folder):
    paths = [f"{folder}/{n}" for n in ("m.onnx", "x.npy", "p.cnna", "y.npy")]
    onnx.save(m, paths[0])
    np.save(paths[1], x)
    for args in (["compile", paths[0], "--calib", paths[1], "--board", "ultra96", "-o", paths[2]],
                 ["run", paths[2], "--device", "cycle", "--input", paths[1], "-o", paths[3]]):
        p = subprocess.run([cnna, *args], capture_output=True, text=True)
        if p.returncode:
            sys.exit(f"cnna {args[0]}: {p.stderr.strip()}")
    return np.load(paths[3])


def main():
    cnna, wanted = sys.argv[1], sys.argv[2:]
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    bad = count = 0
    for name, (m, x, bound) in cases():
        if wanted and name not in wanted:
            continue
        session = ort.InferenceSession(m.SerializeToString(), options, providers=["CPUExecutionProvider"])
        want = session.run(None, {"x": x})[0]
        with tempfile.TemporaryDirectory() as folder:
            got = run(cnna, m, x, folder)
        error = float(np.abs(got - want).max()) if got.shape == want.shape else float("inf")
        db = 10 * np.log10(float((want**2).sum()) / max(float(((got - want) ** 2).sum()), 1e-30)) if error < float("inf") else 0
        bound, step = bound if isinstance(bound, tuple) else (bound, None)
        near = db >= 35 if bound is None else error <= bound
        more = f", bound {bound:.4f}" if bound else ""
        if near and step:
            same = float((np.abs(got - want) <= 0.02 * step).mean())
            near, more = same >= SAME, f"{more}, {100 * same:.1f} % the same"
        count += 1
        bad += not near
        print(f"{name:24} {'near' if near else 'FAR'}: largest difference {error:.4f}, {db:.1f} dB" + more, flush=True)
    print(f"all of {count} near" if not bad else f"{bad} of {count} far")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
