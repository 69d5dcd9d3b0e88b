//! Table 1: both LeNets pruned and retrained, written to a file, read back and tested.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};
use nnc::archive::{Archive, Ledger, Meta, ledger};
use nnc::deep_compression::{Compressed, Job, evaluate, run};
use nnc::recipe::Recipe;
use nnc_core::candle::{Device, Tensor};
use nnc_core::data::{Dataset, Normalization, Splits};
use nnc_core::network::Network;
use nnc_core::params::Params;
use nnc_core::source::{Step, VarSource};
use nnc_core::tap::{Observe, Site};
use nnc_core::train::Trainee;
use nnc_prune::dead::Removed;

use super::lab::error_on;
use super::plan::Model;
use crate::experiment::{Context, Progress, Told};

/// A pruned network in its file, not tested yet.
pub(super) struct Finished {
    pub(super) model: Model,
    pub(super) network: Network,
    pub(super) dense: Params,
    layers: Vec<LayerLeft>,
    dead: Removed,
    file: PathBuf,
    ledger: Ledger,
    normalization: Normalization,
}

/// A pruned network and its errors on the test set in per cent.
pub(super) struct Tested {
    pub(super) model: Model,
    pub(super) layers: Vec<LayerLeft>,
    pub(super) dead: Removed,
    pub(super) file: PathBuf,
    pub(super) ledger: Ledger,
    pub(super) dense: f64,
    /// Of the network read from the file.
    pub(super) pruned: f64,
}

/// What is left of a layer.
#[derive(Debug, Clone)]
pub(super) struct LayerLeft {
    pub(super) name: String,
    pub(super) n_weights: f64,
    pub(super) n_kept: f64,
    pub(super) flops: f64,
    /// The share of its outputs, as the next layer reads them, that are not 0, in per cent.
    pub(super) active: f64,
}

impl LayerLeft {
    pub(super) fn density(&self) -> f64 {
        100.0 * self.n_kept / self.n_weights
    }
}

pub(super) fn run_once(
    ctx: &Context,
    (model, recipe): &(Model, Recipe),
    data: &Splits,
    normalization: &Normalization,
    progress: &dyn Progress,
) -> Result<Finished> {
    let (network, specs) = model.build(data.train())?;
    let state_dir = ctx.state_dir().join(model.name());
    std::fs::create_dir_all(&state_dir).with_context(|| format!("making {}", state_dir.display()))?;
    let job =
        Job { network: &network, specs: &specs, data, normalization, recipe, state_dir: Some(&state_dir) };
    let label = format!("{}-seed{}", model.name(), recipe.seed);
    let Compressed { network, dense, pruned, stored, dead, .. } =
        run(&job, &mut Told::new(label.as_str(), progress))?;
    let layers = layers_left(&network, &pruned, data.validation(), normalization)?;
    let meta = Meta { normalization: Some(normalization.clone()) };
    let bytes = Archive { network: Some(network.clone()), weights: stored, meta }.write()?;
    let file = ctx.write(&format!("{label}.nnc"), &bytes)?;
    let (model, normalization) = (*model, normalization.clone());
    Ok(Finished { model, network, dense, layers, dead, file, ledger: ledger(&bytes)?, normalization })
}

impl Finished {
    /// Reads the file back and tests what it holds, and the dense network.
    pub(super) fn test(self, test: &Dataset) -> Result<Tested> {
        let Self { model, network, dense, layers, dead, file, ledger, normalization } = self;
        let dense = error_on(test, &normalization, &network, &dense)?;
        let read = Archive::open(&file)?;
        let network = read.network.as_ref().context("the archive was written with its network")?;
        let pruned = error_on(test, &normalization, network, &read.params(&Device::Cpu)?)?;
        Ok(Tested { model, layers, dead, file, ledger, dense, pruned })
    }
}

/// Counts each layer's weights, and on `data` how often its outputs are 0.
fn layers_left(
    network: &Network,
    pruned: &Params,
    data: &Dataset,
    normalization: &Normalization,
) -> Result<Vec<LayerLeft>> {
    let mut layers = Vec::new();
    let mut trainee = Trainee::new(network.clone(), VarSource::new(pruned)?);
    let mut outputs: Vec<Arc<NonZero>> = Vec::new();
    for node in network.cost(pruned)?.weighted() {
        let weight = pruned.tensor(&format!("{}.weight", node.name))?.flatten_all()?.to_vec1::<f32>()?;
        let n_kept = weight.iter().filter(|&&w| w != 0.0).count() as f64;
        let (name, n_weights, flops) = (node.name.clone(), node.weights as f64, node.flops() as f64);
        layers.push(LayerLeft { name, n_weights, n_kept, flops, active: 100.0 });
        if layers.len() > 1 {
            let read = Arc::new(NonZero::default());
            trainee.taps.observe(Site::input(&node.name, 0), read.clone());
            outputs.push(read);
        }
    }
    evaluate(&trainee, data, normalization)?;
    for (layer, output) in layers.iter_mut().zip(&outputs) {
        layer.active = output.percent();
    }
    Ok(layers)
}

/// Counts the numbers that pass, and those that are not 0.
#[derive(Debug, Default)]
struct NonZero {
    n: AtomicU64,
    n_non_zero: AtomicU64,
}

impl NonZero {
    fn percent(&self) -> f64 {
        100.0 * self.n_non_zero.load(Ordering::Relaxed) as f64 / self.n.load(Ordering::Relaxed).max(1) as f64
    }
}

impl Observe for NonZero {
    fn observe(&self, value: &Tensor, _: &Step) -> nnc_core::Result<()> {
        let values = value.flatten_all()?.to_vec1::<f32>()?;
        self.n.fetch_add(values.len() as u64, Ordering::Relaxed);
        self.n_non_zero.fetch_add(values.iter().filter(|&&x| x != 0.0).count() as u64, Ordering::Relaxed);
        Ok(())
    }
}
