//! AVX-512 VNNI: up to 6 rows × 64 columns in registers, four products a lane and instruction.
#![allow(unsafe_code, reason = "reads rows and panels through pointers, writes a part of a matrix")]

use std::arch::x86_64::*;

use super::{Block, Finish, LANES, Line, PANEL, Requant};

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
        match block.panel.lines_per_step {
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
    let n_rows = block.rows.n_rows;
    let n_groups = n_rows.div_ceil(MR);
    let mut row = 0;
    for group in 0..n_groups {
        // Groups of even size: a group of one row would wait for its own sums.
        let rows = (n_rows - row).div_ceil(n_groups - group);
        // SAFETY: the caller's promise is passed on; rows `row..row + rows` exist.
        unsafe {
            match rows {
                1 => group_of::<1, NV>(block, row),
                2 => group_of::<2, NV>(block, row),
                3 => group_of::<3, NV>(block, row),
                4 => group_of::<4, NV>(block, row),
                5 => group_of::<5, NV>(block, row),
                _ => group_of::<6, NV>(block, row),
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
unsafe fn group_of<const R: usize, const NV: usize>(block: &Block<'_>, row: usize) {
    // SAFETY: the row exists, so its first byte lies in the slice.
    let lhs = unsafe { block.rows.data.as_ptr().add(row * block.rows.stride) };
    // SAFETY: `Block::check` saw that rows and panel have the bytes of `n_steps` steps.
    let sums = unsafe {
        if R <= 2 {
            sums_in_two::<R, NV>(lhs, block.rows.stride, block.panel.lines.as_ptr(), block.n_steps())
        } else {
            sums::<R, NV>(lhs, block.rows.stride, block.panel.lines.as_ptr(), block.n_steps())
        }
    };
    // SAFETY: the caller promises the block's rows and columns.
    unsafe { finish(block, row, &sums) };
}

/// The sums of `R` rows and `NV` × 16 columns.
///
/// # Safety
/// `lhs` must be readable for `4 · n_steps` bytes in each of `R` rows `stride` apart, `panel` for `NV · n_steps` lines.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
unsafe fn sums<const R: usize, const NV: usize>(
    lhs: *const u8,
    stride: usize,
    panel: *const Line,
    n_steps: usize,
) -> [[__m512i; NV]; R] {
    let mut sums = [[_mm512_setzero_si512(); NV]; R];
    for step in 0..n_steps {
        // SAFETY: inside what the caller promises.
        unsafe {
            step_of(&mut sums, lhs.add(4 * step), stride, panel.add(NV * step));
        }
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
    panel: *const Line,
    n_steps: usize,
) -> [[__m512i; NV]; R] {
    /// How far ahead lines are fetched: the panel streams from memory and is used once.
    const AHEAD: usize = 64;
    let mut even = [[_mm512_setzero_si512(); NV]; R];
    let mut odd = even;
    for step in (0..n_steps.saturating_sub(1)).step_by(2) {
        // SAFETY: inside what the caller promises; a prefetch may go anywhere.
        unsafe {
            for line in 0..2 * NV {
                _mm_prefetch::<_MM_HINT_T0>(panel.wrapping_add(NV * step + AHEAD + line).cast());
            }
            step_of(&mut even, lhs.add(4 * step), stride, panel.add(NV * step));
            step_of(&mut odd, lhs.add(4 * step + 4), stride, panel.add(NV * step + NV));
        }
    }
    if n_steps % 2 == 1 {
        let step = n_steps - 1;
        // SAFETY: inside what the caller promises.
        unsafe { step_of(&mut even, lhs.add(4 * step), stride, panel.add(NV * step)) };
    }
    for (even, odd) in even.as_flattened_mut().iter_mut().zip(odd.as_flattened()) {
        *even = _mm512_add_epi32(*even, *odd);
    }
    even
}

/// Adds the products of four inner elements.
///
/// # Safety
/// `lhs` must be readable for 4 bytes in each of `R` rows `stride` apart, `panel` for `NV` lines.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
unsafe fn step_of<const R: usize, const NV: usize>(
    sums: &mut [[__m512i; NV]; R],
    lhs: *const u8,
    stride: usize,
    panel: *const Line,
) {
    // SAFETY: as the caller promises.
    unsafe {
        let mut rhs = [_mm512_setzero_si512(); NV];
        for (v, rhs) in rhs.iter_mut().enumerate() {
            *rhs = _mm512_load_si512(panel.add(v).cast());
        }
        for (r, sums) in sums.iter_mut().enumerate() {
            let bytes = _mm512_set1_epi32(lhs.add(r * stride).cast::<i32>().read_unaligned());
            for (sum, rhs) in sums.iter_mut().zip(rhs) {
                *sum = _mm512_dpbusd_epi32(*sum, bytes, rhs);
            }
        }
    }
}

/// Finishes the sums of `R` rows from `row` on.
///
/// # Safety
/// As [`group_of`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
unsafe fn finish<const R: usize, const NV: usize>(block: &Block<'_>, row: usize, sums: &[[__m512i; NV]; R]) {
    for (r, sums) in sums.iter().enumerate() {
        // SAFETY: row `row + r` exists.
        unsafe { finish_row(block, row + r, sums) };
    }
}

/// Finishes the sums of one row: adds their terms, scales them where that is asked for, and stores them.
///
/// # Safety
/// As [`super::Kernel::run`]; the row must exist, and the panel have at most `NV` · 16 columns.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
pub(super) unsafe fn finish_row<const NV: usize>(block: &Block<'_>, row: usize, sums: &[__m512i; NV]) {
    let term = _mm512_set1_epi32(block.row_terms.map_or(0, |terms| terms[row]));
    let mut sums = *sums;
    for (v, sum) in sums.iter_mut().enumerate() {
        // SAFETY: 16 of the 64 terms.
        let terms = unsafe { _mm512_loadu_si512(block.col_terms.as_ptr().add(v * LANES).cast()) };
        *sum = _mm512_add_epi32(_mm512_add_epi32(*sum, terms), term);
    }
    let (at, n_cols) = (row * block.out_stride, block.panel.n_cols);
    // SAFETY: `n_cols` elements of the row from `at` on, which the caller promises.
    unsafe {
        match block.finish {
            Finish::Sums(out) => {
                for (v, sum) in sums.into_iter().enumerate() {
                    let cols = n_cols.saturating_sub(v * LANES).min(LANES);
                    let mask = (1_u32 << cols).wrapping_sub(1) as u16;
                    _mm512_mask_storeu_epi32(out.add(at).wrapping_add(v * LANES), mask, sum);
                }
            }
            Finish::Unsigned(out, requant) => {
                let wide = to_16_bits(&sums, requant);
                let bytes = _mm512_packus_epi16(wide[0], wide[1]);
                let bytes = _mm512_max_epu8(bytes, _mm512_set1_epi8(requant.min as i8));
                let bytes = _mm512_min_epu8(bytes, _mm512_set1_epi8(requant.max as i8));
                store_bytes(out.add(at).cast(), n_cols, bytes);
            }
            Finish::Signed(out, requant) => {
                let wide = to_16_bits(&sums, requant);
                let bytes = _mm512_packs_epi16(wide[0], wide[1]);
                let bytes = _mm512_max_epi8(bytes, _mm512_set1_epi8(requant.min as i8));
                let bytes = _mm512_min_epi8(bytes, _mm512_set1_epi8(requant.max as i8));
                store_bytes(out.add(at), n_cols, bytes);
            }
        }
    }
}

/// Scaled sums with the zero point added, in 16 bits, in the order that packing leaves.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
fn to_16_bits<const NV: usize>(sums: &[__m512i; NV], requant: &Requant) -> [__m512i; 2] {
    let mut scaled = [_mm512_setzero_si512(); 4];
    for (v, (scaled, sum)) in scaled.iter_mut().zip(sums).enumerate() {
        *scaled = requantize(*sum, requant, v * LANES);
    }
    let zero_point = _mm512_set1_epi16(requant.zero_point);
    [
        _mm512_adds_epi16(_mm512_packs_epi32(scaled[0], scaled[1]), zero_point),
        _mm512_adds_epi16(_mm512_packs_epi32(scaled[2], scaled[3]), zero_point),
    ]
}

/// 16 sums scaled: the arithmetic of [`Requant`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
fn requantize(sums: __m512i, requant: &Requant, first: usize) -> __m512i {
    const { assert!(PANEL == 64) };
    let load = |values: *const u32| {
        // SAFETY: `first` is 0, 16, 32 or 48 of 64 values.
        unsafe { _mm512_load_si512(values.add(first).cast()) }
    };
    let biased = _mm512_xor_si512(sums, _mm512_set1_epi32(i32::MIN));
    let half = _mm512_set1_epi64(1 << 31);
    let even = _mm512_add_epi64(_mm512_mul_epu32(biased, load(requant.factors.as_ptr())), half);
    let odd = _mm512_mul_epu32(_mm512_srli_epi64::<32>(biased), load(requant.odd_factors.as_ptr()));
    let odd = _mm512_add_epi64(odd, half);
    let high = _mm512_mask_shuffle_epi32::<0b11_11_01_01>(odd, 0x5555, even);
    let signs = _mm512_srlv_epi32(biased, load(requant.sign_shifts.as_ptr()));
    let rounded = _mm512_add_epi32(_mm512_add_epi32(high, load(requant.offsets.as_ptr().cast())), signs);
    _mm512_srav_epi32(rounded, load(requant.shifts.as_ptr()))
}

/// Stores the first `n_cols` of 64 bytes, put in order first.
///
/// # Safety
/// `out` must be valid for writes of `n_cols` bytes.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
unsafe fn store_bytes(out: *mut i8, n_cols: usize, bytes: __m512i) {
    // Packing works on 16 bytes at a time: it leaves columns 4i..4i + 4 of four vectors side by side.
    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    let bytes = _mm512_permutexvar_epi32(order, bytes);
    // SAFETY: the caller's promise; masked lanes are not written.
    unsafe {
        if n_cols == 64 {
            _mm512_storeu_si512(out.cast(), bytes);
        } else {
            _mm512_mask_storeu_epi8(out, (1_u64 << n_cols) - 1, bytes);
        }
    }
}
