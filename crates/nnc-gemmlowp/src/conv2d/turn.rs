//! Transposition: channels by pixels to pixels by channels.

use crate::pack::Byte;

/// Lines and elements of them that are turned at once.
const BLOCK: usize = 8;

/// Writes element (line, i) of `from`, made unsigned, to (line, i) of `out`. With each slice come its steps, the elements from
/// line to line and from i to i; `sizes` are the lines and their length.
///
/// Eight by eight, so that both what is read and what is written stay in the first cache.
pub(crate) fn turn<T: Byte>(
    (from, from_line, from_step): (&[T], usize, usize),
    (out, out_line, out_step): (&mut [u8], usize, usize),
    (n_lines, len): (usize, usize),
) {
    for first in (0..n_lines).step_by(BLOCK) {
        let lines = first..n_lines.min(first + BLOCK);
        for start in (0..len).step_by(BLOCK) {
            let end = len.min(start + BLOCK);
            if from_step == 1 && out_line == 1 && lines.len() == BLOCK && end - start == BLOCK {
                let from = &from[first * from_line + start..];
                turn_block((from, from_line), (&mut out[start * out_step + first..], out_step));
                continue;
            }
            for line in lines.clone() {
                for i in start..end {
                    out[line * out_line + i * out_step] = from[line * from_line + i * from_step].unsigned();
                }
            }
        }
    }
}

/// Turns eight times eight bytes that lie side by side in either slice.
#[inline]
fn turn_block<T: Byte>((from, from_line): (&[T], usize), (out, out_step): (&mut [u8], usize)) {
    let mut lines = [0_u64; BLOCK];
    for (i, line) in lines.iter_mut().enumerate() {
        let bytes = from[i * from_line..].first_chunk::<BLOCK>().expect("the block has eight elements");
        *line = u64::from_le_bytes(bytes.map(T::unsigned));
    }
    // Quarters change places, then quarters of quarters, then bytes: (i, j + k) with (i + k, j).
    for (k, mask) in [(4, 0xFFFF_FFFF_u64), (2, 0x0000_FFFF_0000_FFFF), (1, 0x00FF_00FF_00FF_00FF)] {
        for i in (0..BLOCK).filter(|i| i & k == 0) {
            let change = ((lines[i] >> (8 * k)) ^ lines[i + k]) & mask;
            lines[i] ^= change << (8 * k);
            lines[i + k] ^= change;
        }
    }
    for (i, line) in lines.into_iter().enumerate() {
        let out = out[i * out_step..].first_chunk_mut::<BLOCK>().expect("the block has eight elements");
        *out = line.to_le_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::turn;

    #[test]
    fn every_element_goes_to_its_place() {
        for (n_lines, len) in [(0, 5), (1, 1), (7, 9), (8, 8), (16, 24), (17, 23), (9, 64), (64, 3)] {
            let element = |line: usize, i: usize| u8::try_from((line * 31 + i * 7) % 251).unwrap();
            for gap in [0, 3] {
                let (pitch, step) = (len + gap, n_lines + gap);
                let from: Vec<u8> = (0..n_lines * pitch).map(|at| element(at / pitch, at % pitch)).collect();
                let signed: Vec<i8> = from.iter().map(|byte| (byte ^ 0x80).cast_signed()).collect();
                let mut outs = [vec![255_u8; len * step], vec![255_u8; len * step]];
                turn((&from, pitch, 1), (&mut outs[0], 1, step), (n_lines, len));
                turn((&signed, pitch, 1), (&mut outs[1], 1, step), (n_lines, len));
                for (at, &found) in outs[0].iter().enumerate() {
                    let (i, line) = (at / step, at % step);
                    let expected = if line < n_lines { element(line, i) } else { 255 };
                    assert_eq!(found, expected, "{n_lines} x {len}, gap {gap}: ({line}, {i})");
                }
                assert_eq!(outs[0], outs[1]);
            }
        }
    }

    #[test]
    fn lines_may_be_spread_instead_of_turned() {
        // Three channels of two pixels, each twice: the first of two copies.
        let mut out = [0_u8; 12];
        turn((&[1_u8, 2, 3, 4, 5, 6], 1, 3), (&mut out, 2, 6), (3, 2));
        assert_eq!(out, [1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0]);
    }
}
