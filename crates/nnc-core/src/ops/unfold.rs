//! What a convolution multiplies its weights with, a part at a time.

use candle_core::Tensor;

use super::args::{Floats, image};
use super::config::Conv2dConfig;
use super::im2col::{Geometry, im2col, pad};
use crate::{Error, Result};

/// Shows `visit` the columns of each image of `x` (B, C, H, W) and each group: `visit(group, columns)`.
///
/// `columns` is (C / groups · KH · KW) × (OH · OW), row-major: its rows are the taps in the order of the weight's
/// `(I, KH, KW)`, its columns are output pixels. One part is held at a time.
///
/// # Errors
/// [`InvalidArgument`](Error::InvalidArgument) where `x` is no f32 image or the settings do not fit it.
///
/// # Example
/// ```
/// use nnc_core::candle::{Device, Tensor};
/// use nnc_core::ops::{Conv2dConfig, visit_columns};
/// let x = Tensor::new(&[[[[1_f32, 2.0, 3.0]]]], &Device::Cpu)?;
/// visit_columns(&x, (1, 2), &Conv2dConfig::default(), |_, columns| assert_eq!(columns, [1.0, 2.0, 2.0, 3.0]))?;
/// # Ok::<(), nnc_core::Error>(())
/// ```
pub fn visit_columns(
    x: &Tensor,
    kernel: (usize, usize),
    config: &Conv2dConfig,
    mut visit: impl FnMut(usize, &[f32]),
) -> Result<()> {
    let (x, [_, in_channels, height, width]) = image("x", x)?;
    let input = (height, width);
    let output = config.output_size(input, kernel)?;
    if in_channels == 0 || !in_channels.is_multiple_of(config.groups) {
        return Err(Error::invalid("groups", format!("a divisor of {in_channels} channels"), config.groups));
    }
    let out_channels = config.groups;
    let geometry = Geometry { batch: 1, in_channels, input, out_channels, kernel, output, config: *config };
    let mut padded = vec![0.0; geometry.padded_len()];
    let mut columns = vec![0.0; geometry.taps() * geometry.out_plane()];
    for image in Floats::of(&x)?.chunks_exact(in_channels * geometry.in_plane()) {
        pad(&geometry, image, &mut padded);
        for group in 0..config.groups {
            im2col(&geometry, &padded, group, 0..output.0, &mut columns);
            visit(group, &columns);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::ops::{Activation, conv2d};
    use crate::rng::Rng;

    #[test]
    fn weights_times_columns_are_the_convolution() {
        let mut rng = Rng::keyed(1, "unfold", &[]);
        let mut draw = |shape: &[usize]| {
            let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.normal()).collect();
            Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
        };
        for (groups, stride, padding) in [(1, (1, 1), (0, 0)), (2, (2, 1), (1, 2))] {
            let config = Conv2dConfig { stride, padding, groups, ..Conv2dConfig::default() };
            let (x, w) = (draw(&[3, 4, 6, 5]), draw(&[6, 4 / groups, 3, 2]));
            let expected = conv2d(&x, &w, None, &config, Activation::None).unwrap().flatten_all().unwrap();
            let (expected, w) =
                (expected.to_vec1::<f32>().unwrap(), w.flatten_all().unwrap().to_vec1::<f32>().unwrap());
            let (taps, mut got) = (4 / groups * 6, Vec::new());
            visit_columns(&x, (3, 2), &config, |group, columns| {
                let filters = w.chunks(taps).skip(group * 6 / groups).take(6 / groups);
                let n_pixels = columns.len() / taps;
                for filter in filters {
                    got.extend(
                        (0..n_pixels)
                            .map(|p| (0..taps).map(|t| filter[t] * columns[t * n_pixels + p]).sum::<f32>()),
                    );
                }
            })
            .unwrap();
            assert_eq!(got.len(), expected.len());
            assert!(got.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-4));
        }
        let config = Conv2dConfig { groups: 3, ..Conv2dConfig::default() };
        assert!(visit_columns(&draw(&[1, 4, 3, 3]), (1, 1), &config, |_, _| ()).is_err());
        assert!(visit_columns(&draw(&[4, 3]), (1, 1), &Conv2dConfig::default(), |_, _| ()).is_err());
    }
}
