"""Runs RTL against cocotbext-axi's bus models, in Verilator.

usage: run.py FOLDER port            the adapters of the Zynq-7000's memory ports
       run.py FOLDER top SOURCES     the block-design cell that `cnna rtl -o SOURCES` wrote, on FOLDER/prog.cnna
Needs cocotb and cocotbext-axi on PYTHONPATH; see scripts/axi-model.
"""

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

import cocotb.config
import find_libpython

here = Path(__file__).resolve().parent
PUBLIC = "/*verilator public_flat_rw*/"


def log_of(folder, name, command, **kwargs):
    path = folder / name
    with open(path, "w") as log:
        done = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, **kwargs)
    if done.returncode:
        sys.exit(f"axi-model: {command[0]} failed, see {path}")


def run(folder, top, sources, test, **environment):
    folder.mkdir(parents=True, exist_ok=True)
    cocotb_ = Path(cocotb.config.share_dir)
    libraries = cocotb.config.libs_dir
    flags = f"-Wl,-rpath,{libraries} -L{libraries} -lcocotbvpi_verilator"
    log_of(folder, "verilator.log", [
        "verilator", "-cc", "--exe", "--build", "--vpi", "--assert", "-Wno-fatal", "-Mdir", folder / "model", "--prefix", "Vtop",
        "--top-module", top, "-o", top, "-LDFLAGS", flags, cocotb_ / "lib/verilator/verilator.cpp", *sources,
    ])  # fmt: skip
    results = folder / "results.xml"
    results.unlink(missing_ok=True)
    log_of(folder, "run.log", [folder / "model" / top], cwd=folder, env=os.environ | {
        "MODULE": test, "TOPLEVEL": top, "TOPLEVEL_LANG": "verilog", "COCOTB_RESULTS_FILE": str(results),
        "COCOTB_LOG_LEVEL": "ERROR", "LIBPYTHON_LOC": find_libpython.find_libpython(), "AXI_MODEL": str(folder),
        "PYTHONPATH": f"{here}:{os.environ['PYTHONPATH']}", **environment,
    })  # fmt: skip
    cases = list(xml.parse(results).iter("testcase")) if results.exists() else []
    failed = [c.get("name") for c in cases if c.find("failure") is not None or c.find("error") is not None]
    for line in (folder / "run.log").read_text().splitlines():
        if line.startswith("axi-model:"):
            print(line)
    print(f"axi-model: {folder.name}: {len(cases) - len(failed)} of {len(cases)} tests pass {failed or ''}", flush=True)
    if failed or not cases:
        sys.exit(f"axi-model: see {folder}/run.log")


def cell_bench(wrapper):
    """A module without ports around the cell: its signals are cocotb's (Verilator 5.006 undoes writes of ports), with the
    identities and 8-bit lengths that cocotbext-axi asks for. Returns the text, the masters and the bytes of a beat."""
    ports = re.findall(r"^    (?:input|output) +wire +(?:\[(\d+):0\])? *(\w+),?$", wrapper, re.M)
    names = {name for _, name in ports}
    lines, pins = ["module top_tb;"], []
    for left, name in ports:
        width = int(left) + 1 if left else 1
        if re.search(r"_a[rw]len$", name) and width < 8:
            lines.append(f"  logic [7:0] {name} {PUBLIC};\n  assign {name}[7:{width}] = '0;")
            pins.append(f".{name}({name}[{width - 1}:0])")
        else:
            lines.append(f"  logic [{width - 1}:0] {name} {PUBLIC};")
            pins.append(f".{name}({name})")
    masters = sorted(n.removesuffix("_araddr") for n in names if re.fullmatch(r"m_axi_\w+_araddr", n))
    for m in masters:
        for address, answer in [("arid", "rid"), ("awid", "bid")]:
            if f"{m}_{address}" not in names and f"{m}_{address[:2]}addr" in names:
                lines.append(f"  logic {m}_{address} {PUBLIC}, {m}_{answer} {PUBLIC};\n  assign {m}_{address} = '0;")
    lines += [f"  cnna_wrapper cell_ ({', '.join(pins)});", "endmodule"]
    bits = next(int(left) + 1 for left, name in ports if name == f"{masters[0]}_rdata")
    return "\n".join(lines), masters, bits // 8


def main():
    folder, what = Path(sys.argv[1]).resolve(), sys.argv[2]
    if what == "port":
        rtl = here.parent.parent / "hdl/rtl"
        sources = [rtl / f for f in ["fifo.sv", "axi3_address.sv", "axi3_read.sv", "axi3_write.sv"]]
        run(folder, "port_tb", ["--public-flat-rw", *sources, here / "port_tb.sv"], "test_port")
        return
    given = Path(sys.argv[3]).resolve()
    text, masters, bytes_a_beat = cell_bench((given / "cnna_wrapper.v").read_text())
    bench = folder / "top_tb.sv"
    bench.write_text(text)
    # The package first; the others find one another.
    sources = sorted((given / "rtl").glob("*.sv"), key=lambda p: (p.name != "cnna_pkg.sv", p.name))
    run(folder, "top_tb", [*sources, given / "cnna_wrapper.v", bench], "test_top", MASTERS=" ".join(masters), BYTES=str(bytes_a_beat))


main()
