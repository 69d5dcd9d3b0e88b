//! The table decoder against the bit-by-bit one, whole blocks and parts.

#![allow(clippy::cast_possible_truncation, reason = "small test values")]

use proptest::prelude::*;

use super::*;
use crate::{FOUR_STREAMS_FROM, Histogram, reference};

/// Seeded symbols whose frequencies fall off by `decay` in 256.
fn symbols(n: usize, n_symbols: u16, decay: u32, seed: u32) -> Vec<u16> {
    let mut numbers = nnc_testing::numbers(u64::from(seed) | 1 << 32);
    let mut next = || (numbers.next().expect("numbers do not end") >> 40) as u32;
    (0..n)
        .map(|_| {
            let mut symbol = 0;
            while symbol + 1 < n_symbols && next() % 256 >= decay {
                symbol += 1;
            }
            symbol
        })
        .collect()
}

#[track_caller]
fn check(code: &Code, symbols: &[u16]) {
    let bytes = code.encode(symbols).unwrap();
    let n = symbols.len();
    assert_eq!(reference::decode(code, &bytes, n).as_deref(), Ok(symbols));
    let decoder = Decoder::new(code);
    let mut out = vec![u16::MAX; n];
    decoder.decode_into(&bytes, &mut out).unwrap();
    assert_eq!(out, symbols);
    for (start, end) in [(0, n), (0, n / 2), (n / 3, n), (n / 3, n / 2), (n / 4, n / 4), (n, n)] {
        let mut out = vec![u16::MAX; end - start];
        decoder.decode_part_into(&bytes, n, start, &mut out).unwrap();
        assert_eq!(out, symbols[start..end], "{start}..{end} of {n}");
    }
}

#[test]
fn block_sizes_around_the_edges_round_trip() {
    let four = FOUR_STREAMS_FROM;
    for n in
        [0, 1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33, 511, 512, 513, four - 1, four, four + 1, four + 2, four + 3]
    {
        let symbols = symbols(n, 40, 50, 7);
        check(&Code::from_histogram(&Histogram::of(&symbols)), &symbols);
    }
}

#[test]
fn codewords_of_each_length_round_trip() {
    for max_length in 1..=MAX_LENGTH {
        let lengths: Vec<u8> = (1..=max_length as u8).chain([max_length as u8]).collect();
        let code = Code::from_lengths(&lengths).unwrap();
        let symbols: Vec<u16> = (0..=max_length as u16).cycle().take(1000).collect();
        check(&code, &symbols);
        let many: Vec<u16> = (0..=max_length as u16).rev().cycle().take(FOUR_STREAMS_FROM + 5).collect();
        check(&code, &many);
    }
}

#[test]
fn large_alphabets_round_trip() {
    for n_symbols in [512u32, 513, 4096, 65_536] {
        let symbols: Vec<u16> = (0..150_000u32)
            .map(|i| (i % 997 * (i % 1009) % n_symbols) as u16)
            .chain(0..=(n_symbols - 1) as u16)
            .collect();
        check(&Code::from_histogram(&Histogram::of(&symbols)), &symbols);
    }
}

#[test]
fn constant_and_empty_blocks_have_no_bytes() {
    let constant = Code::from_histogram(&Histogram::of(&[300u16]));
    check(&constant, &[300; 100_000]);
    let mut out = [0u16; 3];
    assert!(constant.decode_into(&[0], &mut out).is_err());
    let none = Code::from_histogram(&Histogram::default());
    check(&none, &[]);
    assert_eq!(none.decode_into(&[], &mut out), Err(Error::CountMismatch { symbols: 3, bits: 0 }));
    assert!(none.decode_into::<u16>(&[0], &mut []).is_err());
}

#[test]
fn bytes_hold_bytes_only() {
    let code = Code::from_lengths(&{
        let mut lengths = vec![0; 257];
        lengths[255] = 1;
        lengths[256] = 1;
        lengths
    })
    .unwrap();
    let bytes = code.encode(&[255u16, 256]).unwrap();
    assert!(code.decode_into(&bytes, &mut [0u8; 2]).unwrap_err().is_caller());
    assert_eq!(code.decode_into(&bytes, &mut [0u16; 2]), Ok(()));
}

#[test]
fn wrong_counts_are_distinct_errors() {
    let code = Code::from_lengths(&[1, 2, 3, 3]).unwrap();
    let bytes = code.encode(&[3u16; 64]).unwrap();
    for n in [0, 1, 61, 63, 65, 193, 100_000] {
        let error = code.decode_into(&bytes, &mut vec![0u16; n]).unwrap_err();
        assert!(matches!(error, Error::CountMismatch { .. } | Error::UnexpectedEnd { .. }), "{n}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn decoding_inverts_encoding(
        n in 0usize..2000, n_symbols in 1u16..300, decay in 1u32..256, max_length in 9u32..=16, seed in any::<u32>()
    ) {
        let symbols = symbols(n, n_symbols, decay, seed);
        check(&Code::with_max_length(&Histogram::of(&symbols), max_length).unwrap(), &symbols);
    }

    #[test]
    fn any_bytes_decode_as_the_reference_does(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        n in 0usize..600,
        counts in prop::collection::vec(0u64..40, 0..40),
        max_length in 6u32..=16,
    ) {
        let code = Code::with_max_length(&Histogram::from_counts(&counts).unwrap(), max_length).unwrap();
        let mut out = vec![0u16; n];
        let ours = code.decode_into(&bytes, &mut out).map(|()| out);
        let reference = reference::decode(&code, &bytes, n);
        prop_assert_eq!(ours.is_ok(), reference.is_ok());
        if let (Ok(ours), Ok(reference)) = (ours, reference) {
            prop_assert_eq!(ours, reference);
        }
    }
}
