//! The checks: names, widths, drivers, readers.

use super::atom::DynSignal;
use super::error::WiringError;
use super::instance::Placed;
use super::net::Net;
use rust_hdl_core::prelude::{Atom, AtomKind};
use std::collections::{HashMap, HashSet};

/// Declares the wires that outputs drive whole.
pub(super) fn declare(signals: &mut Vec<DynSignal>, placed: &[Placed]) -> Result<(), WiringError> {
    let mut names: HashSet<String> = HashSet::new();
    for name in signals
        .iter()
        .map(|s| &s.name)
        .chain(placed.iter().map(|p| &p.name))
    {
        if !names.insert(name.clone()) {
            return Err(WiringError::Duplicate { name: name.clone() });
        }
    }
    for p in placed {
        let mut ports = HashSet::new();
        for c in &p.connections {
            if !ports.insert(&c.port) {
                return Err(WiringError::Duplicate {
                    name: format!("{}.{}", p.name, c.port),
                });
            }
            if let (Net::Wire(wire), true) = (&c.net, c.output) {
                if names.insert(wire.clone()) {
                    signals.push(DynSignal::wire(wire, c.width));
                }
            }
        }
    }
    Ok(())
}

/// Bits of a net; `None` for a value, which takes any width, or an unknown wire.
pub(super) fn width_of(signals: &[DynSignal], net: &Net) -> Option<usize> {
    match net {
        Net::Wire(wire) => signals.iter().find(|s| s.name == *wire).map(Atom::bits),
        Net::Part { width, .. } => Some(*width),
        Net::Value(_) | Net::Open => None,
    }
}

struct Checker<'a> {
    by_name: HashMap<&'a str, &'a DynSignal>,
    /// For each signal the driver of each bit.
    drivers: HashMap<&'a str, Vec<Option<String>>>,
    read: HashSet<&'a str>,
}

/// Checks all connections.
pub(super) fn check(
    signals: &[DynSignal],
    placed: &[Placed],
    assigns: &[(Net, Net)],
) -> Result<(), WiringError> {
    if let Some(s) = signals.iter().find(|s| s.bits() == 0) {
        return Err(WiringError::ZeroWidth { at: s.name.clone() });
    }
    let mut checker = Checker {
        by_name: signals.iter().map(|s| (s.name.as_str(), s)).collect(),
        drivers: signals
            .iter()
            .map(|s| (s.name.as_str(), vec![None; s.bits()]))
            .collect(),
        read: HashSet::new(),
    };
    for s in signals
        .iter()
        .filter(|s| s.kind() == AtomKind::InputParameter)
    {
        checker
            .drivers
            .insert(&s.name, vec![Some("the port".into()); s.bits()]);
    }
    for p in placed {
        for c in &p.connections {
            let at = format!("{}.{}", p.name, c.port.replace('$', "."));
            if c.width == 0 {
                return Err(WiringError::ZeroWidth { at });
            }
            if c.output {
                checker.drive(&at, Some(c.width), &c.net)?;
            } else {
                checker.read(&at, c.width, &c.net)?;
            }
        }
    }
    for (target, from) in assigns {
        let at = format!("assign {target}");
        let width = checker.drive(&at, None, target)?;
        checker.read(&at, width, from)?;
    }
    checker.finish(signals)
}

impl<'a> Checker<'a> {
    /// The signal, and the lowest bit and width that the net names; `None` for values and open ports.
    fn resolve(&self, at: &str, net: &Net) -> Result<Option<(&'a str, usize, usize)>, WiringError> {
        let (wire, part) = match net {
            Net::Wire(wire) => (wire, None),
            Net::Part { wire, lo, width } => (wire, Some((*lo, *width))),
            Net::Value(_) | Net::Open => return Ok(None),
        };
        let Some((name, signal)) = self.by_name.get_key_value(wire.as_str()) else {
            return Err(WiringError::UnknownWire {
                at: at.into(),
                wire: wire.clone(),
            });
        };
        let of = signal.bits();
        let (lo, width) = part.unwrap_or((0, of));
        match lo.checked_add(width) {
            Some(end) if end <= of && width > 0 => Ok(Some((name, lo, width))),
            end => Err(WiringError::OutOfRange {
                at: at.into(),
                wire: wire.clone(),
                lo,
                end: end.unwrap_or(usize::MAX),
                width: of,
            }),
        }
    }

    fn same(at: &str, port: usize, net: &Net, found: usize) -> Result<(), WiringError> {
        if port == found {
            Ok(())
        } else {
            Err(WiringError::Width {
                at: at.into(),
                port,
                net: net.to_string(),
                found,
            })
        }
    }

    /// Enters `at` as the driver of the net; returns the net's width.
    fn drive(&mut self, at: &str, port: Option<usize>, net: &Net) -> Result<usize, WiringError> {
        if *net == Net::Open {
            return Ok(0);
        }
        let Some((wire, lo, width)) = self.resolve(at, net)? else {
            return Err(WiringError::ValueDriven { at: at.into() });
        };
        Self::same(at, port.unwrap_or(width), net, width)?;
        for (bit, driver) in self
            .drivers
            .entry(wire)
            .or_default()
            .iter_mut()
            .enumerate()
            .skip(lo)
            .take(width)
        {
            if let Some(first) = driver.replace(at.into()) {
                return Err(WiringError::TwoDrivers {
                    wire: wire.into(),
                    bit,
                    first,
                    second: at.into(),
                });
            }
        }
        Ok(width)
    }

    fn read(&mut self, at: &str, port: usize, net: &Net) -> Result<(), WiringError> {
        if let Net::Value(value) = net {
            let fits = port >= 64 || *value < 1 << port;
            return if fits {
                Ok(())
            } else {
                Err(WiringError::ValueTooWide {
                    at: at.into(),
                    value: *value,
                    width: port,
                })
            };
        }
        let Some((wire, _, width)) = self.resolve(at, net)? else {
            return Err(WiringError::Unconnected { at: at.into() });
        };
        Self::same(at, port, net, width)?;
        self.read.insert(wire);
        Ok(())
    }

    /// Every bit has a driver, every wire a reader.
    fn finish(&self, signals: &[DynSignal]) -> Result<(), WiringError> {
        for s in signals {
            let drivers = self.drivers.get(s.name.as_str());
            if let Some(bit) = drivers.and_then(|bits| bits.iter().position(Option::is_none)) {
                return Err(WiringError::NoDriver {
                    wire: s.name.clone(),
                    bit,
                });
            }
            if s.kind() == AtomKind::LocalSignal && !self.read.contains(s.name.as_str()) {
                return Err(WiringError::Unread {
                    wire: s.name.clone(),
                });
            }
        }
        Ok(())
    }
}
