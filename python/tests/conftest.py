"""What all tests of the package share."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(Path(__file__).parent / "standin"))


@pytest.fixture(scope="session")
def model():
    return ROOT / "models" / "fashion.onnx"


@pytest.fixture(scope="session")
def program(model):
    import cnna

    return cnna.compile(model, "ultra96")


@pytest.fixture(scope="session")
def images():
    """Three images of noise in the range that the network takes."""
    return np.random.default_rng(7).random((3, 1, 28, 28), dtype=np.float32)


@pytest.fixture(scope="session")
def cnna_program():
    """The command line's program, for what the package is compared with."""
    path = os.environ.get("CNNA", ROOT / "target" / "release" / "cnna")
    assert Path(path).is_file(), f"{path}: build it with `cargo build --release -p cnna`"
    return str(path)
