//! Maxima of 2 × 2 windows, the most common ones, without branches.
#![allow(unsafe_code, reason = "calls functions compiled for the instruction set that the processor has")]

use super::isa::kernel;

kernel! {
    /// The maximum of each 2 × 2 window of `plane`, whose lines have `2 · out_width` floats, and which of the four it is.
    pub(crate) fn max_2x2(plane: &[f32], out: &mut [f32], choices: &mut [u16], out_width: usize) {
        let lines = plane.chunks_exact(4 * out_width.max(1));
        let places = out.chunks_exact_mut(out_width.max(1)).zip(choices.chunks_exact_mut(out_width.max(1)));
        for (lines, (out, choices)) in lines.zip(places) {
            let (upper, lower) = lines.split_at(2 * out_width);
            let (upper, lower) = (upper.as_chunks::<2>().0, lower.as_chunks::<2>().0);
            for (((upper, lower), out), choice) in upper.iter().zip(lower).zip(out).zip(choices) {
                let (mut best, mut at) = (upper[0], 0);
                for (value, idx) in [(upper[1], 1), (lower[0], 2), (lower[1], 3)] {
                    let better = value > best || value.is_nan();
                    best = if better { value } else { best };
                    at = if better { idx } else { at };
                }
                (*out, *choice) = (best, at);
            }
        }
    }
}

kernel! {
    /// The gradient of [`max_2x2`]'s plane: `grad` where the window chose, 0 elsewhere.
    pub(crate) fn unpool_2x2(plane: &mut [f32], grad: &[f32], choices: &[u16], out_width: usize) {
        let lines = plane.chunks_exact_mut(4 * out_width.max(1));
        let places = grad.chunks_exact(out_width.max(1)).zip(choices.chunks_exact(out_width.max(1)));
        for (lines, (grad, choices)) in lines.zip(places) {
            let (upper, lower) = lines.split_at_mut(2 * out_width);
            let (upper, lower) = (upper.as_chunks_mut::<2>().0, lower.as_chunks_mut::<2>().0);
            for (((upper, lower), &grad), &choice) in upper.iter_mut().zip(lower).zip(grad).zip(choices) {
                let at = |idx| if choice == idx { grad } else { 0.0 };
                *upper = [at(0), at(1)];
                *lower = [at(2), at(3)];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::isa::for_each_isa;
    use super::*;

    #[test]
    fn the_first_maximum_is_chosen_and_gets_the_gradient() {
        for (rows, width) in [(0, 1), (1, 1), (2, 3), (4, 4), (12, 12), (3, 17)] {
            let plane: Vec<f32> =
                (0..4 * rows * width).map(|i| f32::from(u16::try_from(i * 7 % 5).unwrap())).collect();
            for_each_isa(|| {
                let (mut out, mut choices) = (vec![-9.0; rows * width], vec![9; rows * width]);
                max_2x2(&plane, &mut out, &mut choices, width);
                let gradient = vec![3.0; rows * width];
                let mut back = vec![7.0; plane.len()];
                unpool_2x2(&mut back, &gradient, &choices, width);
                for (row, col) in (0..rows).flat_map(|row| (0..width).map(move |col| (row, col))) {
                    let at = |i: usize| (2 * row + i / 2) * 2 * width + 2 * col + i % 2;
                    let window = [0, 1, 2, 3].map(|i| plane[at(i)]);
                    let best = window.iter().copied().fold(f32::MIN, f32::max);
                    let first = window.iter().position(|&value| value == best).unwrap();
                    assert_eq!(out[row * width + col], best);
                    assert_eq!(usize::from(choices[row * width + col]), first);
                    for i in 0..4 {
                        assert_eq!(back[at(i)], if i == first { 3.0 } else { 0.0 });
                    }
                }
            });
        }
    }

    #[test]
    fn a_nan_is_a_maximum() {
        for_each_isa(|| {
            let (mut out, mut choices) = ([0.0], [9]);
            max_2x2(&[1.0, f32::NAN, 5.0, 2.0], &mut out, &mut choices, 1);
            assert!(out[0].is_nan());
            assert_eq!(choices, [1]);
        });
    }
}
