"""Number formats of activations: words of a power-of-two scale whose range is learned.

The threshold's gradient is that of Jain et al. 2019, "Trained Quantization Thresholds" (arXiv:1903.08066): rounding and the rounding
up of the threshold's logarithm are passed straight through, clipping is not.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

ROOM = 0.05
"""Bits by which a first range exceeds the largest value seen: values to come may be a little larger."""


def round_even(x: Tensor) -> Tensor:
    """To the nearest whole number, halves to even; the gradient passes."""
    return x + (torch.round(x) - x).detach()


def round_up(x: Tensor) -> Tensor:
    """To the nearest whole number, halves up, as the accumulator is rounded; the gradient passes."""
    return x + (torch.floor(x + 0.5) - x).detach()


class Range(nn.Module):
    """The format of one tensor, or of several that meet: `log2_t`, the logarithm of the largest magnitude that it holds.

    bits: of a word. Fraction bits are `bits - 1 - ceil(log2_t)`. Without values yet, `ready` is false.
    """

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits
        self.log2_t = nn.Parameter(torch.zeros(()))
        self.register_buffer("ready", torch.tensor(False))

    @property
    def low(self) -> int:
        return -(1 << (self.bits - 1))

    @property
    def high(self) -> int:
        return (1 << (self.bits - 1)) - 1

    def frac(self) -> int:
        """Fraction bits now."""
        if not bool(self.ready):
            raise RuntimeError(
                "a range has seen no values yet: run cnna.torch.calibrate(model, batches), or a training batch, before eval() or export"
            )
        return self.bits - 1 - int(math.ceil(float(self.log2_t.detach())))

    def observe(self, x: Tensor) -> None:
        """Widens the range so that it holds x."""
        most = float(x.detach().abs().max())
        if most == 0.0 or not math.isfinite(most):
            return
        wanted = math.log2(most) + ROOM
        with torch.no_grad():
            if not bool(self.ready) or wanted > float(self.log2_t):
                self.log2_t.fill_(wanted)
            self.ready.fill_(True)

    def words(self, x: Tensor, even: bool = False) -> Tensor:
        """x as whole numbers of steps, saturated; exact for float64. even: halves to even, as a network's input is rounded."""
        steps = x * 2.0 ** self.frac()
        steps = torch.round(steps) if even else torch.floor(steps + 0.5)
        return steps.clamp(self.low, self.high)

    def forward(self, x: Tensor, even: bool = False) -> Tensor:
        """Fake quantisation in training, exact in evaluation: the reals that the words stand for."""
        if not self.training:
            return self.words(x, even) * 2.0 ** -self.frac()
        if not bool(self.ready):
            self.observe(x)
        if not bool(self.ready):
            return x
        exponent = self.log2_t + (torch.ceil(self.log2_t) - self.log2_t).detach()
        step = torch.exp2(exponent - (self.bits - 1))
        steps = round_even(x / step) if even else round_up(x / step)
        return steps.clamp(self.low, self.high) * step

    def extra_repr(self) -> str:
        return f"bits={self.bits}, frac={self.frac()}" if bool(self.ready) else f"bits={self.bits}, no values yet"


def weight_frac(weight: Tensor, bits: int) -> int:
    """Fraction bits of a layer's weights: Q2.14 or Q2.6, scaled by the smallest power of two with which all fit after rounding."""
    w = weight.detach().double()
    if not bool(torch.isfinite(w).all()):
        raise ValueError("a layer's weights hold NaN or infinity: training diverged")
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    most = float(w.abs().max())
    if most == 0.0:
        return bits - 2
    e = math.floor(math.log2(most)) - 2
    while True:
        frac = bits - 2 - e
        q = torch.round(w * 2.0**frac)
        if float(q.min()) >= low and float(q.max()) <= high:
            return frac
        e += 1


def weight_words(weight: Tensor, frac: int, bits: int) -> Tensor:
    """The words: halves to even, saturated."""
    q = torch.round(weight.double() * 2.0**frac)
    return q.clamp(-(1 << (bits - 1)), (1 << (bits - 1)) - 1)


def fake_weight(weight: Tensor, bits: int) -> Tensor:
    """The reals that a layer's words stand for; the gradient passes."""
    frac = weight_frac(weight, bits)
    q = (weight_words(weight.detach(), frac, bits) * 2.0**-frac).to(weight.dtype)
    return weight + (q - weight).detach()
