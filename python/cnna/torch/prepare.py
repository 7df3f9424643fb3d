"""From a PyTorch module to one of the machine's operators: traced, batch normalisations folded, formats shared where tensors meet."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Optional, Tuple

import torch
import torch.fx
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import Average, Clip, Clipped, Entry, Flat, Join, Linear, Max, Sum
from .ranges import Range


class NotSupported(ValueError):
    """A module that holds what the machine, or this preparation, has no arithmetic for."""


@dataclass
class Step:
    """One operator: what it reads and writes, by name."""

    name: str
    module: nn.Module
    inputs: List[str]


class Prepared(nn.Module):
    """A network of the machine's operators; see `prepare`. Train it, or compare it with the integers in eval()."""

    def __init__(self, name: str, word: int) -> None:
        super().__init__()
        self.network, self.word = name, word
        self.steps: List[Step] = []
        self.body = nn.ModuleList()
        self.formats: Dict[str, Range] = {}
        self.output = ""
        self.input_shape: Optional[Tuple[int, ...]] = None
        self.output_shape: Optional[Tuple[int, ...]] = None

    def add(self, name: str, module: nn.Module, inputs: List[str], range_: Range) -> None:
        """Appends a step whose result has that format."""
        self.steps.append(Step(name, module, inputs))
        self.body.append(module)
        self.formats[name] = range_

    def forward(self, x: Tensor) -> Tensor:
        self.input_shape = tuple(x.shape[1:])
        values = {self.steps[0].name: self.steps[0].module(x)}
        for s in self.steps[1:]:
            values[s.name] = s.module(*(values[i] for i in s.inputs))
        y = values[self.output]
        self.output_shape = tuple(y.shape[1:])
        return y

    def ranges(self) -> List[Range]:
        """Every format once."""
        seen: Dict[int, Range] = {}
        for r in self.formats.values():
            seen.setdefault(id(r), r)
        return list(seen.values())


def prepare(model: nn.Module, word: int = 16) -> Prepared:
    """A module that computes as the machine does, with `model`'s weights; `model` itself stays as it is.

    model: convolutions, fully connected layers, batch normalisations behind them, ReLU and ReLU6, sums, concatenations of channels, maximum and
    average pooling, flattening, dropout (which goes); anything that torch.fx can trace. word: bits of weights and activations, 8 or 16.
    Ranges of activations are set by `calibrate` or by the first training batch, and learned from there.
    Raises NotSupported: names what it cannot prepare, all of it at once.
    """
    if word not in (8, 16):
        raise ValueError(f"word={word}: words have 8 or 16 bits")
    traced = torch.fx.symbolic_trace(model)
    return _Preparation(model, traced, word).run()


def calibrate(model: Prepared, batches: Iterable[Any]) -> Prepared:
    """Sets every range from batches of images (tensors, or what a loader gives: the first of each). Returns the model."""
    was = model.training
    model.train()
    hooks = [r.register_forward_pre_hook(lambda r, args: r.observe(args[0])) for r in model.ranges()]
    try:
        with torch.no_grad():
            for b in batches:
                model(b[0] if isinstance(b, (tuple, list)) else b)
    finally:
        for h in hooks:
            h.remove()
        model.train(was)
    return model


_RELU = {F.relu, torch.relu, torch.relu_, "relu", "relu_"}
_RELU6 = {F.relu6}
_ADD = {operator.add, operator.iadd, torch.add, "add", "add_"}
_DROP = {F.dropout, F.dropout2d}
_KEEP = (nn.Dropout, nn.Dropout2d, nn.Identity)


class _Preparation:
    def __init__(self, model: nn.Module, traced: torch.fx.GraphModule, word: int) -> None:
        self.word = word
        self.traced = traced
        self.modules = dict(traced.named_modules())
        self.made = Prepared(type(model).__name__, word)
        self.name_of: Dict[torch.fx.Node, str] = {}
        self.wrong: List[str] = []

    def run(self) -> Prepared:
        done: set = set()
        for n in self.traced.graph.nodes:
            if n in done:
                continue
            try:
                done |= set(self.node(n))
            except NotSupported as e:
                self.wrong.append(f"  {n.name}: {e}")
                self.name_of[n] = next(iter(self.name_of.values()), "")
        if self.wrong:
            raise NotSupported("the model cannot be prepared because of:\n" + "\n".join(self.wrong))
        return self.made

    # Reading a node.

    def what(self, n: torch.fx.Node) -> Any:
        return self.modules[n.target] if n.op == "call_module" else n.target

    def only_user(self, n: torch.fx.Node) -> Optional[torch.fx.Node]:
        return next(iter(n.users)) if len(n.users) == 1 else None

    def clip_of(self, n: Optional[torch.fx.Node]) -> Clip:
        """The bounds of an activation; None for anything else."""
        if n is None:
            return None
        w = self.what(n)
        if isinstance(w, nn.ReLU) or (n.op != "call_module" and w in _RELU):
            return (0.0, math.inf)
        if isinstance(w, nn.ReLU6) or (n.op != "call_module" and w in _RELU6):
            return (0.0, 6.0)
        if isinstance(w, nn.Hardtanh):
            return (float(w.min_val), float(w.max_val))
        if w in (torch.clamp, "clamp"):
            low, high = _arguments(n, ["min", "max"])
            return (-math.inf if low is None else float(low), math.inf if high is None else float(high))
        return None

    def fused(self, n: torch.fx.Node) -> Tuple[Clip, List[torch.fx.Node]]:
        """The activation behind a node that nobody else reads, and the nodes that are then done."""
        user = self.only_user(n)
        clip = self.clip_of(user)
        return (clip, [n, user]) if clip is not None else (None, [n])

    def source(self, n: torch.fx.Node, index: int = 0) -> Tuple[str, Range]:
        given = n.all_input_nodes[index]
        name = self.name_of[given]
        return name, self.made.formats[name]

    def add(self, last: torch.fx.Node, module: nn.Module, inputs: List[str], range_: Range) -> None:
        self.made.add(last.name, module, inputs, range_)
        self.name_of[last] = last.name

    def keep(self, n: torch.fx.Node, module: nn.Module) -> List[torch.fx.Node]:
        """An operator that keeps its input's format."""
        name, range_ = self.source(n)
        self.add(n, module, [name], range_)
        return [n]

    # One node, with those that follow it into the same operator.

    def node(self, n: torch.fx.Node) -> List[torch.fx.Node]:
        if n.op == "placeholder":
            if self.made.steps:
                raise NotSupported("a second input: one is prepared")
            range_ = Range(self.word)
            self.add(n, Entry(range_), [], range_)
            return [n]
        if n.op == "output":
            if not isinstance(n.args[0], torch.fx.Node):
                raise NotSupported("several outputs: one is prepared")
            self.made.output = self.name_of[n.args[0]]
            return [n]
        w = self.what(n)
        if isinstance(w, (nn.Conv2d, nn.Linear)):
            return self.linear(n, w)
        if isinstance(w, nn.BatchNorm2d) or isinstance(w, nn.BatchNorm1d):
            raise NotSupported("a batch normalisation that is not behind a convolution that nobody else reads")
        if self.clip_of(n) is not None:
            name, range_ = self.source(n)
            self.add(n, Clipped(range_, self.clip_of(n)), [name], range_)
            return [n]
        if isinstance(w, nn.MaxPool2d):
            return self.keep(n, Max(w))
        if isinstance(w, (nn.AvgPool2d, nn.AdaptiveAvgPool2d)) or w in (F.avg_pool2d, F.adaptive_avg_pool2d, torch.mean, "mean"):
            return self.average(n, w)
        if isinstance(w, _KEEP) or (n.op != "call_module" and w in _DROP):
            self.name_of[n] = self.source(n)[0]
            return [n]
        if w is F.max_pool2d:
            kernel, stride, padding, dilation, ceil = _arguments(
                n, ["kernel_size", "stride", "padding", "dilation", "ceil_mode"]
            )
            return self.keep(n, Max(nn.MaxPool2d(kernel, stride, padding or 0, dilation or 1, ceil_mode=bool(ceil))))
        if isinstance(w, nn.Flatten) or w in (torch.flatten, "flatten", "view", "reshape", torch.reshape):
            return self.flat(n, w)
        if n.op != "call_module" and w in _ADD:
            return self.sum(n)
        if w in (torch.cat, torch.concat):
            return self.join(n)
        raise NotSupported(f"{w if n.op == 'call_module' else n.target} is not prepared")

    def linear(self, n: torch.fx.Node, layer: nn.Module) -> List[torch.fx.Node]:
        done, last, bn = [n], n, None
        user = self.only_user(n)
        if user is not None and isinstance(self.what(user), (nn.BatchNorm2d, nn.BatchNorm1d)):
            bn, last = self.what(user), user
            if not bn.track_running_stats:
                raise NotSupported("its batch normalisation keeps no running statistics")
            done.append(user)
        clip, nodes = self.fused(last)
        name, source = self.source(n)
        range_ = Range(self.word)
        try:
            module = Linear(layer, bn, range_, source, clip)
        except ValueError as e:
            raise NotSupported(str(e)) from None
        self.add(nodes[-1], module, [name], range_)
        return done + nodes

    def sum(self, n: torch.fx.Node) -> List[torch.fx.Node]:
        if len(n.args) < 2 or not all(isinstance(a, torch.fx.Node) for a in n.args[:2]) or n.kwargs:
            raise NotSupported("a sum with a number: put it into a bias")
        sources = [self.name_of[a] for a in n.args[:2]]
        clip, nodes = self.fused(n)
        range_ = Range(self.word)
        inputs = [self.made.formats[s] for s in sources]
        self.add(nodes[-1], Sum(range_, inputs, clip), sources, range_)
        return nodes

    def join(self, n: torch.fx.Node) -> List[torch.fx.Node]:
        members = n.args[0]
        axis = n.args[1] if len(n.args) > 1 else n.kwargs.get("dim", 0)
        if axis != 1:
            raise NotSupported("a concatenation that is not along channels (dim=1)")
        names = [self.name_of[m] for m in members]
        range_ = self.made.formats[names[0]]
        for other in names[1:]:
            self.share(self.made.formats[other], range_)
        self.add(n, Join(), names, range_)
        return [n]

    def share(self, old: Range, new: Range) -> None:
        """Tensors that meet have one format: everything that had the old one has the new one."""
        if old is new:
            return
        for name, r in self.made.formats.items():
            if r is old:
                self.made.formats[name] = new
        for s in self.made.steps:
            m = s.module
            for field in ("range", "source"):
                if getattr(m, field, None) is old:
                    setattr(m, field, new)
            for i, r in enumerate(getattr(m, "sources", [])):
                if r is old:
                    m.sources[i] = new

    def average(self, n: torch.fx.Node, w: Any) -> List[torch.fx.Node]:
        kernel: Any = None
        stride: Any = None
        keep = True
        if isinstance(w, nn.AvgPool2d) or w is F.avg_pool2d:
            fields = ["kernel_size", "stride", "padding", "ceil_mode"]
            if isinstance(w, nn.AvgPool2d):
                kernel, stride, padding, ceil = (getattr(w, f) for f in fields)
            else:
                kernel, stride, padding, ceil = _arguments(n, fields)
            if padding not in (None, 0, (0, 0)) or ceil:
                raise NotSupported("average pooling with padding or ceil_mode")
            kernel = (kernel, kernel) if isinstance(kernel, int) else tuple(kernel)
            stride = kernel if stride is None else (stride, stride) if isinstance(stride, int) else tuple(stride)
        elif isinstance(w, nn.AdaptiveAvgPool2d) or w is F.adaptive_avg_pool2d:
            size = w.output_size if isinstance(w, nn.AdaptiveAvgPool2d) else _arguments(n, ["output_size"])[0]
            if size not in (1, (1, 1), [1, 1]):
                raise NotSupported(f"adaptive average pooling to {size}: 1 is prepared")
        else:
            dim, keepdim = _arguments(n, ["dim", "keepdim"])
            if sorted(d % 4 for d in (dim if isinstance(dim, (tuple, list)) else [dim])) != [2, 3]:
                raise NotSupported("a mean over other dimensions than rows and columns")
            keep = bool(keepdim)
        clip, nodes = self.fused(n)
        name, source = self.source(n)
        range_ = Range(self.word)
        self.add(nodes[-1], Average(kernel, stride, keep, range_, source, clip), [name], range_)
        return nodes

    def flat(self, n: torch.fx.Node, w: Any) -> List[torch.fx.Node]:
        if isinstance(w, nn.Flatten):
            good = (w.start_dim, w.end_dim) == (1, -1)
        elif w in (torch.flatten, "flatten"):
            start, end = _arguments(n, ["start_dim", "end_dim"])
            good = start == 1 and end in (None, -1)
        else:
            shape = n.args[1:] if not isinstance(n.args[1], (tuple, list)) else n.args[1]
            good = len(shape) == 2 and shape[1] == -1 or len(shape) == 2 and isinstance(shape[0], torch.fx.Node)
        if not good:
            raise NotSupported("a reshape that is not a flattening of each image")
        done = self.keep(n, Flat())
        return done


def _arguments(n: torch.fx.Node, names: List[str]) -> List[Any]:
    """A function's arguments behind the tensor, by place or name; None where they are not given."""
    given = list(n.args[1:]) + [None] * len(names)
    return [n.kwargs.get(name, given[i]) for i, name in enumerate(names)]
