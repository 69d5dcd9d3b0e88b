//! AVX-512 VNNI: up to 6 rows × 64 columns in registers, four products a lane and instruction.
#![allow(unsafe_code, reason = "reads rows and panels through pointers, writes a part of a matrix")]

use std::arch::x86_64::*;

use super::half::{Half, is_plain, load};
use super::{Block, Constants, GROUP, Line};

/// Rows that are multiplied at once: 6 × 4 sums, 4 columns' bytes and one row's fill 29 of 32 registers.
const MR: usize = 6;

/// The kernel, where this processor has its instructions.
pub(super) fn detect() -> Option<unsafe fn(&Block<'_>)> {
    let has = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni");
    has.then_some(run)
}

/// Multiplies `block`.
///
/// # Safety
/// As [`super::Kernel::run`], on a processor with these features.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn run(block: &Block<'_>) {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        match block.panel.n_lines() {
            1 => panel::<1>(block),
            2 => panel::<2>(block),
            3 => panel::<3>(block),
            _ => panel::<4>(block),
        }
    }
}

/// All rows of a block, whose panel has `NV` lines a step.
///
/// # Safety
/// As [`run`], for a panel of `NV` lines a step.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn panel<const NV: usize>(block: &Block<'_>) {
    let constants = &Constants::new(block);
    let n_rows = block.rows.n_rows;
    let n_groups = n_rows.div_ceil(MR);
    let mut row = 0;
    for group in 0..n_groups {
        // Groups of even size: a group of one row would wait for its own sums.
        let rows = (n_rows - row).div_ceil(n_groups - group);
        // SAFETY: the caller's promise is passed on; rows `row..row + rows` exist.
        unsafe {
            match rows {
                1 => group_of::<1, NV>(block, constants, row),
                2 => group_of::<2, NV>(block, constants, row),
                3 => group_of::<3, NV>(block, constants, row),
                4 => group_of::<4, NV>(block, constants, row),
                5 => group_of::<5, NV>(block, constants, row),
                _ => group_of::<6, NV>(block, constants, row),
            }
        }
        row += rows;
    }
}

/// `R` rows from `row` on.
///
/// # Safety
/// As [`panel`]; rows `row..row + R` must exist.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
unsafe fn group_of<const R: usize, const NV: usize>(block: &Block<'_>, constants: &Constants, row: usize) {
    // SAFETY: the row exists, so its first byte lies in the slice.
    let lhs = unsafe { block.rows.data.as_ptr().add(row * block.rows.stride) };
    let halves =
        [block.panel.column(0).0.as_ptr(), block.panel.column(if NV > 2 { 2 } else { 0 }).0.as_ptr()];
    // SAFETY: `Block::check` saw that rows and panel have the bytes of `n_steps` steps.
    let sums = unsafe {
        if R <= 2 {
            sums_in_two::<R, NV>(lhs, block.rows.stride, halves, block.n_steps(), constants)
        } else {
            sums::<R, NV>(lhs, block.rows.stride, halves, block.n_steps(), constants)
        }
    };
    // SAFETY: the caller promises the block's rows and columns.
    unsafe { finish_rows(block, constants, row, &sums) };
}

/// Lines from step to step in the half of a panel of `NV` lines that has line `v`.
const fn pitch<const NV: usize>(v: usize) -> usize {
    match v {
        0 | 1 if NV == 1 => 1,
        0 | 1 => 2,
        _ => NV.saturating_sub(2),
    }
}

/// The terms of `NV` × 16 columns, with which their sums begin.
#[target_feature(enable = "avx512f")]
#[inline]
fn terms<const NV: usize>(constants: &Constants) -> [__m512i; NV] {
    let mut terms = [_mm512_setzero_si512(); NV];
    for (v, terms) in terms.iter_mut().enumerate() {
        *terms = load(&constants.terms, v);
    }
    terms
}

/// The sums of `R` rows and `NV` × 16 columns, with the columns' terms.
///
/// # Safety
/// `lhs` must be readable for `4 · n_steps` bytes in each of `R` rows `stride` apart, `halves` for the
/// lines of `n_steps` steps.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
unsafe fn sums<const R: usize, const NV: usize>(
    lhs: *const u8,
    stride: usize,
    halves: [*const Line; 2],
    n_steps: usize,
    constants: &Constants,
) -> [[__m512i; NV]; R] {
    /// Steps ahead of which lines are fetched: a panel that is deep streams from the second cache.
    const AHEAD: usize = 16;
    /// Steps between which pointers stand still: additions of pointers take the units that multiply.
    const UNROLL: usize = 4;
    let mut sums = [terms(constants); R];
    let mut rows = [lhs; R];
    for (r, row) in rows.iter_mut().enumerate() {
        *row = lhs.wrapping_add(r * stride);
    }
    let mut halves = halves;
    for _ in 0..n_steps / UNROLL {
        // SAFETY: inside what the caller promises; a prefetch may go anywhere.
        unsafe {
            for step in 0..UNROLL {
                for v in 0..NV {
                    let line = halves[v / 2].wrapping_add((step + AHEAD) * pitch::<NV>(v) + v % 2);
                    _mm_prefetch::<_MM_HINT_T0>(line.cast());
                }
                step_of(&mut sums, &rows, halves, step);
            }
        }
        rows = rows.map(|row| row.wrapping_add(UNROLL * GROUP));
        halves = [0, 1].map(|half| halves[half].wrapping_add(UNROLL * pitch::<NV>(2 * half)));
    }
    for step in 0..n_steps % UNROLL {
        // SAFETY: inside what the caller promises.
        unsafe { step_of(&mut sums, &rows, halves, step) };
    }
    sums
}

/// [`sums`] for few rows: even and odd steps add up apart, so that no addition waits for the one before.
///
/// # Safety
/// As [`sums`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
unsafe fn sums_in_two<const R: usize, const NV: usize>(
    lhs: *const u8,
    stride: usize,
    halves: [*const Line; 2],
    n_steps: usize,
    constants: &Constants,
) -> [[__m512i; NV]; R] {
    /// How far ahead lines are fetched: the panel streams from memory and is used once.
    const AHEAD: usize = 64;
    let mut even = [terms(constants); R];
    let mut rows = [lhs; R];
    for (r, row) in rows.iter_mut().enumerate() {
        *row = lhs.wrapping_add(r * stride);
    }
    let mut odd = [[_mm512_setzero_si512(); NV]; R];
    for step in (0..n_steps.saturating_sub(1)).step_by(2) {
        // SAFETY: inside what the caller promises; a prefetch may go anywhere.
        unsafe {
            for v in 0..NV {
                let line = halves[v / 2].wrapping_add(step * pitch::<NV>(v) + v % 2 + AHEAD);
                _mm_prefetch::<_MM_HINT_T0>(line.cast());
                _mm_prefetch::<_MM_HINT_T0>(line.wrapping_add(pitch::<NV>(v)).cast());
            }
            step_of(&mut even, &rows, halves, step);
            step_of(&mut odd, &rows, halves, step + 1);
        }
    }
    if n_steps % 2 == 1 {
        let step = n_steps - 1;
        // SAFETY: inside what the caller promises.
        unsafe { step_of(&mut even, &rows, halves, step) };
    }
    for (even, odd) in even.as_flattened_mut().iter_mut().zip(odd.as_flattened()) {
        *even = _mm512_add_epi32(*even, *odd);
    }
    even
}

/// Adds the products of the `step`-th four inner elements.
///
/// # Safety
/// Each of `rows` must be readable for its 4 bytes, `halves` for its lines.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
unsafe fn step_of<const R: usize, const NV: usize>(
    sums: &mut [[__m512i; NV]; R],
    rows: &[*const u8; R],
    halves: [*const Line; 2],
    step: usize,
) {
    // SAFETY: as the caller promises.
    unsafe {
        let mut rhs = [_mm512_setzero_si512(); NV];
        for (v, rhs) in rhs.iter_mut().enumerate() {
            *rhs = _mm512_load_si512(halves[v / 2].add(step * pitch::<NV>(v) + v % 2).cast());
        }
        for (r, sums) in sums.iter_mut().enumerate() {
            let bytes = rows[r].add(GROUP * step).cast::<i32>().read_unaligned();
            let bytes = _mm512_set1_epi32(bytes);
            for (sum, rhs) in sums.iter_mut().zip(rhs) {
                *sum = _mm512_dpbusd_epi32(*sum, bytes, rhs);
            }
        }
    }
}

/// Finishes the sums of rows from `row` on, two rows and half of the columns at a time.
///
/// Not inlined, so that the sums go through memory as a loop over rows needs them: that is faster than six copies.
///
/// # Safety
/// As [`super::Kernel::run`]; the rows must exist, and the panel have `NV` lines a step.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline(never)]
unsafe fn finish_rows<const NV: usize>(
    block: &Block<'_>,
    constants: &Constants,
    row: usize,
    sums: &[[__m512i; NV]],
) {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        if is_plain(block, constants) {
            finish_rows_as::<true, NV>(block, constants, row, sums);
        } else {
            finish_rows_as::<false, NV>(block, constants, row, sums);
        }
    }
}

/// [`finish_rows`] where the finish is or is not plain.
///
/// # Safety
/// As there; `PLAIN` must be [`is_plain`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
unsafe fn finish_rows_as<const PLAIN: bool, const NV: usize>(
    block: &Block<'_>,
    constants: &Constants,
    row: usize,
    sums: &[[__m512i; NV]],
) {
    for line in (0..NV).step_by(2) {
        let half = Half::<PLAIN>::new(block, constants, line);
        let next = (line + 1).min(NV - 1);
        for (i, rows) in sums.chunks(2).enumerate() {
            let [first, last] = [rows[0], rows[rows.len() - 1]];
            let sums = [first[line], first[next], last[line], last[next]];
            // SAFETY: the caller's promise; these rows and this line exist.
            unsafe { half.finish(row + 2 * i, rows.len(), sums) };
        }
    }
}
