//! How many bits each layer's codes get, under a budget of bytes.
//!
//! Each layer has a list of [`Choice`]s, what it would cost and how wrong it would be. [`allocate`] takes one from each list so that
//! the sum of errors, each times its layer's sensitivity, is as small as any choice within the budget makes it.
//!
//! # Source
//! Shoham and Gersho, "Efficient bit allocation for an arbitrary set of quantizers", IEEE Trans. ASSP 36(9), 1988, for the
//! problem and its multiplier; Nemhauser and Ullmann, "Discrete dynamic programming and capital allocation", Management Science
//! 15(9), 1969, for the list of choices that none dominates. The multiplier's bound shortens that list; it loses no optimum.

mod choices;
mod relaxed;

use nnc_core::{Error, Result};
use serde::{Deserialize, Serialize};

pub use choices::{ChoicesConfig, Coding, choices};

use relaxed::Relaxed;

/// One way to store a layer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// Bits of a code.
    pub bits: u32,
    /// Bytes of the stored weight: positions, codes and codebook.
    pub bytes: u64,
    /// `Σ |w - c|²` of its weights, or another error that adds up over layers; finite, at least 0.
    pub error: f64,
}

/// The ways to store one layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerChoices {
    /// The layer's name.
    pub name: String,
    /// Factor on its errors, finite, at least 0: 1 counts all layers' weights alike.
    pub sensitivity: f64,
    /// In any order; at least one.
    pub choices: Vec<Choice>,
}

/// One choice for each layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Allocation {
    /// The budget it was made for, in bytes.
    pub budget_bytes: u64,
    /// Bytes of all layers; at most the budget.
    pub bytes: u64,
    /// Sum over the layers of sensitivity · error.
    pub error: f64,
    /// What each layer got, in the order of the layers.
    pub chosen: Vec<Choice>,
}

/// Chooses for each layer so that `Σ sensitivity · error` is least among all choices of at most `budget_bytes`.
///
/// Exact. Of equal errors the one with fewer bytes is taken.
///
/// Cost: one pass a layer over the choices so far that are neither dominated nor, by the bound of the relaxed problem, worse than
/// a solution already known; in the worst case their number is exponential in that of the layers.
///
/// # Errors
/// [`Error::InvalidArgument`] without layers, for a layer without choices, for an error or sensitivity that is negative or not finite,
/// and for a budget below the least bytes that there are, which the message names.
///
/// # Example
/// ```
/// use nnc_quant::allocation::{Choice, LayerChoices, allocate};
/// let choice = |bits, bytes, error| Choice { bits, bytes, error };
/// let layer = |name: &str, choices| LayerChoices { name: name.into(), sensitivity: 1.0, choices };
/// let layers = [
///     layer("wide", vec![choice(2, 200, 8.0), choice(4, 400, 1.0)]),
///     layer("narrow", vec![choice(2, 20, 3.0), choice(4, 40, 0.5)]),
/// ];
/// let best = allocate(&layers, 420)?;
/// assert_eq!((best.bytes, best.error), (420, 4.0));
/// assert_eq!(best.chosen.iter().map(|c| c.bits).collect::<Vec<_>>(), [4, 2]);
/// # Ok::<(), nnc_core::Error>(())
/// ```
pub fn allocate(layers: &[LayerChoices], budget_bytes: u64) -> Result<Allocation> {
    check(layers)?;
    let least: u64 = layers.iter().map(fewest_bytes).sum();
    if least > budget_bytes {
        let expected = format!("at least {least} bytes, the fewest that the choices take");
        return Err(Error::invalid("budget_bytes", expected, budget_bytes));
    }
    let relaxed = Relaxed::solve(layers, budget_bytes);
    let mut lists = vec![vec![State { bytes: 0, error: 0.0, parent: 0, choice: 0 }]];
    for (i, layer) in layers.iter().enumerate() {
        let before = &lists[i];
        let may_lead_to_best = |state: &State| relaxed.may_lead_to_best(i + 1, state.bytes, state.error);
        let mut next: Vec<State> = before
            .iter()
            .enumerate()
            .flat_map(|(parent, state)| state.with(layer, parent))
            .filter(may_lead_to_best)
            .collect();
        keep_undominated(&mut next);
        lists.push(next);
    }
    let Some(mut at) = lists[layers.len()].len().checked_sub(1) else {
        unreachable!("the bound keeps the relaxed problem's own solution")
    };
    let mut chosen = Vec::with_capacity(layers.len());
    for (layer, list) in layers.iter().zip(&lists[1..]).rev() {
        chosen.push(layer.choices[list[at].choice]);
        at = list[at].parent;
    }
    chosen.reverse();
    let error = layers.iter().zip(&chosen).map(|(layer, choice)| layer.sensitivity * choice.error).sum();
    Ok(Allocation { budget_bytes, bytes: chosen.iter().map(|choice| choice.bytes).sum(), error, chosen })
}

/// [`allocate`] for each budget: the curve of error against size, a row a budget.
///
/// # Errors
/// Those of [`allocate`].
pub fn curve(layers: &[LayerChoices], budgets_bytes: &[u64]) -> Result<Vec<Allocation>> {
    budgets_bytes.iter().map(|&budget| allocate(layers, budget)).collect()
}

/// Choices for the first layers.
struct State {
    bytes: u64,
    error: f64,
    /// Index into the list of the layer before.
    parent: usize,
    /// Index into this layer's choices.
    choice: usize,
}

impl State {
    fn with(&self, layer: &LayerChoices, parent: usize) -> impl Iterator<Item = Self> {
        let (bytes, error, sensitivity) = (self.bytes, self.error, layer.sensitivity);
        layer.choices.iter().enumerate().map(move |(choice, c)| Self {
            bytes: bytes + c.bytes,
            error: error + sensitivity * c.error,
            parent,
            choice,
        })
    }
}

/// Sorts by bytes and leaves only states that are better than all of fewer bytes, so errors fall.
fn keep_undominated(states: &mut Vec<State>) {
    // Stable: of equals the first stays.
    states.sort_by(|a, b| a.bytes.cmp(&b.bytes).then(a.error.total_cmp(&b.error)));
    let mut best = f64::INFINITY;
    states.retain(|state| {
        let is_better = state.error < best;
        best = best.min(state.error);
        is_better
    });
}

fn fewest_bytes(layer: &LayerChoices) -> u64 {
    layer.choices.iter().map(|choice| choice.bytes).min().unwrap_or(0)
}

fn check(layers: &[LayerChoices]) -> Result<()> {
    if layers.is_empty() {
        return Err(Error::invalid("layers", "at least one layer", 0));
    }
    let is_number = |x: f64| x.is_finite() && x >= 0.0;
    for LayerChoices { name, sensitivity, choices } in layers {
        if !is_number(*sensitivity) {
            return Err(Error::invalid(
                format!("sensitivity of `{name}`"),
                "a finite number, at least 0",
                sensitivity,
            ));
        }
        if choices.is_empty() {
            return Err(Error::invalid(format!("choices of `{name}`"), "at least one", 0));
        }
        if let Some(choice) = choices.iter().find(|choice| !is_number(choice.error)) {
            let what = format!("error of `{name}` at {} bits", choice.bits);
            return Err(Error::invalid(what, "a finite number, at least 0", choice.error));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
