//! What the training loop trains.

use candle_core::Tensor;

use crate::Result;
use crate::forward;
use crate::model::{Model, Outputs};
use crate::network::Network;
use crate::params::Params;
use crate::source::{ParamSource, Step, Trainable};
use crate::tap::Taps;

/// A model that can be trained: it names its variables and can be saved and restored.
///
/// [`Trainee`] is the usual one; a hand-written candle model becomes one by implementing these three methods.
pub trait Learner: Model {
    /// What an optimizer may move, in a fixed order.
    fn trainables(&self) -> Vec<Trainable>;

    /// All that [`load_state`](Self::load_state) needs to continue exactly here.
    ///
    /// # Errors
    /// Those of copying tensors.
    fn state(&self) -> Result<Params>;

    /// Returns to a saved state.
    ///
    /// # Errors
    /// When an entry is missing or has another shape.
    fn load_state(&mut self, state: &Params) -> Result<()>;
}

/// A network, the source of its parameters, and the taps on its activations.
///
/// Callbacks may change any of the three between steps: a mask, a network after surgery, a quantizer switched on.
#[derive(Debug)]
pub struct Trainee {
    /// The graph.
    pub network: Network,
    /// Its parameters, through whatever lenses.
    pub source: Box<dyn ParamSource>,
    /// Its activations' observers and transforms.
    pub taps: Taps,
}

impl Trainee {
    /// A trainee without taps.
    pub fn new(network: Network, source: impl ParamSource + 'static) -> Self {
        Self { network, source: Box::new(source), taps: Taps::new() }
    }
}

impl Model for Trainee {
    fn outputs(&self, input: &Tensor, want: &[&str], step: &Step) -> Result<Outputs> {
        forward::run(&self.network, &*self.source, &self.taps, input, want, step)
    }
}

impl Learner for Trainee {
    fn trainables(&self) -> Vec<Trainable> {
        let mut trainables = self.source.trainables();
        trainables.extend(self.taps.trainables());
        trainables
    }

    fn state(&self) -> Result<Params> {
        let mut state = Params::new();
        state.extend_prefixed("source/", &self.source.state()?);
        state.extend_prefixed("taps/", &self.taps.state()?);
        Ok(state)
    }

    fn load_state(&mut self, state: &Params) -> Result<()> {
        self.source.load_state(&state.strip_prefix("source/"))?;
        self.taps.load_state(&state.strip_prefix("taps/"))
    }
}
