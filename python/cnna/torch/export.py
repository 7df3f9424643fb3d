"""A prepared network as QDQ ONNX: integers as they are, every tensor's format behind the operator that writes it."""

from __future__ import annotations

import json
import os
from typing import Any, Dict, List, Tuple, Union

import numpy as np

from .layers import Average, Clip, Clipped, Entry, Flat, Join, Linear, Max, Sum
from .prepare import Prepared, Step
from .ranges import Range


def export(model: Prepared, path: Union[str, os.PathLike], name: str = "") -> None:
    """Writes a prepared model, whose ranges are set, as ONNX (operator set 21) that `cnna.compile` reads.

    Its integers are those that the model computes with in eval(). The batch is symbolic; the image's shape is that of the last call.
    Raises RuntimeError: a range without values, or a model that has never been called. FileError.
    """
    if model.input_shape is None or model.output_shape is None:
        raise RuntimeError("the model has not been called yet, so its input's shape is not known: call it with one image")
    from .. import _native

    writer = _Writer(model)
    for step in model.steps:
        writer.step(step)
    _native.write_onnx(
        os.fspath(path),
        name or model.network,
        [("input", list(model.input_shape))],
        [(writer.value[model.output], list(model.output_shape))],
        writer.constants,
        json.dumps(writer.nodes),
    )


class _Writer:
    def __init__(self, model: Prepared) -> None:
        self.model = model
        self.nodes: List[dict] = []
        self.constants: List[Tuple[str, np.ndarray]] = []
        self.value: Dict[str, str] = {}
        """The value that others read, of each step."""
        self.word = np.int8 if model.word == 8 else np.int16
        self.constant("zero_point", np.zeros((), self.word))

    def constant(self, name: str, array: Any) -> str:
        self.constants.append((name, np.asarray(array, order="C")))
        return name

    def node(self, op: str, name: str, inputs: List[str], output: str, **attributes: Any) -> str:
        self.nodes.append({"op": op, "name": name, "inputs": inputs, "output": output, "attributes": attributes})
        return output

    def scale(self, name: str, frac: int) -> str:
        return self.constant(f"{name}/scale", np.asarray(2.0**-frac, np.float32))

    def formatted(self, step: Step, real: str, range_: Range) -> None:
        """The step's value behind its format."""
        scale = self.scale(step.name, range_.frac())
        words = self.node("QuantizeLinear", f"{step.name}/quantize", [real, scale, "zero_point"], f"{step.name}/words")
        self.value[step.name] = self.node(
            "DequantizeLinear", f"{step.name}/dequantize", [words, scale, "zero_point"], f"{step.name}/value"
        )

    def activated(self, step: Step, real: str, clip: Clip) -> str:
        """The value behind an activation."""
        if clip is None:
            return real
        low, high = clip
        if (low, high) == (0.0, float("inf")):
            return self.node("Relu", f"{step.name}/activation", [real], f"{step.name}/active")
        bounds = [
            "" if np.isinf(b) else self.constant(f"{step.name}/{n}", np.asarray(b, np.float32))
            for n, b in (("low", low), ("high", high))
        ]
        return self.node("Clip", f"{step.name}/activation", [real] + bounds, f"{step.name}/active")

    def step(self, s: Step) -> None:
        m, inputs = s.module, [self.value[i] for i in s.inputs]
        if isinstance(m, Entry):
            self.formatted(s, "input", m.range)
        elif isinstance(m, Linear):
            self.formatted(s, self.activated(s, self.linear(s, m, inputs[0]), m.clip), m.range)
        elif isinstance(m, Sum):
            real = self.node("Add", s.name, inputs, f"{s.name}/real")
            self.formatted(s, self.activated(s, real, m.clip), m.range)
        elif isinstance(m, Average):
            real = self.average(s, m, inputs[0])
            self.formatted(s, self.activated(s, real, m.clip), m.range)
        elif isinstance(m, Clipped):
            self.value[s.name] = self.activated(s, inputs[0], m.clip)
        elif isinstance(m, Max):
            self.value[s.name] = self.node(
                "MaxPool",
                s.name,
                inputs,
                f"{s.name}/value",
                kernel_shape=list(m.kernel),
                strides=list(m.stride),
                pads=list(m.padding) * 2,
                dilations=list(m.dilation),
                ceil_mode=int(m.ceil),
            )
        elif isinstance(m, Flat):
            self.value[s.name] = self.node("Flatten", s.name, inputs, f"{s.name}/value", axis=1)
        elif isinstance(m, Join):
            self.value[s.name] = self.node("Concat", s.name, inputs, f"{s.name}/value", axis=1)
        else:
            raise AssertionError(f"{type(m).__name__} has no ONNX: a bug of cnna.torch")

    def linear(self, s: Step, m: Linear, x: str) -> str:
        words, frac, _ = m.integers()
        words = words.numpy().astype(self.word)
        stored = self.constant(f"{s.name}/weight/words", words)
        weight = self.node(
            "DequantizeLinear", f"{s.name}/weight/dequantize", [stored, self.scale(f"{s.name}/weight", frac)], f"{s.name}/weight"
        )
        # The accumulator has 48 bits, the file's integers 32: a float32 holds what the biases are rounded from.
        bias = self.constant(f"{s.name}/bias", m.bias.detach().float().numpy())
        if not m.conv:
            return self.node("Gemm", s.name, [x, weight, bias], f"{s.name}/real", transB=1)
        return self.node(
            "Conv",
            s.name,
            [x, weight, bias],
            f"{s.name}/real",
            kernel_shape=list(words.shape[2:]),
            strides=list(m.stride),
            pads=list(m.padding),
            dilations=list(m.dilation),
            group=m.groups,
        )

    def average(self, s: Step, m: Average, x: str) -> str:
        if m.kernel is not None:
            return self.node(
                "AveragePool", s.name, [x], f"{s.name}/real", kernel_shape=list(m.kernel), strides=list(m.stride)
            )
        if m.keep:
            return self.node("GlobalAveragePool", s.name, [x], f"{s.name}/real")
        mean = self.node("GlobalAveragePool", s.name, [x], f"{s.name}/mean")
        return self.node("Flatten", f"{s.name}/flat", [mean], f"{s.name}/real", axis=1)
