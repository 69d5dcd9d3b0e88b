//! The laws that every source keeps, alone and stacked: saving, order, snapshots, stored forms, buffers.

use nnc_core::candle::{Device, Tensor};
use nnc_core::data::Batch;
use nnc_core::model::Outputs;
use nnc_core::ops;
use nnc_core::params::{ParamKind, Params};
use nnc_core::rng::Rng;
use nnc_core::source::{ParamSource, Step, VarSource};
use nnc_core::train::{LossContext, LossTerm, Optimizer, OptimizerConfig};
use nnc_core::weight::WeightTensor;
use nnc_prune::regularizer::Penalty;
use nnc_prune::{Gradient, Mask, MaskedSource, Masks};
use nnc_quant::codebook::{ClusterConfig, CodebookSource, Init, SharedWeight};

/// Two weights, a bias, and a buffer, drawn with `seed`.
fn params(seed: u64) -> Params {
    let mut params = Params::new();
    for (name, kind, shape) in [
        ("a.weight", ParamKind::Weight, &[6, 5][..]),
        ("a.bias", ParamKind::Bias, &[6]),
        ("b.weight", ParamKind::Weight, &[3, 2, 2, 2]),
        ("bn.running_mean", ParamKind::Buffer, &[3]),
    ] {
        let mut rng = Rng::keyed(seed, name, &[]);
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.normal()).collect();
        params.insert(name, kind, Tensor::from_vec(values, shape, &Device::Cpu).unwrap());
    }
    params
}

fn masks(seed: u64) -> Masks {
    let masks = Masks::new();
    for (name, shape) in [("a.weight", &[6, 5][..]), ("b.weight", &[3, 2, 2, 2])] {
        let mut rng = Rng::keyed(seed, name, &[1]);
        masks.set(name, Mask::from_fn(shape, |_| rng.below(3) == 0)).unwrap();
    }
    masks
}

fn masked<S: ParamSource>(inner: S, seed: u64) -> MaskedSource<S> {
    MaskedSource::new(inner, masks(seed), Gradient::Masked).unwrap()
}

/// Shares `a.weight` as `inner` serves it.
fn shared<S: ParamSource>(inner: S, seed: u64) -> CodebookSource<S> {
    let config = ClusterConfig { n_shared: 4, init: Init::Linear, max_iterations: 50 };
    let weight = inner.get("a.weight", &Step::eval()).unwrap();
    let weight = SharedWeight::cluster(&weight, &config, &mut Rng::keyed(seed, "share", &[])).unwrap();
    CodebookSource::new(inner, vec![("a.weight".into(), weight)]).unwrap().with_centroid_lr_scale(0.5)
}

/// Every stack, built from `seed`: two seeds give two states of the same structure.
fn stacks(seed: u64) -> Vec<(&'static str, Box<dyn ParamSource>)> {
    let bottom = || VarSource::new(&params(seed)).unwrap();
    vec![
        ("variables", Box::new(bottom())),
        ("masked", Box::new(masked(bottom(), seed))),
        ("shared", Box::new(shared(bottom(), seed))),
        ("shared over masked", Box::new(shared(masked(bottom(), seed), seed))),
        // The same masks above and below, so that the outer one finds its zeros in the stored form.
        ("masked over shared over masked", Box::new(masked(shared(masked(bottom(), seed), seed), seed))),
        ("masked twice", Box::new(masked(masked(bottom(), seed), seed + 100))),
    ]
}

fn bits(params: &Params) -> Vec<(String, ParamKind, Vec<usize>, Vec<u32>)> {
    let bits =
        |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap().iter().map(|x| x.to_bits()).collect();
    params.iter().map(|p| (p.name.clone(), p.kind, p.tensor.dims().to_vec(), bits(&p.tensor))).collect()
}

fn trainable_names(source: &dyn ParamSource) -> Vec<String> {
    source.trainables().into_iter().map(|trainable| trainable.name).collect()
}

/// One step on `Σ w²/2` of everything served, so that every trainable that anything depends on moves.
fn step(source: &dyn ParamSource, optimizer: &mut Optimizer, index: u64) {
    let mut loss = Tensor::new(0_f32, &Device::Cpu).unwrap();
    for (name, _) in source.names() {
        let value = source.get(&name, &Step::train(1, index)).unwrap();
        loss = (loss + (value.sqr().unwrap().sum_all().unwrap() * 0.5).unwrap()).unwrap();
    }
    optimizer.step(&source.trainables(), &ops::backward(&loss).unwrap(), 0.1).unwrap();
}

#[test]
fn a_saved_state_comes_back_through_a_file() {
    for ((what, one), (_, mut other)) in stacks(1).into_iter().zip(stacks(2)) {
        let saved = one.state().unwrap().to_safetensors().unwrap();
        assert!(bits(&one.snapshot().unwrap()) != bits(&other.snapshot().unwrap()), "{what}");
        other.load_state(&Params::from_safetensors(&saved, &Device::Cpu).unwrap()).unwrap();
        assert!(bits(&one.snapshot().unwrap()) == bits(&other.snapshot().unwrap()), "{what}");
        assert!(other.state().unwrap().to_safetensors().unwrap() == saved, "{what}");
        // The restored one also learns alike.
        let mut optimizers = [(); 2].map(|()| Optimizer::new(OptimizerConfig::sgd(0.1)));
        for index in 0..3 {
            step(&*one, &mut optimizers[0], index);
            step(&*other, &mut optimizers[1], index);
        }
        assert!(bits(&one.snapshot().unwrap()) == bits(&other.snapshot().unwrap()), "{what}");
    }
}

#[test]
fn a_saved_state_does_not_follow_the_variables() {
    for (what, source) in stacks(1) {
        let state = source.state().unwrap();
        let before = state.to_safetensors().unwrap();
        step(&*source, &mut Optimizer::new(OptimizerConfig::sgd(0.0)), 0);
        assert!(state.to_safetensors().unwrap() == before, "{what}");
        assert!(source.state().unwrap().to_safetensors().unwrap() != before, "{what}");
    }
}

#[test]
fn a_state_that_lacks_an_entry_is_refused() {
    for (what, mut source) in stacks(1) {
        assert!(source.load_state(&Params::new()).is_err(), "{what}");
    }
}

#[test]
fn names_and_trainables_keep_their_order() {
    let expected: Vec<_> = params(0).iter().map(|p| (p.name.clone(), p.kind)).collect();
    for (what, source) in stacks(1) {
        let trainables = trainable_names(&*source);
        assert_eq!(source.names(), expected, "{what}");
        step(&*source, &mut Optimizer::new(OptimizerConfig::adam()), 0);
        assert_eq!(
            (source.names(), trainable_names(&*source)),
            (expected.clone(), trainables.clone()),
            "{what}"
        );
        let first = if what.contains("shared") { "a.weight/centroids" } else { "a.weight" };
        assert_eq!(trainables, [first, "a.bias", "b.weight"], "{what}");
        for (name, _) in &expected {
            assert!(source.contains(name), "{what}: {name}");
        }
        let unknown = source.get("c.weight", &Step::eval()).unwrap_err().to_string();
        assert!(!source.contains("c.weight") && unknown.contains("b.weight"), "{what}: {unknown}");
    }
}

#[test]
fn every_trainable_is_reached_by_the_loss() {
    for (what, source) in stacks(1) {
        let mut optimizer = Optimizer::new(OptimizerConfig::adam());
        step(&*source, &mut optimizer, 0);
        let state = optimizer.state().unwrap();
        for name in trainable_names(&*source) {
            assert!(state.get(&format!("first/{name}")).is_some(), "{what}: {name}");
        }
    }
}

#[test]
fn a_snapshot_is_what_evaluation_sees_and_the_stored_form_is_the_same_weight() {
    for (what, source) in stacks(3) {
        step(&*source, &mut Optimizer::new(OptimizerConfig::sgd(0.0)), 0);
        for param in &source.snapshot().unwrap() {
            let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let served = source.get(&param.name, &Step::eval()).unwrap();
            assert_eq!(flat(&param.tensor), flat(&served), "{what}: {}", param.name);
            let stored = source.freeze(&param.name).unwrap();
            assert_eq!(stored.shape(), served.dims());
            let dense = stored.to_dense(&Device::Cpu).unwrap();
            assert_eq!(flat(&dense), flat(&served), "{what}: {}", param.name);
        }
        assert!(source.freeze("c.weight").is_err(), "{what}");
    }
}

#[test]
fn buffers_are_set_through_every_stack_and_parameters_are_not() {
    let value = Tensor::new(&[7_f32, 8.0, 9.0], &Device::Cpu).unwrap();
    for (what, source) in stacks(1) {
        source.set_buffer("bn.running_mean", &value).unwrap();
        let served = source.get("bn.running_mean", &Step::eval()).unwrap();
        assert_eq!(served.to_vec1::<f32>().unwrap(), [7.0, 8.0, 9.0], "{what}");
        let message = source.set_buffer("a.bias", &value).unwrap_err().to_string();
        assert!(message.contains("a.bias"), "{what}: {message}");
        let short = Tensor::new(&[1_f32], &Device::Cpu).unwrap();
        assert!(source.set_buffer("bn.running_mean", &short).is_err(), "{what}");
    }
}

#[test]
fn sharing_keeps_pruned_zeros_while_it_trains() {
    let source = shared(masked(VarSource::new(&params(4)).unwrap(), 4), 4);
    let mask = masks(4).get("a.weight").unwrap();
    let mut optimizer = Optimizer::new(OptimizerConfig::sgd(0.0));
    for index in 0..3 {
        step(&source, &mut optimizer, index);
        let weight = source.get("a.weight", &Step::eval()).unwrap().flatten_all().unwrap();
        for (i, w) in weight.to_vec1::<f32>().unwrap().into_iter().enumerate() {
            assert_eq!(mask.keeps(i), w != 0.0, "entry {i} is {w}");
        }
    }
}

/// The L1 penalty of what `source` lets an optimizer move.
fn penalty(source: &dyn ParamSource) -> nnc_core::Result<f32> {
    let nothing = || Tensor::zeros(0, nnc_core::candle::DType::F32, &Device::Cpu).unwrap();
    let batch = Batch { images: nothing(), labels: nothing(), samples: Vec::new() };
    let (outputs, trainables, step) = (Outputs::new(), source.trainables(), Step::train(1, 0));
    let context = LossContext { outputs: &outputs, batch: &batch, trainables: &trainables, step: &step };
    Ok(Penalty::l1().loss(&context)?.to_scalar::<f32>()?)
}

#[test]
fn a_penalty_leaves_shared_weights_out_and_refuses_when_no_other_is_left() {
    let all = params(7);
    let sum = |name: &str| all.tensor(name).unwrap().abs().unwrap().sum_all().unwrap().to_scalar::<f32>();
    let (a, b) = (sum("a.weight").unwrap(), sum("b.weight").unwrap());
    for (what, source) in stacks(7) {
        let expected = if what.contains("shared") { b } else { a + b };
        let got = penalty(&*source).unwrap();
        assert!((got - expected).abs() < 1e-4 * expected, "{what}: {got}, expected {expected}");
    }
    let mut alone = Params::new();
    for name in ["a.weight", "a.bias"] {
        alone.insert(name, all.kind(name).unwrap(), all.tensor(name).unwrap().clone());
    }
    let message = penalty(&shared(VarSource::new(&alone).unwrap(), 7)).unwrap_err().to_string();
    assert_eq!(
        message,
        "pattern `*` matches no trainable that decays; there are: a.weight/centroids, a.bias"
    );
}

/// The variable behind `a.weight` after three steps, and its mask.
fn train_masked(start: &Params, config: OptimizerConfig) -> Vec<f32> {
    let source = masked(VarSource::new(start).unwrap(), 5);
    let mut optimizer = Optimizer::new(config);
    for index in 0..3 {
        step(&source, &mut optimizer, index);
    }
    source.inner().var("a.weight").unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn pruned_weights_do_not_move_under_their_mask() {
    let mask = masks(5).get("a.weight").unwrap();
    let dense = params(5);
    let mut pruned = dense.clone();
    pruned.replace("a.weight", mask.apply(dense.tensor("a.weight").unwrap()).unwrap()).unwrap();
    let adam_with_decay =
        OptimizerConfig::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.1 };
    for (start, config) in [
        // Whatever they are, without decay; as the zeros that pruning leaves, also with it.
        (&dense, OptimizerConfig::sgd(0.0)),
        (&dense, OptimizerConfig::adam()),
        (&pruned, OptimizerConfig::sgd(0.1)),
        (&pruned, adam_with_decay),
    ] {
        let before = start.tensor("a.weight").unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let after = train_masked(start, config);
        for (i, (before, after)) in before.iter().zip(&after).enumerate() {
            assert_eq!(mask.keeps(i), before != after, "{config:?}, entry {i}: {before} became {after}");
        }
    }
}

#[test]
fn a_damaged_codebook_state_is_an_error_and_never_a_panic() {
    let good = shared(VarSource::new(&params(6)).unwrap(), 6).state().unwrap();
    let vector = |values: Vec<u32>| {
        let n = values.len();
        Tensor::from_vec(values, n, &Device::Cpu).unwrap()
    };
    let floats = |n: usize| Tensor::zeros(n, nnc_core::candle::DType::F32, &Device::Cpu).unwrap();
    let many = 70_000;
    for (entries, what) in [
        (vec![("codes/a.weight", vector(vec![9; 30]))], "a code without a centroid"),
        (vec![("codes/a.weight", vector(vec![0; 29]))], "fewer codes than positions"),
        (vec![("positions/a.weight", vector(vec![0; 30]))], "a position twice"),
        (vec![("positions/a.weight", vector((1..31).collect()))], "a position behind the end"),
        (vec![("centroids/a.weight", floats(0))], "no centroids"),
        (vec![("centroids/a.weight", vector(vec![0; 4]))], "centroids of another type"),
        (
            vec![("centroids/a.weight", floats(many)), ("codes/a.weight", vector(vec![many as u32 - 1; 30]))],
            "more centroids than codes can name",
        ),
    ] {
        let mut state = good.clone();
        for (name, tensor) in entries {
            state.replace(name, tensor).unwrap();
        }
        let mut source = shared(VarSource::new(&params(6)).unwrap(), 6);
        assert!(source.load_state(&state).is_err(), "{what}");
    }
}
