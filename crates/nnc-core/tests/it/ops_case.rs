//! One operator on one set of inputs, held against its plain twin and against finite differences.

use nnc_core::Result;
use nnc_core::candle::{Device, Tensor, Var};
use nnc_core::ops;
use nnc_core::rng::Rng;

/// How far a kernel may be from its twin, relative to 1 + the largest value: f32 sums of a few hundred terms.
pub(crate) const BOUND: f64 = 2e-5;

/// How far the twin's gradient may be from a central difference, relative to 1 + its value.
const DIFFERENCE_BOUND: f64 = 1e-6;

type Kernel = Box<dyn Fn(&[Tensor]) -> Result<Tensor>>;
type Twin = Box<dyn Fn(&[Vec<f64>]) -> Vec<f64>>;
type TwinBackward = Box<dyn Fn(&[Vec<f64>], &[f64]) -> Vec<Vec<f64>>>;

pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) inputs: Vec<Input>,
    pub(crate) kernel: Kernel,
    pub(crate) twin: Twin,
    pub(crate) twin_backward: TwinBackward,
    /// Whether the inputs stay clear of kinks and ties, where a central difference is no derivative.
    pub(crate) smooth: bool,
}

#[derive(Clone)]
pub(crate) struct Input {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f64>,
}

impl Input {
    /// Multiples of 1/64 in [−2, 2) plus `offset`: exact in f32, and so are sums of products of two of them.
    pub(crate) fn lattice(shape: &[usize], offset: f64, rng: &mut Rng) -> Self {
        let count = shape.iter().product();
        let values = (0..count).map(|_| rng.below(256) as f64 / 64.0 - 2.0 + offset).collect();
        Self { shape: shape.to_vec(), values }
    }

    /// Distinct values in random order, 1/16 apart.
    pub(crate) fn distinct(shape: &[usize], rng: &mut Rng) -> Self {
        let count = shape.iter().product();
        let mut values: Vec<f64> = (0..count).map(|i| (i as f64 - count as f64 / 2.0) / 16.0).collect();
        rng.shuffle(&mut values);
        Self { shape: shape.to_vec(), values }
    }

    pub(crate) fn tensor(&self) -> Tensor {
        let values: Vec<f32> = self.values.iter().map(|&v| v as f32).collect();
        Tensor::from_vec(values, self.shape.as_slice(), &Device::Cpu).unwrap()
    }
}

impl Case {
    #[track_caller]
    pub(crate) fn check(&self) {
        let values: Vec<Vec<f64>> = self.inputs.iter().map(|input| input.values.clone()).collect();
        let expected = (self.twin)(&values);
        // The gradient of the output: values without symmetry.
        let grad: Vec<f64> = (0..expected.len()).map(|i| ((i * 37 + 11) % 64) as f64 / 32.0 - 0.75).collect();
        let gradients = (self.twin_backward)(&values, &grad);
        if self.smooth {
            self.check_differences(&values, &grad, &gradients);
        }

        let vars: Vec<Var> =
            self.inputs.iter().map(|input| Var::from_tensor(&input.tensor()).unwrap()).collect();
        let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
        let y = (self.kernel)(&tensors).unwrap();
        close(&format!("{}: output", self.name), &y, &expected);

        let grad: Vec<f32> = grad.iter().map(|&g| g as f32).collect();
        let grad = Tensor::from_vec(grad, y.shape(), &Device::Cpu).unwrap();
        let loss = (&y * grad).unwrap().sum_all().unwrap();
        let stores = [("candle", loss.backward().unwrap()), ("ops", ops::backward(&loss).unwrap())];
        for (which, store) in &stores {
            for (i, (var, expected)) in vars.iter().zip(&gradients).enumerate() {
                let found =
                    store.get(var).unwrap_or_else(|| panic!("{}: no gradient {i} ({which})", self.name));
                close(&format!("{}: gradient {i} ({which})", self.name), found, expected);
            }
        }
    }

    /// Twin gradients against central differences of the twin, at up to 48 elements of each input.
    #[track_caller]
    fn check_differences(&self, values: &[Vec<f64>], grad: &[f64], gradients: &[Vec<f64>]) {
        const STEP: f64 = 1e-5;
        let loss =
            |values: &[Vec<f64>]| -> f64 { (self.twin)(values).iter().zip(grad).map(|(y, g)| y * g).sum() };
        let mut moved = values.to_vec();
        for (i, gradient) in gradients.iter().enumerate() {
            for at in (0..gradient.len()).step_by(gradient.len().div_ceil(48).max(1)) {
                moved[i][at] = values[i][at] + STEP;
                let above = loss(&moved);
                moved[i][at] = values[i][at] - STEP;
                let below = loss(&moved);
                moved[i][at] = values[i][at];
                let difference = (above - below) / (2.0 * STEP);
                let error = (difference - gradient[at]).abs() / (1.0 + gradient[at].abs());
                assert!(
                    error < DIFFERENCE_BOUND,
                    "{}: d input {i} [{at}]: twin {} but difference {difference}",
                    self.name,
                    gradient[at]
                );
            }
        }
    }
}

/// Asserts that `found` is within [`BOUND`] of `expected`.
#[track_caller]
pub(crate) fn close(what: &str, found: &Tensor, expected: &[f64]) {
    let found: Vec<f32> = found.flatten_all().unwrap().to_vec1().unwrap();
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = 1.0 + expected.iter().fold(0.0_f64, |max, v| max.max(v.abs()));
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(*found) - expected).abs() / scale;
        assert!(error < BOUND, "{what} [{i}]: {found}, expected {expected}");
    }
}
