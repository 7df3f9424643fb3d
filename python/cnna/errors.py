"""What can go wrong, one class a kind; the messages are the command line's: what, where, what to do."""

from __future__ import annotations


class Error(Exception):
    """Of this package."""


class ModelError(Error, ValueError):
    """A model that is not read or not quantised: an operator that is unknown, a float model without images, other words."""


class CompileError(Error, ValueError):
    """A network that a board's machine cannot run."""


class BoardError(Error, ValueError):
    """No such board, a key that no board file has, a value out of range, a machine larger than its chip."""


class ProgramError(Error, ValueError):
    """A program file that is damaged, of another release, or contradicts itself."""


class InputError(Error, ValueError):
    """Images that do not fit: another shape or type, numbers that are none, a picture that is damaged."""


class FileError(Error, OSError):
    """A file that cannot be read or written."""


class DeviceError(Error, RuntimeError):
    """No such device, another configuration, a device that hangs or fails, RTL that cannot be built."""
