//! Convolutions that are large enough to be split: the same bits in pools of 1 to 4 threads.

use nnc_gemmlowp::{Conv2dConfig, Gemm, Isa, Per, Stage};

use super::{Case, LAYOUTS, Parameters, Problem};
use crate::gemm::every_gemm;
use crate::gemm::threads::within;

/// A product, one in groups and a depthwise one, for which other threads pay.
fn cases(gemm: Gemm) -> [Case; 3] {
    let padded = Conv2dConfig { padding: (1, 1).into(), ..Conv2dConfig::new((3, 3)) };
    let grouped = |groups| Conv2dConfig { groups, ..padded };
    let side = match gemm.isa() {
        Isa::Scalar => 7,
        Isa::Avx2 => 15,
        Isa::AvxVnni => 25,
        _ => 41,
    };
    [
        Case::new((2, 32, side, side), 70, padded),
        Case::new((2, 64, side, side), 130, grouped(2)),
        Case::new((3, 70, 23, 21), 70, grouped(70)),
    ]
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    for gemm in every_gemm() {
        for case in cases(gemm) {
            let problem = Problem::new(case, 5, (77_u8, 3_i8));
            let Parameters { biases, multipliers, .. } = Parameters::new(case.outputs);
            let scale = Stage::Scale { multiplier: Per::Col(&multipliers), offset: 100 };
            let stages = [Stage::Bias(Per::Col(&biases)), scale];
            for layouts in LAYOUTS.into_iter().flat_map(|a| LAYOUTS.map(|b| (a, b))) {
                let run = |n_threads| within(n_threads, || problem.run::<u8>(gemm, layouts, &stages));
                let one = run(1);
                for n_threads in 2..=4 {
                    assert!(run(n_threads) == one, "{} {case:?} {layouts:?} {n_threads}", gemm.isa().name());
                }
                if gemm.isa() == Isa::Scalar || case.config.groups == case.outputs {
                    assert!(problem.reference::<u8>(layouts, &stages) == one, "{case:?} {layouts:?}");
                }
            }
        }
    }
}
