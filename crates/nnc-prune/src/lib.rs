//! Pruning: criteria, granularities and selections; masked training, dropout adjustment, removal of dead neurons.
//!
//! | module | holds | source |
//! |---|---|---|
//! | [`importance`] | how much an entry, a group or an output matters | Han 2015, and those named there |
//! | [`select`] | scores → masks, per layer, row or all layers; exact counts, ties by index | Han 2015, Distiller |
//! | [`granularity`] | what is pruned as one | Mao 2017; Anwar 2015 |
//! | [`mask`] | which entries are kept | |
//! | [`MaskedSource`] | training under masks, with two gradients | Han 2015; Guo 2016 |
//! | [`SparsitySchedule`] | sparsity as a function of the step | Zhu and Gupta 2017 |
//! | [`Pruner`], [`ThresholdPruner`] | masks recomputed while training | Zhu and Gupta 2017; Distiller |
//! | [`splicing`] | connections that come back | Guo 2016 |
//! | [`Rewind`] | lottery tickets | Frankle 2019, 2020 |
//! | [`dense_sparse_dense`] | pruned for a while | Han 2017 |
//! | [`sensitivity`] | accuracy against sparsity by layer, and an allocation | Han 2015; Distiller |
//! | [`particle`] | structured masks by search | Anwar 2015 |
//! | [`varmap`] | masks for a candle model in its author's own loop | |
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
//! A model written in candle is pruned through its `VarMap`: in its author's own loop by three lines of [`varmap`], or in this
//! workspace's loop as `examples/prune_candle_model.rs` does.
#![forbid(unsafe_code)]

#[cfg(doctest)]
#[doc = include_str!("../../../docs/pruning.md")]
struct PruningPage;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/pruning-schedules.md")]
struct SchedulesPage;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/pruning-criteria.md")]
struct PruningCriteriaPage;

pub mod dead;
pub mod dense_sparse_dense;
pub mod dropout;
pub mod granularity;
pub mod importance;
pub mod layers;
pub mod mask;
mod masked_source;
pub mod particle;
mod pruner;
mod read;
pub mod regularizer;
mod rewind;
mod schedule;
pub mod select;
pub mod sensitivity;
pub mod splicing;
mod threshold;
pub mod varmap;

pub use granularity::Granularity;
pub use mask::Mask;
pub use masked_source::{Gradient, MaskedSource, Masks};
pub use pruner::{Pruner, PrunerConfig, Scope};
pub use rewind::Rewind;
pub use schedule::{SparsitySchedule, Updates};
pub use threshold::ThresholdPruner;
