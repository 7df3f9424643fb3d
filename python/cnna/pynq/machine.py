"""Registers, errors, counters and the program file. Generated from `machine/src/regs.rs`, `counters.rs` and
`program.rs`; a test compares them."""

from typing import Dict, NamedTuple, Tuple


class Register(NamedTuple):
    """One 32-bit register."""

    offset: int
    access: str
    doc: str


REGISTERS: Dict[str, Register] = {
    "ID": Register(0x00, "ro", "the letters CNNA: 0x434e4e41"),
    "VERSION": Register(0x04, "ro", "version of the register map and command set"),
    "HASH_LO": Register(0x08, "ro", "identity of the configuration, low word"),
    "HASH_HI": Register(0x0c, "ro", "identity of the configuration, high word"),
    "CONTROL": Register(0x10, "rw", "bit 0: stop and reset. Transfers under way are ended as the bus demands, then all but the registers is reset until 0"),
    "START": Register(0x14, "rw", "sequence number: a value other than DONE starts the program"),
    "DONE": Register(0x18, "ro", "last sequence number completed (with or without error)"),
    "STATUS": Register(0x1c, "ro", "bit 0 busy, bit 1 AXI transfers in flight, bit 2 reset done since the last stop or error, bits 15:8 error code"),
    "ERROR_INFO": Register(0x20, "ro", "head word of the command that failed, or 0"),
    "MEM_BASE_LO": Register(0x24, "rw", "physical address of the window, low word, aligned to 4096"),
    "MEM_BASE_HI": Register(0x28, "rw", "physical address of the window, high word"),
    "MEM_SIZE": Register(0x2c, "rw", "bytes of the window; no access leaves it"),
    "PROG_OFFSET": Register(0x30, "rw", "byte offset of the command stream in the window, aligned to 64"),
    "PROG_COUNT": Register(0x34, "rw", "commands in the stream"),
    "CYCLES": Register(0x38, "ro", "cycles since the last start, frozen when done"),
    "SATURATED": Register(0x3c, "ro", "results changed by saturation since the last start"),
    "BUSY": Register(0x40, "ro", "cycles in which the array took a step"),
    "WAIT_LOAD": Register(0x44, "ro", "cycles in which compute waited for activations"),
    "WAIT_WEIGHT": Register(0x48, "ro", "cycles in which compute waited for weights and not for activations"),
    "WAIT_STORE": Register(0x4c, "ro", "cycles in which compute waited for the store only"),
    "READ_BEATS": Register(0x50, "ro", "beats read on the activation port"),
    "WRITE_BEATS": Register(0x54, "ro", "beats written"),
    "COMMANDS": Register(0x58, "ro", "commands dealt to the queues since the last start"),
    "IRQ_ENABLE": Register(0x5c, "rw", "bit 0: the interrupt line is high while DONE is not IRQ_ACK"),
    "IRQ_ACK": Register(0x60, "rw", "sequence number whose interrupt the host has taken; the next program's cannot be lost by it"),
}

ERRORS: Dict[int, str] = {
    1: "a load leaves the memory window",
    2: "a weight read leaves the memory window",
    3: "a store leaves the memory window",
    4: "the command stream leaves the memory window",
    5: "the memory answered with an error",
    6: "a command is malformed",
}

RECORD: Tuple[str, ...] = ("cycles", "saturated", "busy", "wait_load", "wait_weight", "wait_store", "read_beats", "write_beats")
ID_VALUE = 0x434e4e41
VERSION_VALUE = 0x3
BLOCK_BYTES = 0x1000
STATUS_BUSY = 0x1
STATUS_IN_FLIGHT = 0x2
STATUS_RESET_DONE = 0x4
COMMAND_BYTES = 0x40
PROGRAM_FORMAT = 0x3
PROGRAM_MAGIC = b"CNNAPROG"
PROGRAM_HEADER_BYTES = 132
