//! Range variant of asymmetric numeral systems (rANS): frequencies of 12 bits, and what the kernels need of them.
//!
//! A state `x` holds a whole message. With frequency `f` and cumulative start `c` of a symbol, out of 4,096,
//!
//! ```text
//! push:  x' = (x / f) · 4096 + x mod f + c        pop:  slot = x' mod 4096, s = the symbol whose range has slot
//!                                                       x = f · (x' / 4096) + slot − c
//! ```
//!
//! so that a symbol costs log2(4096 / f) bits, fractions too. States stay in 2^16..2^32: before a push that would leave that
//! range the low 16 bits go out as a word, and a pop that falls below it takes one in.
//!
//! # Source
//! Duda, "Asymmetric numeral systems: entropy coding combining speed of Huffman coding with compression rate of arithmetic
//! coding", 2013; interleaving: Giesen, "Interleaved entropy coders", 2014.

use crate::bits::{BitReader, BitWriter};
use crate::{Error, Histogram, Result};

/// Bits of a frequency.
pub(crate) const FREQ_BITS: u32 = 12;

const TOTAL: u32 = 1 << FREQ_BITS;

/// The smallest state between two symbols, which is also the first one.
pub(crate) const LEAST_STATE: u32 = 1 << 16;

const WHAT: &str = "frequency table";

/// By `x mod 4096`: the symbol in 8 bits, its frequency in 12, and `slot − c` in 12.
pub(crate) type DecodeSlot = u32;

/// What pushing a symbol takes.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct EncodeSymbol {
    /// The frequency, and the start above 16 bits.
    pub(crate) freq_start: u32,
    /// ⌊2^32 / f⌋, or 2^32 − 1 for 1: the quotient by it is right or one too small.
    pub(crate) reciprocal: u32,
}

impl EncodeSymbol {
    /// From this state on a word must go out first.
    #[inline]
    pub(crate) fn limit(self) -> u32 {
        self.freq_start << 20
    }

    /// The state after this symbol.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "the high half of a product of 64 bits")]
    pub(crate) fn push(self, state: u32) -> u32 {
        let (freq, start) = (self.freq_start & 0xffff, self.freq_start >> 16);
        let mut quotient = ((u64::from(state) * u64::from(self.reciprocal)) >> 32) as u32;
        if state - quotient * freq >= freq {
            quotient += 1;
        }
        state + quotient * (TOTAL - freq) + start
    }
}

/// Frequencies of symbols below 256 that sum to 4,096; two symbols at least have one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Model {
    freqs: Vec<u16>,
}

impl Model {
    /// The frequencies for `histogram`, which has two symbols or more, all below 256.
    ///
    /// They are the rounded shares, at least 1; then the symbol that gains most or loses least by it is moved by one until
    /// the sum is right. All in integers, so that the same counts give the same frequencies everywhere.
    pub(crate) fn from_histogram(histogram: &Histogram) -> Self {
        let total = u128::from(histogram.total());
        let share = |count: u64| {
            let rounded = (u128::from(count) * u128::from(2 * TOTAL) + total) / (2 * total);
            u32::try_from(rounded).expect("at most the total").max(u32::from(count > 0)).min(TOTAL - 1)
        };
        let mut freqs: Vec<u32> = histogram.counts().iter().map(|&count| share(count)).collect();
        loop {
            let sum: u32 = freqs.iter().sum();
            if sum == TOTAL {
                let freqs = freqs.iter().map(|&freq| u16::try_from(freq).expect("12 bits")).collect();
                return Self { freqs };
            }
            // One more or less changes the cost by count · log2(1 ± 1/f), about 2 · count / (2f ± 1).
            let is_short = sum < TOTAL;
            let weight = |i: usize| {
                let twice = 2 * u128::from(freqs[i]);
                (u128::from(histogram.counts()[i]), if is_short { twice + 1 } else { twice - 1 })
            };
            let candidates = (0..freqs.len()).filter(|&i| freqs[i] > u32::from(!is_short));
            let by_gain = |&a: &usize, &b: &usize| {
                let ((count_a, freq_a), (count_b, freq_b)) = (weight(a), weight(b));
                (count_a * freq_b).cmp(&(count_b * freq_a))
            };
            let best = if is_short { candidates.max_by(by_gain) } else { candidates.min_by(by_gain) };
            let best = best.expect("at most 256 symbols share 4096");
            freqs[best] = if is_short { freqs[best] + 1 } else { freqs[best] - 1 };
        }
    }

    /// Appends the table: for each symbol that occurs γ of the symbols skipped + 1 and γ of its frequency, until the sum is
    /// 4,096; zeros fill up the last byte.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut writer = BitWriter::new(out);
        let mut n_skipped = 0;
        for &freq in &self.freqs {
            if freq == 0 {
                n_skipped += 1;
                continue;
            }
            writer.put_gamma(n_skipped + 1);
            writer.put_gamma(freq.into());
            n_skipped = 0;
        }
        writer.finish();
    }

    /// Reads a table from the front of `bytes`; also how many bytes it took.
    ///
    /// # Errors
    /// [`Error::UnexpectedEnd`] where the bytes end before the sum is 4,096; [`Error::Corrupt`] where it passes that, for
    /// one symbol with all of it, symbols above 255, and padding that is not zero.
    pub(crate) fn read(bytes: &[u8]) -> Result<(Self, usize)> {
        let mut reader = BitReader::new(bytes);
        let end = Error::UnexpectedEnd { what: WHAT };
        let (mut freqs, mut sum) = (Vec::new(), 0);
        while sum < TOTAL {
            let n_skipped = reader.get_gamma().ok_or(end.clone())? - 1;
            let freq = reader.get_gamma().ok_or(end.clone())?;
            let symbol = freqs.len().saturating_add(n_skipped as usize);
            if symbol > 255 {
                return Err(Error::corrupt(WHAT, format!("symbol {symbol} is above 255")));
            }
            if freq >= TOTAL || sum + freq > TOTAL {
                return Err(Error::corrupt(WHAT, format!("frequencies {sum} and {freq} of {TOTAL}")));
            }
            freqs.resize(symbol, 0);
            freqs.push(u16::try_from(freq).expect("below 4096"));
            sum += freq;
        }
        Ok((Self { freqs }, reader.finish_byte(WHAT)?))
    }

    /// The table of the decoder.
    pub(crate) fn decode_slots(&self) -> Box<[DecodeSlot; 1 << FREQ_BITS]> {
        let mut slots = Vec::with_capacity(1 << FREQ_BITS);
        for (symbol, &freq) in (0u32..).zip(&self.freqs) {
            slots.extend((0..u32::from(freq)).map(|bias| symbol | u32::from(freq) << 8 | bias << 20));
        }
        slots.into_boxed_slice().try_into().expect("frequencies sum to 4096")
    }

    /// The table of the encoder; symbols without frequency must not be pushed.
    pub(crate) fn encode_symbols(&self) -> [EncodeSymbol; 256] {
        let mut symbols = [EncodeSymbol::default(); 256];
        let mut start = 0;
        for (entry, &freq) in symbols.iter_mut().zip(&self.freqs) {
            let freq = u32::from(freq);
            if freq > 0 {
                let reciprocal = u32::try_from((1u64 << 32) / u64::from(freq)).unwrap_or(u32::MAX);
                *entry = EncodeSymbol { freq_start: freq | start << 16, reciprocal };
                start += freq;
            }
        }
        symbols
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn model_of(counts: &[u64]) -> Model {
        Model::from_histogram(&Histogram::from_counts(counts).unwrap())
    }

    /// The oracle of the formulas above: f_A = 3, c_A = 0, f_B = 1, c_B = 3 out of 4, scaled to 4,096.
    #[test]
    fn pushes_are_the_formula() {
        let symbols = model_of(&[3, 1]).encode_symbols();
        for (entry, (freq, start)) in symbols.iter().zip([(3072, 0), (1024, 3072)]) {
            for state in [1 << 16, 70_000, (freq << 20) - 1, freq * 1000, freq * 1000 - 1] {
                assert_eq!(entry.push(state), state / freq * 4096 + state % freq + start, "{state}");
            }
        }
    }

    #[test]
    fn quotients_are_exact_for_each_frequency() {
        for freq in 1..TOTAL {
            let reciprocal = u32::try_from((1u64 << 32) / u64::from(freq)).unwrap_or(u32::MAX);
            let entry = EncodeSymbol { freq_start: freq, reciprocal };
            for state in [1 << 16, freq * 16 + 65_536, entry.limit() - 1, entry.limit() - freq, freq << 19] {
                assert_eq!(entry.push(state), state / freq * TOTAL + state % freq, "{state} by {freq}");
            }
        }
    }

    #[test]
    fn slots_and_symbols_agree() {
        let model = model_of(&[100, 10, 1, 1]);
        let (slots, symbols) = (model.decode_slots(), model.encode_symbols());
        for slot in 0..4096_u32 {
            let entry = slots[slot as usize];
            let symbol = symbols[(entry & 0xff) as usize];
            assert_eq!(symbol.freq_start & 0xffff, entry >> 8 & 0xfff);
            assert_eq!((symbol.freq_start >> 16) + (entry >> 20), slot);
        }
    }

    #[test]
    fn bad_tables_are_refused() {
        let put = |pairs: &[(u32, u32)]| {
            let mut bytes = Vec::new();
            let mut writer = BitWriter::new(&mut bytes);
            for &(skip, freq) in pairs {
                writer.put_gamma(skip + 1);
                writer.put_gamma(freq);
            }
            writer.finish();
            Model::read(&bytes)
        };
        assert!(put(&[(0, 4000), (0, 96)]).is_ok());
        assert!(matches!(put(&[(0, 4000), (0, 97)]), Err(Error::Corrupt { .. })));
        assert!(matches!(put(&[(0, 4096)]), Err(Error::Corrupt { .. })));
        assert!(matches!(put(&[(256, 4000)]), Err(Error::Corrupt { .. })));
        assert!(matches!(put(&[(0, 4000)]), Err(Error::UnexpectedEnd { .. })));
    }

    proptest! {
        #[test]
        fn frequencies_sum_to_all_and_tables_round_trip(
            counts in prop::collection::vec((any::<u64>(), 5u32..64).prop_map(|(n, shift)| n >> shift), 2..=256)
        ) {
            let Ok(histogram) = Histogram::from_counts(&counts) else { return Ok(()) };
            prop_assume!(histogram.n_distinct() > 1);
            let model = Model::from_histogram(&histogram);
            prop_assert_eq!(model.freqs.iter().map(|&freq| u32::from(freq)).sum::<u32>(), TOTAL);
            for (&freq, &count) in model.freqs.iter().zip(histogram.counts()) {
                prop_assert_eq!(freq > 0, count > 0);
            }
            let mut table = Vec::new();
            model.write(&mut table);
            for end in 0..table.len() {
                prop_assert!(Model::read(&table[..end]).is_err());
            }
            let n_bytes = table.len();
            table.push(0xff);
            prop_assert_eq!(Model::read(&table), Ok((model, n_bytes)));
        }
    }
}
