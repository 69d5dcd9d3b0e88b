//! Pruning: magnitude masks, iterative prune and retrain, dropout adjustment, removal of dead neurons.
//!
//! | module | holds | source |
//! |---|---|---|
//! | [`importance`] | how much an entry matters | Han 2015 |
//! | [`select`] | scores → masks, exact counts, ties by index | Han 2015, Distiller |
//! | [`mask`] | which entries are kept | |
//! | [`MaskedSource`] | training under masks, with two gradients | Han 2015; Guo 2016 |
//! | [`regularizer`] | `λ · Σ |w|^p` as a loss term | Han 2015 §3.1 |
//! | [`dropout`] | the ratio for retraining | Han 2015 §3.2 |
//! | [`dead`] | neurons without inputs or outputs | Han 2015 §3.5 |
//! | [`group`] | which channels can only be cut together | Fang 2023 |
//! | [`filter`] | which filters go: norms, selection over layers, residuals | Li 2017 |
//! | [`surgery`] | the smaller network without them | Li 2017 §3.1 |
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
//! Whole filters go for good: rank, cut, the smaller network.
//! ```
//! # use nnc_core::{candle::Device, network::zoo::{LeNetConfig, lenet_5}};
//! use nnc_prune::{filter::{self, FilterConfig}, group::Groups, surgery};
//!
//! # let (network, specs) = lenet_5(&LeNetConfig::default())?;
//! # let params = specs.init(1, &Device::Cpu)?;
//! let groups = Groups::of(&network, &params)?;
//! let cut = filter::choose(&groups, &params, &[("conv1", 0.5), ("conv2", 0.5)], &FilterConfig::default())?;
//! let (small, small_params) = surgery::apply(&cut, &params)?;
//! assert_eq!(small_params.tensor("conv2.weight")?.dims(), [25, 10, 5, 5]);
//! # assert_eq!(small.nodes().len(), network.nodes().len());
//! # Ok::<(), nnc_core::Error>(())
//! ```
//!
//! A model written in candle is pruned through its `VarMap`: see `examples/prune_candle_model.rs`.
#![forbid(unsafe_code)]

#[cfg(doctest)]
#[doc = include_str!("../../../docs/pruning.md")]
struct PruningPage;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/filter-pruning.md")]
struct FilterPruningPage;

pub mod dead;
pub mod dropout;
pub mod filter;
pub mod group;
pub mod importance;
pub mod mask;
mod masked_source;
pub mod regularizer;
pub mod select;
pub mod surgery;

pub use mask::Mask;
pub use masked_source::{Gradient, MaskedSource, Masks};
