//! AVX-512: rANS with sixteen states in a register.
//!
//! A pop is a gather from the 16 KiB table, a product and two sums; the words that its states take in are the next ones of
//! the payload in the order of the states, so one load and `vpexpandd` deal them out. A push is the same backwards.
#![allow(unsafe_code, reason = "gathers from tables, reads and writes words through pointers")]

use std::arch::x86_64::*;

use super::{N_STATES, n_states, scalar};
use crate::multi::MultiTable;
use crate::rans::{DecodeSlot, EncodeSymbol, FREQ_BITS, LEAST_STATE};
use crate::symbol::Symbol;
use crate::{Code, Result};

/// States in a register.
const LANES: usize = 16;

/// Registers of states.
const N_REGISTERS: usize = N_STATES / LANES;

pub(super) fn detect() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("popcnt")
}

/// As [`super::Isa::build_table`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,bmi1,bmi2,lzcnt")]
pub(super) fn build_table<S: Symbol>(table: &mut MultiTable, code: &Code) -> Result<()> {
    table.build::<S>(code)
}

/// As [`super::Isa::decode_rans`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,popcnt")]
pub(super) fn decode_rans(slots: &[DecodeSlot; 4096], payload: &[u8], out: &mut [u8]) -> bool {
    if n_states(out.len()) < N_STATES {
        return scalar::decode_rans(slots, payload, out);
    }
    let Some((mut states, words)) = scalar::split_states(payload, N_STATES) else { return false };
    // SAFETY: the array has the bytes of its registers.
    let mut x: [__m512i; N_REGISTERS] =
        std::array::from_fn(|i| unsafe { _mm512_loadu_si512(states.as_ptr().add(i * LANES).cast()) });
    let (mut at, mut n_done) = (0, 0);
    for group in out.as_chunks_mut::<N_STATES>().0 {
        // Each state takes in a word at most, and each register is loaded whole.
        if words.len() - at < 2 * N_STATES {
            break;
        }
        for (register, symbols) in x.iter_mut().zip(group.as_chunks_mut::<LANES>().0) {
            // SAFETY: 2 * LANES bytes from `at` on are words, as the registers before took in 2 * LANES bytes at most each.
            at += unsafe { pop(slots, register, words.as_ptr().add(at), symbols) };
        }
        n_done += N_STATES;
    }
    for (register, states) in x.iter().zip(states.as_chunks_mut::<LANES>().0) {
        // SAFETY: sixteen states are 64 bytes.
        unsafe { _mm512_storeu_si512(states.as_mut_ptr().cast(), *register) };
    }
    scalar::decode_rans_rest(slots, &mut states, &words[at..], &mut out[n_done..])
}

/// Takes a symbol off sixteen states; bytes of `words` taken in.
///
/// # Safety
/// `words` must have 32 bytes.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,popcnt")]
#[inline]
unsafe fn pop(
    slots: &[DecodeSlot; 4096],
    state: &mut __m512i,
    words: *const u8,
    symbols: &mut [u8; LANES],
) -> usize {
    let slot_mask = _mm512_set1_epi32(0xfff);
    let slot = _mm512_and_si512(*state, slot_mask);
    // SAFETY: twelve bits index the table; the caller's 32 bytes; sixteen symbols.
    let (entry, fresh) = unsafe {
        let entry = _mm512_i32gather_epi32::<4>(slot, slots.as_ptr().cast());
        _mm_storeu_si128(symbols.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(entry));
        (entry, _mm512_cvtepu16_epi32(_mm256_loadu_si256(words.cast())))
    };
    let freq = _mm512_and_si512(_mm512_srli_epi32::<8>(entry), slot_mask);
    let product = _mm512_mullo_epi32(freq, _mm512_srli_epi32::<FREQ_BITS>(*state));
    let x = _mm512_add_epi32(product, _mm512_srli_epi32::<20>(entry));
    let is_low = _mm512_cmplt_epu32_mask(x, _mm512_set1_epi32(LEAST_STATE.cast_signed()));
    let dealt = _mm512_maskz_expand_epi32(is_low, fresh);
    *state = _mm512_mask_or_epi32(x, is_low, _mm512_slli_epi32::<16>(x), dealt);
    2 * is_low.count_ones() as usize
}

/// As [`super::Isa::encode_rans`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,popcnt")]
pub(super) fn encode_rans(model: &[EncodeSymbol; 256], symbols: &[u8], out: &mut Vec<u8>) {
    if n_states(symbols.len()) < N_STATES {
        return scalar::encode_rans(model, symbols, out);
    }
    let mut states = [LEAST_STATE; N_STATES];
    let (groups, rest) = symbols.as_chunks::<N_STATES>();
    let mut last_words = Vec::new();
    scalar::encode_rans_rest(model, &mut states, rest, &mut last_words);
    let mut x: [__m512i; N_REGISTERS] =
        // SAFETY: the array has the bytes of its registers.
        std::array::from_fn(|i| unsafe { _mm512_loadu_si512(states.as_ptr().add(i * LANES).cast()) });
    // Words in reading order, filled from the end; a symbol puts out one at most.
    let mut words = vec![0u16; groups.len() * N_STATES];
    let mut first = words.len();
    for group in groups.iter().rev() {
        for (register, symbols) in x.iter_mut().zip(group.as_chunks::<LANES>().0).rev() {
            // SAFETY: each symbol before this one left room for its word.
            first -= unsafe { push(model, register, words.as_mut_ptr().add(first), symbols) };
        }
    }
    for (register, states) in x.iter().zip(states.as_chunks_mut::<LANES>().0) {
        // SAFETY: sixteen states are 64 bytes.
        unsafe { _mm512_storeu_si512(states.as_mut_ptr().cast(), *register) };
    }
    scalar::write_rans(&states, words[first..].iter().chain(last_words.iter().rev()), out);
}

/// Puts a symbol on sixteen states, and the words that go out before `end`; how many they are.
///
/// # Safety
/// Sixteen words must have room before `end`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,popcnt")]
#[inline]
unsafe fn push(
    model: &[EncodeSymbol; 256],
    state: &mut __m512i,
    end: *mut u16,
    symbols: &[u8; LANES],
) -> usize {
    // SAFETY: sixteen symbols; a byte indexes the model, whose entries are 8 bytes: frequency and start, then reciprocal.
    let (freq_start, reciprocal) = unsafe {
        let index = _mm512_cvtepu8_epi32(_mm_loadu_si128(symbols.as_ptr().cast()));
        let base = model.as_ptr().cast::<i32>();
        (_mm512_i32gather_epi32::<8>(index, base), _mm512_i32gather_epi32::<8>(index, base.add(1)))
    };
    let goes_out = _mm512_cmpge_epu32_mask(*state, _mm512_slli_epi32::<20>(freq_start));
    let n_out = goes_out.count_ones() as usize;
    let words = _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(goes_out, *state));
    #[allow(clippy::cast_possible_truncation, reason = "at most sixteen bits")]
    let first_ones = ((1u32 << n_out) - 1) as u16;
    // SAFETY: the caller's room for sixteen words, of which the mask lets `n_out` be written.
    unsafe { _mm256_mask_storeu_epi16(end.sub(n_out).cast(), first_ones, words) };
    let x = _mm512_mask_srli_epi32::<16>(*state, goes_out, *state);

    let freq = _mm512_and_si512(freq_start, _mm512_set1_epi32(0xffff));
    let even = _mm512_srli_epi64::<32>(_mm512_mul_epu32(x, reciprocal));
    let odd = _mm512_mul_epu32(_mm512_srli_epi64::<32>(x), _mm512_srli_epi64::<32>(reciprocal));
    let quotient = _mm512_mask_blend_epi32(0xaaaa, even, odd);
    let rest = _mm512_sub_epi32(x, _mm512_mullo_epi32(quotient, freq));
    let one = _mm512_set1_epi32(1);
    let is_short = _mm512_cmpge_epu32_mask(rest, freq);
    let quotient = _mm512_mask_add_epi32(quotient, is_short, quotient, one);
    let complement = _mm512_sub_epi32(_mm512_set1_epi32(1 << FREQ_BITS), freq);
    let start = _mm512_srli_epi32::<16>(freq_start);
    *state = _mm512_add_epi32(_mm512_add_epi32(x, start), _mm512_mullo_epi32(quotient, complement));
    n_out
}
