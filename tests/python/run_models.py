"""Runs ONNX models in ONNX Runtime, as they stand: no optimisation, one thread.

usage: run_models.py FOLDER

For each NAME.onnx of the folder: NAME.in holds its inputs as float32, one behind the other in the model's order, and
NAME.outputs the names of the wanted outputs, one a line. Writes those to NAME.out the same way, or the reason why not to
NAME.error.
"""

import pathlib
import sys

import numpy
import onnxruntime


def run(path):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path.read_bytes(), options, ["CPUExecutionProvider"])
    values = numpy.fromfile(path.with_suffix(".in"), "<f4")
    feed, at = {}, 0
    for i in session.get_inputs():
        dims = [d if isinstance(d, int) else 1 for d in i.shape]
        size = int(numpy.prod(dims))
        feed[i.name] = values[at : at + size].reshape(dims)
        at += size
    if at != len(values):
        raise ValueError(f"{len(values)} values for inputs of {at}")
    names = path.with_suffix(".outputs").read_text().split("\n")
    with open(path.with_suffix(".out"), "wb") as out:
        for value in session.run(names, feed):
            out.write(value.astype("<f4").tobytes())


for path in sorted(pathlib.Path(sys.argv[1]).glob("*.onnx")):
    try:
        run(path)
    except Exception as e:  # the test judges which reasons are right
        path.with_suffix(".error").write_text(str(e))
