//! Loops over short rows, written so that the compiler keeps them in registers.
//!
//! Feature maps have rows of 4 to 64 floats; a call of `memcpy` for each would cost more than the copy.

/// Floats moved at a time.
const LANES: usize = 8;

/// Writes `source` to `out`, which has the same length.
#[inline]
pub(crate) fn copy(out: &mut [f32], source: &[f32]) {
    if out.len() > 256 {
        return out.copy_from_slice(source);
    }
    let (out, out_tail) = out.as_chunks_mut::<LANES>();
    let (source, source_tail) = source.as_chunks::<LANES>();
    for (out, source) in out.iter_mut().zip(source) {
        *out = *source;
    }
    for (out, source) in out_tail.iter_mut().zip(source_tail) {
        *out = *source;
    }
}

/// Adds `source` to `out`, which has the same length.
#[inline]
pub(crate) fn add(out: &mut [f32], source: &[f32]) {
    let (out, out_tail) = out.as_chunks_mut::<LANES>();
    let (source, source_tail) = source.as_chunks::<LANES>();
    for (out, source) in out.iter_mut().zip(source) {
        for lane in 0..LANES {
            out[lane] += source[lane];
        }
    }
    for (out, source) in out_tail.iter_mut().zip(source_tail) {
        *out += *source;
    }
}

/// The sum of `values`: 16 running sums, then those in order. As fast as memory, and more exact than one running sum.
#[inline]
pub(crate) fn sum(values: &[f32]) -> f32 {
    let (chunks, tail) = values.as_chunks::<16>();
    let mut lanes = [0.0_f32; 16];
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value;
        }
    }
    lanes.iter().chain(tail).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::cast_precision_loss, reason = "small integers are exact")]
    fn rows_of_every_length_are_copied_added_and_summed() {
        for len in [0, 1, 7, 8, 9, 16, 33, 256, 257] {
            let source: Vec<f32> = (0..len).map(|i| i as f32).collect();
            let mut out = vec![0.0; len];
            copy(&mut out, &source);
            assert_eq!(out, source);
            add(&mut out, &source);
            assert!(out.iter().zip(&source).all(|(out, source)| *out == 2.0 * source));
            assert_eq!(sum(&source), (len * len.saturating_sub(1) / 2) as f32);
        }
    }
}
