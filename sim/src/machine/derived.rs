//! What follows from the units' state, brought up to date by whoever changes a unit, so that a cycle looks only at what changed.

use super::Machine;
use cnna_machine::config::port;
use cnna_machine::isa::Queue;
use cnna_machine::memory::{Signals, channel, on};
use cnna_machine::regs::DeviceError;

/// What follows from the units' state, kept so that a cycle looks only at what changed.
#[derive(Debug, Default)]
pub(super) struct Derived {
    /// Units whose next clock edge changes something by itself, as bits: one load instead of four just stored.
    pub awake: u8,
    /// Queues whose engine could take a command; compute's follows from the time.
    pub ready: [bool; 4],
    /// A head, a token, or an engine's readiness has changed.
    pub heads: bool,
    /// A beat of a local store is on offer to the local load in front.
    pub local: bool,
    /// Whose token keeps a free array waiting: load's before weight's before store's.
    pub lack: Option<Queue>,
    /// Next cycle in which the array does something by itself: ends, or sends tokens.
    pub compute_at: u64,
    pub error: Option<DeviceError>,
}

/// Bits of [`Derived::awake`].
pub(super) mod awake {
    pub const LOAD: u8 = 1;
    pub const WEIGHT: u8 = 2;
    pub const STORE: u8 = 4;
    pub const FETCH: u8 = 8;
}

/// Channels of the load and store engines, which share a port.
pub(super) const READ: u64 = channel::AR | channel::R;
pub(super) const WRITE: u64 = channel::AW | channel::W | channel::B;

/// All signals of the weight ports.
pub(super) const WEIGHTS: Signals = (1 << (8 * port::SECOND)) - (1 << (8 * port::WEIGHT));

impl Derived {
    pub(super) fn wake(&mut self, unit: u8, awake: bool) {
        self.awake = match awake {
            true => self.awake | unit,
            false => self.awake & !unit,
        };
    }
}

impl Machine {
    /// Brings everything derived up to date, after a register has been written.
    pub(super) fn derive_all(&mut self) {
        let size = self.size();
        self.derived.error = None;
        self.derive_load(size);
        self.derive_weight(size, Signals::MAX);
        self.derive_store(size);
        self.derive_fetch(size);
        self.derived.heads = true;
        self.derived.compute_at = match self.now {
            0 => u64::MAX,
            now => self.units.compute.next_event(now - 1).unwrap_or(u64::MAX),
        };
    }

    pub(super) fn derive_load(&mut self, size: u64) {
        let load = &self.units.load;
        let signals = load.drive(size, &mut self.requests[port::ACT]);
        self.wants = self.wants & !on(port::ACT, READ) | on(port::ACT, signals);
        if let Some(request) = self.requests.get_mut(port::SECOND) {
            let signals = load.drive_second(size, request);
            self.wants = self.wants & !on(port::SECOND, 0xff) | on(port::SECOND, signals);
        }
        let stirs = load.awake(size);
        self.derived.wake(awake::LOAD, stirs);
        self.derived.local = load.is_local() && self.units.store.offers_local();
        let (ready, failed) = (load.ready(), load.error());
        self.derive_unit(Queue::Load, ready, failed);
    }

    /// `changed`: signals of the weight ports, of which any that is set tells that its port has changed.
    pub(super) fn derive_weight(&mut self, size: u64, changed: Signals) {
        let weight = &self.units.weight;
        let ports = self.board.accelerator.weight_ports;
        let requests = &mut self.requests[port::WEIGHT..][..ports];
        for (i, request) in requests.iter_mut().enumerate() {
            if changed >> (8 * i) & 0xff == 0 {
                continue;
            }
            let signals = weight.drive(size, i, request);
            let p = port::WEIGHT + i;
            self.wants = self.wants & !on(p, 0xff) | on(p, signals);
        }
        let stirs = weight.awake(size);
        self.derived.wake(awake::WEIGHT, stirs);
        let (ready, failed) = (weight.ready(), weight.error());
        self.derive_unit(Queue::Weight, ready, failed);
    }

    pub(super) fn derive_store(&mut self, size: u64) {
        let store = &self.units.store;
        let signals = store.drive(size, &mut self.requests[port::ACT]);
        self.wants = self.wants & !on(port::ACT, WRITE) | on(port::ACT, signals);
        let stirs = store.awake(size);
        self.derived.wake(awake::STORE, stirs);
        self.derived.local = store.offers_local() && self.units.load.is_local();
        let (ready, failed) = (store.ready(), store.burst.error());
        self.derive_unit(Queue::Store, ready, failed);
    }

    pub(super) fn derive_fetch(&mut self, size: u64) {
        let fetch = &self.units.fetch;
        let signals = fetch.drive(size, &mut self.requests[port::COMMAND]);
        self.wants = self.wants & !on(port::COMMAND, 0xff) | on(port::COMMAND, signals);
        let stirs = fetch.awake(size);
        self.derived.wake(awake::FETCH, stirs);
        let failed = fetch.bad.is_some() || fetch.burst.error();
        self.derive_error(failed);
    }

    pub(super) fn derive_unit(&mut self, q: Queue, ready: bool, failed: bool) {
        let before = &mut self.derived.ready[q as usize];
        self.derived.heads |= *before != ready;
        *before = ready;
        self.derive_error(failed);
    }

    pub(super) fn derive_error(&mut self, failed: bool) {
        if failed {
            self.derived.error = self.units.error();
        }
    }
}
