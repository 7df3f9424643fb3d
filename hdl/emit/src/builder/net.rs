//! What a port is connected to.

use std::fmt;

/// A wire, a part of one, or a constant value. A `&str` is a whole wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Net {
    /// All of a wire or of a port of the top.
    Wire(String),
    /// `width` bits of a wire from bit `lo`.
    Part {
        /// The wire.
        wire: String,
        /// Lowest bit.
        lo: usize,
        /// Number of bits.
        width: usize,
    },
    /// A constant, as wide as the port.
    Value(u64),
    /// Nothing: an output whose value is not used.
    Open,
}

impl Net {
    /// `width` bits of `wire` from bit `lo`.
    pub fn part(wire: &str, lo: usize, width: usize) -> Self {
        Net::Part {
            wire: wire.into(),
            lo,
            width,
        }
    }

    /// Element `index` of a wire that holds elements of `width` bits side by side.
    pub fn element(wire: &str, index: usize, width: usize) -> Self {
        Net::part(wire, index * width, width)
    }

    /// The wire that it is, or is a part of.
    pub(super) fn wire(&self) -> Option<&str> {
        match self {
            Net::Wire(wire) | Net::Part { wire, .. } => Some(wire),
            Net::Value(_) | Net::Open => None,
        }
    }
}

impl From<&str> for Net {
    fn from(wire: &str) -> Self {
        Net::Wire(wire.into())
    }
}

impl From<&String> for Net {
    fn from(wire: &String) -> Self {
        Net::Wire(wire.clone())
    }
}

impl From<String> for Net {
    fn from(wire: String) -> Self {
        Net::Wire(wire)
    }
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Net::Wire(wire) => f.write_str(wire),
            Net::Part { wire, lo, width } => {
                write!(f, "{wire}[{}:{lo}]", lo + width.saturating_sub(1))
            }
            Net::Value(value) => write!(f, "{value}"),
            Net::Open => f.write_str("open"),
        }
    }
}
