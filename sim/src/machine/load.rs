//! `load_engine.sv`: issues bursts for the next command while the data of earlier ones arrive.

use super::burst::{Burst, Transfer};
use super::queue::Entry;
use cnna_spec::Accelerator;
use cnna_spec::isa;
use cnna_spec::memory::{PortIn, PortOut};
use std::collections::VecDeque;

/// Commands whose data are on their way, at most.
const RECEIVE_DEPTH: usize = 4;

#[derive(Debug)]
struct Receive {
    entry: Entry,
    beats: u64,
    phases: u32,
}

/// State of the load engine.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) burst: Burst,
    receive: VecDeque<Receive>,
    taken: u64,
    phase: u32,
    /// Mask sent in this cycle, and the command it belongs to.
    pub(super) signal: Option<Entry>,
    phases_plain: u32,
}

impl Load {
    pub(super) fn new(a: &Accelerator) -> Self {
        Load {
            burst: Burst::new(a.beat_bytes(), a.outstanding),
            receive: VecDeque::new(),
            taken: 0,
            phase: 0,
            signal: None,
            phases_plain: if a.tiles == 1 { 2 } else { 1 },
        }
    }
    pub(super) fn ready(&self) -> bool {
        self.burst.ready() && self.receive.len() < RECEIVE_DEPTH
    }
    pub(super) fn is_idle(&self) -> bool {
        self.burst.is_idle() && self.receive.is_empty() && self.signal.is_none()
    }
    /// Drives the read channel.
    pub(super) fn drive(&self, size: u64, port: &mut PortIn) {
        if let Some((addr, beats)) = self.burst.offer(size) {
            port.arvalid = true;
            port.araddr = addr;
            port.arbeats = beats;
        }
        port.rready = self
            .receive
            .front()
            .is_some_and(|r| self.phase + 1 == r.phases);
    }
    pub(super) fn step(
        &mut self,
        size: u64,
        start: Option<Entry>,
        out: &PortOut,
        port: &PortIn,
        cmd: impl Fn(&Entry) -> isa::Load,
    ) {
        self.signal = None;
        let retired = out.rvalid && port.rready && out.rlast;
        if let (true, Some(r)) = (out.rvalid, self.receive.front()) {
            if port.rready {
                self.phase = 0;
                self.taken += 1;
                if self.taken == r.beats {
                    self.taken = 0;
                    self.signal = self.receive.pop_front().map(|r| r.entry);
                }
            } else {
                self.phase += 1;
            }
        }
        let transfer = start.map(|e| {
            let c = cmd(&e);
            let t = Transfer {
                addr: u64::from(c.ddr as u32),
                beats: c.seg_beats as u64,
                segs: c.seg_count as u64,
                stride: u64::from(c.seg_stride as u32),
            };
            self.receive.push_back(Receive {
                entry: e,
                beats: t.beats * t.segs,
                phases: match c.stride {
                    1 => self.phases_plain,
                    s => s as u32,
                },
            });
            t
        });
        let issued = port.arvalid && out.arready;
        self.burst.step(size, transfer, issued, retired);
    }
}
