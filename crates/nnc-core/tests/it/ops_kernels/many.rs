//! The same laws over thousands of drawn shapes, and over larger ones: slow, so only with `cargo xtask test --slow`.

use proptest::test_runner::{RngSeed, TestRunner};

use super::*;

/// Checks `n_cases` draws of `strategy`, other ones than the fast tests draw.
fn check_many<S: Strategy>(n_cases: u32, strategy: S, check: impl Fn(S::Value)) {
    if !nnc_testing::slow_tests() {
        return;
    }
    let config = ProptestConfig { rng_seed: RngSeed::Fixed(3), ..config(n_cases) };
    let checked = TestRunner::new(config).run(&strategy, |value| {
        check(value);
        Ok(())
    });
    checked.unwrap_or_else(|failure| panic!("{failure}"));
}

/// Too large for differences: rounding would drown them.
fn without_differences(case: Case) -> Case {
    Case { smooth: false, ..case }
}

#[test]
fn linear_is_its_twin_over_many_shapes() {
    let shapes = (1..9_usize, 1..40_usize, 1..40_usize, any::<bool>(), any::<u64>());
    check_many(2_000, shapes, |(batch, inputs, outputs, bias, seed)| {
        linear_case(batch, inputs, outputs, bias, seed).check();
    });
}

#[test]
fn linear_is_its_twin_over_large_shapes() {
    let shapes = (1..130_usize, 1..400_usize, 1..400_usize, any::<bool>(), any::<u64>());
    check_many(60, shapes, |(batch, inputs, outputs, bias, seed)| {
        without_differences(linear_case(batch, inputs, outputs, bias, seed)).check();
    });
}

#[test]
fn conv2d_is_its_twin_over_many_shapes() {
    check_many(2_000, convs(), |conv| conv.case().check());
}

#[test]
fn conv2d_is_its_twin_over_large_shapes() {
    check_many(300, convs_below(12, 40, 8), |conv| without_differences(conv.case()).check());
}

#[test]
fn conv2d_with_pooling_is_its_twin_over_many_shapes() {
    let all = prop_oneof![convs(), convs_below(6, 30, 6)];
    check_many(2_000, (all, pools()), |(conv, pool)| {
        if let Some(case) = conv.pooled_case(pool) {
            case.check();
        }
    });
}

#[test]
fn pooling_is_its_twin_over_many_shapes() {
    let sizes = (1..4_usize, 1..5_usize, 1..24_usize, 1..24_usize);
    let all = (sizes, pools(), any::<u64>(), any::<bool>());
    check_many(2_000, all, |((batch, channels, height, width), config, seed, ties)| {
        if config.output_size((height, width)).is_ok() {
            let dims = [batch, channels, height, width];
            max_pool_case(dims, config, seed, ties).check();
            avg_pool_case(dims, config, seed).check();
        }
    });
}

#[test]
fn norms_are_their_twins_over_many_shapes() {
    let sizes = (1..6_usize, 1..10_usize, 1..8_usize, 1..8_usize);
    check_many(1_000, (sizes, 1..9_usize, any::<u64>()), |((batch, channels, height, width), size, seed)| {
        let dims = [batch, channels, height, width];
        batch_norm_case(dims, seed).check();
        batch_norm_eval_case(dims, seed).check();
        lrn_case(dims, size, seed).check();
    });
}

#[test]
fn softmax_and_its_losses_are_their_twins_over_many_shapes() {
    check_many(2_000, (1..20_usize, 1..60_usize, any::<u64>()), |(rows, classes, seed)| {
        softmax_cases(rows, classes, seed).iter().for_each(Case::check);
    });
}
