//! Against exact OBS over the columns from each on, in f64.

use nnc_core::candle::Device;
use nnc_core::rng::Rng;
use proptest::prelude::*;

use super::super::obs;
use super::*;

fn tensor(values: &[f32], shape: &[usize]) -> Tensor {
    Tensor::from_vec(values.to_vec(), shape, &Device::Cpu).unwrap()
}

/// Inputs that depend on each other: each is a mix of its own noise and its neighbour.
fn samples(n_samples: usize, n: usize, rng: &mut Rng) -> Vec<f32> {
    let mut samples = vec![0.0_f32; n_samples * n];
    for row in samples.chunks_mut(n) {
        for j in 0..n {
            row[j] = rng.normal() + if j > 0 { 0.8 * row[j - 1] } else { 0.0 };
        }
    }
    samples
}

fn gram(samples: &[f32], n: usize) -> Gram {
    let mut gram = Gram::new(n).unwrap();
    gram.add_rows(samples).unwrap();
    gram
}

/// Gauss–Jordan in f64.
fn inverse(matrix: &[f64], n: usize) -> Vec<f64> {
    let (mut a, mut b) = (matrix.to_vec(), vec![0.0; n * n]);
    (0..n).for_each(|i| b[i * n + i] = 1.0);
    for pivot in 0..n {
        let scale = a[pivot * n + pivot];
        for j in 0..n {
            a[pivot * n + j] /= scale;
            b[pivot * n + j] /= scale;
        }
        for row in (0..n).filter(|&row| row != pivot) {
            let factor = a[row * n + pivot];
            for j in 0..n {
                a[row * n + j] -= factor * a[pivot * n + j];
                b[row * n + j] -= factor * b[pivot * n + j];
            }
        }
    }
    b
}

/// The definition: for the chosen mask, column by column, the exact OBS step over the columns from there on.
fn plain(row: &[f32], kept: &[bool], hessian: &[f64], n: usize) -> (Vec<f64>, f64) {
    let mut weights: Vec<f64> = row.iter().map(|&w| f64::from(w)).collect();
    let mut cost = 0.0;
    for j in (0..n).filter(|&j| !kept[j]) {
        let m = n - j;
        let rest: Vec<f64> = (0..m * m).map(|i| hessian[(j + i / m) * n + j + i % m]).collect();
        cost += obs::remove(&mut weights[j..], &mut inverse(&rest, m), 0).unwrap();
    }
    (weights, cost)
}

fn damped_hessian(samples: &[f32], n: usize, damping: f64) -> Vec<f64> {
    let n_samples = samples.len() / n;
    let mut hessian = vec![0.0; n * n];
    for x in samples.chunks(n) {
        for i in 0..n * n {
            hessian[i] += 2.0 / n_samples as f64 * f64::from(x[i / n]) * f64::from(x[i % n]);
        }
    }
    let mean = (0..n).map(|j| hessian[j * n + j]).sum::<f64>() / n as f64;
    (0..n).for_each(|j| hessian[j * n + j] += damping * mean);
    hessian
}

#[test]
fn the_obs_oracle_comes_out() {
    // H = 2 · mean(x xᵀ) = [[2, 1], [1, 2]] from the samples (√2, 0)·… : the rows of √2 · L for L Lᵀ = [[1, .5], [.5, 1]].
    let samples = [std::f32::consts::SQRT_2, 0.5 * std::f32::consts::SQRT_2, 0.0, 1.5_f32.sqrt()];
    let config = SparseGptConfig { damping: 0.0, ..SparseGptConfig::frantar_2023(Pattern::Level(0.5)) };
    // Equal weights: the score of the first is lower, since the second column's rest is alone.
    let pruned = sparse_gpt(&tensor(&[1.0, 1.0], &[1, 2]), &[gram(&samples, 2)], &config).unwrap();
    let weight = pruned.weight.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert!(weight[0] == 0.0 && (weight[1] - 1.5).abs() < 1e-6, "{weight:?}");
    assert!((pruned.error - 0.75).abs() < 1e-6, "{}", pruned.error);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn each_row_moves_as_exact_obs_moves_it(
        seed in 0_u64..1000, n_rows in 1_usize..5, n in 1_usize..14, block in 1_usize..9, sparsity in 0.0..0.9_f64,
    ) {
        let mut rng = Rng::keyed(seed, "sparse_gpt", &[]);
        let x = samples(4 * n + 4, n, &mut rng);
        let weight: Vec<f32> = (0..n_rows * n).map(|_| rng.normal()).collect();
        let config = SparseGptConfig { pattern: Pattern::Level(sparsity), block, damping: 0.01 };
        let pruned = sparse_gpt(&tensor(&weight, &[n_rows, n]), &[gram(&x, n)], &config).unwrap();
        let n_pruned = (sparsity * (n_rows * n) as f64).floor();
        prop_assert_eq!((pruned.mask.len() - pruned.mask.n_kept()) as f64, n_pruned);
        let hessian = damped_hessian(&x, n, 0.01);
        let got = pruned.weight.to_vec2::<f32>().unwrap();
        let mut cost = 0.0;
        for (row_idx, row) in weight.chunks(n).enumerate() {
            let kept: Vec<bool> = (0..n).map(|j| pruned.mask.keeps(row_idx * n + j)).collect();
            let (expected, row_cost) = plain(row, &kept, &hessian, n);
            cost += row_cost;
            for j in 0..n {
                prop_assert!((f64::from(got[row_idx][j]) - expected[j]).abs() < 1e-3, "row {}, column {}", row_idx, j);
                prop_assert!(kept[j] || got[row_idx][j] == 0.0);
            }
        }
        prop_assert!((pruned.error - cost).abs() < 1e-3 * cost.max(1.0));
    }
}

#[test]
fn windows_keep_their_number_and_the_error_is_below_magnitudes() {
    let (n_rows, n) = (300, 160);
    let mut rng = Rng::keyed(1, "sparse_gpt", &[]);
    let x = samples(400, n, &mut rng);
    let weight = tensor(&(0..n_rows * n).map(|_| rng.normal()).collect::<Vec<_>>(), &[n_rows, n]);
    let grams = [gram(&x, n)];
    // ½ · mean ‖δW x‖² · 2, from the outputs themselves.
    let x = tensor(&x, &[400, n]);
    let error = |pruned: &Tensor| {
        let moved = (pruned - &weight).unwrap().t().unwrap();
        x.matmul(&moved).unwrap().sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap() / 400.0
    };
    let magnitude = crate::importance::magnitude::magnitude(&weight).unwrap();
    let half = select::per_row(&magnitude, weight.dims(), 0.5).unwrap().apply(&weight).unwrap();
    let config = SparseGptConfig { block: 32, ..SparseGptConfig::frantar_2023(Pattern::NofM { n: 2, m: 4 }) };
    let windows = sparse_gpt(&weight, &grams, &config).unwrap();
    for window in 0..n_rows * n / 4 {
        assert_eq!((0..4).filter(|i| windows.mask.keeps(4 * window + i)).count(), 2);
    }
    let level = sparse_gpt(&weight, &grams, &SparseGptConfig::frantar_2023(Pattern::Level(0.5))).unwrap();
    assert!(error(&level.weight) < error(&windows.weight));
    assert!(error(&windows.weight) < error(&half), "2:4 with update beats half by magnitude without");
    // The prediction counts damping as error too, so it is a little above what is measured.
    let ratio = f64::from(error(&level.weight)) / level.error;
    assert!((0.9..=1.0).contains(&ratio), "{ratio}");
}

#[test]
fn the_thread_count_changes_no_bit() {
    let (n_rows, n) = (600, 200);
    let run = |n_threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| {
            let mut rng = Rng::keyed(1, "sparse_gpt", &[]);
            let x = samples(256, n, &mut rng);
            let weight = tensor(&(0..n_rows * n).map(|_| rng.normal()).collect::<Vec<_>>(), &[n_rows, n]);
            let config = SparseGptConfig::frantar_2023(Pattern::Level(0.6));
            let pruned = sparse_gpt(&weight, &[gram(&x, n)], &config).unwrap();
            (pruned.weight.flatten_all().unwrap().to_vec1::<f32>().unwrap(), pruned.error)
        })
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn dead_inputs_lose_their_weights_and_groups_see_their_own() {
    // Group 0 has a dead second input; group 1 a dead first.
    let grams = [gram(&[1.0, 0.0, 2.0, 0.0], 2), gram(&[0.0, 1.0], 2)];
    let config = SparseGptConfig::frantar_2023(Pattern::Level(0.5));
    let pruned = sparse_gpt(&tensor(&[1.0, 5.0, 5.0, 1.0], &[2, 2, 1, 1]), &grams, &config).unwrap();
    assert_eq!(pruned.weight.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [1.0, 0.0, 0.0, 1.0]);
    assert_eq!(pruned.error, 0.0);
    assert_eq!(pruned.mask.shape(), [2, 2, 1, 1]);
}

#[test]
fn wrong_arguments_are_named() {
    let weight = tensor(&[1.0, 2.0, 3.0, 4.0], &[2, 2]);
    let (good, other, none) = (gram(&[1.0, 0.5, 0.2, 1.0], 2), gram(&[1.0], 1), Gram::new(2).unwrap());
    let level = SparseGptConfig::frantar_2023(Pattern::Level(0.5));
    let with = |pattern| SparseGptConfig { pattern, ..level };
    let nan = tensor(&[f32::NAN, 0.0], &[1, 2]);
    for (weight, grams, config, word) in [
        (&weight, vec![other], level, "grams"),
        (&weight, vec![], level, "grams"),
        (&weight, vec![good.clone(); 3], level, "grams"),
        (&weight, vec![none], level, "at least one sample"),
        (&nan, vec![good.clone()], level, "NaN at flat index 0"),
        (&weight, vec![good.clone()], with(Pattern::Level(1.0)), "sparsity"),
        (&weight, vec![good.clone()], with(Pattern::NofM { n: 0, m: 2 }), "n of N:M"),
        (&weight, vec![good.clone()], with(Pattern::NofM { n: 2, m: 4 }), "m of N:M"),
        (&weight, vec![good.clone()], SparseGptConfig { block: 0, ..level }, "block"),
        (&weight, vec![good.clone()], SparseGptConfig { damping: -1.0, ..level }, "damping"),
        (&weight, vec![gram(&[1.0, 1.0], 2)], SparseGptConfig { damping: 0.0, ..level }, "positive definite"),
        (&weight, vec![gram(&[f32::NAN, 1.0], 2)], level, "positive definite"),
    ] {
        let message = sparse_gpt(weight, &grams, &config).unwrap_err().to_string();
        assert!(message.contains(word), "{word}: {message}");
    }
}
