//! The paper's comparisons, each with everything else equal: penalties, rounds, survivors, dropout, freezing.

use anyhow::Result;
use nnc_core::candle::Device;
use nnc_core::network::Network;
use nnc_core::network::zoo::{LeNetConfig, lenet_300_100};
use nnc_core::params::{ParamSpecs, Params};
use nnc_core::source::VarSource;
use nnc_prune::regularizer::Penalty;
use nnc_prune::{FrozenSource, Gradient, MaskedSource, Masks, dropout};

use super::lab::{Course, Lab, masked, masks_by_quality};
use super::plan::{CONTROL, L1, L2, Model, RATE, RATE_LENET_5, RETRAINING_RATE, Study};
use super::tables::LENET_5;

/// Dropout's ratio of the network that has it.
const DROPOUT: f32 = 0.5;

/// Validation errors in per cent against the density.
#[derive(Debug)]
pub(super) struct Curve {
    pub(super) name: &'static str,
    /// (density, error), falling.
    pub(super) points: Vec<(f64, f64)>,
}

impl Curve {
    /// The error at one of the densities that were run.
    pub(super) fn at(&self, density: f64) -> Option<f64> {
        self.points.iter().find(|point| point.0 == density).map(|point| point.1)
    }
}

/// What the comparisons on LeNet-300-100 gave.
#[derive(Debug)]
pub(super) struct Comparison {
    /// Validation errors of the dense networks trained with L1 and L2.
    pub(super) dense: [f64; 2],
    /// `l1`, `l2` (not retrained), `l1-retrained`, `l2-retrained`, `l2-iterative`.
    pub(super) curves: Vec<Curve>,
    /// At the last density: one pruning, retrained for as long as all iterations together.
    pub(super) one_shot_as_long: f64,
    /// At [`CONTROL`]: survivors drawn anew and trained at the first rate.
    pub(super) reinitialised: f64,
    /// At [`CONTROL`], trained with dropout: its ratio adjusted, and not.
    pub(super) dropout: [f64; 2],
    /// The dense network, trained with L2.
    pub(super) network: Network,
    pub(super) params: Params,
}

/// What freezing gave on LeNet-5, all at the paper's densities.
#[derive(Debug)]
pub(super) struct Freezing {
    pub(super) dense: f64,
    /// Linear layers pruned and retrained, then convolutions, each with the other part frozen.
    pub(super) frozen: f64,
    /// The same without freezing.
    pub(super) free: f64,
}

/// A penalty with its weight in the loss.
type Weighted = (f64, Penalty);

/// The names of both penalties' curves, plain and retrained.
const NAMES: [[&str; 2]; 2] = [["l1", "l1-retrained"], ["l2", "l2-retrained"]];

pub(super) fn compare(lab: &Lab<'_>, study: &Study) -> Result<Comparison> {
    let (network, specs) = Model::LeNet300.build(lab.data.train())?;
    let mut dense = [0.0; 2];
    let mut curves = Vec::new();
    let mut params = Params::new();
    for (i, penalty) in [(L1, Penalty::l1()), (L2, Penalty::l2())].into_iter().enumerate() {
        let [plain, retrained] = NAMES[i];
        let name = format!("dense-{plain}");
        let first = Course { name: &name, n_epochs: study.n_dense, lr: RATE, penalty, epoch_cost: 1.0 };
        (params, dense[i]) =
            lab.fit(first, &network, VarSource::new(&specs.init(lab.seed, &Device::Cpu)?)?)?;
        let [mut before, mut after] = [plain, retrained].map(|name| Curve { name, points: Vec::new() });
        for &density in study.densities {
            let masks = masks_by_quality(&params, density)?;
            before.points.push((density, lab.error(&network, &masked(&params, &masks)?)?));
            let name = format!("{retrained}-{density}");
            let (_, error) = lab.retrain(retraining(&name, study, penalty), &network, &params, masks)?;
            after.points.push((density, error));
        }
        curves.extend([before, after]);
    }
    let l2 = (L2, Penalty::l2());
    curves.push(iterate(lab, study, &network, &params, l2)?);
    let last = study.densities[study.densities.len() - 1];
    let long = Course {
        n_epochs: study.n_retrained * study.densities.len(),
        ..retraining("one-shot-as-long", study, l2)
    };
    let (_, one_shot_as_long) = lab.retrain(long, &network, &params, masks_by_quality(&params, last)?)?;
    let reinitialised = reinitialise(lab, study, &network, &specs, &params)?;
    let dropout = adjust_dropout(lab, study)?;
    Ok(Comparison { dense, curves, one_shot_as_long, reinitialised, dropout, network, params })
}

/// Retraining at a tenth of the first rate.
fn retraining<'a>(name: &'a str, study: &Study, penalty: Weighted) -> Course<'a> {
    Course { name, n_epochs: study.n_retrained, lr: RETRAINING_RATE * RATE, penalty, epoch_cost: 1.0 }
}

/// Prunes and retrains from one density to the next.
fn iterate(
    lab: &Lab<'_>,
    study: &Study,
    network: &Network,
    dense: &Params,
    penalty: Weighted,
) -> Result<Curve> {
    let mut curve = Curve { name: "l2-iterative", points: Vec::new() };
    let (mut params, mut error);
    params = dense.clone();
    for &density in study.densities {
        let masks = masks_by_quality(&params, density)?;
        let name = format!("iterative-{density}");
        (params, error) = lab.retrain(retraining(&name, study, penalty), network, &params, masks)?;
        curve.points.push((density, error));
    }
    Ok(curve)
}

/// The control: the same connections, their weights drawn anew and trained as the dense network was, for as long as the
/// survivors retrain.
fn reinitialise(
    lab: &Lab<'_>,
    study: &Study,
    network: &Network,
    specs: &ParamSpecs,
    dense: &Params,
) -> Result<f64> {
    let masks = masks_by_quality(dense, CONTROL)?;
    let fresh = specs.init(lab.seed.wrapping_add(1), &Device::Cpu)?;
    let course = Course { lr: RATE, ..retraining("reinitialised", study, (L2, Penalty::l2())) };
    Ok(lab.retrain(course, network, &fresh, masks)?.1)
}

/// A network trained with dropout, pruned, and retrained with the adjusted and with the original ratio.
fn adjust_dropout(lab: &Lab<'_>, study: &Study) -> Result<[f64; 2]> {
    let train = lab.data.train();
    let config = LeNetConfig { image: train.shape(), classes: train.n_classes(), dropout: Some(DROPOUT) };
    let (original, specs) = lenet_300_100(&config)?;
    let l2 = (L2, Penalty::l2());
    let first =
        Course { name: "dense-dropout", n_epochs: study.n_dense, lr: RATE, penalty: l2, epoch_cost: 1.0 };
    let (params, _) = lab.fit(first, &original, VarSource::new(&specs.init(lab.seed, &Device::Cpu)?)?)?;
    let masks = masks_by_quality(&params, CONTROL)?;
    let mut adjusted = original.clone();
    dropout::adjust(&mut adjusted, &original, |name| masks.get(name).map(|mask| mask.density()))?;
    let mut errors = [0.0; 2];
    for (error, (name, network)) in
        errors.iter_mut().zip([("dropout-adjusted", &adjusted), ("dropout-as-before", &original)])
    {
        // A source of its own: the masks of one fit are not another's.
        let masks = masks_by_quality(&params, CONTROL)?;
        *error = lab.retrain(retraining(name, study, l2), network, &params, masks)?.1;
    }
    Ok(errors)
}

/// A fit of LeNet-5.
fn retraining_lenet_5<'a>(name: &'a str, study: &Study) -> Course<'a> {
    let (lr, penalty) = (RETRAINING_RATE * RATE_LENET_5, (L2, Penalty::l2()));
    Course { name, n_epochs: study.n_lenet_5, lr, penalty, epoch_cost: Model::LeNet5.step_cost() }
}

/// A trained LeNet-5: prune one part and retrain it, then the other; with the rest frozen, and not.
pub(super) fn freeze(lab: &Lab<'_>, study: &Study, network: &Network, dense: &Params) -> Result<Freezing> {
    let mut errors = [0.0; 2];
    for (error, is_freezing) in errors.iter_mut().zip([true, false]) {
        let (mut params, masks) = (dense.clone(), Masks::new());
        for (part, other) in [("ip", "conv"), ("conv", "ip")] {
            for layer in LENET_5.layers.iter().filter(|layer| layer.name.starts_with(part)) {
                let name = format!("{}.weight", layer.name);
                masks.set(&name, nnc::pipeline::prune(params.tensor(&name)?, layer.goal(), 0.0)?)?;
            }
            let source = MaskedSource::new(VarSource::new(&params)?, masks.clone(), Gradient::Masked)?;
            let how = if is_freezing { "frozen" } else { "free" };
            let name = format!("lenet-5-{part}-{how}");
            let course = retraining_lenet_5(&name, study);
            (params, *error) = if is_freezing {
                lab.fit(course, network, FrozenSource::new(source, |name| name.starts_with(other))?)?
            } else {
                lab.fit(course, network, source)?
            };
        }
    }
    let [frozen, free] = errors;
    Ok(Freezing { dense: lab.error(network, dense)?, frozen, free })
}
