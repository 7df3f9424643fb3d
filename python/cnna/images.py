"""Pictures, arrays and folders, and what becomes of their pixels."""

from __future__ import annotations

import os
from typing import Any, Iterable, Mapping, Optional, Sequence, Union

from . import _native

Paths = Union[str, os.PathLike, Sequence[Union[str, os.PathLike]], Mapping[str, Any]]


class Images:
    """Images as a user has them: pictures (PNG, JPEG), folders of them or of class folders, npy files, a data set's name; for
    networks with several inputs a dictionary from the input's name. And how pixels become numbers:

    pixels: what a pixel's largest value is for the network, 1 or 255. mean, std: subtracted and divided by, one value or one a channel.
    resize: pixels of the shorter side. crop: side of the square cut from the centre. What is left out is as the model or program says;
    else pixels are 0 to 1. most: at most so many images, evenly spread. method: how ranges become formats, "max", "percentile" or "mse".
    """

    def __init__(
        self,
        paths: Paths = (),
        *,
        pixels: Optional[int] = None,
        mean: Union[float, Sequence[float], None] = None,
        std: Union[float, Sequence[float], None] = None,
        resize: Optional[int] = None,
        crop: Optional[int] = None,
        most: Optional[int] = None,
        method: Optional[str] = None,
    ) -> None:
        if pixels not in (None, 1, 255):
            raise ValueError(f"pixels={pixels}: a pixel's largest value is 1 or 255")
        self._native = _native.Images(
            list(_named(paths)),
            None if pixels is None else pixels == 255,
            _values(mean),
            _values(std),
            resize,
            crop,
            most,
            method,
        )


def _values(v: Union[float, Sequence[float], None]) -> Optional[list[float]]:
    if v is None:
        return None
    return [float(v)] if isinstance(v, (int, float)) else [float(x) for x in v]


def _one(paths: Any) -> Iterable[str]:
    if isinstance(paths, (str, os.PathLike)):
        return [os.fspath(paths)]
    return [os.fspath(p) for p in paths]


def _named(paths: Any) -> Iterable[tuple[Optional[str], str]]:
    if isinstance(paths, Mapping):
        for name, some in paths.items():
            for p in _one(some):
                yield name, p
    else:
        for p in _one(paths):
            yield None, p


def of(images: Any) -> Images:
    """Images as they are, or from paths; None is no images."""
    if isinstance(images, Images):
        return images
    return Images(() if images is None else images)
