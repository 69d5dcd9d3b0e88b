//! Structured pruning by a particle filter: candidate masks are drawn, weighed by their errors, resampled and perturbed.
//!
//! # Source
//! Anwar, Hwang, Sung, "Structured Pruning of Deep Convolutional Neural Networks", 2015. From memory, not checked against the
//! paper. Its three levels are [`Granularity::Filter`] (feature maps), [`Granularity::Kernel`] and [`Granularity::Strided`]
//! (intra-kernel). We differ: every candidate prunes exactly the same number of groups, so that candidates are compared at equal
//! sparsity; the exponent has a factor ([`ParticleConfig::sharpness`]); the network is not made noisy.

mod candidate;

use std::collections::HashMap;

use nnc_core::rng::Rng;
use nnc_core::{Error, Result};
use rayon::prelude::*;

use self::candidate::Candidate;
use crate::granularity::{Granularity, Groups};
use crate::mask::Mask;
use crate::schedule::check_sparsity;
use crate::threshold::named;

/// A weight of which some groups are pruned, and how many.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    name: String,
    groups: Groups,
    sparsity: Option<f64>,
    /// Groups are kept in windows of consecutive ones: `n_kept` of each `window`.
    n_kept: usize,
    window: usize,
}

impl Layer {
    /// The weight `name` of `shape` without `floor(sparsity · groups)` of its groups, or, where the granularity itself says how
    /// many stay (one offset per input map of [`Granularity::Strided`], N of M), with those; then `sparsity` must be `None`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when the granularity does not fit the shape, or the sparsity is outside `[0, 1)`, missing, or
    /// given where the granularity fixes it.
    pub fn new(name: &str, shape: &[usize], granularity: Granularity, sparsity: Option<f64>) -> Result<Self> {
        let groups = granularity.groups(shape).map_err(|error| named(name, error))?;
        let (n_kept, window) = match (granularity.quota(), sparsity) {
            (Some(quota), None) => quota,
            (None, Some(sparsity)) => {
                check_sparsity(&format!("sparsity of `{name}`"), sparsity)?;
                let n = groups.len();
                #[allow(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "sparsity is in [0, 1), so the product is a count"
                )]
                let n_pruned = (sparsity * n as f64).floor() as usize;
                (n - n_pruned.min(n - 1), n)
            }
            (quota, given) => {
                let expected = if quota.is_some() { "none: the granularity fixes it" } else { "one" };
                let got = given.map_or_else(|| "none".to_owned(), |sparsity| sparsity.to_string());
                return Err(Error::invalid(format!("sparsity of `{name}`"), expected, got));
            }
        };
        Ok(Self { name: name.to_owned(), groups, sparsity, n_kept, window })
    }

    /// The weight's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How its entries are grouped.
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// The share of groups that is pruned, where the granularity does not fix it.
    pub fn sparsity(&self) -> Option<f64> {
        self.sparsity
    }
}

/// How long and how widely to search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ParticleConfig {
    /// Keys every draw.
    pub seed: u64,
    /// Candidates at a time, at least 1.
    pub n_particles: usize,
    /// How often they are resampled and perturbed; 0 is the best of a random draw.
    pub n_rounds: usize,
    /// A candidate weighs `exp(-sharpness · m)`, where `m` in `[0, 1]` is its share of errors; 100 counts errors in per cent.
    pub sharpness: f64,
    /// Of a layer's pruned groups, the share that a perturbation exchanges for kept ones, in `[0, 1]`; one at least.
    pub exchanged: f64,
}

impl ParticleConfig {
    /// Errors in per cent, a tenth exchanged.
    pub fn new(seed: u64, n_particles: usize, n_rounds: usize) -> Self {
        Self { seed, n_particles, n_rounds, sharpness: 100.0, exchanged: 0.1 }
    }

    fn check(&self) -> Result<()> {
        if self.n_particles == 0 {
            return Err(Error::invalid("n_particles", "at least 1", 0));
        }
        if !(self.sharpness >= 0.0 && self.sharpness.is_finite()) {
            return Err(Error::invalid("sharpness", "a finite number of at least 0", self.sharpness));
        }
        if !(0.0..=1.0).contains(&self.exchanged) {
            return Err(Error::invalid("exchanged", "a share in [0, 1]", self.exchanged));
        }
        Ok(())
    }
}

/// The masks of a candidate, one for each layer, by name.
pub type NamedMasks = Vec<(String, Mask)>;

/// The best candidate of a search.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Its masks.
    pub masks: NamedMasks,
    /// Its share of errors.
    pub misclassification: f64,
    /// The best share of errors so far, after the first draw and after each round: it never rises.
    pub course: Vec<f64>,
    /// How many different candidates were evaluated.
    pub n_evaluations: usize,
}

/// Searches the masks of `layers` that make `evaluate` (the share of errors on validation data, in `[0, 1]`) small.
///
/// Candidates of a round are evaluated in parallel, each once; the result depends on the seed alone, not on threads. The best
/// candidate always stays among the particles, so `found.misclassification` is that of the best one ever seen (the first of
/// equals).
///
/// # Errors
/// [`Error::InvalidArgument`] for no layers, a configuration out of its range or an `evaluate` that returns no share; those of
/// `evaluate`.
///
/// # Example
/// ```
/// use nnc_prune::Granularity;
/// use nnc_prune::particle::{Layer, NamedMasks, ParticleConfig, search};
/// // Eight filters, of which the last four cause all errors.
/// let layer = Layer::new("conv", &[8, 1, 3, 3], Granularity::Filter, Some(0.5))?;
/// let errors = |masks: &NamedMasks| Ok((4..8).filter(|f| masks[0].1.keeps(9 * f)).count() as f64 / 10.0);
/// let found = search(&[layer], &ParticleConfig::new(1, 16, 20), errors)?;
/// assert_eq!(found.misclassification, 0.0);
/// assert_eq!(found.masks[0].1.n_kept(), 4 * 9);
/// # Ok::<(), nnc_core::Error>(())
/// ```
pub fn search(
    layers: &[Layer],
    config: &ParticleConfig,
    evaluate: impl Fn(&NamedMasks) -> Result<f64> + Sync,
) -> Result<Found> {
    config.check()?;
    check_layers(layers)?;
    let mut particles: Vec<Candidate> = (0..config.n_particles as u64)
        .map(|i| Candidate::draw(layers, &mut Rng::keyed(config.seed, "particle/draw", &[i])))
        .collect();
    let mut known: HashMap<Candidate, f64> = HashMap::new();
    let mut best: Option<(Candidate, f64)> = None;
    let mut course = Vec::with_capacity(config.n_rounds + 1);
    for round in 0..=config.n_rounds as u64 {
        let errors = errors_of(&particles, layers, &mut known, &evaluate)?;
        for (particle, &error) in particles.iter().zip(&errors) {
            if best.as_ref().is_none_or(|(_, least)| error < *least) {
                best = Some((particle.clone(), error));
            }
        }
        let Some((elite, least)) = &best else { unreachable!("there is at least one particle") };
        course.push(*least);
        if round == config.n_rounds as u64 {
            break;
        }
        let weights = weights(&errors, config.sharpness);
        let chosen = resample(&weights, Rng::keyed(config.seed, "particle/resample", &[round]).uniform());
        let perturbed = |(i, &ancestor): (usize, &usize)| {
            let mut rng = Rng::keyed(config.seed, "particle/perturb", &[round, i as u64]);
            particles[ancestor].perturbed(layers, config.exchanged, &mut rng)
        };
        // The best stays as it is, in the first place.
        particles =
            std::iter::once(elite.clone()).chain(chosen.iter().enumerate().skip(1).map(perturbed)).collect();
    }
    let Some((elite, misclassification)) = best else { unreachable!("there is at least one round") };
    Ok(Found { masks: elite.masks(layers)?, misclassification, course, n_evaluations: known.len() })
}

/// One candidate by chance: the control.
///
/// # Errors
/// [`Error::InvalidArgument`] for no layers or a name that occurs twice.
pub fn random(layers: &[Layer], seed: u64) -> Result<NamedMasks> {
    check_layers(layers)?;
    Candidate::draw(layers, &mut Rng::keyed(seed, "particle/random", &[])).masks(layers)
}

fn check_layers(layers: &[Layer]) -> Result<()> {
    if layers.is_empty() {
        return Err(Error::invalid("layers", "at least one", 0));
    }
    let twice =
        layers.iter().enumerate().find(|(i, layer)| layers[..*i].iter().any(|l| l.name == layer.name));
    match twice {
        Some((_, layer)) => Err(Error::invalid("layers", "each once", format!("`{}` twice", layer.name))),
        None => Ok(()),
    }
}

/// The errors of `particles`, each different one evaluated once, in parallel.
fn errors_of(
    particles: &[Candidate],
    layers: &[Layer],
    known: &mut HashMap<Candidate, f64>,
    evaluate: &(impl Fn(&NamedMasks) -> Result<f64> + Sync),
) -> Result<Vec<f64>> {
    let mut fresh: Vec<&Candidate> = Vec::new();
    for particle in particles {
        if !known.contains_key(particle) && !fresh.contains(&particle) {
            fresh.push(particle);
        }
    }
    let found: Vec<Result<f64>> =
        fresh.par_iter().map(|particle| evaluate(&particle.masks(layers)?)).collect();
    // In order, so that of several errors the same one is reported every time.
    for (particle, error) in fresh.into_iter().zip(found) {
        let error = error?;
        if !(0.0..=1.0).contains(&error) {
            return Err(Error::invalid("misclassification", "a share in [0, 1]", error));
        }
        known.insert(particle.clone(), error);
    }
    Ok(particles.iter().map(|particle| known[particle]).collect())
}

/// `exp(-sharpness · m)`, normalised to sum to 1.
fn weights(errors: &[f64], sharpness: f64) -> Vec<f64> {
    // From the least error, so that not all of them underflow to 0.
    let least = errors.iter().copied().fold(f64::INFINITY, f64::min);
    let weights: Vec<f64> = errors.iter().map(|m| (-sharpness * (m - least)).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

/// As many indices as weights, each about as often as its weight says: one draw `u` in `[0, 1)` and equal steps.
fn resample(weights: &[f64], u: f32) -> Vec<usize> {
    let n = weights.len();
    let (mut idx, mut sum) = (0, weights[0]);
    (0..n)
        .map(|i| {
            let position = (i as f64 + f64::from(u)) / n as f64;
            while position >= sum && idx + 1 < n {
                idx += 1;
                sum += weights[idx];
            }
            idx
        })
        .collect()
}

#[cfg(test)]
mod tests;
