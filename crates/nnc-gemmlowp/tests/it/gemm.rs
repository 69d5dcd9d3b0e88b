//! Products through the public calls: gemmlowp's own results and the worked product of `docs/gemmlowp.md`.

mod bad_input;
#[cfg(unix)]
pub(crate) mod guard;
mod laws;
pub(crate) mod threads;

use nnc_gemmlowp::{
    Byte, Gemm, Isa, MatMut, MatRef, Multiplier, Order, PackedLhs, PackedRhs, Per, QuantParams, QuantRange,
    Quantized, Stage, gemm,
};
pub(crate) use nnc_testing::bytes;
use serde_json::Value;

use crate::golden;

/// Products on every instruction set that this processor has.
pub(crate) fn every_gemm() -> impl Iterator<Item = Gemm> {
    Isa::ALL.into_iter().filter(|isa| isa.is_available()).map(|isa| Gemm::on(isa).expect("it is available"))
}

/// Elements that have a form in bytes to be hashed.
trait Bytes: nnc_gemmlowp::Element + PartialEq + std::fmt::Debug {
    fn bytes(self) -> Vec<u8>;
}

impl Bytes for u8 {
    fn bytes(self) -> Vec<u8> {
        vec![self]
    }
}

impl Bytes for i32 {
    fn bytes(self) -> Vec<u8> {
        self.to_le_bytes().to_vec()
    }
}

fn fnv1a64<T: Bytes>(values: &[T]) -> String {
    let bytes = values.iter().flat_map(|value| value.bytes());
    let hash = bytes.fold(1_469_598_103_934_665_603_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(1_099_511_628_211)
    });
    format!("{hash:016x}")
}

/// A product that gemmlowp computed.
struct Case {
    json: Value,
    m: usize,
    k: usize,
    n: usize,
    lhs: Vec<u8>,
    rhs: Vec<u8>,
    bias: Vec<i32>,
}

impl Case {
    fn new(json: Value) -> Self {
        let size = |key: &str| usize::try_from(json[key].as_u64().expect("a size")).expect("a small one");
        let (m, k, n) = (size("m"), size("k"), size("n"));
        let mut bytes = bytes(json["seed"].as_u64().expect("a seed"));
        let lhs = bytes.by_ref().take(m * k).collect();
        let rhs = bytes.by_ref().take(k * n).collect();
        let bias = bytes.take(m).map(|byte| (i32::from(byte) - 128) * 64).collect();
        Self { json, m, k, n, lhs, rhs, bias }
    }

    fn number(&self, key: &str) -> i32 {
        i32::try_from(self.json[key].as_i64().expect(key)).expect("of 32 bits")
    }

    /// Bias, fixed-point scale, clamp; the cast to `u8` is the result's type.
    fn stages(&self) -> [Stage<'_>; 3] {
        let multiplier = Multiplier::new(self.number("multiplier"), -self.number("right_shift")).unwrap();
        let bound = |i: usize| i32::try_from(self.json["clamp"][i].as_i64().unwrap()).unwrap();
        [
            Stage::Bias(Per::Row(&self.bias)),
            Stage::Scale { multiplier: Per::Tensor(multiplier), offset: self.number("output_offset") },
            Stage::Clamp { min: bound(0), max: bound(1) },
        ]
    }

    fn matrix<'a, T>(&self, key: &str, data: &'a [T], rows: usize, cols: usize) -> MatRef<'a, T> {
        match self.json[key].as_str() {
            Some("row") => MatRef::row_major(data, rows, cols).unwrap(),
            Some("col") => MatRef::col_major(data, rows, cols).unwrap(),
            other => panic!("{key}: {other:?}"),
        }
    }

    /// The number that stands for 0: gemmlowp's offset is what is added, minus the zero point.
    fn zero_point(&self, key: &str) -> u8 {
        u8::try_from(-self.number(key)).unwrap()
    }

    /// Checks a result, in the order of rows, against its hash and, where they are listed, its numbers.
    fn check<T: Bytes + Into<i64>>(&self, key: &str, found: &[T], how: &str) {
        let what = format!("{} x {} x {}, {key}, {how}", self.m, self.k, self.n);
        if let Some(listed) = self.json[key].as_array() {
            let listed: Vec<i64> = listed.iter().map(|value| value.as_i64().unwrap()).collect();
            assert_eq!(found.iter().map(|&value| value.into()).collect::<Vec<i64>>(), listed, "{what}");
        }
        let hash = &self.json[format!("{key}_fnv1a64")];
        assert_eq!(fnv1a64(found), hash.as_str().expect("every case has its hashes"), "{what}");
    }

    /// Checks every call on one instruction set, for one type of result.
    fn check_calls<L: Byte, R: Byte, O: Bytes + Into<i64>>(
        &self,
        gemm: Gemm,
        lhs: Quantized<'_, L>,
        rhs: Quantized<'_, R>,
        (key, stages): (&str, &[Stage<'_>]),
    ) {
        let Self { m, n, .. } = *self;
        let (packed_lhs, packed_rhs) = (PackedLhs::new(lhs), PackedRhs::new(rhs));
        for order in [Order::RowMajor, Order::ColMajor] {
            for call in ["unpacked", "packed rhs", "packed lhs"] {
                let mut out = vec![O::default(); m * n];
                let place = match order {
                    Order::RowMajor => MatMut::row_major(&mut out, m, n).unwrap(),
                    Order::ColMajor => MatMut::col_major(&mut out, m, n).unwrap(),
                };
                match call {
                    "unpacked" => gemm.gemm(lhs, rhs, stages, place),
                    "packed rhs" => gemm.gemm_packed(lhs, &packed_rhs, stages, place),
                    _ => gemm.gemm_packed_lhs(&packed_lhs, rhs, stages, place),
                }
                .unwrap();
                if order == Order::ColMajor {
                    let by_cols = MatRef::col_major(&out, m, n).unwrap();
                    out = (0..m * n).map(|i| by_cols.at(i / n, i % n)).collect();
                }
                self.check(key, &out, &format!("{} {call} {order:?}", gemm.isa().name()));
            }
        }
    }
}

fn golden_cases() -> Vec<Case> {
    let Value::Array(cases) = golden::file()["gemm"].take() else { panic!("the key holds a list") };
    assert_eq!(cases.len(), 16);
    cases.into_iter().map(Case::new).collect()
}

#[test]
fn products_are_gemmlowps() {
    for case in golden_cases() {
        let lhs = case.matrix("lhs_order", &case.lhs, case.m, case.k);
        let rhs = case.matrix("rhs_order", &case.rhs, case.k, case.n);
        let lhs = Quantized::new(lhs, case.zero_point("lhs_offset"));
        let rhs = Quantized::new(rhs, case.zero_point("rhs_offset"));
        for gemm in every_gemm() {
            case.check_calls::<_, _, i32>(gemm, lhs, rhs, ("acc", &[]));
            case.check_calls::<_, _, u8>(gemm, lhs, rhs, ("out", &case.stages()));
        }
    }
}

#[test]
fn signed_operands_with_all_numbers_128_lower_give_gemmlowps_products_too() {
    let signed = |bytes: &[u8]| bytes.iter().map(|byte| (byte ^ 0x80).cast_signed()).collect::<Vec<i8>>();
    for case in golden_cases().into_iter().filter(|case| case.m * case.k * case.n < 1_000_000) {
        let (lhs, rhs) = (signed(&case.lhs), signed(&case.rhs));
        let zero = |key: &str| (case.zero_point(key) ^ 0x80).cast_signed();
        let lhs = Quantized::new(case.matrix("lhs_order", &lhs, case.m, case.k), zero("lhs_offset"));
        let rhs = Quantized::new(case.matrix("rhs_order", &rhs, case.k, case.n), zero("rhs_offset"));
        let plain_lhs = case.matrix("lhs_order", &case.lhs, case.m, case.k);
        let plain_lhs = Quantized::new(plain_lhs, case.zero_point("lhs_offset"));
        for gemm in every_gemm() {
            case.check_calls::<_, _, u8>(gemm, lhs, rhs, ("out", &case.stages()));
            case.check_calls::<_, _, u8>(gemm, plain_lhs, rhs, ("out", &case.stages()));
        }
    }
}

#[test]
fn the_worked_product_is_the_pages_from_end_to_end() {
    let params = |min, max| QuantParams::choose(min, max, QuantRange::U8).unwrap();
    let (lhs_params, rhs_params, out_params) = (params(-2.0, 3.0), params(-1.0, 4.0), params(-2.0, 2.5));
    let (mut lhs, mut rhs) = ([0_u8; 6], [0_u8; 6]);
    lhs_params.quantize_into(&[1.0, -2.0, 0.5, 0.0, 3.0, -1.0], &mut lhs).unwrap();
    rhs_params.quantize_into(&[2.0, -1.0, 0.5, 1.5, -1.0, 4.0], &mut rhs).unwrap();
    assert_eq!((lhs, rhs), ([153, 0, 128, 102, 255, 51], [153, 0, 77, 128, 0, 255]));

    let zero_point = |params: QuantParams| u8::try_from(params.zero_point).unwrap();
    let lhs = Quantized::new(MatRef::row_major(&lhs, 2, 3).unwrap(), zero_point(lhs_params));
    let rhs = Quantized::new(MatRef::row_major(&rhs, 3, 2).unwrap(), zero_point(rhs_params));
    assert_eq!((lhs.zero_point, rhs.zero_point, out_params.zero_point), (102, 51, 113));

    let raw = |matrix| Quantized::new(matrix, 0_u8);
    let mut sums = [0_i32; 4];
    gemm(raw(lhs.matrix), raw(rhs.matrix), &[], MatMut::row_major(&mut sums, 2, 2).unwrap()).unwrap();
    assert_eq!(sums, [23_409, 32_640, 35_241, 45_645]);
    gemm(lhs, rhs, &[], MatMut::row_major(&mut sums, 2, 2).unwrap()).unwrap();
    assert_eq!(sums, [1224, -5151, 6579, 1377]);

    let real = f64::from(lhs_params.scale) * f64::from(rhs_params.scale) / f64::from(out_params.scale);
    let multiplier = Multiplier::smaller_than_one(real).unwrap();
    // The scales are f32 here: the mantissa differs from that of the exact ones, 1,497,156,356, in its last bits.
    assert!(
        (multiplier.mantissa() - 1_497_156_356).abs() < 200 && multiplier.exponent() == -5,
        "{multiplier:?}"
    );
    let stages = [Stage::Scale { multiplier: Per::Tensor(multiplier), offset: out_params.zero_point }];
    for gemm in every_gemm() {
        let mut out = [0_u8; 4];
        gemm.gemm(lhs, rhs, &stages, MatMut::row_major(&mut out, 2, 2).unwrap()).unwrap();
        assert_eq!(out, [140, 1, 255, 143], "{}", gemm.isa().name());
        let mut real = [0.0; 4];
        out_params.dequantize_into(&out, &mut real).unwrap();
        for (found, expected) in real.into_iter().zip([0.4765, -1.9765, 2.5059, 0.5294]) {
            assert!((found - expected).abs() < 5e-5, "{found} {expected}");
        }
    }
}
