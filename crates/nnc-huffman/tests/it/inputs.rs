//! Symbols from formulas, so that a golden file never is its own oracle.

#![allow(clippy::cast_possible_truncation, reason = "ranks are below 200")]

/// A stream by name, its formula, and what it looks like.
pub(crate) struct Input {
    pub(crate) name: &'static str,
    pub(crate) symbols: Vec<u16>,
}

/// Streams of each kind that the format treats apart, small first.
pub(crate) fn inputs() -> Vec<Input> {
    let input = |name, symbols| Input { name, symbols };
    vec![
        input("empty", vec![]),
        input("constant", vec![5; 1000]),
        input("slide", [vec![0; 100], vec![1; 10], vec![2], vec![3]].concat()),
        input("gaps", (0..2000u32).map(|i| symbol(i, 32, 3)).collect()),
        input("two_symbols_far_apart", (0..100).map(|i| if i % 3 == 0 { 0 } else { 65_535 }).collect()),
        input("wide_alphabet", (0..6000u32).map(|i| (i * i % 4093) as u16).collect()),
        input("four_streams", (0..40_000u32).map(|i| symbol(i, 16, 2)).collect()),
        input("two_blocks", (0..140_000u32).map(|i| symbol(i, 4, 1)).collect()),
    ]
}

/// The `i`th of a stream over 0..n whose symbols thin out: leading zeros of a hash, `steps` to each.
fn symbol(i: u32, n: u16, steps: u32) -> u16 {
    let hash = (i + 1).wrapping_mul(0x9e37_79b9) ^ (i >> 3).wrapping_mul(0x85eb_ca6b);
    let rank = hash.leading_zeros() * steps + (hash >> 3) % steps;
    (rank as u16).min(n - 1)
}
