//! Vectors that are made by writing every element once, without zeros first.
#![allow(unsafe_code, reason = "says that a vector is initialised once all of its pieces are")]

use std::mem::MaybeUninit;

use crate::ops::parallel::for_each;

/// A vector of `len` floats: `write` gets each piece of `piece` floats (the last may be shorter) with its index, and
/// returns it written. In parallel where `work` (multiply-adds in all) makes it worth it.
///
/// # Panics
/// Where `write` returns something else than the piece it was given.
pub(crate) fn filled(
    len: usize,
    piece: usize,
    work: usize,
    write: impl Fn(usize, &mut [MaybeUninit<f32>]) -> &mut [f32] + Sync,
) -> Vec<f32> {
    let mut values = Vec::with_capacity(len);
    let pieces = values.spare_capacity_mut()[..len].chunks_mut(piece.max(1)).enumerate();
    for_each(pieces, work, |(i, piece)| {
        let given = (piece.as_ptr().cast::<f32>(), piece.len());
        let written = write(i, piece);
        assert!(given == (written.as_ptr(), written.len()), "a piece was not written");
    });
    // SAFETY: the capacity is at least `len`. The pieces cover the first `len` elements, and for each of them `write`
    // returned a `&mut [f32]` of the same place and length, which exists only for initialised memory.
    unsafe { values.set_len(len) };
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::gemm::{Mat, Place};

    #[test]
    fn every_piece_is_written() {
        for (len, piece) in [(0, 4), (1, 4), (12, 4), (13, 4), (5, 0)] {
            let values = filled(len, piece, usize::MAX, |i, blank| {
                let first = i * piece.max(1);
                let values: Vec<f32> =
                    (first..first + blank.len()).map(|i| f32::from(u8::try_from(i).unwrap())).collect();
                Place::Blank(blank).take_product(Mat::new(&values, values.len(), 1), Mat::new(&[1.0], 1, 1))
            });
            assert!(values.len() == len && values.iter().zip(0_u8..).all(|(v, i)| *v == f32::from(i)));
        }
    }

    #[test]
    #[should_panic(expected = "a piece was not written")]
    fn another_slice_is_not_taken_for_the_piece() {
        filled(4, 4, 0, |_, _| Box::leak(vec![0.0; 4].into_boxed_slice()));
    }
}
