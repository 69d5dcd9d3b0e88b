//! AVX2 with VNNI: `vpdpbusd` on 32 bytes.
#![allow(unsafe_code, reason = "reads rows and panels through pointers, writes a part of a matrix")]

use std::arch::x86_64::*;

use super::avx2::finish_line;
use super::{Block, Constants, Line};

/// The kernel, where this processor has its instructions.
pub(super) fn detect() -> Option<unsafe fn(&Block<'_>)> {
    (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("avxvnni")).then_some(run)
}

/// Multiplies `block`.
///
/// # Safety
/// As [`super::Kernel::run`], on a processor with these features.
#[target_feature(enable = "avx2,avxvnni")]
unsafe fn run(block: &Block<'_>) {
    let constants = &Constants::new(block);
    let lines = block.panel.n_lines();
    for line in (0..lines).step_by(2) {
        // SAFETY: the caller's promise is passed on; the lines exist.
        unsafe {
            if line + 1 < lines {
                lines_of::<3, 2>(block, constants, line)
            } else {
                lines_of::<6, 1>(block, constants, line)
            }
        }
    }
}

/// All rows and the columns of `NL` lines from `line` on, at most `MR` rows at once: 12 sums, 3 rows' bytes and one line's
/// half fill the 16 registers.
///
/// # Safety
/// As [`run`]; the lines must exist.
#[target_feature(enable = "avx2,avxvnni")]
#[inline]
unsafe fn lines_of<const MR: usize, const NL: usize>(block: &Block<'_>, constants: &Constants, line: usize) {
    let n_rows = block.rows.n_rows;
    let n_groups = n_rows.div_ceil(MR);
    let mut row = 0;
    for group in 0..n_groups {
        let rows = (n_rows - row).div_ceil(n_groups - group);
        // SAFETY: the caller's promise is passed on; rows `row..row + rows` exist.
        unsafe {
            match rows {
                1 => group_of::<1, NL>(block, constants, row, line),
                2 => group_of::<2, NL>(block, constants, row, line),
                3 => group_of::<3, NL>(block, constants, row, line),
                4 => group_of::<4, NL>(block, constants, row, line),
                5 => group_of::<5, NL>(block, constants, row, line),
                _ => group_of::<6, NL>(block, constants, row, line),
            }
        }
        row += rows;
    }
}

/// `R` rows from `row` on, and the columns of `NL` lines from `line` on.
///
/// # Safety
/// As [`lines_of`]; rows `row..row + R` must exist.
#[target_feature(enable = "avx2,avxvnni")]
#[inline]
unsafe fn group_of<const R: usize, const NL: usize>(
    block: &Block<'_>,
    constants: &Constants,
    row: usize,
    line: usize,
) {
    let (lines, pitch) = block.panel.column(line);
    let mut sums = [[[_mm256_setzero_si256(); 2]; NL]; R];
    for step in 0..block.n_steps() {
        // SAFETY: `Block::check` saw that rows and panel have the bytes of `n_steps` steps.
        unsafe {
            let at: *const Line = lines.as_ptr().add(step * pitch);
            let mut lhs = [_mm256_setzero_si256(); R];
            for (r, lhs) in lhs.iter_mut().enumerate() {
                let bytes = block.rows.data.as_ptr().add((row + r) * block.rows.stride + 4 * step);
                *lhs = _mm256_set1_epi32(bytes.cast::<i32>().read_unaligned());
            }
            for i in 0..2 * NL {
                let rhs = _mm256_load_si256(at.cast::<__m256i>().add(i));
                for (sums, lhs) in sums.iter_mut().zip(lhs) {
                    let sum = &mut sums[i / 2][i % 2];
                    *sum = _mm256_dpbusd_avx_epi32(*sum, lhs, rhs);
                }
            }
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        for (l, sums) in sums.iter().enumerate() {
            // SAFETY: the row and the line exist.
            unsafe { finish_line(block, constants, row + r, line + l, sums) };
        }
    }
}
