//! Convolutions against the seven loops, on every instruction set.

mod bad_input;
#[cfg(unix)]
mod guard;
mod laws;
mod threads;

use nnc_gemmlowp::{
    Byte, Conv2dConfig, Element, Gemm, Image, ImageLayout, ImageMut, Multiplier, PackedConv2d, Padding, Per,
    Stage, reference_conv2d,
};

use crate::gemm::{bytes, every_gemm};

const LAYOUTS: [ImageLayout; 2] = [ImageLayout::Nhwc, ImageLayout::Nchw];

/// A convolution without its numbers.
#[derive(Clone, Copy, Debug)]
struct Case {
    /// Images, channels, height, width.
    input: (usize, usize, usize, usize),
    outputs: usize,
    config: Conv2dConfig,
}

impl Case {
    fn new(input: (usize, usize, usize, usize), outputs: usize, config: Conv2dConfig) -> Self {
        Self { input, outputs, config }
    }

    fn weight_shape(&self) -> (usize, usize, usize, usize) {
        let (kh, kw) = self.config.kernel;
        (self.outputs, self.input.1 / self.config.groups, kh, kw)
    }

    fn out_shape(&self) -> (usize, usize, usize, usize) {
        let (h, w) = self.config.output_size((self.input.2, self.input.3)).expect("a kernel that fits");
        (self.input.0, self.outputs, h, w)
    }

    fn input_len(&self) -> usize {
        let (n, c, h, w) = self.input;
        n * c * h * w
    }

    fn weight_len(&self) -> usize {
        let (o, i, kh, kw) = self.weight_shape();
        o * i * kh * kw
    }

    fn out_len(&self) -> usize {
        let (n, c, h, w) = self.out_shape();
        n * c * h * w
    }
}

/// Bytes as either type.
trait Drawn: Byte {
    fn of(byte: u8) -> Self;
}

impl Drawn for u8 {
    fn of(byte: u8) -> Self {
        byte
    }
}

impl Drawn for i8 {
    fn of(byte: u8) -> Self {
        byte.cast_signed()
    }
}

/// A convolution with numbers.
struct Problem<T, W> {
    case: Case,
    data: Vec<T>,
    weights: Vec<W>,
    zero_points: (T, W),
}

impl<T: Byte, W: Byte> Problem<T, W> {
    fn new(case: Case, seed: u64, zero_points: (T, W)) -> Self
    where
        T: Drawn,
        W: Drawn,
    {
        Self {
            case,
            data: bytes(seed).take(case.input_len()).map(T::of).collect(),
            weights: bytes(seed ^ 1).take(case.weight_len()).map(W::of).collect(),
            zero_points,
        }
    }

    fn packed(&self) -> PackedConv2d {
        let Self { case, weights, zero_points, .. } = self;
        PackedConv2d::new(weights, case.weight_shape(), zero_points.1, case.config).unwrap()
    }

    fn image(&self, layout: ImageLayout) -> Image<'_, T> {
        Image::new(&self.data, self.case.input, layout, self.zero_points.0).unwrap()
    }

    fn run<O: Element>(
        &self,
        gemm: Gemm,
        layouts: (ImageLayout, ImageLayout),
        stages: &[Stage<'_>],
    ) -> Vec<O> {
        let mut out = vec![O::default(); self.case.out_len()];
        let place = ImageMut::new(&mut out, self.case.out_shape(), layouts.1).unwrap();
        self.packed().run_on(gemm, self.image(layouts.0), stages, place).unwrap();
        out
    }

    fn reference<O: Element>(&self, layouts: (ImageLayout, ImageLayout), stages: &[Stage<'_>]) -> Vec<O> {
        let mut out = vec![O::default(); self.case.out_len()];
        let place = ImageMut::new(&mut out, self.case.out_shape(), layouts.1).unwrap();
        let weights = (&self.weights[..], self.case.weight_shape(), self.zero_points.1);
        reference_conv2d(self.image(layouts.0), weights, self.case.config, stages, place).unwrap();
        out
    }

    /// Checks one type of results in all layouts and on all instruction sets.
    fn check<O: Element + PartialEq + std::fmt::Debug>(&self, stages: &[Stage<'_>]) {
        for layouts in LAYOUTS.into_iter().flat_map(|a| LAYOUTS.map(|b| (a, b))) {
            let expected = self.reference::<O>(layouts, stages);
            for gemm in every_gemm() {
                let found = self.run::<O>(gemm, layouts, stages);
                assert_eq!(found, expected, "{} {layouts:?} {:?} {stages:?}", gemm.isa().name(), self.case);
            }
        }
    }

    /// Checks every type of results.
    fn check_all(&self) {
        let Parameters { biases, multipliers, scales } = &Parameters::new(self.case.outputs);
        let bias = Stage::Bias(Per::Col(biases));
        let scale = Stage::Scale { multiplier: Per::Col(multipliers), offset: 7 };
        let one = Stage::Scale { multiplier: Per::Tensor(Multiplier::from_real(0.003).unwrap()), offset: -3 };
        let clamp = Stage::Clamp { min: 3, max: 99 };
        self.check::<i32>(&[]);
        self.check::<i32>(&[bias]);
        self.check::<u8>(&[bias, scale, clamp]);
        self.check::<i8>(&[one]);
        self.check::<i8>(&[bias, scale, clamp, one, bias]);
        self.check::<i16>(&[Stage::Bias(Per::Tensor(55)), one]);
        self.check::<f32>(&[bias, Stage::Dequantize { scale: Per::Col(scales), bias: Per::Col(scales) }]);
    }
}

/// Numbers of output channels.
struct Parameters {
    biases: Vec<i32>,
    multipliers: Vec<Multiplier>,
    scales: Vec<f32>,
}

impl Parameters {
    fn new(outputs: usize) -> Self {
        let numbers: Vec<u8> = bytes(77).take(outputs).collect();
        Self {
            biases: numbers.iter().map(|&x| (i32::from(x) - 128) * 64).collect(),
            multipliers: numbers
                .iter()
                .map(|&x| Multiplier::from_real(f64::from(x) * 1e-4 + 1e-4).unwrap())
                .collect(),
            scales: numbers.iter().map(|&x| f32::from(x) * 0.01 - 1.0).collect(),
        }
    }
}

/// Edges of kernels, sides, channels and groups; each but a few of its numbers small.
fn cases() -> Vec<Case> {
    let plain = Conv2dConfig::new;
    let padded = |kernel, by: usize| Conv2dConfig { padding: (by, by).into(), ..plain(kernel) };
    let uneven = Padding { top: 0, left: 2, bottom: 3, right: 1 };
    let groups = |groups, kernel| Conv2dConfig { groups, ..padded(kernel, 1) };
    vec![
        Case::new((1, 1, 1, 1), 1, plain((1, 1))),
        Case::new((2, 64, 3, 5), 65, plain((1, 1))),
        Case::new((1, 7, 4, 4), 3, plain((1, 1))),
        Case::new((2, 5, 6, 7), 9, Conv2dConfig { stride: (2, 3), ..plain((1, 1)) }),
        Case::new((2, 3, 5, 4), 17, padded((1, 1), 1)),
        Case::new((1, 16, 8, 9), 33, padded((3, 3), 1)),
        Case::new((3, 4, 5, 5), 5, plain((3, 3))),
        Case::new((2, 3, 9, 10), 8, Conv2dConfig { stride: (2, 1), ..padded((5, 5), 2) }),
        Case::new((1, 3, 15, 16), 4, Conv2dConfig { stride: (2, 2), ..padded((7, 7), 3) }),
        Case::new((1, 6, 9, 8), 7, Conv2dConfig { dilation: (2, 2), ..padded((3, 3), 2) }),
        Case::new((1, 2, 9, 8), 3, Conv2dConfig { dilation: (1, 3), stride: (3, 2), ..padded((2, 3), 1) }),
        Case::new((2, 5, 6, 5), 6, Conv2dConfig { padding: uneven, ..plain((3, 2)) }),
        Case::new((1, 3, 4, 6), 2, Conv2dConfig { padding: uneven, stride: (3, 4), ..plain((2, 5)) }),
        // Sides smaller than the kernel, and nothing but padding.
        Case::new((2, 3, 1, 2), 4, padded((5, 5), 2)),
        Case::new((1, 4, 2, 0), 3, padded((2, 2), 1)),
        Case::new((1, 2, 1, 1), 3, padded((1, 1), 4)),
        Case::new((1, 2, 3, 2), 2, Conv2dConfig { dilation: (4, 4), ..padded((3, 3), 5) }),
        Case::new((2, 8, 5, 6), 10, groups(2, (3, 3))),
        Case::new((2, 8, 4, 3), 12, Conv2dConfig { padding: Padding::default(), ..groups(4, (1, 1)) }),
        Case::new((1, 128, 3, 3), 130, groups(2, (1, 1))),
        Case::new((1, 6, 5, 6), 3, Conv2dConfig { stride: (2, 2), ..groups(3, (3, 3)) }),
        // Depthwise.
        Case::new((2, 2, 5, 6), 2, groups(2, (3, 3))),
        Case::new((1, 64, 4, 5), 64, groups(64, (3, 3))),
        Case::new((1, 131, 5, 3), 131, Conv2dConfig { stride: (2, 2), ..groups(131, (3, 3)) }),
        Case::new((2, 3, 6, 5), 6, groups(3, (3, 3))),
        Case::new((1, 33, 3, 4), 66, Conv2dConfig { dilation: (2, 2), ..groups(33, (2, 2)) }),
        Case::new(
            (1, 3, 4, 150),
            3,
            Conv2dConfig { dilation: (1, 70), padding: uneven, ..groups(3, (2, 3)) },
        ),
        Case::new((1, 5, 2, 133), 5, Conv2dConfig { stride: (1, 2), ..groups(5, (1, 5)) }),
        Case::new((1, 3, 1, 1), 9, Conv2dConfig { padding: (6, 7).into(), ..groups(3, (5, 3)) }),
        // Empty.
        Case::new((0, 3, 5, 5), 4, padded((3, 3), 1)),
        Case::new((0, 4, 5, 5), 4, groups(4, (3, 3))),
        Case::new((2, 3, 5, 5), 0, padded((3, 3), 1)),
        Case::new((2, 3, 5, 5), 0, groups(3, (3, 3))),
        Case::new((2, 0, 4, 5), 3, padded((3, 3), 1)),
    ]
}

#[test]
fn convolutions_are_the_seven_loops() {
    for (case, seed) in cases().into_iter().zip(1..) {
        Problem::new(case, seed, (131_u8, -4_i8)).check_all();
    }
}

#[test]
fn all_pairs_of_types_and_the_extreme_zero_points_are_the_seven_loops() {
    let kernel = Conv2dConfig { padding: (1, 2).into(), ..Conv2dConfig::new((3, 3)) };
    let depthwise = Conv2dConfig { groups: 5, ..kernel };
    for case in [Case::new((2, 5, 4, 6), 7, kernel), Case::new((2, 5, 4, 6), 10, depthwise)] {
        for edge in [0_u8, 128, 255] {
            let signed = (edge ^ 0x80).cast_signed();
            for weight in [0_u8, 128, 255] {
                let signed_weight = (weight ^ 0x80).cast_signed();
                Problem::new(case, 3, (edge, weight)).check_all();
                Problem::new(case, 4, (edge, signed_weight)).check_all();
                Problem::new(case, 5, (signed, weight)).check_all();
                Problem::new(case, 6, (signed, signed_weight)).check_all();
            }
        }
    }
}

#[test]
fn the_seven_loops_give_a_convolution_worked_by_hand() {
    // Sobel's horizontal operator over a vertical edge between 10 and 30, zero point 10, padded with (real) zeros.
    let image = [10_u8, 10, 30, 30, 10, 10, 30, 30, 10, 10, 30, 30];
    let sobel = [-1_i8, 0, 1, -2, 0, 2, -1, 0, 1];
    let config = Conv2dConfig { padding: (1, 1).into(), ..Conv2dConfig::new((3, 3)) };
    let input = Image::new(&image, (1, 1, 3, 4), ImageLayout::Nchw, 10).unwrap();
    let mut sums = [0_i32; 12];
    let out = ImageMut::new(&mut sums, (1, 1, 3, 4), ImageLayout::Nchw).unwrap();
    reference_conv2d(input, (&sobel, (1, 1, 3, 3), 0), config, &[], out).unwrap();
    assert_eq!(sums, [0, 60, 60, -60, 0, 80, 80, -80, 0, 60, 60, -60]);
}
