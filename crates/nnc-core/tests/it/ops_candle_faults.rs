//! What candle 0.11.1 gets wrong, asserted of our operators. Each test names the fault.

use nnc_core::candle::{Device, Tensor, Var};
use nnc_core::ops::{self, Activation, Conv2dConfig, Pool2dConfig};

fn image(values: &[f32], height: usize, width: usize) -> Var {
    Var::from_tensor(&Tensor::from_slice(values, (1, 1, height, width), &Device::Cpu).unwrap()).unwrap()
}

fn gradient(y: &Tensor, x: &Var) -> Vec<f32> {
    ops::backward(&y.sum_all().unwrap()).unwrap().get(x).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn a_unique_maximum_gets_the_whole_gradient() {
    // candle: 0.25 for a 2x2 window.
    let x = image(&[1.0, 2.0, 3.0, 4.0], 2, 2);
    assert_eq!(gradient(&ops::max_pool2d(&x, &Pool2dConfig::square(2)).unwrap(), &x), [0.0, 0.0, 0.0, 1.0]);
}

#[test]
fn the_first_of_equal_maxima_gets_the_whole_gradient() {
    let x = image(&[5.0; 4], 2, 2);
    assert_eq!(gradient(&ops::max_pool2d(&x, &Pool2dConfig::square(2)).unwrap(), &x), [1.0, 0.0, 0.0, 0.0]);
}

#[test]
fn overlapping_windows_have_a_backward_pass() {
    // candle: an error where kernel ≠ stride.
    let x = image(&[1.0, 9.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], 3, 3);
    let y = ops::max_pool2d(&x, &Pool2dConfig::new((2, 2), (1, 1))).unwrap();
    assert_eq!(gradient(&y, &x), [0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0]);
}

#[test]
fn an_average_over_a_ragged_edge_has_the_right_gradient() {
    // candle: silently wrong where the size does not divide.
    let x = image(&[1.0; 15], 3, 5);
    let y = ops::avg_pool2d(&x, &Pool2dConfig::square(2)).unwrap();
    let row = [0.25, 0.25, 0.25, 0.25, 0.0];
    assert_eq!(gradient(&y, &x), [row, row, [0.0; 5]].concat());
}

#[test]
fn pooling_pads() {
    // candle: has no padding.
    let x = image(&[-1.0, -2.0, -3.0, -4.0], 2, 2);
    let config = Pool2dConfig { padding: (1, 1), ..Pool2dConfig::square(2) };
    let y = ops::max_pool2d(&x, &config).unwrap();
    assert_eq!(y.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [-1.0, -2.0, -3.0, -4.0]);
    let y = ops::avg_pool2d(&x, &config).unwrap();
    assert_eq!(y.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [-0.25, -0.5, -0.75, -1.0]);
}

#[test]
fn a_strided_convolution_with_different_remainders_has_a_backward_pass() {
    // candle: an error where H and W leave different remainders.
    let x = image(&[1.0; 30], 5, 6);
    let w = image(&[1.0; 4], 2, 2);
    let config = Conv2dConfig { stride: (2, 2), ..Conv2dConfig::default() };
    let y = ops::conv2d(&x, &w, None, &config, Activation::None).unwrap();
    assert_eq!(y.dims(), [1, 1, 2, 3]);
    assert_eq!(gradient(&y, &x), [[1.0; 24].as_slice(), &[0.0; 6]].concat());
    assert_eq!(gradient(&y, &w), [6.0; 4]);
}

#[test]
fn the_rectifier_is_flat_at_zero() {
    // candle: relu'(0) = 1.
    let x = Var::new(&[[-1.0_f32, 0.0, 1.0]], &Device::Cpu).unwrap();
    assert_eq!(gradient(&ops::relu(&x).unwrap(), &x), [0.0, 0.0, 1.0]);
    let identity = Tensor::eye(3, nnc_core::candle::DType::F32, &Device::Cpu).unwrap();
    assert_eq!(gradient(&ops::linear(&x, &identity, None, Activation::Relu).unwrap(), &x), [0.0, 0.0, 1.0]);
}

#[test]
fn clipping_has_a_whole_gradient_at_its_bounds() {
    // candle: 0.5 at the bounds of `clamp`.
    let x = Var::new(&[[-2.0_f32, -1.0, 0.0, 1.0, 2.0]], &Device::Cpu).unwrap();
    assert_eq!(gradient(&ops::clip(&x, -1.0, 1.0).unwrap(), &x), [0.0, 1.0, 1.0, 1.0, 0.0]);
}

#[test]
fn an_untracked_input_beside_a_tracked_one_does_not_panic() {
    // candle: panics on a missing gradient of a tracked input that is no variable.
    let (x, w) = (image(&[1.0; 9], 3, 3), image(&[2.0; 4], 2, 2));
    let tracked = (x.as_tensor() * 2.0).unwrap();
    let y = ops::conv2d(&tracked, &w.detach(), None, &Conv2dConfig::default(), Activation::None).unwrap();
    assert_eq!(gradient(&y, &x), [4.0, 8.0, 4.0, 8.0, 16.0, 8.0, 4.0, 8.0, 4.0]);
}

#[test]
fn nan_is_not_hidden() {
    let x = image(&[1.0, f32::NAN, 3.0, 4.0], 2, 2);
    let y = ops::max_pool2d(&x, &Pool2dConfig::square(2)).unwrap();
    assert!(y.flatten_all().unwrap().to_vec1::<f32>().unwrap()[0].is_nan());
    assert!(ops::relu(&x).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()[1].is_nan());
}
