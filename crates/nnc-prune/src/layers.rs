//! The weights of a learner that a method prunes, chosen by pattern.

use nnc_core::candle::{Tensor, Var};
use nnc_core::train::Learner;
use nnc_core::{Error, Result, pattern};

use crate::masked_source::{Gradient, Masks};

/// The weights of `learner` whose names match one of `patterns`, in its order; `*` stands for any characters.
///
/// Weights are the trainables that decay: biases, factors of batch norm and shared values are none.
///
/// # Errors
/// [`Error::NoMatch`] for a pattern that matches no weight.
pub fn matching<L: Learner + ?Sized>(learner: &L, patterns: &[impl AsRef<str>]) -> Result<Vec<String>> {
    let weights = learner.trainables().into_iter().filter(|trainable| trainable.decay_scale > 0.0);
    let names: Vec<String> = weights.map(|trainable| trainable.name).collect();
    if patterns.is_empty() {
        return Err(Error::invalid("patterns", "at least one", 0));
    }
    pattern::select(patterns, &names)
}

/// The variable behind the weight `name`: what the optimizer moves, not what the network sees.
pub(crate) fn variable<L: Learner + ?Sized>(learner: &L, name: &str) -> Result<Var> {
    let trainables = learner.trainables();
    let found = trainables.iter().find(|trainable| trainable.name == name);
    found
        .map(|trainable| trainable.var.clone())
        .ok_or_else(|| Error::not_found("trainable", name, trainables.iter().map(|known| known.name.clone())))
}

/// The values of the weight `name` as the network sees them: 0 where its mask prunes.
pub(crate) fn seen<L: Learner + ?Sized>(learner: &L, masks: &Masks, name: &str) -> Result<Tensor> {
    let var = variable(learner, name)?;
    match masks.get(name) {
        Some(mask) => mask.apply(var.as_tensor()),
        None => Ok(var.as_tensor().detach().copy()?),
    }
}

/// Refuses masks that no source looks at, which would prune nothing, and a source with another gradient than `needed`.
pub(crate) fn check_in_use(masks: &Masks, needed: Option<Gradient>) -> Result<()> {
    let wrapped = masks.gradient();
    if wrapped.is_some() && (needed.is_none() || needed == wrapped) {
        return Ok(());
    }
    let expected = match needed {
        None => "masks that a `MaskedSource` has been made with".to_owned(),
        Some(needed) => format!("masks that a `MaskedSource` has been made with, with Gradient::{needed:?}"),
    };
    let got = wrapped.map_or_else(|| "none such".to_owned(), |gradient| format!("Gradient::{gradient:?}"));
    Err(Error::invalid("masks", expected, got))
}
