//! One product, cut into blocks of rows and ranges of panels.

#![allow(unsafe_code, reason = "tasks write disjoint parts of one result")]

use std::ops::Range;

use crate::gemm::PackedRhs;
use crate::kernel::{Block, Columns, Finish, Kernel, Multipliers, PANEL, Panel, Requant, Rows};
use crate::lhs::Lhs;
use crate::matrix::check_product;
use crate::multiplier::Multiplier;
use crate::output::{self, Element, Per, Stage};
use crate::pack::row_stride;
use crate::parallel::Grid;
use crate::place::Place;
use crate::scratch;
use crate::{Error, MatMut, Order, Result};

/// What happens to sums.
#[derive(Clone, Copy, Debug)]
enum How<'a> {
    /// The kernel stores them, with a bias at most.
    Sums,
    /// The kernel scales them to bytes.
    Bytes { multiplier: Per<'a, Multiplier>, zero_point: i16, min: i16, max: i16 },
    /// They go through the stages one by one.
    Stages,
}

/// A checked product.
pub(crate) struct Job<'a, L, O> {
    kernel: Kernel,
    lhs: L,
    rhs: &'a PackedRhs,
    stages: &'a [Stage<'a>],
    how: How<'a>,
    /// What the kernel adds to sums.
    bias: Option<Per<'a, i32>>,
    out: Place<'a, O>,
}

impl<'a, L: Lhs, O: Element> Job<'a, L, O> {
    /// Checks a product and decides how it is done.
    pub(crate) fn new(
        kernel: Kernel,
        lhs: L,
        rhs: &'a PackedRhs,
        stages: &'a [Stage<'a>],
        out: MatMut<'a, O>,
    ) -> Result<Self> {
        let (rows, depth, cols) = (lhs.n_rows(), lhs.depth(), rhs.cols());
        check_product((rows, depth), (rhs.depth(), cols), &out)?;
        output::check(stages, rows, cols, O::IS_REAL)?;
        let max_sum = max_sum(lhs.max_magnitude() * rhs.max_magnitude, depth)?;
        let (how, bias) = Self::plan(stages, max_sum);
        Ok(Self { kernel, lhs, rhs, stages, how, bias, out: Place::new(out) })
    }

    /// How these stages are done, and the bias that the kernel adds.
    fn plan(stages: &'a [Stage<'a>], max_sum: i64) -> (How<'a>, Option<Per<'a, i32>>) {
        let (bias, rest) = match stages {
            [Stage::Bias(bias), rest @ ..] => (Some(*bias), rest),
            _ => (None, stages),
        };
        let fused = match (rest, O::BYTE) {
            ([], None) if !O::IS_REAL && O::finish(std::ptr::null_mut(), None).is_some() => Some(How::Sums),
            ([Stage::Scale { multiplier, offset }], Some((min, max))) => {
                Self::bytes(*multiplier, *offset, (min, max), max_sum, bias)
            }
            ([Stage::Scale { multiplier, offset }, Stage::Clamp { min, max }], Some(byte)) => {
                let bound = |x: i32| i16::try_from(x.clamp(byte.0.into(), byte.1.into())).expect("a byte");
                Self::bytes(*multiplier, *offset, (bound(*min), bound(*max)), max_sum, bias)
            }
            _ => None,
        };
        fused.map_or((How::Stages, None), |how| (how, bias))
    }

    /// Scaling to bytes by the kernel, where its arithmetic covers the numbers.
    fn bytes(
        multiplier: Per<'a, Multiplier>,
        offset: i32,
        (min, max): (i16, i16),
        max_sum: i64,
        bias: Option<Per<'a, i32>>,
    ) -> Option<How<'a>> {
        let grows = |m: Multiplier| m.exponent() > 0;
        let fits = match multiplier {
            Per::Tensor(m) => !grows(m),
            // All of them, without an early end: that is faster.
            Per::Col(all) => !all.iter().fold(false, |any, &m| any | grows(m)),
            Per::Row(_) => false,
        };
        let max_bias = match bias {
            None => 0,
            Some(Per::Tensor(bias)) => bias.unsigned_abs(),
            Some(Per::Row(bias) | Per::Col(bias)) => {
                bias.iter().fold(0, |max: u32, bias| max.max(bias.unsigned_abs()))
            }
        };
        let fits = fits
            && max_sum + i64::from(max_bias) < Requant::MAX_SUM
            && offset.saturating_abs() <= Requant::MAX_ZERO_POINT;
        let zero_point = i16::try_from(offset).ok()?;
        fits.then_some(How::Bytes { multiplier, zero_point, min, max })
    }

    /// Multiplies.
    pub(crate) fn run(&self) {
        let grid = Grid::new(self.lhs.n_rows(), self.rhs.panels.len(), self.rhs.depth().max(1), self.kernel);
        grid.for_each(|rows, panels| self.run_task(rows, panels));
    }

    /// Multiplies `rows` and the columns of `panels`.
    fn run_task(&self, rows: Range<usize>, panels: Range<usize>) {
        if let Some(lhs) = self.lhs.in_place(self.kernel, rows.clone()) {
            return self.run_rows(lhs, rows.start, panels);
        }
        let stride = row_stride(self.rhs.depth());
        scratch::bytes(rows.len() * stride, |data| {
            self.lhs.pack(rows.start, data, stride);
            let lhs = Rows { data, stride, n_rows: rows.len(), len: stride };
            self.run_rows(lhs, rows.start, panels);
        });
    }

    /// Multiplies packed rows, the first of which is row `first`, and the columns of `panels`.
    fn run_rows(&self, lhs: Rows<'_>, first: usize, panels: Range<usize>) {
        let (depth, zero_point) = (self.rhs.depth(), self.rhs.zero_point);
        let bias = match self.bias {
            Some(Per::Row(bias)) => Some(&bias[first..first + lhs.n_rows]),
            _ => None,
        };
        if zero_point == 0 && bias.is_none() {
            return panels.for_each(|panel| self.run_panel(lhs, first, None, panel));
        }
        scratch::terms(lhs.n_rows, |terms| {
            for (i, term) in terms.iter_mut().enumerate() {
                let row = &lhs.data[i * lhs.stride..][..depth];
                let sum = if zero_point == 0 { 0 } else { sum(row) };
                *term = bias.map_or(0, |bias| bias[i]).wrapping_sub(zero_point.wrapping_mul(sum));
            }
            panels.for_each(|panel| self.run_panel(lhs, first, Some(terms), panel));
        });
    }

    /// Multiplies packed rows and the columns of panel `idx`.
    fn run_panel(&self, lhs: Rows<'_>, first: usize, row_terms: Option<&[i32]>, idx: usize) {
        self.rhs.panels.with_panel(idx, |panel| self.run_block(lhs, first, row_terms, panel, idx * PANEL));
    }

    /// Multiplies packed rows and the columns of `panel`, the first of which is column `first_col`.
    fn run_block(
        &self,
        lhs: Rows<'_>,
        first: usize,
        row_terms: Option<&[i32]>,
        panel: Panel<'_>,
        first_col: usize,
    ) {
        let range = first_col..first_col + panel.n_cols;
        let block = |finish, out_stride| Block {
            rows: lhs,
            panel,
            depth: self.rhs.depth(),
            cols: self.columns(range.clone()),
            row_terms,
            finish,
            out_stride,
        };
        // A result that is not row-major only asks whether the kernel can write it.
        let at = self.out.at(first, first_col);
        let fused = match self.how {
            How::Stages => None,
            _ => O::finish(at, self.requant(range.clone())),
        };
        match fused {
            Some(finish) if self.out.order() == Order::RowMajor => {
                // SAFETY: the result has these rows and columns, and no other task writes them.
                unsafe { self.kernel.run(&block(finish, self.out.stride())) }
            }
            Some(_) => scratch::sums(lhs.n_rows * PANEL, |sums| {
                // Sums and bytes, the elements that kernels write, are no larger than sums.
                let results = sums.as_mut_ptr().cast::<O>();
                let finish = O::finish(results, self.requant(range.clone())).expect("it was one above");
                // SAFETY: `sums` has room for 64 results of each row.
                unsafe { self.kernel.run(&block(finish, PANEL)) };
                // SAFETY: the kernel wrote these rows and columns.
                unsafe { self.turn(results, lhs.n_rows, panel.n_cols, (first, first_col)) };
            }),
            None => scratch::sums(lhs.n_rows * PANEL, |sums| {
                let finish = Finish::Sums(sums.as_mut_ptr());
                // SAFETY: `sums` has 64 columns for each row.
                unsafe { self.kernel.run(&block(finish, PANEL)) };
                for (i, sums) in sums.chunks_exact(PANEL).enumerate() {
                    self.store(&sums[..panel.n_cols], first + i, first_col);
                }
            }),
        }
    }

    /// Takes the sums of `row` from column `first_col` on through the stages, and stores them.
    fn store(&self, sums: &[i32], row: usize, first_col: usize) {
        for (col, &sum) in (first_col..).zip(sums) {
            let value = output::store::<O>(self.stages, sum, row, col);
            // SAFETY: the result has this row and column, and no other task writes them.
            unsafe { self.out.write(row, col, value) };
        }
    }

    /// Copies results, a row every 64, to the columns from `first_col` on of a column-major result.
    ///
    /// Some rows at a time, so that they stay in the first cache while column after column is written.
    ///
    /// # Safety
    /// `results` must be valid for reads of `n_rows` × `n_cols`, and no other task may write those of the result.
    unsafe fn turn(
        &self,
        results: *const O,
        n_rows: usize,
        n_cols: usize,
        (first, first_col): (usize, usize),
    ) {
        const BLOCK: usize = 64;
        for start in (0..n_rows).step_by(BLOCK) {
            let rows = start..n_rows.min(start + BLOCK);
            for col in 0..n_cols {
                let out = self.out.at(first, first_col + col);
                for row in rows.clone() {
                    // SAFETY: the caller's promise; the result has this row and column.
                    unsafe { out.add(row).write(results.add(row * PANEL + col).read()) };
                }
            }
        }
    }

    /// What the zero points and a bias add to the sums of columns: depth · zₗ · zᵣ − zₗ · Σ r + bias.
    fn columns(&self, cols: Range<usize>) -> Columns<'_> {
        let zero_point = self.lhs.zero_point();
        // Modulo 2^32, as every sum: `Job::new` saw that what they come to fits.
        let depth = i32::try_from(self.rhs.depth()).expect("checked by Job::new");
        let constant = depth.wrapping_mul(zero_point).wrapping_mul(self.rhs.zero_point);
        let (all, bias) = match self.bias {
            Some(Per::Tensor(bias)) => (bias, None),
            Some(Per::Col(bias)) => (0, Some(&bias[cols.clone()])),
            Some(Per::Row(_)) | None => (0, None),
        };
        Columns {
            constant: constant.wrapping_add(all),
            factor: -zero_point,
            sums: &self.rhs.panels.col_sums[cols],
            bias,
        }
    }

    /// How the kernel scales the sums of columns.
    fn requant(&self, cols: Range<usize>) -> Option<Requant<'_>> {
        let How::Bytes { multiplier, zero_point, min, max } = self.how else { return None };
        let multipliers = match multiplier {
            Per::Col(each) => Multipliers::Each(&each[cols]),
            Per::Tensor(one) => Multipliers::One(one),
            Per::Row(_) => return None,
        };
        let is_signed = O::BYTE.is_some_and(|(min, _)| min < 0);
        Some(Requant { multipliers, zero_point, min, max, is_signed })
    }
}

/// The largest magnitude of a sum of `depth` products, where each one's is at most `product`.
pub(crate) fn max_sum(product: i64, depth: usize) -> Result<i64> {
    let max = usize::try_from(i64::from(i32::MAX) / product.max(1)).unwrap_or(usize::MAX);
    if depth > max {
        return Err(Error::DepthOverflow { depth, max });
    }
    Ok(product * i64::try_from(depth).expect("checked above"))
}

/// The sum of a row's bytes.
fn sum(row: &[u8]) -> i32 {
    let (chunks, tail) = row.as_chunks::<64>();
    let mut total: i32 = tail.iter().map(|&byte| i32::from(byte)).sum();
    for chunk in chunks {
        total += chunk.iter().map(|&byte| i32::from(byte)).sum::<i32>();
    }
    total
}
