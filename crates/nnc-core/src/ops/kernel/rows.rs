//! Sums and transposes of whole rows.
#![allow(unsafe_code, reason = "calls functions compiled for the instruction set that the processor has")]

use super::isa::kernel;

kernel! {
    /// Adds `source` to `out`, which has the same length.
    pub(crate) fn add(out: &mut [f32], source: &[f32]) {
        out.iter_mut().zip(source).for_each(|(out, source)| *out += *source);
    }
}

kernel! {
    /// Adds each row of `rows`, as long as `out`, to `out`.
    pub(crate) fn add_rows(out: &mut [f32], rows: &[f32]) {
        for row in rows.chunks_exact(out.len().max(1)) {
            out.iter_mut().zip(row).for_each(|(out, source)| *out += *source);
        }
    }
}

kernel! {
    /// The sum of `values`: 16 running sums, then those in order. As fast as memory, and more exact than one running sum.
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
}

/// Rows and columns of a block that [`transpose`] moves at once: a cache line each way.
const SIDE: usize = 16;

kernel! {
    /// Writes `from`, rows of `cols` floats every `pitch` floats, to `to`, `cols` rows of as many floats as there are rows.
    pub(crate) fn transpose(from: &[f32], pitch: usize, to: &mut [f32], cols: usize) {
        let rows = to.len() / cols.max(1);
        for row in (0..rows).step_by(SIDE) {
            for col in (0..cols).step_by(SIDE) {
                if row + SIDE <= rows && col + SIDE <= cols {
                    let mut block = [[0.0_f32; SIDE]; SIDE];
                    for (i, line) in block.iter_mut().enumerate() {
                        line.copy_from_slice(&from[(row + i) * pitch + col..][..SIDE]);
                    }
                    for i in 0..SIDE {
                        let out = &mut to[(col + i) * rows + row..][..SIDE];
                        for j in 0..SIDE {
                            out[j] = block[j][i];
                        }
                    }
                } else {
                    for row in row..rows.min(row + SIDE) {
                        for col in col..cols.min(col + SIDE) {
                            to[col * rows + row] = from[row * pitch + col];
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::isa::for_each_isa;
    use super::*;

    #[test]
    fn rows_of_every_length_are_added_and_summed() {
        for len in [0_u16, 1, 7, 8, 9, 16, 33, 256, 257] {
            let source: Vec<f32> = (0..len).map(f32::from).collect();
            for_each_isa(|| {
                let mut out = source.clone();
                add(&mut out, &source);
                add_rows(&mut out, &source.repeat(3));
                assert!(out.iter().zip(&source).all(|(out, source)| *out == 5.0 * source));
                assert_eq!(sum(&source), f32::from(len) * f32::from(len.saturating_sub(1)) / 2.0);
            });
        }
    }

    #[test]
    fn a_transpose_exchanges_rows_and_columns() {
        for (rows, cols) in [(1, 1), (16, 16), (17, 33), (48, 20), (3, 40), (0, 4)] {
            let pitch = cols + 3;
            let from: Vec<f32> = (0..rows * pitch).map(|i| f32::from(u16::try_from(i).unwrap())).collect();
            for_each_isa(|| {
                let mut to = vec![-1.0; rows * cols];
                transpose(&from, pitch, &mut to, cols);
                for (row, col) in (0..rows).flat_map(|row| (0..cols).map(move |col| (row, col))) {
                    assert_eq!(to[col * rows + row], from[row * pitch + col]);
                }
            });
        }
    }
}
