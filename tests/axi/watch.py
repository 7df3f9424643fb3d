"""AXI's rules for a master, watched at one port in every cycle: written from AMBA's text, apart from cocotbext-axi, which checks
the places of WLAST and 4 KiB itself but not that an offer stays until it is taken."""

from collections import deque

from cocotb.triggers import FallingEdge


class Watch:
    """Call `start` once; a broken rule fails the test. `seen` counts what went by: bursts read and written, beats held up."""

    def __init__(self, dut, prefix, clock, reset, reset_level, writes, most_beats, bytes_a_beat):
        self.signal = lambda name: getattr(dut, f"{prefix}_{name}")
        self.prefix, self.clock, self.reset, self.reset_level = prefix, clock, reset, reset_level
        self.most, self.width = most_beats, bytes_a_beat
        self.channels = {"ar": ["araddr", "arlen"]}
        if writes:
            self.channels |= {"aw": ["awaddr", "awlen"], "w": ["wdata", "wstrb", "wlast"]}
        self.seen = {"read": 0, "write": 0, "held": 0}
        self.forget()

    def forget(self):
        self.offered = {}
        self.writes = deque()

    async def start(self):
        while True:
            # Everything is stable in the middle of a cycle.
            await FallingEdge(self.clock)
            if int(self.reset.value) == self.reset_level:
                self.forget()
            else:
                self.look()

    def look(self):
        value = lambda name: int(self.signal(name).value)
        for channel, payload in self.channels.items():
            valid = value(f"{channel}valid")
            taken = valid and value(f"{channel}ready")
            before = self.offered.pop(channel, None)
            if not valid:
                assert before is None, f"{self.prefix}: {channel} withdrawn before it was taken"
                continue
            now = [value(name) for name in payload]
            assert before in (None, now), f"{self.prefix}: {channel} changed from {before} to {now} before it was taken"
            if not taken:
                self.offered[channel] = now
                self.seen["held"] += 1
            if channel == "w":
                self.write_beat(now[2], taken)
            elif before is None:
                self.address(channel, *now)
            if taken and channel == "aw":
                self.writes.append(now[1] + 1)
                self.seen["write"] += 1
            if taken and channel == "ar":
                self.seen["read"] += 1

    def address(self, channel, address, length):
        end = address + (length + 1) * self.width
        assert length < self.most, f"{self.prefix}: {channel} of {length + 1} beats"
        assert address % self.width == 0, f"{self.prefix}: {channel} at {address:#x}"
        assert address // 4096 == (end - 1) // 4096, f"{self.prefix}: {channel} from {address:#x} to {end:#x}"

    def write_beat(self, last, taken):
        # AXI lets data go before their address; this accelerator promises not to.
        assert self.writes, f"{self.prefix}: W without a burst"
        assert (self.writes[0] == 1) == bool(last), f"{self.prefix}: WLAST with {self.writes[0]} beats left"
        if taken:
            self.writes[0] -= 1
            if not self.writes[0]:
                self.writes.popleft()
