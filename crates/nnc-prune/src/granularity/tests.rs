//! Every granularity on drawn shapes, against its definition by coordinates.
#![allow(clippy::cast_possible_truncation, reason = "counts of a test's own making")]

use proptest::prelude::*;

use super::*;

/// Shapes and granularities that fit them.
fn fitting() -> impl Strategy<Value = (Granularity, Vec<usize>)> {
    let dims = (1_usize..5, 1_usize..5, 1_usize..4, 1_usize..4, 1_usize..4, 1_usize..4, 0_usize..4);
    (0..9_usize, dims).prop_map(|(kind, (o, i, r, s, a, b, axis))| match kind {
        0 => (Granularity::Element, vec![o, i, r]),
        1 => (Granularity::Row, vec![o, i, r, s]),
        2 => (Granularity::Column, vec![o, i, r, s]),
        3 => (Granularity::Kernel, vec![o, i, r, s]),
        4 => (Granularity::Filter, if a > 1 { vec![o, i, r, s] } else { vec![o, i] }),
        5 => (Granularity::Channel, if a > 1 { vec![o, i, r, s] } else { vec![o, i] }),
        6 => (Granularity::Block { rows: a, cols: b }, vec![o * a, i * b]),
        7 => {
            let mut shape = vec![o, i, r, s];
            shape[axis] *= a + 1;
            (Granularity::NofM { n: a, m: a + 1, axis }, shape)
        }
        _ => (Granularity::Strided { stride: 1 + a % (r * s) }, vec![o, i, r, s]),
    })
}

/// The group of an entry, from its coordinates, as the paper's figure draws it; the plain twin.
fn key(granularity: Granularity, shape: &[usize], flat_idx: usize) -> Vec<usize> {
    let mut coords = vec![0; shape.len()];
    let mut rest = flat_idx;
    for (coord, &len) in coords.iter_mut().zip(shape).rev() {
        (*coord, rest) = (rest % len, rest / len);
    }
    match granularity {
        Granularity::Element | Granularity::NofM { .. } => coords,
        Granularity::Row => coords[..3].to_vec(),
        Granularity::Column => vec![coords[0], coords[1], coords[3]],
        Granularity::Kernel => coords[..2].to_vec(),
        Granularity::Filter => coords[..1].to_vec(),
        Granularity::Channel => coords[1..2].to_vec(),
        Granularity::Block { rows, cols } => {
            let n_cols: usize = shape[1..].iter().product();
            vec![flat_idx / n_cols / rows, flat_idx % n_cols / cols]
        }
        Granularity::Strided { stride } => vec![coords[1], (coords[2] * shape[3] + coords[3]) % stride],
    }
}

proptest! {
    #[test]
    fn groups_part_the_entries_as_the_definition_says((granularity, shape) in fitting()) {
        let groups = granularity.groups(&shape).unwrap();
        let n: usize = shape.iter().product();
        prop_assert_eq!(groups.n_entries(), n);
        let mut seen = vec![false; n];
        for group in 0..groups.len() {
            let members: Vec<usize> = groups.members(group).collect();
            prop_assert_eq!(members.len(), groups.size(group));
            prop_assert!(!members.is_empty() && members.is_sorted());
            for &i in &members {
                prop_assert!(!std::mem::replace(&mut seen[i], true), "entry {} in two groups", i);
                prop_assert_eq!(groups.group_of(i), group);
                prop_assert_eq!(key(granularity, &shape, i), key(granularity, &shape, members[0]));
            }
        }
        prop_assert!(seen.iter().all(|&seen| seen));
        // As many groups as there are different keys: no group holds two of them, none is split.
        let keys: std::collections::HashSet<_> = (0..n).map(|i| key(granularity, &shape, i)).collect();
        prop_assert_eq!(groups.len(), keys.len());
    }

    #[test]
    fn reduced_scores_are_those_of_the_members(
        (granularity, shape) in fitting(),
        scores in prop::collection::vec(0.0..4.0_f32, 1024),
    ) {
        let groups = granularity.groups(&shape).unwrap();
        let scores: Vec<f32> = scores.into_iter().cycle().take(groups.n_entries()).collect();
        for reduction in [Reduction::Sum, Reduction::Mean, Reduction::L2] {
            let got = groups.reduce(&scores, reduction).unwrap();
            prop_assert_eq!(got.len(), groups.len());
            for (group, &got) in got.iter().enumerate() {
                let members: Vec<f64> = groups.members(group).map(|i| f64::from(scores[i])).collect();
                let sum: f64 = members.iter().sum();
                let expected = match reduction {
                    Reduction::Sum => sum,
                    Reduction::Mean => sum / members.len() as f64,
                    Reduction::L2 => members.iter().map(|x| x * x).sum::<f64>().sqrt(),
                };
                prop_assert!((f64::from(got) - expected).abs() <= 1e-6 * expected.max(1.0));
            }
        }
    }

    #[test]
    fn a_choice_expands_to_its_members_and_is_found_again(
        (granularity, shape) in fitting(), bits in prop::collection::vec(any::<bool>(), 64),
    ) {
        let groups = granularity.groups(&shape).unwrap();
        let choice = Mask::from_fn(&[groups.len()], |group| bits[group % bits.len()]);
        let mask = groups.expand(&choice).unwrap();
        prop_assert_eq!(mask.shape(), &shape[..]);
        for i in 0..groups.n_entries() {
            prop_assert_eq!(mask.keeps(i), choice.keeps(groups.group_of(i)));
        }
        prop_assert_eq!(groups.touched(&mask).unwrap(), choice);
    }

    #[test]
    fn rivals_of_n_of_m_are_neighbours_along_the_axis(
        shape in prop::collection::vec(1_usize..4, 1..5), axis in 0_usize..4, m in 2_usize..5,
    ) {
        let (axis, mut shape) = (axis % shape.len(), shape);
        shape[axis] *= m;
        let groups = Granularity::NofM { n: 1, m, axis }.groups(&shape).unwrap();
        let inner: usize = shape[axis + 1..].iter().product();
        for window in 0..groups.len() / m {
            let rivals: Vec<usize> = (window * m..(window + 1) * m).map(|group| groups.members(group).next().unwrap()).collect();
            prop_assert!(rivals.windows(2).all(|pair| pair[1] - pair[0] == inner));
            prop_assert_eq!(rivals[0] / inner % shape[axis] % m, 0);
        }
    }
}

#[test]
fn strided_groups_have_the_papers_taps() {
    // Specification: k = 5, stride 2 has 13 and 12 taps; k = 3, stride 3, offset 2 has the taps 2, 5, 8.
    let groups = Granularity::Strided { stride: 2 }.groups(&[1, 1, 5, 5]).unwrap();
    assert_eq!((groups.len(), groups.size(0), groups.size(1)), (2, 13, 12));
    let groups = Granularity::Strided { stride: 3 }.groups(&[2, 1, 3, 3]).unwrap();
    assert_eq!(groups.members(2).collect::<Vec<_>>(), [2, 5, 8, 11, 14, 17]);
}

#[test]
fn a_large_weight_costs_nothing_to_part() {
    let groups = Granularity::Block { rows: 8, cols: 16 }.groups(&[25_088, 4_096]).unwrap();
    assert_eq!((groups.len(), groups.size(0)), (3_136 * 256, 128));
    assert_eq!(groups.members(257).next(), Some(8 * 4_096 + 16));
}

#[test]
fn what_does_not_fit_is_named() {
    let cases = [
        (Granularity::Kernel, vec![10, 20], "shape of the weight", "4 axes", "[10, 20]"),
        (Granularity::Row, vec![10], "shape of the weight", "4 axes", "[10]"),
        (Granularity::Filter, vec![10], "shape of the weight", "2 axes", "[10]"),
        (Granularity::Channel, vec![1, 2, 3], "shape of the weight", "2 axes", "[1, 2, 3]"),
        (Granularity::Element, vec![3, 0], "shape of the weight", "at least one entry", "[3, 0]"),
        (Granularity::Block { rows: 3, cols: 1 }, vec![4, 4], "block rows", "divisor of the 4 rows", "got 3"),
        (
            Granularity::Block { rows: 1, cols: 0 },
            vec![4, 4],
            "block cols",
            "divisor of the 4 columns",
            "got 0",
        ),
        (Granularity::NofM { n: 2, m: 4, axis: 1 }, vec![8, 6], "m of N:M", "divisor of the 6", "got 4"),
        (Granularity::NofM { n: 4, m: 4, axis: 1 }, vec![8, 8], "n of N:M", "below m", "got 4"),
        (Granularity::NofM { n: 0, m: 0, axis: 1 }, vec![8, 8], "n of N:M", "below m", "got 0"),
        (Granularity::NofM { n: 2, m: 4, axis: 2 }, vec![8, 8], "axis of N:M", "below 2", "got 2"),
        (Granularity::Strided { stride: 10 }, vec![1, 1, 3, 3], "stride", "1..=9", "got 10"),
        (Granularity::Strided { stride: 0 }, vec![1, 1, 3, 3], "stride", "1..=9", "got 0"),
    ];
    for (granularity, shape, what, expected, got) in cases {
        let message = granularity.groups(&shape).unwrap_err().to_string();
        for word in [what, expected, got] {
            assert!(message.contains(word), "{granularity} on {shape:?}: {message}");
        }
    }
}

#[test]
fn scores_and_choices_of_other_sizes_are_refused() {
    let groups = Granularity::Filter.groups(&[2, 3]).unwrap();
    assert!(groups.reduce(&[0.0; 5], Reduction::Sum).unwrap_err().to_string().contains("scores"));
    assert!(groups.expand(&Mask::all(&[3])).unwrap_err().to_string().contains("choice of groups"));
    assert!(groups.touched(&Mask::all(&[3, 2])).unwrap_err().to_string().contains("mask"));
}
