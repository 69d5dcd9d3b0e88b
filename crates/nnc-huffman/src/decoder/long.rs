//! Codewords too long for the table, by comparison with the last codeword of each length.

use crate::{Code, MAX_LENGTH};

/// The codewords of more than a given number of bits.
#[derive(Debug, Clone)]
pub(super) struct LongWords {
    lengths: Vec<LongLength>,
    /// Symbols in codeword order, from the first long one on.
    symbols: Vec<u16>,
}

/// The codewords of one length.
#[derive(Debug, Clone, Copy)]
struct LongLength {
    length: u32,
    /// The end of its codewords, moved up to 16 bits: what is below (and not shorter) has this length.
    end: u32,
    /// What to add to a codeword for its place in `symbols`.
    offset: i32,
}

impl LongWords {
    pub(super) fn new(code: &Code, longer_than: u32) -> Self {
        let words: Vec<_> = code.codewords().filter(|word| word.length > longer_than).collect();
        let mut lengths: Vec<LongLength> = Vec::new();
        for (word, place) in words.iter().zip(0i32..) {
            if lengths.last().is_none_or(|last| last.length < word.length) {
                lengths.push(LongLength {
                    length: word.length,
                    end: 0,
                    offset: place - i32::from(word.bits),
                });
            }
            let last = lengths.last_mut().expect("pushed above");
            last.end = (u32::from(word.bits) + 1) << (MAX_LENGTH - word.length);
        }
        Self { lengths, symbols: words.iter().map(|word| word.symbol).collect() }
    }

    /// The symbol of the long codeword that `bits` begin with (first bit lowest), and its length.
    #[cold]
    pub(super) fn lookup(&self, bits: u16) -> (u16, u32) {
        let word = u32::from(bits.reverse_bits());
        let found = self
            .lengths
            .iter()
            .find(|entry| word < entry.end)
            .expect("a complete code has a word for all bits");
        let place = (word >> (MAX_LENGTH - found.length)).cast_signed() + found.offset;
        let place = usize::try_from(place).expect("shorter words were found in the table");
        (self.symbols[place], found.length)
    }
}
