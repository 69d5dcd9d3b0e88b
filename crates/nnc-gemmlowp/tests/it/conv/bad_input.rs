//! What is refused, in which words.

use nnc_gemmlowp::{
    Conv2dConfig, Error, Image, ImageLayout, ImageMut, Multiplier, PackedConv2d, Padding, Per, Result, Stage,
    reference_conv2d,
};

const NHWC: ImageLayout = ImageLayout::Nhwc;
const NCHW: ImageLayout = ImageLayout::Nchw;

type Shape = (usize, usize, usize, usize);

/// A convolution of zeros by the call and by the loops, which must agree.
#[track_caller]
fn convolve(
    input: Shape,
    weights: Shape,
    config: Conv2dConfig,
    stages: &[Stage<'_>],
    out: Shape,
) -> Result<()> {
    let zeros = |(a, b, c, d): Shape| vec![0_u8; a * b * c * d];
    let (data, values) = (zeros(input), zeros(weights));
    let image = Image::new(&data, input, NHWC, 0)?;
    let (mut first, mut second) = (zeros(out), zeros(out));
    let packed = PackedConv2d::new(&values, weights, 0, config);
    let result = packed.and_then(|packed| packed.run(image, stages, ImageMut::new(&mut first, out, NHWC)?));
    let place = ImageMut::new(&mut second, out, NHWC)?;
    assert_eq!(result, reference_conv2d(image, (&values, weights, 0), config, stages, place));
    result
}

#[track_caller]
fn refused(result: Result<()>, message: &str) {
    assert_eq!(result.unwrap_err().to_string(), message);
}

fn with(change: impl FnOnce(&mut Conv2dConfig)) -> Conv2dConfig {
    let mut config = Conv2dConfig::new((3, 3));
    change(&mut config);
    config
}

/// 1 × 4 × 5 × 6 by 3 × 3 kernels.
#[track_caller]
fn with_config(config: Conv2dConfig) -> Result<()> {
    let (kh, kw) = config.kernel;
    convolve((1, 4, 5, 6), (6, 4 / config.groups.max(1), kh, kw), config, &[], (1, 6, 3, 4))
}

#[test]
fn numbers_that_must_be_at_least_one_are_refused() {
    for at in [(0, 1), (1, 0), (0, 0)] {
        let found = format!("expected at least 1 x 1, found {} x {}", at.0, at.1);
        refused(with_config(with(|config| config.stride = at)), &format!("stride: {found}"));
        refused(with_config(with(|config| config.dilation = at)), &format!("dilation: {found}"));
        refused(with_config(with(|config| config.kernel = at)), &format!("kernel: {found}"));
    }
    refused(with_config(with(|config| config.groups = 0)), "groups: expected at least 1, found 0");
    assert_eq!(with_config(with(|_| {})), Ok(()));
}

#[test]
fn channels_that_groups_do_not_divide_are_refused() {
    let four = with(|config| config.groups = 4);
    refused(with_config(four), "groups: expected a divisor of 6 outputs, found 4");
    // Two channels a group make eight.
    let result = convolve((1, 6, 5, 6), (8, 2, 3, 3), four, &[], (1, 8, 3, 4));
    refused(result, "input: expected 8 channels, found 6");
}

#[test]
fn kernels_that_do_not_fit_are_refused() {
    let message = "kernel: expected at most the padded image, 5 x 6, found 3 x 7 with dilation";
    refused(with_config(with(|config| config.dilation = (1, 3))), message);
    let pad = |config: &mut Conv2dConfig| {
        (config.kernel, config.padding.top, config.padding.right) = ((9, 4), 3, 1);
    };
    let message = "kernel: expected at most the padded image, 8 x 7, found 9 x 4 with dilation";
    refused(with_config(with(pad)), message);
    let shape = (4, 4, 2, 3);
    let result = convolve((1, 4, 5, 6), shape, Conv2dConfig::new((3, 3)), &[], (1, 4, 3, 4));
    refused(result, "kernel: expected 3 x 3, found 2 x 3");
}

#[test]
fn slices_of_another_length_are_refused() {
    let error = Image::new(&[0_u8; 59], (1, 4, 3, 5), NHWC, 0).unwrap_err();
    assert_eq!(error.to_string(), "data: expected 60 elements, found 59");
    let error = ImageMut::new(&mut [0_i32; 61], (1, 4, 3, 5), ImageLayout::Nchw).unwrap_err();
    assert_eq!(error.to_string(), "data: expected 60 elements, found 61");
    let error = PackedConv2d::new(&[0_i8; 35], (1, 4, 3, 3), 0, Conv2dConfig::new((3, 3))).unwrap_err();
    assert_eq!(error.to_string(), "weights: expected 36 elements, found 35");
}

#[test]
fn results_of_another_shape_are_refused() {
    for out in [(1, 6, 4, 3), (1, 5, 3, 4), (2, 6, 3, 4), (0, 6, 3, 4)] {
        let result = convolve((1, 4, 5, 6), (6, 4, 3, 3), Conv2dConfig::new((3, 3)), &[], out);
        let (n, c, h, w) = out;
        refused(result, &format!("out: expected 1 x 6 x 3 x 4, found {n} x {c} x {h} x {w}"));
    }
}

#[test]
fn sizes_that_no_memory_holds_are_refused() {
    let huge = usize::MAX;
    for shape in [(huge, 2, 1, 1), (0, huge, huge, 1), (1, 0, huge, huge), (1 << 40, 0, 1 << 40, 1)] {
        let error = Image::<u8>::new(&[], shape, NHWC, 0).unwrap_err().to_string();
        assert!(error.starts_with("data: expected a size that memory can have, found "), "{error}");
    }
    let result = Conv2dConfig { padding: (huge, 0).into(), ..Conv2dConfig::new((3, 3)) }.output_size((4, 4));
    let message = format!("padding: expected a size that memory can have, found 4 + {huge} + {huge}");
    assert_eq!(result.unwrap_err().to_string(), message);
    let result = Conv2dConfig { dilation: (1, huge), ..Conv2dConfig::new((3, 3)) }.output_size((4, 4));
    let message = format!("dilation: expected a size that memory can have, found {huge} x 3 taps");
    assert_eq!(result.unwrap_err().to_string(), message);
    for (shape, groups) in [((0, huge, huge, 1), 1), ((0, 1 << 40, 3, 1), 1 << 40), ((0, 0, huge, huge), 1)] {
        let config = Conv2dConfig { groups, ..Conv2dConfig::new((shape.2, shape.3)) };
        let error = PackedConv2d::new::<u8>(&[], shape, 0, config).unwrap_err().to_string();
        assert!(error.starts_with("weights: expected a size that memory can have, found 0 x "), "{error}");
    }
}

#[test]
fn padding_may_be_larger_than_any_image() {
    // The one window lies far outside of the image: the sum is 0, whatever the numbers.
    let padding = Padding { top: isize::MAX.cast_unsigned() - 9, left: 0, bottom: 0, right: 0 };
    let config = Conv2dConfig { padding, stride: (usize::MAX, 1), ..Conv2dConfig::new((1, 1)) };
    let packed = PackedConv2d::new(&[5_i8], (1, 1, 1, 1), 0, config).unwrap();
    let image = Image::new(&[7_u8; 9], (1, 1, 9, 1), NHWC, 0).unwrap();
    let mut out = [9_i32];
    packed.run(image, &[], ImageMut::new(&mut out, (1, 1, 1, 1), NHWC).unwrap()).unwrap();
    assert_eq!(out, [0]);
}

#[test]
fn strides_may_be_larger_than_any_image() {
    // One window, of which the last tap sees the image's only pixel: 2 · 7, or nothing where it lies in the padding below.
    for (bottom, pads, expected) in [(0, (1, 1), [14, 21]), (4, (3, 4), [0, 0])] {
        let padding = Padding { top: pads.0, left: pads.1, bottom, right: 0 };
        for groups in [1, 2] {
            let stride = (usize::MAX, usize::MAX);
            let config = Conv2dConfig { padding, stride, groups, ..Conv2dConfig::new((2, 2)) };
            let taps = [0_i8, 0, 0, 2, 0, 0, 0, 3];
            let inputs = 2 / groups;
            let mut weights = vec![0_i8; 8 * inputs];
            for output in 0..2 {
                let channel = if groups == 1 { output } else { 0 };
                weights[(output * inputs + channel) * 4..][..4].copy_from_slice(&taps[output * 4..][..4]);
            }
            let packed = PackedConv2d::new(&weights, (2, inputs, 2, 2), 0, config).unwrap();
            for (from, to) in [(NHWC, NHWC), (NCHW, NCHW), (NHWC, NCHW), (NCHW, NHWC)] {
                let image = Image::new(&[7_u8; 2], (1, 2, 1, 1), from, 0).unwrap();
                let mut out = [9_i32; 2];
                packed.run(image, &[], ImageMut::new(&mut out, (1, 2, 1, 1), to).unwrap()).unwrap();
                assert_eq!(out, expected, "{groups} groups, {from:?} to {to:?}");
            }
        }
    }
}

#[test]
fn depths_whose_sums_could_overflow_are_refused() {
    // 2147483647 / 255² = 33025.5.
    for (channels, fits) in [(33_025, true), (33_026, false)] {
        let packed =
            PackedConv2d::new(&vec![255_u8; channels], (1, channels, 1, 1), 0, Conv2dConfig::new((1, 1)));
        let data = vec![255_u8; channels];
        let mut out = [0_i32];
        let place = ImageMut::new(&mut out, (1, 1, 1, 1), NHWC).unwrap();
        let image = Image::new(&data, (1, channels, 1, 1), NHWC, 0).unwrap();
        let result = packed.unwrap().run(image, &[], place);
        if fits {
            assert_eq!((result, out), (Ok(()), [2_147_450_625]));
        } else {
            assert_eq!(result.unwrap_err(), Error::DepthOverflow { depth: 33_026, max: 33_025 });
        }
    }
    // A depthwise kernel of so many taps, of which none is in the image.
    let config = Conv2dConfig { groups: 2, padding: (0, 40_000).into(), ..Conv2dConfig::new((1, 33_026)) };
    let packed = PackedConv2d::new(&vec![0_u8; 66_052], (2, 1, 1, 33_026), 0, config).unwrap();
    let image = Image::new(&[], (0, 2, 1, 1), NHWC, 0_u8).unwrap();
    let place = ImageMut::<u8>::new(&mut [], (0, 2, 1, 46_976), NHWC).unwrap();
    let message = "depth: expected at most 33025 for these types and zero points, found 33026";
    refused(packed.run(image, &[], place), message);
}

#[test]
fn stages_that_do_not_fit_are_refused() {
    let ones = [1_i32; 12];
    let half = [Multiplier::from_real(0.5).unwrap(); 12];
    let small = |stages: &[Stage<'_>]| {
        convolve((1, 4, 5, 6), (6, 4, 3, 3), Conv2dConfig::new((3, 3)), stages, (1, 6, 3, 4))
    };
    let rows = "expected one value or one an output channel (Per::Col), found Per::Row";
    refused(small(&[Stage::Bias(Per::Row(&ones))]), &format!("bias: {rows}"));
    let scale = |multiplier| [Stage::Scale { multiplier, offset: 0 }];
    refused(small(&scale(Per::Row(&half))), &format!("multiplier: {rows}"));
    refused(small(&[Stage::Bias(Per::Col(&ones[..5]))]), "bias: expected 6 elements, found 5");
    refused(small(&scale(Per::Col(&half[..7]))), "multiplier: expected 6 elements, found 7");
    refused(small(&[Stage::Clamp { min: 5, max: 4 }]), "max: expected at least min, 5, found 4");
    assert_eq!(small(&[Stage::Bias(Per::Col(&ones[..6]))]), Ok(()));
}

#[test]
fn public_types_go_to_other_threads() {
    fn check<T: Send + Sync>() {}
    check::<PackedConv2d>();
    check::<Conv2dConfig>();
    check::<Image<'_, i8>>();
    check::<ImageMut<'_, f32>>();
}
