"""The block-design cell runs whole programs between another's bus models: AXI4-Lite master, memories on every port, random stalls
of every channel, stops and resets in the middle. The result equals the reference model's."""

import os
import random
import struct

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, with_timeout
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiReadBus, AxiSlaveRead, AxiSlaveWrite, AxiWriteBus, MemoryRegion
from files import program, words
from watch import Watch

FOLDER = os.environ["AXI_MODEL"]
SEED = int(os.environ.get("SEED", "1"))
STOPS = int(os.environ.get("STOPS", "40"))
MASTERS = os.environ["MASTERS"].split()
MOST_BEATS, BYTES = 16, int(os.environ["BYTES"])
BASE = 0x1000_0000


def places(layout):
    """Byte offset of each element [channel][row][column]."""
    shape = layout["shape"]
    for c in range(shape["c"]):
        for y in range(shape["h"]):
            for x in range(shape["w"]):
                yield y * layout["row_bytes"] + (c * layout["padded_w"] + x) * layout["word_bytes"]


def registers():
    """Name to offset, from the page that is printed from the machine's table."""
    here = os.path.dirname(os.path.abspath(__file__))
    table = {}
    with open(f"{here}/../../docs/registers.md") as f:
        for line in f:
            cells = [c.strip() for c in line.split("|")]
            if len(cells) > 3 and cells[1].startswith("0x"):
                table[cells[2]] = int(cells[1], 16)
    return table


class Window(MemoryRegion):
    """The memory behind all ports; what lies outside of the window must not be touched."""

    async def _read(self, address, length, **kwargs):
        assert BASE <= address and address + length <= BASE + self.size, f"read at {address:#x}"
        return await super()._read(address - BASE, length, **kwargs)

    async def _write(self, address, data, **kwargs):
        assert BASE <= address and address + len(data) <= BASE + self.size, f"write at {address:#x}"
        await super()._write(address - BASE, data, **kwargs)


class Everywhere:
    """Passes addresses on as they are."""

    def __init__(self, window):
        self.window = window

    async def read(self, address, length, **kwargs):
        return await self.window._read(address, length, **kwargs)

    async def write(self, address, data, **kwargs):
        await self.window._write(address, data, **kwargs)


class Bench:
    def __init__(self, dut, r):
        self.dut, self.r, self.at = dut, r, registers()
        self.meta, self.image = program(FOLDER)
        cocotb.start_soon(Clock(dut.aclk, 10, units="ns").start())
        low = {"reset": dut.aresetn, "reset_active_level": False}
        self.host = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.aclk, **low)
        self.window = Window(self.meta["window_bytes"])
        target = Everywhere(self.window)
        self.channels, self.watches = [], []
        for name in MASTERS:
            reads = AxiSlaveRead(AxiReadBus.from_prefix(dut, name), dut.aclk, target=target, **low)
            self.channels += [reads.ar_channel, reads.r_channel]
            writes = hasattr(dut, f"{name}_awvalid")
            if writes:
                slave = AxiSlaveWrite(AxiWriteBus.from_prefix(dut, name), dut.aclk, target=target, **low)
                self.channels += [slave.aw_channel, slave.w_channel, slave.b_channel]
            watch = Watch(dut, name, dut.aclk, dut.aresetn, 0, writes, MOST_BEATS, BYTES)
            cocotb.start_soon(watch.start())
            self.watches.append(watch)
        h = self.host
        self.slow = [h.write_if.aw_channel, h.write_if.w_channel, h.write_if.b_channel, h.read_if.ar_channel, h.read_if.r_channel]

    def stalls(self):
        for channel in self.channels + self.slow:
            share = self.r.choice([0, 0, 0.1, 0.5])
            channel.set_pause_generator(self.pauses(share) if share else iter(lambda: False, True))

    def pauses(self, share):
        while True:
            yield self.r.random() < share

    async def reset(self):
        self.dut.aresetn.value = 0
        await ClockCycles(self.dut.aclk, 8)
        self.dut.aresetn.value = 1
        await ClockCycles(self.dut.aclk, 8)

    async def put(self, name, value):
        await with_timeout(self.host.write_dword(self.at[name], value), 1, "ms")

    async def get(self, name):
        return await with_timeout(self.host.read_dword(self.at[name]), 1, "ms")

    def fill(self):
        self.window[0 : self.window.size] = b"\x5a" * self.window.size
        self.window[0 : len(self.image)] = self.image
        tensor = self.meta["inputs"][0]["tensor"]
        for at, word in zip(places(tensor["layout"]), words(f"{FOLDER}/x.npy")):
            self.window[tensor["offset"] + at : tensor["offset"] + at + 2] = struct.pack("<h", word)

    async def start(self):
        stream = self.meta["streams"][0]
        for name, value in [
            ("MEM_BASE_LO", BASE), ("MEM_BASE_HI", 0), ("MEM_SIZE", self.meta["window_bytes"]),
            ("PROG_OFFSET", stream["commands_offset"]), ("PROG_COUNT", stream["commands"]),
        ]:  # fmt: skip
            await self.put(name, value)
        self.sequence = (await self.get("DONE") + 1) & 0xFFFFFFFF
        await self.put("START", self.sequence)

    async def finish(self):
        for _ in range(10_000):
            await ClockCycles(self.dut.aclk, 100)
            if await self.get("DONE") == self.sequence:
                break
        else:
            raise AssertionError("the program does not end")
        assert await self.get("STATUS") >> 8 & 0xFF == 0, "an error"
        self.cycles = await self.get("CYCLES")

    def output(self):
        tensor = self.meta["outputs"][0]["tensor"]
        at = tensor["offset"]
        data = bytes(self.window[at : at + max(places(tensor["layout"])) + 2])
        return [struct.unpack_from("<h", data, p)[0] for p in places(tensor["layout"])]

    async def whole(self):
        self.fill()
        await self.start()
        await self.finish()
        assert self.output() == words(f"{FOLDER}/reference.npy")


@cocotb.test()
async def a_program_gives_the_references_words(dut):
    bench = Bench(dut, random.Random(SEED))
    await bench.reset()
    assert await bench.get("ID") == 0x434E4E41
    await bench.whole()
    bench.stalls()
    await bench.whole()
    # Everything that is watched did happen.
    for watch in bench.watches:
        assert watch.seen["read"] > 0, watch.prefix
    assert sum(w.seen["write"] for w in bench.watches) > 0 and sum(w.seen["held"] for w in bench.watches) > 100
    print(f"axi-model: {bench.cycles} cycles; bursts, and cycles held up:", {w.prefix: w.seen for w in bench.watches}, flush=True)


@cocotb.test()
async def stops_leave_nothing_on_the_bus(dut):
    r = random.Random(SEED + 1)
    bench = Bench(dut, r)
    await bench.reset()
    await bench.whole()
    for _ in range(STOPS):
        bench.stalls()
        bench.fill()
        await bench.start()
        await ClockCycles(dut.aclk, r.randint(1, bench.cycles))
        await bench.put("CONTROL", 1)
        for _ in range(1000):
            status = await bench.get("STATUS")
            if status & 7 == 4:
                break
        else:
            raise AssertionError(f"STATUS stays {status:#x}")
        for channel in bench.channels:
            assert channel.empty(), "a transfer is left"
        await bench.put("START", await bench.get("DONE"))
        await bench.put("CONTROL", 0)
    await bench.whole()


@cocotb.test()
async def a_hard_reset_in_the_middle_forgets_everything(dut):
    r = random.Random(SEED + 2)
    bench = Bench(dut, r)
    await bench.reset()
    await bench.whole()
    for _ in range(max(STOPS // 3, 1)):
        bench.stalls()
        bench.fill()
        await bench.start()
        await ClockCycles(dut.aclk, r.randint(1, bench.cycles))
        await bench.reset()
    await bench.whole()
