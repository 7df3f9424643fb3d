//! `weight_engine.sv` and `weight_port.sv`: one command drives all ports; it is complete when every port is.

use super::burst::{Burst, Transfer};
use super::queue::Entry;
use cnna_spec::Accelerator;
use cnna_spec::isa;
use cnna_spec::memory::{PortIn, PortOut};
use std::collections::VecDeque;

const RECEIVE_DEPTH: usize = 4;
const SIGNAL_DEPTH: usize = 8;

#[derive(Debug)]
struct Port {
    burst: Burst,
    receive: VecDeque<u64>,
    taken: u64,
    done: bool,
    ahead: u32,
}

/// State of the weight engine.
#[derive(Debug)]
pub(super) struct Weight {
    ports: Vec<Port>,
    pending: VecDeque<Entry>,
    pub(super) signal: Option<Entry>,
}

impl Weight {
    pub(super) fn new(a: &Accelerator) -> Self {
        let port = || Port {
            burst: Burst::new(a.beat_bytes(), a.outstanding),
            receive: VecDeque::new(),
            taken: 0,
            done: false,
            ahead: 0,
        };
        Weight {
            ports: (0..a.weight_ports).map(|_| port()).collect(),
            pending: VecDeque::new(),
            signal: None,
        }
    }
    pub(super) fn ready(&self) -> bool {
        self.pending.len() < SIGNAL_DEPTH
            && self
                .ports
                .iter()
                .all(|p| p.burst.ready() && p.receive.len() < RECEIVE_DEPTH)
    }
    pub(super) fn in_flight(&self) -> bool {
        self.ports.iter().any(|p| p.burst.in_flight())
    }
    pub(super) fn error(&self) -> bool {
        self.ports.iter().any(|p| p.burst.error())
    }
    pub(super) fn is_idle(&self) -> bool {
        self.pending.is_empty() && self.signal.is_none() && !self.in_flight()
    }
    pub(super) fn drive(&self, size: u64, p: usize, port: &mut PortIn) {
        let me = &self.ports[p];
        if let Some((addr, beats)) = me.burst.offer(size) {
            port.arvalid = true;
            port.araddr = addr;
            port.arbeats = beats;
        }
        port.rready = me.receive.front().is_some_and(|&beats| beats != 0);
    }
    pub(super) fn step(
        &mut self,
        size: u64,
        start: Option<Entry>,
        outs: impl Fn(usize) -> PortOut,
        ins: &[PortIn],
        cmd: impl Fn(&Entry) -> isa::Weight,
    ) {
        let all_done = self.ports.iter().all(|p| p.ahead != 0);
        self.signal = if all_done {
            self.pending.pop_front()
        } else {
            None
        };
        let c = start.as_ref().map(cmd);
        for (p, me) in self.ports.iter_mut().enumerate() {
            me.ahead += u32::from(me.done);
            me.ahead -= u32::from(all_done);
            let (out, port) = (outs(p), &ins[p]);
            let take = out.rvalid && port.rready;
            me.done = false;
            if let Some(&beats) = me.receive.front() {
                me.taken += u64::from(take);
                if me.taken == beats {
                    me.taken = 0;
                    me.receive.pop_front();
                    me.done = true;
                }
            }
            let transfer = c.as_ref().map(|c| {
                let high = (p as i32) < c.split;
                let beats = if high { c.beats_high } else { c.beats_low };
                let beats = u64::from(beats as u32);
                me.receive.push_back(beats);
                let port_stride = u64::from(c.port_stride as u32);
                Transfer {
                    addr: (u64::from(c.ddr as u32) + p as u64 * port_stride) & 0xffff_ffff,
                    beats,
                    segs: 1,
                    stride: 0,
                }
            });
            let issued = port.arvalid && out.arready;
            me.burst.step(size, transfer, issued, take && out.rlast);
        }
        self.pending.extend(start);
    }
}
