//! Lottery tickets: a pruned network goes back to the values it had early in training.

use nnc_core::params::Params;
use nnc_core::train::{Callback, Learner, Optimizer, StepEnd};
use nnc_core::{Error, Result};

use crate::layers::check_in_use;
use crate::masked_source::Masks;

/// Goes back to the values of an early step while the masks stay what they have become.
///
/// Everything that the learner saves goes back (weights, biases, buffers, taps), and the optimizer's moments too. Put it behind
/// the callback that prunes: at a step where both act, the masks must be the new ones. The learning rate goes on along the
/// run's schedule; for one that starts again as well, train the ticket in a run of its own ([`restore`](Self::restore)).
///
/// # Source
/// Frankle and Carbin, "The Lottery Ticket Hypothesis", ICLR 2019 (back to the start); Frankle, Dziugaite, Roy, Carbin, "Linear
/// Mode Connectivity and the Lottery Ticket Hypothesis", ICML 2020 (back to an early step). We differ: the optimizer's moments go
/// back with the weights.
#[derive(Debug)]
pub struct Rewind {
    masks: Masks,
    to: usize,
    at: Vec<usize>,
    saved: Option<Saved>,
}

#[derive(Debug)]
struct Saved {
    learner: Params,
    optimizer: Params,
}

impl Rewind {
    /// Goes back to what the learner is once `to` steps are done, after each of the steps `at`; `to` = 0 is the learner as it is
    /// now, with an optimizer that has not stepped yet.
    ///
    /// `at` may be empty: then [`restore`](Self::restore) alone goes back.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when one of `at` is not behind `to`, or no source uses `masks`; those of copying the state.
    pub fn new<L: Learner + ?Sized>(learner: &L, masks: &Masks, to: usize, at: Vec<usize>) -> Result<Self> {
        if let Some(&early) = at.iter().find(|&&step| step <= to) {
            return Err(Error::invalid("at", format!("steps behind {to}, to which they go back"), early));
        }
        check_in_use(masks, None)?;
        let saved = match to {
            0 => Some(Saved { learner: learner.state()?, optimizer: Params::new() }),
            _ => None,
        };
        Ok(Self { masks: masks.clone(), to, at, saved })
    }

    /// Gives `learner` its early values, and `optimizer`, if there is one, its early moments; the masks stay.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] before the early step was reached; [`Error::NotFound`] and [`Error::ShapeMismatch`] when the
    /// learner has changed its parts since.
    pub fn restore<L: Learner + ?Sized>(
        &self,
        learner: &mut L,
        optimizer: Option<&mut Optimizer>,
    ) -> Result<()> {
        let Some(saved) = &self.saved else {
            let expected = format!("a run that has reached step {}", self.to);
            return Err(Error::invalid("rewind", expected, "one that has not"));
        };
        // The state carries the masks of that step, in a masked source's part; ours are put back over them.
        let mut masks = Vec::new();
        for name in self.masks.names() {
            masks.extend(self.masks.get(&name).map(|mask| (name, mask)));
        }
        learner.load_state(&saved.learner)?;
        self.masks.clear();
        for (name, mask) in masks {
            self.masks.set(&name, (*mask).clone())?;
        }
        optimizer.map_or(Ok(()), |optimizer| optimizer.load_state(&saved.optimizer))
    }
}

impl<L: Learner + ?Sized> Callback<L> for Rewind {
    fn on_step(&mut self, learner: &mut L, optimizer: &mut Optimizer, event: &StepEnd) -> Result<()> {
        if event.n_steps_done == self.to {
            self.saved = Some(Saved { learner: learner.state()?, optimizer: optimizer.state()? });
        }
        if self.at.contains(&event.n_steps_done) { self.restore(learner, Some(optimizer)) } else { Ok(()) }
    }

    fn state(&self) -> Result<Params> {
        let mut state = Params::new();
        state.insert_number("is_saved", f64::from(u8::from(self.saved.is_some())))?;
        if let Some(saved) = &self.saved {
            state.extend_prefixed("learner/", &saved.learner);
            state.extend_prefixed("optimizer/", &saved.optimizer);
        }
        Ok(state)
    }

    fn load_state(&mut self, state: &Params) -> Result<()> {
        let saved =
            || Saved { learner: state.strip_prefix("learner/"), optimizer: state.strip_prefix("optimizer/") };
        self.saved = (state.number("is_saved")? != 0.0).then(saved);
        Ok(())
    }
}
