//! The seven loops: what every convolution is held to.

use super::config::Geometry;
use super::image::{Image, ImageMut, at};
use super::stages::check_stages;
use super::{Conv2dConfig, check_weights};
use crate::output::{self, Element, Stage};
use crate::pack::Byte;
use crate::{Error, Result};

/// [`PackedConv2d`](crate::PackedConv2d) as its definition says it: element by element, sums in 64 bits. For tests, not for
/// speed.
///
/// # Errors
/// As [`PackedConv2d::new`](crate::PackedConv2d::new) and [`PackedConv2d::run`](crate::PackedConv2d::run), and
/// [`Error::DepthOverflow`] only where a sum does leave the range of `i32`.
pub fn reference_conv2d<T: Byte, W: Byte, O: Element>(
    input: Image<'_, T>,
    (weights, shape, zero_point): (&[W], (usize, usize, usize, usize), W),
    config: Conv2dConfig,
    stages: &[Stage<'_>],
    out: ImageMut<'_, O>,
) -> Result<()> {
    check_weights(weights, shape, config)?;
    let (n_outputs, group_inputs, kh, kw) = shape;
    let group_outputs = n_outputs / config.groups;
    let (n, channels, h, w) = input.shape;
    if channels != group_inputs * config.groups {
        let expected = format!("{} channels", group_inputs * config.groups);
        return Err(Error::invalid("input", expected, channels));
    }
    let geometry = Geometry::new(config, (h, w))?;
    let (oh, ow) = geometry.output;
    out.check((n, n_outputs, oh, ow))?;
    check_stages(stages, n_outputs, O::IS_REAL)?;
    if out.data.is_empty() {
        return Ok(());
    }
    let pixels = (0..n).flat_map(|i| (0..oh).flat_map(move |y| (0..ow).map(move |x| (i, y, x))));
    for (image, oy, ox) in pixels {
        for output in 0..n_outputs {
            let mut sum = 0_i64;
            for c in 0..group_inputs {
                for ky in 0..kh {
                    for kx in 0..kw {
                        let (Some(y), Some(x)) = (geometry.row(oy, ky), geometry.col(ox, kx)) else {
                            continue;
                        };
                        let channel = output / group_outputs * group_inputs + c;
                        let value = input.data[at(input.shape, input.layout, (image, channel, y, x))];
                        let weight = weights[((output * group_inputs + c) * kh + ky) * kw + kx];
                        let value = value.value() - input.zero_point.value();
                        sum += i64::from(value) * i64::from(weight.value() - zero_point.value());
                    }
                }
            }
            let depth = group_inputs * kh * kw;
            let sum = i32::try_from(sum).map_err(|_| Error::DepthOverflow { depth, max: depth - 1 })?;
            let place = at(out.shape, out.layout, (image, output, oy, ox));
            out.data[place] = output::store(stages, sum, 0, output);
        }
    }
    Ok(())
}
