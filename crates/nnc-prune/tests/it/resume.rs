//! A run that is interrupted and resumed equals one that is not, whatever prunes.

use nnc_core::train::{Callback, Checkpoint, Learner, Trainee};
use nnc_core::{Error, Result};
use nnc_prune::splicing::{Hysteresis, Splicing, SplicingConfig};
use nnc_prune::{
    Gradient, Masks, Pruner, PrunerConfig, Rewind, Scope, SparsitySchedule, ThresholdPruner, Updates,
};

use crate::fixture::{CancelAt, N_EPOCHS, STEPS_PER_EPOCH, bits, config, train, trainee};

type Callbacks = Vec<Box<dyn Callback<Trainee>>>;

/// A run under the callbacks that `make` makes of the untrained network.
fn run(
    gradient: Gradient,
    make: fn(&Trainee, &Masks) -> Result<Callbacks>,
    checkpoint: Option<&Checkpoint>,
    cancel_at: Option<usize>,
) -> Result<Vec<(String, Vec<u32>)>> {
    let (mut trainee, masks) = trainee(gradient);
    let mut callbacks = make(&trainee, &masks)?;
    let mut all: Vec<&mut dyn Callback<Trainee>> = Vec::new();
    for callback in &mut callbacks {
        all.push(&mut **callback);
    }
    let mut cancel = CancelAt(cancel_at);
    all.push(&mut cancel);
    train(&mut trainee, config(), checkpoint, &mut all)?;
    Ok(bits(&trainee.state()?))
}

#[track_caller]
fn check(gradient: Gradient, make: fn(&Trainee, &Masks) -> Result<Callbacks>) {
    let whole = run(gradient, make, None, None).unwrap();
    assert!(whole.iter().any(|(name, _)| name.starts_with("source/mask/")), "nothing was pruned");
    // Within the first epoch, at its end, just behind it, in the last.
    for cancel_at in [1, STEPS_PER_EPOCH, STEPS_PER_EPOCH + 1, N_EPOCHS * STEPS_PER_EPOCH - 1] {
        let dir = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::new(dir.path().join("run.safetensors"), "key");
        let cancelled = run(gradient, make, Some(&checkpoint), Some(cancel_at));
        assert!(matches!(cancelled, Err(Error::Cancelled)), "{cancelled:?}");
        let resumed = run(gradient, make, Some(&checkpoint), None).unwrap();
        assert!(resumed == whole, "cancelled at step {cancel_at}");
    }
}

#[test]
fn a_schedule_is_resumed_per_layer_and_globally() {
    fn config(scope: Scope) -> PrunerConfig {
        let schedule = SparsitySchedule::zhu_gupta_2017(0.8, 2, 2, 6);
        PrunerConfig { scope, ..PrunerConfig::new(&["ip*.weight"], schedule) }
    }
    check(Gradient::Masked, |trainee, masks| {
        Ok(vec![Box::new(Pruner::new(trainee, masks, config(Scope::PerLayer))?)])
    });
    check(Gradient::Masked, |trainee, masks| {
        Ok(vec![Box::new(Pruner::new(trainee, masks, config(Scope::Global))?)])
    });
}

#[test]
fn thresholds_of_the_dense_weights_are_resumed() {
    check(Gradient::Masked, |trainee, masks| {
        let updates = Updates { begin: 2, every: 3, last: 16 };
        let pruner = ThresholdPruner::new(trainee, masks, &[("ip1.*", 0.5), ("*.weight", 0.25)], updates)?;
        Ok(vec![Box::new(pruner)])
    });
}

#[test]
fn splicing_is_resumed() {
    check(Gradient::StraightThrough, |trainee, masks| {
        let updates = Updates { begin: 0, every: 1, last: 16 };
        let config = SplicingConfig { gamma: 0.1, ..SplicingConfig::always(updates) };
        let thresholds = |_: &str, weight: &_| Hysteresis::guo_2016(weight, 0.5);
        Ok(vec![Box::new(Splicing::new(trainee, masks, &["ip*.weight"], thresholds, config)?)])
    });
}

#[test]
fn a_rewind_is_resumed_before_and_after_it() {
    check(Gradient::Masked, |trainee, masks| {
        let updates = Updates { begin: 10, every: 1, last: 10 };
        let pruner = ThresholdPruner::new(trainee, masks, &[("ip*.weight", 0.75)], updates)?;
        Ok(vec![Box::new(pruner), Box::new(Rewind::new(trainee, masks, 3, vec![10])?)])
    });
}
