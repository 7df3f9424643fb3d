"""The overlay: PYNQ's own, which finds the accelerator among its IPs."""

from __future__ import annotations

import os
from typing import Any, Dict, Union

import pynq

from .driver import Driver, Network
from .program_file import ProgramFile


class Overlay(pynq.Overlay):
    """A bitstream with one accelerator; see `cnna.pynq`. Arguments are pynq.Overlay's. Raises RuntimeError: no accelerator in it."""

    @property
    def accelerator(self) -> Driver:
        """The driver of the accelerator."""
        for name, facts in self.ip_dict.items():
            if facts["type"] in Driver.bindto:
                return getattr(self, name)
        raise RuntimeError(
            f"no accelerator among the overlay's IPs ({', '.join(self.ip_dict) or 'none'}): take the bitstream and .hwh of `cnna rtl`'s build.tcl"
        )

    def load(self, program: Union[str, os.PathLike, ProgramFile], **options: Any) -> Network:
        """A program in the accelerator's memory; see `Driver.load`."""
        return self.accelerator.load(program, **options)

    @staticmethod
    def power() -> Dict[str, float]:
        """Watts of every rail that the board measures, and "total"; empty where it measures none (PYNQ-Z2 has no sensors)."""
        rails = {n: float(r.power.value) for n, r in pynq.get_rails().items() if getattr(r, "power", None) is not None}
        if rails:
            rails["total"] = sum(rails.values())
        return rails
