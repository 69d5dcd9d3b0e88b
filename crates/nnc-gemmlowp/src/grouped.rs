//! Products with a scale for each group of the inner dimension: weights of few bits, activations of eight.

use std::ops::Range;

use crate::gemm::{Gemm, Quantized};
use crate::job::max_sum;
use crate::kernel::{Block, Columns, DEPTH_STEP, Finish, GROUP, Isa, Kernel, PANEL, Rows};
use crate::matrix::check_product;
use crate::pack::{Byte, Panels, pack_rows, row_stride};
use crate::parallel::Grid;
use crate::place::Place;
use crate::{Error, MatMut, MatRef, Result, scratch};

/// A right factor of small integers, depth × columns, in which each column has a scale for each group of `group` inner
/// elements: weight-only quantization by groups, as of 32 or 128 weights, with zero points of 0.
#[derive(Clone, Debug)]
pub struct GroupedRhs {
    panels: Panels,
    group: usize,
    /// Groups × columns.
    scales: Vec<f32>,
    /// Of the elements, groups × columns.
    sums: Vec<i32>,
    max_magnitude: i64,
}

impl GroupedRhs {
    /// Packs `rhs`, a byte for an element. `scales` has a row for each group, a column for each column.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where `group` is no positive multiple of 4, [`Error::WrongLength`] where `scales` has
    /// not ⌈depth / group⌉ · columns elements.
    pub fn new(rhs: MatRef<'_, i8>, group: usize, scales: &[f32]) -> Result<Self> {
        Self::with(Panels::new(rhs), rhs, group, scales, 128)
    }

    /// Packs `rhs`, whose elements are −8 to 7, two in a byte.
    ///
    /// # Errors
    /// As [`GroupedRhs::new`], and [`Error::InvalidArgument`] for an element outside −8 to 7.
    pub fn new_4bit(rhs: MatRef<'_, i8>, group: usize, scales: &[f32]) -> Result<Self> {
        Self::with(Panels::nibbles(rhs)?, rhs, group, scales, 8)
    }

    fn with(
        panels: Panels,
        rhs: MatRef<'_, i8>,
        group: usize,
        scales: &[f32],
        max_magnitude: i64,
    ) -> Result<Self> {
        if group == 0 || !group.is_multiple_of(GROUP) {
            return Err(Error::invalid("group", "a positive multiple of 4", group));
        }
        let (depth, cols) = (rhs.rows(), rhs.cols());
        let expected = depth.div_ceil(group) * cols;
        if scales.len() != expected {
            return Err(Error::WrongLength { what: "scales", expected, found: scales.len() });
        }
        let mut sums = vec![0; expected];
        for row in 0..depth {
            for col in 0..cols {
                sums[row / group * cols + col] += i32::from(rhs.at(row, col));
            }
        }
        Ok(Self { panels, group, scales: scales.to_vec(), sums, max_magnitude })
    }

    /// Rows: the inner dimension of its products.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.panels.depth
    }

    /// Columns.
    #[must_use]
    pub fn cols(&self) -> usize {
        self.panels.cols
    }

    /// Bytes that it holds in memory.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.panels.size_bytes() + size_of_val(&self.scales[..]) + size_of_val(&self.sums[..])
    }
}

/// Multiplies `lhs` (rows × depth) and a right factor with scales by groups, and writes real numbers.
///
/// The element at (i, j) is `scale` · Σ_g `scales[g, j]` · Σ_k (l − `lhs.zero_point`) · r + `bias[j]`, k over group g: the
/// inner sum exact in 32 bits, the outer one in `f32`, group after group. The same bits on every processor and any number
/// of threads.
///
/// # Errors
/// [`Error::ShapeMismatch`] and [`Error::WrongLength`] where shapes do not fit, [`Error::DepthOverflow`] where the sum of a
/// group could overflow.
///
/// # Example
/// ```
/// use nnc_gemmlowp::{GroupedRhs, MatMut, MatRef, Quantized, gemm_grouped};
///
/// // One column of eight weights, in two groups with scales of 0.5 and 2.
/// let weights = GroupedRhs::new_4bit(MatRef::row_major(&[1, -2, 3, 7, -8, 0, 1, 1], 8, 1)?, 4, &[0.5, 2.0])?;
/// let activations = Quantized::new(MatRef::row_major(&[11_u8, 10, 12, 10, 11, 10, 10, 13], 1, 8)?, 10);
/// let mut out = [0.0];
/// gemm_grouped(activations, &weights, 0.1, None, MatMut::row_major(&mut out, 1, 1)?)?;
/// assert_eq!(out, [0.1 * (0.5 * 7.0 + 2.0 * -5.0)]);
/// # Ok::<(), nnc_gemmlowp::Error>(())
/// ```
pub fn gemm_grouped<L: Byte>(
    lhs: Quantized<'_, L>,
    rhs: &GroupedRhs,
    scale: f32,
    bias: Option<&[f32]>,
    out: MatMut<'_, f32>,
) -> Result<()> {
    Gemm::best().gemm_grouped(lhs, rhs, scale, bias, out)
}

impl Gemm {
    /// [`gemm_grouped`] on this instruction set.
    ///
    /// # Errors
    /// As there.
    pub fn gemm_grouped<L: Byte>(
        self,
        lhs: Quantized<'_, L>,
        rhs: &GroupedRhs,
        scale: f32,
        bias: Option<&[f32]>,
        out: MatMut<'_, f32>,
    ) -> Result<()> {
        let (rows, depth, cols) = (lhs.matrix.rows(), lhs.matrix.cols(), rhs.cols());
        check_product((rows, depth), (rhs.depth(), cols), &out)?;
        if let Some(bias) = bias.filter(|bias| bias.len() != cols) {
            return Err(Error::WrongLength { what: "bias", expected: cols, found: bias.len() });
        }
        max_sum(lhs.max_magnitude() * rhs.max_magnitude, rhs.group.min(depth))?;
        // AMX multiplies 64 inner elements at once: a group that is no multiple of it would take the next one's along.
        let kernel = match Kernel::of(Isa::Avx512Vnni) {
            Some(kernel) if self.isa() == Isa::Amx && !rhs.group.is_multiple_of(DEPTH_STEP) => kernel,
            _ => self.kernel,
        };
        Product { kernel, lhs, rhs, scale, bias, out: Place::new(out) }.run();
        Ok(())
    }
}

/// A checked product.
struct Product<'a, L> {
    kernel: Kernel,
    lhs: Quantized<'a, L>,
    rhs: &'a GroupedRhs,
    scale: f32,
    bias: Option<&'a [f32]>,
    out: Place<'a, f32>,
}

impl<L: Byte> Product<'_, L> {
    fn run(&self) {
        let depth = self.rhs.depth();
        let grid = Grid::new(self.lhs.matrix.rows(), self.rhs.panels.len(), depth.max(1), self.kernel);
        // A group that begins in the middle of what the kernel reads at once reads as far beyond the row.
        let stride = row_stride(depth + DEPTH_STEP);
        grid.for_each(|rows, panels| {
            scratch::bytes(rows.len() * stride, |data| {
                pack_rows(self.lhs.matrix, rows.start, data, stride);
                panels.for_each(|panel| self.run_panel(data, stride, rows.clone(), panel));
            });
        });
    }

    /// Multiplies `rows`, packed in `data`, and the columns of panel `idx`.
    fn run_panel(&self, data: &[u8], stride: usize, rows: Range<usize>, idx: usize) {
        let len = rows.len() * PANEL;
        self.rhs.panels.with_panel(idx, |panel| {
            let cols = idx * PANEL..idx * PANEL + panel.n_cols;
            scratch::sums(len, |sums| {
                scratch::reals(len, |totals| {
                    totals.fill(0.0);
                    for start in (0..self.rhs.depth()).step_by(self.rhs.group) {
                        let group = start..self.rhs.depth().min(start + self.rhs.group);
                        let lhs = Rows {
                            data: &data[start..],
                            stride,
                            n_rows: rows.len(),
                            len: group.len().next_multiple_of(DEPTH_STEP),
                        };
                        self.sum_group(lhs, panel.after(start / GROUP), &group, &cols, sums);
                        let scales =
                            &self.rhs.scales[group.start / self.rhs.group * self.rhs.cols()..][cols.clone()];
                        add_scaled(totals, sums, scales);
                    }
                    self.store(totals, rows.clone(), &cols);
                });
            });
        });
    }

    /// Writes the sums of a group to `sums`, 64 columns a row.
    #[allow(unsafe_code, reason = "a kernel writes to the buffer of sums")]
    fn sum_group(
        &self,
        lhs: Rows<'_>,
        panel: crate::kernel::Panel<'_>,
        group: &Range<usize>,
        cols: &Range<usize>,
        sums: &mut [i32],
    ) {
        let zero_point = self.lhs.zero_point.value() + L::TO_UNSIGNED;
        let col_sums = &self.rhs.sums[group.start / self.rhs.group * self.rhs.cols()..][cols.clone()];
        let block = Block {
            rows: lhs,
            panel,
            depth: group.len(),
            cols: Columns { constant: 0, factor: -zero_point, sums: col_sums, bias: None },
            row_terms: None,
            finish: Finish::Sums(sums.as_mut_ptr()),
            out_stride: PANEL,
        };
        // SAFETY: `sums` has 64 columns for each row.
        unsafe { self.kernel.run(&block) };
    }

    /// Writes `scale · totals + bias` to `rows` and `cols` of the result.
    #[allow(unsafe_code, reason = "tasks write disjoint parts of one result")]
    fn store(&self, totals: &[f32], rows: Range<usize>, cols: &Range<usize>) {
        for (row, totals) in rows.zip(totals.chunks_exact(PANEL)) {
            for (col, total) in cols.clone().zip(totals) {
                let bias = self.bias.map_or(0.0, |bias| bias[col]);
                // SAFETY: each task has other rows or columns.
                unsafe { self.out.write(row, col, self.scale * total + bias) };
            }
        }
    }
}

/// Adds sums, 64 columns a row, times the scales of their columns.
fn add_scaled(totals: &mut [f32], sums: &[i32], scales: &[f32]) {
    for (totals, sums) in totals.chunks_exact_mut(PANEL).zip(sums.chunks_exact(PANEL)) {
        for ((total, &sum), scale) in totals.iter_mut().zip(sums).zip(scales) {
            #[allow(clippy::cast_precision_loss, reason = "sums beyond 2^24 round to the nearest f32")]
            let sum = sum as f32;
            *total += sum * scale;
        }
    }
}
