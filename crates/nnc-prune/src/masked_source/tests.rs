//! What a masked source serves, lets learn, saves and stores.

use nnc_core::candle::Var;
use nnc_core::source::VarSource;

use super::*;

fn weight() -> Tensor {
    Tensor::new(&[[1.0_f32, -2.0], [3.0, f32::INFINITY]], &Device::Cpu).unwrap()
}

fn mask() -> Mask {
    Mask::from_fn(&[2, 2], |i| i < 2)
}

fn source(gradient: Gradient) -> MaskedSource<VarSource> {
    let mut params = Params::new();
    params.insert("w", ParamKind::Weight, weight());
    let masks = Masks::new();
    masks.set("w", mask()).unwrap();
    MaskedSource::new(VarSource::new(&params).unwrap(), masks, gradient).unwrap()
}

fn gradient_of(source: &MaskedSource<VarSource>) -> Vec<Vec<f32>> {
    let w = source.get("w", &Step::eval()).unwrap();
    let scale = Tensor::new(&[[5.0_f32, 6.0], [7.0, 8.0]], &Device::Cpu).unwrap();
    let loss = (w * scale).unwrap().sum_all().unwrap();
    let var: &Var = source.inner().var("w").unwrap();
    loss.backward().unwrap().get(var).unwrap().to_vec2().unwrap()
}

#[test]
fn pruned_entries_are_zero_whatever_they_hold() {
    let served = source(Gradient::Masked).get("w", &Step::eval()).unwrap();
    assert_eq!(served.to_vec2::<f32>().unwrap(), [[1.0, -2.0], [0.0, 0.0]]);
}

#[test]
fn the_two_gradients_are_han_s_and_the_straight_through() {
    assert_eq!(gradient_of(&source(Gradient::Masked)), [[5.0, 6.0], [0.0, 0.0]]);
    assert_eq!(gradient_of(&source(Gradient::StraightThrough)), [[5.0, 6.0], [7.0, 8.0]]);
}

#[test]
fn state_carries_masks_and_weights() {
    let saved = source(Gradient::Masked).state().unwrap();
    let mut other = source(Gradient::Masked);
    other.masks.set("w", Mask::all(&[2, 2])).unwrap();
    other.load_state(&saved).unwrap();
    assert_eq!(*other.masks.get("w").unwrap(), mask());
}

#[test]
fn the_frozen_weight_is_the_served_one() {
    let source = source(Gradient::Masked);
    let dense = source.freeze("w").unwrap().to_dense(&Device::Cpu).unwrap();
    assert_eq!(dense.to_vec2::<f32>().unwrap(), [[1.0, -2.0], [0.0, 0.0]]);
}

#[test]
fn a_mask_of_another_shape_is_refused() {
    let source = source(Gradient::Masked);
    source.masks.set("w", Mask::all(&[4])).unwrap();
    for error in [source.get("w", &Step::eval()).unwrap_err(), source.freeze("w").unwrap_err()] {
        assert!(error.to_string().contains("mask of `w`"), "{error}");
    }
}

#[test]
fn a_mask_for_a_name_that_is_not_served_is_refused_when_it_is_set() {
    let source = source(Gradient::Masked);
    let message = source.masks.clone().set("v", mask()).unwrap_err().to_string();
    assert_eq!(message, "no parameter named `v`; there are: w");
    assert_eq!(source.masks.names(), ["w"]);
}

#[test]
fn a_mask_for_a_name_that_is_not_served_is_refused_when_the_source_is_wrapped() {
    let masks = Masks::new();
    masks.set("v", mask()).unwrap();
    let wrapped = MaskedSource::new(source(Gradient::Masked), masks.clone(), Gradient::Masked);
    assert_eq!(wrapped.unwrap_err().to_string(), "no parameter named `v`; there are: w");
    masks.clear();
    MaskedSource::new(source(Gradient::Masked), masks, Gradient::Masked).unwrap();
}

#[test]
fn a_saved_mask_for_a_name_that_is_not_served_is_refused() {
    let mut source = source(Gradient::Masked);
    let mut state = source.state().unwrap();
    state.insert("mask/v", ParamKind::Buffer, weight());
    assert!(source.load_state(&state).unwrap_err().to_string().contains("no parameter named `v`"));
}
