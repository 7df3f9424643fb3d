"""axi3_read and axi3_write between another's bus models: random traffic, random stalls of every channel, errors, resets."""

import os
import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, with_timeout
from cocotbext.axi import AxiBus, AxiMaster, AxiResp, AxiSlave, MemoryRegion
from watch import Watch

SIZE = 1 << 16
# What lies above answers with an error.
BAD = 0xC000
SEED = int(os.environ.get("SEED", "1"))
TRANSFERS = int(os.environ.get("TRANSFERS", "400"))


class Memory(MemoryRegion):
    async def _read(self, address, length, **kwargs):
        if address >= BAD:
            raise ValueError("an error on purpose")
        return await super()._read(address, length, **kwargs)

    async def _write(self, address, data, **kwargs):
        if address >= BAD:
            raise ValueError("an error on purpose")
        await super()._write(address, data, **kwargs)


def pauses(share, r):
    while True:
        yield r.random() < share


class Bench:
    def __init__(self, dut, r):
        self.dut, self.r = dut, r
        cocotb.start_soon(Clock(dut.clk, 10, units="ns").start())
        self.master = AxiMaster(AxiBus.from_prefix(dut, "s_axi"), dut.clk, dut.rst, max_burst_len=16)
        self.memory = Memory(SIZE)
        self.slave = AxiSlave(AxiBus.from_prefix(dut, "m_axi"), dut.clk, dut.rst, target=self.memory)
        self.watch = Watch(dut, "m_axi", dut.clk, dut.rst, 1, True, 16, 8)
        cocotb.start_soon(self.watch.start())
        s, m = self.slave, self.master
        self.channels = [
            s.write_if.aw_channel, s.write_if.w_channel, s.write_if.b_channel, s.read_if.ar_channel, s.read_if.r_channel,
            m.write_if.aw_channel, m.write_if.w_channel, m.write_if.b_channel, m.read_if.ar_channel, m.read_if.r_channel,
        ]  # fmt: skip

    def stalls(self):
        for channel in self.channels:
            channel.set_pause_generator(pauses(self.r.choice([0, 0.2, 0.8]), self.r))

    async def reset(self):
        self.dut.rst.value = 1
        await ClockCycles(self.dut.clk, 4)
        self.dut.rst.value = 0
        await ClockCycles(self.dut.clk, 2)

    def place(self, below):
        """A random range of whole beats, up to several bursts."""
        beats = self.r.randint(1, 40)
        return self.r.randrange(0, below - 16 * beats, 16), 16 * beats


@cocotb.test()
async def values_arrive_whatever_stalls(dut):
    r = random.Random(SEED)
    bench = Bench(dut, r)
    await bench.reset()
    wanted = bytearray(SIZE)
    for n in range(TRANSFERS):
        if n % 20 == 0:
            bench.stalls()
        at, bytes_ = bench.place(BAD)
        if r.random() < 0.5:
            # A last beat in part: strobes.
            data = r.randbytes(bytes_ - r.randint(0, 15))
            answer = await with_timeout(bench.master.write(at, data, awid=0), 1, "ms")
            assert answer.resp == AxiResp.OKAY
            wanted[at : at + len(data)] = data
            assert bench.memory[at : at + bytes_] == wanted[at : at + bytes_]
        else:
            answer = await with_timeout(bench.master.read(at, bytes_, arid=0), 1, "ms")
            assert answer.resp == AxiResp.OKAY
            assert answer.data == wanted[at : at + bytes_], f"{bytes_} bytes at {at:#x}"
    assert bench.memory[0 : SIZE] == wanted
    dut._log.info(f"narrow bursts: {bench.watch.seen}")
    assert min(bench.watch.seen.values()) > TRANSFERS // 4


@cocotb.test()
async def many_at_once_stay_in_order(dut):
    r = random.Random(SEED + 1)
    bench = Bench(dut, r)
    await bench.reset()
    data = r.randbytes(SIZE)
    bench.memory[0:SIZE] = data
    for _ in range(8):
        bench.stalls()
        places = [bench.place(BAD // 2) for _ in range(24)]
        reads = [bench.master.init_read(at, n, arid=0) for at, n in places]
        # Writes above what is read.
        writes = [(BAD // 2 + 640 * k, r.randbytes(16 * r.randint(1, 40))) for k in range(24)]
        written = [bench.master.init_write(at, d, awid=0) for at, d in writes]
        for (at, n), event in zip(places, reads):
            await with_timeout(event.wait(), 5, "ms")
            assert event.data.data == data[at : at + n]
        for event in written:
            await with_timeout(event.wait(), 5, "ms")
            assert event.data.resp == AxiResp.OKAY
        for at, d in writes:
            assert bench.memory[at : at + len(d)] == d


@cocotb.test()
async def an_error_of_either_half_is_told(dut):
    r = random.Random(SEED + 2)
    bench = Bench(dut, r)
    await bench.reset()
    for beats_before in [0, 1, 4, 8, 11]:
        bench.stalls()
        at = BAD - 16 * beats_before
        for ends_at, wanted in [(at + 16 * beats_before, AxiResp.OKAY), (at + 256, AxiResp.SLVERR)]:
            if ends_at == at:
                continue
            wrote = await bench.master.write(at, bytes(ends_at - at), awid=0)
            assert wrote.resp == wanted, f"write of {ends_at - at} bytes, {beats_before} of them good beats"
            read = await bench.master.read(at, ends_at - at, arid=0)
            assert read.resp == wanted, f"read of {ends_at - at} bytes, {beats_before} of them good beats"
    good = await bench.master.write(0, bytes(256), awid=0)
    assert good.resp == AxiResp.OKAY, "an error is told once"


@cocotb.test()
async def a_reset_in_the_middle_leaves_nothing(dut):
    r = random.Random(SEED + 3)
    bench = Bench(dut, r)
    await bench.reset()
    for _ in range(30):
        bench.stalls()
        for k in range(6):
            bench.master.init_write(1024 * k, r.randbytes(512), awid=0)
            bench.master.init_read(1024 * k, 512, arid=0)
        await ClockCycles(dut.clk, r.randint(1, 120))
        await bench.reset()
        at, n = bench.place(BAD)
        data = r.randbytes(n)
        await with_timeout(bench.master.write(at, data, awid=0), 1, "ms")
        answer = await with_timeout(bench.master.read(at, n, arid=0), 1, "ms")
        assert answer.data == data
