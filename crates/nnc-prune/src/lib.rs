//! Pruning: criteria, granularities and selections; masked training, dropout adjustment, removal of dead neurons.
//!
//! | module | holds | source |
//! |---|---|---|
//! | [`importance`] | how much an entry, a group or an output matters | Han 2015, and those named there |
//! | [`select`] | scores → masks, per layer, row or all layers; exact counts, ties by index | Han 2015, Distiller |
//! | [`granularity`] | what is pruned as one | Mao 2017; Anwar 2015 |
//! | [`mask`] | which entries are kept | |
//! | [`MaskedSource`] | training under masks, with two gradients | Han 2015; Guo 2016 |
//! | [`regularizer`] | `λ · Σ |w|^p` as a loss term | Han 2015 §3.1 |
//! | [`dropout`] | the ratio for retraining | Han 2015 §3.2 |
//! | [`dead`] | neurons without inputs or outputs | Han 2015 §3.5 |
//!
//! # Example
//! ```
//! use nnc_core::candle::{Device, Tensor};
//! use nnc_prune::{importance::magnitude::magnitude, select};
//!
//! let weight = Tensor::new(&[[0.1_f32, -2.0], [0.5, -0.2]], &Device::Cpu)?;
//! let mask = select::level(&magnitude(&weight)?, weight.dims(), 0.5)?;
//! assert_eq!(mask.to_tensor(&Device::Cpu)?.to_vec2::<f32>()?, [[0.0, 1.0], [1.0, 0.0]]);
//! # Ok::<(), nnc_core::Error>(())
//! ```
//!
//! A model written in candle is pruned through its `VarMap`: see `examples/prune_candle_model.rs`.
#![forbid(unsafe_code)]

#[cfg(doctest)]
#[doc = include_str!("../../../docs/pruning.md")]
struct PruningPage;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/pruning-criteria.md")]
struct PruningCriteriaPage;

pub mod dead;
pub mod dropout;
pub mod granularity;
pub mod importance;
pub mod mask;
mod masked_source;
mod read;
pub mod regularizer;
pub mod select;

pub use granularity::Granularity;
pub use mask::Mask;
pub use masked_source::{Gradient, MaskedSource, Masks};
