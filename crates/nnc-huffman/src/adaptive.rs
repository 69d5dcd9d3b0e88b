//! An adaptive binary coder for small blocks: no table, the model learns from the symbols that went before.
//!
//! A symbol of w bits is w decisions down a binary tree, highest bit first, each with a probability of its own that moves
//! towards what was seen: by a half at first, by a hundredth in the end. The decisions narrow an interval of 32 bits;
//! bytes go out as they are settled, and a carry runs into those that are held back.
//!
//! ```text
//! payload: w (8 bits, 1 to 8) | bytes of a number in the last interval, zeros at the end left out
//! ```
//!
//! # Source
//! Martin, "Range encoding: an algorithm for removing redundancy from a digitised message", 1979; probabilities that move by
//! shifts are those of the Q-coder's descendants. We differ: the step shrinks with what a decision has seen.

use crate::{Error, Result};

/// Symbols up to which a block is tried this way: it takes some twenty cycles a bit.
pub(crate) const MAX_SYMBOLS: usize = 1 << 14;

/// Bits of a probability.
const PROBABILITY_BITS: u32 = 16;

/// Bits of a probability that split the interval.
const SPLIT_BITS: u32 = 12;

/// The last step of a probability is a 2^7th of the way; slower ones gain nothing in blocks as small as these.
const SLOWEST_SHIFT: u32 = 7;

/// Below this the interval takes in another byte.
const LEAST_RANGE: u32 = 1 << 24;

const WHAT: &str = "adaptive block";

/// The probability of a 0, and how often it has moved.
#[derive(Clone, Copy)]
struct Decision {
    of_zero: u16,
    n_seen: u8,
}

impl Decision {
    const NEW: Self = Self { of_zero: 1 << (PROBABILITY_BITS - 1), n_seen: 0 };

    /// The part of `range` that stands for a 0: neither nothing nor all of it.
    fn split(self, range: u32) -> u32 {
        let share = u32::from(self.of_zero) >> (PROBABILITY_BITS - SPLIT_BITS);
        (range >> SPLIT_BITS) * share.clamp(1, (1 << SPLIT_BITS) - 1)
    }

    fn learn(&mut self, bit: bool) {
        // A step of about 1 / (seen + 1): what a few symbols teach, and what many confirm.
        let shift = ((u32::from(self.n_seen) + 1).ilog2() + 1).min(SLOWEST_SHIFT);
        self.n_seen = self.n_seen.saturating_add(1);
        if bit {
            self.of_zero -= self.of_zero >> shift;
        } else {
            self.of_zero += (u16::MAX - self.of_zero) >> shift;
        }
    }
}

/// Appends the payload of `symbols`.
pub(crate) fn encode(symbols: &[u8], out: &mut Vec<u8>) {
    let width = symbols.iter().fold(0, |all, &symbol| all | symbol).checked_ilog2().unwrap_or(0) + 1;
    out.push(width.to_le_bytes()[0]);
    let mut decisions = vec![Decision::NEW; 1 << width];
    let start = out.len();
    let (mut low, mut range) = (0u64, u32::MAX);
    for &symbol in symbols {
        let mut node = 1;
        for i in (0..width).rev() {
            let bit = symbol >> i & 1 == 1;
            let split = decisions[node].split(range);
            if bit {
                low += u64::from(split);
                range -= split;
            } else {
                range = split;
            }
            decisions[node].learn(bit);
            node = 2 * node + usize::from(bit);
            while range < LEAST_RANGE {
                shift_out(&mut low, start, out);
                range <<= 8;
            }
        }
    }
    // The number in low..low + range with the most zeros at its end.
    for n_zeros in (0..=32).rev() {
        let number = low.next_multiple_of(1 << n_zeros);
        if number < low + u64::from(range) {
            low = number;
            break;
        }
    }
    (0..4).for_each(|_| shift_out(&mut low, start, out));
    while out.len() > start && out.last() == Some(&0) {
        out.pop();
    }
}

/// Puts out the highest of four bytes; the 33rd bit is a carry into what is out already.
fn shift_out(low: &mut u64, start: usize, out: &mut Vec<u8>) {
    if *low >> 32 != 0 {
        // The first interval begins at 0 and the number stays below 1, so the carry ends before `start`.
        for byte in out[start..].iter_mut().rev() {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                break;
            }
        }
    }
    out.push((*low >> 24 & 0xff).to_le_bytes()[0]);
    *low = (*low & 0x00ff_ffff) << 8;
}

/// Decodes as many symbols as `out` has.
///
/// # Errors
/// [`Error::UnexpectedEnd`] without a first byte, [`Error::Corrupt`] where it is not 1 to 8, [`Error::CountMismatch`] where
/// bytes are left or the last one is a 0.
pub(crate) fn decode(payload: &[u8], out: &mut [u8]) -> Result<()> {
    let (&width, bytes) = payload.split_first().ok_or(Error::UnexpectedEnd { what: WHAT })?;
    if !(1..=8).contains(&width) {
        return Err(Error::corrupt(WHAT, format!("symbols of {width} bits")));
    }
    let mut decisions = vec![Decision::NEW; 1 << width];
    let mut next = bytes.iter();
    let mut n_read = 0;
    let mut take = || {
        n_read += 1;
        u32::from(next.next().copied().unwrap_or(0))
    };
    let (mut offset, mut range) = ((0..4).fold(0, |bits, _| bits << 8 | take()), u32::MAX);
    for slot in out.iter_mut() {
        let mut node = 1;
        for _ in 0..width {
            let split = decisions[node].split(range);
            let bit = offset >= split;
            if bit {
                offset -= split;
                range -= split;
            } else {
                range = split;
            }
            decisions[node].learn(bit);
            node = 2 * node + usize::from(bit);
            while range < LEAST_RANGE {
                offset = offset << 8 | take();
                range <<= 8;
            }
        }
        *slot = (node & ((1 << width) - 1)).to_le_bytes()[0];
    }
    if n_read < bytes.len() || bytes.last() == Some(&0) || offset >= range {
        return Err(Error::CountMismatch { symbols: out.len() as u64, bits: 8 * payload.len() as u64 });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(symbols: &[u8]) -> usize {
        let mut payload = vec![0xff];
        encode(symbols, &mut payload);
        let mut out = vec![0; symbols.len()];
        assert_eq!(decode(&payload[1..], &mut out), Ok(()));
        assert_eq!(out, symbols);
        payload.len() - 1
    }

    #[test]
    fn slide_example_takes_less_than_two_thirds_of_its_huffman_code() {
        // 64.8 bits of entropy if the shares are known, 126 bits and a table by Huffman's code.
        let symbols = [vec![0; 100], vec![1; 10], vec![2], vec![3]].concat();
        let n_bytes = check(&symbols);
        assert!(n_bytes <= 12, "{n_bytes}");
    }

    #[test]
    fn edges_round_trip() {
        for symbols in [vec![], vec![0], vec![255], vec![0; 5000], vec![255; 5000], [0, 255].repeat(2000)] {
            check(&symbols);
        }
        check(&(0..=255).collect::<Vec<u8>>());
    }

    #[test]
    fn certain_decisions_still_leave_room_for_the_other_symbol() {
        let mut symbols = vec![1u8; 4000];
        symbols.extend([0, 1, 0, 0]);
        assert!(check(&symbols) < 30);
    }

    #[test]
    fn other_bytes_are_refused() {
        let mut out = [0; 4];
        assert!(matches!(decode(&[], &mut out), Err(Error::UnexpectedEnd { .. })));
        assert!(matches!(decode(&[9, 1], &mut out), Err(Error::Corrupt { .. })));
        assert!(matches!(decode(&[1, 1, 2, 3, 4, 5, 6], &mut out), Err(Error::CountMismatch { .. })));
    }

    proptest! {
        #[test]
        fn symbols_round_trip(
            symbols in prop::collection::vec((any::<u8>(), 0u32..8).prop_map(|(s, n)| s >> n), 0..3000), shift in 0u32..8
        ) {
            check(&symbols.iter().map(|&symbol| symbol >> shift).collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_are_symbols_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..60), n in 0usize..300) {
            let _ = decode(&bytes, &mut vec![0; n]);
        }
    }
}
