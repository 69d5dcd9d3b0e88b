//! Operands in the form that kernels read.

use crate::kernel::{DEPTH_STEP, GROUP, LANES, Line, PANEL, Panel, nibbles};
use crate::{Error, MatRef, Order, Result, scratch};

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
    store: Store,
    /// Of the signed elements.
    pub(crate) col_sums: Vec<i32>,
    pub(crate) depth: usize,
    pub(crate) cols: usize,
}

/// The lines of all panels.
#[derive(Clone, Debug)]
enum Store {
    /// A byte for an element.
    Bytes(Vec<Line>),
    /// Half a byte for an element, two lines in one: the first in the low halves, with 8 added to each element.
    Nibbles(Vec<Line>),
}

impl Panels {
    /// Packs `rhs`, depth × columns.
    pub(crate) fn new<T: Byte>(rhs: MatRef<'_, T>) -> Self {
        let (depth, cols) = (rhs.rows(), rhs.cols());
        let mut lines = vec![Line::ZERO; steps(depth) * cols.div_ceil(LANES)];
        let mut col_sums = vec![0; cols];
        for first in (0..cols).step_by(LANES) {
            let (start, pitch) = place(depth, cols, first);
            let n_cols = (cols - first).min(LANES);
            let lines = lines.iter_mut().skip(start).step_by(pitch);
            pack_columns(rhs, first, lines, &mut col_sums[first..first + n_cols]);
        }
        Self { store: Store::Bytes(lines), col_sums, depth, cols }
    }

    /// Packs `rhs`, depth × columns, in half a byte for an element.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an element outside −8 to 7.
    pub(crate) fn nibbles(rhs: MatRef<'_, i8>) -> Result<Self> {
        let mut packed = Self::new(rhs);
        let Store::Bytes(lines) = &packed.store else { unreachable!("`new` stores bytes") };
        if let Some(wrong) = lines.iter().flat_map(|line| line.0).find(|q| !(-8..8).contains(q)) {
            return Err(Error::invalid("rhs", "4-bit elements, -8 to 7", wrong));
        }
        // Panels have an even number of lines: 16 steps at least.
        let pairs = lines
            .as_chunks::<2>()
            .0
            .iter()
            .map(|[low, high]| Line(std::array::from_fn(|i| (low.0[i] + 8) | (high.0[i] + 8) << 4)));
        packed.store = Store::Nibbles(pairs.collect());
        Ok(packed)
    }

    /// Panels.
    pub(crate) fn len(&self) -> usize {
        self.cols.div_ceil(PANEL)
    }

    /// Lends panel `idx`, unpacked where it is stored in half bytes.
    pub(crate) fn with_panel<R>(&self, idx: usize, run: impl FnOnce(Panel<'_>) -> R) -> R {
        let n_cols = (self.cols - idx * PANEL).min(PANEL);
        let start = steps(self.depth) * idx * (PANEL / LANES);
        let len = steps(self.depth) * n_cols.div_ceil(LANES);
        match &self.store {
            Store::Bytes(lines) => run(self.halves(&lines[start..start + len], n_cols)),
            Store::Nibbles(pairs) => scratch::lines(len, |lines| {
                nibbles::unpack(&pairs[start / 2..(start + len) / 2], lines);
                run(self.halves(lines, n_cols))
            }),
        }
    }

    /// The panel of these lines, one half of them after the other.
    fn halves<'a>(&self, lines: &'a [Line], n_cols: usize) -> Panel<'a> {
        let (first, second) = lines.split_at(steps(self.depth) * n_cols.div_ceil(LANES).min(2));
        Panel { halves: [first, second], n_cols }
    }

    /// Bytes that it holds.
    pub(crate) fn size_bytes(&self) -> usize {
        let (Store::Bytes(lines) | Store::Nibbles(lines)) = &self.store;
        size_of_val(&lines[..]) + size_of_val(&self.col_sums[..])
    }
}

/// The first line of the columns from `col` on, and the lines from one step of them to the next.
fn place(depth: usize, cols: usize, col: usize) -> (usize, usize) {
    let half = col / HALF * HALF;
    let pitch = (cols - half).min(HALF).div_ceil(LANES);
    (steps(depth) * (half / LANES) + (col - half) / LANES, pitch)
}

/// Writes the columns from `first` on, one for each of `sums`, to `lines`, a line for each step, and adds them to `sums`.
fn pack_columns<'a, T: Byte>(
    rhs: MatRef<'_, T>,
    first: usize,
    lines: impl Iterator<Item = &'a mut Line>,
    sums: &mut [i32],
) {
    let (data, layout, depth) = (rhs.data(), rhs.layout(), rhs.rows());
    for (line, k) in lines.zip((0..depth).step_by(GROUP)) {
        let n_rows = (depth - k).min(GROUP);
        match layout.order {
            Order::RowMajor => {
                for i in 0..n_rows {
                    let row = &data[(k + i) * layout.stride + first..][..sums.len()];
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
