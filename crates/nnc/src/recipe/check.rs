//! The ranges of a recipe's numbers.

use nnc_core::{Error, Result};

use super::{Layer, Phase, Prune, Recipe, Sharing};

impl Recipe {
    /// Holds every number against its range.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] with the place of the number in the recipe, its range and what was found.
    pub(crate) fn check(&self) -> Result<()> {
        self.layers.iter().try_for_each(Layer::check)?;
        if let Some(phase) = &self.training {
            phase.check("training")?;
        }
        if let Some(retraining) = &self.retraining {
            if retraining.rounds == 0 {
                return Err(Error::invalid("retraining.rounds", "at least 1", 0));
            }
            retraining.phase(1)?;
            if let Some(round) = &retraining.round {
                round.check("retraining.round")?;
            }
            retraining.last.check("retraining.last")?;
        }
        if let Some(Sharing { lr_scale, phase }) = &self.sharing {
            if !(*lr_scale >= 0.0 && lr_scale.is_finite()) {
                return Err(Error::invalid("sharing.lr_scale", "a finite number of at least 0", lr_scale));
            }
            phase.check("sharing.phase")?;
        }
        Ok(())
    }
}

impl Layer {
    fn check(&self) -> Result<()> {
        let of = |field: &str| format!("{field} of layer `{}`", self.pattern);
        match self.prune {
            Some(Prune::Density(d)) if !(d > 0.0 && d <= 1.0) => {
                return Err(Error::invalid(of("prune.density"), "a number in (0, 1]", d));
            }
            Some(Prune::Quality(q)) if !(q >= 0.0 && q.is_finite()) => {
                return Err(Error::invalid(of("prune.quality"), "a number of at least 0", q));
            }
            _ => {}
        }
        if let Some(share) = self.share
            && !(1..=12).contains(&share.bits)
        {
            return Err(Error::invalid(of("share.bits"), "1 to 12", share.bits));
        }
        if let Some(bits) = self.store.index_bits
            && !(1..=16).contains(&bits)
        {
            return Err(Error::invalid(of("store.index_bits"), "1 to 16", bits));
        }
        Ok(())
    }
}

impl Phase {
    /// `place` is the phase's in the recipe.
    fn check(&self, place: &str) -> Result<()> {
        for (field, n) in [("n_epochs", self.n_epochs), ("batch_size", self.batch_size)] {
            if n == 0 {
                return Err(Error::invalid(format!("{place}.{field}"), "at least 1", n));
            }
        }
        let of = |part: &str, error| match error {
            Error::InvalidArgument { what, expected, got } => {
                Error::InvalidArgument { what: format!("{place}.{part}.{what}"), expected, got }
            }
            other => other,
        };
        self.optimizer.check().map_err(|error| of("optimizer", error))?;
        self.schedule.check().map_err(|error| of("schedule", error))
    }
}
