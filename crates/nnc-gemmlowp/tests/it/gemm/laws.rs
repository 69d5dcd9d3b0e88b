//! What holds for every product.

use nnc_gemmlowp::{
    Element, Gemm, Isa, MatMut, MatRef, Multiplier, Order, PackedLhs, Per, Quantized, Stage, reference_gemm,
};
use proptest::prelude::*;

use super::{bytes, every_gemm};
use crate::multiplier::any_i32;

/// A product of drawn bytes on a drawn instruction set.
#[derive(Clone, Debug)]
struct Problem {
    gemm: Gemm,
    m: usize,
    k: usize,
    n: usize,
    lhs: Vec<u8>,
    rhs: Vec<i8>,
    zero_points: (u8, i8),
    biases: Vec<i32>,
    multipliers: Vec<Multiplier>,
}

fn problems() -> impl Strategy<Value = Problem> {
    let isas: Vec<Isa> = Isa::ALL.into_iter().filter(|isa| isa.is_available()).collect();
    let sizes = (1..20_usize, 0..90_usize, 1..70_usize);
    (proptest::sample::select(isas), sizes, any::<(u8, i8)>(), any::<u64>()).prop_map(
        |(isa, (m, k, n), zero_points, seed)| {
            let numbers = || bytes(seed ^ 1).take(m.max(n)).map(i32::from);
            let multiplier = |x: i32| Multiplier::new((1 << 30) + x * 4_000_000, -(x % 13)).unwrap();
            Problem {
                gemm: Gemm::on(isa).unwrap(),
                m,
                k,
                n,
                lhs: bytes(seed).take(m * k).collect(),
                rhs: bytes(seed ^ 2).take(k * n).map(u8::cast_signed).collect(),
                zero_points,
                biases: numbers().map(|x| (x - 128) * 64).collect(),
                multipliers: numbers().map(multiplier).collect(),
            }
        },
    )
}

impl Problem {
    fn lhs(&self) -> Quantized<'_, u8> {
        Quantized::new(MatRef::row_major(&self.lhs, self.m, self.k).unwrap(), self.zero_points.0)
    }

    fn rhs(&self) -> Quantized<'_, i8> {
        Quantized::new(MatRef::row_major(&self.rhs, self.k, self.n).unwrap(), self.zero_points.1)
    }

    /// The product through `stages`, row after row.
    fn run<O: Element>(&self, stages: &[Stage<'_>]) -> Vec<O> {
        let mut out = vec![O::default(); self.m * self.n];
        let place = MatMut::row_major(&mut out, self.m, self.n).unwrap();
        self.gemm.gemm(self.lhs(), self.rhs(), stages, place).unwrap();
        out
    }
}

fn scale(multiplier: Per<'_, Multiplier>, offset: i32) -> Stage<'_> {
    Stage::Scale { multiplier, offset }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if nnc_testing::slow_tests() { 10_000 } else { 256 }))]

    #[test]
    fn the_product_is_the_triple_loop(problem in problems()) {
        let mut expected = vec![0_i32; problem.m * problem.n];
        let place = MatMut::row_major(&mut expected, problem.m, problem.n).unwrap();
        reference_gemm(problem.lhs(), problem.rhs(), &[], place).unwrap();
        prop_assert_eq!(problem.run::<i32>(&[]), expected);
    }

    #[test]
    fn the_transposed_product_is_that_of_the_transposed_factors_exchanged(problem in problems()) {
        let Problem { gemm, m, n, ref biases, ref multipliers, .. } = problem;
        let by_row = [Stage::Bias(Per::Row(&biases[..m])), scale(Per::Col(&multipliers[..n]), 7)];
        let by_col = [Stage::Bias(Per::Col(&biases[..m])), scale(Per::Row(&multipliers[..n]), 7)];
        let product = problem.run::<u8>(&by_row);
        // Element (j, i) of the n × m product in row-major order lies where (i, j) does in column-major order.
        let mut transposed = vec![0_u8; n * m];
        let place = MatMut::row_major(&mut transposed, n, m).unwrap();
        gemm.gemm(problem.rhs().t(), problem.lhs().t(), &by_col, place).unwrap();
        let transposed = MatRef::row_major(&transposed, n, m).unwrap();
        prop_assert!((0..m * n).all(|i| transposed.at(i % n, i / n) == product[i]));
        let mut in_place = vec![0_u8; m * n];
        let place = MatMut::col_major(&mut in_place, n, m).unwrap();
        gemm.gemm_packed_lhs(&PackedLhs::new(problem.rhs().t()), problem.lhs().t(), &by_col, place).unwrap();
        prop_assert_eq!(in_place, product);
    }

    #[test]
    fn equal_multipliers_for_each_channel_are_one_for_all(problem in problems(), at in 0..19_usize) {
        let multiplier = problem.multipliers[at % problem.multipliers.len()];
        let many = vec![multiplier; problem.m.max(problem.n)];
        let bias = vec![-777; problem.m.max(problem.n)];
        let one = problem.run::<i8>(&[Stage::Bias(Per::Tensor(-777)), scale(Per::Tensor(multiplier), -3)]);
        for (biases, multipliers) in [
            (Per::Row(&bias[..problem.m]), Per::Col(&many[..problem.n])),
            (Per::Col(&bias[..problem.n]), Per::Row(&many[..problem.m])),
            (Per::Col(&bias[..problem.n]), Per::Col(&many[..problem.n])),
        ] {
            let each = problem.run::<i8>(&[Stage::Bias(biases), scale(multipliers, -3)]);
            prop_assert_eq!(&each, &one);
        }
    }

    #[test]
    fn requantized_sums_are_within_one_of_the_real_ones_and_in_their_order(problem in problems(), offset in -200..200) {
        let multiplier = problem.multipliers[0];
        let sums = problem.run::<i32>(&[]);
        let stages = [scale(Per::Tensor(multiplier), offset)];
        let wide = problem.run::<i32>(&stages);
        for (&sum, &out) in sums.iter().zip(&wide) {
            let exact = f64::from(sum) * multiplier.real() + f64::from(offset);
            prop_assert!((f64::from(out) - exact).abs() <= 1.0, "{} becomes {}, not {}", sum, out, exact);
        }
        let bytes = problem.run::<u8>(&stages);
        prop_assert!(bytes.iter().zip(&wide).all(|(&byte, &wide)| i32::from(byte) == wide.clamp(0, 255)));
        let mut pairs: Vec<(i32, u8)> = sums.into_iter().zip(bytes).collect();
        pairs.sort_unstable();
        prop_assert!(pairs.is_sorted_by_key(|&(_, byte)| byte));
    }

    #[test]
    fn bytes_are_those_of_the_multiplier_for_every_sum_and_multiplier(
        columns in proptest::collection::vec((any_i32(), 0..=i32::MAX, -31..=0_i32), 1..70), offset in -33_000..33_000
    ) {
        // In a product of no depth the bias is the sum: numbers below 2^30 are scaled by the kernel, others one by one.
        let small = columns.iter().map(|column| column.0 >> 2).collect::<Vec<i32>>();
        let large = columns.iter().map(|column| column.0).collect::<Vec<i32>>();
        let multipliers: Vec<Multiplier> =
            columns.iter().map(|&(_, mantissa, exponent)| Multiplier::new(mantissa, exponent).unwrap()).collect();
        let n = columns.len();
        for sums in [small, large] {
            let stages = [Stage::Bias(Per::Col(&sums)), scale(Per::Col(&multipliers), offset)];
            let wide = sums.iter().zip(&multipliers).map(|(&x, by)| by.apply(x) + offset);
            let expected: Vec<u8> = wide.clone().map(|x| x.clamp(0, 255) as u8).collect();
            let signed: Vec<i8> = wide.map(|x| x.clamp(-128, 127) as i8).collect();
            for gemm in every_gemm() {
                let lhs = Quantized::new(MatRef::row_major(&[], 1, 0).unwrap(), 0_u8);
                let rhs = Quantized::new(MatRef::row_major(&[], 0, n).unwrap(), 0_i8);
                let mut out = vec![0_u8; n];
                gemm.gemm(lhs, rhs, &stages, MatMut::row_major(&mut out, 1, n).unwrap()).unwrap();
                prop_assert_eq!(&out, &expected);
                let mut out = vec![0_i8; n];
                gemm.gemm(lhs, rhs, &stages, MatMut::row_major(&mut out, 1, n).unwrap()).unwrap();
                prop_assert_eq!(&out, &signed);
            }
        }
    }

    #[test]
    fn zero_points_pad_the_inner_dimension_with_nothing(problem in problems(), more in 1..70_usize) {
        let Problem { gemm, m, k, n, zero_points, .. } = problem;
        // Columns are appended in column-major order, rows in row-major order.
        let by_cols: Vec<u8> = (0..m * k).map(|i| problem.lhs[i % m * k + i / m]).collect();
        let lhs: Vec<u8> = by_cols.into_iter().chain(std::iter::repeat_n(zero_points.0, more * m)).collect();
        let rhs: Vec<i8> = problem.rhs.iter().copied().chain(std::iter::repeat_n(zero_points.1, more * n)).collect();
        let lhs = Quantized::new(MatRef::col_major(&lhs, m, k + more).unwrap(), zero_points.0);
        let rhs = Quantized::new(MatRef::row_major(&rhs, k + more, n).unwrap(), zero_points.1);
        let mut padded = vec![0_i32; m * n];
        gemm.gemm(lhs, rhs, &[], MatMut::row_major(&mut padded, m, n).unwrap()).unwrap();
        prop_assert_eq!(padded, problem.run::<i32>(&[]));
    }

    #[test]
    fn results_fill_their_lines_and_nothing_between(problem in problems(), gap in 1..9_usize) {
        let Problem { gemm, m, n, .. } = problem;
        let stages = [scale(Per::Tensor(problem.multipliers[0]), 40)];
        let product = problem.run::<u8>(&stages);
        for order in [Order::RowMajor, Order::ColMajor] {
            let (lines, line) = if order == Order::RowMajor { (m, n) } else { (n, m) };
            let mut out = vec![171_u8; lines * (line + gap)];
            let place = MatMut::strided(&mut out, m, n, order, line + gap).unwrap();
            gemm.gemm(problem.lhs(), problem.rhs(), &stages, place).unwrap();
            prop_assert!(out.chunks(line + gap).all(|line_and_gap| line_and_gap[line..].iter().all(|&x| x == 171)));
            let out = MatRef::strided(&out, m, n, order, line + gap).unwrap();
            prop_assert!((0..m * n).all(|i| out.at(i / n, i % n) == product[i]));
        }
    }
}
