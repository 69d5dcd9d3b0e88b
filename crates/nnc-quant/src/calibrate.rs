//! Calibration: observers on the activations of a network, and the intervals they find.

mod sites;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nnc_core::candle::Tensor;
use nnc_core::forward;
use nnc_core::network::Network;
use nnc_core::params::Params;
use nnc_core::source::{ParamSource, Step};
use nnc_core::tap::{Observe, Site, Taps};
use nnc_core::{Error, Result};

pub use sites::{bound_of, select_sites, site_of_values, sites};

use crate::affine::{Interval, QuantConfig};
use crate::floats::with_floats;
use crate::observer::{Observer, RangeMethod};

/// An observer on a tap; the caller keeps a handle.
#[derive(Debug)]
pub struct SiteObserver {
    name: String,
    observer: Mutex<Observer>,
}

impl SiteObserver {
    /// An observer for the site `name`.
    pub fn new(name: impl Into<String>, observer: Observer) -> Self {
        Self { name: name.into(), observer: Mutex::new(observer) }
    }

    /// The interval of what was seen.
    ///
    /// # Errors
    /// As [`Observer::interval`], with the site's name.
    pub fn interval(&self, config: &QuantConfig) -> Result<Interval> {
        self.named(self.observer().interval(config))
    }

    fn observer(&self) -> MutexGuard<'_, Observer> {
        // An observer that fails has changed nothing.
        self.observer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn named<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| match error {
            Error::InvalidArgument { what, expected, got } => {
                Error::InvalidArgument { what: format!("{what} at `{}`", self.name), expected, got }
            }
            error => error,
        })
    }
}

impl Observe for SiteObserver {
    fn observe(&self, value: &Tensor, _step: &Step) -> Result<()> {
        self.named(with_floats("value", value, |values| self.observer().observe(values)))
    }
}

/// Observers on the [`sites`] of a network.
///
/// A site whose operator bounds its values ([`bound_of`]) is not observed: its interval is the bound.
#[derive(Debug)]
pub struct Calibration {
    sites: Vec<(String, Range)>,
}

/// How the interval of a site is known.
#[derive(Debug)]
enum Range {
    Bound(Interval),
    Observed(Arc<SiteObserver>),
}

impl Calibration {
    /// Observers, which have seen nothing, on the sites that one of `patterns` matches.
    ///
    /// # Errors
    /// [`Error::NoMatch`] for a pattern that matches no site, with the sites there are; [`Error::InvalidArgument`] for a
    /// setting of `method` out of range.
    pub fn new(network: &Network, patterns: &[impl AsRef<str>], method: RangeMethod) -> Result<Self> {
        let names = select_sites(network, patterns)?;
        let sites = names.into_iter().map(|name| {
            let range = match bound_of(network, &name)? {
                Some(bound) => Range::Bound(bound),
                None => Range::Observed(Arc::new(SiteObserver::new(&name, Observer::new(method)?))),
            };
            Ok((name, range))
        });
        Ok(Self { sites: sites.collect::<Result<_>>()? })
    }

    /// Hangs the observers on `taps`.
    pub fn hang(&self, taps: &mut Taps) {
        for (name, observer) in self.observed() {
            taps.observe(Site::output(name), Arc::clone(observer) as Arc<dyn Observe>);
        }
    }

    /// The interval of each site, if its values are to be stored as `config` says, in the order of the network.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when a site has seen nothing, or bits are out of range.
    pub fn intervals(&self, config: &QuantConfig) -> Result<Vec<(String, Interval)>> {
        let interval = |range: &Range| match range {
            Range::Bound(bound) => Ok(*bound),
            Range::Observed(observer) => observer.interval(config),
        };
        self.sites.iter().map(|(name, range)| Ok((name.clone(), interval(range)?))).collect()
    }

    /// All that [`load_state`](Self::load_state) needs to continue exactly here.
    ///
    /// # Errors
    /// Those of making tensors.
    pub fn state(&self) -> Result<Params> {
        let mut state = Params::new();
        for (name, observer) in self.observed() {
            state.extend_prefixed(&format!("{name}/"), &observer.observer().state()?);
        }
        Ok(state)
    }

    /// Returns to a saved state of a calibration of the same sites and method.
    ///
    /// # Errors
    /// Those of [`Observer::load_state`].
    pub fn load_state(&mut self, state: &Params) -> Result<()> {
        self.observed().try_for_each(|(name, observer)| {
            observer.observer().load_state(&state.strip_prefix(&format!("{name}/")))
        })
    }

    fn observed(&self) -> impl Iterator<Item = (&str, &Arc<SiteObserver>)> {
        self.sites.iter().filter_map(|(name, range)| match range {
            Range::Observed(observer) => Some((name.as_str(), observer)),
            Range::Bound(_) => None,
        })
    }
}

/// Runs `network` in evaluation on each of `batches` with the observers of `calibration`.
///
/// May be called again with more batches, also after [`Calibration::load_state`]: memory does not grow with their number.
///
/// # Errors
/// [`Error::InvalidArgument`] when there is no batch, and when an activation is not finite, with its site; those of the
/// batches and of the forward pass.
pub fn calibrate(
    network: &Network,
    source: &dyn ParamSource,
    calibration: &Calibration,
    batches: impl IntoIterator<Item = Result<Tensor>>,
) -> Result<()> {
    let mut taps = Taps::new();
    calibration.hang(&mut taps);
    let want: Vec<&str> = network.outputs().iter().map(|output| output.name.as_str()).collect();
    let mut n_batches = 0;
    for batch in batches {
        forward::run(network, source, &taps, &batch?, &want, &Step::eval())?;
        n_batches += 1;
    }
    if n_batches == 0 {
        return Err(Error::invalid("calibration set", "at least one batch", 0));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
