//! Planes with a border of zeros around them.
#![allow(unsafe_code, reason = "calls functions compiled for the instruction set that the processor has")]

use super::isa::kernel;

kernel! {
    /// Writes `plane`, lines of `width` floats, to `out`, lines of `padded_width`, from place `first` on; zeros elsewhere.
    pub(crate) fn pad(out: &mut [f32], plane: &[f32], padded_width: usize, width: usize, first: usize) {
        out.iter_mut().for_each(|out| *out = 0.0);
        let lines = out[first..].chunks_mut(padded_width.max(1));
        for (line, out) in plane.chunks_exact(width.max(1)).zip(lines) {
            out.iter_mut().zip(line).for_each(|(out, value)| *out = *value);
        }
    }
}

kernel! {
    /// Adds the inside of `padded` to `plane`: the adjoint of [`pad`].
    pub(crate) fn add_unpadded(plane: &mut [f32], padded: &[f32], padded_width: usize, width: usize, first: usize) {
        let lines = padded[first..].chunks(padded_width.max(1));
        for (out, line) in plane.chunks_exact_mut(width.max(1)).zip(lines) {
            out.iter_mut().zip(line).for_each(|(out, value)| *out += *value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::isa::for_each_isa;
    use super::*;

    #[test]
    fn a_border_of_zeros_is_put_around_and_taken_off() {
        let plane = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        for_each_isa(|| {
            // 2 × 3 with a line above and below and two columns on each side.
            let mut padded = [9.0; 4 * 7];
            pad(&mut padded, &plane, 7, 3, 7 + 2);
            let mut expected = [0.0; 4 * 7];
            expected[9..12].copy_from_slice(&plane[..3]);
            expected[16..19].copy_from_slice(&plane[3..]);
            assert_eq!(padded, expected);
            let mut sum = [1.0; 6];
            add_unpadded(&mut sum, &padded, 7, 3, 7 + 2);
            assert_eq!(sum, plane.map(|value| value + 1.0));
        });
    }
}
