//! The whole pipeline on a small problem: the same file for a seed, whatever the threads, however often it is interrupted.

use std::path::Path;

use nnc::archive::{Archive, Meta};
use nnc::deep_compression::{Compressed, Job, Watch, evaluate, run};
use nnc::recipe::Recipe;
use nnc_core::candle::Device;
use nnc_core::data::{Normalization, Splits};
use nnc_core::network::Network;
use nnc_core::params::{ParamKind, Params};
use nnc_core::rng::Rng;
use nnc_core::source::VarSource;
use nnc_core::train::Trainee;
use nnc_core::{Error, Result};

const RECIPE: &str = r#"
    seed = 4

    [[layer]]
    match = "ip1.weight"
    prune = { density = 0.2 }
    share = { bits = 3 }

    [[layer]]
    match = "ip2.weight"
    prune = { quality = 0.5 }
    share = { bits = 4, init = "forgy" }
    store = { index_bits = 3 }

    [[layer]]
    match = "*.bias"

    [training]
    n_epochs = 2
    batch_size = 20
    jitter = 1
    optimizer = { kind = "sgd", momentum = 0.9, nesterov = true, weight_decay = 1e-4 }
    schedule = { kind = "cosine", lr = 0.1, end = 0.0, warmup = 0.0 }

    [retraining]
    rounds = 2
    round = { n_epochs = 1, batch_size = 20, optimizer = { kind = "adam", beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0.0 }, schedule = { kind = "constant", lr = 0.003 } }
    last = { n_epochs = 2, batch_size = 20, optimizer = { kind = "sgd", momentum = 0.9, nesterov = false, weight_decay = 0.0 }, schedule = { kind = "steps", lr = 0.02, gamma = 0.1, every = 1 } }

    [sharing]
    lr_scale = 0.1
    phase = { n_epochs = 1, batch_size = 20, optimizer = { kind = "sgd", momentum = 0.9, nesterov = false, weight_decay = 0.0 }, schedule = { kind = "constant", lr = 0.01 } }
"#;

/// 300 images to train on and the 5,000 that validation takes: noise with a bright half that tells the class.
fn write_data(dir: &Path) {
    let idx = |kind: u8, dims: &[u32], bytes: &[u8]| {
        let mut file = vec![0, 0, kind, dims.len() as u8];
        dims.iter().for_each(|dim| file.extend(dim.to_be_bytes()));
        file.extend(bytes);
        file
    };
    for (name, n) in [("train", 5_300_u32), ("t10k", 10)] {
        let mut rng = Rng::keyed(9, name, &[]);
        let labels: Vec<u8> = (0..n).map(|i| (i % 2) as u8).collect();
        let mut images = Vec::new();
        for &label in &labels {
            for pixel in 0..36 {
                images.push((rng.below(150) + if (pixel % 6 < 3) == (label == 0) { 70 } else { 0 }) as u8);
            }
        }
        std::fs::write(dir.join(format!("{name}-images-idx3-ubyte")), idx(8, &[n, 6, 6], &images)).unwrap();
        std::fs::write(dir.join(format!("{name}-labels-idx1-ubyte")), idx(8, &[n], &labels)).unwrap();
    }
}

/// Stops at a step of the whole job.
struct StopAt(Option<usize>);

impl Watch for StopAt {
    fn progress(&mut self, _step: &str, done: usize, total: usize) -> Result<()> {
        assert!(done <= total, "{done} of {total}");
        if self.0.is_some_and(|stop| done >= stop) { Err(Error::Cancelled) } else { Ok(()) }
    }
}

struct Bench {
    data: Splits,
    _dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        write_data(dir.path());
        Self { data: Splits::open(dir.path()).unwrap(), _dir: dir }
    }

    fn run(&self, recipe: &Recipe, state_dir: Option<&Path>, stop_at: Option<usize>) -> Result<Compressed> {
        let (network, specs) = Network::builder()
            .input("image", &[1, 6, 6])
            .flatten("flatten")
            .linear("ip1", 12)
            .relu("relu1")
            .dropout("drop", 0.2)
            .linear("ip2", 2)
            .output("logits")
            .build()?;
        let normalization = Normalization::of(self.data.train());
        let job = Job {
            network: &network,
            specs: &specs,
            data: &self.data,
            normalization: &normalization,
            recipe,
            state_dir,
        };
        run(&job, &mut StopAt(stop_at))
    }
}

fn file(compressed: &Compressed) -> Vec<u8> {
    let archive = Archive {
        network: Some(compressed.network.clone()),
        weights: compressed.stored.clone(),
        meta: Meta::default(),
    };
    archive.write().unwrap()
}

#[test]
fn the_steps_come_in_order_and_the_file_holds_what_the_recipe_says() {
    let recipe = Recipe::from_toml(RECIPE).unwrap();
    let compressed = Bench::new().run(&recipe, None, None).unwrap();
    let steps: Vec<&str> = compressed.steps.iter().map(|step| step.step.as_str()).collect();
    assert_eq!(steps, ["dense", "pruned 1/2", "pruned 2/2", "shared"]);
    assert!(compressed.steps[0].validation.percent() < 10.0, "{}", compressed.steps[0].validation);
    assert!(compressed.steps[3].validation.percent() < 20.0, "{}", compressed.steps[3].validation);
    let read = Archive::read(&file(&compressed)).unwrap();
    // 20 % of 36 × 12 weights, less what died; 8 codes, one of them for zero.
    let ip1 = read
        .params(&Device::Cpu)
        .unwrap()
        .tensor("ip1.weight")
        .unwrap()
        .flatten_all()
        .unwrap()
        .to_vec1::<f32>()
        .unwrap();
    let mut values: Vec<u32> = ip1.iter().filter(|w| **w != 0.0).map(|w| w.to_bits()).collect();
    assert!(values.len() <= 86 && values.len() > 40, "{}", values.len());
    values.sort_unstable();
    values.dedup();
    assert!(values.len() <= 7, "{} distinct values", values.len());
    let kinds: Vec<ParamKind> = read.weights.iter().map(|(_, kind, _)| *kind).collect();
    assert_eq!(kinds, [ParamKind::Weight, ParamKind::Bias, ParamKind::Weight, ParamKind::Bias]);
}

#[test]
fn a_seed_fixes_the_file_for_every_thread_count() {
    let (bench, recipe) = (Bench::new(), Recipe::from_toml(RECIPE).unwrap());
    let run = |n_threads, recipe: &Recipe| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| file(&bench.run(recipe, None, None).unwrap()))
    };
    let one = run(1, &recipe);
    assert!(run(2, &recipe) == one && run(3, &recipe) == one);
    assert!(run(1, &Recipe { seed: 5, ..recipe }) != one);
}

#[test]
fn an_interrupted_and_resumed_job_writes_the_same_file() {
    let (bench, recipe) = (Bench::new(), Recipe::from_toml(RECIPE).unwrap());
    let whole = file(&bench.run(&recipe, None, None).unwrap());
    // 15 steps an epoch, 6 epochs: in the dense network, between two steps of the pipeline, in each later one.
    for stop_at in [1, 16, 30, 31, 50, 80, 90] {
        let dir = tempfile::tempdir().unwrap();
        let stopped = bench.run(&recipe, Some(dir.path()), Some(stop_at));
        assert!(matches!(stopped, Err(Error::Cancelled)), "stop at {stop_at}");
        assert!(file(&bench.run(&recipe, Some(dir.path()), None).unwrap()) == whole, "stopped at {stop_at}");
    }
}

#[test]
fn what_is_pruned_and_not_shared_trains_on_under_its_mask_and_is_stored_as_validated() {
    // Few enough connections that the network errs, and a rate at which pruned ones would come back with weight.
    let text = RECIPE
        .replace("share = { bits = 3 }", "")
        .replace("density = 0.2", "density = 0.02")
        .replace("kind = \"constant\", lr = 0.01", "kind = \"constant\", lr = 1.0");
    let bench = Bench::new();
    let compressed = bench.run(&Recipe::from_toml(&text).unwrap(), None, None).unwrap();
    let read = Archive::read(&file(&compressed)).unwrap();
    let stored = read.params(&Device::Cpu).unwrap();
    let flat = |params: &Params| {
        params.tensor("ip1.weight").unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    let (before, after) = (flat(&compressed.pruned), flat(&stored));
    assert!(before.contains(&0.0) && before != after);
    for (i, (before, after)) in before.iter().zip(&after).enumerate() {
        assert!(*before != 0.0 || *after == 0.0, "ip1.weight[{i}] was pruned and came back as {after}");
    }
    let trainee = Trainee::new(compressed.network.clone(), VarSource::new(&stored).unwrap());
    let normalization = Normalization::of(bench.data.train());
    let validation = evaluate(&trainee, bench.data.validation(), &normalization).unwrap();
    assert!(validation.n_errors > 0, "a network without errors cannot show a difference");
    assert_eq!(validation, compressed.steps[3].validation);
}

#[test]
fn a_weight_without_a_goal_loses_what_its_dead_neurons_feed() {
    // Nine connections into twelve neurons: at least three have none.
    let text = RECIPE.replace("density = 0.2", "density = 0.02").replace("prune = { quality = 0.5 }", "");
    let compressed = Bench::new().run(&Recipe::from_toml(&text).unwrap(), None, None).unwrap();
    let rows = |name: &str| compressed.pruned.tensor(name).unwrap().to_vec2::<f32>().unwrap();
    let (ip1, ip2) = (rows("ip1.weight"), rows("ip2.weight"));
    let dead: Vec<usize> = (0..12).filter(|&i| ip1[i].iter().all(|w| *w == 0.0)).collect();
    assert!(dead.len() >= 3);
    assert!(dead.iter().all(|&i| ip2.iter().all(|row| row[i] == 0.0)), "{dead:?}, {ip2:?}");
}

#[test]
fn a_goal_to_prune_without_retraining_is_refused_rather_than_ignored() {
    let recipe = Recipe { retraining: None, ..Recipe::from_toml(RECIPE).unwrap() };
    let message = Bench::new().run(&recipe, None, None).unwrap_err().to_string();
    assert!(message.contains("[retraining]") && message.contains("ip1.weight"), "{message}");
}

#[test]
fn one_round_is_the_last_with_or_without_training_for_the_others() {
    let mut one = Recipe::from_toml(RECIPE).unwrap();
    let retraining = one.retraining.as_mut().unwrap();
    retraining.rounds = 1;
    let with = Bench::new().run(&one, None, None).unwrap();
    one.retraining.as_mut().unwrap().round = None;
    let without = Bench::new().run(&one, None, None).unwrap();
    assert!(file(&with) == file(&without));
    assert_eq!(without.steps[1].step, "pruned 1/1");

    one.retraining.as_mut().unwrap().rounds = 2;
    let message = Bench::new().run(&one, None, None).unwrap_err().to_string();
    assert!(message.contains("[retraining.round]") && message.contains("2 rounds"), "{message}");
}

#[test]
fn a_recipe_without_training_or_with_an_idle_pattern_is_refused() {
    let bench = Bench::new();
    let untrained = Recipe { training: None, ..Recipe::from_toml(RECIPE).unwrap() };
    assert!(bench.run(&untrained, None, None).unwrap_err().to_string().contains("[training]"));
    let idle = Recipe::from_toml(&RECIPE.replace("ip2.weight", "ip9.weight")).unwrap();
    let error = bench.run(&idle, None, None).unwrap_err();
    assert!(matches!(&error, Error::NoMatch { pattern, .. } if pattern == "ip9.weight"), "{error}");
}

#[test]
fn the_recipes_in_the_repository_fit_their_networks() {
    use nnc_core::network::zoo::{LeNetConfig, lenet_5, lenet_300_100};
    let config = LeNetConfig { image: [1, 28, 28], classes: 10, dropout: None };
    let networks =
        [("lenet-300-100", lenet_300_100(&config).unwrap()), ("lenet-5", lenet_5(&config).unwrap())];
    let mut n_recipes = 0;
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes")).unwrap() {
        let path = entry.unwrap().path();
        let recipe = Recipe::from_toml(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let stem = path.file_stem().unwrap().to_str().unwrap().trim_end_matches("-smallest").to_owned();
        let (_, (_, specs)) =
            networks.iter().find(|(name, _)| *name == stem).expect("a recipe is named after its network");
        let names: Vec<String> = specs.iter().map(|spec| spec.name.clone()).collect();
        let assigned = recipe.assign(&names).unwrap();
        assert!(assigned.iter().all(Option::is_some), "{}", path.display());
        n_recipes += 1;
    }
    assert_eq!(n_recipes, 4);
}
