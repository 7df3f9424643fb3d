//! The registers: AXI4-Lite slave, start and end of programs, error and interrupt.
//!
//! One access at a time; address and data of a write are taken together. All registers are level-based: no read has a side
//! effect, nothing clears by being written. Read data come two cycles after the address. Offsets and values are machine's.

use super::block;
use cnna_emit::dff::{ClockReset, Dff, DffRst};
use cnna_emit::dff_setup;
use cnna_machine::regs::{self, DeviceError};
use rust_hdl_core::prelude::*;

/// The register block of a configuration.
#[derive(LogicBlock)]
pub struct Registers {
    /// Clock, and the hard reset: a soft reset keeps what the host wrote.
    pub clock: Signal<In, ClockReset>,
    /// AXI4-Lite.
    pub awaddr: Signal<In, Bits<12>>,
    /// AXI4-Lite.
    pub awvalid: Signal<In, Bit>,
    /// AXI4-Lite.
    pub awready: Signal<Out, Bit>,
    /// AXI4-Lite.
    pub wdata: Signal<In, Bits<32>>,
    /// AXI4-Lite.
    pub wstrb: Signal<In, Bits<4>>,
    /// AXI4-Lite.
    pub wvalid: Signal<In, Bit>,
    /// AXI4-Lite.
    pub wready: Signal<Out, Bit>,
    /// AXI4-Lite.
    pub bresp: Signal<Out, Bits<2>>,
    /// AXI4-Lite.
    pub bvalid: Signal<Out, Bit>,
    /// AXI4-Lite.
    pub bready: Signal<In, Bit>,
    /// AXI4-Lite.
    pub araddr: Signal<In, Bits<12>>,
    /// AXI4-Lite.
    pub arvalid: Signal<In, Bit>,
    /// AXI4-Lite.
    pub arready: Signal<Out, Bit>,
    /// AXI4-Lite.
    pub rdata: Signal<Out, Bits<32>>,
    /// AXI4-Lite.
    pub rresp: Signal<Out, Bits<2>>,
    /// AXI4-Lite.
    pub rvalid: Signal<Out, Bit>,
    /// AXI4-Lite.
    pub rready: Signal<In, Bit>,
    /// After a stop or an error: no new bursts, those under way end without effect.
    pub halt: Signal<Out, Bit>,
    /// Halted, and the reset has not come yet.
    pub stopping: Signal<Out, Bit>,
    /// Soft reset: from the halt's end, held by the host.
    pub reset: Signal<Out, Bit>,
    /// The program begins: one cycle, in the cycle after `clear`.
    pub started: Signal<Out, Bit>,
    /// A program is about to begin: the counters clear.
    pub clear: Signal<Out, Bit>,
    /// A program runs.
    pub run: Signal<Out, Bit>,
    /// `MEM_BASE_LO`.
    pub base_lo: Signal<Out, Bits<32>>,
    /// `MEM_BASE_HI`.
    pub base_hi: Signal<Out, Bits<32>>,
    /// `MEM_SIZE`.
    pub size: Signal<Out, Bits<32>>,
    /// `PROG_OFFSET`.
    pub program_offset: Signal<Out, Bits<32>>,
    /// `PROG_COUNT`.
    pub program_count: Signal<Out, Bits<32>>,
    /// The program's end command is done.
    pub ended: Signal<In, Bit>,
    /// A load left the window.
    pub load_error: Signal<In, Bit>,
    /// A weight read left the window.
    pub weight_error: Signal<In, Bit>,
    /// A store left the window.
    pub store_error: Signal<In, Bit>,
    /// The command stream left the window.
    pub fetch_error: Signal<In, Bit>,
    /// The memory answered with an error.
    pub bus_error: Signal<In, Bit>,
    /// A command is malformed.
    pub bad_command: Signal<In, Bit>,
    /// Its first word.
    pub bad_head: Signal<In, Bits<32>>,
    /// AXI transfers are in flight.
    pub in_flight: Signal<In, Bit>,
    /// Counter `CYCLES`.
    pub cycles: Signal<In, Bits<32>>,
    /// Counter `SATURATED`.
    pub saturated: Signal<In, Bits<32>>,
    /// Counter `BUSY`.
    pub busy: Signal<In, Bits<32>>,
    /// Counter `WAIT_LOAD`.
    pub wait_load: Signal<In, Bits<32>>,
    /// Counter `WAIT_WEIGHT`.
    pub wait_weight: Signal<In, Bits<32>>,
    /// Counter `WAIT_STORE`.
    pub wait_store: Signal<In, Bits<32>>,
    /// Counter `READ_BEATS`.
    pub read_beats: Signal<In, Bits<32>>,
    /// Counter `WRITE_BEATS`.
    pub write_beats: Signal<In, Bits<32>>,
    /// Counter `COMMANDS`.
    pub commands: Signal<In, Bits<32>>,
    /// A program has ended whose interrupt is enabled and not acknowledged.
    pub irq: Signal<Out, Bit>,
    soft: DffRst<Bit>,
    start_at: DffRst<Bits<32>>,
    done_at: DffRst<Bits<32>>,
    lo: DffRst<Bits<32>>,
    hi: DffRst<Bits<32>>,
    bytes: DffRst<Bits<32>>,
    offset: DffRst<Bits<32>>,
    count: DffRst<Bits<32>>,
    answer: DffRst<Bit>,
    asked: DffRst<Bit>,
    at: Dff<Bits<6>>,
    offer: DffRst<Bit>,
    data: Dff<Bits<32>>,
    running: DffRst<Bit>,
    halted: DffRst<Bit>,
    resetting: DffRst<Bit>,
    was_reset: DffRst<Bit>,
    irq_on: DffRst<Bit>,
    ack: DffRst<Bits<32>>,
    first: DffRst<Bit>,
    code: DffRst<Bits<8>>,
    info: DffRst<Bits<32>>,
    write: Signal<Local, Bit>,
    read: Signal<Local, Bit>,
    mask: Signal<Local, Bits<32>>,
    masked: Signal<Local, Bits<32>>,
    status: Signal<Local, Bits<32>>,
    value: Signal<Local, Bits<32>>,
    counter: Signal<Local, Bits<32>>,
    beginning: Signal<Local, Bit>,
    stop: Signal<Local, Bit>,
    error: Signal<Local, Bits<8>>,
    at_id: Constant<Bits<12>>,
    at_version: Constant<Bits<12>>,
    at_hash_lo: Constant<Bits<12>>,
    at_hash_hi: Constant<Bits<12>>,
    at_control: Constant<Bits<12>>,
    at_start: Constant<Bits<12>>,
    at_done: Constant<Bits<12>>,
    at_status: Constant<Bits<12>>,
    at_error_info: Constant<Bits<12>>,
    at_mem_base_lo: Constant<Bits<12>>,
    at_mem_base_hi: Constant<Bits<12>>,
    at_mem_size: Constant<Bits<12>>,
    at_prog_offset: Constant<Bits<12>>,
    at_prog_count: Constant<Bits<12>>,
    at_cycles: Constant<Bits<12>>,
    at_saturated: Constant<Bits<12>>,
    at_busy: Constant<Bits<12>>,
    at_wait_load: Constant<Bits<12>>,
    at_wait_weight: Constant<Bits<12>>,
    at_wait_store: Constant<Bits<12>>,
    at_read_beats: Constant<Bits<12>>,
    at_write_beats: Constant<Bits<12>>,
    at_commands: Constant<Bits<12>>,
    at_irq_enable: Constant<Bits<12>>,
    at_irq_ack: Constant<Bits<12>>,
    id_value: Constant<Bits<32>>,
    version_value: Constant<Bits<32>>,
    hash_lo_value: Constant<Bits<32>>,
    hash_hi_value: Constant<Bits<32>>,
    error_load_address: Constant<Bits<8>>,
    error_weight_address: Constant<Bits<8>>,
    error_store_address: Constant<Bits<8>>,
    error_fetch_address: Constant<Bits<8>>,
    error_bus: Constant<Bits<8>>,
    error_command: Constant<Bits<8>>,
}

impl Registers {
    /// The registers of a machine whose configuration has this hash.
    pub fn new(hash: u64) -> Self {
        block!(
            at_id = regs::ID.offset,
            at_version = regs::VERSION.offset,
            at_hash_lo = regs::HASH_LO.offset,
            at_hash_hi = regs::HASH_HI.offset,
            at_control = regs::CONTROL.offset,
            at_start = regs::START.offset,
            at_done = regs::DONE.offset,
            at_status = regs::STATUS.offset,
            at_error_info = regs::ERROR_INFO.offset,
            at_mem_base_lo = regs::MEM_BASE_LO.offset,
            at_mem_base_hi = regs::MEM_BASE_HI.offset,
            at_mem_size = regs::MEM_SIZE.offset,
            at_prog_offset = regs::PROG_OFFSET.offset,
            at_prog_count = regs::PROG_COUNT.offset,
            at_cycles = regs::CYCLES.offset,
            at_saturated = regs::SATURATED.offset,
            at_busy = regs::BUSY.offset,
            at_wait_load = regs::WAIT_LOAD.offset,
            at_wait_weight = regs::WAIT_WEIGHT.offset,
            at_wait_store = regs::WAIT_STORE.offset,
            at_read_beats = regs::READ_BEATS.offset,
            at_write_beats = regs::WRITE_BEATS.offset,
            at_commands = regs::COMMANDS.offset,
            at_irq_enable = regs::IRQ_ENABLE.offset,
            at_irq_ack = regs::IRQ_ACK.offset,
            id_value = regs::ID_VALUE,
            version_value = regs::VERSION_VALUE,
            hash_lo_value = hash as u32,
            hash_hi_value = hash >> 32,
            error_load_address = DeviceError::LoadAddress,
            error_weight_address = DeviceError::WeightAddress,
            error_store_address = DeviceError::StoreAddress,
            error_fetch_address = DeviceError::FetchAddress,
            error_bus = DeviceError::Bus,
            error_command = DeviceError::Command,
            ;
            clock,awaddr, awvalid, awready, wdata, wstrb, wvalid, wready, bresp, bvalid, bready, araddr, arvalid, arready, rdata, rresp, rvalid, rready, halt, stopping, reset, started, clear, run, base_lo, base_hi, size, program_offset, program_count, ended, load_error, weight_error, store_error, fetch_error, bus_error, bad_command, bad_head, in_flight, cycles, saturated, busy, wait_load, wait_weight, wait_store, read_beats, write_beats, commands, irq, soft, start_at, done_at, lo, hi, bytes, offset, count, answer, asked, at, offer, data, running, halted, resetting, was_reset, irq_on, ack, first, code, info, write, read, mask, masked, status, value, counter, beginning, stop, error
        )
    }
}

impl Logic for Registers {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(
            self, clock, soft, start_at, done_at, lo, hi, bytes, offset, count
        );
        dff_setup!(
            self, clock, answer, asked, at, offer, data, running, halted, resetting, was_reset,
            irq_on, ack, first, code, info
        );

        // Start: a sequence number other than the last one done.
        self.beginning.next = !self.running.q.val()
            & (self.start_at.q.val() != self.done_at.q.val())
            & !self.soft.q.val()
            & !self.halted.q.val();
        self.first.d.next = self.beginning.val();

        // Writes.
        self.write.next = self.awvalid.val() & self.wvalid.val() & !self.answer.q.val();
        self.awready.next = self.write.val();
        self.wready.next = self.write.val();
        self.bvalid.next = self.answer.q.val();
        self.bresp.next = 0.into();
        if self.write.val() {
            self.answer.d.next = true;
        } else if self.bready.val() {
            self.answer.d.next = false;
        }
        self.mask.next = 0.into();
        if self.wstrb.val().get_bit(0) {
            self.mask.next = self.mask.val() | 0xff;
        }
        if self.wstrb.val().get_bit(1) {
            self.mask.next = self.mask.val() | 0xff00;
        }
        if self.wstrb.val().get_bit(2) {
            self.mask.next = self.mask.val() | 0xff_0000;
        }
        if self.wstrb.val().get_bit(3) {
            self.mask.next = self.mask.val() | (bits::<32>(0xff) << 24);
        }
        self.masked.next = self.wdata.val() & self.mask.val();
        if self.write.val() {
            if (self.awaddr.val() == self.at_control.val()) & self.wstrb.val().get_bit(0) {
                self.soft.d.next = self.wdata.val().get_bit(0);
            }
            if self.awaddr.val() == self.at_start.val() {
                self.start_at.d.next =
                    (self.start_at.q.val() & !self.mask.val()) | self.masked.val();
            }
            if self.awaddr.val() == self.at_mem_base_lo.val() {
                self.lo.d.next = (self.lo.q.val() & !self.mask.val()) | self.masked.val();
            }
            if self.awaddr.val() == self.at_mem_base_hi.val() {
                self.hi.d.next = (self.hi.q.val() & !self.mask.val()) | self.masked.val();
            }
            if self.awaddr.val() == self.at_mem_size.val() {
                self.bytes.d.next = (self.bytes.q.val() & !self.mask.val()) | self.masked.val();
            }
            if self.awaddr.val() == self.at_prog_offset.val() {
                self.offset.d.next = (self.offset.q.val() & !self.mask.val()) | self.masked.val();
            }
            if self.awaddr.val() == self.at_prog_count.val() {
                self.count.d.next = (self.count.q.val() & !self.mask.val()) | self.masked.val();
            }
            if (self.awaddr.val() == self.at_irq_enable.val()) & self.wstrb.val().get_bit(0) {
                self.irq_on.d.next = self.wdata.val().get_bit(0);
            }
            if self.awaddr.val() == self.at_irq_ack.val() {
                self.ack.d.next = (self.ack.q.val() & !self.mask.val()) | self.masked.val();
            }
        }
        // A reset forgets a pending start, so that the device comes up idle.
        if self.soft.q.val() {
            self.start_at.d.next = self.done_at.q.val();
        }

        // Reads.
        self.status.next = (bit_cast::<32, 8>(self.code.q.val()) << 8)
            | (bit_cast::<32, 1>(self.was_reset.q.val().into()) << 2)
            | (bit_cast::<32, 1>(self.in_flight.val().into()) << 1)
            | bit_cast::<32, 1>(self.running.q.val().into());
        self.value.next = 0.into();
        if self.at.q.val() == self.at_id.val().get_bits::<6>(2) {
            self.value.next = self.id_value.val();
        } else if self.at.q.val() == self.at_version.val().get_bits::<6>(2) {
            self.value.next = self.version_value.val();
        } else if self.at.q.val() == self.at_hash_lo.val().get_bits::<6>(2) {
            self.value.next = self.hash_lo_value.val();
        } else if self.at.q.val() == self.at_hash_hi.val().get_bits::<6>(2) {
            self.value.next = self.hash_hi_value.val();
        } else if self.at.q.val() == self.at_control.val().get_bits::<6>(2) {
            self.value.next = bit_cast::<32, 1>(self.soft.q.val().into());
        } else if self.at.q.val() == self.at_start.val().get_bits::<6>(2) {
            self.value.next = self.start_at.q.val();
        } else if self.at.q.val() == self.at_done.val().get_bits::<6>(2) {
            self.value.next = self.done_at.q.val();
        } else if self.at.q.val() == self.at_status.val().get_bits::<6>(2) {
            self.value.next = self.status.val();
        } else if self.at.q.val() == self.at_error_info.val().get_bits::<6>(2) {
            self.value.next = self.info.q.val();
        } else if self.at.q.val() == self.at_mem_base_lo.val().get_bits::<6>(2) {
            self.value.next = self.lo.q.val();
        } else if self.at.q.val() == self.at_mem_base_hi.val().get_bits::<6>(2) {
            self.value.next = self.hi.q.val();
        } else if self.at.q.val() == self.at_mem_size.val().get_bits::<6>(2) {
            self.value.next = self.bytes.q.val();
        } else if self.at.q.val() == self.at_prog_offset.val().get_bits::<6>(2) {
            self.value.next = self.offset.q.val();
        } else if self.at.q.val() == self.at_prog_count.val().get_bits::<6>(2) {
            self.value.next = self.count.q.val();
        }
        self.counter.next = 0.into();
        if self.at.q.val() == self.at_cycles.val().get_bits::<6>(2) {
            self.counter.next = self.cycles.val();
        } else if self.at.q.val() == self.at_saturated.val().get_bits::<6>(2) {
            self.counter.next = self.saturated.val();
        } else if self.at.q.val() == self.at_busy.val().get_bits::<6>(2) {
            self.counter.next = self.busy.val();
        } else if self.at.q.val() == self.at_wait_load.val().get_bits::<6>(2) {
            self.counter.next = self.wait_load.val();
        } else if self.at.q.val() == self.at_wait_weight.val().get_bits::<6>(2) {
            self.counter.next = self.wait_weight.val();
        } else if self.at.q.val() == self.at_wait_store.val().get_bits::<6>(2) {
            self.counter.next = self.wait_store.val();
        } else if self.at.q.val() == self.at_read_beats.val().get_bits::<6>(2) {
            self.counter.next = self.read_beats.val();
        } else if self.at.q.val() == self.at_write_beats.val().get_bits::<6>(2) {
            self.counter.next = self.write_beats.val();
        } else if self.at.q.val() == self.at_commands.val().get_bits::<6>(2) {
            self.counter.next = self.commands.val();
        } else if self.at.q.val() == self.at_irq_enable.val().get_bits::<6>(2) {
            self.counter.next = bit_cast::<32, 1>(self.irq_on.q.val().into());
        } else if self.at.q.val() == self.at_irq_ack.val().get_bits::<6>(2) {
            self.counter.next = self.ack.q.val();
        }
        self.read.next = self.arvalid.val() & !self.asked.q.val() & !self.offer.q.val();
        self.arready.next = self.read.val();
        self.rvalid.next = self.offer.q.val();
        self.rresp.next = 0.into();
        self.rdata.next = self.data.q.val();
        self.asked.d.next = self.read.val();
        // The word's number; the last one stands for every address that has no register.
        if self.read.val() {
            self.at.d.next = self.araddr.val().get_bits::<6>(2);
            if self.araddr.val().get_bits::<4>(8).any() | self.araddr.val().get_bits::<2>(0).any() {
                self.at.d.next = 63.into();
            }
        }
        if self.asked.q.val() {
            self.offer.d.next = true;
            // Two halves side by side: one of them is zero.
            self.data.d.next = self.value.val() | self.counter.val();
        } else if self.rready.val() {
            self.offer.d.next = false;
        }

        // Errors, by rank.
        self.error.next = 0.into();
        if self.load_error.val() {
            self.error.next = self.error_load_address.val();
        } else if self.weight_error.val() {
            self.error.next = self.error_weight_address.val();
        } else if self.store_error.val() {
            self.error.next = self.error_store_address.val();
        } else if self.fetch_error.val() {
            self.error.next = self.error_fetch_address.val();
        } else if self.bus_error.val() {
            self.error.next = self.error_bus.val();
        } else if self.bad_command.val() {
            self.error.next = self.error_command.val();
        }

        // Run. After an error or a stop the machine halts until nothing is in flight, and then is reset.
        self.stop.next = self.halted.q.val() & !self.was_reset.q.val();
        if self.beginning.val() {
            self.running.d.next = true;
            self.was_reset.d.next = false;
            self.code.d.next = 0.into();
            self.info.d.next = 0.into();
        } else if self.running.q.val() & (self.ended.val() | self.error.val().any()) {
            self.running.d.next = false;
            self.done_at.d.next = self.start_at.q.val();
            self.code.d.next = self.error.val();
            self.info.d.next = 0.into();
            if self.error.val().any() {
                self.halted.d.next = true;
            }
            if self.bad_command.val() {
                self.info.d.next = self.bad_head.val();
            }
        }
        if self.stop.val() & !self.in_flight.val() {
            self.resetting.d.next = true;
            self.was_reset.d.next = true;
        }
        if self.resetting.q.val() & !self.soft.q.val() {
            self.resetting.d.next = false;
        }
        // The reset reaches the engines one cycle late: until then they may offer nothing.
        if self.was_reset.q.val() & !self.resetting.q.val() {
            self.halted.d.next = false;
        }
        if self.soft.q.val() {
            self.running.d.next = false;
            self.halted.d.next = true;
            self.code.d.next = 0.into();
            self.info.d.next = 0.into();
            // What an earlier reset left to read says nothing of this one.
            if !self.halted.q.val() {
                self.was_reset.d.next = false;
            }
        }

        self.halt.next = self.halted.q.val();
        self.stopping.next = self.stop.val();
        self.reset.next = self.resetting.q.val();
        self.started.next = self.first.q.val();
        self.clear.next = self.beginning.val();
        self.run.next = self.running.q.val();
        self.base_lo.next = self.lo.q.val();
        self.base_hi.next = self.hi.q.val();
        self.size.next = self.bytes.q.val();
        self.program_offset.next = self.offset.q.val();
        self.program_count.next = self.count.q.val();
        self.irq.next = self.irq_on.q.val() & (self.done_at.q.val() != self.ack.q.val());
    }
}
