//! Weights of 4 bits, and scales for groups of weights.

use nnc_gemmlowp::{
    Error, Gemm, GroupedRhs, Isa, MatMut, MatRef, Multiplier, PackedRhs, Per, Quantized, Stage, gemm_grouped,
};
use proptest::prelude::*;

/// Numbers that look random, below `n`.
fn numbers(seed: u64, len: usize, n: u64) -> Vec<u64> {
    nnc_testing::numbers(seed).take(len).map(|number| (number >> 33) % n).collect()
}

fn weights(seed: u64, len: usize) -> Vec<i8> {
    numbers(seed, len, 16).into_iter().map(|q| q as i8 - 8).collect()
}

fn activations(seed: u64, len: usize) -> Vec<u8> {
    numbers(seed, len, 256).into_iter().map(|q| q as u8).collect()
}

fn gemms() -> impl Iterator<Item = Gemm> {
    Isa::ALL.into_iter().filter_map(|isa| Gemm::on(isa).ok())
}

/// The definition, group after group.
fn reference(
    (m, k, n): (usize, usize, usize),
    lhs: &[u8],
    zero_point: u8,
    rhs: &[i8],
    (group, scales): (usize, &[f32]),
    scale: f32,
    bias: &[f32],
) -> Vec<f32> {
    let mut out = vec![0.0; m * n];
    for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
        let mut total = 0.0;
        for (g, start) in (0..k).step_by(group).enumerate() {
            let products = (start..k.min(start + group))
                .map(|p| (i32::from(lhs[i * k + p]) - i32::from(zero_point)) * i32::from(rhs[p * n + j]));
            total += products.sum::<i32>() as f32 * scales[g * n + j];
        }
        out[i * n + j] = scale * total + bias[j];
    }
    out
}

#[track_caller]
fn check_grouped(shape: (usize, usize, usize), group: usize, zero_point: u8, seed: u64) {
    let (m, k, n) = shape;
    let (lhs, rhs) = (activations(seed, m * k), weights(seed ^ 1, k * n));
    let scales: Vec<f32> =
        numbers(seed ^ 2, k.div_ceil(group) * n, 1000).iter().map(|&s| 0.001 * s as f32 - 0.3).collect();
    let bias: Vec<f32> = numbers(seed ^ 3, n, 100).iter().map(|&b| b as f32 - 50.0).collect();
    let expected = reference(shape, &lhs, zero_point, &rhs, (group, &scales), 0.02, &bias);
    let lhs = Quantized::new(MatRef::row_major(&lhs, m, k).unwrap(), zero_point);
    let matrix = MatRef::row_major(&rhs, k, n).unwrap();
    for packed in [
        GroupedRhs::new(matrix, group, &scales).unwrap(),
        GroupedRhs::new_4bit(matrix, group, &scales).unwrap(),
    ] {
        for gemm in gemms() {
            let mut out = vec![f32::NAN; m * n];
            gemm.gemm_grouped(lhs, &packed, 0.02, Some(&bias), MatMut::row_major(&mut out, m, n).unwrap())
                .unwrap();
            assert_eq!(out, expected, "{shape:?} by {group} on {:?}", gemm.isa());
            let mut columns = vec![f32::NAN; m * n];
            let place = MatMut::col_major(&mut columns, m, n).unwrap();
            gemm.gemm_grouped(lhs, &packed, 0.02, Some(&bias), place).unwrap();
            assert!((0..m * n).all(|at| columns[at % n * m + at / n] == expected[at]));
        }
    }
}

#[test]
fn groups_of_every_size_equal_the_definition() {
    for (i, group) in [4, 8, 32, 36, 60, 64, 100, 128, 1000].into_iter().enumerate() {
        for shape in [(1, 256, 70), (5, 130, 16), (33, 64, 65), (3, 4, 1), (2, 0, 3), (0, 8, 2)] {
            check_grouped(shape, group, [0, 128, 255][i % 3], i as u64);
        }
    }
}

#[test]
fn four_bits_give_the_bits_of_eight() {
    for (m, k, n) in [(1, 100, 64), (7, 64, 33), (40, 131, 130), (2, 0, 5), (3, 5, 0)] {
        let (lhs, rhs) = (activations(5, m * k), weights(6, k * n));
        let lhs = Quantized::new(MatRef::row_major(&lhs, m, k).unwrap(), 9);
        let matrix = MatRef::row_major(&rhs, k, n).unwrap();
        let (wide, narrow) =
            (PackedRhs::new(Quantized::new(matrix, 0)), PackedRhs::new_4bit(matrix).unwrap());
        let stages = [
            Stage::Bias(Per::Tensor(-70)),
            Stage::Scale { multiplier: Per::Tensor(Multiplier::from_real(0.01).unwrap()), offset: 100 },
        ];
        for gemm in gemms() {
            let mut out = [vec![0_u8; m * n], vec![1_u8; m * n]];
            for (out, rhs) in out.iter_mut().zip([&wide, &narrow]) {
                gemm.gemm_packed(lhs, rhs, &stages, MatMut::row_major(out, m, n).unwrap()).unwrap();
            }
            assert_eq!(out[0], out[1], "{m} x {k} x {n} on {:?}", gemm.isa());
        }
    }
}

#[test]
fn four_bits_take_half_the_memory() {
    let rhs = weights(1, 1024 * 256);
    let matrix = MatRef::row_major(&rhs, 1024, 256).unwrap();
    let sums = 4 * 256;
    assert_eq!(PackedRhs::new(Quantized::new(matrix, 0)).size_bytes(), 1024 * 256 + sums);
    assert_eq!(PackedRhs::new_4bit(matrix).unwrap().size_bytes(), 1024 * 256 / 2 + sums);
}

#[test]
fn what_has_no_four_bits_or_no_group_is_refused() {
    let matrix = |data: &'static [i8]| MatRef::row_major(data, 4, 1).unwrap();
    let error = PackedRhs::new_4bit(matrix(&[0, 7, -8, 8])).unwrap_err();
    assert_eq!(error.to_string(), "rhs: expected 4-bit elements, -8 to 7, found 8");
    assert!(GroupedRhs::new_4bit(matrix(&[-9, 0, 0, 0]), 4, &[1.0]).is_err());
    let fine = matrix(&[1, 2, 3, 4]);
    let error = GroupedRhs::new(fine, 6, &[1.0]).unwrap_err();
    assert_eq!(error.to_string(), "group: expected a positive multiple of 4, found 6");
    assert!(GroupedRhs::new(fine, 0, &[1.0]).is_err());
    let error = GroupedRhs::new(fine, 4, &[1.0, 2.0]).unwrap_err();
    assert_eq!(error, Error::WrongLength { what: "scales", expected: 1, found: 2 });
    let packed = GroupedRhs::new(fine, 4, &[1.0]).unwrap();
    let lhs = Quantized::new(MatRef::row_major(&[1_u8, 2, 3], 1, 3).unwrap(), 0);
    let mut out = [0.0];
    assert!(gemm_grouped(lhs, &packed, 1.0, None, MatMut::row_major(&mut out, 1, 1).unwrap()).is_err());
    let lhs = Quantized::new(MatRef::row_major(&[1_u8, 2, 3, 4], 1, 4).unwrap(), 0);
    let place = MatMut::row_major(&mut out, 1, 1).unwrap();
    let error = gemm_grouped(lhs, &packed, 1.0, Some(&[1.0, 2.0]), place).unwrap_err();
    assert_eq!(error, Error::WrongLength { what: "bias", expected: 1, found: 2 });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if nnc_testing::slow_tests() { 1000 } else { 24 }))]
    #[test]
    fn grouped_products_equal_the_definition(
        shape in (0..20_usize, 0..200_usize, 0..80_usize),
        group in (1..30_usize).prop_map(|n| 4 * n),
        zero_point in any::<u8>(),
        seed in any::<u64>(),
    ) {
        check_grouped(shape, group, zero_point, seed);
    }
}
