//! Masks for a model written in candle, trained by its author's own loop.
//!
//! Nothing of this crate need be in the model or the optimizer: after each optimizer step the masks may be recomputed, and what
//! they prune is set to 0 in the variables of the [`VarMap`]. The crate's README has a whole loop.

use nnc_core::candle::{DType, Var};
use nnc_core::candle_nn::VarMap;
use nnc_core::params::ParamKind;
use nnc_core::{Error, Result, pattern};

use crate::importance::magnitude::magnitude;
use crate::mask::Mask;
use crate::masked_source::Masks;
use crate::select;
use crate::threshold::named;

/// Sets masks that prune the `floor(sparsity · n)` smallest entries of each weight of `map` that matches; what is pruned stays so.
///
/// Weights are what [`ParamKind::guess`] takes for such: variables of two or more axes, mostly.
///
/// # Errors
/// [`Error::NoMatch`] for a pattern that matches no weight, [`Error::InvalidArgument`] for a sparsity outside `[0, 1)` or a
/// weight with a NaN.
pub fn prune(map: &VarMap, masks: &Masks, patterns: &[impl AsRef<str>], sparsity: f64) -> Result<()> {
    let vars = variables(map);
    let weights = vars.iter().filter(|(name, var)| ParamKind::guess(name, var.dims()) == ParamKind::Weight);
    let names: Vec<&String> = weights.map(|(name, _)| name).collect();
    for name in pattern::select(patterns, &names)? {
        let weight = variable(&vars, &name)?.to_dtype(DType::F32)?;
        let mut scores = magnitude(&weight)?;
        if let Some(before) = masks.get(&name) {
            check_shape(&name, &weight, &before)?;
            before.bits().iter_zeros().for_each(|i| scores[i] = f32::NEG_INFINITY);
        }
        let mask = select::level(&scores, weight.dims(), sparsity).map_err(|error| named(&name, error))?;
        let mask = match masks.get(&name) {
            Some(before) => mask.and(&before)?,
            None => mask,
        };
        masks.set(&name, mask)?;
    }
    Ok(())
}

/// Sets to 0, in the variables of `map`, what `masks` prune: to be called after each optimizer step.
///
/// # Errors
/// [`Error::NotFound`] when a mask is for a variable that the map lacks, [`Error::ShapeMismatch`] when their shapes differ; then
/// nothing has been changed.
pub fn apply(map: &VarMap, masks: &Masks) -> Result<()> {
    let vars = variables(map);
    let mut masked = Vec::new();
    for name in masks.names() {
        let (var, Some(mask)) = (variable(&vars, &name)?, masks.get(&name)) else { continue };
        check_shape(&name, var, &mask)?;
        masked.push((var, mask.apply(&var.to_dtype(DType::F32)?)?.to_dtype(var.dtype())?));
    }
    for (var, values) in masked {
        var.set(&values)?;
    }
    Ok(())
}

/// The variables by name, sorted, since the map has no order of its own.
fn variables(map: &VarMap) -> Vec<(String, Var)> {
    let vars = map.data().lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut vars: Vec<(String, Var)> = vars.iter().map(|(name, var)| (name.clone(), var.clone())).collect();
    vars.sort_by(|(a, _), (b, _)| a.cmp(b));
    vars
}

fn variable<'a>(vars: &'a [(String, Var)], name: &str) -> Result<&'a Var> {
    let found = vars.iter().find(|(known, _)| known == name).map(|(_, var)| var);
    found.ok_or_else(|| Error::not_found("variable", name, vars.iter().map(|(known, _)| known.clone())))
}

fn check_shape(name: &str, weight: &nnc_core::candle::Tensor, mask: &Mask) -> Result<()> {
    if weight.dims() == mask.shape() {
        return Ok(());
    }
    Err(Error::shape(format!("mask of `{name}`"), weight.dims(), mask.shape()))
}

#[cfg(test)]
mod tests {
    use nnc_core::candle::{Device, Tensor};

    use super::*;

    fn map() -> VarMap {
        let map = VarMap::new();
        let weight = Tensor::new(&[[0.1_f32, -2.0], [0.5, -0.2]], &Device::Cpu).unwrap();
        let half = weight.to_dtype(DType::BF16).unwrap();
        for (name, tensor) in [
            ("a.weight", weight),
            ("b.weight", half),
            ("a.bias", Tensor::new(&[1_f32], &Device::Cpu).unwrap()),
        ] {
            map.data().lock().unwrap().insert(name.into(), Var::from_tensor(&tensor).unwrap());
        }
        map
    }

    fn values(map: &VarMap, name: &str) -> Vec<f32> {
        let vars = variables(map);
        let tensor = variable(&vars, name).unwrap().to_dtype(DType::F32).unwrap();
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn what_is_pruned_is_zero_in_the_map_and_stays_pruned() {
        let (map, masks) = (map(), Masks::new());
        prune(&map, &masks, &["*.weight"], 0.5).unwrap();
        assert_eq!(masks.names(), ["a.weight", "b.weight"]);
        apply(&map, &masks).unwrap();
        for name in ["a.weight", "b.weight"] {
            assert_eq!(values(&map, name), [0.0, -2.0, 0.5, 0.0], "{name}");
        }
        assert_eq!(variable(&variables(&map), "b.weight").unwrap().dtype(), DType::BF16);
        // An optimizer step moves everything; the largest entry is now one that was pruned.
        let moved = Tensor::new(&[[9_f32, 1.0], [2.0, 3.0]], &Device::Cpu).unwrap();
        variable(&variables(&map), "a.weight").unwrap().set(&moved).unwrap();
        prune(&map, &masks, &["a.weight"], 0.75).unwrap();
        apply(&map, &masks).unwrap();
        assert_eq!(values(&map, "a.weight"), [0.0, 0.0, 2.0, 0.0]);
    }

    #[test]
    fn wrong_names_shapes_and_shares_are_named() {
        let (map, masks) = (map(), Masks::new());
        let message = |result: Result<()>| result.unwrap_err().to_string();
        // A bias is no weight.
        let no_match = message(prune(&map, &masks, &["*.bias"], 0.5));
        assert_eq!(no_match, "pattern `*.bias` matches no parameter; there are: a.weight, b.weight");
        assert!(message(prune(&map, &masks, &["*"], 1.0)).contains("sparsity"));
        masks.set("c.weight", Mask::all(&[2])).unwrap();
        assert!(message(apply(&map, &masks)).contains("no variable named `c.weight`"));
        masks.clear();
        masks.set("a.weight", Mask::all(&[4])).unwrap();
        assert!(message(apply(&map, &masks)).contains("mask of `a.weight`"));
        assert!(message(prune(&map, &masks, &["a.weight"], 0.5)).contains("mask of `a.weight`"));
    }
}
