"""Training in PyTorch with the machine's exact arithmetic.

    import cnna, cnna.torch
    q = cnna.torch.prepare(net, word=16)       # batch normalisations folded, activations with learned power-of-two ranges
    cnna.torch.calibrate(q, batches)           # or let the first training batch set the ranges
    ...                                        # train q as any module; gradients pass the rounding straight through
    cnna.torch.export(q, "net.onnx")           # QDQ ONNX, which `cnna.compile` reads
    cnna.compile("net.onnx").run(x)            # in eval() q gives the same numbers, bit for bit

What the arithmetic is: docs/numerics.md. In train() a prepared module computes in float32 with fake quantisation; in eval() in float64, where
every sum of the machine's 48-bit accumulator is exact. Needs torch 1.13 or later; nothing else of the package does.
"""

from __future__ import annotations

try:
    import torch as _torch  # noqa: F401
except ImportError as e:
    raise ImportError("cnna.torch needs PyTorch: pip install torch (or Debian's python3-torch)") from e

from .export import export
from .prepare import Prepared, calibrate, prepare
from .ranges import Range

__all__ = ["Prepared", "Range", "calibrate", "export", "prepare"]
