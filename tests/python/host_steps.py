"""Makes a network with steps of every kind that the host computes, between convolutions that the machine does, and
images for it.

usage: host_steps.py FOLDER   (writes net.onnx, calib.npy, x.npy)
"""

import pathlib
import sys

import numpy as np
import onnx
from onnx import helper, numpy_helper

folder = pathlib.Path(sys.argv[1])
random = np.random.default_rng(7)


def conv(name, read, channels, kernel):
    spread = np.sqrt(2 / (channels[0] * kernel**2))
    weights = random.normal(0, spread, (channels[1], channels[0], kernel, kernel)).astype(np.float32)
    constants.append(numpy_helper.from_array(weights, name + "_w"))
    nodes.append(helper.make_node("Conv", [read, name + "_w"], [name], name=name, pads=[kernel // 2] * 4))


def node(operator, reads, name, **attributes):
    nodes.append(helper.make_node(operator, reads, [name], name=name, **attributes))


constants, nodes = [], []
conv("c1", "x", (3, 8), 3)
node("LRN", ["c1"], "lrn", size=3, alpha=0.5, beta=0.75, bias=1.0)
conv("c2", "lrn", (8, 8), 3)
node("Sigmoid", ["c2"], "gate")
node("Mul", ["c1", "gate"], "gated")
conv("c3", "gated", (8, 8), 1)
node("Gelu", ["c3"], "gelu")
constants.append(numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales"))
node("Resize", ["gelu", "", "scales"], "larger", mode="linear", coordinate_transformation_mode="half_pixel")
conv("c4", "larger", (8, 10), 3)
node("Softmax", ["c4"], "softmax", axis=1)
node("LogSoftmax", ["c4"], "log", axis=1)
node("ArgMax", ["c4"], "class", axis=1, keepdims=1)

tensor = lambda name, shape, kind=onnx.TensorProto.FLOAT: helper.make_tensor_value_info(name, kind, shape)
outputs = [tensor("softmax", [1, 10, 32, 32]), tensor("log", [1, 10, 32, 32])]
outputs.append(tensor("class", [1, 1, 32, 32], onnx.TensorProto.INT64))
graph = helper.make_graph(nodes, "host-steps", [tensor("x", [1, 3, 16, 16])], outputs, constants)
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), folder / "net.onnx")
images = random.normal(0, 1, (4, 3, 16, 16)).astype(np.float32)
np.save(folder / "calib.npy", images)
np.save(folder / "x.npy", images[:2])
