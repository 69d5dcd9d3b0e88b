//! Products that are large enough to be split: the same bits in pools of 1 to 4 threads, and the right ones.

use nnc_gemmlowp::{Gemm, Isa, MatMut, MatRef, Multiplier, PackedRhs, Per, Quantized, Stage};

use super::{bytes, every_gemm};

/// Shapes for which `src/parallel.rs` finds that other threads pay on `isa`: some 40 microseconds of its products.
///
/// Neither rows nor columns are a multiple of what a task gets; one product is of a single row, split by its columns.
fn shapes(isa: Isa) -> Vec<(usize, usize, usize)> {
    let square = match isa {
        Isa::Scalar => (70, 40, 130),
        Isa::Avx2 => (150, 200, 150),
        Isa::AvxVnni => (261, 260, 250),
        Isa::Avx512Vnni => (401, 260, 300),
        _ => (517, 450, 333),
    };
    let vector = if isa == Isa::Scalar { (1, 900, 800) } else { (1, 3000, 1000) };
    vec![square, vector]
}

/// In a pool of `n_threads`.
pub(crate) fn within<T: Send>(n_threads: usize, run: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().expect("threads start").install(run)
}

/// Whether `sums` · v = lhs · (rhs · v) for a drawn vector v (Freivalds): a wrong sum shows but by an accident of v.
fn is_product(lhs: &[i64], rhs: &[i64], sums: &[i32], (m, k, n): (usize, usize, usize)) -> bool {
    let vector: Vec<i64> = bytes(99).take(n).map(|byte| i64::from(byte) + 1).collect();
    let dot = |row: &[i64], vector: &[i64]| row.iter().zip(vector).map(|(a, b)| a * b).sum::<i64>();
    let right: Vec<i64> = (0..k).map(|i| dot(&rhs[i * n..][..n], &vector)).collect();
    (0..m).all(|i| {
        let row: Vec<i64> = sums[i * n..][..n].iter().map(|&sum| i64::from(sum)).collect();
        dot(&row, &vector) == dot(&lhs[i * k..][..k], &right)
    })
}

fn check(gemm: Gemm, shape: (usize, usize, usize)) {
    let (m, k, n) = shape;
    let what = format!("{} {m} x {k} x {n}", gemm.isa().name());
    let (lhs, rhs) = (bytes(1).take(m * k).collect::<Vec<_>>(), bytes(2).take(k * n).collect::<Vec<_>>());
    let less = |bytes: &[u8], zero: i64| bytes.iter().map(|&byte| i64::from(byte) - zero).collect::<Vec<_>>();
    let (wide_lhs, wide_rhs) = (less(&lhs, 77), less(&rhs, 130));
    let lhs = Quantized::new(MatRef::row_major(&lhs, m, k).unwrap(), 77);
    let packed = PackedRhs::new(Quantized::new(MatRef::row_major(&rhs, k, n).unwrap(), 130));
    let multiplier = Multiplier::from_real(0.003).unwrap();
    let stages = [Stage::Scale { multiplier: Per::Tensor(multiplier), offset: 120 }];
    let run = |n_threads| {
        within(n_threads, || {
            let (mut sums, mut out) = (vec![0_i32; m * n], vec![0_u8; m * n]);
            gemm.gemm_packed(lhs, &packed, &[], MatMut::row_major(&mut sums, m, n).unwrap()).unwrap();
            gemm.gemm_packed(lhs, &packed, &stages, MatMut::row_major(&mut out, m, n).unwrap()).unwrap();
            let mut by_cols = vec![0_u8; m * n];
            gemm.gemm_packed(lhs, &packed, &stages, MatMut::col_major(&mut by_cols, m, n).unwrap()).unwrap();
            (sums, out, by_cols)
        })
    };
    let one = run(1);
    assert!(is_product(&wide_lhs, &wide_rhs, &one.0, shape), "{what}");
    let stored = |sum: i32| (multiplier.apply(sum) + 120).clamp(0, 255) as u8;
    assert!(one.0.iter().map(|&sum| stored(sum)).eq(one.1.iter().copied()), "{what}");
    let by_cols = MatRef::col_major(&one.2, m, n).unwrap();
    assert!((0..m * n).all(|i| by_cols.at(i / n, i % n) == one.1[i]), "{what}");
    for n_threads in 2..=4 {
        assert!(run(n_threads) == one, "{what}: {n_threads} threads give other bits");
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    for gemm in every_gemm() {
        for shape in shapes(gemm.isa()) {
            check(gemm, shape);
        }
    }
}

#[test]
fn a_wrong_sum_would_be_seen() {
    let (lhs, rhs) = ([1, 2, 3, 4], [5, 6, 7, 8]);
    assert!(is_product(&lhs, &rhs, &[19, 22, 43, 50], (2, 2, 2)));
    assert!(!is_product(&lhs, &rhs, &[19, 22, 43, 51], (2, 2, 2)));
}

#[test]
fn products_within_products_tasks_are_independent() {
    use rayon::prelude::*;

    let gemm = Gemm::best();
    let (m, k, n) = (33, 70, 65);
    let (lhs, rhs) = (bytes(3).take(m * k).collect::<Vec<_>>(), bytes(4).take(k * n).collect::<Vec<_>>());
    let product = || {
        let lhs = Quantized::new(MatRef::row_major(&lhs, m, k).unwrap(), 9);
        let rhs = Quantized::new(MatRef::row_major(&rhs, k, n).unwrap(), 200);
        let mut sums = vec![0_i32; m * n];
        gemm.gemm(lhs, rhs, &[], MatMut::row_major(&mut sums, m, n).unwrap()).unwrap();
        sums
    };
    let alone = product();
    within(4, || (0..64).into_par_iter().for_each(|_| assert!(product() == alone)));
}
