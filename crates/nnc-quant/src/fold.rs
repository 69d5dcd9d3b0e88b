//! Batch-norm folding: a batch norm behind a convolution or linear node becomes part of its weight and bias.
//!
//! In evaluation y = (w·x + b − μ) · γ / √(σ² + ε) + β. With f = γ / √(σ² + ε), that is a node of weight f · w, channel by
//! channel, and bias β + f · (b − μ).
//!
//! [`fold_batch_norms`] does it to a network and its parameters, once. [`FoldedSource`] does it at every step, so that a
//! network can be trained as it will be folded.

mod plan;
mod source;

use nnc_core::Result;
use nnc_core::network::Network;
use nnc_core::params::Params;
use nnc_core::source::{ParamSource as _, Step, VarSource};

pub use plan::{Fold, Kept, Plan, plan};
pub use source::FoldedSource;

/// A network without the batch norms that fold, and its parameters.
#[derive(Debug, Clone)]
pub struct Folded {
    /// The network; nodes keep their names.
    pub network: Network,
    /// Its parameters, in its order.
    pub params: Params,
    /// The batch norms that are gone.
    pub folds: Vec<Fold>,
    /// The batch norms that are still there, and why.
    pub kept: Vec<Kept>,
}

/// Folds every batch norm that stands alone behind a convolution or linear node.
///
/// In evaluation the folded network computes what `network` does, up to rounding.
///
/// # Errors
/// [`NotFound`](nnc_core::Error::NotFound) when `params` lacks one of the network's,
/// [`ShapeMismatch`](nnc_core::Error::ShapeMismatch) when shapes do not fit.
///
/// # Source
/// Jacob and others, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR
/// 2018, §3.2 and equation 14; the mean and the bias, which it leaves out, are folded here, too.
///
/// # Example
/// ```
/// use nnc_core::candle::Device;
/// use nnc_core::network::{Conv, Network};
/// use nnc_quant::fold::fold_batch_norms;
///
/// let (network, specs) = Network::builder()
///     .input("image", &[3, 8, 8])
///     .conv2d("conv", Conv::new(4, 3).without_bias())
///     .batch_norm("bn")
///     .relu("relu")
///     .output("features")
///     .build()?;
/// let folded = fold_batch_norms(&network, &specs.init(1, &Device::Cpu)?)?;
/// assert_eq!(folded.network.nodes().iter().map(|node| node.name.as_str()).collect::<Vec<_>>(), ["conv", "relu"]);
/// assert_eq!(folded.params.names().collect::<Vec<_>>(), ["conv.weight", "conv.bias"]);
/// # Ok::<(), nnc_core::Error>(())
/// ```
pub fn fold_batch_norms(network: &Network, params: &Params) -> Result<Folded> {
    let Plan { network: smaller, folds, kept } = plan(network)?;
    let source = FoldedSource::new(VarSource::new(params)?, folds.clone())?;
    let mut folded = Params::new();
    for node in smaller.nodes() {
        for &(suffix, kind) in node.op.params() {
            let name = node.param(suffix);
            folded.insert(&name, kind, source.get(&name, &Step::eval())?.detach().copy()?);
        }
    }
    Ok(Folded { network: smaller, params: folded, folds, kept })
}

#[cfg(test)]
mod tests;
