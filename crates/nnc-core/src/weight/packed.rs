//! Symbols of one fixed width, packed without gaps: the plain form of an integer stream.

use std::ops::Range;

use super::Symbols;
use crate::{Error, Result};

/// The widest symbol there is, in bits.
pub const MAX_WIDTH: u32 = 16;

/// Symbols of 1 to 16 bits each, packed into bytes, least significant bit first.
///
/// Symbol `i` occupies the bits `i · width .. (i + 1) · width` of the byte string, bit `j` of which is bit `j % 8` of
/// byte `j / 8`. The unused high bits of the last byte are 0, so equal streams have equal bytes.
///
/// # Example
/// ```
/// use nnc_core::weight::{PackedSymbols, Symbols};
/// let packed = PackedSymbols::from_symbols(4, &[2, 0, 15, 2])?;
/// assert_eq!(packed.bytes(), [0x02, 0x2f]);
/// assert_eq!(packed.to_vec()?, [2, 0, 15, 2]);
/// # Ok::<(), nnc_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedSymbols {
    width: u32,
    len: usize,
    bytes: Vec<u8>,
}

impl PackedSymbols {
    /// Packs `symbols`, each of which must be `< 2^width`.
    ///
    /// # Errors
    /// [`InvalidArgument`](Error::InvalidArgument) when `width` is not in 1..=16 or a symbol is too wide.
    pub fn from_symbols(width: u32, symbols: &[u16]) -> Result<Self> {
        check_width(width)?;
        if let Some(i) = symbols.iter().position(|&symbol| u32::from(symbol) >> width != 0) {
            let what = format!("symbol {i}");
            return Err(Error::invalid(what, format!("less than 2^{width}"), symbols[i]));
        }
        Ok(Self::pack(width, symbols))
    }

    /// Packs symbols that were checked to be `< 2^width`.
    fn pack(width: u32, symbols: &[u16]) -> Self {
        let mut bytes = Vec::with_capacity((symbols.len() * width as usize).div_ceil(8));
        let (mut pending, mut n_pending) = (0_u32, 0);
        for &symbol in symbols {
            pending |= u32::from(symbol) << n_pending;
            n_pending += width;
            while n_pending >= 8 {
                bytes.push(low_byte(pending));
                pending >>= 8;
                n_pending -= 8;
            }
        }
        if n_pending > 0 {
            bytes.push(low_byte(pending));
        }
        Self { width, len: symbols.len(), bytes }
    }

    /// Packs `symbols` with the smallest width that holds them all, at least 1.
    ///
    /// # Example
    /// ```
    /// use nnc_core::weight::{PackedSymbols, Symbols};
    /// assert_eq!(PackedSymbols::narrowest(&[1, 0, 5]).width(), 3);
    /// assert_eq!(PackedSymbols::narrowest(&[]).width(), 1);
    /// ```
    pub fn narrowest(symbols: &[u16]) -> Self {
        let widest = symbols.iter().fold(0, |all, &symbol| all | symbol);
        let width = (u16::BITS - widest.leading_zeros()).max(1);
        Self::pack(width, symbols)
    }

    /// Takes over the bytes of `len` packed symbols.
    ///
    /// # Errors
    /// [`InvalidArgument`](Error::InvalidArgument) when `width` is not in 1..=16,
    /// [`UnexpectedEnd`](Error::UnexpectedEnd) when there are too few bytes, [`Corrupt`](Error::Corrupt) when there are
    /// too many or when an unused bit of the last one is set.
    pub fn from_bytes(width: u32, len: usize, bytes: Vec<u8>) -> Result<Self> {
        check_width(width)?;
        let what = "packed symbols";
        // In u128 no count can overflow: the bytes are checked before anything is sized by `len`.
        let n_bits = len as u128 * u128::from(width);
        let n_bytes = n_bits.div_ceil(8);
        if n_bytes > bytes.len() as u128 {
            let expected = u64::try_from(n_bytes).unwrap_or(u64::MAX);
            return Err(Error::UnexpectedEnd { what: what.into(), expected, got: bytes.len() as u64 });
        }
        if n_bytes < bytes.len() as u128 {
            return Err(Error::corrupt(what, format!("{} bytes where {n_bytes} suffice", bytes.len())));
        }
        let n_used = n_bits % 8;
        if n_used != 0 && bytes.last().is_some_and(|&last| last >> n_used != 0) {
            return Err(Error::corrupt(what, "an unused bit of the last byte is set"));
        }
        Ok(Self { width, len, bytes })
    }

    /// The packed bytes, ⌈len · width / 8⌉ of them.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The symbol `i`, which must be `< len`.
    fn symbol(&self, i: usize) -> u16 {
        // `i * width` is at most 8 times the number of bytes; a symbol touches at most three of them.
        let first_bit = i as u64 * u64::from(self.width);
        let first = usize::try_from(first_bit / 8).expect("the index of a byte in memory");
        let mut window = 0_u32;
        for (k, &byte) in self.bytes[first..].iter().take(3).enumerate() {
            window |= u32::from(byte) << (8 * k);
        }
        low_bits(window >> (first_bit % 8), self.width)
    }
}

impl Symbols for PackedSymbols {
    fn len(&self) -> usize {
        self.len
    }

    fn width(&self) -> u32 {
        self.width
    }

    fn decode_into(&self, range: Range<usize>, out: &mut [u16]) -> Result<()> {
        if range.start > range.end || range.end > self.len {
            return Err(Error::invalid("range", format!("a part of 0..{}", self.len), format!("{range:?}")));
        }
        if out.len() != range.len() {
            return Err(Error::invalid("out", format!("{} symbols", range.len()), out.len()));
        }
        for (slot, i) in out.iter_mut().zip(range) {
            *slot = self.symbol(i);
        }
        Ok(())
    }

    fn payload_bits(&self) -> u64 {
        8 * self.bytes.len() as u64
    }
}

fn check_width(width: u32) -> Result<()> {
    if (1..=MAX_WIDTH).contains(&width) {
        return Ok(());
    }
    Err(Error::invalid("symbol width", format!("1..={MAX_WIDTH} bits"), width))
}

#[allow(clippy::cast_possible_truncation, reason = "the low byte is meant")]
fn low_byte(word: u32) -> u8 {
    word as u8
}

#[allow(clippy::cast_possible_truncation, reason = "the mask leaves at most 16 bits")]
fn low_bits(word: u32, width: u32) -> u16 {
    (word & ((1 << width) - 1)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bits_are_packed_from_the_least_significant() {
        let packed = PackedSymbols::from_symbols(3, &[1, 2, 7, 2]).unwrap();
        // 010_111_010_001: the first byte is 11 010 001, the second 0000 010 1.
        assert_eq!(packed.bytes(), [0b1101_0001, 0b0000_0101]);
        let wide = PackedSymbols::from_symbols(16, &[0x1234, 0xffff]).unwrap();
        assert_eq!(wide.bytes(), [0x34, 0x12, 0xff, 0xff]);
        assert!(PackedSymbols::from_symbols(5, &[]).unwrap().bytes().is_empty());
    }

    #[test]
    fn wrong_widths_and_ranges_are_refused() {
        assert!(PackedSymbols::from_symbols(0, &[]).is_err());
        assert!(PackedSymbols::from_symbols(17, &[]).is_err());
        let error = PackedSymbols::from_symbols(3, &[7, 8]).unwrap_err().to_string();
        assert_eq!(error, "invalid `symbol 1`: expected less than 2^3, got 8");
        let packed = PackedSymbols::from_symbols(3, &[7, 1, 2]).unwrap();
        assert!(packed.decode_into(1..4, &mut [0; 3]).is_err());
        assert!(packed.decode_into(1..3, &mut [0; 3]).is_err());
        assert!(packed.decode_into(3..3, &mut []).is_ok());
    }

    #[test]
    fn bytes_from_outside_are_checked() {
        let bytes = |n| vec![0xff_u8; n];
        assert!(matches!(PackedSymbols::from_bytes(5, 8, bytes(4)), Err(Error::UnexpectedEnd { .. })));
        assert!(matches!(
            PackedSymbols::from_bytes(16, usize::MAX, bytes(4)),
            Err(Error::UnexpectedEnd { .. })
        ));
        assert!(matches!(PackedSymbols::from_bytes(5, 8, bytes(6)), Err(Error::Corrupt { .. })));
        assert!(matches!(PackedSymbols::from_bytes(5, 7, bytes(5)), Err(Error::Corrupt { .. })));
        assert!(matches!(PackedSymbols::from_bytes(17, 1, bytes(3)), Err(Error::InvalidArgument { .. })));
        assert_eq!(PackedSymbols::from_bytes(5, 8, bytes(5)).unwrap().to_vec().unwrap(), [31; 8]);
    }

    proptest! {
        #[test]
        fn packing_loses_nothing_at_any_width(width in 1_u32..=16, raw in prop::collection::vec(any::<u16>(), 0..70),
                                              cut in any::<prop::sample::Index>()) {
            let symbols: Vec<u16> = raw.iter().map(|&s| low_bits(u32::from(s), width)).collect();
            let packed = PackedSymbols::from_symbols(width, &symbols).unwrap();
            prop_assert_eq!(packed.to_vec().unwrap(), symbols.clone());
            let read = PackedSymbols::from_bytes(width, symbols.len(), packed.bytes().to_vec()).unwrap();
            prop_assert_eq!(&read, &packed);
            prop_assert_eq!(packed.payload_bits(), 8 * packed.bytes().len() as u64);
            let start = cut.index(symbols.len() + 1);
            let mut tail = vec![0; symbols.len() - start];
            packed.decode_into(start..symbols.len(), &mut tail).unwrap();
            prop_assert_eq!(&tail[..], &symbols[start..]);
        }
    }
}
