"""What the package promises in size and in what an import brings with it; its times are measured by `make bench-python`."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_an_import_brings_numpy_and_nothing_heavy():
    code = """
import sys
import numpy
before = set(sys.modules)
import cnna
cnna.compile
print(*{name.split(".")[0] for name in set(sys.modules) - before})
"""
    brought = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
    assert "cnna" in brought
    # Each costs as much as the package itself, or is not needed before it is asked for.
    assert not brought & {"asyncio", "torch", "onnx", "tqdm", "IPython", "PIL", "pynq", "matplotlib", "subprocess", "ssl"}


def test_the_wheel_has_at_most_twelve_megabytes():
    wheels = list((ROOT / "build" / "wheels").glob("cnna-*.whl"))
    assert len(wheels) == 1, wheels
    size = wheels[0].stat().st_size
    print(f"wheel: {size / 1e6:.2f} MB, {wheels[0].name}")
    assert size <= 12e6 and "abi3" in wheels[0].name
