//! `axi_burst.sv`: a transfer of segments as AXI bursts, one a cycle, never across a block of 16 beats.

use cnna_machine::config::BURST_BEATS;
use cnna_machine::memory::{Request, channel};

/// Segments of beats.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Transfer {
    pub addr: u64,
    pub beats: u64,
    pub segs: u64,
    pub stride: u64,
}

/// The address side of one AXI port.
#[derive(Clone, Debug)]
pub(super) struct Burst {
    beat: u64,
    /// Its logarithm.
    shift: u32,
    outstanding: usize,
    active: bool,
    error: bool,
    now: Transfer,
    seg: u64,
    left: u64,
    in_flight: usize,
    /// An address was on offer in the last cycle and not taken.
    offered: bool,
}

impl Burst {
    pub(super) fn new(beat_bytes: usize, outstanding: usize) -> Self {
        Burst {
            beat: beat_bytes as u64,
            shift: beat_bytes.trailing_zeros(),
            outstanding,
            active: false,
            error: false,
            now: Transfer::default(),
            seg: 0,
            left: 0,
            in_flight: 0,
            offered: false,
        }
    }
    /// A transfer can be taken in this cycle.
    pub(super) fn ready(&self) -> bool {
        !self.active && !self.error
    }
    pub(super) fn in_flight(&self) -> bool {
        self.in_flight > 0 || self.offered
    }
    /// From now on no new address is offered; `open` says whether one is on offer, which stays until it is taken.
    pub(super) fn halt(&mut self, open: bool) {
        self.offered = open;
    }
    /// Halted: an address is on offer.
    pub(super) fn is_offered(&self) -> bool {
        self.offered
    }
    /// The clock edge of a cycle after [`Burst::halt`].
    pub(super) fn step_halted(&mut self, issued: bool, retired: bool) {
        self.offered &= !issued;
        self.in_flight += usize::from(issued);
        self.in_flight -= usize::from(retired);
    }
    pub(super) fn error(&self) -> bool {
        self.error
    }
    /// The next clock edge changes something by itself: the address is found to leave the window.
    pub(super) fn awake(&self, size: u64) -> bool {
        self.active && !self.fits(size)
    }
    fn beats(&self) -> u64 {
        // Beats are powers of two, and a division is slow.
        let room = BURST_BEATS as u64 - (self.now.addr >> self.shift) % BURST_BEATS as u64;
        room.min(self.left)
    }
    fn fits(&self, size: u64) -> bool {
        self.now.addr + self.beats() * self.beat <= size
    }
    /// The burst offered in this cycle: address and beats.
    #[inline]
    pub(super) fn offer(&self, size: u64) -> Option<(u64, u32)> {
        (self.active && self.in_flight < self.outstanding && self.fits(size))
            .then(|| (self.now.addr, self.beats() as u32))
    }
    /// Drives the read address channel of a port; its signal.
    #[inline]
    pub(super) fn drive_read(&self, size: u64, request: &mut Request) -> u64 {
        let Some((addr, beats)) = self.offer(size) else {
            return 0;
        };
        (request.araddr, request.arbeats) = (addr, beats);
        channel::AR
    }
    /// The clock edge: `issued` when the offer was accepted, `retired` when a burst was answered.
    #[inline]
    pub(super) fn step(&mut self, size: u64, start: Option<Transfer>, issued: bool, retired: bool) {
        if !(issued || retired || start.is_some() || self.active) {
            return;
        }
        if self.active && !self.fits(size) {
            self.active = false;
            self.error = true;
        }
        if issued {
            let n = self.beats();
            if n == self.left {
                if self.now.segs == 1 {
                    self.active = false;
                }
                self.seg += self.now.stride;
                self.now.addr = self.seg;
                self.left = self.now.beats;
                self.now.segs -= 1;
            } else {
                self.now.addr += n * self.beat;
                self.left -= n;
            }
            self.in_flight += 1;
        }
        if retired {
            self.in_flight -= 1;
        }
        if let Some(t) = start.filter(|t| t.beats != 0) {
            self.active = true;
            self.now = t;
            self.seg = t.addr;
            self.left = t.beats;
        }
    }
}
