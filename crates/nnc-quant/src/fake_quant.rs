//! Fake quantization: floats rounded to their codes in the forward pass, straight through in the backward pass.
//!
//! [`FakeQuantSource`] does it to weights, the tap [`FakeQuant`] to activations; [`fake_quantize`] is the operator of both.

mod activation;
mod operator;
mod source;

pub use activation::{ActivationRange, FakeQuant, hang, hang_calibrated};
pub use operator::{fake_quantize, fake_quantize_weight};
pub use source::{FakeQuantSource, WeightQuant};

#[cfg(test)]
mod tests;
