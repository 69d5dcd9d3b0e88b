//! Norms of filters, and of all that goes with them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use nnc_core::candle::Tensor;
use nnc_core::network::{Channels, Node};
use nnc_core::params::Params;
use nnc_core::{Error, Result};

use super::{Coupled, FilterConfig, Norm, lead};
use crate::group::{Cut, Unit};

/// The norm of each filter of `weight`, of shape `(O, …)`, over all its numbers.
///
/// # Errors
/// Those of reading a tensor.
///
/// # Source
/// Li 2017, §3.1, step 1.
///
/// # Example
/// ```
/// use nnc_core::candle::{Device, Tensor};
/// use nnc_prune::filter::{Norm, filter_norms};
/// let weight = Tensor::new(&[[3_f32, -4.0], [0.5, 0.5]], &Device::Cpu)?;
/// assert_eq!(filter_norms(&weight, Norm::L1)?, [7.0, 1.0]);
/// assert_eq!(filter_norms(&weight, Norm::L2)?, [5.0, 0.5_f32.sqrt()]);
/// # Ok::<(), nnc_core::Error>(())
/// ```
#[allow(clippy::cast_possible_truncation, reason = "a score is compared, not summed further")]
pub fn filter_norms(weight: &Tensor, norm: Norm) -> Result<Vec<f32>> {
    let kernels = Kernels::of(weight, norm)?;
    let row = |row| kernels.finish(kernels.row(row, None)) as f32;
    Ok((0..kernels.n_rows).map(row).collect())
}

/// Per kernel of a weight `(O, I, …)` the sum of `|w|` or `w²`: filters and input channels are sums of these.
struct Kernels {
    norm: Norm,
    n_rows: usize,
    n_columns: usize,
    sums: Vec<f64>,
}

impl Kernels {
    fn of(weight: &Tensor, norm: Norm) -> Result<Self> {
        let (n_rows, n_columns) = (weight.dim(0)?, weight.dims().get(1).copied().unwrap_or(1));
        let values = weight.flatten_all()?.to_vec1::<f32>()?;
        let taps = values.len() / (n_rows * n_columns).max(1);
        let measure = |w: f32| match norm {
            Norm::L1 => f64::from(w).abs(),
            Norm::L2 => f64::from(w).powi(2),
        };
        let sums = values.chunks(taps.max(1)).map(|kernel| kernel.iter().copied().map(measure).sum());
        Ok(Self { norm, n_rows, n_columns, sums: sums.collect() })
    }

    /// The sum over a row, or over some of its columns.
    fn row(&self, row: usize, columns: Option<&[usize]>) -> f64 {
        let kernels = &self.sums[row * self.n_columns..(row + 1) * self.n_columns];
        match columns {
            None => kernels.iter().sum(),
            Some(columns) => columns.iter().map(|&column| kernels[column]).sum(),
        }
    }

    fn column(&self, column: usize) -> f64 {
        self.sums.iter().skip(column).step_by(self.n_columns).sum()
    }

    fn finish(&self, sum: f64) -> f64 {
        match self.norm {
            Norm::L1 => sum,
            Norm::L2 => sum.sqrt(),
        }
    }
}

/// Scores units; the weight of each layer is read once.
pub(super) struct Scores<'a> {
    config: &'a FilterConfig,
    params: &'a Params,
    cut: &'a Cut<'a>,
    kernels: RefCell<HashMap<usize, Rc<Kernels>>>,
}

impl<'a> Scores<'a> {
    pub(super) fn new(config: &'a FilterConfig, params: &'a Params, cut: &'a Cut<'a>) -> Self {
        Self { config, params, cut, kernels: RefCell::default() }
    }

    /// A score for each of `units`.
    #[allow(clippy::cast_possible_truncation, reason = "a score is compared, not summed further")]
    pub(super) fn of(&self, units: &[usize]) -> Result<Vec<f32>> {
        let groups = self.cut.groups();
        let mut leads = HashMap::new();
        let mut scores = Vec::with_capacity(units.len());
        for unit in units.iter().map(|&unit| &groups.units()[unit]) {
            let score = match self.config.coupled {
                Coupled::Projection => {
                    let lead = match leads.get(&unit.group()) {
                        Some(&lead) => lead,
                        None => lead::lead(groups, &groups.groups()[unit.group()])?,
                    };
                    leads.insert(unit.group(), lead);
                    self.filters(lead, unit)?
                }
                Coupled::Sum => self.members(unit)?.iter().sum(),
                Coupled::Mean => {
                    let members = self.members(unit)?;
                    members.iter().sum::<f64>() / members.len().max(1) as f64
                }
            };
            scores.push(score as f32);
        }
        Ok(scores)
    }

    /// The norms of a unit's filters, layer by layer, then of its kernels in the layers that read it.
    fn members(&self, unit: &Unit) -> Result<Vec<f64>> {
        let (groups, network) = (self.cut.groups(), self.cut.groups().network());
        let layers = &groups.groups()[unit.group()].layers();
        let mut members =
            layers.iter().map(|&layer| self.filters(layer, unit)).collect::<Result<Vec<_>>>()?;
        for value in unit.values() {
            for reader in network.readers(value) {
                let Channels::Mixes { groups: n_groups } = network.nodes()[reader].op.traits().channels
                else {
                    continue;
                };
                let in_group = groups.shapes()[value][0] / n_groups;
                // A depthwise kernel is its own filter, and counted as one.
                if in_group > 1 {
                    let kernels = self.kernels(reader)?;
                    let columns = unit.channels_of(value).filter(|&channel| channel < in_group);
                    members.push(kernels.finish(columns.map(|column| kernels.column(column)).sum()));
                }
            }
        }
        Ok(members)
    }

    /// The norm of a unit's filters in one layer, over the input channels that count.
    fn filters(&self, layer: usize, unit: &Unit) -> Result<f64> {
        let network = self.cut.groups().network();
        let kernels = self.kernels(layer)?;
        let columns = match self.config.selection {
            super::Selection::Independent => None,
            super::Selection::Greedy => {
                let mut kept = self.cut.kept(network.reads(layer)[0]);
                kept.retain(|&channel| channel < kernels.n_columns);
                // A depthwise filter has one column, which is its own.
                (kernels.n_columns > 1).then_some(kept)
            }
        };
        let rows = unit.channels_of(network.value_of_node(layer));
        Ok(kernels.finish(rows.map(|row| kernels.row(row, columns.as_deref())).sum()))
    }

    fn kernels(&self, layer: usize) -> Result<Rc<Kernels>> {
        if let Some(kernels) = self.kernels.borrow().get(&layer) {
            return Ok(kernels.clone());
        }
        let node: &Node = &self.cut.groups().network().nodes()[layer];
        let name = node.param("weight");
        let kernels = Rc::new(Kernels::of(self.params.tensor(&name)?, self.config.norm)?);
        if kernels.sums.iter().any(|sum| sum.is_nan()) {
            return Err(Error::invalid(name, "numbers", "NaN"));
        }
        self.kernels.borrow_mut().insert(layer, kernels.clone());
        Ok(kernels)
    }
}
