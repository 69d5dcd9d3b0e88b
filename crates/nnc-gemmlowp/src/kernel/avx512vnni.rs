//! AVX-512 VNNI: up to 6 rows × 64 columns in registers, four products a lane and instruction.
#![allow(unsafe_code, reason = "reads rows and panels through pointers, writes a part of a matrix")]

use std::arch::x86_64::*;

use super::{Block, Constants, Finish, LANES, Line, PANEL};

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
    // SAFETY: `Block::check` saw that rows and panel have the bytes of `n_steps` steps.
    let sums = unsafe {
        if R <= 2 {
            sums_in_two::<R, NV>(lhs, block.rows.stride, block.panel.lines.as_ptr(), block.n_steps())
        } else {
            sums::<R, NV>(lhs, block.rows.stride, block.panel.lines.as_ptr(), block.n_steps())
        }
    };
    for (r, sums) in sums.iter().enumerate() {
        // SAFETY: the caller promises the block's rows and columns.
        unsafe { finish_row(block, constants, row + r, sums) };
    }
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

/// Finishes the sums of a row: adds their terms, scales them where that is asked for, and stores them.
///
/// # Safety
/// As [`super::Kernel::run`]; the row must exist, and the panel have `NV` lines a step.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
unsafe fn finish_row<const NV: usize>(
    block: &Block<'_>,
    constants: &Constants,
    row: usize,
    sums: &[__m512i; NV],
) {
    let mut all = [_mm512_setzero_si512(); 4];
    for (v, (all, &sum)) in all.iter_mut().zip(sums).enumerate() {
        *all = _mm512_add_epi32(sum, load(constants.terms.as_ptr().cast(), v));
        if let Some(terms) = block.row_terms {
            *all = _mm512_add_epi32(*all, _mm512_set1_epi32(terms[row]));
        }
    }
    let (at, n_cols) = (row * block.out_stride, block.panel.n_cols);
    // SAFETY: `n_cols` elements of the row from `at` on, which the caller promises.
    unsafe {
        match block.finish {
            Finish::Sums(out) => store_sums(out.add(at), n_cols, &all),
            Finish::Unsigned(out, _) => {
                let bytes = unsigned(scaled::<NV>(all, constants, [0, 1, 2, 3]), constants);
                store_bytes(out.add(at).cast(), n_cols, bytes);
            }
            Finish::Signed(out, _) => {
                let bytes = signed(scaled::<NV>(all, constants, [0, 1, 2, 3]), constants);
                store_bytes(out.add(at), n_cols, bytes);
            }
        }
    }
}

/// [`finish_row`] for two rows and the 32 columns of two lines.
///
/// The sums are those of the first row, then of the second. For lines that are not there, and for a row that is not there
/// (`rows` is 1 then), the sums may be anything.
///
/// # Safety
/// As [`super::Kernel::run`]; the rows and the first line must exist.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
pub(super) unsafe fn finish_rows_of_half(
    block: &Block<'_>,
    constants: &Constants,
    row: usize,
    n_rows: usize,
    line: usize,
    sums: [__m512i; 4],
) {
    let mut all = sums;
    for (i, sum) in all.iter_mut().enumerate() {
        *sum = _mm512_add_epi32(*sum, load(constants.terms.as_ptr().cast(), line + i % 2));
    }
    if let Some(terms) = block.row_terms {
        for (i, sum) in all.iter_mut().enumerate() {
            *sum = _mm512_add_epi32(*sum, _mm512_set1_epi32(terms[row + (i / 2).min(n_rows - 1)]));
        }
    }
    let (at, stride) = (row * block.out_stride + line * LANES, block.out_stride);
    let n_cols = (block.panel.n_cols - line * LANES).min(2 * LANES);
    let lines = [line, line + 1, line, line + 1];
    // SAFETY: `n_cols` elements of `n_rows` rows from `at` on, which the caller promises.
    unsafe {
        match block.finish {
            Finish::Sums(out) => {
                store_sums(out.add(at), n_cols, &all[..2]);
                if n_rows == 2 {
                    store_sums(out.add(at + stride), n_cols, &all[2..]);
                }
            }
            Finish::Unsigned(out, _) => {
                let bytes = unsigned(scaled::<4>(all, constants, lines), constants);
                store_bytes_of_half(out.add(at).cast(), stride, n_rows, n_cols, bytes);
            }
            Finish::Signed(out, _) => {
                let bytes = signed(scaled::<4>(all, constants, lines), constants);
                store_bytes_of_half(out.add(at), stride, n_rows, n_cols, bytes);
            }
        }
    }
}

/// 64 unsigned bytes of two times 32 numbers, within the bounds and in order.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
fn unsigned([low, high]: [__m512i; 2], constants: &Constants) -> __m512i {
    let bytes = _mm512_packus_epi16(low, high);
    let bytes = _mm512_max_epu8(bytes, load(constants.mins.as_ptr().cast(), 0));
    in_order(_mm512_min_epu8(bytes, load(constants.maxs.as_ptr().cast(), 0)))
}

/// 64 signed bytes of two times 32 numbers, within the bounds and in order.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
fn signed([low, high]: [__m512i; 2], constants: &Constants) -> __m512i {
    let bytes = _mm512_packs_epi16(low, high);
    let bytes = _mm512_max_epi8(bytes, load(constants.mins.as_ptr().cast(), 0));
    in_order(_mm512_min_epi8(bytes, load(constants.maxs.as_ptr().cast(), 0)))
}

/// Bytes in the order of their columns. Packing works on 16 bytes at a time: it leaves columns 4i..4i + 4 of four vectors
/// side by side.
#[target_feature(enable = "avx512f")]
#[inline]
fn in_order(bytes: __m512i) -> __m512i {
    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    _mm512_permutexvar_epi32(order, bytes)
}

/// The `v`-th 16 of 64 constants.
#[target_feature(enable = "avx512f")]
#[inline]
fn load(values: *const u32, v: usize) -> __m512i {
    debug_assert!(v < PANEL / LANES, "a panel has four vectors");
    // SAFETY: every list of constants has 64, aligned to a cache line, and there are at most four lines a step.
    unsafe { _mm512_load_si512(values.add(v * LANES).cast()) }
}

/// Stores the first `n_cols` columns of sums.
///
/// # Safety
/// `out` must be valid for writes of `n_cols` sums.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn store_sums(out: *mut i32, n_cols: usize, sums: &[__m512i]) {
    for (v, &sum) in sums.iter().enumerate() {
        let cols = n_cols.saturating_sub(v * LANES).min(LANES);
        let mask = (1_u32 << cols).wrapping_sub(1) as u16;
        // SAFETY: the caller's promise; masked lanes are not written.
        unsafe { _mm512_mask_storeu_epi32(out.wrapping_add(v * LANES), mask, sum) };
    }
}

/// The first `NV` of four vectors of sums, which have 2^31 added, scaled and with the zero point added, in 16 bits, in the
/// order that packing leaves; `lines` says which columns they are of.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
fn scaled<const NV: usize>(mut sums: [__m512i; 4], constants: &Constants, lines: [usize; 4]) -> [__m512i; 2] {
    for (sum, line) in sums.iter_mut().zip(lines).take(NV) {
        *sum = requantize(*sum, constants, line);
    }
    let zero_points = load(constants.zero_points.as_ptr().cast(), 0);
    [
        _mm512_adds_epi16(_mm512_packs_epi32(sums[0], sums[1]), zero_points),
        _mm512_adds_epi16(_mm512_packs_epi32(sums[2], sums[3]), zero_points),
    ]
}

/// 16 sums, which have 2^31 added, scaled: the arithmetic of [`Constants`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
fn requantize(biased: __m512i, constants: &Constants, line: usize) -> __m512i {
    let even = _mm512_mul_epu32(biased, load(constants.factors.as_ptr(), line));
    let even = _mm512_add_epi64(even, load_half(&constants.roundings, line));
    let odd = _mm512_mul_epu32(_mm512_srli_epi64::<32>(biased), load(constants.odd_factors.as_ptr(), line));
    let odd = _mm512_add_epi64(odd, load_half(&constants.odd_roundings, line));
    let high = _mm512_mask_shuffle_epi32::<0b11_11_01_01>(odd, 0x5555, even);
    let signs = _mm512_srlv_epi32(biased, load(constants.sign_shifts.as_ptr(), line));
    _mm512_srav_epi32(_mm512_add_epi32(high, signs), load(constants.shifts.as_ptr(), line))
}

/// The roundings of the eight even, or odd, columns of a line.
#[target_feature(enable = "avx512f")]
#[inline]
fn load_half(values: &[u64; PANEL / 2], line: usize) -> __m512i {
    debug_assert!(line < PANEL / LANES, "a panel has four lines a step");
    // SAFETY: 8 of 32 numbers, aligned to a cache line.
    unsafe { _mm512_load_si512(values.as_ptr().add(line * LANES / 2).cast()) }
}

/// Stores the first `n_cols` of 64 bytes.
///
/// # Safety
/// `out` must be valid for writes of `n_cols` bytes.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
unsafe fn store_bytes(out: *mut i8, n_cols: usize, bytes: __m512i) {
    // SAFETY: the caller's promise; masked lanes are not written.
    unsafe {
        if n_cols == PANEL {
            _mm512_storeu_si512(out.cast(), bytes);
        } else {
            _mm512_mask_storeu_epi8(out, (1_u64 << n_cols) - 1, bytes);
        }
    }
}

/// Stores the first `n_cols` of 32 bytes to each of `n_rows` rows, one or two.
///
/// # Safety
/// `out` must be valid for writes of so many bytes in so many rows.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
unsafe fn store_bytes_of_half(out: *mut i8, stride: usize, n_rows: usize, n_cols: usize, bytes: __m512i) {
    let mask = u32::MAX >> (32 - n_cols);
    // SAFETY: the caller's promise; masked lanes are not written.
    unsafe {
        _mm256_mask_storeu_epi8(out, mask, _mm512_castsi512_si256(bytes));
        if n_rows == 2 {
            _mm256_mask_storeu_epi8(out.add(stride), mask, _mm512_extracti64x4_epi64::<1>(bytes));
        }
    }
}
