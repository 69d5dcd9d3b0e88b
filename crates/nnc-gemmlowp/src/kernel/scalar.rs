//! The kernel in plain Rust: every other kernel gives the same bits.
#![allow(unsafe_code, reason = "writes a part of a matrix that other threads write parts of")]

use super::{Block, Finish, GROUP, LANES, Multipliers, PANEL, Requant};

/// Multiplies `block`.
///
/// # Safety
/// As [`super::Kernel::run`].
pub(super) unsafe fn run(block: &Block<'_>) {
    for row in 0..block.rows.n_rows {
        let sums = sums(block, row);
        for (col, &sum) in sums.iter().enumerate().take(block.panel.n_cols) {
            let at = row * block.out_stride + col;
            // SAFETY: the caller promises the block's rows and columns, and this is one of them.
            unsafe {
                match block.finish {
                    Finish::Sums(out) => out.add(at).write(sum),
                    // The lowest byte is the whole: the bounds are within the type.
                    Finish::Bytes(out, requant) => {
                        out.add(at).write(requantized(sum, requant, col).to_le_bytes()[0])
                    }
                }
            }
        }
    }
}

/// The sums of one row, with their terms.
fn sums(block: &Block<'_>, row: usize) -> [i32; PANEL] {
    let lhs = &block.rows.data[row * block.rows.stride..][..block.depth];
    let mut sums = [0_i32; PANEL];
    for (col, (sum, col_sum)) in sums.iter_mut().zip(block.cols.sums).enumerate() {
        let bias = block.cols.bias.map_or(0, |bias| bias[col]);
        let term = block.cols.constant.wrapping_add(block.cols.factor.wrapping_mul(*col_sum));
        *sum = term.wrapping_add(bias);
    }
    for (line, sums) in sums.chunks_exact_mut(LANES).enumerate().take(block.panel.n_lines()) {
        let (lines, pitch) = block.panel.column(line);
        for (k, &l) in lhs.iter().enumerate() {
            for (lane, sum) in sums.iter_mut().enumerate() {
                let r = lines[k / GROUP * pitch].0[lane * GROUP + k % GROUP];
                *sum = sum.wrapping_add(i32::from(l) * i32::from(r));
            }
        }
    }
    if let Some(terms) = block.row_terms {
        sums.iter_mut().for_each(|sum| *sum = sum.wrapping_add(terms[row]));
    }
    sums
}

/// The sum `x` of a column scaled, offset and clamped.
fn requantized(x: i32, requant: Requant<'_>, col: usize) -> i32 {
    let multiplier = match requant.multipliers {
        Multipliers::One(multiplier) => multiplier,
        Multipliers::Each(each) => each[col],
    };
    let value = multiplier.apply(x) + i32::from(requant.zero_point);
    value.clamp(i32::from(requant.min), i32::from(requant.max))
}
