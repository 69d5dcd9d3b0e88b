//! How many products a sum holds: in 16 bits, of the largest and of random bytes, and in 32 bits.

use anyhow::{Result, ensure};
use nnc_core::rng::Rng;
use nnc_gemmlowp::{Byte, Error, MatMut, MatRef, Quantized, gemm};

use super::{OUTSIDE, exact};
use crate::experiment::plot::{Axis, Chart, Mark, Plot, Series};
use crate::experiment::{Better, Profile, Progress, Row, Rule, Span};

/// Random sums that are drawn.
pub(super) fn n_draws(profile: Profile) -> u64 {
    match profile {
        Profile::Smoke => 40_001,
        Profile::Quick => 100_001,
        Profile::Full => 400_001,
    }
}

/// The depth after which half of all random sums have saturated, from the distribution of the sum.
const MEDIAN_DEPTH: f64 = 33.0;
/// The share that has after 64 products, in per cent, from the same.
const SATURATED_AT_64: f64 = 79.13;

/// Every row on sums.
pub(super) fn rows(seed: u64, n_draws: u64, progress: &dyn Progress) -> Result<Vec<Row>> {
    let mut rows = product_rows();
    rows.extend(worst_rows());
    let part = Span::new(progress, 0.3, 1.0);
    rows.extend(random_rows(seed, n_draws, &part)?);
    for (name, product, accepted, depth) in [
        ("u8u8", 255 * 255, largest_accepted(255_u8, 0)?, 33_025),
        ("i8i8", 128 * 128, largest_accepted(-128_i8, 0)?, 131_071),
    ] {
        let note = format!("products of {product} that a sum of 32 bits holds");
        rows.push(
            exact(&format!("sum32/{name}/depth"), largest_depth(product), "products", depth).note(&note),
        );
        rows.push(
            exact(&format!("sum32/{name}/depth-accepted"), accepted, "products", depth)
                .note("the product of this depth is right, and one deeper is refused"),
        );
    }
    Ok(rows)
}

/// The largest product of each pair of ranges, by trying all.
fn product_rows() -> Vec<Row> {
    let largest = |lhs: (i32, i32), rhs: (i32, i32)| {
        (lhs.0..=lhs.1).flat_map(|l| (rhs.0..=rhs.1).map(move |r| (l * r).abs())).max().unwrap_or(0)
    };
    let (narrow, signed, unsigned) = ((-127, 127), (-128, 127), (0, 255));
    let row = |what: &str, ours, expected, note| {
        exact(&format!("sum16/{what}"), ours, "in magnitude", expected).note(note)
    };
    let narrow_product = largest(narrow, signed);
    vec![
        row("largest-product-i8i8", largest(signed, signed), 16_384, "-128 times -128"),
        row("largest-product-narrow", narrow_product, 16_256, "one side without -128"),
        row("largest-pair-narrow", 2 * narrow_product, 32_512, "two of those; 16 bits end at 32767"),
        row("largest-product-u8i8", largest(unsigned, signed), 32_640, "255 times -128"),
    ]
}

/// At how many equal products a sum in 16 bits first saturates, by adding them up.
fn worst_rows() -> [Row; 4] {
    let row = |what: &str, lhs: i16, rhs: i16, expected: u32| {
        let depth = first_saturation(std::iter::repeat(lhs * rhs));
        let note = format!("products of {lhs} and {rhs}");
        exact(&format!("sum16/worst-{what}/depth"), depth, "products", expected).note(&note)
    };
    [
        row("i8i8", -128, -128, 2),
        row("positive", 127, 127, 3),
        row("narrow", -127, -128, 3),
        row("u8i8", 255, 127, 2).note("a single pair of vpmaddubsw"),
    ]
}

/// When random sums saturate: the median depth, and the share at 64.
fn random_rows(seed: u64, n_draws: u64, progress: &Span<'_>) -> Result<[Row; 2]> {
    let mut depths = Vec::new();
    for draw in 0..n_draws {
        if draw % 4096 == 0 {
            progress.check()?;
            progress.fraction(draw as f64 / n_draws as f64);
        }
        depths.push(first_saturation(random_products(seed, draw)));
    }
    depths.sort_unstable();
    let median = f64::from(depths[depths.len() / 2]);
    let share = 100.0 * depths.partition_point(|&depth| depth <= 64) as f64 / depths.len() as f64;
    let note = format!("uniform signed bytes, {n_draws} sums");
    let row = |what: &str, ours, unit: &str, rule| {
        Row::new(format!("gemmlowp/sum16/random/{what}"), ours, unit, Better::Equal, rule)
            .note(&note)
            .note(OUTSIDE)
    };
    Ok([
        row("median-depth", median, "products", Rule::Equals { value: MEDIAN_DEPTH, tolerance: 1.0 }),
        row("saturated-at-64", share, "%", Rule::Equals { value: SATURATED_AT_64, tolerance: 1.0 }),
    ])
}

/// The products of two endless streams of random signed bytes.
fn random_products(seed: u64, draw: u64) -> impl Iterator<Item = i16> {
    let mut rng = Rng::keyed(seed, "gemmlowp/sum16", &[draw]);
    std::iter::repeat_with(move || {
        let [l, r, ..] = rng.next_u32().to_le_bytes().map(u8::cast_signed);
        i16::from(l) * i16::from(r)
    })
}

/// The number of `products`, of which there must be enough, at which their sum leaves 16 bits.
fn first_saturation(products: impl Iterator<Item = i16>) -> u32 {
    let mut sum = 0_i16;
    let mut depth = 0;
    for product in products {
        depth += 1;
        match sum.checked_add(product) {
            Some(next) => sum = next,
            None => break,
        }
    }
    depth
}

/// The most equal products whose sum stays in 32 bits.
fn largest_depth(product: i32) -> u32 {
    let mut sum = 0_i32;
    let mut depth = 0;
    while let Some(next) = sum.checked_add(product) {
        sum = next;
        depth += 1;
    }
    depth
}

/// The largest depth at which the crate multiplies, found by bisection with vectors full of `value`.
fn largest_accepted<T: Byte + Into<i64>>(value: T, zero_point: T) -> Result<u32> {
    let (mut accepted, mut refused) = (0, 1 << 18);
    ensure!(!accepts(value, zero_point, refused)?, "depth {refused}: expected a refusal, found a product");
    while refused - accepted > 1 {
        let depth = accepted.midpoint(refused);
        if accepts(value, zero_point, depth)? {
            accepted = depth;
        } else {
            refused = depth;
        }
    }
    Ok(accepted)
}

/// Whether the crate multiplies at this depth; then the sum must be right.
fn accepts<T: Byte + Into<i64>>(value: T, zero_point: T, depth: u32) -> Result<bool> {
    let n = usize::try_from(depth)?;
    let vector = vec![value; n];
    let lhs = Quantized::new(MatRef::row_major(&vector, 1, n)?, zero_point);
    let rhs = Quantized::new(MatRef::col_major(&vector, n, 1)?, zero_point);
    let mut sum = [0_i32];
    match gemm(lhs, rhs, &[], MatMut::row_major(&mut sum, 1, 1)?) {
        Ok(()) => {
            let factor = value.into() - zero_point.into();
            let (expected, found) = (factor * factor * i64::from(depth), i64::from(sum[0]));
            ensure!(found == expected, "depth {depth}: expected the sum {expected}, found {found}");
            Ok(true)
        }
        Err(Error::DepthOverflow { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A sum that grows, in 16 bits and in 32.
pub(super) fn plot(seed: u64) -> Plot {
    const DEPTH: u16 = 256;
    let (mut exact, mut saturating) = (0_i32, 0_i16);
    let (mut exact_sums, mut saturating_sums, mut first) = (Vec::new(), Vec::new(), None);
    for (depth, product) in (1..=DEPTH).zip(random_products(seed, 0)) {
        exact += i32::from(product);
        if saturating.checked_add(product).is_none() && first.is_none() {
            first = Some(depth);
        }
        saturating = saturating.saturating_add(product);
        exact_sums.push((f64::from(depth), f64::from(exact)));
        saturating_sums.push((f64::from(depth), f64::from(saturating)));
    }
    let line = |label: &str, points| Series { label: label.into(), mark: Mark::Line, points };
    let limit = |at: i16| vec![(1.0, f64::from(at)), (f64::from(DEPTH), f64::from(at))];
    let when =
        first.map_or("does not saturate here".to_owned(), |depth| format!("saturates at product {depth}"));
    Plot {
        name: "running-sum".into(),
        title: "A sum of products of random signed bytes".into(),
        caption: format!(
            "The sum in 16 bits {when}, and is wrong from there on even where it comes back from the limit."
        ),
        chart: Chart::Xy {
            x: Axis::linear("products added"),
            y: Axis::linear("sum"),
            series: vec![
                line("in 32 bits", exact_sums),
                line("in 16 bits, saturating", saturating_sums),
                line("largest in 16 bits", limit(i16::MAX)),
                line("smallest in 16 bits", limit(i16::MIN)),
            ],
        },
    }
}
