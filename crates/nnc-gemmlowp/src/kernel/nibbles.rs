//! Elements of 4 bits, unpacked to the bytes that kernels read.
#![allow(unsafe_code, reason = "calls a function compiled for the instruction set that the processor has")]

use super::Line;

/// Unpacks each of `pairs` to two of `lines`: the low halves of its bytes, less 8, then the high ones.
pub(crate) fn unpack(pairs: &[Line], lines: &mut [Line]) {
    assert_eq!(2 * pairs.len(), lines.len(), "two lines for each pair");
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { avx2(pairs, lines) };
    }
    plain(pairs, lines);
}

/// [`plain`] on 32 bytes at a time.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2(pairs: &[Line], lines: &mut [Line]) {
    plain(pairs, lines);
}

/// The definition. Inlined, so that its loops are compiled for the caller's instruction set.
#[allow(clippy::inline_always, reason = "this is how the loops get the caller's instruction set")]
#[inline(always)]
fn plain(pairs: &[Line], lines: &mut [Line]) {
    for (pair, [low, high]) in pairs.iter().zip(lines.as_chunks_mut::<2>().0) {
        for ((pair, low), high) in pair.0.iter().zip(&mut low.0).zip(&mut high.0) {
            *low = (pair & 15) - 8;
            *high = (pair.cast_unsigned() >> 4).cast_signed() - 8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_halves_is_unpacked() {
        let bytes: Vec<u8> = (0..=255).collect();
        let pairs: Vec<Line> =
            bytes.as_chunks::<64>().0.iter().map(|bytes| Line(bytes.map(u8::cast_signed))).collect();
        let mut lines = vec![Line::ZERO; 8];
        unpack(&pairs, &mut lines);
        for (i, byte) in bytes.into_iter().enumerate() {
            let [low, high] = [0, 1].map(|half| i16::from(lines[i / 64 * 2 + half].0[i % 64]));
            assert_eq!([low, high], [i16::from(byte % 16) - 8, i16::from(byte / 16) - 8]);
        }
        let mut again = lines.clone();
        plain(&pairs, &mut again);
        assert!(again.iter().zip(&lines).all(|(a, b)| a.0 == b.0));
    }
}
