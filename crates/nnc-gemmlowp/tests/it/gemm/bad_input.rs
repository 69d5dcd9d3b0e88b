//! What is refused, in which words; and what is allowed although it is empty.

use nnc_gemmlowp::{
    Element, Error, Gemm, Isa, MatMut, MatRef, Multiplier, Order, PackedLhs, PackedRhs, Per, QuantParams,
    Quantized, Result, Stage, gemm, gemm_packed, gemm_packed_lhs, reference_gemm,
};

/// The product of zeros, 2 × 3 times 3 × 4, through `stages`, by every call; all must agree.
#[track_caller]
fn product<O: Element + PartialEq + std::fmt::Debug>(stages: &[Stage<'_>]) -> Result<Vec<O>> {
    let zeros = [0_u8; 12];
    let lhs = Quantized::new(MatRef::row_major(&zeros[..6], 2, 3)?, 0);
    let rhs = Quantized::new(MatRef::row_major(&zeros, 3, 4)?, 0);
    let mut outs = vec![vec![O::default(); 8]; 4];
    let mut place = outs.iter_mut().map(|out| MatMut::row_major(out, 2, 4).unwrap());
    let mut next = || place.next().unwrap();
    let results = [
        gemm(lhs, rhs, stages, next()),
        gemm_packed(lhs, &PackedRhs::new(rhs), stages, next()),
        gemm_packed_lhs(&PackedLhs::new(lhs), rhs, stages, next()),
        reference_gemm(lhs, rhs, stages, next()),
    ];
    let [first, rhs_packed, lhs_packed, reference] = results;
    assert_eq!((&first, &first), (&rhs_packed, &reference));
    // The packed left factor works on the transposed product; only what is at fault is the same.
    assert_eq!(first.is_ok(), lhs_packed.is_ok());
    assert!(outs.iter().all(|out| *out == outs[0]));
    first.map(|()| outs.swap_remove(0))
}

#[track_caller]
fn refused<O: Element + PartialEq + std::fmt::Debug>(stages: &[Stage<'_>], message: &str) {
    assert_eq!(product::<O>(stages).unwrap_err().to_string(), message);
}

#[test]
fn inner_dimensions_that_differ_are_refused() {
    let data = [1_u8; 12];
    let lhs = Quantized::new(MatRef::row_major(&data[..6], 2, 3).unwrap(), 0);
    let rhs = Quantized::new(MatRef::row_major(&data[..8], 4, 2).unwrap(), 0);
    let mut out = [7_i32; 4];
    let error = gemm(lhs, rhs, &[], MatMut::row_major(&mut out, 2, 2).unwrap()).unwrap_err();
    assert_eq!(error, Error::ShapeMismatch { what: "rhs", expected: (3, 2), found: (4, 2) });
    assert_eq!(error.to_string(), "rhs: expected 3 x 2, found 4 x 2");
    let place = MatMut::row_major(&mut out, 2, 2).unwrap();
    assert!(matches!(
        gemm_packed(lhs, &PackedRhs::new(rhs), &[], place).unwrap_err(),
        Error::ShapeMismatch { .. }
    ));
    let place = MatMut::row_major(&mut out, 2, 2).unwrap();
    assert!(matches!(
        gemm_packed_lhs(&PackedLhs::new(lhs), rhs, &[], place).unwrap_err(),
        Error::ShapeMismatch { .. }
    ));
    assert_eq!(out, [7; 4], "a refused product writes nothing");
}

#[test]
fn results_of_another_shape_are_refused() {
    let data = [1_u8; 12];
    let lhs = Quantized::new(MatRef::row_major(&data[..6], 2, 3).unwrap(), 0);
    let rhs = Quantized::new(MatRef::row_major(&data[..12], 3, 4).unwrap(), 0);
    let mut out = [0_i32; 8];
    for (rows, cols) in [(4, 2), (2, 3), (1, 4), (0, 0)] {
        let error = gemm(lhs, rhs, &[], MatMut::row_major(&mut out, rows, cols).unwrap()).unwrap_err();
        assert_eq!(error, Error::ShapeMismatch { what: "out", expected: (2, 4), found: (rows, cols) });
    }
}

#[test]
fn short_slices_and_lines_that_overlap_are_refused() {
    let data = [0_u8; 11];
    let error = MatRef::row_major(&data, 3, 4).unwrap_err();
    assert_eq!(error, Error::WrongLength { what: "data", expected: 12, found: 11 });
    assert_eq!(error.to_string(), "data: expected 12 elements, found 11");
    assert_eq!(MatRef::col_major(&data, 3, 4).unwrap_err(), error);
    assert_eq!(MatMut::row_major(&mut [0_i32; 11], 3, 4).unwrap_err(), error);
    assert_eq!(MatMut::col_major(&mut [0_i32; 11], 3, 4).unwrap_err(), error);
    // The last line ends where its elements do: 2 · 5 + 4 = 14.
    let data = [0_u8; 14];
    assert!(MatRef::strided(&data, 3, 4, Order::RowMajor, 5).is_ok());
    let error = MatRef::strided(&data[1..], 3, 4, Order::RowMajor, 5).unwrap_err();
    assert_eq!(error, Error::WrongLength { what: "data", expected: 14, found: 13 });
    let error = MatRef::strided(&data, 3, 4, Order::RowMajor, 3).unwrap_err();
    assert_eq!(error.to_string(), "data: expected a stride of at least 4, found 3");
    assert!(MatMut::strided(&mut [0_u8; 14], 4, 3, Order::ColMajor, 3).is_err());
}

#[test]
fn shapes_that_no_memory_holds_are_refused() {
    let data = [0_u8; 4];
    let huge = usize::MAX;
    for (rows, cols) in [(huge, 2), (2, huge), (huge, huge), (1 << 40, 1 << 40), (huge, 0), (0, huge)] {
        assert!(MatRef::row_major(&data, rows, cols).is_err(), "{rows} x {cols}");
        assert!(MatRef::col_major(&data, rows, cols).is_err(), "{rows} x {cols}");
    }
    assert!(MatRef::strided(&data, 3, 1, Order::RowMajor, usize::MAX).is_err());
}

#[test]
fn empty_products_are_empty_and_products_of_no_depth_are_zero() {
    for gemm in super::every_gemm() {
        for (m, k, n) in [(0, 3, 4), (2, 3, 0), (0, 0, 0), (0, 3, 0), (2, 0, 0), (0, 0, 4)] {
            let (lhs, rhs) = (vec![1_u8; m * k], vec![1_u8; k * n]);
            let lhs = Quantized::new(MatRef::row_major(&lhs, m, k).unwrap(), 3);
            let rhs = Quantized::new(MatRef::col_major(&rhs, k, n).unwrap(), 5);
            gemm.gemm(lhs, rhs, &[], MatMut::<i32>::row_major(&mut [], m, n).unwrap()).unwrap();
            gemm.gemm(lhs, rhs, &[], MatMut::<i32>::col_major(&mut [], m, n).unwrap()).unwrap();
        }
        let lhs = Quantized::new(MatRef::<u8>::row_major(&[], 2, 0).unwrap(), 3);
        let rhs = Quantized::new(MatRef::<u8>::row_major(&[], 0, 3).unwrap(), 5);
        let mut out = [-1_i32; 6];
        let bias = [10, 20];
        let stages = [Stage::Bias(Per::Row(&bias))];
        gemm.gemm(lhs, rhs, &stages, MatMut::row_major(&mut out, 2, 3).unwrap()).unwrap();
        assert_eq!(out, [10, 10, 10, 20, 20, 20], "{}", gemm.isa().name());
    }
}

#[test]
fn multipliers_outside_their_range_are_refused() {
    for (mantissa, exponent, message) in [
        (-1, 0, "mantissa: expected 0 or more, found -1"),
        (1 << 30, 31, "exponent: expected -31 to 30, found 31"),
        (1 << 30, -32, "exponent: expected -31 to 30, found -32"),
    ] {
        assert_eq!(Multiplier::new(mantissa, exponent).unwrap_err().to_string(), message);
    }
    let error = Multiplier::from_real(f64::NAN).unwrap_err();
    assert_eq!(error.to_string(), "real: expected a number from 0 to below 2^30, found NaN");
}

#[test]
fn depths_whose_sums_could_overflow_are_refused_and_the_last_that_cannot_is_exact() {
    // 2147483647 / 255² = 33025.5, for zero points at the edge: every factor may be 255.
    let (max, extreme) = (33_025, [255_u8; 33_026]);
    let factors = |depth: usize| {
        let lhs = Quantized::new(MatRef::row_major(&extreme[..depth], 1, depth).unwrap(), 0);
        (lhs, Quantized::new(MatRef::row_major(&extreme[..depth], depth, 1).unwrap(), 0))
    };
    for gemm in super::every_gemm() {
        let mut out = [0_i32];
        let (lhs, rhs) = factors(max);
        gemm.gemm(lhs, rhs, &[], MatMut::row_major(&mut out, 1, 1).unwrap()).unwrap();
        assert_eq!(out, [2_147_450_625], "{}", gemm.isa().name());
        let (lhs, rhs) = factors(max + 1);
        let error = gemm.gemm(lhs, rhs, &[], MatMut::row_major(&mut out, 1, 1).unwrap()).unwrap_err();
        assert_eq!(error, Error::DepthOverflow { depth: 33_026, max });
        let message = "depth: expected at most 33025 for these types and zero points, found 33026";
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn the_depth_bound_is_that_of_the_zero_points() {
    // The largest factors are 128 for zero points in the middle: 2147483647 / 128² = 131071.99.
    let zeros = vec![128_u8; 131_072];
    for (depth, fits) in [(131_071, true), (131_072, false)] {
        let lhs = Quantized::new(MatRef::row_major(&zeros[..depth], 1, depth).unwrap(), 128);
        let rhs = Quantized::new(MatRef::col_major(&zeros[..depth], depth, 1).unwrap(), 128);
        let result = gemm(lhs, rhs, &[], MatMut::row_major(&mut [0_i32], 1, 1).unwrap());
        assert_eq!(result.is_ok(), fits, "{depth}");
    }
}

#[test]
fn parameters_of_another_length_are_refused() {
    let ones = [1_i32; 8];
    let half = [Multiplier::from_real(0.5).unwrap(); 8];
    let bias = |per| [Stage::Bias(per)];
    let scale = |multiplier| [Stage::Scale { multiplier, offset: 0 }];
    refused::<u8>(&bias(Per::Row(&ones[..3])), "bias: expected 2 elements, found 3");
    refused::<i32>(&bias(Per::Col(&ones[..2])), "bias: expected 4 elements, found 2");
    refused::<u8>(&scale(Per::Row(&half[..4])), "multiplier: expected 2 elements, found 4");
    refused::<i8>(&scale(Per::Col(&half[..5])), "multiplier: expected 4 elements, found 5");
    let reals = [1.0_f32; 8];
    let stage = |scale, bias| [Stage::Dequantize { scale, bias }];
    refused::<f32>(&stage(Per::Row(&reals[..1]), Per::Tensor(0.0)), "scale: expected 2 elements, found 1");
    refused::<f32>(&stage(Per::Tensor(1.0), Per::Col(&reals)), "bias: expected 4 elements, found 8");
    assert_eq!(product::<i32>(&bias(Per::Col(&[1, 2, 3, 4]))).unwrap(), [1, 2, 3, 4, 1, 2, 3, 4]);
}

#[test]
fn stages_out_of_their_range_are_refused() {
    refused::<u8>(&[Stage::Clamp { min: 5, max: 4 }], "max: expected at least min, 5, found 4");
    assert_eq!(product::<u8>(&[Stage::Clamp { min: 5, max: 5 }]).unwrap(), [5; 8]);
    let legacy = |shift| [Stage::LegacyScale { offset: 0, multiplier: 1, shift }];
    refused::<i16>(&legacy(32), "shift: expected 0 to 31, found 32");
    assert!(product::<i16>(&legacy(31)).is_ok());
    let tanh = |amplitude| [Stage::Tanh { zero_point: 0, amplitude }];
    refused::<u8>(&tanh(0), "amplitude: expected at least 1, found 0");
    refused::<u8>(&tanh(i32::MIN), "amplitude: expected at least 1, found -2147483648");
}

#[test]
fn dequantize_stands_last_in_real_results_and_nowhere_else() {
    let real = Stage::Dequantize { scale: Per::Tensor(0.5), bias: Per::Tensor(1.25) };
    let bias = Stage::Bias(Per::Tensor(3));
    let only = "stages: expected Dequantize only as the last stage of an f32 result";
    refused::<u8>(&[real], &format!("{only}, found it at 0 of 1"));
    refused::<i32>(&[bias, real], &format!("{only}, found it at 1 of 2"));
    refused::<f32>(&[real, bias], &format!("{only}, found it at 0 of 2"));
    let none = "stages: expected Dequantize as the last stage of an f32 result, found none";
    refused::<f32>(&[], none);
    refused::<f32>(&[bias], none);
    assert_eq!(product::<f32>(&[bias, real]).unwrap(), [2.75; 8]);
}

#[test]
fn offsets_at_the_ends_of_i32_saturate_the_result() {
    let half = Per::Tensor(Multiplier::from_real(0.5).unwrap());
    let scale = |offset| [Stage::Scale { multiplier: half, offset }];
    assert_eq!(product::<u8>(&scale(i32::MAX)).unwrap(), [255; 8]);
    assert_eq!(product::<u8>(&scale(i32::MIN)).unwrap(), [0; 8]);
    assert_eq!(product::<i8>(&scale(i32::MIN)).unwrap(), [-128; 8]);
}

#[test]
fn instruction_sets_that_are_absent_are_refused() {
    for isa in Isa::ALL.into_iter().filter(|isa| !isa.is_available()) {
        let message = format!("isa: expected one that is available, found {}", isa.name());
        assert_eq!(Gemm::on(isa).unwrap_err().to_string(), message);
    }
    assert!(Isa::Scalar.is_available() && Isa::best().is_available());
    assert_eq!(Gemm::best().isa(), Isa::best());
}

#[test]
fn rows_without_elements_may_have_a_stride() {
    let lhs = Quantized::new(MatRef::<u8>::strided(&[], 3, 0, Order::RowMajor, 5).unwrap(), 1);
    let rhs = Quantized::new(MatRef::<u8>::strided(&[], 0, 2, Order::ColMajor, 7).unwrap(), 1);
    for gemm in super::every_gemm() {
        let mut out = [9_i32; 6];
        gemm.gemm(lhs, rhs, &[], MatMut::row_major(&mut out, 3, 2).unwrap()).unwrap();
        gemm.gemm(lhs, rhs, &[], MatMut::col_major(&mut out, 3, 2).unwrap()).unwrap();
        assert_eq!(out, [0; 6]);
    }
}

#[test]
fn public_types_go_to_other_threads() {
    fn check<T: Send + Sync>() {}
    check::<Gemm>();
    check::<PackedLhs>();
    check::<PackedRhs>();
    check::<Quantized<'_, u8>>();
    check::<MatRef<'_, i8>>();
    check::<MatMut<'_, f32>>();
    check::<Stage<'_>>();
    check::<Multiplier>();
    check::<QuantParams>();
    check::<Isa>();
    check::<Error>();
}
