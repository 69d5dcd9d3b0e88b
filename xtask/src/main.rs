//! The workspace tasks: reproduce the papers, check the tree.
fn main() {}
