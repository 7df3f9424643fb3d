"""The driver that PYNQ binds to the accelerator: registers by name, programs in buffers of `pynq.allocate`."""

from __future__ import annotations

import os
import time
from typing import Any, Dict, Optional, Union

import numpy as np
import pynq

from . import machine, program_file
from .program_file import ProgramFile


class Timeout(RuntimeError):
    """The accelerator does not come to an end."""


class Driver(pynq.DefaultIP):
    """Bound to the packaged IP and to the module that `cnna rtl`'s block design refers to; see `Overlay`.

    registers: a dictionary-like view by name, as in `driver["CYCLES"]`. PYNQ's own `register_map` is there too where the .hwh holds the
    registers (the packaged IP's does).
    """

    bindto = ["cnna:user:cnna:1.0", "xilinx.com:module_ref:cnna_wrapper:1.0"]

    def __getitem__(self, name: str) -> int:
        """A register's value."""
        return self.read(machine.REGISTERS[name].offset)

    def __setitem__(self, name: str, value: int) -> None:
        register = machine.REGISTERS[name]
        if register.access != "rw":
            raise KeyError(f"{name} is written by the device only")
        self.write(register.offset, value)

    def registers(self) -> Dict[str, int]:
        """All of them, for a look."""
        return {name: self[name] for name in machine.REGISTERS}

    @property
    def config(self) -> int:
        """Identity of the machine in the bitstream; a program runs where its own is equal."""
        return self["HASH_HI"] << 32 | self["HASH_LO"]

    def check(self) -> None:
        """Raises RuntimeError when this is no accelerator of this release."""
        if self["ID"] != machine.ID_VALUE:
            raise RuntimeError(
                f"the ID register reads {self['ID']:#010x} instead of {machine.ID_VALUE:#010x}: load the bitstream that `cnna rtl` describes"
            )
        if self["VERSION"] != machine.VERSION_VALUE:
            raise RuntimeError(
                f"the device has register version {self['VERSION']}, this package speaks {machine.VERSION_VALUE}: take both from one release"
            )

    def load(self, program: Union[str, os.PathLike, ProgramFile], *, timeout: float = 10.0, target: Any = None) -> "Network":
        """A program in memory of its own, ready for images. target: as `pynq.allocate`'s."""
        if not isinstance(program, ProgramFile):
            program = ProgramFile(program)
        return Network(self, program, timeout, target)

    def stop(self, timeout: float = 10.0) -> None:
        """Ends whatever runs, transfers included, and leaves the accelerator idle."""
        self["CONTROL"] = 1
        states = machine.STATUS_BUSY | machine.STATUS_IN_FLIGHT | machine.STATUS_RESET_DONE
        self._wait(lambda: self["STATUS"] & states == machine.STATUS_RESET_DONE, timeout, "it resets")
        # Without this an interrupted program would start again.
        self["START"] = self["DONE"]
        self["CONTROL"] = 0

    def _wait(self, done: Any, timeout: float, what: str) -> None:
        begin = time.monotonic()
        while not done():
            if time.monotonic() - begin > timeout:
                values = " ".join(f"{n}={v:#x}" for n, v in self.registers().items())
                raise Timeout(f"no end for {timeout:g} s while {what}; registers: {values}")
            time.sleep(0)

    def execute(self, offset: int, commands: int, timeout: float) -> None:
        """Runs a part of a stream to its end. Raises RuntimeError: the device's own error; Timeout, after a stop."""
        self["PROG_OFFSET"], self["PROG_COUNT"] = offset, commands
        sequence = (self["DONE"] + 1) & 0xFFFFFFFF
        self["START"] = sequence
        try:
            self._wait(lambda: self["DONE"] == sequence, timeout, "the program runs")
        except (Timeout, KeyboardInterrupt):
            self.stop()
            raise
        code = self["STATUS"] >> 8 & 0xFF
        if code:
            meaning = machine.ERRORS.get(code, "an error unknown to this release")
            raise RuntimeError(f"the device stopped: {meaning} (code {code}), command {self['ERROR_INFO']:#010x}")


class Network:
    """A program in the accelerator's memory; call it with images. Free its memory with `close`, or use it with `with`.

    cycles, saturated: of the last image. layers: its counters, one dictionary a layer.
    """

    def __init__(self, driver: Driver, program: ProgramFile, timeout: float, target: Any) -> None:
        self.driver, self.program, self.timeout = driver, program, timeout
        self.cycles = self.saturated = 0
        self._buffer: Optional[Any] = None
        driver.check()
        if program.meta.get("host"):
            names = ", ".join(f"{h['name']} ({h['operator']})" for h in program.meta["host"])
            raise RuntimeError(f"the program leaves {names} to the host, which this driver does not compute: use `cnna-host`")
        if driver.config != program.config:
            raise RuntimeError(
                f"the bitstream holds the machine {driver.config:016x}, the program is for {program.config:016x} "
                f"(board {program.meta['board']['name']}): compile the model for the machine in the bitstream"
            )
        self._buffer = pynq.allocate(shape=(program.window_bytes,), dtype=np.uint8, **({"target": target} if target else {}))
        try:
            self._buffer[: len(program.image)] = program.image
            self._buffer.flush()
            if driver["START"] != driver["DONE"] or driver["STATUS"] & (machine.STATUS_BUSY | machine.STATUS_IN_FLIGHT):
                driver.stop(timeout)
        except BaseException:
            self.close()
            raise

    def __call__(self, x: Any) -> Any:
        """One image, an array of the model's shape or a dictionary from input to array: the output as float32, or a dictionary."""
        if self._buffer is None:
            raise RuntimeError("the network is closed: load the program again")
        p = self.program
        bits = p.meta["board"]["accelerator"]["word"]
        given = x if isinstance(x, dict) else {p.inputs[0]["name"]: x}
        missing = {i["name"] for i in p.inputs} ^ set(given)
        if missing:
            raise ValueError(f"the program's inputs are {', '.join(i['name'] for i in p.inputs)}")
        for port in p.inputs:
            program_file.put(self._buffer, port, program_file.words(port, np.asarray(given[port["name"]]), bits))
        self._buffer.flush()
        base = int(self._buffer.device_address)
        d = self.driver
        d["MEM_BASE_LO"], d["MEM_BASE_HI"], d["MEM_SIZE"] = base & 0xFFFFFFFF, base >> 32, p.window_bytes
        self.cycles = self.saturated = 0
        for offset, commands in p.segments():
            d.execute(offset, commands, self.timeout)
            self.cycles += d["CYCLES"]
            self.saturated += d["SATURATED"]
        self._buffer.invalidate()
        outputs = {o["name"]: program_file.reals(o, program_file.take(self._buffer, o)) for o in p.outputs}
        return outputs if len(outputs) > 1 else next(iter(outputs.values()))

    @property
    def milliseconds(self) -> float:
        """The last image's cycles at the board file's planned clock."""
        return self.cycles / (self.program.meta["board"]["clock_mhz"] * 1e3)

    @property
    def layers(self) -> list:
        """What the last image cost, layer by layer, from the device's own counters."""
        rows, before, segment = [], np.zeros(len(machine.RECORD), np.uint32), 0
        for layer in self.program.meta["layers"]:
            if layer.get("segment", 0) != segment:
                before, segment = np.zeros_like(before), layer.get("segment", 0)
            at = layer["record"]
            now = np.array(self._buffer[at : at + 4 * len(machine.RECORD)]).view("<u4")
            rows.append({"name": layer["name"], **dict(zip(machine.RECORD, (now - before).tolist()))})
            before = now
        return rows

    def close(self) -> None:
        """Frees the memory. More than once does no harm."""
        if self._buffer is not None:
            self._buffer.freebuffer()
            self._buffer = None

    def __enter__(self) -> "Network":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()
