//! Bit writer and bit reader, least significant bit first; the reader never looks past its end.
//!
//! The first bit of a stream is bit 0 of its first byte. Integers below 2^n are written as n bits, low bit first;
//! codewords first bit first, which is why [`reversed`] turns them round once, when a table is built.

use crate::{Error, Result};

/// The `length` bits of a codeword, first bit lowest.
pub(crate) fn reversed(word: u16, length: u32) -> u16 {
    if length == 0 { 0 } else { word.reverse_bits() >> (u16::BITS - length) }
}

/// Appends bits to a byte vector; the last byte is filled up with zeros.
pub(crate) struct BitWriter<'a> {
    bytes: &'a mut Vec<u8>,
    pending: u64,
    /// Bits in `pending`, fewer than 32 between calls.
    n_pending: u32,
}

impl<'a> BitWriter<'a> {
    /// Starts at the next whole byte of `bytes`.
    pub(crate) fn new(bytes: &'a mut Vec<u8>) -> Self {
        Self { bytes, pending: 0, n_pending: 0 }
    }

    /// Appends the low `n` bits of `bits`; the others must be 0, and `n` at most 32.
    #[inline]
    pub(crate) fn put(&mut self, bits: u64, n: u32) {
        debug_assert!(n <= 32 && bits >> n == 0);
        self.pending |= bits << self.n_pending;
        self.n_pending += n;
        if self.n_pending >= 32 {
            self.bytes.extend_from_slice(&self.pending.to_le_bytes()[..4]);
            self.pending >>= 32;
            self.n_pending -= 32;
        }
    }

    /// Appends `value` ≥ 1 in Elias's gamma code: as many zeros as bits follow the leading one, the one, those bits.
    pub(crate) fn put_gamma(&mut self, value: u32) {
        let n_low = value.ilog2();
        self.put(0, n_low);
        self.put(1, 1);
        self.put(u64::from(value) - (1 << n_low), n_low);
    }

    /// Fills up the last byte.
    pub(crate) fn finish(self) {
        let n_bytes = self.n_pending.div_ceil(8) as usize;
        self.bytes.extend_from_slice(&self.pending.to_le_bytes()[..n_bytes]);
    }
}

/// Reads bits from a byte slice.
///
/// # Invariants
/// The low `n_ready` bits of `ready` are the next bits of the stream. Bits above them are either zero or the true bits
/// that follow, so a refill may `|=` over them.
#[derive(Clone, Copy)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    /// Bytes that are wholly in `ready` or consumed.
    position: usize,
    ready: u64,
    n_ready: u32,
}

impl<'a> BitReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0, ready: 0, n_ready: 0 }
    }

    /// Tops `ready` up to at least 56 bits where 8 whole bytes are left; says whether there were.
    #[inline(always)]
    pub(crate) fn refill_fast(&mut self) -> bool {
        let Some(chunk) = self.bytes.get(self.position..).and_then(<[u8]>::first_chunk::<8>) else {
            return false;
        };
        self.ready |= u64::from_le_bytes(*chunk) << self.n_ready;
        // Only whole bytes count as taken: 56..=63 bits are ready now, and the bits of the byte above come again.
        self.position += ((63 - self.n_ready) >> 3) as usize;
        self.n_ready |= 56;
        true
    }

    /// Tops `ready` up to at least 56 bits, or to the end of the stream.
    #[inline]
    pub(crate) fn refill(&mut self) {
        if self.refill_fast() {
            return;
        }
        while self.n_ready < 56 && self.position < self.bytes.len() {
            self.ready |= u64::from(self.bytes[self.position]) << self.n_ready;
            self.position += 1;
            self.n_ready += 8;
        }
    }

    /// The next bits, lowest first; zeros follow the end of the stream.
    #[inline(always)]
    pub(crate) fn peek(&self) -> u64 {
        self.ready
    }

    /// Bits that may be consumed before the next refill.
    #[inline(always)]
    pub(crate) fn n_ready(&self) -> u32 {
        self.n_ready
    }

    /// Drops `n` bits, at most [`n_ready`](Self::n_ready).
    #[inline(always)]
    pub(crate) fn consume(&mut self, n: u32) {
        debug_assert!(n <= self.n_ready);
        self.ready >>= n;
        self.n_ready -= n;
    }

    /// The next `n` ≤ 32 bits as an integer, or `None` at the end of the stream.
    pub(crate) fn get(&mut self, n: u32) -> Option<u32> {
        if self.n_ready < n {
            self.refill();
        }
        if self.n_ready < n {
            return None;
        }
        let value = u32::try_from(self.ready & ((1 << n) - 1)).expect("n is at most 32");
        self.consume(n);
        Some(value)
    }

    /// An integer in Elias's gamma code of at most 32 bits' value.
    pub(crate) fn get_gamma(&mut self) -> Option<u32> {
        let mut n_low = 0;
        while self.get(1)? == 0 {
            n_low += 1;
            if n_low == 32 {
                return None;
            }
        }
        Some((1 << n_low) | self.get(n_low)?)
    }

    /// Bits not consumed yet.
    pub(crate) fn n_left(&self) -> u64 {
        8 * (self.bytes.len() - self.position) as u64 + u64::from(self.n_ready)
    }

    /// Whether all that is left is the zeros that fill up the last byte.
    pub(crate) fn is_at_end(&mut self) -> bool {
        self.refill();
        self.n_left() < 8 && self.ready & ((1 << self.n_ready) - 1) == 0
    }

    /// Skips the zeros that fill up the current byte; the number of bytes read so far.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where they are not zeros.
    pub(crate) fn finish_byte(&mut self, what: &'static str) -> Result<usize> {
        let padding = self.n_left() % 8;
        let padding = u32::try_from(padding).expect("a remainder of 8");
        match self.get(padding) {
            Some(0) => {
                Ok(self.bytes.len() - usize::try_from(self.n_left() / 8).expect("a part of the slice"))
            }
            _ => Err(Error::corrupt(what, "padding bits are not zero")),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::cast_possible_truncation, reason = "fields are made of u32")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn first_bit_is_the_lowest() {
        let mut bytes = vec![9];
        let mut writer = BitWriter::new(&mut bytes);
        writer.put(1, 1);
        writer.put(0b10, 2);
        writer.put_gamma(5);
        writer.finish();
        // 1, then 0 1, then 0 0 1 and the low bits of 5 (1 0), lowest first.
        assert_eq!(bytes, [9, 0b0110_0101]);
    }

    #[test]
    fn reader_stops_at_its_end() {
        let mut reader = BitReader::new(&[0xff]);
        assert_eq!(reader.get(9), None);
        assert_eq!(reader.get(8), Some(0xff));
        assert_eq!(reader.get(1), None);
        assert_eq!(reader.get(0), Some(0));
        assert_eq!(BitReader::new(&[0; 9]).get_gamma(), None);
        assert_eq!(BitReader::new(&[]).get_gamma(), None);
    }

    #[test]
    fn codewords_turn_round() {
        assert_eq!(reversed(0b110, 3), 0b011);
        assert_eq!(reversed(0, 0), 0);
        assert_eq!(reversed(0x8000, 16), 1);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(fields in prop::collection::vec((any::<u32>(), 0u32..=32), 0..60)) {
            let fields: Vec<_> = fields.iter().map(|&(bits, n)| (u64::from(bits) & ((1u64 << n) - 1), n)).collect();
            let mut bytes = Vec::new();
            let mut writer = BitWriter::new(&mut bytes);
            for &(bits, n) in &fields {
                writer.put(bits, n);
                writer.put_gamma((bits as u32).max(1));
            }
            writer.finish();
            let mut reader = BitReader::new(&bytes);
            for &(bits, n) in &fields {
                prop_assert_eq!(reader.get(n).map(u64::from), Some(bits));
                prop_assert_eq!(reader.get_gamma(), Some((bits as u32).max(1)));
            }
            prop_assert!(reader.is_at_end());
        }
    }
}
