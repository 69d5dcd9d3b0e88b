//! Which values share a site, and the intervals found on them.

use nnc_core::candle::{DType, Device};
use nnc_core::network::zoo::{LeNetConfig, lenet_5};
use nnc_core::network::{Conv, Op};
use nnc_core::ops::Pool2dConfig;
use nnc_core::params::ParamSpecs;
use nnc_core::source::VarSource;

use super::*;

/// Every rule of the sites in one network.
fn branched() -> (Network, ParamSpecs) {
    let pool = Pool2dConfig::square(2);
    Network::builder()
        .input("image", &[2, 8, 8])
        .conv2d("conv", Conv::new(4, 3).padding(1).without_bias())
        .batch_norm("bn")
        .relu("relu")
        .max_pool2d("pool", pool)
        .conv2d("left", Conv::new(4, 1))
        .from(&["pool"])
        .conv2d("right", Conv::new(4, 1))
        .op("right6", Op::Relu6)
        .from(&["left", "right6"])
        .add("sum")
        .relu("sum_relu")
        .dropout("drop", 0.5)
        .max_pool2d("pool2", pool)
        .batch_norm("bn2")
        .flatten("flat")
        .linear("fc", 3)
        .output("logits")
        .op("softmax", Op::Softmax)
        .output("probabilities")
        .build()
        .unwrap()
}

fn source(specs: &ParamSpecs) -> VarSource {
    VarSource::new(&specs.init(7, &Device::Cpu).unwrap()).unwrap()
}

fn image(shape: &[usize], seed: u64) -> Tensor {
    let mut rng = nnc_core::rng::Rng::keyed(seed, "image", &[]);
    let values = (0..shape.iter().product()).map(|_| rng.uniform_in(-1.0, 1.0)).collect();
    Tensor::from_vec::<_, f32>(values, shape, &Device::Cpu).unwrap()
}

#[test]
fn values_inside_one_operator_have_no_scale_of_their_own() {
    let (network, _) = branched();
    let site = |name: &str| {
        let site = site_of_values(&network)[network.value(name).unwrap()];
        network.value_name(site).to_owned()
    };
    for (value, expected) in [
        ("image", "image"),
        ("conv", "pool"),
        ("bn", "pool"),
        ("relu", "pool"),
        ("pool", "pool"),
        ("left", "left"),
        ("right", "right6"),
        ("sum", "sum_relu"),
        // Dropout moves numbers, and so does the pooling behind it.
        ("drop", "sum_relu"),
        ("pool2", "sum_relu"),
        // This batch norm folds into nothing.
        ("bn2", "bn2"),
        ("flat", "bn2"),
        // An output is seen from outside.
        ("fc", "fc"),
        ("softmax", "softmax"),
    ] {
        assert_eq!(site(value), expected, "{value}");
    }
    assert_eq!(sites(&network), ["image", "pool", "left", "right6", "sum_relu", "bn2", "fc", "softmax"]);
}

#[test]
fn bounds_by_construction_need_no_observer() {
    let (network, specs) = branched();
    let bound = |name: &str| bound_of(&network, name).unwrap().map(<[f32; 2]>::from);
    assert_eq!(bound("right6"), Some([0.0, 6.0]));
    assert_eq!(bound("softmax"), Some([0.0, 1.0]));
    assert_eq!((bound("pool"), bound("image")), (None, None));
    assert!(bound_of(&network, "none").is_err());
    let (clipped, _) = Network::builder()
        .input("x", &[2, 4, 4])
        .op("clip", Op::Clip { min: -1.0, max: 2.0 })
        .max_pool2d("pool", Pool2dConfig::square(2))
        .flatten("flat")
        .output("y")
        .op("open", Op::Clip { min: 0.0, max: f32::INFINITY })
        .output("z")
        .build()
        .unwrap();
    assert_eq!(bound_of(&clipped, "flat").unwrap().map(<[f32; 2]>::from), Some([-1.0, 2.0]));
    assert_eq!(bound_of(&clipped, "open").unwrap(), None);

    let calibration = Calibration::new(&network, &["right6", "soft*"], RangeMethod::Entropy).unwrap();
    let scale = |config: QuantConfig| {
        let intervals = calibration.intervals(&config).unwrap();
        config.params(intervals[0].1).unwrap().scale
    };
    assert_eq!(scale(QuantConfig::U8), 6.0 / 255.0);
    // Nothing to observe, so nothing to run, but an empty set is a mistake all the same.
    let error = calibrate(&network, &source(&specs), &calibration, []).unwrap_err().to_string();
    assert_eq!(error, "invalid `calibration set`: expected at least one batch, got 0");
}

#[test]
fn patterns_that_match_nothing_list_the_sites() {
    let (network, _) = branched();
    for patterns in [&["conv"][..], &["*", "nothing*"]] {
        let error = Calibration::new(&network, patterns, RangeMethod::MinMax).unwrap_err().to_string();
        assert!(error.contains("matches no activation; there are: image, pool, left"), "{error}");
    }
}

#[test]
fn intervals_are_those_of_the_activations() {
    let (network, specs) = branched();
    let source = source(&specs);
    let calibration = Calibration::new(&network, &["*"], RangeMethod::MinMax).unwrap();
    let batches: Vec<Tensor> = (0..3).map(|seed| image(&[4, 2, 8, 8], seed)).collect();
    calibrate(&network, &source, &calibration, batches.iter().cloned().map(Ok)).unwrap();
    let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
    for batch in &batches {
        let logits =
            forward::run(&network, &source, &Taps::new(), batch, &["logits"], &Step::eval()).unwrap();
        for x in logits.get("logits").unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap() {
            (low, high) = (low.min(x), high.max(x));
        }
    }
    let intervals = calibration.intervals(&QuantConfig::U8).unwrap();
    assert_eq!(intervals.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), sites(&network));
    let (_, fc) = intervals.iter().find(|(name, _)| name == "fc").unwrap();
    assert_eq!((fc.min(), fc.max()), (low, high));
    let (_, pool) = intervals.iter().find(|(name, _)| name == "pool").unwrap();
    assert!(pool.min() >= 0.0, "behind a relu");
}

#[test]
fn an_interrupted_calibration_ends_as_an_uninterrupted_one() {
    let (network, specs) = branched();
    let source = source(&specs);
    for method in [RangeMethod::Mse, RangeMethod::MovingAverage { momentum: 0.1 }] {
        let new = || Calibration::new(&network, &["*"], method).unwrap();
        let batches = |range: std::ops::Range<u64>| range.map(|seed| Ok(image(&[2, 2, 8, 8], seed)));
        let whole = new();
        calibrate(&network, &source, &whole, batches(0..5)).unwrap();
        let first = new();
        calibrate(&network, &source, &first, batches(0..2)).unwrap();
        let file = first.state().unwrap().to_safetensors().unwrap();
        let mut second = new();
        second.load_state(&Params::from_safetensors(&file, &Device::Cpu).unwrap()).unwrap();
        calibrate(&network, &source, &second, batches(2..5)).unwrap();
        assert_eq!(
            second.state().unwrap().to_safetensors().unwrap(),
            whole.state().unwrap().to_safetensors().unwrap()
        );
    }
}

#[test]
fn bad_activations_are_errors_that_name_their_site() {
    let (network, specs) = branched();
    let source = source(&specs);
    let calibration = Calibration::new(&network, &["*"], RangeMethod::Mse).unwrap();
    let error = calibration.intervals(&QuantConfig::U8).unwrap_err().to_string();
    assert_eq!(error, "invalid `observed numbers at `image``: expected at least one, got 0");
    let nan = (image(&[1, 2, 8, 8], 0) * f64::NAN).unwrap();
    let error = calibrate(&network, &source, &calibration, [Ok(nan)]).unwrap_err().to_string();
    assert!(error.contains("at `image`") && error.contains("NaN at index 0"), "{error}");
    let observer = SiteObserver::new("site", Observer::new(RangeMethod::MinMax).unwrap());
    let integers = Tensor::zeros(3, DType::U32, &Device::Cpu).unwrap();
    assert!(observer.observe(&integers, &Step::eval()).unwrap_err().to_string().contains("f32"));
}

#[test]
fn observers_see_views_in_full_and_change_nothing() {
    let observer = SiteObserver::new("site", Observer::new(RangeMethod::MinMax).unwrap());
    let value = image(&[3, 4], 1);
    observer.observe(&value.t().unwrap().narrow(0, 1, 2).unwrap(), &Step::eval()).unwrap();
    let seen = value.narrow(1, 1, 2).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let interval = observer.interval(&QuantConfig::U8).unwrap();
    assert_eq!(interval.max(), seen.iter().copied().fold(f32::MIN, f32::max));

    let (network, specs) = lenet_5(&LeNetConfig::default()).unwrap();
    let (source, batch) = (source(&specs), image(&[2, 1, 28, 28], 2));
    let mut taps = Taps::new();
    Calibration::new(&network, &["*"], RangeMethod::Mse).unwrap().hang(&mut taps);
    let run = |taps: &Taps| {
        let outputs = forward::run(&network, &source, taps, &batch, &["logits"], &Step::eval()).unwrap();
        outputs.get("logits").unwrap().to_vec2::<f32>().unwrap()
    };
    assert_eq!(run(&taps), run(&Taps::new()));
}
