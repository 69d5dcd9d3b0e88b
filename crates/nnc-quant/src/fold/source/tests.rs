//! Folding at every step: outputs, gradients, and what is stored.

use nnc_core::candle::{Device, Var};
use nnc_core::forward;
use nnc_core::network::{Conv, Network};
use nnc_core::source::VarSource;
use nnc_core::tap::Taps;
use nnc_core::weight::{MaskBits, Order, Positions};

use super::*;
use crate::affine::WeightGrid;
use crate::fake_quant::{FakeQuantSource, WeightQuant};
use crate::fold::plan;

fn tensor(values: &[f32], shape: &[usize]) -> Tensor {
    Tensor::from_slice(values, shape, &Device::Cpu).unwrap()
}

fn network() -> (Network, Params) {
    let (network, specs) = Network::builder()
        .input("image", &[2, 4, 4])
        .conv2d("conv", Conv::new(3, 3).without_bias())
        .batch_norm("bn")
        .relu("relu")
        .output("y")
        .build()
        .unwrap();
    let mut params = specs.init(3, &Device::Cpu).unwrap();
    params.replace("bn.weight", tensor(&[0.5, -1.5, 2.0], &[3])).unwrap();
    params.replace("bn.bias", tensor(&[0.1, 0.4, -0.2], &[3])).unwrap();
    params.replace("bn.running_mean", tensor(&[0.3, -0.1, 0.0], &[3])).unwrap();
    params.replace("bn.running_var", tensor(&[0.7, 1.2, 0.2], &[3])).unwrap();
    (network, params)
}

fn folded(network: &Network, params: &Params) -> (Network, FoldedSource<VarSource>) {
    let plan = plan(network).unwrap();
    (plan.network, FoldedSource::new(VarSource::new(params).unwrap(), plan.folds).unwrap())
}

#[test]
fn it_serves_the_folded_network_and_trains_the_one_below() {
    let (network, params) = network();
    let (_, source) = folded(&network, &params);
    let names: Vec<String> = source.names().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["conv.weight", "conv.bias"]);
    assert!(source.contains("conv.bias") && !source.contains("bn.weight") && !source.contains("fc.weight"));
    let trained: Vec<String> = source.trainables().into_iter().map(|t| t.name).collect();
    assert_eq!(trained, ["conv.weight", "bn.weight", "bn.bias"]);
    assert!(source.set_buffer("bn.running_mean", &tensor(&[0.0; 3], &[3])).is_err());
    let mut resumed = folded(&network, &params).1;
    source.inner().var("bn.weight").unwrap().set(&tensor(&[1.0, 2.0, 3.0], &[3])).unwrap();
    resumed.load_state(&source.state().unwrap()).unwrap();
    let seen = |source: &FoldedSource<VarSource>| {
        source.get("conv.weight", &Step::eval()).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    assert_eq!(seen(&resumed), seen(&source));
}

/// Gradients through the fold against differences of the loss.
#[test]
fn gradients_reach_every_parameter_through_the_fold() {
    let (network, params) = network();
    let (smaller, source) = folded(&network, &params);
    let image: Vec<f32> = (0..64_u16).map(|i| (f32::from(i) * 0.7).sin()).collect();
    let image = tensor(&image, &[2, 2, 4, 4]);
    let loss = || {
        let outputs =
            forward::run(&smaller, &source, &Taps::new(), &image, &["y"], &Step::train(1, 0)).unwrap();
        outputs.get("y").unwrap().sqr().unwrap().sum_all().unwrap()
    };
    let gradients = loss().backward().unwrap();
    let step = 1e-2;
    for name in ["conv.weight", "bn.weight", "bn.bias"] {
        let var: &Var = source.inner().var(name).unwrap();
        let whole = var.as_tensor().copy().unwrap();
        let (values, got) = (flat(&whole), flat(gradients.get(var).unwrap()));
        for i in [0, values.len() - 1] {
            let at = |delta: f32| {
                let mut moved = values.clone();
                moved[i] += delta;
                var.set(&tensor(&moved, whole.dims())).unwrap();
                loss().to_scalar::<f32>().unwrap()
            };
            let difference = (at(step) - at(-step)) / (2.0 * step);
            var.set(&whole).unwrap();
            assert!(
                (difference - got[i]).abs() <= 0.02 * difference.abs().max(1.0),
                "{name}: {} for {difference}",
                got[i]
            );
        }
    }
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn a_fake_quantizer_around_it_rounds_the_weight_that_is_stored() {
    let (network, params) = network();
    let source =
        FakeQuantSource::matching(folded(&network, &params).1, &["*"], WeightQuant::per_channel(8)).unwrap();
    let seen = flat(&source.get("conv.weight", &Step::train(1, 0)).unwrap());
    let stored = source.freeze("conv.weight").unwrap();
    assert_eq!(stored.to_dense_vec().unwrap(), seen);
    assert!(WeightGrid::of_stored(&stored).is_ok());
    let bias = flat(&source.get("conv.bias", &Step::eval()).unwrap());
    assert_eq!(source.freeze("conv.bias").unwrap().to_dense_vec().unwrap(), bias);
}

/// A source that stores its one weight in a given form.
#[derive(Debug)]
struct Storing(VarSource, StoredWeight);

impl ParamSource for Storing {
    fn get(&self, name: &str, step: &Step) -> Result<Tensor> {
        self.0.get(name, step)
    }
    fn contains(&self, name: &str) -> bool {
        self.0.contains(name)
    }
    fn names(&self) -> Vec<(String, ParamKind)> {
        self.0.names()
    }
    fn trainables(&self) -> Vec<Trainable> {
        self.0.trainables()
    }
    fn set_buffer(&self, name: &str, value: &Tensor) -> Result<()> {
        self.0.set_buffer(name, value)
    }
    fn state(&self) -> Result<Params> {
        self.0.state()
    }
    fn load_state(&mut self, state: &Params) -> Result<()> {
        self.0.load_state(state)
    }
    fn freeze(&self, _name: &str) -> Result<StoredWeight> {
        Ok(self.1.clone())
    }
}

#[test]
fn a_mask_stays_a_mask_and_codes_are_not_undone() {
    let (network, mut params) = network();
    let mut weight = flat(params.tensor("conv.weight").unwrap());
    weight.iter_mut().step_by(2).for_each(|w| *w = 0.0);
    params.replace("conv.weight", tensor(&weight, &[3, 2, 3, 3])).unwrap();
    let mask: MaskBits = weight.iter().map(|&w| w != 0.0).collect();
    let kept: Vec<f32> = weight.iter().copied().filter(|&w| w != 0.0).collect();
    let shape = vec![3, 2, 3, 3];
    let masked = StoredWeight::new(shape, Positions::Mask(mask), Values::F32(kept), Order::RowMajor).unwrap();
    let folds = plan(&network).unwrap().folds;
    let inner = |stored: &StoredWeight| Storing(VarSource::new(&params).unwrap(), stored.clone());
    let source = FoldedSource::new(inner(&masked), folds.clone()).unwrap();
    let stored = source.freeze("conv.weight").unwrap();
    assert_eq!(stored.n_slots(), masked.n_slots());
    assert_eq!(stored.to_dense_vec().unwrap(), flat(&source.get("conv.weight", &Step::eval()).unwrap()));
    let quant = WeightQuant::per_channel(8);
    let grid =
        WeightGrid::fit(params.tensor("conv.weight").unwrap(), quant.config, quant.granularity, quant.method);
    let codes = grid.unwrap().quantize_stored(&masked).unwrap();
    let error =
        FoldedSource::new(inner(&codes), folds).unwrap().freeze("conv.weight").unwrap_err().to_string();
    assert!(error.contains("expected floats to fold into"), "{error}");
}
