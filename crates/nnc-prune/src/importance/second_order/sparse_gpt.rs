//! SparseGPT: OBS for all rows of a layer at once, column by column, with the columns to the right making up.
//!
//! After column `j` is done it never moves again, so that the inverse of H over the columns from `j` on is wanted, the same for
//! all rows: its first row is `U_jj · U_j,j:` for the upper factor `U` of [`inverse_cholesky`], which therefore holds them all.
//! The mask is chosen a block of columns at a time, on weights that have already moved; the block makes up within itself at
//! once, and for all later columns by one product.

use nnc_core::candle::Tensor;
use nnc_core::linalg::{Gram, Mat, MatMut, damp, inverse_cholesky, matmul};
use nnc_core::{Error, Result};
use rayon::prelude::*;

use crate::mask::Mask;
use crate::read::with_values;
use crate::select;

/// Rows that one task works on.
const ROWS: usize = 256;

/// Which weights go.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pattern {
    /// The share of the weights that goes, in `[0, 1)`; of each block of columns as large a share as of the whole.
    Level(f64),
    /// Exactly `n` stay of each `m` consecutive weights of a row.
    NofM {
        /// How many stay, in `1..=m`.
        n: usize,
        /// Of how many; divides the length of a row and the block.
        m: usize,
    },
}

/// How to prune.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SparseGptConfig {
    /// Which weights go.
    pub pattern: Pattern,
    /// Columns whose mask is chosen together, at least 1.
    pub block: usize,
    /// What is added to the diagonal of H, as a share of its mean.
    pub damping: f64,
}

impl SparseGptConfig {
    /// Blocks of 128 columns, damped by a hundredth.
    ///
    /// # Source
    /// Frantar and Alistarh 2023, §3.2, §4.
    pub fn frantar_2023(pattern: Pattern) -> Self {
        Self { pattern, block: 128, damping: 0.01 }
    }
}

/// A pruned weight whose survivors have moved.
#[derive(Debug, Clone)]
pub struct Compensated {
    /// The weight, with zeros where the mask prunes.
    pub weight: Tensor,
    /// What is kept.
    pub mask: Mask,
    /// By how much the squared output error grows, a mean over samples and a sum over outputs, as H predicts it.
    pub error: f64,
}

/// Prunes `weight` (O, I) or (O, I, R, S), given the sums of outer products of its inputs, one per group (see
/// [`InputGrams`](crate::importance::inputs::InputGrams)).
///
/// An input that was always 0 tells nothing: its weights become 0. Of equal scores, the lowest (row, column) of a block goes
/// first.
///
/// Cost: n³ / 3 multiply-adds for the factor of each group with n inputs, and O · n² / 2 for the update.
///
/// # Errors
/// [`Error::InvalidArgument`] for a weight that is not finite, a pattern or block that does not fit, no samples, or an H that
/// even damped has no factor; [`Error::ShapeMismatch`] when `grams` do not fit the weight.
///
/// # Source
/// Frantar and Alistarh, "SparseGPT: Massive Language Models Can be Accurately Pruned in One-Shot", ICML 2023, algorithm 1.
/// We differ: a count that is exact over the layer takes the place of each block's own quantile.
pub fn sparse_gpt(weight: &Tensor, grams: &[Gram], config: &SparseGptConfig) -> Result<Compensated> {
    let n = check(weight, grams, config)?;
    let mut values = with_values(weight, <[f32]>::to_vec)?;
    if let Some(i) = values.iter().position(|w| !w.is_finite()) {
        return Err(Error::invalid("weight", "finite numbers", format!("{} at flat index {i}", values[i])));
    }
    let (mut kept, mut error) = (Vec::with_capacity(values.len()), 0.0);
    let rows_per_group = values.len() / n / grams.len();
    for (rows, gram) in values.chunks_mut(rows_per_group * n).zip(grams) {
        let mut layer =
            Layer { rows, n, factor: factor(gram, config.damping)?, kept: vec![true; rows_per_group * n] };
        // A dead input: whatever its weight, the output is the same.
        for j in (0..n).filter(|&j| gram.is_dead(j)) {
            layer.rows.iter_mut().skip(j).step_by(n).for_each(|w| *w = 0.0);
        }
        error += layer.prune(config)?;
        kept.append(&mut layer.kept);
    }
    let mask = Mask::from_fn(weight.dims(), |i| kept[i]);
    Ok(Compensated { weight: Tensor::from_vec(values, weight.dims(), weight.device())?, mask, error })
}

/// The length of a row.
fn check(weight: &Tensor, grams: &[Gram], config: &SparseGptConfig) -> Result<usize> {
    let n_outputs = weight.dims().first().copied().unwrap_or(0);
    if grams.is_empty() || n_outputs == 0 || !n_outputs.is_multiple_of(grams.len()) {
        return Err(Error::invalid(
            "grams",
            format!("one for each group of the {n_outputs} outputs"),
            grams.len(),
        ));
    }
    let n = weight.elem_count() / n_outputs;
    if let Some(gram) = grams.iter().find(|gram| gram.n() != n) {
        return Err(Error::shape("grams", &[n, n], &[gram.n(), gram.n()]));
    }
    if grams.iter().any(|gram| gram.n_samples() == 0) {
        return Err(Error::invalid("grams", "at least one sample", 0));
    }
    if config.block == 0 {
        return Err(Error::invalid("block", "at least 1", 0));
    }
    match config.pattern {
        Pattern::Level(sparsity) if !(0.0..1.0).contains(&sparsity) => {
            Err(Error::invalid("sparsity", "a number in [0, 1)", sparsity))
        }
        Pattern::NofM { n: n_kept, m } if !(1..=m).contains(&n_kept) => {
            Err(Error::invalid("n of N:M", format!("1..={m}"), n_kept))
        }
        Pattern::NofM { m, .. } if !n.is_multiple_of(m) || !config.block.is_multiple_of(m) => {
            let expected = format!("a divisor of a row's {n} weights and of the block {}", config.block);
            Err(Error::invalid("m of N:M", expected, m))
        }
        _ => Ok(n),
    }
}

/// The upper factor of the inverse of the damped H = 2 · mean(x xᵀ), with 1 in place of the 0 of a dead input.
fn factor(gram: &Gram, damping: f64) -> Result<Vec<f32>> {
    let n = gram.n();
    let mut hessian = gram.mean();
    hessian.iter_mut().for_each(|x| *x *= 2.0);
    (0..n).filter(|&j| gram.is_dead(j)).for_each(|j| hessian[j * n + j] = 1.0);
    damp(&mut hessian, n, damping)?;
    inverse_cholesky(hessian, n)
}

/// The rows that share their inputs.
struct Layer<'a> {
    rows: &'a mut [f32],
    n: usize,
    factor: Vec<f32>,
    kept: Vec<bool>,
}

impl Layer<'_> {
    fn prune(&mut self, config: &SparseGptConfig) -> Result<f64> {
        let mut error = 0.0;
        for start in (0..self.n).step_by(config.block) {
            let end = self.n.min(start + config.block);
            if let Pattern::Level(sparsity) = config.pattern {
                self.choose(start, end, sparsity)?;
            }
            error += self.compensate(start, end, config.pattern);
        }
        Ok(error)
    }

    /// The mask of the columns `start..end`: the lowest `w² / U_jj²` go.
    fn choose(&mut self, start: usize, end: usize, sparsity: f64) -> Result<()> {
        let (n, width) = (self.n, end - start);
        let n_rows = self.rows.len() / n;
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a count is a count"
        )]
        let n_pruned = |cols: usize| (sparsity * (n_rows * cols) as f64).floor() as usize;
        let n_kept = n_rows * width - (n_pruned(end) - n_pruned(start)).min(n_rows * width);
        let scales: Vec<f32> = (start..end).map(|j| self.factor[j * n + j].recip()).collect();
        // |w| / U_jj ranks as its square does, and does not overflow.
        let mut scores = vec![0.0; n_rows * width];
        scores.par_chunks_mut(ROWS * width).zip(self.rows.par_chunks(ROWS * n)).for_each(|(scores, rows)| {
            for (scores, row) in scores.chunks_mut(width).zip(rows.chunks(n)) {
                for ((score, w), scale) in scores.iter_mut().zip(&row[start..end]).zip(&scales) {
                    *score = w.abs() * scale;
                }
            }
        });
        let mask = select::largest(&scores, &[n_rows, width], n_kept)?;
        for (row_idx, kept) in self.kept.chunks_mut(n).enumerate() {
            kept[start..end]
                .iter_mut()
                .enumerate()
                .for_each(|(j, kept)| *kept = mask.keeps(row_idx * width + j));
        }
        Ok(())
    }

    /// Prunes the columns `start..end`, and has all columns to the right make up for it.
    fn compensate(&mut self, start: usize, end: usize, pattern: Pattern) -> f64 {
        let (n, width) = (self.n, end - start);
        let factor = &self.factor;
        let tasks = self.rows.par_chunks_mut(ROWS * n).zip(self.kept.par_chunks_mut(ROWS * n));
        let errors: Vec<f64> = tasks
            .map(|(rows, kept)| {
                let n_rows = rows.len() / n;
                let mut minus_errors = vec![0.0; n_rows * width];
                let mut error = 0.0;
                for ((row, kept), minus) in
                    rows.chunks_mut(n).zip(kept.chunks_mut(n)).zip(minus_errors.chunks_mut(width))
                {
                    error += prune_row(row, kept, minus, factor, start, pattern);
                }
                if end < n {
                    let out = MatMut::strided(&mut rows[end..], n_rows, n - end, n);
                    let right = Mat::strided(&factor[start * n + end..], width, n - end, n);
                    matmul(out, Mat::new(&minus_errors, n_rows, width), right, true);
                }
                error
            })
            .collect();
        errors.iter().sum()
    }
}

/// Prunes `minus.len()` columns of one row from `start` on, and has those among them that are to the right make up; leaves
/// `−(w − q) / U_jj` of each in `minus`.
fn prune_row(
    row: &mut [f32],
    kept: &mut [bool],
    minus: &mut [f32],
    factor: &[f32],
    start: usize,
    pattern: Pattern,
) -> f64 {
    let (n, end) = (row.len(), start + minus.len());
    let mut error = 0.0;
    for j in start..end {
        if let Pattern::NofM { n: n_kept, m } = pattern
            && j % m == 0
        {
            choose_window(&row[j..j + m], &mut kept[j..j + m], |i| factor[(j + i) * n + j + i], n_kept);
        }
        if kept[j] || row[j] == 0.0 {
            continue;
        }
        let scaled = -row[j] / factor[j * n + j];
        row[j] = 0.0;
        minus[j - start] = scaled;
        error += f64::from(scaled) * f64::from(scaled) / 2.0;
        let right = &factor[j * n + j + 1..j * n + end];
        row[j + 1..end].iter_mut().zip(right).for_each(|(w, u)| *w += scaled * u);
    }
    error
}

/// Keeps the `n_kept` highest `|w| / U_jj` of a window; of equal ones, the lowest index goes first.
fn choose_window(window: &[f32], kept: &mut [bool], diagonal: impl Fn(usize) -> f32, n_kept: usize) {
    let scores: Vec<f32> = window.iter().enumerate().map(|(i, w)| w.abs() / diagonal(i)).collect();
    let mut order: Vec<usize> = (0..window.len()).collect();
    order.sort_unstable_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(a.cmp(&b)));
    for (rank, &i) in order.iter().enumerate() {
        kept[i] = rank >= window.len() - n_kept;
    }
}

#[cfg(test)]
mod tests;
