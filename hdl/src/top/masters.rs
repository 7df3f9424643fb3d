//! The AXI masters' constants, and the weight ports' signals side by side.

use crate::ports::{self, ADDRESS_BITS, InterfaceKind};
use cnna_emit::builder::{Net, TopBuilder};
use cnna_machine::config::Accelerator;

/// Signals of a port that only reads: name, bits, and whether the accelerator drives it.
pub(super) fn read_signals(accelerator: &Accelerator) -> [(&'static str, usize, bool); 8] {
    [
        ("arvalid", 1, true),
        ("arready", 1, false),
        ("araddr", ADDRESS_BITS, true),
        ("arlen", 8, true),
        ("rvalid", 1, false),
        ("rready", 1, true),
        ("rdata", 8 * accelerator.beat_bytes(), false),
        ("rlast", 1, false),
    ]
}

/// Incrementing bursts of whole beats, bufferable and modifiable, unprivileged secure data.
fn constants(mut top: TopBuilder, interface: &str, channel: &str, beat_bytes: usize) -> TopBuilder {
    let size = u64::from(beat_bytes.trailing_zeros());
    for (signal, value) in [("size", size), ("burst", 1), ("cache", 3), ("prot", 0)] {
        let port = format!("{interface}_{channel}{signal}");
        top = top.assign(port, Net::Value(value));
    }
    top
}

/// Wires them.
pub(super) fn wire(mut top: TopBuilder, a: &Accelerator) -> TopBuilder {
    let beat = a.beat_bytes();
    for i in ports::interfaces(a) {
        if i.kind != InterfaceKind::Registers {
            top = constants(top, &i.name, "ar", beat);
        }
        if i.kind == InterfaceKind::ReadWrite {
            top = constants(top, &i.name, "aw", beat);
        }
    }
    for (signal, width, driven) in read_signals(a) {
        let all = format!("w_{signal}");
        top = top.wire(&all, width * a.weight_ports);
        for p in 0..a.weight_ports {
            let one = Net::Wire(format!("m_axi_w{p}_{signal}"));
            let part = Net::element(&all, p, width);
            top = if driven {
                top.assign(one, part)
            } else {
                top.assign(part, one)
            };
        }
    }
    top
}
