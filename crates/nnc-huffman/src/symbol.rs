//! What a symbol may be: a byte or a `u16`.

use std::fmt::Debug;

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
}

impl Symbol for u8 {
    const BITS: u32 = 8;

    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "the method's contract")]
    fn truncate_from(value: u16) -> Self {
        value as Self
    }
}

impl Symbol for u16 {
    const BITS: u32 = 16;

    #[inline]
    fn truncate_from(value: u16) -> Self {
        value
    }
}

/// Bits of `symbol`: the smallest `w` with `symbol < 2^w`.
pub(crate) fn width_of(symbol: u16) -> u32 {
    u16::BITS - symbol.leading_zeros()
}
