//! AVX-512: sums of half a panel's columns become results, two rows at a time.
//!
//! What the sums are scaled with stays in registers from row to row: where it is read for each row, its loads take as long as
//! the arithmetic, and AMX needs the units that load for its tiles.
#![allow(unsafe_code, reason = "assembly; writes a part of a matrix")]

use std::arch::asm;
use std::arch::x86_64::*;
use std::hint::unreachable_unchecked;

use super::{Block, Constants, Finish, LANES};

/// 32 columns of a block: two lines, the second of which need not be there.
///
/// `PLAIN` where [`is_plain`] says so: what is not there needs no branch for each row.
pub(super) struct Half<'a, const PLAIN: bool> {
    block: &'a Block<'a>,
    /// The first of the two lines.
    line: usize,
    n_cols: usize,
    scaling: Scaling<PLAIN>,
}

/// Whether sums only become bytes, without bounds or terms of rows.
pub(super) fn is_plain(block: &Block<'_>, constants: &Constants) -> bool {
    matches!(block.finish, Finish::Bytes(..)) && block.row_terms.is_none() && !constants.is_bounded
}

impl<'a, const PLAIN: bool> Half<'a, PLAIN> {
    /// The columns from `line` on, which must exist.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    #[inline]
    pub(super) fn new(block: &'a Block<'a>, constants: &Constants, line: usize) -> Self {
        let n_cols = (block.panel.n_cols - line * LANES).min(2 * LANES);
        Self { block, line, n_cols, scaling: Scaling::new(constants, line) }
    }

    /// Finishes the sums of one or two rows from `row` on: adds the rows' terms, scales them where that is asked for, and
    /// stores them.
    ///
    /// The sums are those of the first row, then of the second. For lines and a row that are not there they may be anything.
    ///
    /// # Safety
    /// As [`super::Kernel::run`]; the rows must exist.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    #[inline]
    pub(super) unsafe fn finish(&self, row: usize, n_rows: usize, sums: [__m512i; 4]) {
        let (block, n_cols, mut all) = (self.block, self.n_cols, sums);
        let (at, stride) = (row * block.out_stride + self.line * LANES, block.out_stride);
        if !PLAIN && let Some(terms) = block.row_terms {
            for (i, sum) in all.iter_mut().enumerate() {
                *sum = _mm512_add_epi32(*sum, _mm512_set1_epi32(terms[row + (i / 2).min(n_rows - 1)]));
            }
        }
        // SAFETY: `n_cols` elements of `n_rows` rows from `at` on, which the caller promises.
        unsafe {
            match block.finish {
                Finish::Sums(_) if PLAIN => unreachable_unchecked(),
                Finish::Sums(out) => {
                    store_sums(out.add(at), n_cols, &all[..2]);
                    if n_rows == 2 {
                        store_sums(out.add(at + stride), n_cols, &all[2..]);
                    }
                }
                Finish::Bytes(out, _) => {
                    let (mask, bytes) = (u32::MAX >> (32 - n_cols), self.scaling.bytes(all));
                    _mm256_mask_storeu_epi8(out.add(at).cast(), mask, _mm512_castsi512_si256(bytes));
                    if n_rows == 2 {
                        let second = _mm512_extracti64x4_epi64::<1>(bytes);
                        _mm256_mask_storeu_epi8(out.add(at + stride).cast(), mask, second);
                    }
                }
            }
        }
    }
}

/// The [`Constants`] of two lines.
struct Scaling<const PLAIN: bool> {
    factors: [__m512i; 2],
    odd_factors: [__m512i; 2],
    roundings: [__m512i; 2],
    odd_roundings: [__m512i; 2],
    ones: [__m512i; 2],
    shifts: [__m512i; 2],
    zero_points: __m512i,
    bounds: Option<[__m512i; 2]>,
    flips: __m512i,
}

impl<const PLAIN: bool> Scaling<PLAIN> {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    #[inline]
    fn new(constants: &Constants, line: usize) -> Self {
        Self {
            factors: [load(&constants.factors, line), load(&constants.factors, line + 1)],
            odd_factors: [load(&constants.odd_factors, line), load(&constants.odd_factors, line + 1)],
            roundings: [load(&constants.roundings, line), load(&constants.roundings, line + 1)],
            odd_roundings: [load(&constants.odd_roundings, line), load(&constants.odd_roundings, line + 1)],
            ones: [load(&constants.ones, line), load(&constants.ones, line + 1)],
            shifts: [load(&constants.shifts, line), load(&constants.shifts, line + 1)],
            zero_points: load(&constants.zero_points, 0),
            bounds: constants.is_bounded.then(|| [load(&constants.mins, 0), load(&constants.maxs, 0)]),
            flips: load(&constants.flips, 0),
        }
    }

    /// The bytes of two times 32 sums, which have 2^31 added.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    #[inline]
    fn bytes(&self, sums: [__m512i; 4]) -> __m512i {
        // Packing works on 16 bytes at a time: it leaves columns 4i..4i + 4 of four vectors side by side.
        let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        let scaled = self.requantize(sums);
        let first = _mm512_adds_epi16(_mm512_packs_epi32(scaled[0], scaled[1]), self.zero_points);
        let second = _mm512_adds_epi16(_mm512_packs_epi32(scaled[2], scaled[3]), self.zero_points);
        let mut bytes = _mm512_packus_epi16(first, second);
        if !PLAIN && let Some([min, max]) = self.bounds {
            bytes = _mm512_min_epu8(_mm512_max_epu8(bytes, min), max);
        }
        _mm512_permutexvar_epi32(order, _mm512_xor_si512(bytes, self.flips))
    }

    /// Two times 32 sums, which have 2^31 added, scaled: the arithmetic of [`Constants`].
    ///
    /// In assembly, as the compiler turns the masked shuffle and the masked sum into instructions that take 1.5 times as long;
    /// and step by step for all four, so that no instruction waits for the one before.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    #[inline]
    fn requantize(&self, biased: [__m512i; 4]) -> [__m512i; 4] {
        let mut scaled = [_mm512_setzero_si512(); 4];
        // SAFETY: nothing is read or written but registers.
        unsafe {
            asm!(
                "vpmovd2m k1, {x0}", "vpmovd2m k2, {x1}", "vpmovd2m k3, {x2}", "vpmovd2m k4, {x3}",
                "vpsrlq {y0}, {x0}, 32", "vpsrlq {y1}, {x1}, 32", "vpsrlq {y2}, {x2}, 32", "vpsrlq {y3}, {x3}, 32",
                "vpmuludq {x0}, {x0}, {f0}", "vpmuludq {x1}, {x1}, {f1}",
                "vpmuludq {x2}, {x2}, {f0}", "vpmuludq {x3}, {x3}, {f1}",
                "vpmuludq {y0}, {y0}, {g0}", "vpmuludq {y1}, {y1}, {g1}",
                "vpmuludq {y2}, {y2}, {g0}", "vpmuludq {y3}, {y3}, {g1}",
                "vpaddq {x0}, {x0}, {r0}", "vpaddq {x1}, {x1}, {r1}", "vpaddq {x2}, {x2}, {r0}", "vpaddq {x3}, {x3}, {r1}",
                "vpaddq {y0}, {y0}, {s0}", "vpaddq {y1}, {y1}, {s1}", "vpaddq {y2}, {y2}, {s0}", "vpaddq {y3}, {y3}, {s1}",
                // The high halves of even columns' products beside those of odd ones.
                "vpshufd {y0}{{k5}}, {x0}, 0xF5", "vpshufd {y1}{{k5}}, {x1}, 0xF5",
                "vpshufd {y2}{{k5}}, {x2}, 0xF5", "vpshufd {y3}{{k5}}, {x3}, 0xF5",
                "vpaddd {y0}{{k1}}, {y0}, {o0}", "vpaddd {y1}{{k2}}, {y1}, {o1}",
                "vpaddd {y2}{{k3}}, {y2}, {o0}", "vpaddd {y3}{{k4}}, {y3}, {o1}",
                "vpsravd {y0}, {y0}, {e0}", "vpsravd {y1}, {y1}, {e1}", "vpsravd {y2}, {y2}, {e0}", "vpsravd {y3}, {y3}, {e1}",
                x0 = inout(zmm_reg) biased[0] => _,
                x1 = inout(zmm_reg) biased[1] => _,
                x2 = inout(zmm_reg) biased[2] => _,
                x3 = inout(zmm_reg) biased[3] => _,
                y0 = out(zmm_reg) scaled[0],
                y1 = out(zmm_reg) scaled[1],
                y2 = out(zmm_reg) scaled[2],
                y3 = out(zmm_reg) scaled[3],
                f0 = in(zmm_reg) self.factors[0],
                f1 = in(zmm_reg) self.factors[1],
                g0 = in(zmm_reg) self.odd_factors[0],
                g1 = in(zmm_reg) self.odd_factors[1],
                r0 = in(zmm_reg) self.roundings[0],
                r1 = in(zmm_reg) self.roundings[1],
                s0 = in(zmm_reg) self.odd_roundings[0],
                s1 = in(zmm_reg) self.odd_roundings[1],
                o0 = in(zmm_reg) self.ones[0],
                o1 = in(zmm_reg) self.ones[1],
                e0 = in(zmm_reg) self.shifts[0],
                e1 = in(zmm_reg) self.shifts[1],
                in("k5") 0x5555_u16,
                out("k1") _,
                out("k2") _,
                out("k3") _,
                out("k4") _,
                options(pure, nomem, nostack),
            );
        }
        scaled
    }
}

/// The `v`-th 64 bytes of a list of constants.
#[target_feature(enable = "avx512f")]
#[inline]
pub(super) fn load<T, const N: usize>(values: &[T; N], v: usize) -> __m512i {
    const { assert!(size_of::<[T; N]>().is_multiple_of(64), "whole vectors") };
    assert!(v < size_of_val(values) / 64, "a panel has four lines");
    // SAFETY: the list has this vector; every list of constants is aligned to a cache line.
    unsafe { _mm512_loadu_si512(values.as_ptr().cast::<[u8; 64]>().add(v).cast()) }
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
