"""The board's driver over PYNQ's stand-in, against the simulated accelerator that `cnna serve` serves."""

import importlib.metadata
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest

import cnna
import cnna._native


@pytest.fixture(params=os.environ.get("CNNA_ENGINES", "cycle").split(","))
def served(request, cnna_program, program, tmp_path):
    """A bitstream's stand-in: the path of a served accelerator."""
    path = tmp_path / "device"
    server = subprocess.Popen(
        [cnna_program, "serve", "--engine", request.param, "--board", "ultra96", "--path", str(path), "--window", str(program.meta["window_bytes"])],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    for _ in range(6000):
        if path.exists() or server.poll() is not None:
            break
        time.sleep(0.05)
    assert path.exists(), server.stderr.read()
    yield path
    server.terminate()
    server.wait()


@pytest.fixture
def overlay(served):
    import cnna.pynq

    return cnna.pynq.Overlay(str(served))


@pytest.fixture
def file(program, tmp_path):
    program.save(tmp_path / "p.cnna")
    return tmp_path / "p.cnna"


def test_images_have_the_simulators_bits_and_cycles(overlay, file, program, images):
    want = program.run(images, "cycle")
    alone = program.run(images[0], "cycle", details=True)
    with overlay.load(file) as network:
        for x, y in zip(images, want):
            assert np.array_equal(network(x), y)
        network(images[0])
        assert network.cycles == alone.cycles
        for mine, theirs in zip(network.layers, alone.layers):
            assert {k: theirs[k] for k in mine if k != "name"} == {k: v for k, v in mine.items() if k != "name"}
    memory = overlay.memory
    assert memory.flushed == 1 + 4 and memory.invalidated == 4 and not memory.taken
    with pytest.raises(RuntimeError, match="closed"):
        network(images[0])


def test_the_driver_is_bound_by_its_kind_and_reads_registers_by_name(overlay):
    import cnna.pynq

    driver = overlay.accelerator
    assert isinstance(driver, cnna.pynq.Driver)
    driver.check()
    assert driver.registers()["ID"] == 0x434E4E41
    driver["IRQ_ENABLE"] = 1
    assert driver["IRQ_ENABLE"] == 1
    with pytest.raises(KeyError, match="device only"):
        driver["ID"] = 1


def test_the_register_map_is_the_machines():
    from cnna import _native
    from cnna.pynq import machine

    assert [(n, r.offset, r.access, r.doc) for n, r in machine.REGISTERS.items()] == _native.registers()


def test_programs_of_other_machines_and_damaged_files_are_refused(overlay, file, tmp_path):
    from cnna.pynq.program_file import ProgramError

    other = tmp_path / "other.cnna"
    cnna.compile("zoo:tiny", lanes=5).save(other)
    with pytest.raises(RuntimeError, match="compile the model for the machine in the bitstream"):
        overlay.load(other)
    data = bytearray(file.read_bytes())
    data[-3] ^= 1
    damaged = tmp_path / "damaged.cnna"
    damaged.write_bytes(data)
    with pytest.raises(ProgramError, match="damaged"):
        overlay.load(damaged)
    damaged.write_bytes(data[:5000])
    with pytest.raises(ProgramError, match="cut short"):
        overlay.load(damaged)


def test_wrong_images_are_refused_by_name(overlay, file):
    with overlay.load(file) as network:
        with pytest.raises(ValueError, match="does not fit"):
            network(np.zeros((3, 3)))
        with pytest.raises(ValueError, match="finite"):
            network(np.full((1, 28, 28), np.inf))


def test_a_program_that_does_not_end_is_stopped_and_the_next_one_runs(overlay, file, program, images):
    from cnna.pynq import Timeout

    with overlay.load(file, timeout=0.0) as network:
        with pytest.raises(Timeout, match="DONE="):
            network(images[0])
        network.timeout = 60.0
        assert np.array_equal(network(images[0]), program.run(images[0], "cycle"))


def test_power_is_the_rails_sum(overlay):
    assert overlay.power() == {"VCCINT": 1.5, "VCCAUX": 0.25, "total": 1.75}


def test_host_steps_are_refused_by_name(overlay, tmp_path):
    path = tmp_path / "h.cnna"
    node = lambda op, inputs, output, **a: {"op": op, "name": op, "inputs": inputs, "output": output, "attributes": a}
    nodes = [node("Conv", ["x", "w", "b"], "y", kernel_shape=[1, 1]), node("Softmax", ["y"], "z", axis=1)]
    constants = [("w", np.eye(4, dtype=np.float32).reshape(4, 4, 1, 1)), ("b", np.zeros(4, np.float32))]
    model = str(tmp_path / "h.onnx")
    cnna._native.write_onnx(model, "h", [("x", [4, 2, 2])], [("z", [4, 2, 2])], constants, json.dumps(nodes))
    np.save(tmp_path / "c.npy", np.random.default_rng(1).random((2, 4, 2, 2), dtype=np.float32))
    cnna.compile(model, calib=tmp_path / "c.npy").save(path)
    from cnna.pynq import ProgramFile

    assert ProgramFile(path).meta["host"]
    with pytest.raises(RuntimeError, match="cnna-host"):
        overlay.load(path)


def test_pynq_finds_overlays_and_notebooks():
    found = {
        group: {e.name: e.value for e in importlib.metadata.distribution("cnna").entry_points if e.group == group}
        for group in ("pynq.overlays", "pynq.notebooks")
    }
    assert found == {"pynq.overlays": {"cnna": "cnna.pynq.overlays"}, "pynq.notebooks": {"cnna": "cnna.pynq.notebooks"}}
    from pathlib import Path

    import cnna.pynq.notebooks as notebooks

    assert list(Path(notebooks.__file__).parent.glob("*.ipynb"))


def test_the_driver_needs_no_native_half(tmp_path):
    code = f"""
import sys
sys.path.insert(0, {str(os.path.join(os.path.dirname(__file__), "standin"))!r})
sys.modules["cnna._native"] = None
import cnna.pynq
print(cnna.pynq.Driver.bindto[0])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "cnna:user:cnna:1.0", done.stderr
