"""The README's Python lines, run as they stand."""

import json
import re
from pathlib import Path

import numpy as np

import cnna
from cnna import _native

ROOT = Path(__file__).resolve().parents[2]


def test_the_readmes_python_block_runs(tmp_path, monkeypatch):
    text = (ROOT / "README.md").read_text()
    block = re.search(r"^    import cnna\n(?:    .*\n)+", text, re.M).group(0)
    code = "\n".join(line[4:] for line in block.splitlines())
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    node = {"op": "Conv", "name": "conv", "inputs": ["x", "w", "b"], "output": "y", "attributes": {"kernel_shape": [3, 3]}}
    constants = [("w", rng.normal(size=(4, 3, 3, 3)).astype(np.float32)), ("b", np.zeros(4, np.float32))]
    _native.write_onnx("net.onnx", "net", [("x", [3, 8, 8])], [("y", [4, 6, 6])], constants, json.dumps([node]))
    (tmp_path / "photos").mkdir()
    x = rng.random((2, 3, 8, 8), dtype=np.float32)
    np.save(tmp_path / "photos" / "calib.npy", x)
    names = {"x": x}
    exec(code, names)
    assert names["y"].shape == (2, 4, 6, 6) and isinstance(names["program"], cnna.Program)
