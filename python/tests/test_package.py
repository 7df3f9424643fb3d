"""The package against the command line, and its promises: types, shapes, errors, threads, time."""

import asyncio
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import cnna


def cli(binary, *arguments):
    done = subprocess.run([binary, *map(str, arguments)], capture_output=True, text=True)
    return done


def test_a_classified_image_takes_five_lines(model):
    code = f"""
import cnna, numpy
program = cnna.compile({str(model)!r}, board="ultra96")
print(program.run(numpy.zeros((1, 28, 28), "float32")).argmax())
"""
    lines = [l for l in code.splitlines() if l]
    assert len(lines) <= 5
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip().isdigit()


def test_results_are_the_command_lines_bit_for_bit(program, images, cnna_program, tmp_path):
    program.save(tmp_path / "p.cnna")
    np.save(tmp_path / "x.npy", images)
    for device in ("reference", "cycle"):
        y = tmp_path / f"{device}.npy"
        done = cli(cnna_program, "run", tmp_path / "p.cnna", "--device", device, "--input", tmp_path / "x.npy", "-o", y, "--json", tmp_path / "r.json")
        assert done.returncode == 0, done.stderr
        run = program.run(images, device, details=True)
        want = np.load(y)
        got = run.outputs[list(run.outputs)[0]]
        assert got.dtype == want.dtype and np.array_equal(got, want)
        facts = json.loads((tmp_path / "r.json").read_text())
        assert run.facts["layers"] == facts["layers"]
        assert run.cycles == (facts["cycles"] or None)


def test_one_image_has_no_batch_and_many_have(program, images):
    many = program.run(images, "reference")
    one = program.run(images[1], "reference")
    assert many.shape == (3, 10) and one.shape == (10,)
    assert np.array_equal(many[1], one)


def test_a_tuned_program_is_no_slower_and_computes_the_same():
    plain, tuned = (cnna.compile("zoo:conv3x3@14x14x64-64", tune=tune) for tune in (False, True))
    x = np.zeros((64, 14, 14), np.float32)
    x.flat[::7] = 0.25
    results = [p.run(x, "cycle", details=True) for p in (plain, tuned)]
    outputs = [r.outputs[list(r.outputs)[0]] for r in results]
    assert np.array_equal(*outputs)
    assert results[1].cycles <= results[0].cycles


def test_types_and_strides_are_numbers_alike(program, images):
    bytes_ = (images * 2).astype(np.uint8)
    want = program.run(bytes_.astype(np.float32), "reference")
    for kind in ("float64", "int8", "int16", "int32", "int64", "uint8", "uint16"):
        assert np.array_equal(program.run(bytes_.astype(kind), "reference"), want), kind
    assert np.array_equal(program.run(bytes_.astype(bool), "reference"), program.run(np.minimum(bytes_, 1), "reference"))
    strided = np.asfortranarray(images)
    assert np.array_equal(program.run(strided, "reference"), program.run(images, "reference"))


def test_words_go_in_and_out_as_they_are(program, images):
    frac = program.meta["inputs"][0]["tensor"]["frac"]
    words = np.rint(images * 2.0**frac).astype(np.int16)
    raw = program.run(words, "reference", raw=True)
    assert raw.dtype == np.int16
    out = program.meta["outputs"][0]["tensor"]["frac"]
    assert np.array_equal(raw * 2.0**-out, program.run(images, "reference"))


def too_large():
    """A model with a side that no machine holds."""
    from cnna import _native

    path = Path(tempfile.mkdtemp()) / "large.onnx"
    n = 1 << 17
    constants = [("w", np.full((1, n), 32767, np.int16)), ("s", np.float32(2.0**-14)), ("one", np.float32(1)), ("z", np.int16(0))]
    constants = [(k, np.asarray(v)) for k, v in constants] + [("b", np.zeros(1, np.float32))]
    node = lambda op, inputs, output, **a: {"op": op, "name": output, "inputs": inputs, "output": output, "attributes": a}
    nodes = [
        node("QuantizeLinear", ["x", "one", "z"], "xq"), node("DequantizeLinear", ["xq", "one", "z"], "xd"),
        node("DequantizeLinear", ["w", "s"], "wd"), node("Gemm", ["xd", "wd", "b"], "y", transB=1),
        node("QuantizeLinear", ["y", "one", "z"], "yq"), node("DequantizeLinear", ["yq", "one", "z"], "scores"),
    ]
    _native.write_onnx(str(path), "large", [("x", [n])], [("scores", [1])], constants, json.dumps(nodes))
    return path


@pytest.mark.parametrize(
    "call, kind, words",
    [
        (lambda p: p.run(np.zeros((2, 2), "float32")), cnna.InputError, "shape [2, 2] does not fit"),
        (lambda p: p.run(np.full((1, 28, 28), np.nan)), cnna.InputError, "finite numbers"),
        (lambda p: p.run(np.zeros((1, 28, 28), "complex64")), cnna.InputError, "float32"),
        (lambda p: p.run({"nobody": np.zeros(3)}), cnna.InputError, "the program's inputs are"),
        (lambda p: p.run(np.zeros((1, 28, 28)), "nowhere"), cnna.DeviceError, "nowhere"),
        (lambda p: p.report(device="reference"), cnna.DeviceError, "counts no cycles"),
        (lambda p: p.run("nothing.png"), cnna.InputError, "nothing.png"),
        (lambda p: cnna.open("nothing.cnna"), cnna.FileError, "check the path"),
        (lambda p: cnna.open(__file__), cnna.ProgramError, "not a usable program file"),
        (lambda p: cnna.compile("zoo:nobody"), cnna.ModelError, "the zoo has"),
        (lambda p: cnna.compile("zoo:tiny", "nowhere"), cnna.BoardError, "unknown board"),
        (lambda p: cnna.compile("zoo:tiny", lanes=33), cnna.BoardError, "33 is outside 1..=32"),
        (lambda p: cnna.compile(too_large()), cnna.CompileError, "large.onnx for ultra96: layer y: its tensor"),
        (lambda p: cnna.explore("zoo:tiny", "ultra96", "x", vary=["lames"]), cnna.BoardError, "no such key"),
    ],
)
def test_errors_have_a_class_and_the_command_lines_words(program, call, kind, words):
    with pytest.raises(kind) as e:
        call(program)
    assert words in str(e.value) and isinstance(e.value, cnna.Error)


def test_a_message_is_the_command_lines_own(cnna_program):
    for arguments, call in [
        (["compile", "zoo:tiny", "--board", "nowhere", "-o", "/tmp/x.cnna"], lambda: cnna.compile("zoo:tiny", "nowhere")),
        (["compile", "nothing.onnx", "--board", "ultra96", "-o", "/tmp/x.cnna"], lambda: cnna.compile("nothing.onnx")),
    ]:
        done = cli(cnna_program, *arguments)
        with pytest.raises(cnna.Error) as e:
            call()
        assert done.stderr.strip() == f"error: {e.value}"


def test_a_device_keeps_the_program_and_closes(program, images):
    want = program.run(images, "cycle")
    for name in ("cycle", "reference"):
        with program.on(name) as device:
            for _ in range(2):
                assert np.array_equal(device.run(images), want)
            assert np.array_equal(device(images[0]), want[0])
        with pytest.raises(cnna.DeviceError, match="closed"):
            device.run(images)
        device.close()
    with pytest.raises(cnna.DeviceError):
        program.on("nowhere")


def test_a_device_survives_a_bad_image(program, images):
    with program.on("cycle") as device:
        with pytest.raises(cnna.InputError):
            device.run(np.zeros((3, 3)))
        assert device.run(images).shape == (3, 10)


def test_runs_can_be_awaited_side_by_side(program, images):
    async def both():
        with program.on("cycle") as device:
            return await asyncio.gather(program.run_async(images, "reference"), device.run_async(images))

    a, b = asyncio.run(both())
    assert np.array_equal(a, b)


def test_other_threads_go_on_while_a_run_does(images):
    program = cnna.compile("zoo:vgg16@56")
    x = np.zeros((4, *next(iter(program.inputs.values()))), np.float32)
    count, stop = 0, threading.Event()

    def beat():
        nonlocal count
        while not stop.wait(0.001):
            count += 1

    thread = threading.Thread(target=beat)
    thread.start()
    begin = time.monotonic()
    program.run(x, "cycle")
    took = time.monotonic() - begin
    stop.set()
    thread.join()
    # A held GIL would let it beat not once; a loaded machine takes its share.
    assert count > 20 * took, (count, took)


def test_control_c_stops_a_run(tmp_path):
    code = """
import cnna, numpy, os, signal, threading, time
p = cnna.compile("zoo:vgg16@112/1")
x = numpy.zeros((64, *next(iter(p.inputs.values()))), "float32")
# A shell's background jobs ignore it, and what they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    begin = time.monotonic()
    p.run(x, "cycle")
except KeyboardInterrupt:
    print("stopped", time.monotonic() - begin)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout.startswith("stopped"), (done.returncode, done.stderr)
    assert float(done.stdout.split()[1]) < 30


def test_progress_speaks_tqdms_protocol(program, images):
    bars = []

    class Bar:
        def __init__(self, total=None, desc=None, unit=None):
            self.total, self.desc, self.n, self.closed = total, desc, 0, False
            bars.append(self)

        def update(self, n):
            self.n += n

        def set_description(self, text):
            pass

        def close(self):
            self.closed = True

    program.run(images, "reference", progress=Bar)
    assert [(b.desc, b.total, b.n, b.closed) for b in bars] == [("reference", 3, 3, True)]

    class Broken(Bar):
        def update(self, n):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        program.run(images, "reference", progress=Broken)


def test_engines_are_compared_and_a_difference_is_no_exception(program, images):
    check = program.check(images)
    assert check and check.difference is None
    assert check.facts["engines"] == ["reference", "cycle"]
    assert program.check(images=2, seed=3).facts["images"] == 2
    with pytest.raises(cnna.DeviceError):
        program.check(engines=["abacus"])


def test_the_report_is_the_command_lines(program, cnna_program, tmp_path):
    program.save(tmp_path / "p.cnna")
    done = cli(cnna_program, "report", tmp_path / "p.cnna", "-o", tmp_path / "r.html", "--json", tmp_path / "r.json")
    assert done.returncode == 0, done.stderr
    report = program.report()
    assert report.facts == json.loads((tmp_path / "r.json").read_text())
    report.save(tmp_path / "own.html")
    assert (tmp_path / "own.html").read_text() == (tmp_path / "r.html").read_text()
    assert report.headline in done.stdout


def test_programs_show_themselves_in_notebooks(program):
    page = program._repr_html_()
    assert page.startswith("<iframe srcdoc=") and "&lt;svg class=&quot;plot" in page and "conv2_1" in page
    assert "Program" in repr(program) and "DSPs" in repr(cnna.Board("ultra96"))
    assert "<table>" in cnna.Board("ultra96")._repr_html_()


def test_a_float_model_is_quantised_from_arrays_pictures_and_data_sets(tmp_path, images):
    model = Path(__file__).parents[2] / "models" / "fashion-float.onnx"
    np.save(tmp_path / "calib.npy", images)
    q = cnna.quantize(model, tmp_path / "q.onnx", calib=tmp_path / "calib.npy")
    assert q.output_db is None or q.output_db > 40
    assert len(q.rows) > 5 and "SNR" in str(q)
    a = cnna.compile(tmp_path / "q.onnx").run(images, "reference")
    b = cnna.compile(model, calib=tmp_path / "calib.npy").run(images, "reference")
    assert np.array_equal(a, b)
    with pytest.raises(cnna.ModelError, match="float model"):
        cnna.compile(model)
    p = cnna.compile(tmp_path / "q.onnx")
    assert "Signal to noise" in p.report(quantized=q).page
    p.save_onnx(tmp_path / "again.onnx")
    again = cnna.compile(tmp_path / "again.onnx").run(images, "reference")
    assert np.array_equal(again, a)


def test_data_sets_run_by_name(program):
    run = program.run("fashion-mnist", "reference", most=20, details=True)
    classes = [int(c) for _, c in run.images]
    right = (run.outputs[list(run.outputs)[0]].argmax(1) == classes).mean()
    assert len(classes) == 20 and right > 0.7


def test_boards_and_the_zoo_are_listed(tmp_path):
    assert "ultra96" in cnna.boards() and "zoo:resnet18" in cnna.zoo()
    board = cnna.Board("ultra96", lanes=5, **{"memory.latency": 20})
    assert board.dsp == 16 * 2 * 5 + 8 and board.facts["memory"]["latency"] == 20
    board.save(tmp_path / "mine.toml")
    assert cnna.Board(tmp_path / "mine.toml").facts == board.facts
    assert cnna.compile("zoo:tiny", board).meta["board"]["accelerator"]["lanes"] == 5


def test_machines_are_explored(tmp_path):
    found = cnna.explore("zoo:lenet", "pynq-z2", tmp_path / "e", vary=["tiles", "lanes=2/4/8"], machines=20)
    assert found.front and found.board.facts == found.chosen["board"]
    assert all(m["costs"][0]["simulated"] for m in found.front)
    assert "&lt;svg" in found._repr_html_()


def test_opened_programs_are_those_saved(program, images, tmp_path):
    program.save(tmp_path / "p.cnna")
    again = cnna.open(tmp_path / "p.cnna")
    assert again.meta == program.meta
    assert np.array_equal(again.run(images, "cycle"), program.run(images, "cycle"))
    program.trace(tmp_path / "t.json")
    assert json.loads((tmp_path / "t.json").read_text())["traceEvents"]
    assert program.dot().startswith("digraph")


def test_everything_public_has_a_docstring_and_a_type():
    import ast

    folder = Path(cnna.__file__).parent
    assert (folder / "py.typed").exists()
    for name in cnna.__all__:
        assert getattr(cnna, name).__doc__, name
    native = ast.parse((folder / "_native.pyi").read_text())
    stubs = {n.name for n in native.body if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    from cnna import _native

    public = {n for n in dir(_native) if not n.startswith("_")}
    assert public == stubs
