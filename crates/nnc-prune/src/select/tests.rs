//! Against a sort, and a quickselect over a vector of indices.
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of a test's own making")]

use nnc_core::rng::Rng;
use proptest::prelude::*;

use super::*;
use crate::granularity::Granularity;

/// A sort with the documented order defines which (layer, index) go first.
fn order(layers: &[Vec<f32>]) -> Vec<(usize, usize)> {
    let mut order: Vec<(usize, usize)> =
        layers.iter().enumerate().flat_map(|(l, scores)| (0..scores.len()).map(move |i| (l, i))).collect();
    order.sort_by(|&(k, i), &(l, j)| layers[k][i].total_cmp(&layers[l][j]).then((k, i).cmp(&(l, j))));
    order
}

/// The plain twin: a quickselect over a vector of indices.
fn by_quickselect(scores: &[f32], n_kept: usize) -> Mask {
    let n_pruned = scores.len() - n_kept;
    let mut order: Vec<usize> = (0..scores.len()).collect();
    if (1..scores.len()).contains(&n_pruned) {
        order.select_nth_unstable_by(n_pruned, |&a, &b| scores[a].total_cmp(&scores[b]).then(a.cmp(&b)));
    }
    let mut mask = Mask::all(&[scores.len()]);
    order[..n_pruned].iter().for_each(|&i| mask.prune(i));
    mask
}

/// Few distinct scores (many ties), both zeros, infinities, and any other number.
fn score() -> impl Strategy<Value = f32> {
    prop_oneof![
        6 => (0_u8..8).prop_map(f32::from),
        1 => prop::sample::select(vec![0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::MIN_POSITIVE / 2.0]),
        3 => any::<f32>().prop_filter("a number", |x| !x.is_nan()),
    ]
}

fn floor(sparsity: f64, n: usize) -> usize {
    (sparsity * n as f64).floor() as usize
}

proptest! {
    #[test]
    fn level_prunes_exactly_the_floor_and_the_lowest(
        scores in prop::collection::vec(score(), 1..200), sparsity in 0.0..1.0_f64,
    ) {
        let mask = level(&scores, &[scores.len()], sparsity).unwrap();
        let n_pruned = floor(sparsity, scores.len());
        prop_assert_eq!(mask.len() - mask.n_kept(), n_pruned);
        prop_assert_eq!(&mask, &by_quickselect(&scores, scores.len() - n_pruned));
        for (rank, (_, i)) in order(&[scores]).into_iter().enumerate() {
            prop_assert_eq!(mask.keeps(i), rank >= n_pruned);
        }
    }

    #[test]
    fn global_prunes_the_lowest_of_all_layers(
        layers in prop::collection::vec(prop::collection::vec(score(), 1..90), 1..5), sparsity in 0.0..1.0_f64,
    ) {
        let shapes: Vec<[usize; 1]> = layers.iter().map(|scores| [scores.len()]).collect();
        let named: Vec<Layer<'_>> =
            layers.iter().zip(&shapes).map(|(scores, shape)| Layer { name: "l", scores, shape }).collect();
        let masks = global(&named, sparsity).unwrap();
        let n_pruned = floor(sparsity, layers.iter().map(Vec::len).sum());
        for (rank, (l, i)) in order(&layers).into_iter().enumerate() {
            prop_assert_eq!(masks[l].keeps(i), rank >= n_pruned, "layer {}, entry {}", l, i);
        }
    }

    #[test]
    fn rows_are_levels_of_their_own(
        (n_rows, row_len) in (1_usize..80, 1_usize..40), sparsity in 0.0..1.0_f64, seed in 0_u64..1000,
    ) {
        let mut rng = Rng::keyed(seed, "scores", &[]);
        let scores: Vec<f32> = (0..n_rows * row_len).map(|_| rng.below(9) as f32).collect();
        let mask = per_row(&scores, &[n_rows, row_len], sparsity).unwrap();
        for (row_idx, row) in scores.chunks(row_len).enumerate() {
            let expected = level(row, &[row_len], sparsity).unwrap();
            prop_assert!((0..row_len).all(|i| mask.keeps(row_idx * row_len + i) == expected.keeps(i)));
        }
        let windows = quota(&scores, 1, row_len).unwrap();
        prop_assert_eq!(windows.n_kept(), n_rows);
        for (row_idx, row) in scores.chunks(row_len).enumerate() {
            let expected = largest(row, &[row_len], 1).unwrap();
            prop_assert!((0..row_len).all(|i| windows.keeps(row_idx * row_len + i) == expected.keeps(i)));
        }
    }

    #[test]
    fn more_sparsity_keeps_a_subset(
        scores in prop::collection::vec(-1.0..1.0_f32, 1..100), a in 0.0..1.0_f64, b in 0.0..1.0_f64,
    ) {
        let (low, high) = if a < b { (a, b) } else { (b, a) };
        let dense = level(&scores, &[scores.len()], low).unwrap();
        let sparse = level(&scores, &[scores.len()], high).unwrap();
        prop_assert_eq!(dense.and(&sparse).unwrap(), sparse);
    }
}

#[test]
fn the_thread_count_changes_no_bit_and_pieces_meet_without_a_seam() {
    // Several pieces, a last word that is not full, and ties across all of them.
    let mut rng = Rng::keyed(1, "scores", &[]);
    let scores: Vec<f32> = (0..200_001).map(|_| rng.normal() * 3.0).collect();
    let tied: Vec<f32> = scores.iter().map(|x| x.round()).collect();
    for scores in [scores, tied] {
        for n_kept in [0, 1, 20_000, 100_000, 200_000, 200_001] {
            let expected = by_quickselect(&scores, n_kept);
            for n_threads in [1, 2, 3, 8] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
                let mask = pool.install(|| largest(&scores, &[scores.len()], n_kept).unwrap());
                assert_eq!(mask, expected, "{n_kept} kept, {n_threads} threads");
            }
        }
    }
}

#[test]
fn a_score_that_equals_the_threshold_is_pruned() {
    let mask = above(&[0.5, 0.25, 0.75], &[3], 0.5).unwrap();
    assert_eq!([mask.keeps(0), mask.keeps(1), mask.keeps(2)], [false, false, true]);
}

#[test]
fn groups_are_kept_whole_and_windows_by_their_quota() {
    // Two input maps, two kernels each of 1x3; offsets 0 and 1 of stride 2 have the taps {0, 2} and {1}.
    let scores = [0.0, 9.0, 0.0, 1.0, 0.0, 1.0, 0.0, 9.0, 0.0, 1.0, 0.0, 1.0];
    let groups = Granularity::Strided { stride: 2 }.groups(&[2, 2, 1, 3]).unwrap();
    let mask = quota_of_groups(&scores, &groups, Reduction::Mean).unwrap();
    let kept: Vec<usize> = (0..12).filter(|&i| mask.keeps(i)).collect();
    assert_eq!(kept, [1, 3, 5, 7, 9, 11]);

    let groups = Granularity::NofM { n: 1, m: 2, axis: 0 }.groups(&[4, 3]).unwrap();
    let mask = quota_of_groups(&scores, &groups, Reduction::Sum).unwrap();
    for col in 0..3 {
        for window in 0..2 {
            let kept = (0..2).filter(|row| mask.keeps((2 * window + row) * 3 + col)).count();
            assert_eq!(kept, 1, "column {col}, window {window}");
        }
    }
    assert!(
        level_of_groups(&scores, &groups, Reduction::Sum, 0.5)
            .unwrap_err()
            .to_string()
            .contains("keeps 1 of 2")
    );
    let groups = Granularity::Kernel.groups(&[2, 2, 1, 3]).unwrap();
    assert!(
        quota_of_groups(&scores, &groups, Reduction::Sum).unwrap_err().to_string().contains("granularity")
    );
    assert_eq!(level_of_groups(&scores, &groups, Reduction::Sum, 0.5).unwrap().n_kept(), 6);
}

#[test]
fn a_sparsity_just_below_one_keeps_an_entry() {
    let below_one = 1.0 - f64::EPSILON / 2.0;
    assert_eq!(n_kept(below_one, 1 << 60).unwrap(), 128);
    assert_eq!(n_kept(below_one, 3).unwrap(), 1);
    assert_eq!(level(&[1.0; 3], &[3], below_one).unwrap().n_kept(), 1);
}

#[test]
fn wrong_arguments_are_named() {
    let nan = Layer { name: "fc6", scores: &[1.0, f32::NAN], shape: &[2] };
    let empty = Layer { name: "fc7", scores: &[], shape: &[0, 4] };
    let short = Layer { name: "fc8", scores: &[1.0], shape: &[2] };
    let first = |masks: Result<Vec<Mask>>| masks.map(|mut masks| masks.remove(0));
    for (result, word) in [
        (level(&[1.0], &[1], 1.5), "`sparsity`: expected a number in [0, 1), got 1.5"),
        (level(&[1.0], &[1], 1.0), "`sparsity`: expected a number in [0, 1), got 1"),
        (level(&[1.0], &[1], -0.1), "sparsity"),
        (level(&[1.0], &[1], f64::NAN), "sparsity"),
        (per_row(&[1.0], &[1], 1.0), "sparsity"),
        (level(&[], &[0], 0.5), "`scores`: expected at least one"),
        (per_row(&[], &[0, 3], 0.5), "`scores`: expected at least one"),
        (quota(&[], 1, 2), "`scores`: expected at least one"),
        (quota(&[1.0, 2.0], 0, 2), "n of N:M"),
        (quota(&[1.0, 2.0], 1, 0), "n of N:M"),
        (quota(&[1.0, 2.0, 3.0], 1, 2), "m of N:M"),
        (largest(&[1.0], &[1], 2), "n_kept"),
        (largest(&[1.0], &[2], 1), "scores"),
        (above(&[f32::NAN], &[1], 0.0), "NaN at flat index 0"),
        (above(&[1.0], &[1], f64::NAN), "threshold"),
        (per_row(&[1.0, f32::NAN], &[1, 2], 0.0), "NaN at flat index 1"),
        (first(global(&[nan], 0.0)), "`scores of `fc6``: expected numbers, got NaN at flat index 1"),
        (first(global(&[empty], 0.5)), "layers"),
        (first(global(&[nan, empty], 0.5)), "scores of `fc7`"),
        (first(global(&[short], 0.5)), "scores of `fc8`"),
        (first(global(&[], 0.5)), "layers"),
    ] {
        let message = result.unwrap_err().to_string();
        assert!(message.contains(word), "{word}: {message}");
    }
}
