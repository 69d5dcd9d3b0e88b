//! Plain loops in f64 that define every operator, forward and backward.
//!
//! Nothing here is fast or clever. Tests hold the backward loops against finite differences of the forward loops, and
//! the kernels against both. Tensors are slices in row-major order; a `*_backward` function takes the operator's
//! inputs and the gradient of its output and returns the gradients of its inputs in their order.

mod dense;
mod norm;
mod pointwise;
mod pool;
mod softmax;

pub use dense::{conv2d, conv2d_backward, linear, linear_backward};
pub use norm::{
    batch_norm, batch_norm_backward, batch_norm_given, batch_norm_given_backward, local_response_norm,
    local_response_norm_backward,
};
pub use pointwise::{Function, pointwise, pointwise_backward, prelu, prelu_backward};
pub use pool::{avg_pool2d, avg_pool2d_backward, max_pool2d, max_pool2d_backward};
pub use softmax::{
    log_softmax, log_softmax_backward, softmax, softmax_backward, softmax_cross_entropy,
    softmax_cross_entropy_backward,
};
