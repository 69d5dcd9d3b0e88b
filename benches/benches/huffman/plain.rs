//! The plain table decoder: one stream, one symbol a lookup, the next lookup after the one before it.

use nnc_huffman::Code;

/// Bits that index the table: no word of these codes is longer.
const TABLE_BITS: u32 = 12;

/// Symbol and length by the next bits, first bit lowest, as [`nnc_huffman::Encoder`] writes them.
pub(crate) struct PlainDecoder {
    table: Vec<(u8, u8)>,
}

impl PlainDecoder {
    pub(crate) fn new(code: &Code) -> Self {
        let mut table = vec![(0, 0); 1 << TABLE_BITS];
        for word in code.codewords() {
            let first = usize::from(word.bits.reverse_bits() >> (u16::BITS - word.length));
            let entry = (u8::try_from(word.symbol).expect("a byte"), u8::try_from(word.length).expect("12"));
            table[first..].iter_mut().step_by(1 << word.length).for_each(|slot| *slot = entry);
        }
        Self { table }
    }

    /// Decodes a block of one stream, which is trusted.
    pub(crate) fn decode(&self, bytes: &[u8], out: &mut [u8]) {
        let (mut bits, mut n_bits) = (0u64, 0u32);
        let mut rest = bytes.iter();
        for slot in out {
            while n_bits < TABLE_BITS {
                bits |= u64::from(rest.next().copied().unwrap_or(0)) << n_bits;
                n_bits += u8::BITS;
            }
            let (symbol, length) = self.table[(bits & ((1 << TABLE_BITS) - 1)) as usize];
            *slot = symbol;
            bits >>= length;
            n_bits -= u32::from(length);
        }
    }
}
