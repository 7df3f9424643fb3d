"""CNN accelerators for small FPGAs, proven bit for bit: quantise, compile, simulate, check, run.

    import cnna
    program = cnna.compile("model.onnx", board="ultra96", calib="photos/")
    scores = program.run("photo.jpg")                  # the cycle simulator; device="uio0" on a board
    print(scores.argmax(), program.report().headline)

Every function takes strings or paths, gives numpy arrays, lets other threads run meanwhile, stops at Ctrl-C, and raises
subclasses of `cnna.Error` with the command line's messages. `progress=` takes True (tqdm's bars), a class of tqdm's protocol, or
None; without it bars appear in notebooks.

    compile, open          a model, or a program file, as a Program
    quantize               a float model as a quantised ONNX file
    Program                run, run_async, on, check, report, save, trace, save_onnx, dot
    explore                which machine for these networks
    rtl                    a board's RTL and bitstream sources
    boards, Board, zoo     what is built in
    cnna.torch             training with the machine's arithmetic (needs torch)
    cnna.pynq              the overlay's driver on a board with PYNQ
"""

from __future__ import annotations

import importlib
from typing import Any

# The native half is loaded when it is first needed: `cnna.pynq` runs on boards without it.
_WHERE = {
    "Board": "board",
    "boards": "board",
    "rtl": "board",
    "zoo": "board",
    "Program": "program",
    "Device": "program",
    "Report": "program",
    "Check": "program",
    "Run": "program",
    "compile": "program",
    "open": "program",
    "Images": "images",
    "quantize": "quantization",
    "Quantized": "quantization",
    "explore": "exploration",
    "Exploration": "exploration",
    "Error": "errors",
    "ModelError": "errors",
    "CompileError": "errors",
    "BoardError": "errors",
    "ProgramError": "errors",
    "InputError": "errors",
    "FileError": "errors",
    "DeviceError": "errors",
    "__version__": "_native",
}

__all__ = [name for name in _WHERE if not name.startswith("_")]


def __getattr__(name: str) -> Any:
    module = _WHERE.get(name)
    if module is None:
        raise AttributeError(f"module 'cnna' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"cnna.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_WHERE))
