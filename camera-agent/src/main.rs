//! The camera agent's program.

fn main() {}
