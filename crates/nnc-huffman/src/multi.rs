//! A code laid out for decoding several symbols a lookup.
//!
//! The next [`TABLE_BITS`] bits of a stream, first bit highest, index a table of 8-byte entries:
//!
//! ```text
//! byte 0   | byte 1            | bytes 2 to 7
//! bits b   | symbols c, 1 to 6 | the symbols, the first one lowest: six of 8 bits, or three of 16
//! ```
//!
//! A decoder stores bytes 2 to 7 whatever the count, goes on by `c` symbols, and shifts its bits by `b`, which stands
//! lowest because processors shift by the low six bits of a register.
//!
//! Q: How is it built in a few microseconds, for each block anew? A: Let `M(k, t)` be the table for `t` bits and at most
//! `k` symbols. A codeword of `l` bits owns `2^(t - l)` neighbouring entries, and these are `M(k - 1, t - l)` with its
//! symbol put before each: long runs, no search. `M(k, t)` with more symbols than `t` bits can hold is the one with as many
//! as they can, so few tables are different.

use std::cell::RefCell;

use crate::symbol::Symbol;
use crate::{Code, Error, Result};

/// Bits that index the table: 32 KiB of entries. One bit more would leave a first-level cache of 48 KiB, one less would
/// decode a tenth fewer symbols a lookup.
pub(crate) const TABLE_BITS: u32 = 12;

/// Entries of the table.
pub(crate) const N_ENTRIES: usize = 1 << TABLE_BITS;

/// Bytes of symbols in an entry.
pub(crate) const SYMBOL_BYTES: usize = 6;

/// Symbols of type `S` in an entry, at most.
pub(crate) const fn max_symbols<S: Symbol>() -> usize {
    SYMBOL_BYTES / size_of::<S>()
}

/// The table, kept to be filled again.
///
/// # Invariants
/// After [`build`](Self::build), each of the first [`N_ENTRIES`] entries has 1 to 12 bits and 1 to `max_symbols` symbols
/// of the type it was built for. Kernels rely on it.
#[derive(Debug)]
pub(crate) struct MultiTable {
    /// `M(k, 12)` for the largest `k`, then `M(k - 1, t)` for `t` = 0 to 11, `M(k - 2, t)` for `t` = 0 to 10, and so on.
    entries: Vec<u64>,
    /// By length: the first 12 bits that no codeword of at most that many bits begins.
    limits: [u32; TABLE_BITS as usize + 1],
    /// Bytes of the symbol type that the table was built for.
    symbol_bytes: usize,
}

thread_local! {
    /// The table is 96 KiB and filled again for each block.
    static TABLE: RefCell<MultiTable> = RefCell::new(MultiTable::new());
}

/// Lends this thread's table, whatever it was filled with before.
pub(crate) fn with_table<R>(f: impl FnOnce(&mut MultiTable) -> R) -> R {
    TABLE.with_borrow_mut(f)
}

impl MultiTable {
    pub(crate) fn new() -> Self {
        Self { entries: Vec::new(), limits: [0; TABLE_BITS as usize + 1], symbol_bytes: 0 }
    }

    /// Lays out `code`.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where the code has fewer than two symbols, words of more than 12 bits, or symbols that `S` cannot
    /// hold.
    #[inline(always)]
    pub(crate) fn build<S: Symbol>(&mut self, code: &Code) -> Result<()> {
        let is_usable = code.n_symbols() > 1 && code.max_length() <= TABLE_BITS && code.width() <= S::BITS;
        if !is_usable {
            return Err(Error::corrupt("code table", "not of words of 1 to 12 bits over the symbol type"));
        }
        self.symbol_bytes = size_of::<S>();
        self.entries.resize(3 * N_ENTRIES, 0);
        let (min, top) = (code.min_length(), max_symbols::<S>());
        for k in 1..top {
            // A table of k symbols where more would fit is reached with `top - k` of them already read.
            let n_read = u32::try_from(top - k).expect("at most 6");
            for t in min..=TABLE_BITS - min {
                let most = (t / min) as usize;
                if most == k || (most > k && t + n_read * min <= TABLE_BITS) {
                    self.fill::<S>(code, k, t);
                }
            }
        }
        self.fill::<S>(code, top, TABLE_BITS);
        let mut limit = 0;
        for (length, slot) in (0..=TABLE_BITS).zip(&mut self.limits) {
            limit += code.n_of_length(length) << (TABLE_BITS - length);
            *slot = limit;
        }
        Ok(())
    }

    /// Fills `M(k, t)` from the tables of one symbol less.
    #[inline(always)]
    fn fill<S: Symbol>(&mut self, code: &Code, k: usize, t: u32) {
        let (top, min) = (max_symbols::<S>(), code.min_length());
        let own = place(k, t, top);
        let (mut at, mut rank) = (own, 0);
        for length in min..=code.max_length().min(t) {
            let n = code.n_of_length(length) as usize;
            let (rest, run) = (t - length, 1usize << (t - length));
            let less = most_symbols(k - 1, rest, min);
            let symbols = &code.symbols()[rank..rank + n];
            rank += n;
            // Smaller tables stand after larger ones, so a cut parts the one that is read from the one that is written.
            let source = if less == 0 { self.entries.len() } else { place(less, rest, top) };
            let (written, read) = self.entries.split_at_mut(source);
            let read = &*read;
            for (&symbol, run_of) in symbols.iter().zip(written[at..].chunks_exact_mut(run)) {
                let first = u64::from(symbol) << 16 | 1 << 8 | u64::from(length);
                if less == 0 {
                    run_of.fill(first);
                    continue;
                }
                // Inlined into kernels, this becomes four or eight entries at a time.
                for (slot, &tail) in run_of.iter_mut().zip(read) {
                    *slot = ((tail >> 16) << (16 + S::BITS) | (tail & 0xffff)) + first;
                }
            }
            at += n * run;
        }
        // What begins a longer word holds no symbol. The root has none of these: the code is complete.
        self.entries[at..own + (1 << t)].fill(0);
    }

    /// The entries, where the table was built for `S`.
    #[inline]
    pub(crate) fn entries<S: Symbol>(&self) -> &[u64; N_ENTRIES] {
        assert_eq!(self.symbol_bytes, size_of::<S>(), "the table is for another symbol type");
        self.entries.first_chunk().expect("a built table")
    }

    /// The length of the codeword that `bits` (12, the first one highest) begin with.
    pub(crate) fn first_length(&self, bits: u32) -> u32 {
        u32::try_from(self.limits.iter().filter(|&&limit| limit <= bits).count()).expect("13 limits")
    }
}

/// Symbols in `M(k, t)` at most: `k`, or what `t` bits hold.
fn most_symbols(k: usize, t: u32, min_length: u32) -> usize {
    k.min((t / min_length) as usize)
}

/// Where `M(k, t)` stands; the root `M(top, 12)` first.
fn place(k: usize, t: u32, top: usize) -> usize {
    if k == top {
        return 0;
    }
    // M(top - d, ·) has tables up to 12 - d bits, 2^(13 - d) entries in all with one unused, after those of smaller d.
    let d = top - k;
    let start = N_ENTRIES + (0..d - 1).map(|before| N_ENTRIES >> before).sum::<usize>();
    let size = 1usize << t;
    debug_assert!(size <= N_ENTRIES >> d, "a table of {t} bits and {k} symbols");
    // Larger tables first, so that M(k - 1, ·) is always after M(k, ·), and within a level order does not matter.
    start + size
}

#[cfg(test)]
mod tests {
    #![allow(clippy::cast_possible_truncation, reason = "12 bits and bytes")]

    use proptest::prelude::*;

    use super::*;
    use crate::Histogram;

    /// What an entry must hold: words read one by one while they fit.
    fn expected(code: &Code, index: u32, most: usize) -> (u32, Vec<u16>) {
        let (mut used, mut symbols) = (0, Vec::new());
        while symbols.len() < most {
            let rest = index << used & (N_ENTRIES as u32 - 1);
            let word = code.codewords().find(|word| {
                used + word.length <= TABLE_BITS && rest >> (TABLE_BITS - word.length) == u32::from(word.bits)
            });
            let Some(word) = word else { break };
            used += word.length;
            symbols.push(word.symbol);
        }
        (used, symbols)
    }

    fn check<S: Symbol>(code: &Code) {
        let mut table = MultiTable::new();
        // A table may be built over another one.
        table.build::<u16>(&Code::from_lengths(&[1, 2, 3, 3]).unwrap()).unwrap();
        table.build::<S>(code).unwrap();
        for (index, &entry) in (0u32..).zip(table.entries::<S>()) {
            let (used, symbols) = expected(code, index, max_symbols::<S>());
            assert_eq!((entry & 0xff) as u32, used, "{index:#x}");
            assert_eq!((entry >> 8 & 0xff) as usize, symbols.len(), "{index:#x}");
            for (i, &symbol) in symbols.iter().enumerate() {
                let got = entry >> (16 + i as u32 * S::BITS) & ((1 << S::BITS) - 1);
                assert_eq!(got, u64::from(symbol), "{index:#x}");
            }
            let first = code.codewords().find(|word| word.symbol == symbols[0]).unwrap();
            assert_eq!(table.first_length(index), first.length);
        }
    }

    #[test]
    fn entries_hold_as_many_symbols_as_fit() {
        for lengths in [&[1u8, 1][..], &[1, 2, 3, 3], &[4; 16], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 12]]
        {
            let code = Code::from_lengths(lengths).unwrap();
            check::<u8>(&code);
            check::<u16>(&code);
        }
        check::<u16>(&Code::from_lengths(&[12; 4096]).unwrap());
        check::<u8>(&Code::from_lengths(&[8; 256]).unwrap());
    }

    #[test]
    fn codes_that_do_not_fit_are_refused() {
        let mut table = MultiTable::new();
        for lengths in [vec![], vec![1], vec![13; 8192], vec![9; 512]] {
            assert!(table.build::<u8>(&Code::from_lengths(&lengths).unwrap()).is_err());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn entries_are_those_of_reading_word_by_word(counts in prop::collection::vec(0u64..3000, 2..60)) {
            let code = Code::with_max_length(&Histogram::from_counts(&counts).unwrap(), 12).unwrap();
            if code.n_symbols() > 1 {
                check::<u8>(&code);
                check::<u16>(&code);
            }
        }
    }
}
