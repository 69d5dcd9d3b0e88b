//! The same bits for every number of threads.

use nnc_core::candle::{Device, Tensor, Var};
use nnc_core::ops::{self, Activation, Conv2dConfig, Pool2dConfig, SgdMomentum};
use nnc_core::rng::Rng;

fn random(shape: &[usize], scale: f32, seed: u64) -> Var {
    let mut rng = Rng::keyed(seed, "threads", &[]);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| scale * rng.normal()).collect();
    Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu).unwrap()).unwrap()
}

/// Two training steps of a network with every kind of layer that uses threads; all its parameters afterwards.
fn trained() -> Vec<u32> {
    let x = random(&[21, 3, 32, 32], 1.0, 0).detach();
    let labels: Vec<u32> = (0..21).map(|i| i % 10).collect();
    let labels = Tensor::from_vec(labels, 21, &Device::Cpu).unwrap();
    let params = [
        random(&[24, 3, 5, 5], 0.1, 1),
        random(&[24], 0.1, 2),
        random(&[32, 24, 3, 3], 0.1, 3),
        random(&[32], 0.1, 4),
        random(&[32], 1.0, 5),
        random(&[32], 0.1, 6),
        random(&[300, 32 * 49], 0.05, 7),
        random(&[300], 0.1, 8),
        random(&[10, 300], 0.1, 9),
        random(&[10], 0.1, 10),
    ];
    let mut velocities: Vec<Vec<f32>> = params.iter().map(|p| vec![0.0; p.elem_count()]).collect();
    let step = SgdMomentum { learning_rate: 0.05, momentum: 0.9, weight_decay: 1e-3, nesterov: true };
    for _ in 0..2 {
        let [w1, b1, w2, b2, scale, shift, w3, b3, w4, b4] = &params;
        let pool = Pool2dConfig::square(2);
        let h = ops::conv2d_max_pool2d(&x, w1, Some(b1), &Conv2dConfig::default(), Activation::Relu, &pool)
            .unwrap();
        let h = ops::conv2d(&h, w2, Some(b2), &Conv2dConfig::padded(1), Activation::None).unwrap();
        let (h, _) = ops::batch_norm_train(&h, scale, shift, 1e-5).unwrap();
        let h = ops::local_response_norm(&ops::relu(&h).unwrap(), &ops::LrnConfig::alexnet()).unwrap();
        let h = ops::max_pool2d(&h, &Pool2dConfig::square(2)).unwrap();
        let h = ops::linear(&h, w3, Some(b3), Activation::Relu).unwrap();
        let h = ops::dropout(&h, 0.3, Rng::keyed(1, "dropout", &[])).unwrap();
        let loss =
            ops::softmax_cross_entropy(&ops::linear(&h, w4, Some(b4), Activation::None).unwrap(), &labels);
        let gradients = ops::backward(&loss.unwrap()).unwrap();
        for (param, velocity) in params.iter().zip(&mut velocities) {
            let grad = gradients.get(param).unwrap();
            ops::update_in_place(param, grad, |p, g| ops::sgd_momentum_update(p, velocity, g, &step))
                .unwrap();
        }
    }
    let bits = |p: &Var| p.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits);
    params.iter().flat_map(bits).collect()
}

#[test]
fn training_gives_the_same_bits_for_every_number_of_threads() {
    let with =
        |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(trained);
    let one = with(1);
    assert!(one.iter().all(|&bits| f32::from_bits(bits).is_finite()));
    for threads in [2, 3, 4] {
        assert!(with(threads) == one, "{threads} threads");
    }
}
