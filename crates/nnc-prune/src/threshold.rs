//! Distiller's sensitivity pruner: a threshold per layer, measured once and applied again and again.

use nnc_core::params::Params;
use nnc_core::train::{Callback, Learner, Optimizer, StepEnd};
use nnc_core::{Error, Result};

use crate::importance::magnitude::{magnitude, standard_deviation};
use crate::layers::{check_in_use, matching, seen, variable};
use crate::masked_source::Masks;
use crate::schedule::Updates;
use crate::select;

/// Prunes what is at most `λ = s·σ` in magnitude, at each of a number of steps, with σ measured once on the dense weight.
///
/// The threshold stays while weights move towards 0 in training, so each update may prune more. What is pruned stays so.
/// Thresholds are part of the state: a resumed run goes on with those of the dense weights.
///
/// # Source
/// Han et al., NIPS 2015, §4 (the threshold); Distiller's sensitivity pruner (measured once, applied repeatedly).
#[derive(Debug)]
pub struct ThresholdPruner {
    masks: Masks,
    /// Names and their λ.
    layers: Vec<(String, f64)>,
    updates: Updates,
}

impl ThresholdPruner {
    /// Measures σ of the weights of `learner` as they are now; `qualities` are patterns of names, each with its `s` ≥ 0.
    ///
    /// A weight takes the first pattern that matches its name.
    ///
    /// # Errors
    /// [`Error::NoMatch`] for a pattern that no weight takes, [`Error::InvalidArgument`] for a negative or infinite quality, for
    /// updates that never come, and for masks that no source uses.
    pub fn new<L: Learner + ?Sized>(
        learner: &L,
        masks: &Masks,
        qualities: &[(&str, f64)],
        updates: Updates,
    ) -> Result<Self> {
        updates.check()?;
        check_in_use(masks, None)?;
        let mut layers: Vec<(String, f64)> = Vec::new();
        for &(pattern, quality) in qualities {
            if !(quality >= 0.0 && quality.is_finite()) {
                return Err(Error::invalid(
                    format!("quality of `{pattern}`"),
                    "a finite number of at least 0",
                    quality,
                ));
            }
            let names = matching(learner, &[pattern])?;
            let n_before = layers.len();
            for name in &names {
                if layers.iter().all(|(taken, _)| taken != name) {
                    let sigma = standard_deviation(variable(learner, name)?.as_tensor())?;
                    layers.push((name.clone(), quality * sigma));
                }
            }
            if layers.len() == n_before {
                let (what, pattern) = ("weight that no earlier pattern has taken", pattern.to_owned());
                return Err(Error::NoMatch { what, pattern, known: names });
            }
        }
        if layers.is_empty() {
            return Err(Error::invalid("qualities", "at least one", 0));
        }
        Ok(Self { masks: masks.clone(), layers, updates })
    }

    /// The weights and their thresholds λ, in the unit of the weight.
    pub fn thresholds(&self) -> &[(String, f64)] {
        &self.layers
    }

    /// Prunes now: what a mask has pruned before, and what is at most the threshold.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a weight with a NaN, [`Error::NotFound`] when the learner has lost a weight.
    pub fn prune<L: Learner + ?Sized>(&self, learner: &L) -> Result<()> {
        for (name, threshold) in &self.layers {
            let weight = seen(learner, &self.masks, name)?;
            let mask = select::above(&magnitude(&weight)?, weight.dims(), *threshold)
                .map_err(|error| named(name, error))?;
            let mask = match self.masks.get(name) {
                Some(before) => mask.and(&before)?,
                None => mask,
            };
            self.masks.set(name, mask)?;
        }
        Ok(())
    }
}

/// An error about the scores or the shape of the weight `name`, with its name.
pub(crate) fn named(name: &str, error: Error) -> Error {
    match error {
        Error::InvalidArgument { what, expected, got } => {
            Error::InvalidArgument { what: format!("{what} of `{name}`"), expected, got }
        }
        other => other,
    }
}

impl<L: Learner + ?Sized> Callback<L> for ThresholdPruner {
    fn on_step(&mut self, learner: &mut L, _optimizer: &mut Optimizer, event: &StepEnd) -> Result<()> {
        if self.updates.contains(event.n_steps_done) { self.prune(learner) } else { Ok(()) }
    }

    fn state(&self) -> Result<Params> {
        let mut state = Params::new();
        for (name, threshold) in &self.layers {
            state.insert_number(&format!("threshold/{name}"), *threshold)?;
        }
        Ok(state)
    }

    fn load_state(&mut self, state: &Params) -> Result<()> {
        for (name, threshold) in &mut self.layers {
            *threshold = state.number(&format!("threshold/{name}"))?;
        }
        Ok(())
    }
}
