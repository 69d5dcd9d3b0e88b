//! Pruning along a schedule while a network trains.

use std::fmt;

use nnc_core::candle::Tensor;
use nnc_core::train::{Callback, Learner, Optimizer, StepEnd};
use nnc_core::{Error, Result};

use crate::granularity::{Granularity, Groups, Reduction};
use crate::importance::magnitude::magnitude;
use crate::layers::{check_in_use, matching, variable};
use crate::mask::Mask;
use crate::masked_source::Masks;
use crate::schedule::SparsitySchedule;
use crate::select;
use crate::threshold::named;

/// Which scores are compared with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Those of one weight: each has the sparsity of the schedule.
    PerLayer,
    /// Those of all weights together: the share pruned of all groups is that of the schedule.
    ///
    /// Groups of unequal size are compared fairly with [`Reduction::Mean`].
    Global,
}

/// What a [`Pruner`] prunes, when and how.
#[derive(Debug, Clone, PartialEq)]
pub struct PrunerConfig {
    /// Patterns of the weights; `*` stands for any characters.
    pub patterns: Vec<String>,
    /// The share of groups pruned over time.
    pub schedule: SparsitySchedule,
    /// What is pruned as one.
    pub granularity: Granularity,
    /// How the scores of a group become one.
    pub reduction: Reduction,
    /// Which scores are compared.
    pub scope: Scope,
}

impl PrunerConfig {
    /// Single weights, each layer by itself.
    pub fn new(patterns: &[&str], schedule: SparsitySchedule) -> Self {
        Self {
            patterns: patterns.iter().map(|&pattern| pattern.to_owned()).collect(),
            schedule,
            granularity: Granularity::Element,
            reduction: Reduction::Mean,
            scope: Scope::PerLayer,
        }
    }
}

/// Scores of the entries of a weight, given its name and the values of its variable.
type Scores = dyn Fn(&str, &Tensor) -> Result<Vec<f32>> + Send + Sync;

/// Recomputes masks at the updates of a schedule, lowest scores first; what is pruned stays pruned.
///
/// Exactly `floor(sparsity · groups)` groups are pruned, of each weight or of all together. It has no state of its own: masks
/// are saved by the [`MaskedSource`](crate::MaskedSource), and sparsities follow from the step, so a resumed run is exact.
/// A [`KeepBest`](nnc_core::train::KeepBest) in the same run may end with an epoch before the last update, and so with its
/// masks: let its score be −∞ while the masks are denser than the schedule's end.
///
/// # Example
/// Half of the weights `ip1.weight` and `ip2.weight`, by magnitude, gradually over the first 100 steps:
/// ```
/// # use nnc_core::{candle::Device, network::Network, source::VarSource, train::Trainee};
/// use nnc_prune::{Gradient, MaskedSource, Masks, Pruner, PrunerConfig, SparsitySchedule};
/// # let (network, specs) = Network::builder().input("x", &[4]).linear("ip1", 8).relu("r").linear("ip2", 2).output("logits").build()?;
/// # let source = VarSource::new(&specs.init(1, &Device::Cpu)?)?;
/// let masks = Masks::new();
/// let trainee = Trainee::new(network, MaskedSource::new(source, masks.clone(), Gradient::Masked)?);
/// let schedule = SparsitySchedule::zhu_gupta_2017(0.5, 0, 10, 10);
/// let pruner = Pruner::new(&trainee, &masks, PrunerConfig::new(&["ip*.weight"], schedule))?;
/// pruner.prune(&trainee, 50)?; // as a callback of `fit` it does so by itself
/// assert_eq!(masks.get("ip1.weight").expect("it is pruned").n_kept(), 32 - 14); // ⌊0.4375 · 32⌋
/// # Ok::<(), nnc_core::Error>(())
/// ```
pub struct Pruner {
    masks: Masks,
    layers: Vec<(String, Groups)>,
    config: PrunerConfig,
    scores: Box<Scores>,
}

impl Pruner {
    /// Prunes by magnitude the weights of `learner` that match.
    ///
    /// # Errors
    /// [`Error::NoMatch`] for a pattern that matches no weight, [`Error::InvalidArgument`] for a schedule out of its range, a
    /// granularity that does not fit a weight or that fixes its own sparsity (N:M, strided), and masks that no source uses.
    pub fn new<L: Learner + ?Sized>(learner: &L, masks: &Masks, config: PrunerConfig) -> Result<Self> {
        config.schedule.check()?;
        check_in_use(masks, None)?;
        if config.granularity.quota().is_some() {
            let expected = "one whose sparsity a schedule may choose";
            return Err(Error::invalid("granularity", expected, config.granularity));
        }
        let mut layers = Vec::new();
        for name in matching(learner, &config.patterns)? {
            let groups = config.granularity.groups(variable(learner, &name)?.dims());
            layers.push((name.clone(), groups.map_err(|error| named(&name, error))?));
        }
        let scores = Box::new(|_: &str, weight: &Tensor| magnitude(weight));
        Ok(Self { masks: masks.clone(), layers, config, scores })
    }

    /// The same with other scores: a pure function of a weight's name and values, higher for what matters more.
    #[must_use]
    pub fn with_scores(
        self,
        scores: impl Fn(&str, &Tensor) -> Result<Vec<f32>> + Send + Sync + 'static,
    ) -> Self {
        Self { scores: Box::new(scores), ..self }
    }

    /// The names of the weights that are pruned.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.layers.iter().map(|(name, _)| name.as_str())
    }

    /// Sets the masks to have once `step` steps are done; before the first, to prune at step 0, it is called by hand.
    ///
    /// # Errors
    /// Those of the scores; [`Error::InvalidArgument`] for a score that is not a number, or when nothing of a weight would be left.
    pub fn prune<L: Learner + ?Sized>(&self, learner: &L, step: usize) -> Result<()> {
        let mut scores = Vec::with_capacity(self.layers.len());
        for (name, groups) in &self.layers {
            scores.push(self.group_scores(learner, name, groups)?);
        }
        let shapes: Vec<[usize; 1]> = self.layers.iter().map(|(_, groups)| [groups.len()]).collect();
        let layers: Vec<select::Layer<'_>> = (self.layers.iter().zip(&scores).zip(&shapes))
            .map(|(((name, _), scores), shape)| select::Layer { name, scores, shape })
            .collect();
        let sparsity = self.config.schedule.sparsity(step);
        let choices = match self.config.scope {
            Scope::Global => select::global(&layers, sparsity)?,
            Scope::PerLayer => {
                let each = layers.iter().map(|layer| Ok(select::global(&[*layer], sparsity)?.remove(0)));
                each.collect::<Result<_>>()?
            }
        };
        for ((name, groups), choice) in self.layers.iter().zip(choices) {
            self.set(name, groups.expand(&choice)?)?;
        }
        Ok(())
    }

    /// One score per group, the lowest there is for groups of which nothing is left.
    fn group_scores<L: Learner + ?Sized>(
        &self,
        learner: &L,
        name: &str,
        groups: &Groups,
    ) -> Result<Vec<f32>> {
        let var = variable(learner, name)?;
        let mut scores = (self.scores)(name, var.as_tensor()).map_err(|error| named(name, error))?;
        let Some(mask) = self.masks.get(name) else {
            return Ok(groups.reduce(&scores, self.config.reduction)?.into_owned());
        };
        // What is pruned adds nothing to its group: its value behind the mask means nothing any more.
        for flat_idx in mask.bits().iter_zeros() {
            if let Some(score) = scores.get_mut(flat_idx) {
                *score = 0.0;
            }
        }
        let mut scores = groups.reduce(&scores, self.config.reduction)?.into_owned();
        for group in groups.touched(&mask)?.bits().iter_zeros() {
            scores[group] = f32::NEG_INFINITY;
        }
        Ok(scores)
    }

    fn set(&self, name: &str, mask: Mask) -> Result<()> {
        let mask = match self.masks.get(name) {
            Some(before) => mask.and(&before)?,
            None => mask,
        };
        if mask.n_kept() == 0 {
            let expected = format!("one that leaves something of `{name}`");
            return Err(Error::invalid("sparsity", expected, "one that prunes all of it"));
        }
        self.masks.set(name, mask)
    }
}

impl fmt::Debug for Pruner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pruner")
            .field("masks", &self.masks)
            .field("layers", &self.layers)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl<L: Learner + ?Sized> Callback<L> for Pruner {
    fn on_step(&mut self, learner: &mut L, _optimizer: &mut Optimizer, event: &StepEnd) -> Result<()> {
        let step = event.n_steps_done;
        if self.config.schedule.is_update(step) { self.prune(learner, step) } else { Ok(()) }
    }
}
