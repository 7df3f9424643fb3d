from .board import Board as Board, boards as boards, rtl as rtl, zoo as zoo
from .errors import (
    BoardError as BoardError,
    CompileError as CompileError,
    DeviceError as DeviceError,
    Error as Error,
    FileError as FileError,
    InputError as InputError,
    ModelError as ModelError,
    ProgramError as ProgramError,
)
from .exploration import Exploration as Exploration, explore as explore
from .images import Images as Images
from .program import (
    Check as Check,
    Device as Device,
    Program as Program,
    Report as Report,
    Run as Run,
    compile as compile,
    open as open,
)
from .quantization import Quantized as Quantized, quantize as quantize

__version__: str
__all__: list[str]
