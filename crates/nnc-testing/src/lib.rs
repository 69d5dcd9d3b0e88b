//! Test helpers shared by the workspace (dev-dependency only, never published).

/// Whether the slow tests (training, exhaustive sweeps) were asked for with `NNC_SLOW_TESTS=1`.
///
/// A test that needs minutes starts with `if !nnc_testing::slow_tests() { return; }`.
pub fn slow_tests() -> bool {
    std::env::var("NNC_SLOW_TESTS").is_ok_and(|value| value == "1")
}
