"""Programs: compiled networks that run."""

from __future__ import annotations

import html
import json
import os
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from . import _native
from .board import Board, of as board_of
from .images import Images, Paths, of as images_of
from .progress import Progress, bars
from .quantization import Quantized, as_json

Arrays = Union[np.ndarray, Mapping[str, Any], Sequence[Any]]
Result = Union[np.ndarray, Dict[str, np.ndarray]]

TIMEOUT = 60.0
"""Seconds without progress after which a device counts as hung."""


def compile(  # noqa: A001 - it is what it does
    model: Union[str, os.PathLike],
    board: Union[str, os.PathLike, Board] = "ultra96",
    *,
    calib: Union[Paths, Images, None] = None,
    seed: int = 1,
    winograd: bool = True,
    fuse: bool = True,
    host: bool = True,
    keep: bool = False,
    batch: Optional[int] = None,
    tune: bool = False,
    progress: Progress = None,
    **keys: Any,
) -> "Program":
    """Compiles a model for a board.

    model: an ONNX file, quantised or float (then `calib` names images, see `cnna.Images`), or a zoo network's name, whose weights come
    from `seed`. board: a name of `cnna.boards()`, a board file, a `cnna.Board`; further keywords change its accelerator's keys (lanes=5).
    winograd, fuse: as fast as possible, or not, for comparison. host: leave to the host what the machine cannot run, or refuse it.
    keep: memory of its own for each tensor, so that `check` compares all values. batch: most images that share the weights of fully
    connected layers. tune: try several plans and take the one that is the fastest in the simulator, which takes seconds.
    Raises ModelError, InputError, BoardError, CompileError, FileError.
    """
    name, overrides = board_of(board, keys)
    native, report, notes = _native.compile(
        os.fspath(model),
        name,
        overrides,
        images_of(calib)._native,
        seed,
        (winograd, fuse, host, keep, batch),
        tune,
        bars(progress),
    )
    return Program(native, json.loads(report), notes)


def open(path: Union[str, os.PathLike]) -> "Program":  # noqa: A001 - as Image.open
    """Opens a program file that `compile` or the command line wrote. Raises ProgramError, FileError."""
    return Program(_native.open(os.fspath(path)), None, [])


class Run:
    """A run's results and cost, as `Program.run(..., details=True)` gives them.

    outputs: arrays by name, (N, the output's shape). cycles: by the device's own counters, None by the reference. saturated: results that
    saturation changed. clipped: input numbers beyond the input's format. seconds: wall-clock. layers: one dictionary a layer with its
    counters. images: names of pictures, and their class folders.
    """

    def __init__(self, outputs: Dict[str, np.ndarray], facts: dict, images: list) -> None:
        self.outputs = outputs
        self.facts = facts
        self.images = images
        self.saturated: int = facts["saturated"]
        self.clipped: int = facts["clipped"]
        self.seconds: float = facts["seconds"]
        self.layers: List[dict] = facts["layers"]
        self.cycles: Optional[int] = facts["cycles"] or None

    def __repr__(self) -> str:
        shapes = ", ".join(f"{n} {a.shape}" for n, a in self.outputs.items())
        cycles = "" if self.cycles is None else f", {self.cycles:,} cycles"
        return f"<cnna.Run {shapes}{cycles}>"


class Report:
    """What one image cost: `facts` (all numbers, as `cnna report --json`), `headline`, and the page: `save` it, or show it in a notebook."""

    def __init__(self, facts: dict, page: str, summary: str, headline: str) -> None:
        self.facts = facts
        self.page = page
        self.headline = headline
        self.cycles: int = facts["cycles"]
        self.milliseconds: float = facts["milliseconds"]
        self.layers: List[dict] = facts["layers"]
        self._summary = summary

    def save(self, path: Union[str, os.PathLike]) -> None:
        """Writes the page: whole in itself, no script, no request."""
        Path(path).write_text(self.page, encoding="utf-8")

    def __str__(self) -> str:
        return self.headline

    def __repr__(self) -> str:
        return f"<cnna.Report {self.headline}>"

    def _repr_html_(self) -> str:
        return _framed(self.page, 900)


class Check:
    """What a comparison found: true when nothing differs. `difference`: the first one, in words; `facts`: as `cnna check --json`."""

    def __init__(self, facts: dict, difference: Optional[str]) -> None:
        self.facts = facts
        self.difference = difference
        self.equal: bool = facts["equal"]

    def __bool__(self) -> bool:
        return self.equal

    def __repr__(self) -> str:
        engines = " = ".join(self.facts["engines"])
        what = f"equal: {engines}" if self.equal else f"different: {self.difference}"
        return f"<cnna.Check {what}, {self.facts['images']} image(s)>"


class Program:
    """A compiled network for one board; see `compile` and `open`.

    A program runs on the devices "reference" (the network's operators in integers), "cycle" (the cycle-level simulator), "rtl" (the RTL
    itself, by Verilator), a board's UIO device ("uio0") or the path of a file that `cnna serve` serves. All give the same integers.
    """

    def __init__(self, native: Any, report: Optional[dict], notes: List[str]) -> None:
        self._native = native
        self.notes = notes
        """What one should know about how the model became integers."""
        self.meta: dict = json.loads(native.meta())
        """Everything but the bytes: streams, inputs, outputs, layers, host steps, board."""
        self.facts = report
        self._shown: Optional[str] = None

    # What it is.

    @property
    def name(self) -> str:
        return self.meta["name"]

    @property
    def board(self) -> str:
        return self.meta["board"]["name"]

    @property
    def inputs(self) -> Dict[str, Tuple[int, ...]]:
        """Shape of each input's array, without the batch."""
        return {p["name"]: tuple(p["array"]["dims"]) for p in self.meta["inputs"]}

    @property
    def outputs(self) -> Dict[str, Tuple[int, ...]]:
        """Shape of each output's array, without the batch."""
        return {p["name"]: tuple(p["array"]["dims"]) for p in self.meta["outputs"]}

    @property
    def estimated_cycles(self) -> int:
        """The compiler's estimate for one image."""
        return self.meta["streams"][0]["estimated_cycles"]

    @property
    def host_steps(self) -> List[dict]:
        """What the host computes between two parts of the stream, and why."""
        return self.meta["host"]

    # Running.

    def _given(self, x: Arrays) -> Tuple[List[np.ndarray], bool]:
        """The inputs' arrays in order, and whether they are one image without a batch."""
        ports = list(self.inputs.items())
        if isinstance(x, Mapping):
            unknown = set(x) - {n for n, _ in ports}
            if unknown or len(x) != len(ports):
                raise _error(
                    "InputError",
                    f"arrays for {', '.join(x) or 'no input'}: the program's inputs are {', '.join(n for n, _ in ports)}",
                )
            given = [x[n] for n, _ in ports]
        elif len(ports) > 1 and isinstance(x, (list, tuple)):
            given = list(x)
        else:
            given = [x]
        arrays = [np.ascontiguousarray(a) for a in given]
        alone = len(arrays) == len(ports) and all(
            a.shape == shape for a, (_, shape) in zip(arrays, ports)
        )
        return arrays, alone

    def _result(self, arrays: List[np.ndarray], alone: bool, details: bool, facts: str, images: list) -> Any:
        if alone:
            arrays = [a[0] for a in arrays]
        outputs = dict(zip(self.outputs, arrays))
        if details:
            return Run(outputs, json.loads(facts), images)
        return outputs if len(outputs) > 1 else arrays[0]

    def run(
        self,
        x: Union[Arrays, Paths, Images],
        device: str = "cycle",
        *,
        raw: bool = False,
        most: Optional[int] = None,
        details: bool = False,
        timeout: float = TIMEOUT,
        progress: Progress = None,
    ) -> Any:
        """Runs images on a device and gives the outputs.

        x: an array of the model's shape, alone or as a batch (N, ...), numbers of any usual type, in the range that the model takes; with
        several inputs a dictionary from name to array, or a list. Or pictures, folders, a data set: a path or `cnna.Images`. The arrays are
        read where they lie. raw: int16 and int8 arrays are the format's words, and so are the results (int16).
        most: only the first of many pictures. details: give a `Run` with cycles and counters instead of arrays alone.
        Returns float32 of the output's shape, with the batch before it unless x had none; a dictionary where there are several outputs.
        Raises InputError, DeviceError, FileError.
        """
        bar = bars(progress)
        if isinstance(x, (str, os.PathLike, Images)):
            native = images_of(x)._native
            arrays, facts, names = self._native.run_pictures(native, device, most, raw, timeout, bar)
            single = isinstance(x, (str, os.PathLike)) and os.path.isfile(x) and len(names) == 1
            return self._result(arrays, single, details, facts, names)
        given, alone = self._given(x)
        arrays, facts = self._native.run(given, device, raw, timeout, bar)
        return self._result(arrays, alone, details, facts, [])

    __call__ = run

    async def run_async(self, x: Any, device: str = "cycle", **options: Any) -> Any:
        """As `run`, for `await`: other tasks go on meanwhile."""
        # Here, since it would be a third of the package's own time to import.
        import asyncio

        return await asyncio.to_thread(self.run, x, device, **options)

    def on(self, device: str, *, timeout: float = TIMEOUT, progress: Progress = None) -> "Device":
        """Opens a device and loads the program into it once, for many runs; use it with `with`. Raises DeviceError."""
        return Device(self, device, timeout, progress)

    # Looking.

    def check(
        self,
        x: Optional[Arrays] = None,
        *,
        engines: Sequence[str] = ("cycle",),
        images: Optional[int] = None,
        seed: int = 1,
        timeout: float = TIMEOUT,
        progress: Progress = None,
    ) -> Check:
        """Compares engines ("cycle", "rtl") with the reference, bit for bit and cycle for cycle, on arrays or on random words.

        A difference is no exception: the result is false and tells it. "rtl" needs Verilator and builds once a configuration.
        """
        for e in engines:
            if e not in ("reference", "cycle", "rtl"):
                raise _error("DeviceError", f"`{e}` is no engine: give some of reference, cycle and rtl")
        given = [] if x is None else self._given(x)[0]
        facts, difference = self._native.check(given, images, seed, list(engines), timeout, bars(progress))
        return Check(json.loads(facts), difference)

    def report(
        self,
        x: Optional[Arrays] = None,
        device: str = "cycle",
        *,
        quantized: Optional[Quantized] = None,
        seed: int = 1,
        timeout: float = TIMEOUT,
        progress: Progress = None,
    ) -> Report:
        """Runs one image (without x, random words) and tells what it cost: roofline, cycles, memory, all numbers. quantized: adds each
        tensor's signal-to-noise. Raises DeviceError: the reference counts no cycles."""
        given = [] if x is None else self._given(x)[0]
        what = f"random words of seed {seed}" if x is None else "an array"
        facts, page, summary, headline = self._native.report(
            given, device, what, seed, as_json(quantized), timeout, bars(progress)
        )
        return Report(json.loads(facts), page, summary, headline)

    def save(self, path: Union[str, os.PathLike]) -> None:
        """Writes the program file, for the command line and `cnna-host`."""
        self._native.save(os.fspath(path))

    def save_onnx(self, path: Union[str, os.PathLike]) -> None:
        """Writes the quantised network as QDQ ONNX."""
        self._native.save_onnx(os.fspath(path))

    def trace(self, path: Union[str, os.PathLike], *, seed: int = 1, progress: Progress = None) -> None:
        """Runs one image of random words on the simulator and writes the timeline of queues and ports, for Perfetto."""
        self._native.trace(os.fspath(path), seed, bars(progress))

    def dot(self) -> str:
        """The network for Graphviz, each node with the mode that runs it."""
        return self._native.dot()

    def __repr__(self) -> str:
        return (
            f"<cnna.Program {self.name} for {self.board}: {len(self.meta['layers'])} layers, "
            f"some {self.estimated_cycles:,} cycles an image>"
        )

    def _repr_html_(self) -> str:
        """Figures, roofline and table of a run of random words on the simulator, made when they are first shown."""
        if self._shown is None:
            self._shown = self.report(progress=False)._summary
        return _framed(self._shown, 620)


class Device:
    """A program loaded into a device, see `Program.on`: runs without loading the weights again. Close it, or use it with `with`."""

    def __init__(self, program: Program, name: str, timeout: float, progress: Progress) -> None:
        self.program = program
        self.name = name
        self._timeout = timeout
        # The reference keeps nothing in a device: the program itself keeps the network decoded.
        self._native = None
        self._closed = False
        if name != "reference":
            self._native = _native.Device(program._native, name, timeout, bars(progress))

    def run(self, x: Arrays, *, raw: bool = False, details: bool = False, progress: Progress = None) -> Any:
        """As `Program.run` of arrays."""
        if self._closed:
            raise _error("DeviceError", f"{self.name}: the device is closed: open it again")
        if self._native is None:
            return self.program.run(x, self.name, raw=raw, details=details, progress=progress)
        given, alone = self.program._given(x)
        arrays, facts = self._native.run(given, raw, self._timeout, bars(progress))
        return self.program._result(arrays, alone, details, facts, [])

    __call__ = run

    async def run_async(self, x: Any, **options: Any) -> Any:
        """As `run`, for `await`."""
        import asyncio

        return await asyncio.to_thread(self.run, x, **options)

    def close(self) -> None:
        """Gives the device back. More than once does no harm."""
        self._closed = True
        if self._native is not None:
            self._native.close()

    def __enter__(self) -> "Device":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<cnna.Device {self.name} with {self.program.name}>"


def _error(kind: str, message: str) -> Exception:
    from . import errors

    return getattr(errors, kind)(message)


def _framed(page: str, height: int) -> str:
    """A page of its own style within another."""
    return f'<iframe srcdoc="{html.escape(page)}" style="width:100%;height:{height}px;border:0"></iframe>'
