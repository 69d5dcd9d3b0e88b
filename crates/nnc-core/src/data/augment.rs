//! Random changes to training images that keep their label.

use crate::rng::Rng;

/// How training images are changed at random, the same way in every channel.
///
/// Each draw is keyed by (seed, epoch, sample), so it depends neither on the order of the samples nor on
/// threads. The default changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Augment {
    /// Moves the image by up to this many pixels up, down, left and right; what becomes free is black.
    pub shift: usize,
    /// Mirrors left and right in half of the cases.
    pub flip: bool,
}

impl Augment {
    /// Moves by up to `n_pixels`.
    pub fn jitter(n_pixels: usize) -> Self {
        Self { shift: n_pixels, flip: false }
    }

    /// A black border of `padding` pixels, then a random crop of the old size. That is the same as a shift by up to
    /// `padding`.
    ///
    /// # Source
    /// Lee, Xie, Gallagher, Zhang, Tu, "Deeply-Supervised Nets", AISTATS 2015, §4.3 (with a padding of 4, for
    /// CIFAR).
    pub fn pad_and_crop(padding: usize) -> Self {
        Self::jitter(padding)
    }

    /// The usual choice for CIFAR: padding 4, crop, flip (He et al., CVPR 2016, §4.2).
    pub fn cifar() -> Self {
        Self { flip: true, ..Self::pad_and_crop(4) }
    }

    /// The change for one sample in one epoch.
    pub(super) fn draw(&self, seed: u64, epoch: u64, sample: usize) -> Change {
        if *self == Self::default() {
            return Change::default();
        }
        let mut rng = Rng::keyed(seed, "augment", &[epoch, sample as u64]);
        let mut offset = || rng.below(2 * self.shift + 1);
        let (down, right) = (offset(), offset());
        Change { down, right, reach: self.shift, flip: self.flip && rng.bernoulli(0.5) }
    }
}

/// One drawn change: move down by `down - reach` and right by `right - reach`, after the flip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Change {
    down: usize,
    right: usize,
    reach: usize,
    flip: bool,
}

impl Change {
    /// Writes the changed `plane` of `(height, width)` to `out`, each byte through `table`.
    pub(super) fn apply(&self, plane: &[u8], width: usize, table: &[f32; 256], out: &mut [f32]) {
        let height = plane.len() / width;
        for (y, out_row) in out.chunks_exact_mut(width).enumerate() {
            // y = source row + down - reach; the source row may lie outside.
            match (y + self.reach).checked_sub(self.down).filter(|&row| row < height) {
                Some(row) => self.apply_row(&plane[row * width..][..width], table, out_row),
                None => out_row.fill(table[0]),
            }
        }
    }

    fn apply_row(&self, row: &[u8], table: &[f32; 256], out: &mut [f32]) {
        let width = row.len();
        // Columns of the result whose source column x + reach - right lies inside.
        let start = self.right.saturating_sub(self.reach).min(width);
        let end = (width + self.right).saturating_sub(self.reach).min(width).max(start);
        out[..start].fill(table[0]);
        out[end..].fill(table[0]);
        if start == end {
            return;
        }
        let source = start + self.reach - self.right;
        let inside = out[start..end].iter_mut();
        if self.flip {
            let mirrored = row[..width - source].iter().rev();
            inside.zip(mirrored).for_each(|(out, &byte)| *out = table[usize::from(byte)]);
        } else {
            inside.zip(&row[source..]).for_each(|(out, &byte)| *out = table[usize::from(byte)]);
        }
    }
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "small numbers of the test's own making")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn identity_table() -> [f32; 256] {
        std::array::from_fn(|byte| byte as f32)
    }

    /// Pixel by pixel, from the definition.
    fn reference(change: &Change, plane: &[u8], width: usize) -> Vec<f32> {
        let (height, width) = (plane.len() as isize / width as isize, width as isize);
        let (down, right) =
            (change.down as isize - change.reach as isize, change.right as isize - change.reach as isize);
        let pixel = |y: isize, x: isize| {
            let (row, column) = (y - down, x - right);
            if row < 0 || row >= height || column < 0 || column >= width {
                return 0.0;
            }
            let column = if change.flip { width - 1 - column } else { column };
            f32::from(plane[(row * width + column) as usize])
        };
        (0..height).flat_map(|y| (0..width).map(move |x| (y, x))).map(|(y, x)| pixel(y, x)).collect()
    }

    proptest! {
        #[test]
        fn changes_equal_their_definition(
            (height, width, reach) in (1_usize..7, 1_usize..7, 0_usize..9),
            (down, right, flip) in (0_usize..17, 0_usize..17, any::<bool>()),
        ) {
            let change = Change { down: down.min(2 * reach), right: right.min(2 * reach), reach, flip };
            let plane: Vec<u8> = (1..=(height * width) as u8).collect();
            let mut out = vec![f32::NAN; plane.len()];
            change.apply(&plane, width, &identity_table(), &mut out);
            prop_assert_eq!(out, reference(&change, &plane, width));
        }
    }

    #[test]
    fn draws_cover_every_shift_and_both_flips_evenly() {
        let augment = Augment { shift: 1, flip: true };
        let mut counts = std::collections::BTreeMap::new();
        for sample in 0..18_000 {
            let change = augment.draw(5, 2, sample);
            *counts.entry((change.down, change.right, change.flip)).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 18);
        assert!(counts.values().all(|&n| (850..1150).contains(&n)), "{counts:?}");
    }

    #[test]
    fn draws_depend_on_seed_epoch_and_sample_alone() {
        let augment = Augment::jitter(100);
        assert_eq!(augment.draw(1, 2, 3), augment.draw(1, 2, 3));
        for other in [augment.draw(2, 2, 3), augment.draw(1, 3, 3), augment.draw(1, 2, 4)] {
            assert_ne!(augment.draw(1, 2, 3), other);
        }
    }
}
