//! Loss terms: what a step minimises is their weighted sum.

use std::fmt::Debug;

use candle_core::Tensor;

use crate::Result;
use crate::data::Batch;
use crate::model::Outputs;
use crate::ops;
use crate::source::{Step, Trainable};

/// What a loss term may look at.
#[derive(Debug)]
pub struct LossContext<'a> {
    /// The outputs that the terms asked for.
    pub outputs: &'a Outputs,
    /// The batch they came from.
    pub batch: &'a Batch,
    /// What the optimizer may move (for penalties on parameters).
    pub trainables: &'a [Trainable],
    /// The step.
    pub step: &'a Step,
}

/// One term of the loss.
pub trait LossTerm: Debug {
    /// The outputs of the model that this term reads.
    fn want(&self) -> Vec<String>;

    /// The term's value, a scalar connected to the model's variables.
    ///
    /// # Errors
    /// The term's own.
    fn loss(&self, context: &LossContext<'_>) -> Result<Tensor>;
}

/// Mean cross-entropy of an output of logits `(B, K)` against the batch's labels.
#[derive(Debug, Clone)]
pub struct CrossEntropy {
    /// The output that holds the logits.
    pub output: String,
}

impl CrossEntropy {
    /// On the output `output`.
    pub fn new(output: impl Into<String>) -> Self {
        Self { output: output.into() }
    }
}

impl LossTerm for CrossEntropy {
    fn want(&self) -> Vec<String> {
        vec![self.output.clone()]
    }

    fn loss(&self, context: &LossContext<'_>) -> Result<Tensor> {
        ops::softmax_cross_entropy(context.outputs.get(&self.output)?, &context.batch.labels)
    }
}
