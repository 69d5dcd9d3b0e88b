//! Where a network gets its parameters from: the seam that masks, codebooks and fake quantizers wrap.
//!
//! A network asks its [`ParamSource`] for every parameter by name and never knows which method is at work.
//! A method is a source wrapped round another: it changes what [`get`](ParamSource::get) returns, owns or replaces
//! [`trainables`](ParamSource::trainables), adds to [`state`](ParamSource::state), and says how a parameter would be stored
//! ([`freeze`](ParamSource::freeze)). Whatever it does not change, it forwards.

mod variables;

pub use variables::VarSource;

use std::fmt::Debug;

use candle_core::{Tensor, Var};

use crate::Result;
use crate::params::{ParamKind, Params};
use crate::rng::Rng;
use crate::weight::StoredWeight;

/// Whether a forward pass trains or evaluates: dropout and batch norm ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Dropout drops, batch norm uses the batch's statistics.
    Train,
    /// Dropout is the identity, batch norm uses its running statistics.
    Eval,
}

/// Where in a run a forward pass happens; the key of every random stream it draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    mode: Mode,
    seed: u64,
    index: u64,
}

impl Step {
    /// The training step number `index` of the run `seed`.
    pub fn train(seed: u64, index: u64) -> Self {
        Self { mode: Mode::Train, seed, index }
    }

    /// An evaluation: nothing is random.
    pub fn eval() -> Self {
        Self { mode: Mode::Eval, seed: 0, index: 0 }
    }

    /// Whether this is a training step.
    pub fn is_train(&self) -> bool {
        self.mode == Mode::Train
    }

    /// The mode.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The step's number within its run.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The random stream of the node or method `name` in this step, whatever was drawn before.
    pub fn rng(&self, name: &str) -> Rng {
        Rng::keyed(self.seed, name, &[self.index])
    }
}

/// A variable that an optimizer may move.
#[derive(Debug, Clone)]
pub struct Trainable {
    /// A unique name; optimizer state is kept under it.
    pub name: String,
    /// The variable.
    pub var: Var,
    /// Factor on the learning rate (1 unless the method says otherwise; 0 freezes).
    pub lr_scale: f64,
    /// Factor on the weight decay: 1 for weights, 0 for biases, buffers and method parameters.
    pub decay_scale: f64,
}

impl Trainable {
    /// A trainable of the given kind with learning-rate factor 1; only weights decay.
    pub fn new(name: impl Into<String>, var: Var, kind: ParamKind) -> Self {
        let decay_scale = if kind == ParamKind::Weight { 1.0 } else { 0.0 };
        Self { name: name.into(), var, lr_scale: 1.0, decay_scale }
    }
}

/// Serves the parameters and buffers of a network.
///
/// Implementations that wrap another source forward what they do not change.
pub trait ParamSource: Debug + Send + Sync {
    /// The value of the parameter or buffer `name` in `step`, connected to the [`trainables`](Self::trainables) it depends on.
    ///
    /// A wrapper may serve names that the source below does not know (a folded bias, a learned range).
    ///
    /// # Errors
    /// [`NotFound`](crate::Error::NotFound) for an unknown name.
    fn get(&self, name: &str, step: &Step) -> Result<Tensor>;

    /// Whether `name` is served.
    fn contains(&self, name: &str) -> bool;

    /// The parameters and buffers served, in a fixed order, with their kinds.
    fn names(&self) -> Vec<(String, ParamKind)>;

    /// What an optimizer may move, in a fixed order.
    fn trainables(&self) -> Vec<Trainable>;

    /// Replaces the buffer `name` (a running mean) by `value` of the same shape.
    ///
    /// # Errors
    /// [`NotFound`](crate::Error::NotFound) when `name` is not a buffer.
    fn set_buffer(&self, name: &str, value: &Tensor) -> Result<()>;

    /// All that a later [`load_state`](Self::load_state) needs to continue exactly here.
    ///
    /// # Errors
    /// Those of copying tensors.
    fn state(&self) -> Result<Params>;

    /// Returns to a saved state.
    ///
    /// # Errors
    /// When an entry is missing or has another shape.
    fn load_state(&mut self, state: &Params) -> Result<()>;

    /// How the parameter `name` would be stored.
    ///
    /// # Errors
    /// [`NotFound`](crate::Error::NotFound) for an unknown name.
    fn freeze(&self, name: &str) -> Result<StoredWeight>;

    /// The values of all parameters and buffers, as evaluation sees them.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    fn snapshot(&self) -> Result<Params> {
        let mut params = Params::new();
        for (name, kind) in self.names() {
            let value = self.get(&name, &Step::eval())?.detach().copy()?;
            params.insert(name, kind, value);
        }
        Ok(params)
    }
}

impl<S: ParamSource + ?Sized> ParamSource for Box<S> {
    fn get(&self, name: &str, step: &Step) -> Result<Tensor> {
        (**self).get(name, step)
    }

    fn contains(&self, name: &str) -> bool {
        (**self).contains(name)
    }

    fn names(&self) -> Vec<(String, ParamKind)> {
        (**self).names()
    }

    fn trainables(&self) -> Vec<Trainable> {
        (**self).trainables()
    }

    fn set_buffer(&self, name: &str, value: &Tensor) -> Result<()> {
        (**self).set_buffer(name, value)
    }

    fn state(&self) -> Result<Params> {
        (**self).state()
    }

    fn load_state(&mut self, state: &Params) -> Result<()> {
        (**self).load_state(state)
    }

    fn freeze(&self, name: &str) -> Result<StoredWeight> {
        (**self).freeze(name)
    }

    fn snapshot(&self) -> Result<Params> {
        (**self).snapshot()
    }
}
