//! One suite for every kernel: the same tests, and the same bits as the triple loop.

use proptest::prelude::*;

use super::Isa;
use crate::output;
use crate::{
    Gemm, MatMut, MatRef, Multiplier, Order, PackedLhs, PackedRhs, Per, Quantized, Stage, reference_gemm,
};

/// gemmlowp's generator of test bytes.
fn bytes(seed: u64, len: usize) -> Vec<u8> {
    nnc_testing::bytes(seed).take(len).collect()
}

/// A product of one pair of types with everything that can be chosen about it.
#[derive(Clone, Debug)]
struct Problem {
    shape: (usize, usize, usize),
    orders: [Order; 3],
    zero_points: (u8, u8),
    seed: u64,
}

/// Stages of every kind of path through a kernel.
fn pipelines<'a>(
    biases: &'a [i32],
    multipliers: &'a [Multiplier],
    rows: usize,
    cols: usize,
) -> Vec<Vec<Stage<'a>>> {
    let tensor = |mantissa, exponent| Per::Tensor(Multiplier::new(mantissa, exponent).unwrap());
    let scale = |multiplier, offset| Stage::Scale { multiplier, offset };
    vec![
        vec![],
        vec![Stage::Bias(Per::Row(&biases[..rows]))],
        vec![Stage::Bias(Per::Col(&biases[..cols])), scale(Per::Col(&multipliers[..cols]), 3)],
        vec![scale(tensor(1_428_979_743, -9), 24), Stage::Clamp { min: 3, max: 200 }],
        vec![Stage::Bias(Per::Tensor(-77)), scale(tensor(1 << 30, 0), -7)],
        vec![Stage::Bias(Per::Row(&biases[..rows])), scale(tensor(1_900_000_000, -12), 128)],
        vec![scale(Per::Row(&multipliers[..rows]), 0), Stage::Clamp { min: -90, max: 90 }],
        vec![scale(tensor(1_500_000_000, 2), 1)],
        vec![Stage::LegacyScale { offset: 5, multiplier: 3, shift: 9 }],
    ]
}

impl Problem {
    /// Checks the product of `lhs` and `rhs` with every pipeline and every way to call it.
    fn check<L: crate::Byte, R: crate::Byte>(&self, isa: Isa, lhs: &[L], rhs: &[R], zeros: (L, R)) {
        let (m, k, n) = self.shape;
        let [order_l, order_r, order_out] = self.orders;
        let line = |order, rows, cols| if order == Order::RowMajor { cols } else { rows };
        let lhs = MatRef::strided(lhs, m, k, order_l, line(order_l, m, k)).unwrap();
        let rhs = MatRef::strided(rhs, k, n, order_r, line(order_r, k, n)).unwrap();
        let (lhs, rhs) = (Quantized::new(lhs, zeros.0), Quantized::new(rhs, zeros.1));
        let biases: Vec<i32> =
            bytes(self.seed ^ 1, m.max(n)).iter().map(|&b| (i32::from(b) - 128) * 64).collect();
        let multipliers: Vec<Multiplier> = bytes(self.seed ^ 2, m.max(n))
            .iter()
            .map(|&b| Multiplier::new((1 << 30) + i32::from(b) * 4_000_000, -i32::from(b % 13)).unwrap())
            .collect();
        let gemm = Gemm::on(isa).unwrap();
        let mut sums = vec![0; m * n];
        reference_gemm(lhs, rhs, &[], MatMut::row_major(&mut sums, m, n).unwrap()).unwrap();
        let (packed_lhs, packed_rhs) = (PackedLhs::new(lhs), PackedRhs::new(rhs));
        macro_rules! check_as {
            ($type:ty, $stages:expr) => {
                let line = line(order_out, m, n);
                macro_rules! place {
                    ($out:expr) => {
                        MatMut::strided(&mut $out[..], m, n, order_out, line).unwrap()
                    };
                }
                let mut expected = vec![<$type>::default(); m * n];
                for row in 0..m {
                    for col in 0..n {
                        place!(expected).set(row, col, output::store($stages, sums[row * n + col], row, col));
                    }
                }
                let mut out = vec![<$type>::default(); m * n];
                gemm.gemm(lhs, rhs, $stages, place!(out)).unwrap();
                assert_eq!(out, expected, "{self:?} {:?} to {}", $stages, stringify!($type));
                out.fill(<$type>::default());
                gemm.gemm_packed(lhs, &packed_rhs, $stages, place!(out)).unwrap();
                assert_eq!(out, expected, "{self:?} {:?} to {}, rhs packed", $stages, stringify!($type));
                out.fill(<$type>::default());
                gemm.gemm_packed_lhs(&packed_lhs, rhs, $stages, place!(out)).unwrap();
                assert_eq!(out, expected, "{self:?} {:?} to {}, lhs packed", $stages, stringify!($type));
            };
        }
        for stages in &pipelines(&biases, &multipliers, m, n) {
            check_as!(u8, stages);
            check_as!(i8, stages);
            check_as!(i16, stages);
            check_as!(i32, stages);
        }
        let real = [Stage::Dequantize { scale: Per::Tensor(0.25), bias: Per::Tensor(1.5) }];
        check_as!(f32, &real);
    }

    /// [`Problem::check`] for each pair of types.
    fn check_types(&self, isa: Isa) {
        let (m, k, n) = self.shape;
        let (lhs, rhs) = (bytes(self.seed, m * k), bytes(self.seed ^ 3, k * n));
        let signed = |bytes: &[u8]| bytes.iter().map(|b| b.cast_signed()).collect::<Vec<i8>>();
        let (zero_l, zero_r) = self.zero_points;
        self.check(isa, &lhs, &rhs, (zero_l, zero_r));
        self.check(isa, &lhs, &signed(&rhs), (zero_l, zero_r.cast_signed()));
        self.check(isa, &signed(&lhs), &signed(&rhs), (zero_l.cast_signed(), zero_r.cast_signed()));
        self.check(isa, &signed(&lhs), &rhs, (zero_l.cast_signed(), zero_r));
    }
}

fn problems() -> impl Strategy<Value = Problem> {
    let order = || prop_oneof![Just(Order::RowMajor), Just(Order::ColMajor)];
    let orders = [order().boxed(), order().boxed(), order().boxed()];
    let zero_points = (prop_oneof![Just(0_u8), Just(128), any::<u8>()], prop_oneof![Just(0_u8), any::<u8>()]);
    ((0..80_usize, 0..150_usize, 0..150_usize), orders, zero_points, any::<u64>())
        .prop_map(|(shape, orders, zero_points, seed)| Problem { shape, orders, zero_points, seed })
}

/// Edges of every kernel's tiles: 4, 6, 16 and 32 rows; 4, 64 and 640 inner elements; 16, 32 and 64 columns.
fn edges() -> Vec<(usize, usize, usize)> {
    let mut shapes = vec![];
    for m in [0, 1, 2, 3, 4, 5, 6, 7, 12, 13, 15, 16, 17, 31, 32, 33, 64, 65] {
        shapes.extend([(m, 64, 64), (m, 67, 17)]);
    }
    for k in [0, 1, 3, 4, 5, 63, 64, 65, 128, 639, 640, 641, 1280, 1345] {
        shapes.extend([(9, k, 20), (33, k, 65), (1, k, 1)]);
    }
    for n in [0, 1, 2, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 127, 128, 129] {
        shapes.extend([(3, 68, n), (33, 64, n), (17, 5, n)]);
    }
    shapes
}

/// Whether this processor has `isa`; fails where `NNC_REQUIRE_ISA` says that it must.
fn available(isa: Isa) -> bool {
    let required = std::env::var("NNC_REQUIRE_ISA").unwrap_or_default();
    let required = required.split(',').any(|name| name == isa.name());
    assert!(
        isa.is_available() || !required,
        "NNC_REQUIRE_ISA asks for {}, which this processor lacks",
        isa.name()
    );
    isa.is_available()
}

macro_rules! kernel_tests {
    ($name:ident, $isa:expr) => {
        mod $name {
            use super::*;

            #[test]
            fn edge_sizes_equal_the_triple_loop() {
                if !available($isa) {
                    return;
                }
                for (i, shape) in edges().into_iter().enumerate() {
                    // Plain Rust is slow in tests, and its loops have no edges beyond 64.
                    if $isa == Isa::Scalar && !nnc_testing::slow_tests() && shape.0 * shape.1 * shape.2 > 40_000 {
                        continue;
                    }
                    let by = |bit: usize| if i >> bit & 1 == 0 { Order::RowMajor } else { Order::ColMajor };
                    let zero_points = [(0, 0), (128, 0), (7, 128), (255, 255)][i % 4];
                    let orders = if i % 3 == 0 { [Order::RowMajor; 3] } else { [by(0), by(1), by(2)] };
                    Problem { shape, orders, zero_points, seed: i as u64 }.check_types($isa);
                }
            }

            #[test]
            fn extreme_bytes_do_not_saturate() {
                if !available($isa) {
                    return;
                }
                for (l, r) in [(0_u8, -128_i8), (255, -128), (255, 127), (0, 127)] {
                    let problem = Problem {
                        shape: (7, 200, 33),
                        orders: [Order::RowMajor; 3],
                        zero_points: (0, 0),
                        seed: 0,
                    };
                    problem.check($isa, &[l; 7 * 200], &[r; 200 * 33], (255 - l, 0));
                }
            }

            proptest! {
                #![proptest_config(ProptestConfig::with_cases(if nnc_testing::slow_tests() { 2000 } else if $isa == Isa::Scalar { 4 } else { 24 }))]
                #[test]
                fn products_equal_the_triple_loop(problem in problems()) {
                    if available($isa) {
                        problem.check_types($isa);
                    }
                }
            }
        }
    };
}

kernel_tests!(scalar, Isa::Scalar);
kernel_tests!(avx2, Isa::Avx2);
kernel_tests!(avxvnni, Isa::AvxVnni);
kernel_tests!(avx512vnni, Isa::Avx512Vnni);
kernel_tests!(amx, Isa::Amx);
