"""ONNX's own backend node tests on a `cnna` binary: node_tests.py CNNA FOLDER.

FOLDER holds the tests as the onnx package ships them: NAME/model.onnx and NAME/test_data_set_0. Every input but the first of
reals becomes a constant of the model, which is quantised on the test's own input. A line for each that is wrong; then the counts
and the reasons of refusals.
"""

import collections
import glob
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import numpy_helper

# Tests whose name begins so, behind "test_": those of the operators that cnna reads.
OPERATORS = """conv convtranspose gemm matmul batchnorm relu clip leakyrelu prelu sigmoid tanh hardsigmoid hardswish gelu mish add
sub mul div sum mean concat split slice edge_pad constant_pad reflect_pad maxpool averagepool globalaveragepool globalmaxpool
reduce_mean resize upsample flatten reshape squeeze unsqueeze transpose spacetodepth depthtospace identity dropout cast softmax
logsoftmax argmax lrn""".split()


def tensor(path):
    proto = onnx.TensorProto()
    with open(path, "rb") as f:
        proto.ParseFromString(f.read())
    return numpy_helper.to_array(proto)


def prepared(folder):
    """The model with constants, its one input, and what it should give; None for tests of other things."""
    model = onnx.load(folder + "/model.onnx")
    names = [i.name for i in model.graph.input]
    if not all(v.type.HasField("tensor_type") for v in [*model.graph.input, *model.graph.output]):
        return None
    data = folder + "/test_data_set_0"
    inputs = [tensor(f"{data}/input_{i}.pb") for i in range(len(glob.glob(data + "/input_*.pb")))]
    outputs = [tensor(p) for p in sorted(glob.glob(data + "/output_*.pb"))]
    if len(inputs) != len(names) or not inputs or len(outputs) != 1 or inputs[0].dtype != np.float32:
        return None
    del model.graph.input[1:]
    model.graph.initializer.extend(numpy_helper.from_array(v, n) for n, v in zip(names[1:], inputs[1:]))
    return model, inputs[0], outputs[0]


def decibels(got, want):
    noise = float(((got - want) ** 2).sum())
    signal = float((want**2).sum())
    return 999.0 if noise == 0 else 10 * np.log10(max(signal, 1e-30) / noise)


def outcome(cnna, folder, tmp):
    test = prepared(folder)
    if test is None:
        return "skipped", "no single input of reals with a single output"
    model, x, want = test
    if not np.isfinite(x).all() or not np.isfinite(np.asarray(want, float)).all():
        return "skipped", "NaN or infinity in the data"
    onnx.save(model, tmp + "/m.onnx")
    np.save(tmp + "/x.npy", x)
    commands = [
        ["compile", "m.onnx", "--calib", "x.npy", "--board", "ultra96", "-o", "p.cnna"],
        ["run", "p.cnna", "--device", "cycle", "--input", "x.npy", "-o", "y.npy"],
    ]
    for command in commands:
        p = subprocess.run([cnna, *command], cwd=tmp, capture_output=True, text=True, timeout=120, errors="replace")
        if p.returncode == 2:
            error = [line for line in p.stderr.splitlines() if line.startswith("error")]
            return "refused", error[-1][:160]
        if p.returncode != 0:
            return "crashed", p.stderr.strip()[-160:]
    got = np.load(tmp + "/y.npy").astype(float)
    if got.size != want.size:
        return "wrong", f"shape {got.shape}, expected {want.shape}"
    want = np.asarray(want, float).reshape(got.shape)
    db = decibels(got, want)
    # A word's last place, where the values are so small that decibels say nothing.
    near = np.abs(got - want).max(initial=0) <= 2e-4 * max(1.0, np.abs(want).max(initial=0))
    return ("right", "") if db >= 50 or near else ("wrong", f"{db:.1f} dB")


def main():
    cnna, folder = os.path.abspath(sys.argv[1]), sys.argv[2]
    counts, reasons = collections.Counter(), collections.Counter()
    for test in sorted(glob.glob(folder + "/test_*")):
        name = os.path.basename(test)[len("test_") :]
        if not any(name == o or name.startswith(o + "_") for o in OPERATORS):
            continue
        with tempfile.TemporaryDirectory() as tmp:
            what, why = outcome(cnna, test, tmp)
        counts[what] += 1
        if what in ("wrong", "crashed"):
            print(f"{name}: {what}: {why}", flush=True)
        elif why:
            reasons[why.split(":")[-1].strip()[:100]] += 1
    for why, n in reasons.most_common(12):
        print(f"  {n:4} {why}")
    print(", ".join(f"{n} {what}" for what, n in counts.most_common()))
    if counts["wrong"] or counts["crashed"] or not counts["right"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
