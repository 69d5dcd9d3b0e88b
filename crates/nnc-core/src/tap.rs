//! Where activations are looked at or changed: the seam of observers and activation quantizers.
//!
//! A [`Site`] names a value in the graph; [`Taps`] hangs [`Observe`]s (which look) and [`Transform`]s (which change, and
//! may learn) on sites. The forward pass calls them in the order in which they were added.

use std::fmt::Debug;
use std::sync::Arc;

use candle_core::Tensor;

use crate::Result;
use crate::params::Params;
use crate::source::{Step, Trainable};

/// A value of the graph: a node's output or one of its inputs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Site {
    /// The node's name (or a network input's).
    pub node: String,
    /// Which of its values.
    pub port: Port,
}

/// Which value of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Port {
    /// Its output.
    Output,
    /// Its input number `i`.
    Input(usize),
}

impl Site {
    /// The output of `node`.
    pub fn output(node: impl Into<String>) -> Self {
        Self { node: node.into(), port: Port::Output }
    }

    /// The input number `index` of `node`.
    pub fn input(node: impl Into<String>, index: usize) -> Self {
        Self { node: node.into(), port: Port::Input(index) }
    }
}

/// Looks at a value; it is shared with the caller, who reads it after the run.
pub trait Observe: Debug + Send + Sync {
    /// Called with each value that passes the site, of shape `(B, …)`.
    ///
    /// # Errors
    /// The observer's own; they end the forward pass.
    fn observe(&self, value: &Tensor, step: &Step) -> Result<()>;
}

/// Changes a value; its state is saved and trained with the network's.
pub trait Transform: Debug + Send + Sync {
    /// The value that the graph goes on with.
    ///
    /// # Errors
    /// The transform's own; they end the forward pass.
    fn transform(&self, value: &Tensor, step: &Step) -> Result<Tensor>;

    /// What an optimizer may move.
    fn trainables(&self) -> Vec<Trainable> {
        Vec::new()
    }

    /// All that [`load_state`](Self::load_state) needs to continue exactly here.
    ///
    /// # Errors
    /// Those of copying tensors.
    fn state(&self) -> Result<Params> {
        Ok(Params::new())
    }

    /// Returns to a saved state.
    ///
    /// # Errors
    /// When an entry is missing or has another shape.
    fn load_state(&mut self, _state: &Params) -> Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
enum Tap {
    Observe(Arc<dyn Observe>),
    Transform(Box<dyn Transform>),
}

/// Taps by site, in the order added.
#[derive(Debug, Default)]
pub struct Taps {
    taps: Vec<(Site, Tap)>,
}

impl Taps {
    /// No taps.
    pub fn new() -> Self {
        Self::default()
    }

    /// Hangs `observer` on `site`.
    pub fn observe(&mut self, site: Site, observer: Arc<dyn Observe>) {
        self.taps.push((site, Tap::Observe(observer)));
    }

    /// Hangs `transform` on `site`.
    pub fn transform(&mut self, site: Site, transform: Box<dyn Transform>) {
        self.taps.push((site, Tap::Transform(transform)));
    }

    /// Takes all taps off.
    pub fn clear(&mut self) {
        self.taps.clear();
    }

    /// The sites in use.
    pub fn sites(&self) -> impl Iterator<Item = &Site> {
        self.taps.iter().map(|(site, _)| site)
    }

    /// Whether anything hangs on the port of `node`.
    pub fn touches(&self, node: &str, port: Port) -> bool {
        self.taps.iter().any(|(site, _)| site.port == port && site.node == node)
    }

    /// Runs the taps of a site on `value`.
    ///
    /// # Errors
    /// The first that a tap returns.
    pub fn apply(&self, node: &str, port: Port, value: Tensor, step: &Step) -> Result<Tensor> {
        let mut value = value;
        for (site, tap) in &self.taps {
            if site.port == port && site.node == node {
                match tap {
                    Tap::Observe(observer) => observer.observe(&value, step)?,
                    Tap::Transform(transform) => value = transform.transform(&value, step)?,
                }
            }
        }
        Ok(value)
    }

    /// What the transforms let an optimizer move, names prefixed by their place.
    pub fn trainables(&self) -> Vec<Trainable> {
        let mut trainables = Vec::new();
        for (prefix, transform) in self.transforms() {
            for mut trainable in transform.trainables() {
                trainable.name = format!("{prefix}/{}", trainable.name);
                trainables.push(trainable);
            }
        }
        trainables
    }

    /// The transforms' states, names prefixed by their place.
    ///
    /// # Errors
    /// The first that a transform returns.
    pub fn state(&self) -> Result<Params> {
        let mut state = Params::new();
        for (prefix, transform) in self.transforms() {
            state.extend_prefixed(&format!("{prefix}/"), &transform.state()?);
        }
        Ok(state)
    }

    /// Returns the transforms to a saved state.
    ///
    /// # Errors
    /// The first that a transform returns.
    pub fn load_state(&mut self, state: &Params) -> Result<()> {
        for (i, (site, tap)) in self.taps.iter_mut().enumerate() {
            let Tap::Transform(transform) = tap else { continue };
            transform.load_state(&state.strip_prefix(&format!("{}/", prefix(i, site))))?;
        }
        Ok(())
    }

    fn transforms(&self) -> impl Iterator<Item = (String, &dyn Transform)> {
        self.taps.iter().enumerate().filter_map(|(i, (site, tap))| match tap {
            Tap::Transform(transform) => Some((prefix(i, site), &**transform)),
            Tap::Observe(_) => None,
        })
    }
}

fn prefix(i: usize, site: &Site) -> String {
    match site.port {
        Port::Output => format!("tap{i}:{}", site.node),
        Port::Input(input) => format!("tap{i}:{}.in{input}", site.node),
    }
}
