//! Compression pipelines, the .nnc archive and the nnc command.
//!
//! | module | holds |
//! |---|---|
//! | [`recipe`] | which parameters are pruned, shared and coded, and how the network is trained between |
//! | [`pipeline`] | a recipe's steps that need no data: prune, share, store |
//! | [`deep_compression`] | the whole of Deep Compression, with training |
//! | [`archive`] | the `.nnc` file: networks and weights as they are stored, checked and accounted for |
//! | [`storage`] | compressed sizes by arithmetic, from densities and widths alone |

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/deep-compression.md")]
struct DeepCompressionPage;

pub mod archive;
pub mod deep_compression;
pub mod pipeline;
pub mod recipe;
pub mod storage;
