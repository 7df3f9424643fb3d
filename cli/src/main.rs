//! The one program: a thin clap door to every room.
fn main() {}
