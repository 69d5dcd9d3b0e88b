//! The worked product of `docs/gemmlowp.md`, step by step: real matrices in, bytes multiplied, real matrix out.
//!
//! `cargo run -p nnc-gemmlowp --example quantized_matmul`
#![allow(clippy::print_stdout, reason = "an example reports what it did")]

use nnc_gemmlowp::{
    Error, Isa, MatMut, MatRef, Multiplier, PackedRhs, Per, QuantParams, QuantRange, Quantized, Result,
    Stage, gemm, gemm_packed,
};

const LHS: [f32; 6] = [1.0, -2.0, 0.5, 0.0, 3.0, -1.0];
const RHS: [f32; 6] = [2.0, -1.0, 0.5, 1.5, -1.0, 4.0];
const PRODUCT: [f32; 4] = [0.5, -2.0, 2.5, 0.5];

fn main() -> Result<()> {
    // 1. Choose parameters (2).
    let lhs_params = choose("L", -2.0, 3.0)?;
    let rhs_params = choose("R", -1.0, 4.0)?;
    let out_params = choose("L · R", -2.0, 2.5)?;
    assert_eq!([lhs_params, rhs_params, out_params].map(|params| params.zero_point), [102, 51, 113]);

    // 2. Quantize (3).
    let (mut l, mut r) = ([0_u8; 6], [0_u8; 6]);
    lhs_params.quantize_into(&LHS, &mut l)?;
    rhs_params.quantize_into(&RHS, &mut r)?;
    println!("l = {l:?}\nr = {r:?}");
    assert_eq!((l, r), ([153, 0, 128, 102, 255, 51], [153, 0, 77, 128, 0, 255]));

    // 3. Multiply the bytes: with zero points of 0, (4) is the plain sum.
    let (l, r) = (MatRef::row_major(&l, 2, 3)?, MatRef::row_major(&r, 3, 2)?);
    let mut raw = [0_i32; 4];
    gemm(Quantized::new(l, 0), Quantized::new(r, 0), &[], MatMut::row_major(&mut raw, 2, 2)?)?;
    println!("Σ l r = {raw:?}");
    assert_eq!(raw, [23_409, 32_640, 35_241, 45_645]);

    // 4. Expand the zero points (5), by hand and by the call.
    let by_hand = expanded(l, r, raw);
    let (lhs, rhs) = (quantized(l, lhs_params)?, quantized(r, rhs_params)?);
    let mut sums = [0_i32; 4];
    gemm(lhs, rhs, &[], MatMut::row_major(&mut sums, 2, 2)?)?;
    println!("a = {sums:?}");
    assert_eq!((sums, by_hand), ([1224, -5151, 6579, 1377], sums));

    // 5. Requantize (7), (10); the right factor is packed once, as weights would be.
    let multiplier = Multiplier::smaller_than_one(5.0 * 5.0 / (255.0 * 4.5))?;
    println!("M = {:.10}, m = {}, e = {}", multiplier.real(), multiplier.mantissa(), -multiplier.exponent());
    assert_eq!((multiplier.mantissa(), -multiplier.exponent()), (1_497_156_356, 5));
    let stages = [Stage::Scale { multiplier: Per::Tensor(multiplier), offset: out_params.zero_point }];
    let weights = PackedRhs::new(rhs);
    let mut out = [0_u8; 4];
    gemm_packed(lhs, &weights, &stages, MatMut::row_major(&mut out, 2, 2)?)?;
    println!("q_o = {out:?}");
    assert_eq!(out, [140, 1, 255, 143]);

    // 6. Dequantize (1).
    let mut real = [0.0; 4];
    out_params.dequantize_into(&out, &mut real)?;
    println!("real = {real:.4?}, exactly {PRODUCT:?}; on {}", Isa::best().name());
    for ((found, expected), exact) in real.into_iter().zip([0.4765, -1.9765, 2.5059, 0.5294]).zip(PRODUCT) {
        assert!((found - expected).abs() < 5e-5, "{found}");
        assert!((found - exact).abs() < 0.03, "{found}");
    }
    Ok(())
}

/// The parameters that spread 0 to 255 over the numbers from `min` to `max`.
fn choose(name: &str, min: f32, max: f32) -> Result<QuantParams> {
    let params = QuantParams::choose(min, max, QuantRange::U8)?;
    println!("{name}: S = {:.7}, Z = {}", params.scale, params.zero_point);
    Ok(params)
}

/// The matrix with its zero point.
fn quantized(matrix: MatRef<'_, u8>, params: QuantParams) -> Result<Quantized<'_, u8>> {
    let zero_point = u8::try_from(params.zero_point).map_err(|_| Error::InvalidArgument {
        what: "zero_point",
        expected: "0 to 255".into(),
        found: params.zero_point.to_string(),
    })?;
    Ok(Quantized::new(matrix, zero_point))
}

/// Equation (5): what the zero points add to the sums of bytes.
fn expanded(l: MatRef<'_, u8>, r: MatRef<'_, u8>, raw: [i32; 4]) -> [i32; 4] {
    let row_sums = [0, 1].map(|i| (0..3).map(|t| i32::from(l.at(i, t))).sum::<i32>());
    let col_sums = [0, 1].map(|j| (0..3).map(|t| i32::from(r.at(t, j))).sum::<i32>());
    println!("sums of rows {row_sums:?}, of columns {col_sums:?}");
    assert_eq!((row_sums, col_sums), ([281, 408], [230, 383]));
    std::array::from_fn(|at| raw[at] - 102 * col_sums[at % 2] - 51 * row_sums[at / 2] + 3 * 102 * 51)
}
