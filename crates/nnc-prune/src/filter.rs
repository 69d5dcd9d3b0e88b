//! Filter pruning: whole filters with small norms leave the network.
//!
//! [`choose`] ranks the filters of the named layers and says which channels go; [`surgery::apply`] takes them out. [`prune`] is
//! both. Pruned once it is Li's one-shot pruning; called again on its own result, with retraining between, the iterative one.
//!
//! # Source
//! Li, Kadav, Durdanovic, Samet, Graf, "Pruning Filters for Efficient ConvNets", ICLR 2017, §3.

mod lead;
mod score;

use nnc_core::network::Network;
use nnc_core::params::Params;
use nnc_core::rng::Rng;
use nnc_core::{Error, Result};

use crate::group::{Cut, Groups};
use crate::{select, surgery};
use score::Scores;
pub use score::filter_norms;

/// How the weights of a filter become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Norm {
    /// `Σ |w|` (Li, §3.1).
    #[default]
    L1,
    /// `√Σ w²` (Li, §4.5: no noticeable difference).
    L2,
}

/// Which filters go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Those with the smallest norm.
    #[default]
    Smallest,
    /// Those with the largest norm: a control.
    Largest,
    /// Drawn with this seed: a control.
    Random {
        /// The same seed draws the same filters of a layer, whatever else is pruned.
        seed: u64,
    },
}

/// What the norms of a layer count when the layer before it is pruned in the same call (Li, §3.2, figure 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Selection {
    /// All input channels.
    #[default]
    Independent,
    /// Only the input channels that stay.
    Greedy,
}

/// Whose norms decide where a residual ties the filters of several layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Coupled {
    /// The shortcut's projection (Li, §3.3). Where the shortcut is the identity, or two projections meet, nothing decides, and to
    /// name such a layer is an error.
    #[default]
    Projection,
    /// The sum over every weight that goes: filters of the layers, and kernels of the layers that read them (DepGraph, §3.3).
    Sum,
    /// The mean over the same.
    Mean,
}

/// How filters are chosen; the default is Li's one-shot pruning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilterConfig {
    /// What measures a filter.
    pub norm: Norm,
    /// Which end of the ranking goes.
    pub order: Order,
    /// What several pruned layers know of each other.
    pub selection: Selection,
    /// Whose norms decide in a residual.
    pub coupled: Coupled,
    /// Kept filters are rounded up to a multiple of this (8 or 16 for a kernel's tile), as far as there are so many; 1 for no
    /// rounding.
    pub multiple: usize,
}

impl Default for FilterConfig {
    fn default() -> Self {
        Self {
            norm: Norm::default(),
            order: Order::default(),
            selection: Selection::default(),
            coupled: Coupled::default(),
            multiple: 1,
        }
    }
}

/// The network and parameters without the share of filters named for each layer: [`choose`], then
/// [`surgery::apply`].
///
/// # Errors
/// As [`choose`] and [`surgery::apply`].
///
/// # Example
/// ```
/// use nnc_core::candle::Device;
/// use nnc_core::network::zoo::{LeNetConfig, lenet_5};
/// use nnc_prune::filter::{self, FilterConfig};
/// let (network, specs) = lenet_5(&LeNetConfig::default())?;
/// let params = specs.init(1, &Device::Cpu)?;
/// let layers = [("conv1", 0.5), ("conv2", 0.3)];
/// let (small, small_params) = filter::prune(&network, &params, &layers, &FilterConfig::default())?;
/// assert_eq!(small_params.tensor("conv2.weight")?.dims(), [35, 10, 5, 5]);
/// // Each map of `conv2` is 4 × 4 numbers to the linear layer.
/// assert_eq!(small_params.tensor("ip1.weight")?.dims(), [500, 35 * 16]);
/// assert!(small.cost(&small_params)?.total().macs * 2 < network.cost(&params)?.total().macs);
/// # Ok::<(), nnc_core::Error>(())
/// ```
pub fn prune(
    network: &Network,
    params: &Params,
    layers: &[(&str, f64)],
    config: &FilterConfig,
) -> Result<(Network, Params)> {
    let groups = Groups::of(network, params)?;
    surgery::apply(&choose(&groups, params, layers, config)?, params)
}

/// Chooses the filters to cut: of each named layer the given share, in `[0, 1)`, rounded so that
/// `floor(n · (1 - share))` of its `n` filters stay.
///
/// Layers are taken in the order of the network, whatever order they are named in. Channels that can only be cut together
/// count as one: of a layer in groups, the same filter of every group. Where several named layers share channels, the first decides,
/// and a later one cuts only what it still lacks. Of equal norms, the lower index goes first.
///
/// Cost: one pass over the weights of the layers.
///
/// # Errors
/// [`Error::NotFound`] for a name that is no layer, with those there are; [`Error::InvalidArgument`] for a share outside
/// `[0, 1)` or that leaves nothing, a layer named twice, a multiple of 0, channels that cannot be cut (naming what holds
/// them), a residual in which nothing decides (naming the layers), or a weight that is not a number.
pub fn choose<'a>(
    groups: &'a Groups<'a>,
    params: &Params,
    layers: &[(&str, f64)],
    config: &FilterConfig,
) -> Result<Cut<'a>> {
    if config.multiple == 0 {
        return Err(Error::invalid("multiple", "at least 1", 0));
    }
    let mut named = Vec::with_capacity(layers.len());
    for &(name, share) in layers {
        if !(0.0..1.0).contains(&share) {
            return Err(Error::invalid(format!("share of `{name}`"), "a number in [0, 1)", share));
        }
        let node_idx = groups.layer(name)?;
        if named.iter().any(|&(other, _)| other == node_idx) {
            return Err(Error::invalid("layers", "each named once", format!("`{name}` twice")));
        }
        named.push((node_idx, share));
    }
    named.sort_by_key(|&(node_idx, _)| node_idx);
    let mut cut = groups.cut();
    for (node_idx, share) in named {
        choose_in(node_idx, share, params, config, &mut cut)?;
    }
    Ok(cut)
}

/// Cuts the share of one layer's filters.
fn choose_in(
    node_idx: usize,
    share: f64,
    params: &Params,
    config: &FilterConfig,
    cut: &mut Cut<'_>,
) -> Result<()> {
    let groups = cut.groups();
    let network = groups.network();
    let name = &network.nodes()[node_idx].name;
    let of_channels = groups.units_of(network.value_of_node(node_idx));
    let mut units = of_channels.to_vec();
    units.sort_unstable();
    units.dedup();
    let n_kept = n_kept(units.len(), share, of_channels.len() / units.len(), config.multiple);
    if n_kept == 0 {
        return Err(Error::invalid(format!("share of `{name}`"), "one that leaves a filter", share));
    }
    let n_cut = units.iter().filter(|&&unit| cut.cuts(unit)).count();
    let Some(n_more) = (units.len() - n_kept).checked_sub(n_cut).filter(|&n| n > 0) else { return Ok(()) };
    let free: Vec<usize> = units
        .iter()
        .copied()
        .filter(|&unit| !cut.cuts(unit) && groups.group_of(unit).held().is_none())
        .collect();
    if free.len() < n_more {
        let held = units.iter().find_map(|&unit| groups.group_of(unit).held());
        return Err(held.expect("units that are neither cut nor free are held").error(name));
    }
    let scores = match config.order {
        Order::Random { seed } => {
            let mut rng = Rng::keyed(seed, &format!("filter/{name}"), &[]);
            free.iter().map(|_| rng.uniform()).collect()
        }
        Order::Smallest => Scores::new(config, params, cut).of(&free)?,
        Order::Largest => Scores::new(config, params, cut).of(&free)?.iter().map(|score| -score).collect(),
    };
    let mask = select::largest(&scores, &[free.len()], free.len() - n_more)?;
    (0..free.len()).filter(|&i| !mask.keeps(i)).for_each(|i| cut.unit(free[i]));
    Ok(())
}

/// How many of `n` units of `width` filters each stay.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "share is in [0, 1), so the product is a count"
)]
fn n_kept(n: usize, share: f64, width: usize, multiple: usize) -> usize {
    // 10 · (1 - 0.9) is a hair under 1.
    let kept = (n as f64 * (1.0 - share) + 1e-9).floor() as usize;
    // The fewest units whose filters make up a multiple.
    let step = (1..=multiple).find(|units| (units * width).is_multiple_of(multiple)).unwrap_or(multiple);
    kept.next_multiple_of(step).min(n)
}

#[cfg(test)]
mod tests;
