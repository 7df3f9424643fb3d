//! The fetch unit (`hdl/src/control/fetch.rs`): the command stream from memory, dealt to the queues in order.

use super::burst::{Burst, Transfer};
use cnna_machine::Accelerator;
use cnna_machine::config::depth;
use cnna_machine::isa::{Body, COMMAND_BYTES, Command, mode, store_kind, weight_kind};
use cnna_machine::memory::{Request, channel};

/// State of the fetch unit.
#[derive(Debug)]
pub(super) struct Fetch {
    pub(super) burst: Burst,
    beats: usize,
    got: usize,
    lanes: i32,
    /// Byte offset of the command being received.
    offset: u64,
    /// A whole command waits to be dealt.
    full: Option<Command>,
    /// It has a field that would hang an engine.
    malformed: bool,
    /// The waiting command was found malformed; its head word.
    pub(super) bad: Option<u32>,
}

impl Fetch {
    pub(super) fn new(a: &Accelerator) -> Self {
        Fetch {
            burst: Burst::new(a.beat_bytes(), depth::FETCH_BURSTS),
            beats: COMMAND_BYTES / a.beat_bytes(),
            got: 0,
            lanes: a.lanes as i32,
            offset: 0,
            full: None,
            malformed: false,
            bad: None,
        }
    }
    /// The next clock edge changes something by itself.
    pub(super) fn awake(&self, size: u64) -> bool {
        self.bad.is_none() && self.malformed || self.burst.awake(size)
    }
    /// The command that waits to be dealt, if it may be.
    pub(super) fn deal(&self) -> Option<&Command> {
        self.full
            .as_ref()
            .filter(|_| self.bad.is_none() && !self.malformed)
    }
    /// Drives the read channels; their signals.
    pub(super) fn drive(&self, size: u64, request: &mut Request) -> u64 {
        let data = match self.full {
            None => channel::R,
            Some(_) => 0,
        };
        self.burst.drive_read(size, request) | data
    }
    /// Beats that may come before the one that completes the command.
    pub(super) fn room(&self) -> u64 {
        (self.beats - self.got - 1) as u64
    }
    /// Takes beats that do not complete the command.
    pub(super) fn take(&mut self, beats: u64) {
        self.got += beats as usize;
    }
    /// The clock edge: `offered` are the memory's signals on the port, `moved` the handshakes; `dealt` when the waiting command went to its queue.
    pub(super) fn step(
        &mut self,
        size: u64,
        start: Option<(u64, u64)>,
        offered: u64,
        moved: u64,
        dealt: bool,
        window: &[u8],
    ) {
        let take = moved & channel::R != 0;
        if dealt {
            self.full = None;
        } else if let (None, true, Some(c)) = (self.bad, self.malformed, &self.full) {
            self.bad = c.encode().map(|w| w[0]).ok().or(Some(0));
        }
        if take {
            self.got += 1;
            if self.got == self.beats {
                self.got = 0;
                let bytes = &window[self.offset as usize..][..COMMAND_BYTES];
                let command = Command::from_bytes(bytes);
                self.malformed = malformed(&command, self.lanes);
                self.full = Some(command);
                self.offset += COMMAND_BYTES as u64;
            }
        }
        let transfer = start.map(|(addr, count)| {
            self.offset = addr;
            Transfer {
                addr,
                beats: (count * self.beats as u64) & 0xffff_ffff,
                segs: 1,
                stride: 0,
            }
        });
        let issued = moved & channel::AR != 0;
        let retired = take && offered & channel::R_LAST != 0;
        self.burst.step(size, transfer, issued, retired);
    }
}

/// A field whose zero (or excess) would hang an engine.
fn malformed(c: &Command, lanes: i32) -> bool {
    let stride_ok = |s: i32| [1, 2, 4].contains(&s);
    match &c.body {
        Body::Load(l) => l.seg_beats == 0 || l.seg_count == 0 || !stride_ok(l.stride),
        Body::Weight(_) => c.kind > weight_kind::SET,
        Body::Compute(k) => {
            [k.tiles, k.lanes, k.c_count, k.kx_count, k.ky_count].contains(&0)
                || k.mode != mode::POOL && k.lanes > lanes
                || !stride_ok(k.stride)
        }
        Body::Store(s) => {
            c.kind > store_kind::FENCE
                || c.kind == store_kind::STORE && [s.seg_beats, s.seg_count, s.rows].contains(&0)
        }
    }
}
