//! The registers over their AXI4-Lite port.

use super::{edge, ready, settle};
use crate::control::Registers;
use cnna_emit::dff::ClockReset;
use cnna_machine::counters;
use cnna_machine::regs::{self, Access, DeviceError, Reg};
use rust_hdl_core::prelude::*;

const HASH: u64 = 0x0123_4567_89ab_cdef;

struct Bus(Registers);

impl Bus {
    fn new() -> Self {
        Bus(ready!(Registers::new(HASH)))
    }

    fn clock(&mut self) {
        settle(&mut self.0);
        edge!(self.0, false);
    }

    /// Writes the bytes that `strobe` selects, with the data `late` cycles behind the address.
    fn write(&mut self, offset: usize, value: u32, strobe: u64, late: usize) {
        let d = &mut self.0;
        d.awaddr.next = (offset as u64).into();
        d.awvalid.next = true;
        d.wdata.next = u64::from(value).into();
        d.wstrb.next = strobe.into();
        d.bready.next = false;
        for _ in 0..late {
            settle(&mut self.0);
            assert!(!self.0.awready.val() && !self.0.bvalid.val());
            edge!(self.0, false);
        }
        self.0.wvalid.next = true;
        settle(&mut self.0);
        assert!(self.0.awready.val() && self.0.wready.val());
        edge!(self.0, false);
        self.0.awvalid.next = false;
        self.0.wvalid.next = false;
        // The answer waits to be taken.
        self.clock();
        assert!(self.0.bvalid.val() && self.0.bresp.val().to_u64() == 0);
        self.0.bready.next = true;
        self.clock();
        assert!(!self.0.bvalid.val());
    }

    fn set(&mut self, reg: Reg, value: u32) {
        self.write(reg.offset, value, 15, 0);
    }

    fn read(&mut self, offset: usize) -> u32 {
        self.0.araddr.next = (offset as u64).into();
        self.0.arvalid.next = true;
        self.0.rready.next = false;
        settle(&mut self.0);
        assert!(self.0.arready.val());
        edge!(self.0, false);
        self.0.arvalid.next = false;
        // The address is held for a cycle before its data are offered.
        settle(&mut self.0);
        assert!(!self.0.rvalid.val() && !self.0.arready.val());
        edge!(self.0, false);
        self.clock();
        assert!(self.0.rvalid.val() && self.0.rresp.val().to_u64() == 0);
        let value = self.0.rdata.val().to_u64() as u32;
        self.0.rready.next = true;
        self.clock();
        assert!(!self.0.rvalid.val());
        value
    }

    fn get(&mut self, reg: Reg) -> u32 {
        self.read(reg.offset)
    }
}

#[test]
fn writable_registers_keep_the_bytes_written_and_others_their_value() {
    let mut b = Bus::new();
    for reg in regs::ALL {
        // These two act: they have tests of their own.
        if [regs::CONTROL, regs::START].contains(reg) {
            continue;
        }
        // One bit of its 32.
        let bits = match *reg {
            regs::IRQ_ENABLE => 1,
            _ => u32::MAX,
        };
        let before = b.get(*reg);
        b.write(reg.offset, 0x1122_3344, 15, 3);
        b.write(reg.offset, 0xaabb_ccdd, 0b0101, 0);
        let expected = match reg.access {
            Access::Rw => 0x11bb_33dd & bits,
            Access::Ro => before,
        };
        assert_eq!(b.get(*reg), expected, "{}", reg.name);
    }
    b.write(0x800, 0xffff_ffff, 15, 0);
    assert_eq!(b.read(0x800), 0, "there is no register at 0x800");
}

#[test]
fn identity_and_counters_are_read_at_their_offsets() {
    let mut b = Bus::new();
    let d = &mut b.0;
    for (i, counter) in [
        &mut d.cycles,
        &mut d.saturated,
        &mut d.busy,
        &mut d.wait_load,
        &mut d.wait_weight,
        &mut d.wait_store,
        &mut d.read_beats,
        &mut d.write_beats,
        &mut d.commands,
    ]
    .into_iter()
    .enumerate()
    {
        counter.next = (1000 + i as u64).into();
    }
    let counters = counters::REGISTERS.into_iter().chain([regs::COMMANDS]);
    for (i, reg) in counters.enumerate() {
        assert_eq!(b.get(reg), 1000 + i as u32, "{}", reg.name);
    }
    assert_eq!(b.get(regs::ID), regs::ID_VALUE);
    assert_eq!(b.get(regs::VERSION), regs::VERSION_VALUE);
    assert_eq!(b.get(regs::HASH_LO), HASH as u32);
    assert_eq!(b.get(regs::HASH_HI), (HASH >> 32) as u32);
}

#[test]
fn a_program_runs_from_start_to_end_and_interrupts() {
    let mut b = Bus::new();
    b.set(regs::IRQ_ENABLE, 1);
    b.set(regs::START, 7);
    assert!(b.0.run.val() && !b.0.irq.val());
    assert_eq!(b.get(regs::STATUS), regs::STATUS_BUSY);
    b.0.in_flight.next = true;
    assert_eq!(
        b.get(regs::STATUS),
        regs::STATUS_BUSY | regs::STATUS_IN_FLIGHT
    );
    b.0.in_flight.next = false;
    b.0.ended.next = true;
    b.clock();
    b.0.ended.next = false;
    b.clock();
    assert!(!b.0.run.val() && b.0.irq.val());
    assert_eq!((b.get(regs::DONE), b.get(regs::STATUS)), (7, 0));
    // An acknowledgement of another program takes no interrupt away, its own does, and so does the mask.
    b.set(regs::IRQ_ACK, 6);
    assert!(b.0.irq.val());
    b.set(regs::IRQ_ENABLE, 0);
    assert!(!b.0.irq.val());
    b.set(regs::IRQ_ENABLE, 1);
    assert!(b.0.irq.val());
    b.set(regs::IRQ_ACK, 7);
    assert!(!b.0.irq.val());
    // The same number again starts nothing; another does, with one cycle of `started` behind `clear`.
    b.set(regs::START, 7);
    assert!(!b.0.run.val());
    b.0.awaddr.next = (regs::START.offset as u64).into();
    b.0.wdata.next = 8u64.into();
    (b.0.awvalid.next, b.0.wvalid.next) = (true, true);
    b.clock();
    (b.0.awvalid.next, b.0.wvalid.next) = (false, false);
    let mut seen = vec![];
    for _ in 0..4 {
        settle(&mut b.0);
        seen.push((b.0.clear.val(), b.0.started.val(), b.0.run.val()));
        edge!(b.0, false);
    }
    assert_eq!(
        seen,
        [
            (true, false, false),
            (false, true, true),
            (false, false, true),
            (false, false, true)
        ]
    );
}

#[test]
fn an_error_ends_the_program_with_its_code_and_the_first_one_counts() {
    for (i, error) in DeviceError::ALL.into_iter().enumerate() {
        let mut b = Bus::new();
        b.0.bad_head.next = 0x00ab_0002u64.into();
        b.set(regs::START, 1);
        let d = &mut b.0;
        // This error and all of lower rank at once.
        let lines = [
            &mut d.load_error,
            &mut d.weight_error,
            &mut d.store_error,
            &mut d.fetch_error,
            &mut d.bus_error,
        ];
        for line in lines.into_iter().skip(i) {
            line.next = true;
        }
        d.bad_command.next = error == DeviceError::Command;
        b.clock();
        b.clock();
        assert!(!b.0.run.val());
        assert_eq!(b.get(regs::STATUS) >> 8, error as u32);
        let info = if error == DeviceError::Command {
            0x00ab_0002
        } else {
            0
        };
        assert_eq!((b.get(regs::ERROR_INFO), b.get(regs::DONE)), (info, 1));
    }
}

#[test]
fn a_stop_halts_until_nothing_is_in_flight_then_resets_clears_the_error_and_forgets_the_start() {
    let mut b = Bus::new();
    b.set(regs::MEM_SIZE, 4096);
    b.set(regs::START, 3);
    b.0.in_flight.next = true;
    b.set(regs::CONTROL, 1);
    for _ in 0..10 {
        b.clock();
        assert!(b.0.halt.val() && b.0.stopping.val() && !b.0.reset.val() && !b.0.run.val());
        assert_eq!(b.get(regs::STATUS), regs::STATUS_IN_FLIGHT);
    }
    b.0.in_flight.next = false;
    b.clock();
    b.clock();
    assert!(b.0.halt.val() && !b.0.stopping.val() && b.0.reset.val());
    assert_eq!(b.get(regs::STATUS), regs::STATUS_RESET_DONE);
    assert_eq!(b.get(regs::START), 0, "back to DONE");
    b.set(regs::START, 4);
    b.write(regs::CONTROL.offset, 0, 0b1110, 0);
    assert_eq!(b.get(regs::CONTROL), 1, "its byte was not written");
    b.set(regs::CONTROL, 0);
    for _ in 0..4 {
        b.clock();
        assert!(!b.0.run.val() && !b.0.halt.val());
    }
    assert_eq!(b.get(regs::MEM_SIZE), 4096);
    assert_eq!(b.get(regs::STATUS), regs::STATUS_RESET_DONE);
    b.set(regs::START, 5);
    assert!(b.0.run.val());
    assert_eq!(b.get(regs::STATUS), regs::STATUS_BUSY);
    // The stop after that is a new one: what the last left to read is gone with its first cycle.
    b.0.in_flight.next = true;
    b.set(regs::CONTROL, 1);
    assert_eq!(b.get(regs::STATUS), regs::STATUS_IN_FLIGHT);
}

#[test]
fn after_an_error_the_machine_halts_and_resets_itself_and_a_start_waits_for_that() {
    let mut b = Bus::new();
    b.set(regs::START, 1);
    (b.0.in_flight.next, b.0.load_error.next) = (true, true);
    b.clock();
    b.0.load_error.next = false;
    b.set(regs::START, 2);
    let error = (DeviceError::LoadAddress as u32) << 8;
    for _ in 0..5 {
        b.clock();
        assert!(b.0.halt.val() && !b.0.run.val() && !b.0.reset.val());
        assert_eq!(b.get(regs::STATUS), error | regs::STATUS_IN_FLIGHT);
    }
    b.0.in_flight.next = false;
    // The reset reaches the engines one cycle late; the halt outlasts it, and the start comes behind both.
    let mut seen = vec![];
    for _ in 0..6 {
        settle(&mut b.0);
        seen.push((b.0.reset.val(), b.0.halt.val(), b.0.started.val()));
        edge!(b.0, false);
    }
    assert_eq!(
        seen,
        [
            (false, true, false),
            (true, true, false),
            (false, true, false),
            (false, false, false),
            (false, false, true),
            (false, false, false)
        ]
    );
    assert_eq!(b.get(regs::STATUS), regs::STATUS_BUSY);
}
