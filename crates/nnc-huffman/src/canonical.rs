//! Code lengths ⇄ canonical codes, with the Kraft check.
//!
//! A canonical code is fixed by its lengths: codewords of equal length are consecutive integers in symbol order, and each
//! length goes on where the shorter one stopped, one bit longer.

use crate::histogram::Histogram;
use crate::lengths::limited_lengths;
use crate::symbol::width_of;
use crate::{Error, MAX_LENGTH, Result};

/// A complete canonical prefix code over `u16` symbols, with codewords of at most 16 bits.
///
/// A code of **one** symbol has one codeword of 0 bits, so that a constant stream costs nothing but its count; a code of
/// **no** symbol codes empty streams only.
///
/// # Invariants
/// `n_by_length[l]` codewords have `l` bits; `symbols` lists the symbols by (length, symbol), each once. The Kraft sum
/// `Σ 2^-length` is exactly 1 unless there are no symbols.
///
/// ```
/// use nnc_huffman::{Code, Histogram};
///
/// let code = Code::from_histogram(&Histogram::from_counts(&[100, 10, 1, 1])?);
/// let words: Vec<_> = code.codewords().map(|word| (word.symbol, word.length, word.bits)).collect();
/// assert_eq!(words, [(0, 1, 0b0), (1, 2, 0b10), (2, 3, 0b110), (3, 3, 0b111)]);
/// # Ok::<(), nnc_huffman::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    n_by_length: [u32; MAX_LENGTH as usize + 1],
    symbols: Vec<u16>,
}

/// A symbol and its codeword.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Codeword {
    /// The symbol.
    pub symbol: u16,
    /// Bits of the codeword.
    pub length: u32,
    /// The codeword as an integer of [`length`](Self::length) bits, its first bit the most significant.
    pub bits: u16,
}

impl Code {
    /// The best code for `histogram` with the default length limit: 12 bits, which one table lookup decodes, and up to 16
    /// for more than 512 different symbols.
    #[allow(clippy::missing_panics_doc, reason = "the default limit always suffices")]
    pub fn from_histogram(histogram: &Histogram) -> Self {
        let enough = histogram.n_distinct().next_power_of_two().trailing_zeros() + 3;
        Self::with_max_length(histogram, enough.clamp(12, MAX_LENGTH))
            .expect("at most 65536 symbols fit 16 bits, and fewer get 3 bits to spare")
    }

    /// The best code for `histogram` among those with codewords of at most `max_length` bits.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where `max_length` is not in 1..=16 or too small to tell the symbols apart.
    pub fn with_max_length(histogram: &Histogram, max_length: u32) -> Result<Self> {
        Self::from_lengths(&limited_lengths(histogram, max_length)?)
    }

    /// The canonical code with `lengths[s]` bits for symbol `s`, and no codeword where that is 0.
    ///
    /// A single symbol is given as length 1; its codeword is empty.
    ///
    /// # Errors
    /// [`Error::Kraft`] where the lengths are over-subscribed or leave codewords unused, [`Error::InvalidArgument`] for
    /// lengths above 16 and more than 65,536 symbols.
    pub fn from_lengths(lengths: &[u8]) -> Result<Self> {
        if lengths.len() > 1 << 16 {
            return Err(Error::invalid("lengths", "at most 65536 symbols", lengths.len()));
        }
        if let Some(&length) = lengths.iter().find(|&&length| u32::from(length) > MAX_LENGTH) {
            return Err(Error::invalid("lengths", format!("at most {MAX_LENGTH} bits"), length));
        }
        let mut pairs: Vec<(u8, u16)> =
            lengths.iter().copied().zip(0..=u16::MAX).filter(|&(length, _)| length > 0).collect();
        if let [(length @ 1, _)] = pairs.as_mut_slice() {
            *length = 0;
        }
        Self::from_pairs(pairs)
    }

    /// The canonical code of (length, symbol) pairs with different symbols and lengths of at most 16 bits.
    pub(crate) fn from_pairs(mut pairs: Vec<(u8, u16)>) -> Result<Self> {
        pairs.sort_unstable();
        let sum = pairs.iter().map(|&(length, _)| kraft_share(length)).sum();
        if sum != KRAFT_ONE && !pairs.is_empty() {
            return Err(Error::Kraft { sum });
        }
        let mut n_by_length = [0; MAX_LENGTH as usize + 1];
        for &(length, _) in &pairs {
            n_by_length[usize::from(length)] += 1;
        }
        Ok(Self { n_by_length, symbols: pairs.into_iter().map(|(_, symbol)| symbol).collect() })
    }

    /// The symbols by (length, symbol).
    pub(crate) fn symbols(&self) -> &[u16] {
        &self.symbols
    }

    /// Codewords of `length` ≤ 16 bits.
    pub(crate) fn n_of_length(&self, length: u32) -> u32 {
        self.n_by_length[length as usize]
    }

    /// Different symbols that have a codeword.
    pub fn n_symbols(&self) -> usize {
        self.symbols.len()
    }

    /// The one symbol of a code whose codeword is empty.
    pub fn only_symbol(&self) -> Option<u16> {
        if let [symbol] = *self.symbols { Some(symbol) } else { None }
    }

    /// The largest symbol, or `None` for the code of no symbol.
    pub fn largest_symbol(&self) -> Option<u16> {
        self.symbols.iter().copied().max()
    }

    /// Bits of the largest symbol.
    pub fn width(&self) -> u32 {
        self.largest_symbol().map_or(0, width_of)
    }

    /// Bits of the longest codeword.
    pub fn max_length(&self) -> u32 {
        self.used_lengths().max().unwrap_or(0)
    }

    /// Bits of the shortest codeword.
    pub fn min_length(&self) -> u32 {
        self.used_lengths().min().unwrap_or(0)
    }

    fn used_lengths(&self) -> impl Iterator<Item = u32> + '_ {
        (0..=MAX_LENGTH).zip(&self.n_by_length).filter(|&(_, &n)| n > 0).map(|(length, _)| length)
    }

    /// All codewords in their canonical order: by length, then by symbol, each greater than the one before.
    pub fn codewords(&self) -> impl Iterator<Item = Codeword> + '_ {
        let mut next = 0u32;
        let mut previous_length = 0;
        self.symbols.iter().zip(self.length_by_rank()).map(move |(&symbol, length)| {
            let length = u32::from(length);
            next <<= length - previous_length;
            previous_length = length;
            #[allow(
                clippy::cast_possible_truncation,
                reason = "a complete code of 16 bits has no word above"
            )]
            let bits = next as u16;
            next += 1;
            Codeword { symbol, length, bits }
        })
    }

    /// Code lengths by symbol as [`from_lengths`](Self::from_lengths) takes them, up to the largest symbol.
    pub fn lengths(&self) -> Vec<u8> {
        let mut lengths = vec![0; self.largest_symbol().map_or(0, |largest| usize::from(largest) + 1)];
        for (&symbol, length) in self.symbols.iter().zip(self.length_by_rank()) {
            lengths[usize::from(symbol)] = length.max(1);
        }
        lengths
    }

    /// The lengths of `symbols`, in their order.
    fn length_by_rank(&self) -> impl Iterator<Item = u8> + '_ {
        (0u8..).zip(&self.n_by_length).flat_map(|(length, &n)| std::iter::repeat_n(length, n as usize))
    }

    /// Bits that a stream with these counts costs, without its table and without the zeros that fill up its last byte.
    ///
    /// # Errors
    /// [`Error::UnknownSymbol`] where a symbol that occurs has no codeword.
    ///
    /// ```
    /// # use nnc_huffman::{Code, Histogram};
    /// let slide = Histogram::from_counts(&[100, 10, 1, 1])?;
    /// assert_eq!(Code::from_histogram(&slide).cost_bits(&slide), Ok(126));
    /// # Ok::<(), nnc_huffman::Error>(())
    /// ```
    pub fn cost_bits(&self, histogram: &Histogram) -> Result<u64> {
        let lengths = self.lengths();
        let mut bits = 0;
        for (symbol, count) in histogram.present() {
            match lengths.get(usize::from(symbol)) {
                Some(&length) if length > 0 => bits += count * u64::from(length),
                _ => return Err(Error::UnknownSymbol { symbol }),
            }
        }
        Ok(if self.only_symbol().is_some() { 0 } else { bits })
    }
}

/// The Kraft sum of a complete code, in units of 2^-16.
pub(crate) const KRAFT_ONE: u64 = 1 << MAX_LENGTH;

/// `2^-length` in the same units.
pub(crate) fn kraft_share(length: u8) -> u64 {
    KRAFT_ONE >> length
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn slide_example_has_its_canonical_words() {
        let code = Code::from_lengths(&[1, 2, 3, 3]).unwrap();
        let words: Vec<_> =
            code.codewords().map(|word| format!("{:0w$b}", word.bits, w = word.length as usize)).collect();
        assert_eq!(words, ["0", "10", "110", "111"]);
        assert_eq!((code.n_symbols(), code.min_length(), code.max_length(), code.width()), (4, 1, 3, 2));
    }

    #[test]
    fn kraft_sum_must_be_one() {
        assert_eq!(Code::from_lengths(&[1, 1, 1]), Err(Error::Kraft { sum: 3 << 15 }));
        assert_eq!(Code::from_lengths(&[1, 2]), Err(Error::Kraft { sum: 3 << 14 }));
        assert_eq!(Code::from_lengths(&[0, 2]), Err(Error::Kraft { sum: 1 << 14 }));
        assert_eq!(Code::from_lengths(&vec![1; 65_536]), Err(Error::Kraft { sum: 1 << 31 }));
        assert!(Code::from_lengths(&[17, 1]).unwrap_err().is_caller());
        assert!(Code::from_lengths(&vec![16; 65_537]).unwrap_err().is_caller());
    }

    #[test]
    fn one_symbol_has_the_empty_word() {
        let code = Code::from_lengths(&[0, 0, 1]).unwrap();
        assert_eq!(code.only_symbol(), Some(2));
        assert_eq!(code.codewords().collect::<Vec<_>>(), [Codeword { symbol: 2, length: 0, bits: 0 }]);
        assert_eq!(code.lengths(), [0, 0, 1]);
        assert_eq!(code.cost_bits(&Histogram::of(&[2u16; 1000])), Ok(0));
    }

    #[test]
    fn no_symbol_is_a_code_too() {
        let code = Code::from_lengths(&[0, 0]).unwrap();
        assert_eq!((code.n_symbols(), code.width(), code.max_length()), (0, 0, 0));
        assert_eq!(code, Code::from_histogram(&Histogram::default()));
        assert_eq!(code.cost_bits(&Histogram::of(&[3u8])), Err(Error::UnknownSymbol { symbol: 3 }));
    }

    #[test]
    fn whole_u16_alphabet_fits() {
        let code = Code::from_histogram(&Histogram::from_counts(&vec![3; 65_536]).unwrap());
        assert_eq!((code.min_length(), code.max_length(), code.width()), (16, 16, 16));
        assert!(code.codewords().all(|word| word.bits == word.symbol));
    }

    #[test]
    fn default_limit_grows_with_the_alphabet() {
        for (n_symbols, limit) in [(100, 12), (512, 12), (513, 13), (4096, 15), (65_536, 16)] {
            // Forty doubling counts alone would need 39 bits.
            let mut counts: Vec<u64> = (0..40).map(|shift| 1 << shift).collect();
            counts.resize(n_symbols, 1);
            assert_eq!(Code::from_histogram(&Histogram::from_counts(&counts).unwrap()).max_length(), limit);
        }
    }

    proptest! {
        #[test]
        fn prefix_codes_are_prefix_free(counts in prop::collection::vec(0u64..50, 2..60), max_length in 6u32..16) {
            let code = Code::with_max_length(&Histogram::from_counts(&counts).unwrap(), max_length).unwrap();
            let words: Vec<_> = code.codewords().collect();
            for (i, a) in words.iter().enumerate() {
                for b in &words[i + 1..] {
                    prop_assert!(a.length <= b.length && b.bits >> (b.length - a.length) != a.bits);
                }
            }
        }

        #[test]
        fn lengths_and_codes_are_the_same_thing(counts in prop::collection::vec(0u64..9, 0..60)) {
            let code = Code::from_histogram(&Histogram::from_counts(&counts).unwrap());
            prop_assert_eq!(Code::from_lengths(&code.lengths()), Ok(code));
        }

        #[test]
        fn cost_is_the_sum_over_the_symbols(symbols in prop::collection::vec(0u16..40, 0..300)) {
            let histogram = Histogram::of(&symbols);
            let code = Code::from_histogram(&histogram);
            let by_symbol: std::collections::HashMap<_, _> =
                code.codewords().map(|word| (word.symbol, u64::from(word.length))).collect();
            let sum: u64 = symbols.iter().map(|symbol| by_symbol[symbol]).sum();
            prop_assert_eq!(code.cost_bits(&histogram), Ok(sum));
        }
    }
}
