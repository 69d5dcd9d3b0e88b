//! candle operators with right gradients and fast CPU kernels.
//!
//! Each takes and gives candle tensors (f32, on the CPU; other layouts are made contiguous first) and has its own
//! backward pass, right under candle's `backward` as well as under [`backward`], which is faster. Where candle 0.11.1
//! is wrong (pooling, strided convolutions, the rectifier at 0, `clamp` at its bounds) these follow PyTorch.
//!
//! | operator | fused with |
//! |---|---|
//! | [`linear`] | flattening, bias, activation |
//! | [`conv2d`], [`conv2d_max_pool2d`] | bias, activation, max pooling |
//! | [`max_pool2d`], [`avg_pool2d`] | |
//! | [`relu`], [`relu6`], [`clip`], [`abs`], [`tanh`], [`sigmoid`], [`hard_swish`], [`prelu`] | |
//! | [`batch_norm_train`], [`batch_norm_eval`], [`local_response_norm`], [`dropout`] | |
//! | [`softmax`], [`log_softmax`], [`softmax_cross_entropy`] | the loss with its softmax |
//!
//! Results are the same bits for every number of threads: work is cut by its size, sums over a batch are made of a
//! fixed number of partial sums that are added in order. Plain loops that define every operator are in [`mod@reference`].

mod args;
mod backward;
mod batch_norm;
mod config;
mod conv2d;
mod dropout;
pub(crate) mod gemm;
mod im2col;
mod kernel;
mod linear;
mod lrn;
pub(crate) mod parallel;
mod pointwise;
mod pool;
mod prelu;
pub mod reference;
mod scratch;
mod sgd;
mod softmax;
mod unfold;

pub use backward::{backward, backward_from};
pub use batch_norm::{BatchMoments, batch_norm_eval, batch_norm_train};
pub use config::{Activation, Conv2dConfig, Pool2dConfig};
pub use conv2d::{conv2d, conv2d_max_pool2d};
pub use dropout::dropout;
pub use linear::linear;
pub use lrn::{LrnConfig, local_response_norm};
pub use pointwise::{abs, clip, hard_swish, relu, relu6, sigmoid, tanh};
pub use pool::{avg_pool2d, max_pool2d};
pub use prelu::prelu;
pub use sgd::{SgdMomentum, sgd_momentum_update, update_in_place};
pub use softmax::{log_softmax, softmax, softmax_cross_entropy};
pub use unfold::visit_columns;
