//! What to prune where: a sparsity per layer that meets a budget for the whole network.

use nnc_core::network::{Network, Op};
use nnc_core::params::Params;
use nnc_core::{Error, Result};

use super::Row;
use crate::granularity::Granularity;
use crate::threshold::named;

/// What the whole network must come down to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Budget {
    /// At least this share of all weights pruned, in `[0, 1)`.
    Sparsity(f64),
    /// At most so many multiply-accumulates a sample, where a pruned weight costs none.
    ///
    /// Counted are a layer's own: that the next layer reads fewer maps once filters are gone comes on top.
    Macs(u64),
}

/// What a weight costs while it is dense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Size {
    /// Its name.
    pub parameter: String,
    /// Its entries.
    pub n_weights: u64,
    /// Multiply-accumulates a sample; each entry takes part in equally many.
    pub macs: u64,
    /// The groups that its entries are pruned in; they divide them evenly.
    pub n_groups: u64,
}

/// The sizes of the weights of all convolutions and linear layers.
///
/// # Errors
/// Those of shape inference; [`Error::InvalidArgument`] when `granularity` does not fit a weight.
pub fn sizes(network: &Network, params: &Params, granularity: Granularity) -> Result<Vec<Size>> {
    let cost = network.cost(params)?;
    let mut sizes = Vec::new();
    for (node, cost) in network.nodes().iter().zip(&cost.nodes) {
        if matches!(node.op, Op::Conv2d { .. } | Op::Linear { .. }) {
            let parameter = node.param("weight");
            let groups = granularity.groups(params.tensor(&parameter)?.dims());
            let n_groups = groups.map_err(|error| named(&parameter, error))?.len() as u64;
            sizes.push(Size { parameter, n_weights: cost.weights, macs: cost.macs, n_groups });
        }
    }
    Ok(sizes)
}

/// A sparsity for each layer that has a curve.
#[derive(Debug, Clone, PartialEq)]
pub struct Allocation {
    /// Names and sparsities, in the order of the curves.
    pub layers: Vec<(String, f64)>,
    /// The sum over the layers of what their curves say the loss rises by, in nats.
    pub loss_increase: f64,
    /// The share of all weights that is pruned.
    pub sparsity: f64,
    /// The multiply-accumulates that are left.
    pub macs: u64,
}

/// Chooses one of the measured sparsities for each layer, so that the budget is met and little is lost.
///
/// What is to be small is `Σ (loss(s) - loss(0))` over the layers, as if what one layer loses did not depend on the others. From
/// the dense network on, the step is taken that costs the least loss for each weight (or multiply-accumulate) it saves, along the
/// lower convex hull of each layer's curve, until the budget is met; then any layer that can go back to a measured sparsity of
/// less loss within the budget does, the one that regains the most first. So the sum is above the least possible by no more than
/// the last step before the budget was met cost. Of equals the first layer goes first: the result is always the same.
///
/// `sizes` is of the whole network; a weight without a curve stays dense and counts.
///
/// # Errors
/// [`Error::NotFound`] for a curve of a weight that `sizes` lacks, [`Error::InvalidArgument`] for a budget that is out of range
/// or that the highest measured sparsities do not meet, for a curve without its baseline (sparsity 0), and for a loss that is no
/// finite number.
pub fn allocate(rows: &[Row], sizes: &[Size], budget: Budget) -> Result<Allocation> {
    let total = |figure: fn(&Size) -> u64| sizes.iter().map(figure).sum::<u64>();
    let (n_weights, macs) = (total(|size| size.n_weights), total(|size| size.macs));
    let goal = match budget {
        Budget::Sparsity(sparsity) => {
            crate::schedule::check_sparsity("sparsity of the budget", sparsity)?;
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share of a count is a count"
            )]
            let n_pruned = (sparsity * n_weights as f64).ceil() as u64;
            n_pruned
        }
        Budget::Macs(most) => macs.saturating_sub(most),
    };
    let curves = curves(rows, sizes, budget)?;
    let choice = choose(&curves, goal)?;
    let chosen = || curves.iter().zip(&choice).map(|(curve, &i)| (curve.size, &curve.levels[i]));
    let n_pruned: u64 = chosen().map(|(size, level)| size.pruned(level.sparsity)).sum();
    let saved: u64 = chosen().map(|(size, level)| size.saved_macs(level.sparsity)).sum();
    Ok(Allocation {
        layers: chosen().map(|(size, level)| (size.parameter.clone(), level.sparsity)).collect(),
        loss_increase: chosen().map(|(_, level)| level.loss).sum(),
        sparsity: if n_weights == 0 { 0.0 } else { n_pruned as f64 / n_weights as f64 },
        macs: macs - saved,
    })
}

impl Size {
    pub(super) fn pruned(&self, sparsity: f64) -> u64 {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a sparsity in [0, 1) of a count is a count"
        )]
        let n_groups = (sparsity * self.n_groups as f64).floor() as u64;
        n_groups * self.n_weights.checked_div(self.n_groups).unwrap_or(0)
    }

    fn saved_macs(&self, sparsity: f64) -> u64 {
        self.pruned(sparsity) * self.macs.checked_div(self.n_weights).unwrap_or(0)
    }
}

/// One layer's measured points, by sparsity.
struct Curve<'a> {
    size: &'a Size,
    levels: Vec<Level>,
}

struct Level {
    sparsity: f64,
    /// In the unit of the budget.
    saving: u64,
    /// Above the baseline.
    loss: f64,
}

fn curves<'a>(rows: &[Row], sizes: &'a [Size], budget: Budget) -> Result<Vec<Curve<'a>>> {
    let mut curves: Vec<Curve<'a>> = Vec::new();
    for row in rows {
        crate::schedule::check_sparsity(&format!("sparsity of `{}`", row.parameter), row.sparsity)?;
        if !row.score.loss.is_finite() {
            return Err(Error::invalid(
                format!("loss of `{}`", row.parameter),
                "a finite number",
                row.score.loss,
            ));
        }
        let known = curves.iter().position(|curve| curve.size.parameter == row.parameter);
        let curve_idx = match known {
            Some(curve_idx) => curve_idx,
            None => {
                let size = sizes.iter().find(|size| size.parameter == row.parameter);
                let size = size.ok_or_else(|| {
                    let known = sizes.iter().map(|size| size.parameter.clone());
                    Error::not_found("size", &row.parameter, known)
                })?;
                curves.push(Curve { size, levels: Vec::new() });
                curves.len() - 1
            }
        };
        let Curve { size, levels } = &mut curves[curve_idx];
        let saving = match budget {
            Budget::Sparsity(_) => size.pruned(row.sparsity),
            Budget::Macs(_) => size.saved_macs(row.sparsity),
        };
        levels.push(Level { sparsity: row.sparsity, saving, loss: row.score.loss });
    }
    for Curve { size, levels } in &mut curves {
        levels.sort_by(|a, b| a.sparsity.total_cmp(&b.sparsity));
        let baseline = match levels.first() {
            Some(level) if level.sparsity == 0.0 => level.loss,
            _ => {
                let what = format!("curve of `{}`", size.parameter);
                return Err(Error::invalid(what, "a point at sparsity 0", "none"));
            }
        };
        levels.iter_mut().for_each(|level| level.loss -= baseline);
    }
    Ok(curves)
}

/// The index of a level for each curve.
fn choose(curves: &[Curve<'_>], goal: u64) -> Result<Vec<usize>> {
    let most: u64 = curves.iter().map(|curve| curve.levels.iter().map(|l| l.saving).max().unwrap_or(0)).sum();
    if most < goal {
        let expected = format!("one that the measured sparsities meet: they save at most {most}");
        return Err(Error::invalid("budget", expected, format!("one that needs {goal} saved")));
    }
    let mut choice = vec![0; curves.len()];
    let saved = |choice: &[usize]| -> u64 {
        curves.iter().zip(choice).map(|(curve, &i)| curve.levels[i].saving).sum()
    };
    while saved(&choice) < goal {
        let steps = (0..curves.len()).filter_map(|c| Some((c, curves[c].next_on_hull(choice[c])?)));
        let Some((c, step)) = steps.min_by(|(_, a), (_, b)| a.slope.total_cmp(&b.slope)) else {
            unreachable!("the last point of each hull saves the most")
        };
        choice[c] = step.to;
    }
    // Back where it costs nothing: the last step may have overshot.
    loop {
        let surplus = saved(&choice) - goal;
        let mut best: Option<(usize, usize, f64)> = None;
        for (c, curve) in curves.iter().enumerate() {
            let now = &curve.levels[choice[c]];
            for (i, level) in curve.levels.iter().enumerate() {
                let regained = now.loss - level.loss;
                let fits = level.saving + surplus >= now.saving;
                if fits && regained > 0.0 && best.is_none_or(|(_, _, most)| regained > most) {
                    best = Some((c, i, regained));
                }
            }
        }
        match best {
            Some((c, i, _)) => choice[c] = i,
            None => return Ok(choice),
        }
    }
}

/// A step along a hull.
struct HullStep {
    to: usize,
    /// Loss per unit saved.
    slope: f64,
}

impl Curve<'_> {
    /// From the level `from` on the hull, the next one: least loss per unit saved, of equals the farthest.
    fn next_on_hull(&self, from: usize) -> Option<HullStep> {
        let start = &self.levels[from];
        let mut best: Option<HullStep> = None;
        for (to, level) in self.levels.iter().enumerate().filter(|(_, level)| level.saving > start.saving) {
            let slope = (level.loss - start.loss) / (level.saving - start.saving) as f64;
            let is_better = best.as_ref().is_none_or(|best| {
                slope < best.slope || slope == best.slope && level.saving > self.levels[best.to].saving
            });
            if is_better {
                best = Some(HullStep { to, slope });
            }
        }
        best
    }
}
