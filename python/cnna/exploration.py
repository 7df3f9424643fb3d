"""Which machine: many shapes of a board's accelerator, planned and simulated for the user's networks."""

from __future__ import annotations

import html
import json
import os
from pathlib import Path
from typing import Any, Iterable, Optional, Sequence, Union

from . import _native
from .board import Board, of as board_of
from .images import Images, Paths, of as images_of
from .progress import Progress, bars


class Exploration:
    """What was found.

    folder: index.html, board.toml (the chosen machine), explore.json, machines/*.toml. machines: one dictionary a machine (board,
    costs a network, front, cycles, ddr_bytes). front: those on a front, simulated. chosen: the fastest's.
    """

    def __init__(self, facts: dict, folder: Path) -> None:
        self.facts = facts
        self.folder = folder
        self.machines: list[dict] = facts["machines"]
        for m in self.machines:
            m["cycles"] = sum(c["simulated"] or c["planned"] for c in m["costs"])
            m["ddr_bytes"] = sum(c["ddr_bytes"] for c in m["costs"])
        self.front = [m for m in self.machines if m["front"]]
        self.chosen = self.machines[facts["chosen"]]

    @property
    def board(self) -> Board:
        """The chosen machine's."""
        return Board(self.folder / "board.toml")

    def __repr__(self) -> str:
        return (
            f"<cnna.Exploration of {len(self.machines)} machines, {len(self.front)} on a front: "
            f"{self.chosen['board']['name']} in {self.chosen['cycles']:,} cycles>"
        )

    def _repr_html_(self) -> str:
        page = (self.folder / "index.html").read_text(encoding="utf-8")
        return f'<iframe srcdoc="{html.escape(page)}" style="width:100%;height:720px;border:0"></iframe>'


def explore(
    models: Union[str, os.PathLike, Iterable[Union[str, os.PathLike]]],
    board: Union[str, os.PathLike, Board],
    output: Union[str, os.PathLike],
    *,
    vary: Sequence[str] = (),
    machines: int = 1000,
    calib: Union[Paths, Images, None] = None,
    seed: int = 1,
    progress: Progress = None,
    **keys: Any,
) -> Exploration:
    """Plans `machines` shapes of the board's accelerator for one network or several, simulates the front of cycles against DSPs,
    block RAMs, look-up tables and DDR bytes, and writes a page with it to the folder `output`.

    models: ONNX files or zoo names. vary: keys of the accelerator, "lanes" for its usual values or "lanes=4/8/12"; none for the usual
    keys. seed: of the sample, and of a zoo network's weights.
    Raises ModelError, BoardError, CompileError: a network that the board's own machine cannot run. FileError.
    """
    if isinstance(models, (str, os.PathLike)):
        models = [models]
    name, overrides = board_of(board, keys)
    folder = Path(output)
    facts = _native.explore(
        [os.fspath(m) for m in models],
        name,
        overrides,
        images_of(calib)._native,
        seed,
        list(vary),
        machines,
        folder,
        bars(progress),
    )
    return Exploration(json.loads(facts), folder)
