//! Test helpers shared by the workspace (dev-dependency only, never published).

pub mod allocator;

/// Whether the slow tests (training, exhaustive sweeps) were asked for with `NNC_SLOW_TESTS=1`.
///
/// A test that needs minutes starts with `if !nnc_testing::slow_tests() { return; }`.
pub fn slow_tests() -> bool {
    std::env::var("NNC_SLOW_TESTS").is_ok_and(|value| value == "1")
}

/// Numbers that look random: the states of a 64-bit linear congruential generator that begins after `seed` (Knuth's MMIX).
///
/// Their top bytes are the test bytes of gemmlowp's golden vectors. The low bits repeat soon: take the high ones.
pub fn numbers(seed: u64) -> impl Iterator<Item = u64> {
    let next =
        |state: u64| state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    std::iter::successors(Some(next(seed)), move |&state| Some(next(state)))
}

/// The top bytes of [`numbers`].
pub fn bytes(seed: u64) -> impl Iterator<Item = u8> {
    numbers(seed).map(|number| number.to_be_bytes()[0])
}
