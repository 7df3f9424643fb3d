"""Real networks as float ONNX, from the weights that packages hold: one function a network, used by scripts/real-networks."""
import json
import math

import numpy as np
import onnx
from onnx import helper as h, numpy_helper as nh

# Kernel, first stride, expansion, channels, blocks of each stage: Tan and Le 2019, arXiv:1905.11946, table 1, without squeezing,
# as the Lite models have them.
LITE0 = [(3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, 112, 3), (5, 2, 6, 192, 4), (3, 1, 6, 320, 1)]


class Net:
    """Nodes and constants of a model."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def constant(self, name, value):
        self.constants.append(nh.from_array(np.ascontiguousarray(value, np.float32), name))
        return name

    def node(self, operator, inputs, name, **attributes):
        self.nodes.append(h.make_node(operator, inputs, [f"{name}_out"], name, **attributes))
        return f"{name}_out"

    def model(self, name, inputs, output, dims):
        self.nodes.append(h.make_node("Identity", [output], ["output"], "output"))
        value = lambda n, d: h.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["N", *d])
        graph = h.make_graph(self.nodes, name, [value("input", inputs)], [value("output", dims)], self.constants)
        model = h.make_model(graph, opset_imports=[h.make_opsetid("", 13)], producer_name="cnna real-networks")
        model.ir_version = 8
        onnx.checker.check_model(model)
        return model


def efficientnet_lite0(w):
    """EfficientNet-Lite0 of PyTorch's tensors `w`, 3 x 224 x 224: borders as TensorFlow's SAME."""
    net, side = Net(), 224
    net.constants += [nh.from_array(np.float32(0), "zero"), nh.from_array(np.float32(6), "six")]

    def conv(x, name, norm, stride=1, groups=1, relu=True):
        nonlocal side
        gamma, beta, mean, variance = (w[f"{norm}.{p}"] for p in ("weight", "bias", "running_mean", "running_var"))
        scale = gamma / np.sqrt(variance + 1e-3)
        kernel = w[f"{name}.weight"] * scale[:, None, None, None]
        k, out = kernel.shape[2], math.ceil(side / stride)
        border = max((out - 1) * stride + k - side, 0)
        side = out
        pads = [border // 2] * 2 + [border - border // 2] * 2
        inputs = [x, net.constant(f"{name}.weight", kernel), net.constant(f"{name}.bias", beta - mean * scale)]
        y = net.node("Conv", inputs, name, kernel_shape=[k, k], strides=[stride] * 2, pads=pads, group=groups)
        return net.node("Clip", [y, "zero", "six"], f"{name}/clip") if relu else y

    x, channels, index = conv("input", "_conv_stem", "_bn0", 2), 32, 0
    for _, first, expansion, out, blocks in LITE0:
        for block in range(blocks):
            stride, name, y = (first if block == 0 else 1), f"_blocks.{index}", x
            if expansion != 1:
                y = conv(y, f"{name}._expand_conv", f"{name}._bn0")
            y = conv(y, f"{name}._depthwise_conv", f"{name}._bn1", stride, channels * expansion)
            y = conv(y, f"{name}._project_conv", f"{name}._bn2", relu=False)
            if stride == 1 and channels == out:
                y = net.node("Add", [y, x], f"{name}/add")
            x, channels, index = y, out, index + 1
    x = net.node("GlobalAveragePool", [conv(x, "_conv_head", "_bn1")], "pool")
    x = net.node("Flatten", [x], "flatten")
    x = net.node("Gemm", [x, net.constant("_fc.weight", w["_fc.weight"]), net.constant("_fc.bias", w["_fc.bias"])], "_fc", transB=1)
    return net.model("efficientnet_lite0", [3, 224, 224], x, [1000])


def cifar_vgg(file):
    """The Keras network of an HDF5 file, as tf2onnx would write it: rows, columns, channels; pixels of 0 to 255."""
    config = json.loads(file.attrs["model_config"])["config"]
    layers = config["layers"] if isinstance(config, dict) else config
    net, stored = Net(), file["model_weights"]
    x = net.node("Transpose", ["input"], "nchw", perm=[0, 3, 1, 2])

    def tensors(name):
        group = stored[name]
        return [np.array(group[n.decode() if isinstance(n, bytes) else n]) for n in group.attrs["weight_names"]]

    for layer in layers:
        c, kind = layer["config"], layer["class_name"]
        name = c.get("name", kind)
        if kind == "Conv2D":
            weights, bias = tensors(name)
            pads = [1] * 4 if c["padding"] == "same" else [0] * 4
            inputs = [x, net.constant(f"{name}/w", weights.transpose(3, 2, 0, 1)), net.constant(f"{name}/b", bias)]
            x = net.node("Conv", inputs, name, pads=pads, strides=list(c["strides"]), dilations=[1, 1])
        elif kind == "BatchNormalization":
            values = [net.constant(f"{name}/{i}", v) for i, v in enumerate(tensors(name))]
            x = net.node("BatchNormalization", [x, *values], name, epsilon=c["epsilon"])
        elif kind == "MaxPooling2D":
            x = net.node("MaxPool", [x], name, kernel_shape=list(c["pool_size"]), strides=list(c["strides"]))
        elif kind == "Flatten":
            x = net.node("Flatten", [net.node("Transpose", [x], f"{name}/nhwc", perm=[0, 2, 3, 1])], name)
        elif kind == "Dense":
            weights, bias = tensors(name)
            x = net.node("Gemm", [x, net.constant(f"{name}/w", weights), net.constant(f"{name}/b", bias)], name)
        elif kind not in ("Dropout", "InputLayer", "Activation"):
            raise ValueError(f"a layer of kind {kind}")
        activation = c.get("activation")
        if activation in ("relu", "softmax"):
            x = net.node({"relu": "Relu", "softmax": "Softmax"}[activation], [x], f"{name}/{activation}")
    return net.model("cifar10", [32, 32, 3], x, [10])


def fixed(path, sides):
    """A model whose input and output have only names for their sizes, with those of an image of `sides`."""
    model = onnx.load(path)
    for d, size in zip(model.graph.input[0].type.tensor_type.shape.dim, [1, *sides]):
        d.dim_value = size
    del model.graph.value_info[:]
    for o in model.graph.output:
        o.type.tensor_type.ClearField("shape")
    return onnx.shape_inference.infer_shapes(model)
