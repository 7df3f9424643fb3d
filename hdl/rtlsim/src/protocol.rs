//! AXI as a master must keep it, watched from outside the RTL in every cycle, resets included.

use super::ffi::{In, Out, PortIn, PortOut};
use cnna_machine::config::BURST_BEATS;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// One port's obligations.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Port {
    /// Payloads offered in the last cycle and not taken: read address, write address, write data.
    offered: [Option<[u64; 4]>; 3],
    /// Beats still to come of each read burst.
    reads: VecDeque<u32>,
    /// Beats still to go of each write burst, then writes whose answer has not come.
    writes: VecDeque<u32>,
    unanswered: u32,
}

/// Watches all ports. Serialised in checkpoints.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Watch {
    ports: Vec<Port>,
    beat: u64,
}

impl Watch {
    pub(super) fn new(ports: usize, beat_bytes: usize) -> Self {
        Watch {
            ports: vec![Port::default(); ports],
            beat: beat_bytes as u64,
        }
    }

    /// Judges a cycle. Errors: the port and the rule that is broken.
    pub(super) fn look(&mut self, input: &In, output: &Out) -> Result<(), String> {
        if input.aresetn == 0 {
            *self = Watch::new(self.ports.len(), self.beat as usize);
            return Ok(());
        }
        for (p, port) in self.ports.iter_mut().enumerate() {
            port.look(&input.port[p], &output.port[p], self.beat)
                .map_err(|rule| format!("AXI port {p}: {rule}"))?;
        }
        Ok(())
    }
}

impl Port {
    fn look(&mut self, i: &PortIn, o: &PortOut, beat: u64) -> Result<(), String> {
        let words = |a: usize| u64::from(o.wdata[a]) | u64::from(o.wdata[a + 1]) << 32;
        let last = u64::from(o.wlast) << 32;
        let channels = [
            ("AR", o.arvalid, i.arready, [o.araddr, o.arlen.into(), 0, 0]),
            ("AW", o.awvalid, i.awready, [o.awaddr, o.awlen.into(), 0, 0]),
            (
                "W",
                o.wvalid,
                i.wready,
                [words(0), words(2), u64::from(o.wstrb) | last, 0],
            ),
        ];
        for ((name, valid, ready, payload), before) in channels.into_iter().zip(&mut self.offered) {
            if before.is_some_and(|b| valid == 0 || b != payload) {
                return Err(format!("{name} changed or withdrawn before it was taken"));
            }
            *before = (valid != 0 && ready == 0).then_some(payload);
        }
        for (name, valid, addr, len) in [
            ("AR", o.arvalid, o.araddr, o.arlen),
            ("AW", o.awvalid, o.awaddr, o.awlen),
        ] {
            let bytes = (u64::from(len) + 1) * beat;
            if valid != 0
                && (usize::from(len) >= BURST_BEATS || addr / 4096 != (addr + bytes - 1) / 4096)
            {
                return Err(format!("{name} burst of {bytes} bytes at {addr:#x}"));
            }
        }
        // Data and answers belong to bursts of earlier cycles.
        if i.rvalid & o.rready != 0 {
            let left = self.reads.front_mut().ok_or("R beat of no burst")?;
            *left -= 1;
            if *left == 0 {
                self.reads.pop_front();
            }
        }
        if i.bvalid & o.bready != 0 {
            self.unanswered = self.unanswered.checked_sub(1).ok_or("B of no burst")?;
        }
        if o.wvalid != 0 {
            let left = self.writes.front_mut().ok_or("W beat of no burst")?;
            if (*left == 1) != (o.wlast != 0) {
                return Err(format!("WLAST with {left} beats left"));
            }
            if i.wready != 0 {
                *left -= 1;
                if *left == 0 {
                    self.writes.pop_front();
                    self.unanswered += 1;
                }
            }
        }
        if o.arvalid & i.arready != 0 {
            self.reads.push_back(u32::from(o.arlen) + 1);
        }
        if o.awvalid & i.awready != 0 {
            self.writes.push_back(u32::from(o.awlen) + 1);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cycle(w: &mut Watch, change: impl Fn(&mut PortIn, &mut PortOut)) -> Result<(), String> {
        let (mut i, mut o) = (In::default(), Out::default());
        i.aresetn = 1;
        change(&mut i.port[0], &mut o.port[0]);
        w.look(&i, &o)
    }

    #[test]
    fn each_rule_is_seen_to_be_broken() {
        let address = |o: &mut PortOut, at| (o.arvalid, o.araddr, o.arlen) = (1, at, 3);
        let mut w = Watch::new(1, 16);
        cycle(&mut w, |_, o| address(o, 0x100)).expect("an offer");
        let mut withdrawn = w.clone();
        assert!(cycle(&mut withdrawn, |_, _| ()).is_err());
        assert!(cycle(&mut w.clone(), |_, o| address(o, 0x200)).is_err());
        cycle(&mut w, |i, o| {
            i.arready = 1;
            address(o, 0x100);
        })
        .expect("taken");
        let beat = |i: &mut PortIn, o: &mut PortOut| (i.rvalid, o.rready) = (1, 1);
        for _ in 0..4 {
            cycle(&mut w, beat).expect("a beat of four");
        }
        assert!(cycle(&mut w, beat).is_err());
        let mut w = Watch::new(1, 16);
        assert!(cycle(&mut w, |_, o| address(o, 0xff0)).is_err(), "4 KiB");
        let mut w = Watch::new(1, 16);
        assert!(cycle(&mut w.clone(), |_, o| o.wvalid = 1).is_err());
        cycle(&mut w, |i, o| (i.awready, o.awvalid, o.awlen) = (1, 1, 1)).expect("a burst of two");
        assert!(cycle(&mut w.clone(), |_, o| (o.wvalid, o.wlast) = (1, 1)).is_err());
        cycle(&mut w, |_, o| (o.wvalid, o.wstrb) = (1, 0xffff)).expect("its first beat");
        assert!(cycle(&mut w, |_, o| o.wvalid = 1).is_err(), "strobes");
        let mut w = Watch::new(1, 16);
        assert!(cycle(&mut w, |i, o| (i.bvalid, o.bready) = (1, 1)).is_err());
    }
}
