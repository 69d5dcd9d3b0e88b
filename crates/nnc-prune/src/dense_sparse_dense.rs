//! Dense-sparse-dense training: a network is pruned only to be trained densely again, and better.
//!
//! # Source
//! Han, Pool, Narang, Mao, et al., "DSD: Dense-Sparse-Dense Training for Deep Neural Networks", ICLR 2017, algorithm 1: one-shot
//! pruning of each layer to the same sparsity, pruned weights start at 0 when they come back, the last phase learns at a tenth of
//! the rate. From memory, not checked against the paper.

use nnc_core::train::Learner;
use nnc_core::{Error, Result};

use crate::importance::magnitude::magnitude;
use crate::layers::{check_in_use, matching, seen, variable};
use crate::masked_source::Masks;
use crate::schedule::check_sparsity;
use crate::select;
use crate::threshold::named;

/// What is pruned for a while.
#[derive(Debug, Clone, PartialEq)]
pub struct DsdConfig {
    /// Patterns of the weights; `*` stands for any characters.
    pub patterns: Vec<String>,
    /// The share of each weight that is 0 in a sparse phase, in `[0, 1)`; the paper's is 0.25 to 0.5.
    pub sparsity: f64,
    /// How often sparse and dense follow the first dense phase, at least 1.
    pub n_rounds: usize,
}

/// What a phase trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhaseKind {
    /// All weights, first.
    Dense,
    /// What the mask keeps.
    Sparse,
    /// All weights again, those that come back from 0 on.
    Redense,
}

/// One training run among those of [`dense_sparse_dense`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phase {
    /// What is trained.
    pub kind: PhaseKind,
    /// The round, from 1; 0 for the first dense phase.
    pub round: usize,
}

impl Phase {
    /// A name for progress and checkpoints: `dense`, `sparse-1`, `redense-1`, `sparse-2`, …
    pub fn name(&self) -> String {
        match self.kind {
            PhaseKind::Dense => "dense".to_owned(),
            PhaseKind::Sparse => format!("sparse-{}", self.round),
            PhaseKind::Redense => format!("redense-{}", self.round),
        }
    }

    /// The factor on the learning rate: 1/10 where weights have come back, else 1.
    pub fn lr_scale(&self) -> f64 {
        if self.kind == PhaseKind::Redense { 0.1 } else { 1.0 }
    }
}

/// Calls `train` for each phase, and prunes and restores between them.
///
/// `train` trains the learner as the phase says: `fit` with the schedule [`scaled`](nnc_core::train::Schedule::scaled) by
/// [`Phase::lr_scale`], and a checkpoint of its own, named by [`Phase::name`]. As each finished run is only loaded again, and what
/// is done between runs depends on the weights alone, the whole resumes exactly by being called again on the learner that it began
/// with.
///
/// # Errors
/// [`Error::NoMatch`] for a pattern that matches no weight, [`Error::InvalidArgument`] for a sparsity outside `[0, 1)`, no
/// rounds, a weight that has a mask already, a NaN, or masks that no source uses; those of `train`.
pub fn dense_sparse_dense<L: Learner + ?Sized>(
    learner: &mut L,
    masks: &Masks,
    config: &DsdConfig,
    mut train: impl FnMut(&mut L, &Phase) -> Result<()>,
) -> Result<()> {
    if config.n_rounds == 0 {
        return Err(Error::invalid("n_rounds", "at least 1", 0));
    }
    check_sparsity("sparsity", config.sparsity)?;
    check_in_use(masks, None)?;
    let names = matching(learner, &config.patterns)?;
    if let Some(name) = names.iter().find(|name| masks.get(name).is_some()) {
        return Err(Error::invalid(format!("mask of `{name}`"), "none before the dense phase", "one"));
    }
    train(learner, &Phase { kind: PhaseKind::Dense, round: 0 })?;
    for round in 1..=config.n_rounds {
        sparsify(learner, masks, &names, config.sparsity)?;
        train(learner, &Phase { kind: PhaseKind::Sparse, round })?;
        redensify(learner, masks, &names)?;
        train(learner, &Phase { kind: PhaseKind::Redense, round })?;
    }
    Ok(())
}

/// Prunes the `floor(sparsity · n)` smallest of each of the weights `names`, for the sparse phase.
///
/// # Errors
/// [`Error::NotFound`] for a name that is no weight of the learner, [`Error::InvalidArgument`] for a NaN or a sparsity outside
/// `[0, 1)`.
pub fn sparsify<L: Learner + ?Sized>(
    learner: &L,
    masks: &Masks,
    names: &[String],
    sparsity: f64,
) -> Result<()> {
    check_sparsity("sparsity", sparsity)?;
    for name in names {
        let weight = seen(learner, masks, name)?;
        let mask = select::level(&magnitude(&weight)?, weight.dims(), sparsity);
        masks.set(name, mask.map_err(|error| named(name, error))?)?;
    }
    Ok(())
}

/// Takes the masks of `names` off; what they pruned is 0 now, so that the function stays the same until the next step.
///
/// # Errors
/// [`Error::NotFound`] for a name that is no weight of the learner; those of writing a variable.
pub fn redensify<L: Learner + ?Sized>(learner: &L, masks: &Masks, names: &[String]) -> Result<()> {
    for name in names {
        // Weight decay and old momentum may have moved what was behind the mask.
        variable(learner, name)?.set(&seen(learner, masks, name)?)?;
        masks.remove(name);
    }
    Ok(())
}
