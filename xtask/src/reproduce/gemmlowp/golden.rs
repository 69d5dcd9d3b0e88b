//! gemmlowp's own outputs, compared bit for bit: its roundings, its functions, its products on every kernel.

use anyhow::{Context as _, Result, ensure};
use nnc_gemmlowp::{
    Gemm, Isa, MatMut, MatRef, Multiplier, Order, Per, Quantized, Stage, fixedpoint, rounding_divide_by_pot,
    saturating_rounding_doubling_high_mul,
};
use serde::Deserialize;

use super::{exact, isas};
use crate::experiment::{Better, Row, Rule};

/// The file; `README.md` beside it says how it was made.
pub(super) const TEXT: &str =
    include_str!("../../../../crates/nnc-gemmlowp/tests/golden/gemmlowp_golden.json");

/// Argument and value.
type Point = (i32, i32);

/// A function's name, gemmlowp's points, and ours.
type Function<'a> = (&'a str, &'a [Point], fn(i32) -> i32);

/// What gemmlowp returned.
#[derive(Debug, Deserialize)]
pub(super) struct Golden {
    pub(super) gemm: Vec<Product>,
    pub(super) srdhm: Vec<(i32, i32, i32)>,
    rdbp: Vec<(i32, u32, i32)>,
    tanh_q3: Vec<Point>,
    logistic_q3: Vec<Point>,
    exp_on_negative_values_q3: Vec<Point>,
    one_over_one_plus_x_for_x_in_0_1: Vec<Point>,
}

/// One product by its seed, with the hashes of its sums and bytes, and where it is small themselves.
#[derive(Debug, Deserialize)]
pub(super) struct Product {
    m: usize,
    k: usize,
    n: usize,
    lhs_order: StoredOrder,
    rhs_order: StoredOrder,
    lhs_offset: i32,
    rhs_offset: i32,
    multiplier: i32,
    right_shift: i32,
    output_offset: i32,
    clamp: (i32, i32),
    seed: u64,
    pub(super) acc_fnv1a64: String,
    out_fnv1a64: String,
    acc: Option<Vec<i32>>,
    out: Option<Vec<u8>>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StoredOrder {
    Row,
    Col,
}

impl StoredOrder {
    fn matrix(self, data: &[u8], rows: usize, cols: usize) -> Result<MatRef<'_, u8>> {
        Ok(match self {
            Self::Row => MatRef::strided(data, rows, cols, Order::RowMajor, cols),
            Self::Col => MatRef::strided(data, rows, cols, Order::ColMajor, rows),
        }?)
    }
}

impl Golden {
    /// The file's values.
    pub(super) fn read() -> Result<Self> {
        let golden: Self = serde_json::from_str(TEXT).context("gemmlowp_golden.json")?;
        ensure!(!golden.gemm.is_empty(), "gemmlowp_golden.json: expected products, found none");
        Ok(golden)
    }
}

/// How many values agree, of how many.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    matched: u32,
    of: u32,
}

impl Tally {
    fn add(&mut self, agrees: bool) {
        self.of += 1;
        self.matched += u32::from(agrees);
    }

    fn over(agreements: impl Iterator<Item = bool>) -> Self {
        let mut tally = Self::default();
        agreements.for_each(|agrees| tally.add(agrees));
        tally
    }
}

/// A row for each list of values and each kernel, and their total first.
pub(super) fn rows(golden: &Golden) -> Result<Vec<Row>> {
    let mut total = Tally::default();
    let mut rows = Vec::new();
    let mut push = |what: &str, unit: &str, tally: Tally| {
        total.matched += tally.matched;
        total.of += tally.of;
        rows.push(exact(&format!("golden/{what}"), tally.matched, unit, tally.of));
    };
    let high_mul = |&(a, b, ours): &_| saturating_rounding_doubling_high_mul(a, b) == ours;
    push("srdhm", "values", Tally::over(golden.srdhm.iter().map(high_mul)));
    let divide = |&(x, exponent, ours): &_| rounding_divide_by_pot(x, exponent) == ours;
    push("rdbp", "values", Tally::over(golden.rdbp.iter().map(divide)));
    let functions: [Function<'_>; 4] = [
        ("tanh", &golden.tanh_q3, fixedpoint::tanh::<3>),
        ("logistic", &golden.logistic_q3, fixedpoint::logistic::<3>),
        ("exp", &golden.exp_on_negative_values_q3, fixedpoint::exp_on_negative_values::<3>),
        ("one-over-one-plus-x", &golden.one_over_one_plus_x_for_x_in_0_1, fixedpoint::one_over_one_plus_x),
    ];
    for (name, points, function) in functions {
        push(name, "values", Tally::over(points.iter().map(|&(x, value)| function(x) == value)));
    }
    for isa in isas() {
        let (sums, bytes) = products(&golden.gemm, isa)?;
        push(&format!("gemm-{}/sums", isa.name()), "products", sums);
        push(&format!("gemm-{}/bytes", isa.name()), "products", bytes);
    }
    let share = 100.0 * f64::from(total.matched) / f64::from(total.of);
    let all = Rule::Equals { value: 100.0, tolerance: 0.0 };
    let n_kernels = isas().count();
    let note = format!("{} of {}, on {n_kernels} kernels", total.matched, total.of);
    rows.insert(0, Row::new("gemmlowp/golden-matched", share, "%", Better::Higher, all).note(&note));
    Ok(rows)
}

/// The products whose sums, and whose bytes, are gemmlowp's on `isa`.
fn products(products: &[Product], isa: Isa) -> Result<(Tally, Tally)> {
    let (gemm, mut sums, mut bytes) = (Gemm::on(isa)?, Tally::default(), Tally::default());
    for product in products {
        let (sums_agree, bytes_agree) = product.agrees(gemm)?;
        sums.add(sums_agree);
        bytes.add(bytes_agree);
    }
    Ok((sums, bytes))
}

impl Product {
    fn agrees(&self, gemm: Gemm) -> Result<(bool, bool)> {
        let &Self { m, k, n, .. } = self;
        let mut draws = Draws(self.seed);
        let (lhs, rhs) = (draws.bytes(m * k), draws.bytes(k * n));
        let bias: Vec<i32> = draws.bytes(m).iter().map(|&byte| (i32::from(byte) - 128) * 64).collect();
        let lhs = Quantized::new(self.lhs_order.matrix(&lhs, m, k)?, u8::try_from(-self.lhs_offset)?);
        let rhs = Quantized::new(self.rhs_order.matrix(&rhs, k, n)?, u8::try_from(-self.rhs_offset)?);

        let mut acc = vec![0_i32; m * n];
        gemm.gemm(lhs, rhs, &[], MatMut::row_major(&mut acc, m, n)?)?;
        let multiplier = Per::Tensor(Multiplier::new(self.multiplier, -self.right_shift)?);
        let stages = [
            Stage::Bias(Per::Row(&bias)),
            Stage::Scale { multiplier, offset: self.output_offset },
            Stage::Clamp { min: self.clamp.0, max: self.clamp.1 },
        ];
        let mut out = vec![0_u8; m * n];
        gemm.gemm(lhs, rhs, &stages, MatMut::row_major(&mut out, m, n)?)?;

        let acc_bytes: Vec<u8> = acc.iter().flat_map(|sum| sum.to_le_bytes()).collect();
        Ok((
            fnv1a64(&acc_bytes) == self.acc_fnv1a64 && self.acc.as_ref().is_none_or(|it| *it == acc),
            fnv1a64(&out) == self.out_fnv1a64 && self.out.as_ref().is_none_or(|it| *it == out),
        ))
    }
}

/// The generator that the golden file's operands come from.
struct Draws(u64);

impl Draws {
    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut draw = || {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            self.0.to_be_bytes()[0]
        };
        (0..len).map(|_| draw()).collect()
    }
}

/// The file's hash of `bytes`, with its offset basis.
fn fnv1a64(bytes: &[u8]) -> String {
    let mix = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(1_099_511_628_211);
    format!("{:016x}", bytes.iter().fold(1_469_598_103_934_665_603, mix))
}
