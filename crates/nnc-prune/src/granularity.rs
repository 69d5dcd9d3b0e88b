//! What is pruned as one: single weights, vectors, kernels, filters, blocks, N of M, strided taps.
//!
//! A [`Granularity`] laid on a shape gives [`Groups`]: a partition of the entries. A criterion scores entries,
//! [`Groups::reduce`] makes group scores of them, a selection keeps some groups (a [`Mask`] with one bit a group), and
//! [`Groups::expand`] turns that choice into the mask of the weight.
//!
//! No list of indices is kept. A weight has at most four axes here, and along each the group coordinate of index `i` is
//! `(i / block) % n_coords`: a member axis has one coordinate, a group axis one for each index, a block axis one for each
//! block, and a strided axis goes round its offsets. A group is one coordinate on each axis.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use nnc_core::{Error, Result};

use crate::mask::Mask;

mod axis;
mod resolve;
pub mod storage;

use axis::Axis;

/// What is pruned as one.
///
/// A convolution weight has shape `(O, I, R, S)` (I is the inputs of one group), a linear one `(O, I)`.
///
/// # Source
/// Mao et al., "Exploring the Regularity of Sparse Structure in Convolutional Neural Networks", CVPRW 2017, §3, figure 1
/// (0-D to 3-D); Anwar, Hwang, Sung, "Structured Pruning of Deep Convolutional Neural Networks", 2015 (strided).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Granularity {
    /// A single weight (0-D); any shape.
    Element,
    /// A row of a kernel (1-D): S weights; `(O, I, R, S)` only.
    Row,
    /// A column of a kernel (1-D): R weights; `(O, I, R, S)` only.
    Column,
    /// A kernel (2-D): the R · S weights from one input map to one output map; `(O, I, R, S)` only.
    Kernel,
    /// All that makes one output (3-D): a filter, or a row of a linear weight.
    Filter,
    /// All that reads one input (3-D): an input channel, or a column of a linear weight.
    Channel,
    /// A block of the weight seen as a matrix O × (I · R · S).
    Block {
        /// Rows of a block; they divide O.
        rows: usize,
        /// Columns of a block; they divide I · R · S.
        cols: usize,
    },
    /// Single weights of which exactly `n` stay of each `m` consecutive ones along `axis`, whose length `m` divides.
    NofM {
        /// How many stay, in `1..m`.
        n: usize,
        /// Of how many.
        m: usize,
        /// Index of the axis in the weight's shape.
        axis: usize,
    },
    /// Intra-kernel strided sparsity: one offset stays per input map.
    ///
    /// A group is the taps `t` of the flattened kernel with `t mod stride = offset`, in all kernels that one input map feeds,
    /// so that whole im2col columns vanish; `(O, I, R, S)` only.
    Strided {
        /// Distance of the taps, in `1..=R · S`.
        stride: usize,
    },
}

impl Granularity {
    /// The partition of a weight of `shape`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when the granularity does not fit the shape, or the shape holds no entry.
    ///
    /// # Example
    /// ```
    /// use nnc_prune::granularity::{Granularity, Reduction};
    /// use nnc_prune::select;
    /// // Two kernels of 1x2, and the one with the larger sum stays.
    /// let groups = Granularity::Kernel.groups(&[1, 2, 1, 2])?;
    /// let scores = groups.reduce(&[3.0, 1.0, 1.0, 2.0], Reduction::Sum)?;
    /// assert_eq!(*scores, [4.0, 3.0]);
    /// let mask = groups.expand(&select::largest(&scores, &[groups.len()], 1)?)?;
    /// assert_eq!((0..4).map(|i| mask.keeps(i)).collect::<Vec<_>>(), [true, true, false, false]);
    /// # Ok::<(), nnc_core::Error>(())
    /// ```
    pub fn groups(self, shape: &[usize]) -> Result<Groups> {
        Ok(Groups { granularity: self, shape: shape.to_vec(), axes: resolve::axes(self, shape)? })
    }

    /// `(n, m)` where exactly `n` of each `m` consecutive groups stay; `None` where any number may.
    pub fn quota(self) -> Option<(usize, usize)> {
        match self {
            Self::NofM { n, m, .. } => Some((n, m)),
            Self::Strided { stride } => Some((1, stride)),
            _ => None,
        }
    }
}

impl fmt::Display for Granularity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Element => f.write_str("element"),
            Self::Row => f.write_str("row"),
            Self::Column => f.write_str("column"),
            Self::Kernel => f.write_str("kernel"),
            Self::Filter => f.write_str("filter"),
            Self::Channel => f.write_str("channel"),
            Self::Block { rows, cols } => write!(f, "block {rows}x{cols}"),
            Self::NofM { n, m, axis } => write!(f, "{n}:{m} along axis {axis}"),
            Self::Strided { stride } => write!(f, "stride {stride}"),
        }
    }
}

/// How the scores of a group's entries become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// Their sum; of magnitudes, the L1 norm.
    Sum,
    /// Their mean: fair between groups of unequal size.
    Mean,
    /// The root of the sum of their squares; of magnitudes, the L2 norm.
    L2,
}

/// The entries of a weight, parted into groups; made by [`Granularity::groups`].
///
/// Groups are numbered by the first entry that they hold, in row-major order; with [`Granularity::NofM`] so that the `m` rivals
/// of a window are consecutive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Groups {
    granularity: Granularity,
    shape: Vec<usize>,
    /// Outermost first; their lengths multiply to the number of entries.
    axes: [Axis; 4],
}

#[allow(clippy::len_without_is_empty, reason = "there is at least one group")]
impl Groups {
    /// What is pruned as one.
    pub fn granularity(&self) -> Granularity {
        self.granularity
    }

    /// The weight's shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of groups, at least one.
    pub fn len(&self) -> usize {
        self.axes.iter().map(|axis| axis.n_coords).product()
    }

    /// Number of entries of the weight.
    pub fn n_entries(&self) -> usize {
        self.axes.iter().map(|axis| axis.len).product()
    }

    /// Number of entries of `group`.
    ///
    /// # Panics
    /// When there is no such group.
    pub fn size(&self, group: usize) -> usize {
        self.coords(group).iter().zip(&self.axes).map(|(&coord, axis)| axis.n_members(coord)).product()
    }

    /// The group of the entry at `flat_idx`.
    ///
    /// # Panics
    /// When `flat_idx` is out of range.
    pub fn group_of(&self, flat_idx: usize) -> usize {
        assert!(flat_idx < self.n_entries(), "entry {flat_idx} of {}", self.n_entries());
        let mut rest = flat_idx;
        let mut group = 0;
        for axis in self.axes.iter().rev() {
            group += axis.offset(rest % axis.len);
            rest /= axis.len;
        }
        group
    }

    /// The flat indices of the entries of `group`, increasing.
    ///
    /// # Panics
    /// When there is no such group.
    pub fn members(&self, group: usize) -> impl Iterator<Item = usize> + use<> {
        let ([a, b, c, d], [p, q, r, s]) = (self.axes, self.coords(group));
        a.members(p).flat_map(move |i| {
            b.members(q).flat_map(move |j| {
                c.members(r).flat_map(move |k| {
                    let start = ((i * b.len + j) * c.len + k) * d.len;
                    d.members(s).map(move |l| start + l)
                })
            })
        })
    }

    /// One score per group from one `scores` entry per weight entry, summed in f64 in row-major order.
    ///
    /// Cost: one pass; nothing is copied where each group is one entry and they are in order.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] when there are not as many scores as entries.
    pub fn reduce<'a>(&self, scores: &'a [f32], reduction: Reduction) -> Result<Cow<'a, [f32]>> {
        if scores.len() != self.n_entries() {
            return Err(Error::shape("scores", &self.shape, &[scores.len()]));
        }
        if self.granularity == Granularity::Element && reduction != Reduction::L2 {
            return Ok(Cow::Borrowed(scores));
        }
        let mut sums = vec![0.0_f64; self.len()];
        self.for_each_run(|group, run| {
            let squared = |score: f32| f64::from(score) * f64::from(score);
            sums[group] += match reduction {
                Reduction::L2 => scores[run].iter().map(|&score| squared(score)).sum::<f64>(),
                Reduction::Sum | Reduction::Mean => scores[run].iter().map(|&score| f64::from(score)).sum(),
            };
        });
        let score = |(group, sum): (usize, f64)| match reduction {
            Reduction::Sum => sum,
            Reduction::Mean => sum / self.size(group) as f64,
            Reduction::L2 => sum.sqrt(),
        };
        #[allow(clippy::cast_possible_truncation, reason = "rounding to f32 is meant")]
        let scores = sums.into_iter().enumerate().map(|sum| score(sum) as f32).collect();
        Ok(Cow::Owned(scores))
    }

    /// The mask of the weight whose kept entries are those of the groups that `choice` keeps.
    ///
    /// `choice` has one entry per group, in whatever shape.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] when `choice` has not as many entries as there are groups.
    pub fn expand(&self, choice: &Mask) -> Result<Mask> {
        if choice.len() != self.len() {
            return Err(Error::shape("choice of groups", &[self.len()], choice.shape()));
        }
        if self.granularity == Granularity::Element {
            return Ok(Mask::from_words(&self.shape, choice.words().to_vec()));
        }
        let mut words = vec![0_u64; self.n_entries().div_ceil(64)];
        self.for_each_run(|group, run| {
            if choice.keeps(group) {
                run.for_each(|i| words[i / 64] |= 1 << (i % 64));
            }
        });
        Ok(Mask::from_words(&self.shape, words))
    }

    /// Which groups have an entry that `mask` keeps: the choice that [`expand`](Self::expand) would need to cover it.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] when the shapes differ.
    pub fn touched(&self, mask: &Mask) -> Result<Mask> {
        if mask.shape() != self.shape {
            return Err(Error::shape("mask", &self.shape, mask.shape()));
        }
        let mut touched = vec![0_u64; self.len().div_ceil(64)];
        self.for_each_run(|group, mut run| {
            let kept = u64::from(run.any(|i| mask.keeps(i)));
            touched[group / 64] |= kept << (group % 64);
        });
        Ok(Mask::from_words(&[self.len()], touched))
    }

    /// Visits all entries in row-major order, as runs of neighbours that belong to one group.
    fn for_each_run(&self, mut visit: impl FnMut(usize, Range<usize>)) {
        let [a, b, c, inner] = self.axes;
        let mut start = 0;
        for i in 0..a.len {
            for j in 0..b.len {
                for k in 0..c.len {
                    let group = a.offset(i) + b.offset(j) + c.offset(k);
                    let mut coord = 0;
                    for at in (0..inner.len).step_by(inner.block) {
                        let end = inner.len.min(at + inner.block);
                        visit(group + coord * inner.stride, start + at..start + end);
                        coord = if coord + 1 == inner.n_coords { 0 } else { coord + 1 };
                    }
                    start += inner.len;
                }
            }
        }
    }

    fn coords(&self, group: usize) -> [usize; 4] {
        assert!(group < self.len(), "group {group} of {}", self.len());
        self.axes.map(|axis| group / axis.stride % axis.n_coords)
    }
}

#[cfg(test)]
mod tests;
