//! What a symbol may be: a byte or a `u16`.

use std::borrow::Cow;
use std::fmt::Debug;

use crate::histogram::count_bytes;

mod sealed {
    pub trait Sealed {}
    impl Sealed for u8 {}
    impl Sealed for u16 {}
}

/// An unsigned symbol: `u8` or `u16`.
///
/// Codes are over `u16`; a byte stream is the same thing with an alphabet of at most 256.
pub trait Symbol:
    Copy + Default + Eq + Ord + Debug + Send + Sync + Into<u16> + sealed::Sealed + 'static
{
    /// Bits of the type.
    const BITS: u32;

    /// The symbol with the low [`BITS`](Self::BITS) bits of `value`.
    fn truncate_from(value: u16) -> Self;

    /// Puts the bytes of `packed`, lowest first, to the front of `out`: eight bytes or four `u16`.
    #[doc(hidden)]
    fn unpack(packed: u64, out: &mut [Self; 8]);

    /// Makes symbols of the bytes of `packed`, lowest first.
    #[doc(hidden)]
    fn spread(packed: u64, out: &mut [Self; 8]);

    /// The symbols as bytes, where each is below 256.
    #[doc(hidden)]
    fn narrow(symbols: &[Self]) -> Option<Cow<'_, [u8]>>;

    /// Lets `write` fill as many bytes as `out` has symbols, and makes them its symbols.
    #[doc(hidden)]
    fn widen<R>(out: &mut [Self], write: impl FnOnce(&mut [u8]) -> R) -> R;

    /// How often each symbol occurs, up to the largest one.
    #[doc(hidden)]
    fn count(symbols: &[Self]) -> Vec<u64>;
}

impl Symbol for u8 {
    const BITS: u32 = 8;

    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "the method's contract")]
    fn truncate_from(value: u16) -> Self {
        value as Self
    }

    #[inline(always)]
    fn unpack(packed: u64, out: &mut [Self; 8]) {
        *out = packed.to_le_bytes();
    }

    #[inline(always)]
    fn spread(packed: u64, out: &mut [Self; 8]) {
        *out = packed.to_le_bytes();
    }

    fn narrow(symbols: &[Self]) -> Option<Cow<'_, [u8]>> {
        Some(Cow::Borrowed(symbols))
    }

    fn widen<R>(out: &mut [Self], write: impl FnOnce(&mut [u8]) -> R) -> R {
        write(out)
    }

    fn count(symbols: &[Self]) -> Vec<u64> {
        let mut counts = count_bytes(symbols).to_vec();
        counts.truncate(counts.iter().rposition(|&count| count > 0).map_or(0, |last| last + 1));
        counts
    }
}

impl Symbol for u16 {
    const BITS: u32 = 16;

    #[inline]
    fn truncate_from(value: u16) -> Self {
        value
    }

    #[inline(always)]
    fn unpack(packed: u64, out: &mut [Self; 8]) {
        for (slot, pair) in out.iter_mut().zip(packed.to_le_bytes().as_chunks::<2>().0) {
            *slot = Self::from_le_bytes(*pair);
        }
    }

    #[inline(always)]
    fn spread(packed: u64, out: &mut [Self; 8]) {
        *out = packed.to_le_bytes().map(Self::from);
    }

    #[allow(clippy::cast_possible_truncation, reason = "all are below 256")]
    fn narrow(symbols: &[Self]) -> Option<Cow<'_, [u8]>> {
        let is_narrow = symbols.iter().fold(0, |all, &symbol| all | symbol) < 256;
        is_narrow.then(|| symbols.iter().map(|&symbol| symbol as u8).collect())
    }

    fn widen<R>(out: &mut [Self], write: impl FnOnce(&mut [u8]) -> R) -> R {
        let mut bytes = vec![0; out.len()];
        let result = write(&mut bytes);
        out.iter_mut().zip(bytes).for_each(|(slot, byte)| *slot = byte.into());
        result
    }

    fn count(symbols: &[Self]) -> Vec<u64> {
        let n_symbols = symbols.iter().max().map_or(0, |&largest| usize::from(largest) + 1);
        let mut counts = vec![0; n_symbols];
        symbols.iter().for_each(|&symbol| counts[usize::from(symbol)] += 1);
        counts
    }
}

/// Bits of `symbol`: the smallest `w` with `symbol < 2^w`.
pub(crate) fn width_of(symbol: u16) -> u32 {
    u16::BITS - symbol.leading_zeros()
}
