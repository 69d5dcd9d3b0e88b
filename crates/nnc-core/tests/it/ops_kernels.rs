//! Every operator against its plain twin, and every twin against finite differences, over drawn shapes.

use nnc_core::candle::{Device, Tensor};
use nnc_core::ops::{self, Activation, Conv2dConfig, LrnConfig, Pool2dConfig, reference};
use nnc_core::rng::Rng;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::ops_case::{Case, Input, close};

mod many;

/// The same cases in every run: a failure is a change of the code.
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(2),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn draws(seed: u64) -> Rng {
    Rng::keyed(seed, "ops-test", &[])
}

/// Biases are odd multiples of 1/8192 and everything else a multiple of 1/4096: no sum is exactly 0, a rectifier's kink.
const OFF_KINK: f64 = 1.0 / 8192.0;

fn linear_case(batch: usize, inputs: usize, outputs: usize, bias: bool, seed: u64) -> Case {
    let rng = &mut draws(seed);
    let mut all =
        vec![Input::lattice(&[batch, inputs], 0.0, rng), Input::lattice(&[outputs, inputs], 0.0, rng)];
    if bias {
        all.push(Input::lattice(&[outputs], OFF_KINK, rng));
    }
    let activation = if bias && seed.is_multiple_of(2) { Activation::Relu } else { Activation::None };
    Case {
        name: format!("linear {batch}×{inputs}→{outputs} {activation:?}"),
        inputs: all,
        kernel: Box::new(move |t| ops::linear(&t[0], &t[1], t.get(2), activation)),
        twin: Box::new(move |v| {
            reference::linear(&v[0], &v[1], v.get(2).map(Vec::as_slice), batch, activation)
        }),
        twin_backward: Box::new(move |v, grad| {
            let b = v.get(2).map(Vec::as_slice);
            reference::linear_backward(&v[0], &v[1], b, batch, activation, grad)
                .into_iter()
                .take(v.len())
                .collect()
        }),
        smooth: true,
    }
}

#[derive(Debug, Clone)]
struct Conv {
    x: [usize; 4],
    w: [usize; 4],
    config: Conv2dConfig,
    bias: bool,
    seed: u64,
}

impl Conv {
    fn inputs(&self) -> Vec<Input> {
        let rng = &mut draws(self.seed);
        let mut all = vec![Input::lattice(&self.x, 0.0, rng), Input::lattice(&self.w, 0.0, rng)];
        if self.bias {
            all.push(Input::lattice(&[self.w[0]], OFF_KINK, rng));
        }
        all
    }

    fn activation(&self) -> Activation {
        if self.bias && self.seed.is_multiple_of(2) { Activation::Relu } else { Activation::None }
    }

    fn case(self) -> Case {
        let activation = self.activation();
        let Self { x, w, config, .. } = self.clone();
        Case {
            name: format!("{self:?}"),
            inputs: self.inputs(),
            kernel: Box::new(move |t| ops::conv2d(&t[0], &t[1], t.get(2), &config, activation)),
            twin: Box::new(move |v| {
                reference::conv2d((&v[0], x), (&v[1], w), v.get(2).map(Vec::as_slice), &config, activation)
            }),
            twin_backward: Box::new(move |v, grad| {
                let b = v.get(2).map(Vec::as_slice);
                let all = reference::conv2d_backward((&v[0], x), (&v[1], w), b, &config, activation, grad);
                all.into_iter().take(v.len()).collect()
            }),
            smooth: true,
        }
    }

    fn pooled_case(self, pool: Pool2dConfig) -> Option<Case> {
        let Self { x, w, config, .. } = self.clone();
        let (height, width) = config.output_size((x[2], x[3]), (w[2], w[3])).unwrap();
        pool.output_size((height, width)).ok()?;
        let (activation, dims) = (self.activation(), [x[0], w[0], height, width]);
        let conv = move |v: &[Vec<f64>]| {
            reference::conv2d((&v[0], x), (&v[1], w), v.get(2).map(Vec::as_slice), &config, activation)
        };
        Some(Case {
            name: format!("{self:?} then {pool:?}"),
            inputs: self.inputs(),
            kernel: Box::new(move |t| {
                ops::conv2d_max_pool2d(&t[0], &t[1], t.get(2), &config, activation, &pool)
            }),
            twin: Box::new(move |v| reference::max_pool2d(&conv(v), dims, &pool)),
            twin_backward: Box::new(move |v, grad| {
                let grad = reference::max_pool2d_backward(&conv(v), dims, &pool, grad);
                let b = v.get(2).map(Vec::as_slice);
                let all = reference::conv2d_backward((&v[0], x), (&v[1], w), b, &config, activation, &grad);
                all.into_iter().take(v.len()).collect()
            }),
            // Equal sums are common on the lattice; both twins are held against differences on their own.
            smooth: false,
        })
    }
}

fn convs() -> impl Strategy<Value = Conv> {
    convs_below(4, 12, 5)
}

/// Convolutions with fewer than `channels` a group, images smaller than `image` and kernels smaller than `kernel`.
fn convs_below(channels: usize, image: usize, kernel: usize) -> impl Strategy<Value = Conv> {
    let sizes = (1..4_usize, 1..4_usize, 1..channels, 1..channels, 1..image, 1..image);
    let settings = (
        (1..kernel, 1..kernel),
        (1..4_usize, 1..4_usize),
        (0..3_usize, 0..3_usize),
        (1..3_usize, 1..3_usize),
    );
    (sizes, settings, any::<bool>(), any::<u64>()).prop_filter_map(
        "the kernel fits",
        |(
            (batch, groups, inputs, outputs, height, width),
            (kernel, stride, padding, dilation),
            bias,
            seed,
        )| {
            let config = Conv2dConfig { stride, padding, dilation, groups };
            config.output_size((height, width), kernel).ok()?;
            let x = [batch, groups * inputs, height, width];
            Some(Conv { x, w: [groups * outputs, inputs, kernel.0, kernel.1], config, bias, seed })
        },
    )
}

fn pools() -> impl Strategy<Value = Pool2dConfig> {
    let sizes = ((1..5_usize, 1..5_usize), (1..5_usize, 1..5_usize), (0..3_usize, 0..3_usize));
    (sizes, any::<bool>(), any::<bool>()).prop_map(
        |((kernel, stride, padding), ceil_mode, count_include_pad)| {
            let padding = (padding.0.min(kernel.0 / 2), padding.1.min(kernel.1 / 2));
            Pool2dConfig { kernel, stride, padding, ceil_mode, count_include_pad }
        },
    )
}

fn max_pool_case(dims: [usize; 4], config: Pool2dConfig, seed: u64, ties: bool) -> Case {
    let rng = &mut draws(seed);
    let mut x = Input::distinct(&dims, rng);
    if ties {
        x.values.iter_mut().for_each(|value| *value = value.signum());
    }
    Case {
        name: format!("max pool {dims:?} {config:?}"),
        inputs: vec![x],
        kernel: Box::new(move |t| ops::max_pool2d(&t[0], &config)),
        twin: Box::new(move |v| reference::max_pool2d(&v[0], dims, &config)),
        twin_backward: Box::new(move |v, grad| {
            vec![reference::max_pool2d_backward(&v[0], dims, &config, grad)]
        }),
        smooth: !ties,
    }
}

fn avg_pool_case(dims: [usize; 4], config: Pool2dConfig, seed: u64) -> Case {
    Case {
        name: format!("average pool {dims:?} {config:?}"),
        inputs: vec![Input::lattice(&dims, 0.0, &mut draws(seed))],
        kernel: Box::new(move |t| ops::avg_pool2d(&t[0], &config)),
        twin: Box::new(move |v| reference::avg_pool2d(&v[0], dims, &config)),
        twin_backward: Box::new(move |v, grad| {
            vec![reference::avg_pool2d_backward(&v[0], dims, &config, grad)]
        }),
        smooth: true,
    }
}

proptest! {
    #![proptest_config(config(48))]

    #[test]
    fn linear_is_its_twin(batch in 1..9_usize, inputs in 1..40_usize, outputs in 1..40_usize, bias: bool, seed: u64) {
        linear_case(batch, inputs, outputs, bias, seed).check();
    }

    #[test]
    fn conv2d_is_its_twin(conv in convs()) {
        conv.case().check();
    }

    #[test]
    fn conv2d_with_pooling_is_its_twin(conv in convs(), pool in pools()) {
        if let Some(case) = conv.pooled_case(pool) {
            case.check();
        }
    }

    #[test]
    fn pooling_is_its_twin(
        (batch, channels, height, width) in (1..3_usize, 1..4_usize, 1..12_usize, 1..12_usize),
        config in pools(), seed: u64, ties: bool,
    ) {
        if config.output_size((height, width)).is_ok() {
            let dims = [batch, channels, height, width];
            max_pool_case(dims, config, seed, ties).check();
            avg_pool_case(dims, config, seed).check();
        }
    }

    #[test]
    fn batch_norm_is_its_twin(
        (batch, channels, height, width) in (1..5_usize, 1..5_usize, 1..7_usize, 1..7_usize), seed: u64,
    ) {
        batch_norm_case([batch, channels, height, width], seed).check();
        batch_norm_eval_case([batch, channels, height, width], seed).check();
    }

    #[test]
    fn local_response_norm_is_its_twin(
        (batch, channels, height, width) in (1..3_usize, 1..9_usize, 1..5_usize, 1..5_usize),
        size in 1..7_usize, seed: u64,
    ) {
        lrn_case([batch, channels, height, width], size, seed).check();
    }

    #[test]
    fn softmax_and_its_losses_are_their_twins(rows in 1..6_usize, classes in 1..12_usize, seed: u64) {
        softmax_cases(rows, classes, seed).iter().for_each(Case::check);
    }
}

fn batch_norm_case(dims: [usize; 4], seed: u64) -> Case {
    let (rng, plane) = (&mut draws(seed), dims[2] * dims[3]);
    let channel = [dims[1]];
    Case {
        name: format!("batch norm {dims:?}"),
        inputs: vec![
            Input::lattice(&dims, 0.0, rng),
            Input::lattice(&channel, 0.0, rng),
            Input::lattice(&channel, 0.0, rng),
        ],
        kernel: Box::new(|t| Ok(ops::batch_norm_train(&t[0], &t[1], &t[2], 0.125)?.0)),
        twin: Box::new(move |v| reference::batch_norm(&v[0], &v[1], &v[2], plane, 0.125).0),
        twin_backward: Box::new(move |v, grad| {
            reference::batch_norm_backward(&v[0], &v[1], &v[2], plane, 0.125, grad).to_vec()
        }),
        smooth: true,
    }
}

fn batch_norm_eval_case(dims: [usize; 4], seed: u64) -> Case {
    let (rng, plane) = (&mut draws(seed), dims[2] * dims[3]);
    let channel = [dims[1]];
    let moments = [Input::lattice(&channel, 0.0, rng), Input::lattice(&channel, 2.0, rng)];
    let [mean, variance] = moments.each_ref().map(Input::tensor);
    let [means, variances] = moments.map(|input| input.values);
    let (means_too, variances_too) = (means.clone(), variances.clone());
    Case {
        name: format!("batch norm in evaluation {dims:?}"),
        inputs: vec![
            Input::lattice(&dims, 0.0, rng),
            Input::lattice(&channel, 0.0, rng),
            Input::lattice(&channel, 0.0, rng),
        ],
        kernel: Box::new(move |t| ops::batch_norm_eval(&t[0], &t[1], &t[2], &mean, &variance, 0.125)),
        twin: Box::new(move |v| {
            reference::batch_norm_given(&v[0], &v[1], &v[2], (&means, &variances), plane, 0.125)
        }),
        twin_backward: Box::new(move |v, grad| {
            let moments = (means_too.as_slice(), variances_too.as_slice());
            reference::batch_norm_given_backward(&v[0], &v[1], moments, plane, 0.125, grad).to_vec()
        }),
        smooth: true,
    }
}

fn lrn_case(dims: [usize; 4], size: usize, seed: u64) -> Case {
    let config = LrnConfig { size, alpha: 0.5, beta: 0.75, k: 1.5 };
    let (channels, plane) = (dims[1], dims[2] * dims[3]);
    Case {
        name: format!("local response norm {dims:?} over {size}"),
        inputs: vec![Input::lattice(&dims, 0.0, &mut draws(seed))],
        kernel: Box::new(move |t| ops::local_response_norm(&t[0], &config)),
        twin: Box::new(move |v| reference::local_response_norm(&v[0], channels, plane, &config)),
        twin_backward: Box::new(move |v, grad| {
            vec![reference::local_response_norm_backward(&v[0], channels, plane, &config, grad)]
        }),
        smooth: true,
    }
}

fn softmax_cases(rows: usize, classes: usize, seed: u64) -> [Case; 3] {
    let rng = &mut draws(seed);
    let inputs = vec![Input::lattice(&[rows, classes], 0.0, rng)];
    let labels: Vec<usize> = (0..rows).map(|_| rng.below(classes)).collect();
    let tensor: Vec<u32> = labels.iter().map(|&label| label as u32).collect();
    let tensor = Tensor::from_vec(tensor, rows, &Device::Cpu).unwrap();
    let labels_too = labels.clone();
    [
        Case {
            name: "softmax".into(),
            inputs: inputs.clone(),
            kernel: Box::new(|t| ops::softmax(&t[0])),
            twin: Box::new(move |v| reference::softmax(&v[0], classes)),
            twin_backward: Box::new(move |v, grad| vec![reference::softmax_backward(&v[0], classes, grad)]),
            smooth: true,
        },
        Case {
            name: "log softmax".into(),
            inputs: inputs.clone(),
            kernel: Box::new(|t| ops::log_softmax(&t[0])),
            twin: Box::new(move |v| reference::log_softmax(&v[0], classes)),
            twin_backward: Box::new(move |v, grad| {
                vec![reference::log_softmax_backward(&v[0], classes, grad)]
            }),
            smooth: true,
        },
        Case {
            name: "softmax cross entropy".into(),
            inputs,
            kernel: Box::new(move |t| ops::softmax_cross_entropy(&t[0], &tensor)),
            twin: Box::new(move |v| vec![reference::softmax_cross_entropy(&v[0], &labels)]),
            twin_backward: Box::new(move |v, grad| {
                vec![reference::softmax_cross_entropy_backward(&v[0], &labels_too, grad[0])]
            }),
            smooth: true,
        },
    ]
}

#[test]
fn pointwise_functions_are_their_twins() {
    use reference::Function;
    type Kernel = fn(&Tensor) -> nnc_core::Result<Tensor>;
    let functions: [(Function, Kernel); 7] = [
        (Function::Relu, ops::relu),
        (Function::Relu6, ops::relu6),
        (Function::Clip(-0.5, 1.25), |x| ops::clip(x, -0.5, 1.25)),
        (Function::Abs, ops::abs),
        (Function::Tanh, ops::tanh),
        (Function::Sigmoid, ops::sigmoid),
        (Function::HardSwish, ops::hard_swish),
    ];
    for (function, kernel) in functions {
        // Wide enough for every branch; with the offset off every kink, without it on all of them.
        for (offset, smooth) in [(OFF_KINK, true), (0.0, false)] {
            let mut x = Input::lattice(&[3, 70], 0.0, &mut draws(1));
            x.values.iter_mut().for_each(|value| *value = *value * 4.0 + offset);
            Case {
                name: format!("{function:?}"),
                inputs: vec![x],
                kernel: Box::new(move |t| kernel(&t[0])),
                twin: Box::new(move |v| reference::pointwise(&v[0], function)),
                twin_backward: Box::new(move |v, grad| {
                    vec![reference::pointwise_backward(&v[0], function, grad)]
                }),
                smooth,
            }
            .check();
        }
    }
}

#[test]
fn prelu_is_its_twin() {
    for (dims, slopes) in [(vec![2, 3, 4, 5], 3), (vec![2, 3, 4, 5], 1), (vec![4, 6], 6), (vec![7], 1)] {
        let plane = if slopes == 1 { 1 } else { dims[2..].iter().product() };
        let rng = &mut draws(5);
        Case {
            name: format!("prelu {dims:?} {slopes}"),
            inputs: vec![Input::lattice(&dims, OFF_KINK, rng), Input::lattice(&[slopes], 0.0, rng)],
            kernel: Box::new(|t| ops::prelu(&t[0], &t[1])),
            twin: Box::new(move |v| reference::prelu(&v[0], &v[1], plane)),
            twin_backward: Box::new(move |v, grad| {
                reference::prelu_backward(&v[0], &v[1], plane, grad).to_vec()
            }),
            smooth: true,
        }
        .check();
    }
}

#[test]
fn large_layers_cross_every_tile_and_chunk() {
    // Too large for differences: rounding would drown them. The twins were held against them on small shapes.
    let check = |case: Case| Case { smooth: false, ..case }.check();
    let conv = |x, w, config, seed| Conv { x, w, config, bias: true, seed };
    check(linear_case(64, 300, 301, true, 4));
    check(conv([20, 3, 28, 28], [17, 3, 5, 5], Conv2dConfig::default(), 2).case());
    // Taps × pixels of one image above a tile's size: several tiles of rows.
    check(conv([3, 32, 40, 40], [8, 32, 3, 3], Conv2dConfig::padded(1), 4).case());
    let strided = Conv2dConfig { stride: (2, 2), ..Conv2dConfig::padded(1) };
    check(conv([9, 16, 33, 30], [24, 16, 3, 3], strided, 6).case());
    let pool = Pool2dConfig::square(2);
    check(conv([19, 4, 28, 28], [10, 4, 5, 5], Conv2dConfig::default(), 2).pooled_case(pool).unwrap());
}

#[test]
fn batch_moments_are_those_of_the_batch() {
    let x = Input::lattice(&[4, 3, 5, 5], 0.0, &mut draws(3));
    let (_, mean, variance) = reference::batch_norm(&x.values, &[1.0; 3], &[0.0; 3], 25, 1e-5);
    let [scale, shift] = [1.0_f32, 0.0].map(|value| Tensor::full(value, 3, &Device::Cpu).unwrap());
    let (_, moments) = ops::batch_norm_train(&x.tensor(), &scale, &shift, 1e-5).unwrap();
    close("mean", &moments.mean, &mean);
    close("variance", &moments.variance, &variance);
    let unbiased: Vec<f64> = variance.iter().map(|v| v * 100.0 / 99.0).collect();
    close("unbiased variance", &moments.unbiased_variance().unwrap(), &unbiased);
}

#[test]
fn dropout_keeps_its_share_and_passes_the_gradient_of_what_it_kept() {
    use nnc_core::candle::Var;
    let x = Var::ones(100_000, nnc_core::candle::DType::F32, &Device::Cpu).unwrap();
    for p in [0.0, 0.25, 0.5, 0.9] {
        let y = ops::dropout(&x, p, draws(9)).unwrap();
        let values: Vec<f32> = y.to_vec1().unwrap();
        let kept = values.iter().filter(|&&y| y != 0.0).count() as f32 / 1e5;
        assert!((kept - (1.0 - p)).abs() < 0.006, "p {p}: kept {kept}");
        assert!((values.iter().sum::<f32>() / 1e5 - 1.0).abs() < 0.03, "p {p}");
        // y = factor · x with x = 1, so the gradient of its sum is y again.
        if p > 0.0 {
            let gradients = ops::backward(&y.sum_all().unwrap()).unwrap();
            assert_eq!(gradients.get(&x).unwrap().to_vec1::<f32>().unwrap(), values);
            assert_eq!(ops::dropout(&x, p, draws(9)).unwrap().to_vec1::<f32>().unwrap(), values);
            assert_ne!(ops::dropout(&x, p, draws(10)).unwrap().to_vec1::<f32>().unwrap(), values);
        }
    }
    for p in [-0.1, 1.0, f32::NAN, 0.999_999] {
        assert!(ops::dropout(&x, p, draws(9)).is_err(), "p {p}");
    }
}

#[test]
fn layouts_other_than_contiguous_are_accepted() {
    let x = Input::lattice(&[6, 4], 0.0, &mut draws(1)).tensor();
    let w = Input::lattice(&[6, 5], 0.0, &mut draws(2)).tensor();
    let (xt, wt) = (x.t().unwrap(), w.t().unwrap());
    let strided = ops::linear(&xt, &wt, None, Activation::None).unwrap();
    let straight =
        ops::linear(&xt.force_contiguous().unwrap(), &wt.force_contiguous().unwrap(), None, Activation::None)
            .unwrap();
    assert_eq!(strided.to_vec2::<f32>().unwrap(), straight.to_vec2::<f32>().unwrap());
}

#[test]
fn arguments_that_do_not_fit_are_errors() {
    let zeros = |shape: &[usize]| Tensor::zeros(shape, nnc_core::candle::DType::F32, &Device::Cpu).unwrap();
    let (x, w, b) = (zeros(&[2, 4, 5, 5]), zeros(&[6, 4, 3, 3]), zeros(&[6]));
    let conv = Conv2dConfig::default();
    let none = Activation::None;
    assert!(ops::conv2d(&x, &w, Some(&b), &conv, none).is_ok());
    assert!(ops::conv2d(&x, &zeros(&[6, 3, 3, 3]), None, &conv, none).is_err());
    assert!(ops::conv2d(&x, &w, Some(&zeros(&[5])), &conv, none).is_err());
    assert!(ops::conv2d(&x, &w, None, &Conv2dConfig { groups: 0, ..conv }, none).is_err());
    assert!(ops::conv2d(&x, &zeros(&[6, 1, 3, 3]), None, &Conv2dConfig { groups: 4, ..conv }, none).is_err());
    assert!(ops::conv2d(&x.to_dtype(nnc_core::candle::DType::F64).unwrap(), &w, None, &conv, none).is_err());
    assert!(ops::linear(&x, &zeros(&[3, 99]), None, none).is_err());
    assert!(ops::linear(&x, &zeros(&[3, 100]), None, none).is_ok(), "4 · 5 · 5 inputs");
    assert!(ops::max_pool2d(&b, &Pool2dConfig::square(2)).is_err());
    assert!(ops::max_pool2d(&x, &Pool2dConfig::square(6)).is_err());
    assert!(ops::max_pool2d(&zeros(&[1, 1, 300, 300]), &Pool2dConfig::square(300)).is_err());
    let labels = |labels: &[u32]| Tensor::new(labels, &Device::Cpu).unwrap();
    assert!(ops::softmax_cross_entropy(&zeros(&[2, 3]), &labels(&[0, 3])).is_err());
    assert!(ops::softmax_cross_entropy(&zeros(&[2, 3]), &labels(&[0])).is_err());
    assert!(ops::softmax_cross_entropy(&zeros(&[2, 3]), &zeros(&[2])).is_err());
    assert!(ops::softmax(&zeros(&[])).is_err());
    assert!(ops::clip(&x, 1.0, 0.0).is_err());
    assert!(ops::prelu(&x, &zeros(&[3])).is_err());
}
