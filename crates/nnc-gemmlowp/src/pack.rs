//! Operands in the form that kernels read.

use crate::kernel::{DEPTH_STEP, GROUP, LANES, Line, PANEL, Panel};
use crate::{MatRef, Order};

/// Columns of half a panel.
const HALF: usize = PANEL / 2;

/// A type of matrix elements: `u8` or `i8`.
pub trait Byte: sealed::Byte + Copy + Send + Sync + 'static {
    /// The smallest value.
    const MIN: i32;
    /// The largest value.
    const MAX: i32;
}

impl Byte for u8 {
    const MIN: i32 = 0;
    const MAX: i32 = 255;
}

impl Byte for i8 {
    const MIN: i32 = -128;
    const MAX: i32 = 127;
}

pub(crate) mod sealed {
    /// What the kernels need to know of a byte.
    pub trait Byte {
        /// The byte as a left factor: `i8` with 128 added.
        fn unsigned(self) -> u8;
        /// The byte as a right factor: `u8` with 128 taken off.
        fn signed(self) -> i8;
        /// What [`Byte::unsigned`] adds.
        const TO_UNSIGNED: i32;
        /// What [`Byte::signed`] adds.
        const TO_SIGNED: i32;
        /// The same bytes as left factors, where nothing is to be added.
        fn as_unsigned(bytes: &[Self]) -> Option<&[u8]>
        where
            Self: Sized;
        /// The value.
        fn value(self) -> i32;
    }

    impl Byte for u8 {
        const TO_UNSIGNED: i32 = 0;
        const TO_SIGNED: i32 = -128;

        fn unsigned(self) -> u8 {
            self
        }

        fn signed(self) -> i8 {
            (self ^ 0x80).cast_signed()
        }

        fn as_unsigned(bytes: &[Self]) -> Option<&[u8]> {
            Some(bytes)
        }

        fn value(self) -> i32 {
            i32::from(self)
        }
    }

    impl Byte for i8 {
        const TO_UNSIGNED: i32 = 128;
        const TO_SIGNED: i32 = 0;

        fn unsigned(self) -> u8 {
            self.cast_unsigned() ^ 0x80
        }

        fn signed(self) -> i8 {
            self
        }

        fn as_unsigned(_: &[Self]) -> Option<&[u8]> {
            None
        }

        fn value(self) -> i32 {
            i32::from(self)
        }
    }
}

/// A right factor in panels, with the sums of its columns.
#[derive(Clone, Debug)]
pub(crate) struct Panels {
    lines: Vec<Line>,
    /// Of the signed elements.
    pub(crate) col_sums: Vec<i32>,
    pub(crate) depth: usize,
    pub(crate) cols: usize,
}

impl Panels {
    /// Packs `rhs`, depth × columns.
    pub(crate) fn new<T: Byte>(rhs: MatRef<'_, T>) -> Self {
        let (depth, cols) = (rhs.rows(), rhs.cols());
        let steps = steps(depth);
        let mut packed = Self {
            lines: vec![Line::ZERO; steps * cols.div_ceil(LANES)],
            col_sums: vec![0; cols],
            depth,
            cols,
        };
        let (data, layout) = (rhs.data(), rhs.layout());
        for first in (0..cols).step_by(LANES) {
            let (start, pitch) = packed.place(first);
            let n_cols = (cols - first).min(LANES);
            let lines = packed.lines[start.min(steps * cols.div_ceil(LANES))..].iter_mut().step_by(pitch);
            let sums = &mut packed.col_sums[first..first + n_cols];
            for (line, k) in lines.zip((0..depth).step_by(GROUP)) {
                let n_rows = (depth - k).min(GROUP);
                match layout.order {
                    Order::RowMajor => {
                        for i in 0..n_rows {
                            let row = &data[(k + i) * layout.stride + first..][..n_cols];
                            for ((lane, value), sum) in row.iter().enumerate().zip(sums.iter_mut()) {
                                line.0[lane * GROUP + i] = value.signed();
                                *sum += i32::from(value.signed());
                            }
                        }
                    }
                    Order::ColMajor => {
                        for (lane, sum) in sums.iter_mut().enumerate() {
                            let col = &data[(first + lane) * layout.stride + k..][..n_rows];
                            for (i, value) in col.iter().enumerate() {
                                line.0[lane * GROUP + i] = value.signed();
                                *sum += i32::from(value.signed());
                            }
                        }
                    }
                }
            }
        }
        packed
    }

    /// Panels.
    pub(crate) fn len(&self) -> usize {
        self.cols.div_ceil(PANEL)
    }

    /// Columns of panel `idx`.
    fn panel_cols(&self, idx: usize) -> usize {
        (self.cols - idx * PANEL).min(PANEL)
    }

    /// The first line of the columns from `col` on, and the lines from one step of them to the next.
    fn place(&self, col: usize) -> (usize, usize) {
        let half = col / HALF * HALF;
        let pitch = (self.cols - half).min(HALF).div_ceil(LANES);
        (steps(self.depth) * (half / LANES) + (col - half) / LANES, pitch)
    }

    /// Panel `idx`.
    pub(crate) fn panel(&self, idx: usize) -> Panel<'_> {
        let n_cols = self.panel_cols(idx);
        let start = steps(self.depth) * idx * (PANEL / LANES);
        let lines = &self.lines[start..][..steps(self.depth) * n_cols.div_ceil(LANES)];
        Panel { lines, n_cols }
    }

    /// Bytes that it holds.
    pub(crate) fn size_bytes(&self) -> usize {
        size_of_val(&self.lines[..]) + size_of_val(&self.col_sums[..])
    }
}

/// Steps to which `depth` is padded.
fn steps(depth: usize) -> usize {
    depth.div_ceil(DEPTH_STEP) * (DEPTH_STEP / GROUP)
}

/// Bytes from row to row in a packed left factor of this depth: an odd number of cache lines, so that the rows of a tile
/// never compete for the same set of a cache.
pub(crate) fn row_stride(depth: usize) -> usize {
    (depth.div_ceil(DEPTH_STEP).max(1) | 1) * DEPTH_STEP
}

/// Writes rows `first..` of `lhs` to `out`, a row every `stride` bytes, padded with zeros.
pub(crate) fn pack_rows<T: Byte>(lhs: MatRef<'_, T>, first: usize, out: &mut [u8], stride: usize) {
    let (data, layout, depth) = (lhs.data(), lhs.layout(), lhs.cols());
    match layout.order {
        Order::RowMajor => {
            for (i, out) in out.chunks_exact_mut(stride).enumerate() {
                // Rows of no elements need not lie in the slice.
                let row = if depth == 0 { &[] } else { &data[(first + i) * layout.stride..][..depth] };
                let (out, rest) = out.split_at_mut(depth);
                copy_unsigned(row, out);
                rest.fill(0);
            }
        }
        Order::ColMajor => {
            let n_rows = out.len() / stride;
            for row in out.chunks_exact_mut(stride) {
                row[depth..].fill(0);
            }
            // Columns in blocks, so that the lines written stay in the cache.
            for k in (0..depth).step_by(LANES) {
                for i in 0..n_rows {
                    let out = &mut out[i * stride..][k..(k + LANES).min(depth)];
                    for (j, out) in out.iter_mut().enumerate() {
                        *out = data[(k + j) * layout.stride + first + i].unsigned();
                    }
                }
            }
        }
    }
}

/// Copies `from`, made unsigned, to `out` of the same length.
#[inline]
pub(crate) fn copy_unsigned<T: Byte>(from: &[T], out: &mut [u8]) {
    match T::as_unsigned(from) {
        Some(from) => out.copy_from_slice(from),
        None => out.iter_mut().zip(from).for_each(|(out, value)| *out = value.unsigned()),
    }
}
