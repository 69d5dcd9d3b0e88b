//! Nouns of network compression and the seam to train through them.
//!
//! | module | holds |
//! |---|---|
//! | [`weight`] | a weight as it is stored: positions × values, with integer streams behind both |
//! | [`footprint`] | bits by part, counted from what would be written |
//! | [`network`] | a network as a graph of named nodes over a closed set of operators |
//! | [`params`] | named parameters and buffers, safetensors and `VarMap` in and out |
//! | [`pattern`] | patterns of parameter names |
//! | [`source`] | where a network gets its parameters from: the seam that masks and codebooks wrap |
//! | [`tap`] | where activations are looked at or changed |
//! | [`forward`] | a network run on candle with a source and taps |
//! | [`model`] | anything that yields named outputs |
//! | [`ops`] | candle operators with right gradients and fast CPU kernels |
//! | [`train`] | the one training loop |
//! | [`data`] | data sets, readers, batches, augmentation |
//! | [`sweep`] | many independent evaluations as resumable shards |
//! | [`metrics`] | accuracy and error counts |
//! | [`linalg`] | sums of outer products, and the inverse Cholesky factor of the second-order methods |
//! | [`rng`] | the one seeded generator |
//!
//! candle is re-exported as [`candle`] and [`candle_nn`]: this crate alone names its version.

#[cfg(doctest)]
#[doc = include_str!("../../../docs/networks.md")]
struct NetworksPage;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/stored-weights.md")]
struct StoredWeightsPage;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/training.md")]
struct TrainingPage;

pub use candle_core as candle;
pub use candle_nn;

pub mod data;
pub mod error;
pub mod footprint;
pub mod forward;
pub mod linalg;
pub mod metrics;
pub mod model;
pub mod network;
pub mod ops;
pub mod params;
pub mod pattern;
pub mod rng;
pub mod source;
pub mod sweep;
pub mod tap;
pub mod train;
pub mod weight;

pub use error::{Error, Result};
