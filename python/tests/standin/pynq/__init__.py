"""A stand-in for PYNQ over a simulated accelerator, written from PYNQ's public interfaces (pynq.readthedocs.io): `Overlay` with `ip_dict` and
IPs as attributes, `DefaultIP` with `bindto`, `read` and `write`, `allocate` with `device_address`, `flush`, `invalidate` and `freebuffer`,
`get_rails`.

The accelerator is a file that `cnna serve` serves: registers first, the memory window behind them. A bitstream's "file" is that
file's path. Buffers lie in the window; what is flushed and invalidated is counted, so that a test sees what is forgotten.
"""

from __future__ import annotations

import mmap
import os
import struct
import time

import numpy as np

REGISTER_BYTES = 4096
BASE = 0x5000_0000
# The shared file's own words, behind the registers: see host/src/shared.rs.
CALL, ANSWER = REGISTER_BYTES - 16, REGISTER_BYTES - 12
CONTROL = 0x10

_drivers = {}


class RegisterIP(type):
    """As PYNQ's metaclass: a subclass with `bindto` becomes the driver of those IPs."""

    def __init__(cls, name, bases, attributes):
        for kind in attributes.get("bindto", []):
            _drivers[kind] = cls
        super().__init__(name, bases, attributes)


class Memory:
    """The shared file, mapped."""

    active = None

    def __init__(self, path):
        self.file = os.open(path, os.O_RDWR)
        self.map = mmap.mmap(self.file, 0)
        self.bytes = np.frombuffer(self.map, np.uint8)
        self.taken = False
        self.flushed = self.invalidated = 0
        Memory.active = self

    def read(self, offset):
        return struct.unpack_from("<I", self.map, offset)[0]

    def write(self, offset, value):
        struct.pack_into("<I", self.map, offset, value & 0xFFFFFFFF)
        if offset == CONTROL:
            # A bus write has an effect at once; in a file the server says when it has seen it.
            call = self.read(CALL) + 1 & 0xFFFFFFFF
            struct.pack_into("<I", self.map, CALL, call)
            while self.read(ANSWER) != call:
                time.sleep(0.0005)


class DefaultIP(metaclass=RegisterIP):
    def __init__(self, description):
        self.memory = description["device"]
        self.description = description

    def read(self, offset=0):
        return self.memory.read(offset)

    def write(self, offset, value):
        if not isinstance(value, int):
            raise ValueError("Data type must be int")
        self.memory.write(offset, value)


class Overlay:
    kind = "cnna:user:cnna:1.0"

    def __init__(self, bitfile_name, dtbo=None, download=True, ignore_version=False, device=None):
        self.bitfile_name = bitfile_name
        self.memory = Memory(bitfile_name)
        self.ip_dict = {
            "processing_system": {"type": "xilinx.com:ip:zynq_ultra_ps_e:3.3", "phys_addr": 0, "addr_range": 0},
            "cnna_0": {"type": self.kind, "phys_addr": 0xA0000000, "addr_range": REGISTER_BYTES},
        }

    def __getattr__(self, key):
        facts = self.__dict__["ip_dict"].get(key)
        if facts is None:
            raise AttributeError(key)
        driver = _drivers.get(facts["type"], DefaultIP)
        return driver({**facts, "fullpath": key, "device": self.memory})


class PynqBuffer(np.ndarray):
    device_address = BASE
    coherent = False

    @property
    def physical_address(self):
        return self.device_address

    def flush(self):
        Memory.active.flushed += 1

    def invalidate(self):
        Memory.active.invalidated += 1

    def freebuffer(self):
        Memory.active.taken = False


def allocate(shape, dtype="u4", target=None, **kwargs):
    memory = Memory.active
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if memory.taken or REGISTER_BYTES + size > len(memory.bytes):
        raise RuntimeError("Failed to allocate memory")
    memory.taken = True
    window = memory.bytes[REGISTER_BYTES : REGISTER_BYTES + size]
    return window.view(dtype).reshape(shape).view(PynqBuffer)


class _Sensor:
    def __init__(self, value):
        self.value = value


class _Rail:
    def __init__(self, name, power):
        self.name, self.voltage, self.current = name, None, None
        self.power = None if power is None else _Sensor(power)


def get_rails(config_file=None):
    return {"VCCINT": _Rail("VCCINT", 1.5), "VCCAUX": _Rail("VCCAUX", 0.25), "3V3": _Rail("3V3", None)}
