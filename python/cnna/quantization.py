"""From a float model to a quantised one."""

from __future__ import annotations

import json
import os
from typing import Any, Optional, Union

from . import _native
from .images import Images, Paths, of as images_of
from .progress import Progress, bars


class Quantized:
    """What quantisation did.

    path: the quantised ONNX file. rows: one dictionary a tensor (tensor, operator, frac, peak, snr_db, saturated, output).
    output_db: the worst output's signal-to-noise against float, None where there is no error. notes: what one should know.
    """

    def __init__(self, report: dict, text: str, notes: list[str]) -> None:
        self.facts = report
        self.path = report["output"]
        self.notes = notes
        table = report["table"] or {"rows": [], "output_db": None}
        self.rows: list[dict] = table["rows"]
        self.output_db: Optional[float] = table["output_db"]
        self._text = text

    def __str__(self) -> str:
        return self._text + "".join(f"note: {n}\n" for n in self.notes)

    def __repr__(self) -> str:
        db = "exact" if self.output_db is None else f"{self.output_db:.1f} dB"
        return f"<cnna.Quantized {self.path}: {len(self.rows)} tensors, output {db}>"

    def _repr_html_(self) -> str:
        import html

        return f"<pre>{html.escape(str(self))}</pre>"


def quantize(
    model: Union[str, os.PathLike],
    output: Union[str, os.PathLike],
    *,
    calib: Union[Paths, Images, None] = None,
    word: int = 16,
    progress: Progress = None,
) -> Quantized:
    """Gives a float ONNX model number formats from sample images and writes it as QDQ ONNX; its weights stay as they are.

    calib: images like those that the network is made for (see `cnna.Images`; paths alone are pixels 0 to 1). word: bits of weights and
    activations, 8 or 16.
    Raises ModelError: not read, or float without images. InputError: images that do not fit. FileError.
    """
    report, text, notes = _native.quantize(
        os.fspath(model),
        os.fspath(output),
        word,
        images_of(calib)._native,
        bars(progress),
    )
    return Quantized(json.loads(report), text, notes)


def as_json(quantized: Any) -> Optional[str]:
    """For a report's picture of each tensor's signal-to-noise."""
    return None if quantized is None else json.dumps(quantized.facts)
