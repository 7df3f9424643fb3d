//! Whole paths: the room that sees all others.
