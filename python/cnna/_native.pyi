"""The native half: private, JSON in strings; see the modules that use it."""

from os import PathLike
from typing import Any, List, Optional, Tuple, Union

import numpy as np

_Path = Union[str, "PathLike[str]"]

__version__: str

class Images:
    def __init__(
        self,
        paths: List[Tuple[Optional[str], _Path]],
        bytes: Optional[bool],
        mean: Optional[List[float]],
        std: Optional[List[float]],
        resize: Optional[int],
        crop: Optional[int],
        most: Optional[int],
        method: Optional[str],
    ) -> None: ...

class Program:
    def meta(self) -> str: ...
    def config(self) -> str: ...
    def save(self, path: _Path) -> None: ...
    def run(
        self, arrays: List[np.ndarray], device: str, raw: bool, timeout: float, progress: Any
    ) -> Tuple[List[np.ndarray], str]: ...
    def run_pictures(
        self,
        images: Images,
        device: str,
        most: Optional[int],
        raw: bool,
        timeout: float,
        progress: Any,
    ) -> Tuple[List[np.ndarray], str, List[Tuple[str, Optional[str]]]]: ...
    def trace(self, path: _Path, seed: int, progress: Any) -> None: ...
    def check(
        self,
        arrays: List[np.ndarray],
        count: Optional[int],
        seed: int,
        engines: List[str],
        timeout: float,
        progress: Any,
    ) -> Tuple[str, Optional[str]]: ...
    def report(
        self,
        arrays: List[np.ndarray],
        device: str,
        image: str,
        seed: int,
        quantisation: Optional[str],
        timeout: float,
        progress: Any,
    ) -> Tuple[str, str, str, str]: ...
    def dot(self) -> str: ...
    def save_onnx(self, path: _Path) -> None: ...

class Device:
    def __init__(self, program: Program, name: str, timeout: float, progress: Any) -> None: ...
    def run(
        self, arrays: List[np.ndarray], raw: bool, timeout: float, progress: Any
    ) -> Tuple[List[np.ndarray], str]: ...
    def close(self) -> None: ...

def compile(
    name: str,
    board: str,
    set: List[Tuple[str, str]],
    images: Images,
    seed: int,
    options: Tuple[bool, bool, bool, bool, Optional[int]],
    tune: bool,
    progress: Any,
) -> Tuple[Program, str, List[str]]: ...
def open(path: _Path) -> Program: ...
def quantize(
    name: str, output: _Path, word: int, images: Images, progress: Any
) -> Tuple[str, str, List[str]]: ...
def explore(
    names: List[str],
    board: str,
    set: List[Tuple[str, str]],
    images: Images,
    seed: int,
    vary: List[str],
    machines: int,
    output: _Path,
    progress: Any,
) -> str: ...
def boards() -> List[str]: ...
def board(name: str, set: List[Tuple[str, str]]) -> Tuple[str, str, List[int]]: ...
def rtl(
    name: str, set: List[Tuple[str, str]], output: _Path, window: Optional[int]
) -> List[str]: ...
def zoo() -> Tuple[List[str], str]: ...
def registers() -> List[Tuple[str, int, str, str]]: ...
def average_weight(count: int, word: int) -> Tuple[int, int]: ...
def write_onnx(
    path: _Path,
    name: str,
    inputs: List[Tuple[str, List[int]]],
    outputs: List[Tuple[str, List[int]]],
    constants: List[Tuple[str, np.ndarray]],
    nodes: str,
) -> None: ...
