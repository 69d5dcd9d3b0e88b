//! What holds for every convolution.

use nnc_gemmlowp::{
    Conv2dConfig, Gemm, ImageLayout, Isa, MatMut, MatRef, Padding, Per, Quantized, Stage, reference_gemm,
};
use proptest::prelude::*;

use super::{Case, LAYOUTS, Parameters, Problem};
use crate::gemm::every_gemm;

/// Convolutions that fit their images.
fn cases() -> impl Strategy<Value = Case> {
    let pair = |most: usize| (1..=most, 1..=most);
    let padding = (0..4_usize, 0..4_usize, 0..4_usize, 0..4_usize);
    let config = (pair(4), pair(3), padding, pair(3), 1..5_usize);
    let sizes = (0..3_usize, 1..6_usize, 0..12_usize, 0..12_usize, 1..20_usize);
    (config, sizes, any::<bool>()).prop_filter_map(
        "the kernel fits",
        |((kernel, stride, padding, dilation, groups), (n, c, h, w, outputs), is_depthwise)| {
            let (top, left, bottom, right) = padding;
            let padding = Padding { top, left, bottom, right };
            let config = Conv2dConfig { kernel, stride, padding, dilation, groups };
            let channels = if is_depthwise { groups } else { c * groups };
            config.output_size((h, w)).ok()?;
            Some(Case::new((n, channels, h, w), outputs.div_ceil(5) * groups, config))
        },
    )
}

fn gemms() -> impl Strategy<Value = Gemm> {
    let isas: Vec<Isa> = Isa::ALL.into_iter().filter(|isa| isa.is_available()).collect();
    proptest::sample::select(isas).prop_map(|isa| Gemm::on(isa).unwrap())
}

/// The same images with the channels of a pixel apart.
fn to_nchw<T: Copy>(data: &[T], (n, c, h, w): (usize, usize, usize, usize)) -> Vec<T> {
    let pixels = h * w;
    let at = |i: usize| {
        let (image, channel, pixel) = (i / (c * pixels), i / pixels % c, i % pixels);
        data[(image * pixels + pixel) * c + channel]
    };
    (0..n * c * pixels).map(at).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if nnc_testing::slow_tests() { 5_000 } else { 256 }))]

    #[test]
    fn the_convolution_is_the_seven_loops(
        case in cases(), gemm in gemms(), seed in any::<u32>(), zero_points in any::<(i8, u8)>(),
        layouts in (0..2_usize, 0..2_usize),
    ) {
        let problem = Problem::new(case, seed.into(), zero_points);
        let layouts = (LAYOUTS[layouts.0], LAYOUTS[layouts.1]);
        let Parameters { biases, multipliers, .. } = Parameters::new(case.outputs);
        let scale = Stage::Scale { multiplier: Per::Col(&multipliers), offset: 100 };
        let stages = [Stage::Bias(Per::Col(&biases)), scale];
        prop_assert_eq!(
            problem.run::<u8>(gemm, layouts, &stages),
            problem.reference::<u8>(layouts, &stages)
        );
        prop_assert_eq!(problem.run::<i32>(gemm, layouts, &[]), problem.reference::<i32>(layouts, &[]));
    }

    #[test]
    fn layouts_change_the_order_of_the_result_and_nothing_else(case in cases(), gemm in gemms(), seed in any::<u32>()) {
        use ImageLayout::{Nchw, Nhwc};
        let problem = Problem::new(case, seed.into(), (9_u8, 3_i8));
        let expected = problem.run::<i32>(gemm, (Nhwc, Nhwc), &[]);
        let apart = to_nchw(&expected, case.out_shape());
        prop_assert_eq!(&problem.run::<i32>(gemm, (Nhwc, Nchw), &[]), &apart);
        let turned = Problem { data: to_nchw(&problem.data, case.input), ..problem };
        prop_assert_eq!(turned.run::<i32>(gemm, (Nchw, Nhwc), &[]), expected);
        prop_assert_eq!(turned.run::<i32>(gemm, (Nchw, Nchw), &[]), apart);
    }
}

#[test]
fn a_convolution_of_single_pixels_is_the_product_of_matrices() {
    let case = Case::new((2, 70, 5, 3), 66, Conv2dConfig::new((1, 1)));
    let problem = Problem::new(case, 8, (200_u8, -9_i8));
    let lhs = Quantized::new(MatRef::row_major(&problem.data, 30, 70).unwrap(), 200);
    let rhs = Quantized::new(MatRef::col_major(&problem.weights, 70, 66).unwrap(), -9);
    let mut expected = vec![0_i32; 30 * 66];
    reference_gemm(lhs, rhs, &[], MatMut::row_major(&mut expected, 30, 66).unwrap()).unwrap();
    for gemm in every_gemm() {
        assert_eq!(problem.run::<i32>(gemm, (ImageLayout::Nhwc, ImageLayout::Nhwc), &[]), expected);
    }
}

#[test]
fn groups_are_convolutions_of_their_own() {
    // The second of three groups: zeros stand for the weights of the others.
    let config = Conv2dConfig { groups: 3, padding: (1, 1).into(), ..Conv2dConfig::new((3, 3)) };
    let case = Case::new((1, 6, 5, 4), 9, config);
    let problem = Problem::new(case, 8, (20_u8, 0_i8));
    let one_group = Case { config: Conv2dConfig { groups: 1, ..config }, ..case };
    let mut weights = vec![0_i8; one_group.weight_len()];
    for (i, &weight) in problem.weights.iter().enumerate() {
        let (output, channel, tap) = (i / 18, i / 9 % 2, i % 9);
        weights[(output * 6 + output / 3 * 2 + channel) * 9 + tap] = weight;
    }
    let whole = Problem { case: one_group, weights, data: problem.data.clone(), ..problem };
    let layouts = (ImageLayout::Nhwc, ImageLayout::Nhwc);
    for gemm in every_gemm() {
        assert_eq!(problem.run::<i32>(gemm, layouts, &[]), whole.run::<i32>(gemm, layouts, &[]));
    }
}
