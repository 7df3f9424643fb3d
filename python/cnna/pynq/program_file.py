"""Program files: the layout that `machine/src/program.rs` describes, read with numpy."""

from __future__ import annotations

import os
import struct
import zlib
from typing import Any, Dict, List, Tuple, Union

import numpy as np

from . import machine

try:
    import tomllib
except ImportError:  # Python before 3.11
    import tomli as tomllib  # type: ignore[no-redef]


class ProgramError(ValueError):
    """A file that is no program of this release, or is damaged."""


class ProgramFile:
    """meta: everything but the bytes. image: the first bytes of the memory window (uint8)."""

    def __init__(self, path: Union[str, os.PathLike]) -> None:
        self.path = os.fspath(path)
        data = np.memmap(self.path, np.uint8, "r")
        head = bytes(data[: machine.PROGRAM_HEADER_BYTES])
        if head[:8] != machine.PROGRAM_MAGIC or len(head) < machine.PROGRAM_HEADER_BYTES:
            raise ProgramError(f"{self.path}: not a program file: make it with `cnna compile`")
        format_, sections, self.config, size = struct.unpack_from("<IIQQ", head, 8)
        if format_ != machine.PROGRAM_FORMAT:
            raise ProgramError(
                f"{self.path}: format version {format_}, this package reads {machine.PROGRAM_FORMAT}: compile the model again"
            )
        if zlib.crc32(head[:-4]) != struct.unpack_from("<I", head, len(head) - 4)[0]:
            raise ProgramError(f"{self.path}: its header is damaged: compile the model again")
        if size != len(data):
            raise ProgramError(f"{self.path}: it was cut short: copy or compile it again")
        parts = []
        for i in range(sections):
            _, crc, offset, length = struct.unpack_from("<IIQQ", head, 32 + 24 * i)
            part = data[offset : offset + length]
            if len(part) != length or zlib.crc32(part) != crc:
                raise ProgramError(f"{self.path}: section {i} is damaged: compile the model again")
            parts.append(part)
        self.meta: Dict[str, Any] = tomllib.loads(bytes(parts[0]).decode("utf-8"))
        self.image: np.ndarray = parts[1]

    @property
    def name(self) -> str:
        return self.meta["name"]

    @property
    def window_bytes(self) -> int:
        return self.meta["window_bytes"]

    @property
    def inputs(self) -> List[dict]:
        return self.meta["inputs"]

    @property
    def outputs(self) -> List[dict]:
        return self.meta["outputs"]

    def segments(self) -> List[Tuple[int, int]]:
        """Byte offset in the window and number of commands of each part of the stream for one image."""
        stream = self.meta["streams"][0]
        starts = [0, *stream.get("breaks", [])]
        ends = [*stream.get("breaks", []), stream["commands"]]
        return [(stream["commands_offset"] + a * machine.COMMAND_BYTES, b - a) for a, b in zip(starts, ends)]


def words(port: dict, x: np.ndarray, bits: int) -> np.ndarray:
    """Numbers of an input's array as its words: halves to even, saturated. Raises ValueError: another shape, no numbers."""
    dims = tuple(port["array"]["dims"])
    if x.shape != dims:
        raise ValueError(f"input `{port['name']}`: shape {x.shape} does not fit: it takes {dims}")
    if not np.all(np.isfinite(x)):
        raise ValueError(f"input `{port['name']}`: the input must be finite numbers")
    q = np.rint(np.asarray(x, np.float64) * 2.0 ** port["tensor"]["frac"])
    return np.clip(q, -(1 << (bits - 1)), (1 << (bits - 1)) - 1).astype(np.int16)


def reals(port: dict, q: np.ndarray) -> np.ndarray:
    """An output's words as numbers."""
    return (q * 2.0 ** -port["tensor"]["frac"]).astype(np.float32)


def tensor(window: np.ndarray, info: dict) -> np.ndarray:
    """A tensor in the window's bytes as a view [channel][row][column] of words: writing to it writes the window."""
    layout = info["layout"]
    shape, size = layout["shape"], layout["word_bytes"]
    base = window[info["offset"] :].view(np.int8 if size == 1 else "<i2")
    return np.lib.stride_tricks.as_strided(
        base,
        (shape["c"], shape["h"], shape["w"]),
        (layout["padded_w"] * size, layout["row_bytes"], size),
    )


def _array(port: dict) -> Tuple[int, List[int], List[int]]:
    """First position, counts and distances of the user's array in the tensor's order of elements."""
    axes = port["array"]["axes"]
    return port["array"]["first"], [n for n, _ in axes], [d for _, d in axes]


def put(window: np.ndarray, port: dict, q: np.ndarray) -> None:
    """Writes an input's words, in the order of the user's array, into the window."""
    view = tensor(window, port["tensor"])
    flat = np.zeros(view.size, np.int16)
    first, counts, distances = _array(port)
    target = np.lib.stride_tricks.as_strided(flat[first:], counts, [2 * d for d in distances])
    target[...] = q.reshape(counts)
    view[...] = flat.reshape(view.shape)


def take(window: np.ndarray, port: dict) -> np.ndarray:
    """An output's words in the order and shape of the user's array."""
    flat = np.ascontiguousarray(tensor(window, port["tensor"]), np.int16).reshape(-1)
    first, counts, distances = _array(port)
    view = np.lib.stride_tricks.as_strided(flat[first:], counts, [2 * d for d in distances])
    return view.reshape(port["array"]["dims"]).copy()
