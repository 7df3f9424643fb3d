"""Progress by tqdm's protocol: a class called with `total`, `desc` and `unit`, whose objects have `update`, `set_description` and
`close`. Needs no tqdm itself."""

from __future__ import annotations

import sys
from typing import Any, Callable, Optional, Union

Progress = Union[None, bool, Callable[..., Any]]
"""True: tqdm's bars. A class of tqdm's protocol: its bars. False: none. None: tqdm's in notebooks, if it is there."""


def _in_notebook() -> bool:
    kernel = sys.modules.get("IPython")
    shell = kernel.get_ipython() if kernel else None
    return shell is not None and type(shell).__name__ == "ZMQInteractiveShell"


def _tqdm() -> Optional[Callable[..., Any]]:
    try:
        import warnings

        with warnings.catch_warnings():
            # It warns where a notebook has no widgets, and then draws text.
            warnings.simplefilter("ignore")
            from tqdm.auto import tqdm
    except ImportError:
        return None
    return tqdm


def bars(progress: Progress) -> Optional["Bars"]:
    """What the native half tells its progress to; None where nobody wants to know."""
    if progress is None and not _in_notebook():
        return None
    if progress is None or progress is True:
        progress = _tqdm()
    return Bars(progress) if progress else None


class Bars:
    """One bar after the other."""

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make
        self._bar: Any = None
        self._at = 0
        self._what = ""

    def begin(self, what: str, length: Optional[int], unit: str) -> None:
        self.end()
        self._what, self._at = what, 0
        self._bar = self._make(total=length, desc=what, unit=f" {unit}" if unit else "")

    def at(self, steps: int) -> None:
        if self._bar is not None and steps > self._at:
            self._bar.update(steps - self._at)
            self._at = steps

    def note(self, text: str) -> None:
        if self._bar is not None:
            self._bar.set_description(text)

    def end(self) -> None:
        if self._bar is None:
            return
        total = getattr(self._bar, "total", None)
        if total is not None and total > self._at:
            self._bar.update(total - self._at)
        self._bar.close()
        self._bar = None
