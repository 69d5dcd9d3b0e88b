//! Counts, weights, determinism, and that the search finds what is there.

use std::sync::atomic::{AtomicUsize, Ordering};

use nnc_core::rng::Rng;
use proptest::prelude::*;

use super::*;

fn layers() -> Vec<Layer> {
    vec![
        Layer::new("maps", &[6, 3, 3, 3], Granularity::Filter, Some(0.5)).unwrap(),
        Layer::new("kernels", &[4, 5, 3, 3], Granularity::Kernel, Some(0.75)).unwrap(),
        Layer::new("taps", &[3, 4, 5, 5], Granularity::Strided { stride: 2 }, None).unwrap(),
    ]
}

/// The share of entries in which `masks` differ from those that seed 99 draws.
fn distance(layers: &[Layer]) -> impl Fn(&NamedMasks) -> Result<f64> + Sync + use<> {
    let goal = random(layers, 99).unwrap();
    move |masks| {
        let (mut differ, mut all) = (0, 0);
        for ((_, mask), (_, goal)) in masks.iter().zip(&goal) {
            differ += (0..mask.len()).filter(|&i| mask.keeps(i) != goal.keeps(i)).count();
            all += mask.len();
        }
        Ok(differ as f64 / all as f64)
    }
}

#[track_caller]
fn check_counts(masks: &NamedMasks) {
    assert_eq!((masks[0].1.n_kept(), masks[1].1.n_kept()), (3 * 27, 5 * 9));
    for input in 0..4 {
        let taps = |output: usize| -> Vec<usize> {
            (0..25).filter(|tap| masks[2].1.keeps((output * 4 + input) * 25 + tap)).collect()
        };
        // Every second tap from one offset on: 13 or 12 of 25, alike in all kernels of an input map.
        let first = taps(0);
        assert_eq!(first, (first[0]..25).step_by(2).collect::<Vec<_>>());
        assert!((1..3).all(|output| taps(output) == first) && first[0] < 2);
    }
}

proptest! {
    #[test]
    fn drawn_and_perturbed_candidates_keep_the_counts(seed: u64, exchanged in 0.0..=1.0_f64) {
        let layers = layers();
        let mut rng = Rng::keyed(seed, "test", &[]);
        let mut candidate = Candidate::draw(&layers, &mut rng);
        for _ in 0..5 {
            check_counts(&candidate.masks(&layers).unwrap());
            candidate = candidate.perturbed(&layers, exchanged, &mut rng);
        }
    }

    #[test]
    fn resampling_takes_each_as_often_as_it_weighs(raw in prop::collection::vec(0.01..1.0_f64, 1..20), u in 0.0..1.0_f32) {
        let sum: f64 = raw.iter().sum();
        let weights: Vec<f64> = raw.iter().map(|weight| weight / sum).collect();
        let chosen = resample(&weights, u);
        for (i, weight) in weights.iter().enumerate() {
            let expected = weight * weights.len() as f64;
            let got = chosen.iter().filter(|&&idx| idx == i).count() as f64;
            prop_assert!((got - expected).abs() < 1.0 + 1e-9, "{}: expected {}, got {}", i, expected, got);
        }
    }
}

#[test]
fn a_perturbation_changes_something_and_not_everything() {
    let layers = layers();
    let candidate = Candidate::draw(&layers, &mut Rng::keyed(1, "test", &[]));
    for i in 0..20 {
        let perturbed = candidate.perturbed(&layers, 0.0, &mut Rng::keyed(2, "test", &[i]));
        for (before, after) in candidate.0.iter().zip(&perturbed.0) {
            assert_eq!(before.iter().zip(after).filter(|(a, b)| a != b).count(), 2, "one exchange");
        }
    }
}

#[test]
fn candidates_weigh_by_the_exponential_of_their_errors() {
    let weights = weights(&[0.03, 0.01, 0.02], 100.0);
    assert!((weights[1] / weights[2] - 1_f64.exp()).abs() < 1e-12);
    assert!((weights[1] / weights[0] - 2_f64.exp()).abs() < 1e-12);
    assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    // Far errors underflow to 0 and leave numbers.
    assert_eq!(super::weights(&[1.0, 0.0], 1e9), [0.0, 1.0]);
    assert_eq!(resample(&[0.5, 0.25, 0.25, 0.0], 0.0), [0, 0, 1, 2]);
}

#[test]
fn a_search_is_better_than_the_best_of_as_many_random_candidates() {
    let layers = [Layer::new("kernels", &[10, 10, 3, 3], Granularity::Kernel, Some(0.5)).unwrap()];
    let config = ParticleConfig::new(4, 30, 25);
    let found = search(&layers, &config, distance(&layers)).unwrap();
    let by_chance = ParticleConfig { n_particles: found.n_evaluations, n_rounds: 0, ..config };
    let by_chance = search(&layers, &by_chance, distance(&layers)).unwrap();
    let (ours, theirs) = (found.misclassification, by_chance.misclassification);
    assert!(ours < 0.75 * theirs, "{ours} against {theirs}");
    assert_eq!(found.course.len(), 26);
    assert!(found.course.windows(2).all(|pair| pair[0] >= pair[1]));
    assert_eq!(found.course.last(), Some(&ours));
    assert_eq!(distance(&layers)(&found.masks).unwrap(), ours);
}

#[test]
fn the_seed_fixes_the_search_at_any_number_of_threads() {
    let layers = layers();
    let run = |n_threads, seed| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        let config = ParticleConfig::new(seed, 8, 5);
        pool.install(|| search(&layers, &config, distance(&layers)).unwrap())
    };
    let one = run(1, 7);
    assert!((2..=4).all(|n_threads| run(n_threads, 7) == one));
    assert_ne!(run(1, 8), one);
}

#[test]
fn no_candidate_is_evaluated_twice() {
    let layer = Layer::new("w", &[3, 1], Granularity::Filter, Some(0.4)).unwrap();
    let n_calls = AtomicUsize::new(0);
    let count = |_: &NamedMasks| {
        n_calls.fetch_add(1, Ordering::Relaxed);
        Ok(0.5)
    };
    // One of three rows goes: there are but three candidates.
    let found = search(&[layer], &ParticleConfig::new(1, 20, 20), count).unwrap();
    assert_eq!((found.n_evaluations, n_calls.into_inner()), (3, 3));
}

#[test]
fn wrong_arguments_are_named() {
    let new = |granularity, sparsity| Layer::new("conv1", &[4, 2, 3, 3], granularity, sparsity);
    for (result, part) in [
        (new(Granularity::Filter, Some(1.0)), "sparsity of `conv1`"),
        (new(Granularity::Filter, None), "expected one, got none"),
        (new(Granularity::Strided { stride: 2 }, Some(0.5)), "none: the granularity fixes it"),
        (new(Granularity::Strided { stride: 10 }, None), "conv1"),
    ] {
        let message = result.unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    }
    let layer = new(Granularity::Filter, Some(0.5)).unwrap();
    let config = ParticleConfig::new(1, 2, 1);
    let run = |layers: &[Layer], config, error: f64| search(layers, &config, |_| Ok(error));
    for (result, part) in [
        (run(&[], config, 0.0), "`layers`"),
        (run(&[layer.clone(), layer.clone()], config, 0.0), "`conv1` twice"),
        (run(std::slice::from_ref(&layer), ParticleConfig { n_particles: 0, ..config }, 0.0), "n_particles"),
        (
            run(std::slice::from_ref(&layer), ParticleConfig { sharpness: f64::NAN, ..config }, 0.0),
            "sharpness",
        ),
        (run(std::slice::from_ref(&layer), ParticleConfig { exchanged: 1.5, ..config }, 0.0), "exchanged"),
        (run(std::slice::from_ref(&layer), config, f64::NAN), "misclassification"),
        (search(std::slice::from_ref(&layer), &config, |_| Err(Error::Cancelled)), "cancelled"),
    ] {
        let message = result.unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    }
}
