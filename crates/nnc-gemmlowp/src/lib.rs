//! Integer matrix products, and convolutions by them, bit-exact with gemmlowp.
//!
//! A quantized matrix stands for a real one by real = scale · (q − `zero_point`), where q is a byte and so is the zero
//! point: real 0 is exact. The product of two of them is a sum of integers, `a`; stages take it to the result. Slices
//! in, slices out; this crate depends on no framework.
//!
//! ```text
//! real ──QuantParams──▶ bytes ──pack──▶ panels ──kernel──▶ sums a ──Bias──Scale──Clamp──▶ u8, i8, i16, i32
//!                                                                └──────Dequantize──────▶ f32
//! ```
//!
//! # One product
//!
//! ```
//! use nnc_gemmlowp::{MatMut, MatRef, Multiplier, PackedRhs, Per, QuantParams, QuantRange, Quantized, Stage, gemm_packed};
//!
//! // [1 −2 0.5; 0 3 −1] times [2 −1; 0.5 1.5; −1 4] is [0.5 −2; 2.5 0.5].
//! let lhs_params = QuantParams::choose(-2.0, 3.0, QuantRange::U8)?; // scale 5/255, zero point 102
//! let rhs_params = QuantParams::choose(-1.0, 4.0, QuantRange::U8)?; // scale 5/255, zero point 51
//! let out_params = QuantParams::choose(-2.0, 2.5, QuantRange::U8)?; // scale 4.5/255, zero point 113
//! let (mut lhs, mut rhs) = ([0_u8; 6], [0_u8; 6]);
//! lhs_params.quantize_into(&[1.0, -2.0, 0.5, 0.0, 3.0, -1.0], &mut lhs)?;
//! rhs_params.quantize_into(&[2.0, -1.0, 0.5, 1.5, -1.0, 4.0], &mut rhs)?;
//! assert_eq!((lhs, rhs), ([153, 0, 128, 102, 255, 51], [153, 0, 77, 128, 0, 255]));
//!
//! // Once: the weights are packed, and S_l · S_r / S_o becomes a multiplier.
//! let weights = PackedRhs::new(Quantized::new(MatRef::row_major(&rhs, 3, 2)?, 51));
//! let multiplier = Multiplier::smaller_than_one(5.0 * 5.0 / (255.0 * 4.5))?;
//! let stages = [Stage::Scale { multiplier: Per::Tensor(multiplier), offset: out_params.zero_point }];
//!
//! // Every time: integers only.
//! let lhs = Quantized::new(MatRef::row_major(&lhs, 2, 3)?, 102);
//! let mut out = [0_u8; 4];
//! gemm_packed(lhs, &weights, &stages, MatMut::row_major(&mut out, 2, 2)?)?;
//! assert_eq!(out, [140, 1, 255, 143]); // 0.4765, −1.9765, 2.5059, 0.5294
//! # Ok::<(), nnc_gemmlowp::Error>(())
//! ```
//!
//! # Which call
//!
//! | the factor that stays the same | result | call |
//! |---|---|---|
//! | the right one: inputs × outputs weights, rows are examples | row-major | [`gemm_packed`] with a [`PackedRhs`] |
//! | the left one: outputs × inputs weights, columns are examples | column-major | [`gemm_packed_lhs`] with a [`PackedLhs`] |
//! | neither | either | [`gemm`], which packs one on the way |
//! | the weights of a convolution | NHWC or NCHW | [`PackedConv2d::run`] |
//!
//! Each takes `u8` and `i8` on both sides, matrices in row- or column-major order with any stride. Weights in outputs × inputs
//! order are a right factor after [`MatRef::t`], which moves nothing. [`Gemm::on`] has the same calls for one [`Isa`], and
//! [`PackedConv2d::run_on`] takes it. [`reference_gemm`] and [`reference_conv2d`] are the plain loops that they are held to. The
//! parts stand alone too: [`QuantParams`], [`Multiplier`], and [`fixedpoint`] with exponential, tanh and logistic function on
//! integers.
//!
//! # Cost
//!
//! m · k · n byte products, the sums of the m · k left elements where the right zero point is not that of signed bytes
//! (0, or 128 for `u8`), and a few operations for each element of the result. A factor is packed in one pass and takes
//! its bytes, rounded up to 64 in the depth and 16 in the other side, and 4 more a column.
//!
//! With a packed factor, a thread that has done such a product before allocates nothing for the next one
//! ([`gemm_packed_lhs`] copies lists of more than three stages, convolutions of more than four; splitting over threads is
//! rayon's to pay). Left factors are read in place where they are `u8` in row-major order and the kernel's steps fit; otherwise
//! a block of rows at a time is copied, and so are the windows of a convolution. Results beyond `u8`, `i8` and plain sums, or
//! with other stages than bias, scale, clamp, cost more an element; `docs/gemmlowp.md` of the workspace lists what the kernels
//! do themselves.
//!
//! # Exactness
//!
//! Bits are gemmlowp's, and the same on each processor and at any number of threads. Sums have 32 bits: a depth at which
//! one could overflow is an error, [`Error::DepthOverflow`] (from 33,026 on for the extreme zero points).
//!
//! # Features
//!
//! `parallel` (on by default): products that are large enough are split over the caller's rayon pool. Instruction sets are
//! found at run time; no build flag changes a result.

#[cfg(doctest)]
#[doc = include_str!("../../../docs/gemmlowp.md")]
struct GemmlowpPage;

mod conv2d;
mod error;
pub mod fixedpoint;
mod gemm;
mod grouped;
mod job;
mod kernel;
mod lhs;
mod matrix;
mod multiplier;
mod output;
mod pack;
mod parallel;
mod place;
mod quantize;
mod reference;
mod scratch;

pub use conv2d::{Conv2dConfig, Image, ImageLayout, ImageMut, PackedConv2d, Padding, reference_conv2d};
pub use error::{Error, Result};
pub use gemm::{Gemm, PackedLhs, PackedRhs, Quantized, gemm, gemm_packed, gemm_packed_lhs};
pub use grouped::{GroupedRhs, gemm_grouped};
pub use kernel::Isa;
pub use matrix::{MatMut, MatRef, Order};
pub use multiplier::{
    Multiplier, rounding_divide_by_pot, saturating_rounding_doubling_high_mul,
    saturating_rounding_doubling_high_mul_i16,
};
pub use output::{Element, Per, Stage};
pub use pack::Byte;
pub use quantize::{QuantInt, QuantParams, QuantRange};
pub use reference::reference_gemm;
