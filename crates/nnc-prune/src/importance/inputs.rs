//! What a layer multiplies its weight with, as samples: the common ground of Wanda and SparseGPT.
//!
//! A linear layer multiplies each row of its weight with its input: one sample per image. A convolution multiplies each filter
//! with the column of inputs under it (im2col): one sample per image and output pixel, so that sums over samples are sums over
//! images and positions. A grouped convolution has samples of its own for each group.

use std::sync::{Mutex, PoisonError};

use nnc_core::candle::Tensor;
use nnc_core::linalg::Gram;
use nnc_core::network::{Node, Op};
use nnc_core::ops::{Conv2dConfig, visit_columns};
use nnc_core::source::Step;
use nnc_core::tap::Observe;
use nnc_core::{Error, Result};

use crate::read::with_values;

/// How a layer's input becomes samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerInput {
    /// Length of a sample: entries of a row of the weight.
    n: usize,
    conv: Option<((usize, usize), Conv2dConfig)>,
}

/// Samples of one group.
enum Samples<'a> {
    /// One after another.
    Rows(&'a [f32]),
    /// Side by side.
    Columns(&'a [f32]),
}

impl LayerInput {
    /// The input of a linear or convolution `node` with a weight of `shape`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for another kind of node, or a shape without entries that does not fit it.
    pub fn new(node: &Node, shape: &[usize]) -> Result<Self> {
        let input = match (&node.op, shape) {
            (Op::Linear { .. }, &[_, n]) => Self { n, conv: None },
            (Op::Conv2d { config, .. }, &[_, i, r, s]) => {
                Self { n: i * r * s, conv: Some(((r, s), *config)) }
            }
            (Op::Linear { .. } | Op::Conv2d { .. }, _) => {
                return Err(Error::invalid(
                    format!("shape of `{}`", node.param("weight")),
                    "(O, I) or (O, I, R, S)",
                    format!("{shape:?}"),
                ));
            }
            (other, _) => {
                return Err(Error::invalid(
                    format!("node `{}`", node.name),
                    "linear or convolution",
                    other.name(),
                ));
            }
        };
        if input.n == 0 {
            return Err(Error::invalid(
                format!("shape of `{}`", node.param("weight")),
                "an entry",
                format!("{shape:?}"),
            ));
        }
        Ok(input)
    }

    /// Groups that do not see each other's inputs.
    pub fn n_groups(&self) -> usize {
        self.conv.map_or(1, |(_, config)| config.groups)
    }

    fn visit(&self, value: &Tensor, mut visit: impl FnMut(usize, Samples<'_>) -> Result<()>) -> Result<()> {
        let Some((kernel, config)) = &self.conv else {
            return with_values(value, |values| visit(0, Samples::Rows(values)))?;
        };
        let mut result = Ok(());
        visit_columns(value, *kernel, config, |group, columns| {
            if result.is_ok() {
                result = visit(group, Samples::Columns(columns));
            }
        })?;
        result
    }
}

/// Adds up the squares of each input of a layer; hang it on the layer's input.
#[derive(Debug)]
pub struct InputNorms {
    input: LayerInput,
    /// Σ x² by group and place in a sample.
    squares: Mutex<Vec<Vec<f64>>>,
}

impl InputNorms {
    /// Nothing seen yet.
    pub fn new(input: LayerInput) -> Self {
        Self { input, squares: Mutex::new(vec![vec![0.0; input.n]; input.n_groups()]) }
    }

    /// `‖X_j‖₂` over all samples, by group and place `j` in a sample.
    pub fn norms(&self) -> Vec<Vec<f64>> {
        let squares = self.squares.lock().unwrap_or_else(PoisonError::into_inner);
        squares.iter().map(|group| group.iter().map(|square| square.sqrt()).collect()).collect()
    }
}

impl Observe for InputNorms {
    fn observe(&self, value: &Tensor, _step: &Step) -> Result<()> {
        let mut squares = self.squares.lock().unwrap_or_else(PoisonError::into_inner);
        let n = self.input.n;
        let square = |x: &f32| f64::from(*x) * f64::from(*x);
        self.input.visit(value, |group, samples| {
            let sums = &mut squares[group];
            match samples {
                Samples::Rows(rows) => {
                    check_samples(rows, n)?;
                    for row in rows.chunks(n) {
                        sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += square(x));
                    }
                }
                Samples::Columns(columns) => {
                    check_samples(columns, n)?;
                    let taps = columns.chunks(columns.len() / n);
                    sums.iter_mut()
                        .zip(taps)
                        .for_each(|(sum, tap)| *sum += tap.iter().map(square).sum::<f64>());
                }
            }
            Ok(())
        })
    }
}

fn check_samples(samples: &[f32], n: usize) -> Result<()> {
    if !samples.is_empty() && samples.len().is_multiple_of(n) {
        return Ok(());
    }
    Err(Error::invalid("layer input", format!("samples of {n} entries"), samples.len()))
}

/// Adds up the outer products of a layer's inputs; hang it on the layer's input.
#[derive(Debug)]
pub struct InputGrams {
    input: LayerInput,
    grams: Mutex<Vec<Gram>>,
}

impl InputGrams {
    /// Nothing seen yet; takes n² floats for each group, for samples of n entries.
    ///
    /// # Errors
    /// Those of [`Gram::new`].
    pub fn new(input: LayerInput) -> Result<Self> {
        let grams = (0..input.n_groups()).map(|_| Gram::new(input.n)).collect::<Result<_>>()?;
        Ok(Self { input, grams: Mutex::new(grams) })
    }

    /// The sums so far, one per group.
    pub fn grams(&self) -> Vec<Gram> {
        self.grams.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Observe for InputGrams {
    fn observe(&self, value: &Tensor, _step: &Step) -> Result<()> {
        let mut grams = self.grams.lock().unwrap_or_else(PoisonError::into_inner);
        self.input.visit(value, |group, samples| match samples {
            Samples::Rows(rows) => grams[group].add_rows(rows),
            Samples::Columns(columns) => grams[group].add_columns(columns),
        })
    }
}
