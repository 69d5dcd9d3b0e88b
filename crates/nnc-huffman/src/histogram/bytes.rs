//! Counting bytes.

#![allow(clippy::cast_possible_truncation, reason = "the low bits of a word are what is wanted")]

use std::cell::RefCell;

use crate::kernel::prefetch;

/// Symbols from which on counting pairs pays for clearing and summing their counters.
const PAIRS_FROM: usize = 1 << 14;

/// Symbols whose pairs a counter of 16 bits can count, in cache lines.
const MAX_PART: usize = 2 * u16::MAX as usize / 64 * 64;

/// Symbols that are fetched ahead: counting is the first to see them.
const AHEAD: usize = 2048;

/// How often each byte occurs.
pub(crate) fn count_bytes(symbols: &[u8]) -> [u64; 256] {
    let mut counts = [0; 256];
    if symbols.len() < PAIRS_FROM {
        count_singly(symbols, &mut counts);
        return counts;
    }
    PAIRS.with_borrow_mut(|pairs| {
        symbols.chunks(MAX_PART).for_each(|part| count_pairs(part, pairs, &mut counts));
    });
    counts
}

thread_local! {
    /// A counter for each pair of bytes, all 0 between uses: 128 KiB, of which a skewed stream uses a few lines.
    static PAIRS: RefCell<Vec<[u16; 256]>> = RefCell::new(vec![[0; 256]; 256]);
}

/// Counts pairs, and the bytes of the pairs from that.
///
/// Q: Why pairs? A: A processor finishes one store a cycle, and counting is a store a time; this way it is one for two
/// symbols. The sums cost the square of the largest symbol, eight or more at a time.
fn count_pairs(symbols: &[u8], pairs: &mut [[u16; 256]], counts: &mut [u64; 256]) {
    let (lines, rest) = symbols.as_chunks::<64>();
    let mut largest = 0;
    let table: &mut [u16; 1 << 16] = pairs.as_flattened_mut().try_into().expect("256 rows");
    for line in lines {
        prefetch(line, AHEAD);
        for &group in line.as_chunks::<8>().0 {
            let group = u64::from_le_bytes(group);
            for i in 0..4 {
                table[usize::from((group >> (16 * i)) as u16)] += 1;
            }
        }
    }
    rest.iter().for_each(|&symbol| counts[usize::from(symbol)] += 1);
    lines.as_flattened().iter().for_each(|&symbol| largest = symbol.max(largest));
    let n = usize::from(largest) + 1;
    let mut firsts = [0u32; 256];
    for (row, count) in pairs[..n].iter_mut().zip(counts.iter_mut()) {
        let row = &mut row[..n];
        let mut sum = 0u32;
        for (pair, first) in row.iter_mut().zip(&mut firsts) {
            sum += u32::from(*pair);
            *first += u32::from(*pair);
            *pair = 0;
        }
        *count += u64::from(sum);
    }
    counts.iter_mut().zip(firsts).for_each(|(count, first)| *count += u64::from(first));
}

/// Counts in four tables, so that equal neighbours do not wait for each other's store.
fn count_singly(symbols: &[u8], counts: &mut [u64; 256]) {
    let mut tables = [[0u32; 256]; 4];
    let (groups, rest) = symbols.as_chunks::<4>();
    for group in groups {
        for (table, &symbol) in tables.iter_mut().zip(group) {
            table[usize::from(symbol)] += 1;
        }
    }
    rest.iter().for_each(|&symbol| tables[0][usize::from(symbol)] += 1);
    for (symbol, count) in counts.iter_mut().enumerate() {
        *count = tables.iter().map(|table| u64::from(table[symbol])).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_those_of_one_by_one() {
        for n in [0, 1, 5, PAIRS_FROM - 1, PAIRS_FROM, PAIRS_FROM + 7, 131_072, 300_001] {
            for modulus in [1, 2, 7, 251, 256] {
                #[allow(clippy::cast_possible_truncation, reason = "remainders of at most 256")]
                let symbols: Vec<u8> = (0..n).map(|i| (i * i % modulus) as u8).collect();
                let mut expected = [0u64; 256];
                symbols.iter().for_each(|&symbol| expected[usize::from(symbol)] += 1);
                assert_eq!(count_bytes(&symbols), expected, "{n} modulo {modulus}");
            }
        }
    }

    #[test]
    fn constant_runs_do_not_overflow_a_counter() {
        assert_eq!(count_bytes(&vec![255; 1 << 18])[255], 1 << 18);
    }
}
