//! The one training loop: batches, loss terms, an optimizer, a schedule, callbacks, and exact resume.
//!
//! [`fit`] is a pure function of the learner's state, the data, the terms and the [`FitConfig`]: every draw is keyed by
//! (seed, step, name), so the same seed gives the same bits whatever the thread count, and a run that was interrupted and
//! resumed from its [`Checkpoint`] equals one that was not.

mod callback;
mod checkpoint;
mod fit;
mod learner;
mod loss;
mod optimizer;
mod range;
mod schedule;

pub use callback::{Callback, EpochEnd, Flow, KeepBest, StepEnd};
pub use checkpoint::Checkpoint;
pub use fit::{Fit, FitConfig, Summary, fit};
pub use learner::{Learner, Trainee};
pub use loss::{CrossEntropy, LossContext, LossTerm};
pub use optimizer::{Optimizer, OptimizerConfig};
pub use schedule::Schedule;
