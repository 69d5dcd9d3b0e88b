//! Some layers stay as they are while others retrain.

use nnc_core::candle::Tensor;
use nnc_core::params::{ParamKind, Params};
use nnc_core::source::{ParamSource, Step, Trainable};
use nnc_core::weight::StoredWeight;
use nnc_core::{Error, Result};

/// Serves some parameters as constants: no gradient reaches them, no penalty and no decay; everything else passes.
///
/// A network that has just lost connections in one part has to recover there, and gradients that cross several layers vanish:
/// Han et al. retrain the linear layers with the convolutions frozen, and the other way round.
///
/// A frozen buffer stays as it is too: the running statistics of a batch norm are not updated.
///
/// # Source
/// Han et al. 2015, §3.3.
#[derive(Debug)]
pub struct FrozenSource<S> {
    inner: S,
    frozen: Vec<String>,
}

impl<S: ParamSource> FrozenSource<S> {
    /// Wraps `inner` and freezes every parameter and buffer whose name `is_frozen` accepts.
    ///
    /// # Errors
    /// [`Error::NoMatch`] when it accepts none, [`Error::InvalidArgument`] when nothing is left to train.
    pub fn new(inner: S, is_frozen: impl Fn(&str) -> bool) -> Result<Self> {
        let names: Vec<String> = inner.names().into_iter().map(|(name, _)| name).collect();
        let frozen: Vec<String> = names.iter().filter(|name| is_frozen(name)).cloned().collect();
        if frozen.is_empty() {
            return Err(Error::NoMatch { what: "parameter", pattern: "frozen".into(), known: names });
        }
        let source = Self { inner, frozen };
        if source.trainables().is_empty() {
            return Err(Error::invalid("is_frozen", "a choice that leaves something to train", "everything"));
        }
        Ok(source)
    }

    fn is_frozen(&self, name: &str) -> bool {
        self.frozen.iter().any(|frozen| frozen == name)
    }
}

impl<S: ParamSource> ParamSource for FrozenSource<S> {
    fn get(&self, name: &str, step: &Step) -> Result<Tensor> {
        let value = self.inner.get(name, step)?;
        // Without a path back, variables that go under another name than the parameter's (shared values) stay too.
        Ok(if self.is_frozen(name) { value.detach() } else { value })
    }

    fn contains(&self, name: &str) -> bool {
        self.inner.contains(name)
    }

    fn names(&self) -> Vec<(String, ParamKind)> {
        self.inner.names()
    }

    fn trainables(&self) -> Vec<Trainable> {
        let mut trainables = self.inner.trainables();
        trainables.retain(|trainable| !self.is_frozen(&trainable.name));
        trainables
    }

    fn set_buffer(&self, name: &str, value: &Tensor) -> Result<()> {
        if self.is_frozen(name) { Ok(()) } else { self.inner.set_buffer(name, value) }
    }

    fn state(&self) -> Result<Params> {
        self.inner.state()
    }

    fn load_state(&mut self, state: &Params) -> Result<()> {
        self.inner.load_state(state)
    }

    fn freeze(&self, name: &str) -> Result<StoredWeight> {
        self.inner.freeze(name)
    }
}

#[cfg(test)]
mod tests {
    use nnc_core::candle::Device;
    use nnc_core::data::Batch;
    use nnc_core::model::Model;
    use nnc_core::network::Network;
    use nnc_core::ops;
    use nnc_core::source::VarSource;
    use nnc_core::train::Learner;
    use nnc_core::train::{CrossEntropy, LossContext, LossTerm, Optimizer, OptimizerConfig, Trainee};

    use super::*;
    use crate::regularizer::Penalty;
    use crate::{Gradient, MaskedSource, Masks};

    fn network() -> (Network, Params) {
        let b =
            Network::builder().input("x", &[4]).linear("a", 3).relu("relu").batch_norm("bn").linear("b", 2);
        let (network, specs) = b.output("logits").build().unwrap();
        let params = specs.init(3, &Device::Cpu).unwrap();
        (network, params)
    }

    #[test]
    fn frozen_layers_stay_under_loss_penalty_and_decay_while_the_rest_moves() {
        let (network, params) = network();
        let inner = VarSource::new(&params).unwrap();
        let masked = MaskedSource::new(inner, Masks::new(), Gradient::Masked).unwrap();
        let source = FrozenSource::new(masked, |name| !name.starts_with("b.")).unwrap();
        let trainee = Trainee::new(network, source);
        let images = Tensor::new(&[[1_f32, -2.0, 0.5, 3.0], [0.0, 1.0, -1.0, 2.0]], &Device::Cpu).unwrap();
        let labels = Tensor::new(&[0_u32, 1], &Device::Cpu).unwrap();
        let batch = Batch { images, labels, samples: vec![0, 1] };
        let mut optimizer = Optimizer::new(OptimizerConfig::sgd(0.1));
        for index in 0..3 {
            let step = Step::train(1, index);
            let outputs = trainee.outputs(&batch.images, &["logits"], &step).unwrap();
            let trainables = trainee.trainables();
            let context =
                LossContext { outputs: &outputs, batch: &batch, trainables: &trainables, step: &step };
            let loss = CrossEntropy::new("logits").loss(&context).unwrap();
            let loss = (loss + Penalty::l1().loss(&context).unwrap()).unwrap();
            optimizer.step(&trainables, &ops::backward(&loss).unwrap(), 0.1).unwrap();
        }
        let after = trainee.source.snapshot().unwrap();
        for param in &params {
            let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let (before, after) = (values(&param.tensor), values(after.tensor(&param.name).unwrap()));
            assert_eq!(before != after, param.name.starts_with("b."), "{}", param.name);
        }
    }

    #[test]
    fn freezing_nothing_or_everything_is_an_error() {
        let source = || VarSource::new(&network().1).unwrap();
        assert!(matches!(FrozenSource::new(source(), |name| name == "c.weight"), Err(Error::NoMatch { .. })));
        assert!(
            FrozenSource::new(source(), |_| true).unwrap_err().to_string().contains("something to train")
        );
    }
}
