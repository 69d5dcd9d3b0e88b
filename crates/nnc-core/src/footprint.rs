//! Bits by part, counted from what would be written.

use std::iter::Sum;
use std::ops::{Add, AddAssign};

/// Bits of one stream as it would be written, and the entropy beside it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct StreamBits {
    /// Bits as written, padding to whole bytes included.
    pub bits: u64,
    /// What an ideal order-0 coder would need for the same symbols; equal to `bits` where the stream is not made of
    /// symbols (raw floats).
    pub entropy_bits: f64,
}

impl StreamBits {
    /// A stream that is not made of symbols.
    pub fn raw(bits: u64) -> Self {
        Self { bits, entropy_bits: bits as f64 }
    }
}

/// What a weight, a layer or a model costs, in bits by part; footprints add up.
///
/// # Example
/// ```
/// use nnc_core::footprint::{Footprint, StreamBits};
/// // 1000 weights, of which 100 are stored: 4-bit codes, 5-bit gaps, 16 shared values of 32 bits.
/// let layer = Footprint {
///     values: StreamBits { bits: 400, entropy_bits: 390.0 },
///     positions: StreamBits { bits: 500, entropy_bits: 410.0 },
///     tables_bits: 16 * 32,
///     headers_bits: 0,
/// };
/// assert_eq!(layer.total_bits(), 1412);
/// assert_eq!([layer, layer].into_iter().sum::<Footprint>().total_bytes(), 353);
/// assert!((layer.ratio_to_f32(1000) - 22.66).abs() < 0.01);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Footprint {
    /// What the stored entries hold.
    pub values: StreamBits,
    /// Which entries are stored.
    pub positions: StreamBits,
    /// What decoding needs beside the streams: codebooks, scales and zero points, code tables.
    pub tables_bits: u64,
    /// What a container adds: names, shapes, kinds, lengths. 0 until a container counts it.
    pub headers_bits: u64,
}

impl Footprint {
    /// All parts together.
    pub fn total_bits(&self) -> u64 {
        self.values.bits + self.positions.bits + self.tables_bits + self.headers_bits
    }

    /// All parts together in whole bytes, rounded up.
    pub fn total_bytes(&self) -> u64 {
        self.total_bits().div_ceil(8)
    }

    /// How many times smaller than `n_weights` dense 32-bit floats; infinite where nothing is stored.
    pub fn ratio_to_f32(&self, n_weights: usize) -> f64 {
        32.0 * n_weights as f64 / self.total_bits() as f64
    }
}

impl Add for StreamBits {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { bits: self.bits + other.bits, entropy_bits: self.entropy_bits + other.entropy_bits }
    }
}

impl Add for Footprint {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            values: self.values + other.values,
            positions: self.positions + other.positions,
            tables_bits: self.tables_bits + other.tables_bits,
            headers_bits: self.headers_bits + other.headers_bits,
        }
    }
}

impl AddAssign for Footprint {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Footprint {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::default(), Add::add)
    }
}

impl<'a> Sum<&'a Footprint> for Footprint {
    fn sum<I: Iterator<Item = &'a Self>>(iter: I) -> Self {
        iter.copied().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_layers_is_the_model() {
        let layer =
            |bits| Footprint { values: StreamBits::raw(bits), tables_bits: 64, ..Footprint::default() };
        let layers = [layer(100), layer(28)];
        let mut model: Footprint = layers.iter().sum();
        assert_eq!((model.total_bits(), model.values.entropy_bits), (256, 128.0));
        model += Footprint { headers_bits: 1, ..Footprint::default() };
        assert_eq!((model.total_bits(), model.total_bytes()), (257, 33));
        assert_eq!(Footprint::default().ratio_to_f32(1), f64::INFINITY);
    }
}
