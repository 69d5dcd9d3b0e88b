//! The experiment against a broken expectation, and what it says on the contradiction of its source.

use super::golden::Golden;
use super::*;
use crate::experiment::plot::Chart;
use crate::experiment::progress::display;
use crate::experiment::row::{Verdict, check_rows};

fn failing(rows: &[Row]) -> Vec<&str> {
    rows.iter().filter(|row| row.verdict() == Verdict::Fails).map(Row::metric).collect()
}

fn find<'a>(rows: &'a [Row], metric: &str) -> &'a Row {
    rows.iter().find(|row| row.metric() == metric).unwrap_or_else(|| panic!("no row {metric}"))
}

fn golden_rows(change: impl FnOnce(&mut Golden)) -> Vec<Row> {
    let mut golden = Golden::read().unwrap();
    change(&mut golden);
    golden::rows(&golden).unwrap()
}

fn sum_rows(seed: u64) -> Vec<Row> {
    sums::rows(seed, sums::n_draws(Profile::Smoke), &*display::start("test")).unwrap()
}

#[test]
fn only_the_slides_formula_fails() {
    let mut rows = worked::rows().unwrap();
    rows.extend(golden_rows(|_| ()));
    rows.extend(ranges::rows().unwrap());
    rows.extend(sum_rows(1));
    check_rows(&rows).unwrap();
    assert!(rows.iter().all(|row| row.model() == "gemmlowp"));
    assert_eq!(failing(&rows), ["gemmlowp/range/relu6/slide-levels"]);
    assert_eq!(find(&rows, "gemmlowp/range/relu6/slide-levels").ours(), 2.0);
}

#[test]
fn every_golden_value_is_compared_on_every_kernel() {
    let rows = golden_rows(|_| ());
    for (what, n) in [("srdhm", 40.0), ("rdbp", 40.0), ("tanh", 60.0), ("exp", 60.0)] {
        assert_eq!(find(&rows, &format!("gemmlowp/golden/{what}")).ours(), n, "{what}");
    }
    for isa in isas() {
        for result in ["sums", "bytes"] {
            let metric = format!("gemmlowp/golden/gemm-{}/{result}", isa.name());
            assert_eq!(find(&rows, &metric).ours(), 16.0, "{metric}");
        }
    }
    assert_eq!(rows[0].ours(), 100.0);
    assert!(rows[0].remark().contains(&format!("{0} of {0}", 320 + 32 * isas().count())), "{:?}", rows[0]);
}

#[test]
fn one_wrong_value_fails_its_row_and_the_total() {
    let rows = golden_rows(|golden| golden.srdhm[7].2 ^= 1);
    assert_eq!(failing(&rows), ["gemmlowp/golden-matched", "gemmlowp/golden/srdhm"]);
    assert_eq!(find(&rows, "gemmlowp/golden/srdhm").ours(), 39.0);
}

#[test]
fn one_wrong_product_fails_on_every_kernel() {
    let rows = golden_rows(|golden| golden.gemm[15].acc_fnv1a64 = "0123456789abcdef".into());
    let fails = failing(&rows);
    assert_eq!(fails.len(), 1 + isas().count(), "{fails:?}");
    assert!(fails[1..].iter().all(|metric| metric.ends_with("/sums")), "{fails:?}");
}

#[test]
fn random_depths_follow_the_seed_and_stay_near_the_exact_ones() {
    assert_eq!(sum_rows(2), sum_rows(2));
    assert_ne!(sum_rows(2), sum_rows(3));
    for seed in 2..5 {
        assert_eq!(failing(&sum_rows(seed)), [""; 0], "seed {seed}");
    }
}

#[test]
fn the_picture_shows_a_sum_that_leaves_16_bits() {
    let plot = sums::plot(1);
    let Chart::Xy { series, .. } = &plot.chart else { panic!("bars") };
    let [exact, saturating] = [&series[0].points, &series[1].points];
    let apart = exact.iter().zip(saturating).position(|(a, b)| a != b).expect("the sums part");
    assert!(exact[apart].1.abs() > 32_767.0, "{:?}", exact[apart]);
    assert!(plot.caption.contains(&format!("saturates at product {},", exact[apart].0)), "{}", plot.caption);
    assert!(saturating.iter().all(|point| (-32_768.0..=32_767.0).contains(&point.1)));
}
