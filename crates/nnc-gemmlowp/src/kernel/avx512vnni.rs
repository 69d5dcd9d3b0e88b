//! AVX-512 VNNI: up to 6 rows × 64 columns in registers, four products a lane and instruction.
#![allow(unsafe_code, reason = "reads rows and panels through pointers, writes a part of a matrix")]

use std::arch::asm;
use std::arch::x86_64::*;
use std::mem::offset_of;

use super::{Block, Constants, Finish, GROUP, LANES, Line, PANEL};

/// Rows that are multiplied at once: 6 × 4 sums, 4 columns' bytes and one row's fill 29 of 32 registers.
const MR: usize = 6;

/// The lines of a panel.
const LINES: [usize; 4] = [0, 1, 2, 3];

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
        *terms = load(constants.terms.as_ptr().cast(), v);
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

/// Finishes the sums of rows from `row` on: adds the rows' terms, scales them where that is asked for, and stores them.
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
    let (stride, n_cols) = (block.out_stride, block.panel.n_cols);
    let row_terms = block.row_terms.map(|terms| &terms[row..row + sums.len()]);
    // SAFETY: `n_cols` elements of each row, which the caller promises.
    unsafe {
        match block.finish {
            Finish::Sums(out) => {
                for (r, sums) in sums.iter().enumerate() {
                    store_sums(out.add((row + r) * stride), n_cols, &with_term(sums, own(row_terms, r)));
                }
            }
            Finish::Unsigned(out, _) => {
                for (r, sums) in sums.iter().enumerate() {
                    let bytes =
                        unsigned(scaled(with_term(sums, own(row_terms, r)), constants, LINES), constants);
                    store_bytes(out.add((row + r) * stride).cast(), n_cols, bytes);
                }
            }
            Finish::Signed(out, _) => {
                for (r, sums) in sums.iter().enumerate() {
                    let bytes =
                        signed(scaled(with_term(sums, own(row_terms, r)), constants, LINES), constants);
                    store_bytes(out.add((row + r) * stride), n_cols, bytes);
                }
            }
        }
    }
}

/// The own term of the `r`-th row.
fn own(row_terms: Option<&[i32]>, r: usize) -> Option<i32> {
    row_terms.map(|terms| terms[r])
}

/// The sums of a row with its own term.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
fn with_term<const NV: usize>(sums: &[__m512i; NV], own: Option<i32>) -> [__m512i; 4] {
    let mut all = [_mm512_setzero_si512(); 4];
    all[..NV].copy_from_slice(sums);
    if let Some(own) = own {
        let own = _mm512_set1_epi32(own);
        for all in &mut all {
            *all = _mm512_add_epi32(*all, own);
        }
    }
    all
}

/// [`finish_rows`] for two rows and the 32 columns of two lines.
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
    if let Some(terms) = block.row_terms {
        for (i, sum) in all.iter_mut().enumerate() {
            *sum = _mm512_add_epi32(*sum, _mm512_set1_epi32(terms[row + (i / 2).min(n_rows - 1)]));
        }
    }
    let (at, stride) = (row * block.out_stride + line * LANES, block.out_stride);
    let n_cols = (block.panel.n_cols - line * LANES).min(2 * LANES);
    // Lines of the whole panel, whether it has them or not: there are constants for all.
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
                let bytes = unsigned(scaled(all, constants, lines), constants);
                store_bytes_of_half(out.add(at).cast(), stride, n_rows, n_cols, bytes);
            }
            Finish::Signed(out, _) => {
                let bytes = signed(scaled(all, constants, lines), constants);
                store_bytes_of_half(out.add(at), stride, n_rows, n_cols, bytes);
            }
        }
    }
}

/// 64 unsigned bytes of two times 32 numbers, within the bounds and in order.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
fn unsigned([low, high]: [__m512i; 2], constants: &Constants) -> __m512i {
    let mut bytes = _mm512_packus_epi16(low, high);
    if constants.is_bounded {
        bytes = _mm512_max_epu8(bytes, load(constants.mins.as_ptr().cast(), 0));
        bytes = _mm512_min_epu8(bytes, load(constants.maxs.as_ptr().cast(), 0));
    }
    in_order(bytes)
}

/// 64 signed bytes of two times 32 numbers, within the bounds and in order.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
fn signed([low, high]: [__m512i; 2], constants: &Constants) -> __m512i {
    let mut bytes = _mm512_packs_epi16(low, high);
    if constants.is_bounded {
        bytes = _mm512_max_epi8(bytes, load(constants.mins.as_ptr().cast(), 0));
        bytes = _mm512_min_epi8(bytes, load(constants.maxs.as_ptr().cast(), 0));
    }
    in_order(bytes)
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
        let mask = u16::MAX.unbounded_shr(u32::try_from(LANES - cols).expect("at most 16"));
        // SAFETY: the caller's promise; masked lanes are not written.
        unsafe { _mm512_mask_storeu_epi32(out.wrapping_add(v * LANES), mask, sum) };
    }
}

/// Four vectors of sums, which have 2^31 added, scaled and with the zero point added, in 16 bits, in the order that packing
/// leaves; `lines` says which columns they are of.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
fn scaled(sums: [__m512i; 4], constants: &Constants, lines: [usize; 4]) -> [__m512i; 2] {
    let scaled = requantize(sums, constants, lines);
    let zero_points = load(constants.zero_points.as_ptr().cast(), 0);
    [
        _mm512_adds_epi16(_mm512_packs_epi32(scaled[0], scaled[1]), zero_points),
        _mm512_adds_epi16(_mm512_packs_epi32(scaled[2], scaled[3]), zero_points),
    ]
}

/// An instruction of [`requantize`] for each of the four vectors.
macro_rules! for_each_vector {
    ($($instruction:literal),*) => {
        concat!($($instruction, "\n"),*)
    };
}

/// Four times 16 sums, which have 2^31 added, scaled: the arithmetic of [`Constants`].
///
/// In assembly, as the compiler turns the masked shuffle and the masked sum into instructions that take 1.5 times as long; and
/// step by step for all four, so that no instruction waits for the one before.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
fn requantize(biased: [__m512i; 4], constants: &Constants, lines: [usize; 4]) -> [__m512i; 4] {
    debug_assert!(lines.iter().all(|&line| line < PANEL / LANES), "a panel has four lines a step");
    let place =
        |line: usize| std::ptr::from_ref(constants).cast::<u8>().wrapping_add(line * size_of::<Line>());
    let mut scaled = [_mm512_setzero_si512(); 4];
    // SAFETY: every list of constants has a cache line for each of the four lines; nothing is written but registers.
    unsafe {
        asm!(
            for_each_vector!(
                "vpmovd2m k1, {x0}", "vpmovd2m k2, {x1}", "vpmovd2m k3, {x2}", "vpmovd2m k4, {x3}",
                "vpsrlq {y0}, {x0}, 32", "vpsrlq {y1}, {x1}, 32", "vpsrlq {y2}, {x2}, 32", "vpsrlq {y3}, {x3}, 32",
                "vpmuludq {x0}, {x0}, [{c0} + {factors}]", "vpmuludq {x1}, {x1}, [{c1} + {factors}]",
                "vpmuludq {x2}, {x2}, [{c2} + {factors}]", "vpmuludq {x3}, {x3}, [{c3} + {factors}]",
                "vpmuludq {y0}, {y0}, [{c0} + {odd_factors}]", "vpmuludq {y1}, {y1}, [{c1} + {odd_factors}]",
                "vpmuludq {y2}, {y2}, [{c2} + {odd_factors}]", "vpmuludq {y3}, {y3}, [{c3} + {odd_factors}]",
                "vpaddq {x0}, {x0}, [{c0} + {roundings}]", "vpaddq {x1}, {x1}, [{c1} + {roundings}]",
                "vpaddq {x2}, {x2}, [{c2} + {roundings}]", "vpaddq {x3}, {x3}, [{c3} + {roundings}]",
                "vpaddq {y0}, {y0}, [{c0} + {odd_roundings}]", "vpaddq {y1}, {y1}, [{c1} + {odd_roundings}]",
                "vpaddq {y2}, {y2}, [{c2} + {odd_roundings}]", "vpaddq {y3}, {y3}, [{c3} + {odd_roundings}]",
                // The high halves of even columns' products beside those of odd ones.
                "vpshufd {y0}{{k5}}, {x0}, 0xF5", "vpshufd {y1}{{k5}}, {x1}, 0xF5",
                "vpshufd {y2}{{k5}}, {x2}, 0xF5", "vpshufd {y3}{{k5}}, {x3}, 0xF5",
                "vpaddd {y0}{{k1}}, {y0}, [{c0} + {ones}]", "vpaddd {y1}{{k2}}, {y1}, [{c1} + {ones}]",
                "vpaddd {y2}{{k3}}, {y2}, [{c2} + {ones}]", "vpaddd {y3}{{k4}}, {y3}, [{c3} + {ones}]",
                "vpsravd {y0}, {y0}, [{c0} + {shifts}]", "vpsravd {y1}, {y1}, [{c1} + {shifts}]",
                "vpsravd {y2}, {y2}, [{c2} + {shifts}]", "vpsravd {y3}, {y3}, [{c3} + {shifts}]"
            ),
            x0 = inout(zmm_reg) biased[0] => _,
            x1 = inout(zmm_reg) biased[1] => _,
            x2 = inout(zmm_reg) biased[2] => _,
            x3 = inout(zmm_reg) biased[3] => _,
            y0 = out(zmm_reg) scaled[0],
            y1 = out(zmm_reg) scaled[1],
            y2 = out(zmm_reg) scaled[2],
            y3 = out(zmm_reg) scaled[3],
            c0 = in(reg) place(lines[0]),
            c1 = in(reg) place(lines[1]),
            c2 = in(reg) place(lines[2]),
            c3 = in(reg) place(lines[3]),
            factors = const offset_of!(Constants, factors),
            odd_factors = const offset_of!(Constants, odd_factors),
            roundings = const offset_of!(Constants, roundings),
            odd_roundings = const offset_of!(Constants, odd_roundings),
            ones = const offset_of!(Constants, ones),
            shifts = const offset_of!(Constants, shifts),
            in("k5") 0x5555_u16,
            out("k1") _,
            out("k2") _,
            out("k3") _,
            out("k4") _,
            options(pure, readonly, nostack),
        );
    }
    scaled
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
