"""Boards and the zoo."""

from __future__ import annotations

import html
import json
import os
from pathlib import Path
from typing import Any, Union

from . import _native


class Board:
    """A board: the machine's shape, its memory's model, its chip's limits. `Board("pynq-z2", lanes=8)` changes keys of the
    accelerator; keys of another table go by `Board("ultra96", **{"memory.latency": 20})`.

    name: one of `cnna.boards()`, or the path of a board's .toml file.
    Raises BoardError: no such board or key, a value out of range. (Whether the chip has room is seen when one compiles.)
    """

    def __init__(self, name: Union[str, os.PathLike], **keys: Any) -> None:
        self._source = os.fspath(name)
        self._set = _overrides(keys)
        facts, self._toml, resources = _native.board(self._source, self._set)
        self.facts: dict = json.loads(facts)
        """Every key of the board file, table by table."""
        self.dsp, self.bram36, self.lut, self.ff = resources

    @property
    def name(self) -> str:
        return self.facts["name"]

    @property
    def title(self) -> str:
        return self.facts["title"]

    @property
    def limits(self) -> dict:
        """What the chip has: dsp, bram36, lut, ff."""
        return self.facts["limits"]

    def save(self, path: Union[str, os.PathLike]) -> None:
        """Writes the board file (TOML, every key)."""
        with open(path, "w", encoding="utf-8") as f:
            f.write(self._toml)

    def __repr__(self) -> str:
        a = self.facts["accelerator"]
        return (
            f"<cnna.Board {self.name}: {a['tiles']} tiles x {a['lanes']} lanes, {a['word']}-bit words, "
            f"{self.facts['clock_mhz']:g} MHz, {self.dsp} of {self.limits['dsp']} DSPs>"
        )

    def _repr_html_(self) -> str:
        rows = [
            (what, f"{have:,}", f"{self.limits[key]:,}")
            for what, have, key in (
                ("DSP slices", self.dsp, "dsp"),
                ("block RAMs (36 Kbit)", self.bram36, "bram36"),
                ("look-up tables (estimate)", self.lut, "lut"),
                ("flip-flops (estimate)", self.ff, "ff"),
            )
        ]
        cells = "".join(f"<tr><td>{w}</td><td>{h}</td><td>{m}</td></tr>" for w, h, m in rows)
        return (
            f"<b>{html.escape(self.name)}</b>: {html.escape(self.title)}"
            f"<table><tr><th>resource</th><th>needed</th><th>there</th></tr>{cells}</table>"
        )


def _overrides(keys: dict) -> list[tuple[str, str]]:
    """Keys and values as a board file's text."""
    return [(k, str(v).lower() if isinstance(v, bool) else str(v)) for k, v in keys.items()]


def of(board: Union[str, os.PathLike, Board], keys: dict) -> tuple[str, list]:
    """Name and overrides, as the native half takes them."""
    if isinstance(board, Board):
        return board._source, board._set + _overrides(keys)
    return os.fspath(board), _overrides(keys)


def boards() -> list[str]:
    """The names of the boards built in."""
    return _native.boards()


def rtl(
    board: Union[str, os.PathLike, Board],
    output: Union[str, os.PathLike],
    *,
    program: Any = None,
    **keys: Any,
) -> list[Path]:
    """Writes everything that Vivado and Linux need for a board's bitstream into the folder `output`: RTL, build.tcl, constraints,
    device-tree overlays. program: reserve only the memory that this `cnna.Program` needs. Returns the files.
    Raises BoardError, FileError.
    """
    name, overrides = of(board, keys)
    window = None if program is None else program.meta["window_bytes"]
    return [Path(f) for f in _native.rtl(name, overrides, os.fspath(output), window)]


def zoo() -> list[str]:
    """Networks that `compile` knows by name, with weights from a seed: for measuring, not for answers. Most also take a size,
    as in zoo:resnet18@56."""
    return _native.zoo()[0]
