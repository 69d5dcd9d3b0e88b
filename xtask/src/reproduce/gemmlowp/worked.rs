//! The worked product: real matrices of 2 × 3 and 3 × 2, quantized, multiplied, scaled back.

use anyhow::Result;
use nnc_gemmlowp::{MatMut, MatRef, Multiplier, Per, QuantParams, QuantRange, Quantized, Stage, gemm};

use super::{OUTSIDE, exact};
use crate::experiment::{Better, Row, Rule};

const LHS: [f32; 6] = [1.0, -2.0, 0.5, 0.0, 3.0, -1.0];
const RHS: [f32; 6] = [2.0, -1.0, 0.5, 1.5, -1.0, 4.0];
const PRODUCT: [f32; 4] = [0.5, -2.0, 2.5, 0.5];

// What a program of its own gave.
const ZERO_POINTS: [i32; 3] = [102, 51, 113];
const LHS_BYTES: [u8; 6] = [153, 0, 128, 102, 255, 51];
const RHS_BYTES: [u8; 6] = [153, 0, 77, 128, 0, 255];
const SUMS: [i32; 4] = [1224, -5151, 6579, 1377];
const MULTIPLIER: (i32, i32) = (1_497_156_356, 5);
const OUT: [u8; 4] = [140, 1, 255, 143];
const LARGEST_ERROR: f64 = 5.0 / 3.0;

/// The names of the four elements of the result, row by row.
const PLACES: [&str; 4] = ["1-1", "1-2", "2-1", "2-2"];

/// A real matrix as bytes.
struct Operand {
    params: QuantParams,
    bytes: [u8; 6],
    zero_point: u8,
}

impl Operand {
    fn new(real: [f32; 6]) -> Result<Self> {
        let params = spread(&real)?;
        let mut bytes = [0; 6];
        params.quantize_into(&real, &mut bytes)?;
        Ok(Self { params, bytes, zero_point: u8::try_from(params.zero_point)? })
    }

    fn n_wrong(&self, expected: [u8; 6]) -> usize {
        self.bytes.iter().zip(expected).filter(|&(&byte, expected)| byte != expected).count()
    }
}

/// The parameters that spread the bytes over the smallest and the largest of `real`.
fn spread(real: &[f32]) -> Result<QuantParams> {
    let (min, max) = ends(real);
    Ok(QuantParams::choose(min, max, QuantRange::U8)?)
}

fn ends(real: &[f32]) -> (f32, f32) {
    real.iter().fold((0.0, 0.0), |(min, max): (f32, f32), &x| (min.min(x), max.max(x)))
}

/// The step of the bytes over `real`, not yet rounded to an `f32`.
fn step(real: &[f32]) -> f64 {
    let (min, max) = ends(real);
    (f64::from(max) - f64::from(min)) / 255.0
}

/// The rows of the worked product.
pub(super) fn rows() -> Result<Vec<Row>> {
    let (lhs, rhs, out_params) = (Operand::new(LHS)?, Operand::new(RHS)?, spread(&PRODUCT)?);
    let (left, right) = (
        Quantized::new(MatRef::row_major(&lhs.bytes, 2, 3)?, lhs.zero_point),
        Quantized::new(MatRef::row_major(&rhs.bytes, 3, 2)?, rhs.zero_point),
    );
    let mut sums = [0_i32; 4];
    gemm(left, right, &[], MatMut::row_major(&mut sums, 2, 2)?)?;
    let multiplier = Multiplier::smaller_than_one(step(&LHS) * step(&RHS) / step(&PRODUCT))?;
    let scale = Stage::Scale { multiplier: Per::Tensor(multiplier), offset: out_params.zero_point };
    let mut out = [0_u8; 4];
    gemm(left, right, &[scale], MatMut::row_major(&mut out, 2, 2)?)?;

    let n_wrong = lhs.n_wrong(LHS_BYTES) + rhs.n_wrong(RHS_BYTES);
    let mut rows = Vec::new();
    let zero_points = [("lhs", lhs.params), ("rhs", rhs.params), ("out", out_params)];
    for ((name, params), expected) in zero_points.into_iter().zip(ZERO_POINTS) {
        rows.push(exact(&format!("worked/zero-point-{name}"), params.zero_point, "code", expected));
    }
    rows.push(exact("worked/operand-bytes-wrong", n_wrong as f64, "bytes", 0.0).note("of 12"));
    for ((place, sum), expected) in PLACES.into_iter().zip(sums).zip(SUMS) {
        rows.push(exact(&format!("worked/sum-{place}"), sum, "steps", expected));
    }
    rows.push(exact("worked/multiplier-mantissa", multiplier.mantissa(), "2^-31", MULTIPLIER.0));
    rows.push(exact("worked/multiplier-shift", -multiplier.exponent(), "bits", MULTIPLIER.1));
    for ((place, byte), expected) in PLACES.into_iter().zip(out).zip(OUT) {
        rows.push(exact(&format!("worked/out-{place}"), byte, "code", expected));
    }
    let rows = rows.into_iter().map(|row| row.note(OUTSIDE));
    Ok(rows.chain(error_rows(sums, out, out_params)).collect())
}

/// How far the result is from the real product, in steps of the output.
fn error_rows(sums: [i32; 4], out: [u8; 4], params: QuantParams) -> [Row; 2] {
    let (largest, surplus) = PRODUCT.into_iter().zip(sums).zip(out).fold(
        (0.0_f64, f64::NEG_INFINITY),
        |(largest, surplus), ((real, sum), byte)| {
            let from_truth = |x: f64| (x - f64::from(real)).abs() / step(&PRODUCT);
            let of_inputs = from_truth(f64::from(sum) * step(&LHS) * step(&RHS));
            let of_output = from_truth(f64::from(params.dequantize(i32::from(byte))));
            (largest.max(of_output), surplus.max(of_output - of_inputs))
        },
    );
    let row = |what: &str, ours, rule| {
        Row::new(format!("gemmlowp/worked/{what}"), ours, "S_o", Better::Lower, rule)
    };
    [
        row("largest-error", largest, Rule::Equals { value: LARGEST_ERROR, tolerance: 1e-5 })
            .note("5/3 steps of the output")
            .note(OUTSIDE),
        row("largest-error-beyond-inputs", surplus, Rule::AtMost(1.0))
            .note("what output rounding and saturation add to the error of the quantized inputs"),
    ]
}
