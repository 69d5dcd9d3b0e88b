//! The one seeded generator: streams keyed by what they are for, never by call order.
//!
//! A [`Rng`] is ChaCha8 on a 256-bit key that is hashed from a seed and a list of words and names. Two places that
//! draw from differently keyed streams cannot disturb each other, so adding a layer or resuming a run changes no
//! other draw. ChaCha is defined by its algorithm: the same key gives the same numbers on every machine.

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

/// A seeded random stream.
#[derive(Debug, Clone)]
pub struct Rng(ChaCha8Rng);

impl Rng {
    /// The stream of `seed` for the purpose `name` (for example `"init/conv1.weight"`) and `indices` (epoch, step, …).
    ///
    /// # Example
    /// ```
    /// use nnc_core::rng::Rng;
    /// let draw = |name, i| Rng::keyed(7, name, &[i]).next_u64();
    /// assert_eq!(draw("a", 0), draw("a", 0));
    /// assert_ne!(draw("a", 0), draw("a", 1));
    /// assert_ne!(draw("a", 0), draw("b", 0));
    /// ```
    pub fn keyed(seed: u64, name: &str, indices: &[u64]) -> Self {
        let mut hash = Sha256::new();
        hash.update(seed.to_le_bytes());
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name.as_bytes());
        for index in indices {
            hash.update(index.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(hash.finalize().into()))
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// The next 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Uniform in `[0, 1)`, a multiple of 2^-24.
    pub fn uniform(&mut self) -> f32 {
        // 24 bits fit the significand, so the conversion is exact.
        (self.next_u32() >> 8) as f32 * (1.0 / (1 << 24) as f32)
    }

    /// Uniform in `[low, high)`.
    pub fn uniform_in(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.uniform()
    }

    /// Uniform in `0..n`, without bias (Lemire 2019).
    ///
    /// # Panics
    /// When `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0, "below(0) has no value to draw");
        let n = n as u64;
        let threshold = n.wrapping_neg() % n;
        loop {
            let product = u128::from(self.next_u64()) * u128::from(n);
            #[allow(
                clippy::cast_possible_truncation,
                reason = "the low half is meant; the high half is < n, a usize"
            )]
            let (low, high) = (product as u64, (product >> 64) as usize);
            if low >= threshold {
                return high;
            }
        }
    }

    /// A standard normal number (Box and Muller 1958, the cosine branch).
    pub fn normal(&mut self) -> f32 {
        let u = 1.0 - f64::from(self.uniform());
        let v = f64::from(self.uniform());
        #[allow(clippy::cast_possible_truncation, reason = "rounding to f32 is meant")]
        let z = ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32;
        z
    }

    /// `true` with probability `p`.
    pub fn bernoulli(&mut self, p: f32) -> bool {
        self.uniform() < p
    }

    /// Fills `bytes` with random bytes.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    /// Shuffles `items` (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_the_same_on_every_machine() {
        let mut rng = Rng::keyed(1, "golden", &[2, 3]);
        // The first words of a ChaCha8 block with key = sha256(1u64 ‖ 6u64 ‖ "golden" ‖ 2u64 ‖ 3u64), little-endian,
        // counter 0; computed outside, with Python's hashlib and a plain ChaCha.
        assert_eq!([rng.next_u32(), rng.next_u32()], [1_621_113_053, 1_231_763_003]);
    }

    #[test]
    fn below_is_uniform_and_in_range() {
        let mut rng = Rng::keyed(0, "below", &[]);
        let mut counts = [0_u32; 7];
        for _ in 0..70_000 {
            counts[rng.below(7)] += 1;
        }
        assert!(counts.iter().all(|&c| (9_600..10_400).contains(&c)), "{counts:?}");
    }

    #[test]
    fn normal_has_mean_zero_and_variance_one() {
        let mut rng = Rng::keyed(0, "normal", &[]);
        let draws: Vec<f64> = (0..100_000).map(|_| f64::from(rng.normal())).collect();
        let mean = draws.iter().sum::<f64>() / 1e5;
        let variance = draws.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03, "mean {mean}, variance {variance}");
    }

    #[test]
    fn shuffle_keeps_every_item() {
        let mut items: Vec<usize> = (0..100).collect();
        Rng::keyed(3, "shuffle", &[]).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
