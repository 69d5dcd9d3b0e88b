//! Weights rounded in training equal what is stored.

use nnc_core::candle::Device;
use nnc_core::source::VarSource;
use nnc_core::weight::{Values, WeightTensor};

use super::*;
use crate::affine::Scheme;

fn params() -> Params {
    let mut params = Params::new();
    let weight = Tensor::new(&[[1.0_f32, -0.26, 0.0], [0.05, 0.1, -0.02]], &Device::Cpu).unwrap();
    params.insert("fc.weight", ParamKind::Weight, weight);
    params.insert("fc.bias", ParamKind::Bias, Tensor::new(&[0.3_f32, 0.7], &Device::Cpu).unwrap());
    params.insert("bn.running_mean", ParamKind::Buffer, Tensor::new(&[0.0_f32], &Device::Cpu).unwrap());
    params
}

fn source(quant: WeightQuant) -> FakeQuantSource<VarSource> {
    FakeQuantSource::matching(VarSource::new(&params()).unwrap(), &["*.weight"], quant).unwrap()
}

#[test]
fn weights_are_rounded_and_the_rest_is_forwarded() {
    let source = source(WeightQuant::per_channel(4));
    let seen = source.get("fc.weight", &Step::train(1, 0)).unwrap().to_vec2::<f32>().unwrap();
    let (first, second) = (1.0_f32 / 7.0, 0.1_f32 / 7.0);
    assert_eq!(seen, [[7.0 * first, -2.0 * first, 0.0], [4.0 * second, 7.0 * second, -second]]);
    assert_eq!(source.get("fc.bias", &Step::eval()).unwrap().to_vec1::<f32>().unwrap(), [0.3, 0.7]);
    let names = |trainables: Vec<Trainable>| trainables.into_iter().map(|t| t.name).collect::<Vec<_>>();
    assert_eq!(names(source.trainables()), names(source.inner().trainables()));
    assert_eq!(source.names(), source.inner().names());
    assert!(source.contains("fc.bias") && !source.contains("fc.scale"));
    let mean = Tensor::new(&[2.0_f32], &Device::Cpu).unwrap();
    source.set_buffer("bn.running_mean", &mean).unwrap();
    assert_eq!(source.get("bn.running_mean", &Step::eval()).unwrap().to_vec1::<f32>().unwrap(), [2.0]);
    assert!(source.set_buffer("fc.weight", &mean).is_err());
}

#[test]
fn the_optimizer_moves_the_floats_below() {
    let source = source(WeightQuant::per_channel(8));
    let loss = source.get("fc.weight", &Step::train(1, 0)).unwrap().sqr().unwrap().sum_all().unwrap();
    let weight = source.inner().var("fc.weight").unwrap();
    let gradient = loss.backward().unwrap().get(weight).unwrap().to_vec2::<f32>().unwrap();
    let rounded = source.get("fc.weight", &Step::eval()).unwrap().to_vec2::<f32>().unwrap();
    for (gradient, rounded) in gradient.concat().iter().zip(rounded.concat()) {
        assert!((gradient - 2.0 * rounded).abs() < 1e-6, "straight through: {gradient} for {rounded}");
    }
}

#[test]
fn what_is_stored_is_what_was_trained() {
    for scheme in [Scheme::Affine, Scheme::Symmetric, Scheme::SymmetricRestricted] {
        for granularity in
            [Granularity::PerTensor, Granularity::PerAxis { axis: 0 }, Granularity::PerGroup { size: 2 }]
        {
            for method in [RangeMethod::MinMax, RangeMethod::Mse] {
                let quant = WeightQuant { config: QuantConfig { bits: 3, scheme }, granularity, method };
                let source = source(quant);
                let stored = source.freeze("fc.weight").unwrap();
                assert!(matches!(stored.values(), Values::Affine(affine) if affine.grid().bits() == 3));
                let seen = source.get("fc.weight", &Step::eval()).unwrap().to_vec2::<f32>().unwrap();
                assert_eq!(stored.to_dense(&Device::Cpu).unwrap().to_vec2::<f32>().unwrap(), seen);
                assert!(matches!(source.freeze("fc.bias").unwrap().values(), Values::F32(_)));
            }
        }
    }
}

#[test]
fn state_goes_through() {
    let trained = source(WeightQuant::per_channel(4));
    let weight = trained.inner().var("fc.weight").unwrap();
    weight.set(&Tensor::new(&[[3.0_f32, 2.0, 1.0], [0.0, 0.5, 0.25]], &Device::Cpu).unwrap()).unwrap();
    let mut resumed = source(WeightQuant::per_channel(4));
    resumed.load_state(&trained.state().unwrap()).unwrap();
    let seen = |source: &FakeQuantSource<VarSource>| {
        source.get("fc.weight", &Step::eval()).unwrap().to_vec2::<f32>().unwrap()
    };
    assert_eq!(seen(&resumed), seen(&trained));
}

#[test]
fn mistakes_are_refused_by_name() {
    let inner = || VarSource::new(&params()).unwrap();
    let quant = WeightQuant::per_channel(4);
    let error = FakeQuantSource::matching(inner(), &["fc.bias"], quant).unwrap_err();
    assert!(matches!(error, Error::NoMatch { .. }), "a bias is no weight: {error}");
    assert!(FakeQuantSource::new(inner(), vec![("none".into(), quant)]).is_err());
    assert!(FakeQuantSource::matching(inner(), &["*"], WeightQuant::per_channel(1)).is_err());
    let source = source(quant);
    let nan = Tensor::new(&[[f32::NAN, 0.0, 0.0], [0.0, 0.0, 0.0]], &Device::Cpu).unwrap();
    source.inner().var("fc.weight").unwrap().set(&nan).unwrap();
    let error = source.get("fc.weight", &Step::eval()).unwrap_err().to_string();
    assert!(error.contains("of `fc.weight`"), "{error}");
}
