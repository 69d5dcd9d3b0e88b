//! AVX2: products of 16-bit numbers, summed in pairs to 32 bits; and how 8 sums are scaled, for the kernels on 32 bytes.
//!
//! `vpmaddubsw` would multiply bytes, but it saturates sums of two products to 16 bits: 255 · 127 · 2 is 64,770. So
//! bytes are widened in place: the even and the odd ones of each 32-bit lane become two 16-bit pairs.
#![allow(unsafe_code, reason = "reads rows and panels through pointers, writes a part of a matrix")]

use std::arch::x86_64::*;

use super::{Block, Constants, Finish, LANES, Line, PANEL};

/// Rows that are multiplied at once: 4 × 2 sums, 4 widened weights and 2 bytes' copies fill 14 of 16 registers.
const MR: usize = 4;

/// The kernel, where this processor has its instructions.
pub(super) fn detect() -> Option<unsafe fn(&Block<'_>)> {
    is_x86_feature_detected!("avx2").then_some(run)
}

/// Multiplies `block`.
///
/// # Safety
/// As [`super::Kernel::run`], on a processor with AVX2.
#[target_feature(enable = "avx2")]
unsafe fn run(block: &Block<'_>) {
    let constants = &Constants::new(block);
    for line in 0..block.panel.n_lines() {
        let mut row = 0;
        while row < block.rows.n_rows {
            // SAFETY: the caller's promise is passed on; the rows exist.
            unsafe {
                match block.rows.n_rows - row {
                    1 => group_of::<1>(block, constants, row, line),
                    2 => group_of::<2>(block, constants, row, line),
                    3 => group_of::<3>(block, constants, row, line),
                    _ => group_of::<MR>(block, constants, row, line),
                }
            }
            row += MR;
        }
    }
}

/// `R` rows from `row` on, and the 16 columns of `line`.
///
/// # Safety
/// As [`run`]; rows `row..row + R` and the line must exist.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn group_of<const R: usize>(block: &Block<'_>, constants: &Constants, row: usize, line: usize) {
    let mut sums = [[_mm256_setzero_si256(); 2]; R];
    let low = _mm256_set1_epi32(0x00ff_00ff);
    let (lines, pitch) = block.panel.column(line);
    for step in 0..block.n_steps() {
        // SAFETY: `Block::check` saw that rows and panel have the bytes of `n_steps` steps.
        unsafe {
            let at: *const Line = lines.as_ptr().add(step * pitch);
            let mut even = [_mm256_setzero_si256(); 2];
            let mut odd = even;
            for half in 0..2 {
                let bytes = _mm256_load_si256(at.cast::<__m256i>().add(half));
                even[half] = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(bytes));
                odd[half] = _mm256_srai_epi16::<8>(bytes);
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                let lhs = block.rows.data.as_ptr().add((row + r) * block.rows.stride + 4 * step);
                let bytes = _mm256_set1_epi32(lhs.cast::<i32>().read_unaligned());
                let (lhs_even, lhs_odd) = (_mm256_and_si256(bytes, low), _mm256_srli_epi16::<8>(bytes));
                for half in 0..2 {
                    let even = _mm256_madd_epi16(lhs_even, even[half]);
                    let odd = _mm256_madd_epi16(lhs_odd, odd[half]);
                    sums[half] = _mm256_add_epi32(_mm256_add_epi32(sums[half], even), odd);
                }
            }
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        // SAFETY: the row and the line exist.
        unsafe { finish_line(block, constants, row + r, line, sums) };
    }
}

/// Finishes 16 sums of one row: adds their terms, scales them where that is asked for, and stores them.
///
/// # Safety
/// As [`super::Kernel::run`]; the row and the line must exist.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) unsafe fn finish_line(
    block: &Block<'_>,
    constants: &Constants,
    row: usize,
    line: usize,
    sums: &[__m256i; 2],
) {
    let first = line * LANES;
    let term = _mm256_set1_epi32(block.row_terms.map_or(0, |terms| terms[row]));
    let mut sums = *sums;
    for (half, sum) in sums.iter_mut().enumerate() {
        // SAFETY: 8 of the 64 terms.
        let terms = unsafe { _mm256_loadu_si256(constants.terms.as_ptr().add(first + 8 * half).cast()) };
        *sum = _mm256_add_epi32(_mm256_add_epi32(*sum, terms), term);
    }
    let (at, n_cols) = (row * block.out_stride + first, (block.panel.n_cols - first).min(LANES));
    // SAFETY: `n_cols` elements of the row from `at` on, which the caller promises.
    unsafe {
        match block.finish {
            Finish::Sums(out) => {
                let mut values = [0_i32; LANES];
                _mm256_storeu_si256(values.as_mut_ptr().cast(), sums[0]);
                _mm256_storeu_si256(values.as_mut_ptr().add(8).cast(), sums[1]);
                out.add(at).copy_from_nonoverlapping(values.as_ptr(), n_cols);
            }
            Finish::Bytes(out, _) => store_bytes(out.add(at), n_cols, to_bytes(&sums, constants, first)),
        }
    }
}

/// The bytes of 16 sums, which have 2^31 added, in the order that packing leaves.
#[target_feature(enable = "avx2")]
#[inline]
fn to_bytes(sums: &[__m256i; 2], constants: &Constants, first: usize) -> __m256i {
    let all = |bytes: &[u8; PANEL]| _mm256_set1_epi8(bytes[0].cast_signed());
    let [low, high] = [requantize(sums[0], constants, first), requantize(sums[1], constants, first + 8)];
    let wide = _mm256_adds_epi16(_mm256_packs_epi32(low, high), _mm256_set1_epi16(constants.zero_points[0]));
    let bytes = _mm256_max_epu8(_mm256_packus_epi16(wide, wide), all(&constants.mins));
    _mm256_xor_si256(_mm256_min_epu8(bytes, all(&constants.maxs)), all(&constants.flips))
}

/// 8 sums, which have 2^31 added, scaled: the arithmetic of [`Constants`].
#[target_feature(enable = "avx2")]
#[inline]
fn requantize(biased: __m256i, constants: &Constants, first: usize) -> __m256i {
    debug_assert!(first.is_multiple_of(8) && first < PANEL, "a panel has 64 columns");
    // SAFETY: every list has a number for each of 64 columns, or for each second one, aligned to a cache line.
    let load = |values: *const u32| unsafe { _mm256_load_si256(values.add(first).cast()) };
    let even = _mm256_mul_epu32(biased, load(constants.factors.as_ptr()));
    let even = _mm256_add_epi64(even, load_half(&constants.roundings, first));
    let odd = _mm256_mul_epu32(_mm256_srli_epi64::<32>(biased), load(constants.odd_factors.as_ptr()));
    let odd = _mm256_add_epi64(odd, load_half(&constants.odd_roundings, first));
    let high = _mm256_blend_epi32::<0b1010_1010>(_mm256_srli_epi64::<32>(even), odd);
    let signs = _mm256_and_si256(_mm256_srai_epi32::<31>(biased), load(constants.ones.as_ptr()));
    _mm256_srav_epi32(_mm256_add_epi32(high, signs), load(constants.shifts.as_ptr()))
}

/// The roundings of the four even, or odd, columns from `first` on.
#[target_feature(enable = "avx2")]
#[inline]
fn load_half(values: &[u64; PANEL / 2], first: usize) -> __m256i {
    debug_assert!(first.is_multiple_of(8) && first < PANEL, "a panel has 64 columns");
    // SAFETY: 4 of 32 numbers, aligned to 32 bytes as `first` is a multiple of 8.
    unsafe { _mm256_load_si256(values.as_ptr().add(first / 2).cast()) }
}

/// Stores the first `n_cols` of 16 bytes, put in order first.
///
/// # Safety
/// `out` must be valid for writes of `n_cols` bytes.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn store_bytes(out: *mut u8, n_cols: usize, bytes: __m256i) {
    // Packing works on 16 bytes at a time: it leaves columns 4i..4i + 4 of two vectors side by side.
    let order = _mm256_setr_epi32(0, 4, 1, 5, 0, 4, 1, 5);
    let bytes = _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(bytes, order));
    // SAFETY: the caller's promise.
    unsafe {
        if n_cols == LANES {
            _mm_storeu_si128(out.cast(), bytes);
        } else {
            let mut values = [0_u8; LANES];
            _mm_storeu_si128(values.as_mut_ptr().cast(), bytes);
            out.copy_from_nonoverlapping(values.as_ptr(), n_cols);
        }
    }
}
