//! One axis of a partition: which index has which group coordinate.

/// An axis of `len` indices; index `i` has the group coordinate `(i / block) % n_coords`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Axis {
    pub(super) len: usize,
    pub(super) block: usize,
    pub(super) n_coords: usize,
    /// By how much the group's number grows with the coordinate.
    pub(super) stride: usize,
}

impl Axis {
    /// All indices belong to the group.
    pub(super) fn member(len: usize) -> Self {
        Self { len, block: len, n_coords: 1, stride: 1 }
    }

    /// Each index is a group of its own.
    pub(super) fn group(len: usize) -> Self {
        Self::blocks(len, 1)
    }

    /// Groups of `block` neighbours, which divide `len`.
    pub(super) fn blocks(len: usize, block: usize) -> Self {
        Self { len, block, n_coords: len / block, stride: 1 }
    }

    /// Groups of every `stride`-th index; those of the first offsets may have one more.
    pub(super) fn strided(len: usize, stride: usize) -> Self {
        Self { len, block: 1, n_coords: stride, stride: 1 }
    }

    /// What index `i` adds to the group's number.
    pub(super) fn offset(self, i: usize) -> usize {
        i / self.block % self.n_coords * self.stride
    }

    /// The indices with group coordinate `coord`, increasing.
    pub(super) fn members(self, coord: usize) -> impl Iterator<Item = usize> {
        let starts = (coord * self.block..self.len).step_by(self.block * self.n_coords);
        starts.flat_map(move |start| start..self.len.min(start + self.block))
    }

    /// How many indices have group coordinate `coord`.
    pub(super) fn n_members(self, coord: usize) -> usize {
        if self.block == 1 { (self.len - coord).div_ceil(self.n_coords) } else { self.block }
    }
}
