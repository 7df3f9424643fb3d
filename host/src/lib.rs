//! Where: the memory-mapped runtime.
