//! Dynamic network surgery: connections are pruned, and spliced in again when they have grown.
//!
//! # Source
//! Guo, Yao, Chen, "Dynamic Network Surgery for Efficient DNNs", NIPS 2016, eq. 3 (the two thresholds), §3.3 (updates become rare
//! by `(1 + γ·step)^-power`). From memory, not checked against the paper.

use nnc_core::candle::Tensor;
use nnc_core::params::Params;
use nnc_core::rng::Rng;
use nnc_core::train::{Callback, Learner, Optimizer, StepEnd};
use nnc_core::{Error, Result};

use crate::layers::{check_in_use, matching, variable};
use crate::mask::Mask;
use crate::masked_source::{Gradient, Masks};
use crate::schedule::Updates;

/// Two thresholds on a weight's magnitude; between them an entry stays what it was, so that none flickers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hysteresis {
    /// Prune where `|w|` is below this, `a`.
    pub prune_below: f64,
    /// Restore where `|w|` is above this, `b > a`.
    pub restore_above: f64,
}

impl Hysteresis {
    /// The thresholds `a` and `b`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] unless `0 ≤ prune_below < restore_above`, both finite.
    pub fn new(prune_below: f64, restore_above: f64) -> Result<Self> {
        if !(prune_below >= 0.0 && prune_below.is_finite()) {
            return Err(Error::invalid("prune_below", "a finite number of at least 0", prune_below));
        }
        if !(restore_above > prune_below && restore_above.is_finite()) {
            return Err(Error::invalid(
                "restore_above",
                format!("a finite number above {prune_below}"),
                restore_above,
            ));
        }
        Ok(Self { prune_below, restore_above })
    }

    /// A tenth below and above `μ + rate · σ`, with μ and σ the mean and standard deviation of `|w|`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when that is not above 0 (a `rate` too far below 0, a weight of zeros, a NaN).
    pub fn guo_2016(weight: &Tensor, rate: f64) -> Result<Self> {
        let values = weight.flatten_all()?.to_vec1::<f32>()?;
        let n = values.len().max(1) as f64;
        let mean = values.iter().map(|&w| f64::from(w.abs())).sum::<f64>() / n;
        let variance = values.iter().map(|&w| (f64::from(w.abs()) - mean).powi(2)).sum::<f64>() / n;
        let middle = mean + rate * variance.sqrt();
        if !(middle > 0.0 && middle.is_finite()) {
            return Err(Error::invalid("mean + rate · deviation", "a finite number above 0", middle));
        }
        Self::new(0.9 * middle, 1.1 * middle)
    }

    /// The mask that follows `mask` when the weight, also behind the mask, is `weight`.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] when the shapes differ, [`Error::InvalidArgument`] for a NaN.
    ///
    /// # Example
    /// ```
    /// use nnc_core::candle::{Device, Tensor};
    /// use nnc_prune::{Mask, splicing::Hysteresis};
    /// let weight = Tensor::new(&[0.5_f32, -1.5, 2.5, 1.5], &Device::Cpu)?;
    /// let before = Mask::from_fn(&[4], |i| i < 2);
    /// let after = Hysteresis::new(1.0, 2.0)?.splice(&weight, &before)?;
    /// assert_eq!((0..4).map(|i| after.keeps(i)).collect::<Vec<_>>(), [false, true, true, false]);
    /// # Ok::<(), nnc_core::Error>(())
    /// ```
    pub fn splice(&self, weight: &Tensor, mask: &Mask) -> Result<Mask> {
        if weight.dims() != mask.shape() {
            return Err(Error::shape("weight", mask.shape(), weight.dims()));
        }
        let values = weight.flatten_all()?.to_vec1::<f32>()?;
        if let Some(i) = values.iter().position(|w| w.is_nan()) {
            return Err(Error::invalid("weight", "numbers", format!("NaN at flat index {i}")));
        }
        Ok(Mask::from_fn(mask.shape(), |i| match f64::from(values[i].abs()) {
            magnitude if magnitude < self.prune_below => false,
            magnitude if magnitude > self.restore_above => true,
            _ => mask.keeps(i),
        }))
    }
}

/// How often masks are spliced.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SplicingConfig {
    /// Keys the draws.
    pub seed: u64,
    /// The steps at which masks may change.
    pub updates: Updates,
    /// At such a step a layer's mask changes with probability `(1 + gamma · step)^-power`; 0 is always.
    pub gamma: f64,
    /// The exponent of that probability.
    pub power: f64,
}

impl SplicingConfig {
    /// At every one of `updates`.
    pub fn always(updates: Updates) -> Self {
        Self { seed: 0, updates, gamma: 0.0, power: 1.0 }
    }

    fn probability(&self, step: usize) -> f64 {
        (1.0 + self.gamma * step as f64).powf(-self.power)
    }
}

/// Splices masks while a network trains.
///
/// The source must let the whole gradient through ([`Gradient::StraightThrough`]): a pruned weight goes on learning, and comes
/// back when it has grown above the upper threshold. Thresholds are part of the state.
#[derive(Debug)]
pub struct Splicing {
    masks: Masks,
    layers: Vec<(String, Hysteresis)>,
    config: SplicingConfig,
}

impl Splicing {
    /// Splices the weights of `learner` that match `patterns`; `thresholds` gives each its two thresholds, from its name and its
    /// values as they are now (as [`Hysteresis::guo_2016`] does).
    ///
    /// # Errors
    /// [`Error::NoMatch`] for a pattern that matches no weight, [`Error::InvalidArgument`] for masks that no source with
    /// [`Gradient::StraightThrough`] uses or a rate of updates out of its range, and those of `thresholds`.
    pub fn new<L: Learner + ?Sized>(
        learner: &L,
        masks: &Masks,
        patterns: &[impl AsRef<str>],
        mut thresholds: impl FnMut(&str, &Tensor) -> Result<Hysteresis>,
        config: SplicingConfig,
    ) -> Result<Self> {
        config.updates.check()?;
        for (what, x) in [("gamma", config.gamma), ("power", config.power)] {
            if !(x >= 0.0 && x.is_finite()) {
                return Err(Error::invalid(what, "a finite number of at least 0", x));
            }
        }
        check_in_use(masks, Some(Gradient::StraightThrough))?;
        let mut layers = Vec::new();
        for name in matching(learner, patterns)? {
            let Hysteresis { prune_below, restore_above } =
                thresholds(&name, variable(learner, &name)?.as_tensor())?;
            layers.push((name, Hysteresis::new(prune_below, restore_above)?));
        }
        Ok(Self { masks: masks.clone(), layers, config })
    }

    /// The weights and their thresholds.
    pub fn thresholds(&self) -> &[(String, Hysteresis)] {
        &self.layers
    }
}

impl<L: Learner + ?Sized> Callback<L> for Splicing {
    fn on_step(&mut self, learner: &mut L, _optimizer: &mut Optimizer, event: &StepEnd) -> Result<()> {
        let step = event.n_steps_done;
        if !self.config.updates.contains(step) {
            return Ok(());
        }
        for (name, thresholds) in &self.layers {
            let mut rng = Rng::keyed(self.config.seed, &format!("splicing/{name}"), &[step as u64]);
            if f64::from(rng.uniform()) >= self.config.probability(step) {
                continue;
            }
            let weight = variable(learner, name)?;
            let mask = match self.masks.get(name) {
                Some(mask) => thresholds.splice(weight.as_tensor(), &mask),
                None => thresholds.splice(weight.as_tensor(), &Mask::all(weight.dims())),
            };
            self.masks.set(name, mask.map_err(|error| crate::threshold::named(name, error))?)?;
        }
        Ok(())
    }

    fn state(&self) -> Result<Params> {
        let mut state = Params::new();
        for (name, thresholds) in &self.layers {
            state.insert_number(&format!("prune_below/{name}"), thresholds.prune_below)?;
            state.insert_number(&format!("restore_above/{name}"), thresholds.restore_above)?;
        }
        Ok(state)
    }

    fn load_state(&mut self, state: &Params) -> Result<()> {
        for (name, thresholds) in &mut self.layers {
            let number = |what: &str| state.number(&format!("{what}/{name}"));
            *thresholds = Hysteresis::new(number("prune_below")?, number("restore_above")?)?;
        }
        Ok(())
    }
}
