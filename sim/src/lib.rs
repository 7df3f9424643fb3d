//! When: the cycle-level simulator, values included.
