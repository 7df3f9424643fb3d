"""Runs the RTL against cocotbext-axi's bus models: python3 run.py FOLDER (with cocotb on PYTHONPATH), see scripts/axi-model."""

import os
import sys
from pathlib import Path

from cocotb.runner import get_results, get_runner

here = Path(__file__).resolve().parent
build = Path(sys.argv[1]).resolve()


def run(name, sources, top, test, arguments=()):
    runner = get_runner("verilator")
    folder = build / name
    runner.build(
        verilog_sources=sources,
        hdl_toplevel=top,
        build_dir=folder,
        build_args=["-Wno-fatal", "--assert", *arguments],
        always=True,
        log_file=folder.with_suffix(".build.log"),
    )
    results = runner.test(
        hdl_toplevel=top,
        test_module=test,
        build_dir=folder,
        test_dir=folder,
        log_file=folder.with_suffix(".log"),
        extra_env={"PYTHONPATH": f"{here}:{os.environ.get('PYTHONPATH', '')}", "COCOTB_LOG_LEVEL": os.environ.get("COCOTB_LOG_LEVEL", "ERROR")},
    )
    tests, failed = get_results(results)
    print(f"axi-model: {name}: {tests - failed} of {tests} tests pass; {folder.with_suffix('.log')}")
    return failed == 0 and tests > 0


rtl = here.parent.parent / "hdl" / "rtl"
narrow = ["fifo.sv", "axi3_address.sv", "axi3_port.sv"]
good = run("port", [rtl / f for f in narrow] + [here / "port_tb.sv"], "port_tb", "test_port")
sys.exit(0 if good else 1)
