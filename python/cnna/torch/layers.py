"""The machine's operators as modules: each knows its arithmetic in training and in evaluation, and the ONNX nodes that say it."""

from __future__ import annotations

import math
from typing import Any, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .ranges import Range, fake_weight, weight_frac, weight_words

Clip = Optional[Tuple[float, float]]
"""Bounds of the activation behind an operator: ReLU is (0, inf), ReLU6 (0, 6)."""


class Operator(nn.Module):
    """An operator with the format of its result."""

    def __init__(self, range_: Range, inputs: Sequence[Range], clip: Clip = None) -> None:
        super().__init__()
        self.range = range_
        self.sources = nn.ModuleList(inputs)
        self.clip = clip

    def rounded(self, x: Tensor) -> Tensor:
        """The accumulator's reals to the result's: rounded, saturated, then clipped."""
        if self.training:
            # Clipped first, so that the range learns what is left; the words are the same.
            if self.clip is not None:
                x = x.clamp(*self.clip)
            return self.range(x)
        q = self.range.words(x)
        if self.clip is not None:
            low, high = (_bound(b, self.range) for b in self.clip)
            q = q.clamp(low, high)
        return q * 2.0 ** -self.range.frac()

    def real(self, x: Tensor) -> Tensor:
        """In evaluation everything is float64: sums of the accumulator's 48 bits are exact there."""
        return x if self.training else x.double()


def _bound(bound: float, range_: Range) -> float:
    """A bound as a word: halves to even, saturated."""
    if math.isinf(bound):
        return range_.high if bound > 0 else range_.low
    q = float(torch.round(torch.tensor(bound, dtype=torch.float64) * 2.0 ** range_.frac()))
    return max(range_.low, min(range_.high, q))


class Linear(Operator):
    """Convolution or fully connected layer, a batch normalisation folded in."""

    def __init__(
        self, layer: nn.Module, bn: Optional[nn.Module], range_: Range, source: Range, clip: Clip
    ) -> None:
        super().__init__(range_, [source], clip)
        weight, bias = folded(layer, bn)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)
        self.conv = isinstance(layer, nn.Conv2d)
        if self.conv:
            self.stride, self.dilation, self.groups = layer.stride, layer.dilation, layer.groups
            self.padding = _padding(layer)

    def product(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        if not self.conv:
            return F.linear(x, weight, bias)
        top, left, bottom, right = self.padding
        if (top, left) == (bottom, right):
            return F.conv2d(x, weight, bias, self.stride, (top, left), self.dilation, self.groups)
        x = F.pad(x, (left, right, top, bottom))
        return F.conv2d(x, weight, bias, self.stride, 0, self.dilation, self.groups)

    def integers(self) -> Tuple[Tensor, int, Tensor]:
        """Weights as words, their fraction bits, and biases in the accumulator's scale."""
        bits = self.range.bits
        frac = weight_frac(self.weight, bits)
        words = weight_words(self.weight.detach(), frac, bits)
        # The file holds float32; from it the biases are rounded, halves to even.
        bias = self.bias.detach().float().double()
        return words, frac, torch.round(bias * 2.0 ** (self.sources[0].frac() + frac))

    def forward(self, x: Tensor) -> Tensor:
        x = self.real(x)
        if self.training:
            weight = fake_weight(self.weight, self.range.bits)
            return self.rounded(self.product(x, weight, self.bias))
        words, frac, sums = self.integers()
        scale = 2.0 ** -(self.sources[0].frac() + frac)
        return self.rounded(self.product(x, words * 2.0**-frac, sums * scale))


def folded(layer: nn.Module, bn: Optional[nn.Module]) -> Tuple[Tensor, Tensor]:
    """Weights and biases with a batch normalisation's running statistics in them."""
    weight = layer.weight.detach().clone()
    bias = torch.zeros(weight.shape[0], dtype=weight.dtype)
    if layer.bias is not None:
        bias = layer.bias.detach().clone()
    if bn is None:
        return weight, bias
    gamma = torch.ones_like(bn.running_var) if bn.weight is None else bn.weight.detach()
    beta = torch.zeros_like(bn.running_mean) if bn.bias is None else bn.bias.detach()
    factor = gamma / torch.sqrt(bn.running_var + bn.eps)
    shape = [-1] + [1] * (weight.dim() - 1)
    return weight * factor.reshape(shape), (bias - bn.running_mean) * factor + beta


def _padding(layer: nn.Conv2d) -> Tuple[int, int, int, int]:
    """Top, left, bottom, right."""
    if layer.padding_mode != "zeros":
        raise ValueError(f"{layer}: padding_mode must be zeros")
    if layer.padding == "valid":
        return (0, 0, 0, 0)
    if layer.padding == "same":
        spans = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size)]
        return (spans[0] // 2, spans[1] // 2, spans[0] - spans[0] // 2, spans[1] - spans[1] // 2)
    h, w = layer.padding
    return (h, w, h, w)


class Sum(Operator):
    """Element-wise sum: exact, rounded once."""

    def forward(self, *xs: Tensor) -> Tensor:
        total = self.real(xs[0])
        for x in xs[1:]:
            total = total + self.real(x)
        return self.rounded(total)


class Average(Operator):
    """Mean over a window: the sum times one weight of at most 15 bits, rounded once."""

    def __init__(self, kernel: Any, stride: Any, keep: bool, range_: Range, source: Range, clip: Clip = None) -> None:
        super().__init__(range_, [source], clip)
        self.kernel, self.stride, self.keep = kernel, stride, keep

    def forward(self, x: Tensor) -> Tensor:
        from .. import _native

        x = self.real(x)
        kernel = self.kernel or tuple(x.shape[2:])
        count = kernel[0] * kernel[1]
        mean = F.avg_pool2d(x, kernel, self.stride or kernel, divisor_override=1)
        weight, shift = _native.average_weight(count, self.range.bits)
        y = self.rounded(mean * (weight * 2.0**-shift))
        return y if self.keep else y.flatten(1)


class Clipped(nn.Module):
    """An activation by itself: clips words, keeps their format."""

    def __init__(self, source: Range, clip: Tuple[float, float]) -> None:
        super().__init__()
        self.source, self.clip = source, clip

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return x.clamp(*self.clip)
        scale = 2.0 ** -self.source.frac()
        low, high = (_bound(b, self.source) * scale for b in self.clip)
        return x.clamp(low, high)


class Max(nn.Module):
    """Maximum over a window; padding never wins; keeps the format."""

    def __init__(self, pool: Any) -> None:
        super().__init__()
        pair = lambda v: (v, v) if isinstance(v, int) else tuple(v)  # noqa: E731
        self.kernel, self.padding, self.dilation = pair(pool.kernel_size), pair(pool.padding), pair(pool.dilation)
        self.stride = pair(pool.stride if pool.stride is not None else pool.kernel_size)
        self.ceil = bool(pool.ceil_mode)

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, self.kernel, self.stride, self.padding, self.dilation, self.ceil)


class Flat(nn.Module):
    """All of an image in one row."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)


class Join(nn.Module):
    """Behind each other along channels: members share one format."""

    def forward(self, *xs: Tensor) -> Tensor:
        return torch.cat(xs, 1)


class Entry(nn.Module):
    """The network's input as words: halves to even."""

    def __init__(self, range_: Range) -> None:
        super().__init__()
        self.range = range_

    def forward(self, x: Tensor) -> Tensor:
        return self.range(x if self.training else x.double(), even=True)
