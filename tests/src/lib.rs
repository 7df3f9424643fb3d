//! Whole paths: the room that sees all others. What several tests share.

pub mod engines;
pub mod mutations;
pub mod rtl;
