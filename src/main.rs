//! The `triarch` command.

fn main() {}
