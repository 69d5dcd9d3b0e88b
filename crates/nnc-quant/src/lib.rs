//! Quantization: affine codes, calibration, fake quantization in training, trained weight sharing with codebooks.
//!
//! | module | holds |
//! |---|---|
//! | [`affine`] | intervals → scales and zero points; weights → stored codes |
//! | [`observer`] | streams of numbers → intervals: extremes, averages, percentile, entropy, squared error, ACIQ |
//! | [`calibrate`] | observers on the activations of a network; which activations have a scale of their own |
//! | [`fake_quant`] | weights and activations rounded to their codes in training, gradients straight through |
//! | [`fold`] | batch norms folded into the weights before them, once or at every step of a training |
//! | [`codebook`] | k-means sharing (Deep Compression §3): initial centroids, Lloyd's algorithm, the exact optimum |
//! | [`codebook::CodebookSource`] | training the shared values: gradients reach the centroids |
//! | [`allocation`] | bits for each layer under a budget of bytes |
//!
//! # Example
//! Sixteen weights share four values (Deep Compression, figure 3):
//! ```
//! use nnc_core::rng::Rng;
//! use nnc_quant::codebook::{ClusterConfig, Init, cluster};
//!
//! let weights = [
//!     2.09, -0.98, 1.48, 0.09, 0.05, -0.14, -1.08, 2.12, //
//!     -0.91, 1.92, 0.0, -1.03, 1.87, 0.0, 1.53, 1.49,
//! ];
//! let config = ClusterConfig { n_shared: 4, init: Init::Linear, max_iterations: 100 };
//! let shared = cluster(&weights, &config, &mut Rng::keyed(0, "forgy", &[]))?;
//! let figure = [-1.0_f32, 0.0, 1.5, 2.0];
//! assert!(shared.centroids.iter().zip(figure).all(|(ours, paper)| (ours - paper).abs() < 1e-6));
//! assert_eq!(shared.assignments, [3, 0, 2, 1, 1, 1, 0, 3, 0, 3, 1, 0, 3, 1, 2, 2]);
//! # Ok::<(), nnc_core::Error>(())
//! ```
#![forbid(unsafe_code)]

#[cfg(doctest)]
#[doc = include_str!("../../../docs/quantization.md")]
struct QuantizationPage;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/weight-sharing.md")]
struct WeightSharingPage;

pub mod affine;
pub mod allocation;
pub mod calibrate;
pub mod codebook;
pub mod fake_quant;
mod floats;
pub mod fold;
pub mod observer;
