//! No access outside of images: they lie against pages that may be neither read nor written.

use nnc_gemmlowp::{Element, Gemm, Image, ImageLayout, ImageMut, Multiplier, Per, Stage};

use super::{Case, LAYOUTS, Problem, cases};
use crate::gemm::every_gemm;
use crate::gemm::guard::{Against, Guarded};

/// One convolution with images against their guards; an access outside ends the process.
fn check<O: Element + PartialEq + std::fmt::Debug>(
    gemm: Gemm,
    case: Case,
    layouts: (ImageLayout, ImageLayout),
    against: Against,
    stages: &[Stage<'_>],
) {
    let problem = Problem::new(case, 5, (77_u8, 3_i8));
    let data = Guarded::new(&problem.data, against);
    let mut out = Guarded::new(&vec![O::default(); case.out_len()], against);
    let image = Image::new(data.get(), case.input, layouts.0, 77).unwrap();
    let place = ImageMut::new(out.get_mut(), case.out_shape(), layouts.1).unwrap();
    problem.packed().run_on(gemm, image, stages, place).unwrap();
    assert_eq!(out.get(), problem.reference::<O>(layouts, stages), "{} {case:?}", gemm.isa().name());
}

#[test]
fn convolutions_stay_within_their_images() {
    let multiplier = Per::Tensor(Multiplier::from_real(0.002).unwrap());
    let scale = [Stage::Scale { multiplier, offset: 100 }];
    for gemm in every_gemm() {
        for case in cases() {
            for layouts in LAYOUTS.into_iter().flat_map(|a| LAYOUTS.map(|b| (a, b))) {
                for against in [Against::Start, Against::End] {
                    check::<i32>(gemm, case, layouts, against, &[]);
                    check::<u8>(gemm, case, layouts, against, &scale);
                }
            }
        }
    }
}
