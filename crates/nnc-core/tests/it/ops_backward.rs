//! `ops::backward` beside candle's own.

use nnc_core::candle::{Device, Tensor, Var};
use nnc_core::ops::{self, Activation, Conv2dConfig, Pool2dConfig};
use nnc_core::rng::Rng;

use crate::ops_case::Input;

fn var(shape: &[usize], seed: u64) -> Var {
    Var::from_tensor(&Input::lattice(shape, 0.0, &mut Rng::keyed(seed, "backward", &[])).tensor()).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn labels(count: usize) -> Tensor {
    Tensor::from_vec((0..count).map(|i| i as u32 % 10).collect::<Vec<_>>(), count, &Device::Cpu).unwrap()
}

#[test]
fn a_whole_network_gets_the_gradients_of_candles_backward() {
    let x = var(&[8, 1, 12, 12], 0).detach();
    let params = [
        var(&[4, 1, 3, 3], 1),
        var(&[4], 2),
        var(&[16, 100], 3),
        var(&[16], 4),
        var(&[10, 16], 5),
        var(&[10], 6),
    ];
    let [w1, b1, w2, b2, w3, b3] = &params;
    let pool = Pool2dConfig::square(2);
    let h =
        ops::conv2d_max_pool2d(&x, w1, Some(b1), &Conv2dConfig::default(), Activation::Relu, &pool).unwrap();
    let h = ops::linear(&h, w2, Some(b2), Activation::Relu).unwrap();
    let y = ops::linear(&h, w3, Some(b3), Activation::None).unwrap();
    let loss = ops::softmax_cross_entropy(&y, &labels(8)).unwrap();
    let (plain, ours) = (loss.backward().unwrap(), ops::backward(&loss).unwrap());
    for (i, param) in params.iter().enumerate() {
        assert_eq!(values(plain.get(param).unwrap()), values(ours.get(param).unwrap()), "parameter {i}");
    }
}

#[test]
fn gradients_of_a_parameter_used_twice_add_up() {
    let (x, w, b) = (var(&[4, 6], 0), var(&[6, 6], 1), var(&[6], 2));
    let once = ops::linear(&x, &w, Some(&b), Activation::None).unwrap();
    let twice = ops::linear(&once, &w, Some(&b), Activation::None).unwrap();
    // candle's own operator uses the weight and the input too.
    let third = (twice.matmul(&w).unwrap() + x.as_tensor()).unwrap();
    let loss = third.sqr().unwrap().sum_all().unwrap();
    let (plain, ours) = (loss.backward().unwrap(), ops::backward(&loss).unwrap());
    for param in [&x, &w, &b] {
        let (plain, ours) = (values(plain.get(param).unwrap()), values(ours.get(param).unwrap()));
        let scale = plain.iter().fold(1.0_f32, |max, v| max.max(v.abs()));
        assert!(plain.iter().zip(&ours).all(|(p, o)| (p - o).abs() < 1e-5 * scale), "{plain:?} {ours:?}");
    }
}

#[test]
fn every_operator_adds_to_a_gradient_that_is_there() {
    // Each operator applied twice to the same variables: the gradient must double.
    type Op = Box<dyn Fn(&[Var]) -> Tensor>;
    let config = Conv2dConfig::padded(1);
    let operators: Vec<(&str, Vec<Var>, Op)> = vec![
        (
            "linear",
            vec![var(&[4, 6], 0), var(&[5, 6], 1), var(&[5], 2)],
            Box::new(|v| ops::linear(&v[0], &v[1], Some(&v[2]), Activation::Relu).unwrap()),
        ),
        (
            "conv2d",
            vec![var(&[4, 2, 6, 6], 0), var(&[3, 2, 3, 3], 1), var(&[3], 2)],
            Box::new(move |v| ops::conv2d(&v[0], &v[1], Some(&v[2]), &config, Activation::Relu).unwrap()),
        ),
        (
            "max pool",
            vec![var(&[2, 2, 5, 5], 0)],
            Box::new(|v| ops::max_pool2d(&v[0], &Pool2dConfig::square(2)).unwrap()),
        ),
        (
            "avg pool",
            vec![var(&[2, 2, 5, 5], 0)],
            Box::new(|v| ops::avg_pool2d(&v[0], &Pool2dConfig::square(2)).unwrap()),
        ),
        ("tanh", vec![var(&[4, 6], 0)], Box::new(|v| ops::tanh(&v[0]).unwrap())),
        ("prelu", vec![var(&[4, 6], 0), var(&[6], 1)], Box::new(|v| ops::prelu(&v[0], &v[1]).unwrap())),
        (
            "batch norm",
            vec![var(&[4, 3, 2, 2], 0), var(&[3], 1), var(&[3], 2)],
            Box::new(|v| ops::batch_norm_train(&v[0], &v[1], &v[2], 1e-5).unwrap().0),
        ),
        (
            "lrn",
            vec![var(&[2, 6, 2, 2], 0)],
            Box::new(|v| ops::local_response_norm(&v[0], &ops::LrnConfig::alexnet()).unwrap()),
        ),
        ("softmax", vec![var(&[4, 6], 0)], Box::new(|v| ops::softmax(&v[0]).unwrap())),
        ("log softmax", vec![var(&[4, 6], 0)], Box::new(|v| ops::log_softmax(&v[0]).unwrap())),
        (
            "cross entropy",
            vec![var(&[4, 6], 0)],
            Box::new(|v| ops::softmax_cross_entropy(&v[0], &labels(4)).unwrap()),
        ),
        (
            "dropout",
            vec![var(&[4, 6], 0)],
            Box::new(|v| ops::dropout(&v[0], 0.5, Rng::keyed(0, "d", &[])).unwrap()),
        ),
    ];
    for (name, vars, op) in operators {
        let weighted = |y: &Tensor| {
            let weights: Vec<f32> = (0..y.elem_count()).map(|i| (i % 7) as f32 - 2.5).collect();
            (y * Tensor::from_vec(weights, y.shape(), &Device::Cpu).unwrap()).unwrap().sum_all().unwrap()
        };
        let once = ops::backward(&weighted(&op(&vars))).unwrap();
        let twice = ops::backward(&(weighted(&op(&vars)) + weighted(&op(&vars))).unwrap()).unwrap();
        for (i, var) in vars.iter().enumerate() {
            let (once, twice) = (values(once.get(var).unwrap()), values(twice.get(var).unwrap()));
            assert!(once.iter().any(|g| *g != 0.0), "{name}: gradient {i} is zero");
            let scale = once.iter().fold(1.0_f32, |max, v| max.max(v.abs()));
            let doubled = once.iter().zip(&twice).all(|(o, t)| (2.0 * o - t).abs() < 1e-5 * scale);
            assert!(doubled, "{name}: gradient {i}: {once:?}, twice {twice:?}");
        }
    }
}

#[test]
fn a_given_output_gradient_is_that_of_a_weighted_sum() {
    let (x, w) = (var(&[4, 6], 0), var(&[5, 6], 1));
    let y = ops::linear(&x, &w, None, Activation::None).unwrap();
    let grad = var(&[4, 5], 2);
    let given = ops::backward_from(&y, &grad).unwrap();
    let summed = ops::backward(&(&y * grad.detach()).unwrap().sum_all().unwrap()).unwrap();
    for param in [&x, &w] {
        assert_eq!(values(given.get(param).unwrap()), values(summed.get(param).unwrap()));
    }
    assert!(ops::backward_from(&y, &x).is_err());
}

#[test]
fn what_is_not_tracked_gets_no_gradient() {
    let (x, w) = (var(&[4, 6], 0), var(&[5, 6], 1));
    let data = x.detach();
    let loss = ops::linear(&data, &w, None, Activation::None).unwrap().sum_all().unwrap();
    let gradients = ops::backward(&loss).unwrap();
    assert!(gradients.get(&data).is_none() && gradients.get(&w).is_some());
}

#[test]
fn an_error_leaves_no_sink_behind() {
    // candle refuses the backward pass of an operator without one, half way through.
    struct OneWay;
    impl nnc_core::candle::CustomOp1 for OneWay {
        fn name(&self) -> &'static str {
            "one-way"
        }

        fn cpu_fwd(
            &self,
            storage: &nnc_core::candle::CpuStorage,
            layout: &nnc_core::candle::Layout,
        ) -> nnc_core::candle::Result<(nnc_core::candle::CpuStorage, nnc_core::candle::Shape)> {
            Ok((storage.clone(), layout.shape().clone()))
        }
    }
    let (x, w) = (var(&[4, 6], 0), var(&[6, 6], 1));
    let broken =
        ops::linear(&x.apply_op1(OneWay).unwrap(), &w, None, Activation::None).unwrap().sum_all().unwrap();
    assert!(ops::backward(&broken).is_err());
    let loss = ops::linear(&x, &w, None, Activation::None).unwrap().sum_all().unwrap();
    assert!(loss.backward().unwrap().get(&w).is_some(), "plain backward gets every gradient again");
}
