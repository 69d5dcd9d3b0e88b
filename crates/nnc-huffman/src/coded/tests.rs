//! Blocks, ranges, the index, and what `read` must refuse.

#![allow(clippy::cast_possible_truncation, reason = "small test values")]

use proptest::prelude::*;

use super::*;

fn bytes_of(coded: &CodedSymbols) -> Vec<u8> {
    let mut bytes = Vec::new();
    coded.write(&mut bytes);
    assert_eq!(8 * bytes.len() as u64, coded.table_bits() + coded.payload_bits());
    bytes
}

fn squares(n: usize, modulus: usize) -> Vec<u16> {
    (0..n).map(|i| (i * i % modulus) as u16).collect()
}

#[test]
fn one_block_has_no_index() {
    let symbols = squares(5000, 11);
    for block_len in [0, 5000, 5001, usize::MAX] {
        let coded = CodedSymbols::encode(&symbols, block_len);
        assert_eq!(coded.table_bits(), coded.code().table_bits());
        let read = CodedSymbols::read(&bytes_of(&coded), 5000, block_len).unwrap();
        assert_eq!(read.to_vec::<u8>().unwrap(), coded.to_vec::<u8>().unwrap());
    }
}

#[test]
fn equal_blocks_have_a_two_byte_index() {
    // 4 bits a symbol: 32 bytes a block, so no bits above the least length.
    let symbols: Vec<u16> = (0..16).cycle().take(64 * 100).collect();
    let coded = CodedSymbols::encode(&symbols, 64);
    assert_eq!(coded.table_bits(), coded.code().table_bits() + 16);
    assert_eq!(coded.payload_bits(), 4 * 6400);
}

#[test]
fn constant_streams_cost_their_table_only() {
    let coded = CodedSymbols::encode(&[7u16; 1_000_000], 10);
    assert_eq!((coded.payload_bits(), coded.table_bits()), (0, 16));
    let read = CodedSymbols::read(&bytes_of(&coded), 1_000_000, 10).unwrap();
    let mut out = [0u16; 5];
    read.decode_range(999_995..1_000_000, &mut out).unwrap();
    assert_eq!(out, [7; 5]);
    read.decode_range(3..8, &mut out).unwrap();
    // Bytes cannot contradict the count of a constant stream, and nothing is allocated for it before it is asked for.
    assert_eq!(CodedSymbols::read(&bytes_of(&coded), usize::MAX, 0).unwrap().verify(), Ok(()));
}

#[test]
fn empty_streams_round_trip() {
    let coded = CodedSymbols::encode::<u16>(&[], 10);
    let read = CodedSymbols::read(&bytes_of(&coded), 0, 10).unwrap();
    assert_eq!(read.to_vec::<u16>(), Ok(vec![]));
    assert!(CodedSymbols::read(&bytes_of(&coded), 1, 10).is_err());
}

#[test]
fn ranges_outside_are_the_callers_fault() {
    let coded = CodedSymbols::encode(&squares(100, 5), 10);
    let backwards = Range { start: 6, end: 5 };
    for (range, n) in [(0..101, 101), (99..100, 2), (101..101, 0), (backwards, 0), (0..10, 9)] {
        assert!(
            coded.decode_range(range.clone(), &mut vec![0u16; n]).unwrap_err().is_caller(),
            "{range:?} {n}"
        );
    }
    let wide = CodedSymbols::encode(&[1u16, 256, 1], 0);
    assert!(wide.decode_range(0..3, &mut [0u8; 3]).unwrap_err().is_caller());
}

#[test]
fn bytes_do_not_depend_on_threads() {
    let symbols = squares(300_000, 1009);
    let coded = CodedSymbols::encode(&symbols, 4096);
    // One block at a time is what a single thread would write.
    let one_by_one: Vec<u8> =
        symbols.chunks(4096).flat_map(|block| coded.code().encode(block).unwrap()).collect();
    assert_eq!(coded.payload(), one_by_one);
    assert_eq!(coded.to_vec::<u16>().unwrap(), symbols);
}

#[test]
fn long_streams_in_short_blocks_are_what_slicing_gives() {
    // Enough symbols for a table of several a lookup; bytes, symbols above 255, and words above 12 bits.
    for (n, modulus, scale) in [(30_000, 31, 1), (30_000, 31, 9), (60_000, 1009, 1)] {
        let symbols: Vec<u16> = squares(n, modulus).iter().map(|&symbol| scale * symbol).collect();
        for block_len in [0, 1, 64, 999, 1000, 4096, 40_000] {
            let coded = CodedSymbols::encode(&symbols, block_len);
            let read = CodedSymbols::read(&bytes_of(&coded), n, block_len).unwrap();
            for range in [0..n, 1..n, 0..n - 1, n / 3..n / 2, 1000..9000, 4096..4096 + 4 * 4096] {
                let mut out = vec![0u16; range.len()];
                read.decode_range(range.clone(), &mut out).unwrap();
                assert_eq!(out, symbols[range.clone()], "{modulus} {block_len} {range:?}");
            }
        }
    }
}

#[test]
fn each_damaged_block_of_a_group_is_found() {
    let symbols = squares(6400, 13);
    let coded = CodedSymbols::encode(&symbols, 400);
    let bytes = bytes_of(&coded);
    let payload_start = bytes.len() - coded.payload().len();
    let ends = &coded.ends;
    for block in 0..16 {
        // The last byte of a block: a bit that is set more makes another word, or padding that is not zero.
        let mut damaged = bytes.clone();
        damaged[payload_start + ends[block] - 1] ^= 0x80;
        let read = CodedSymbols::read(&damaged, 6400, 400).unwrap();
        let one_by_one = (0..16).map(|i| {
            let mut out = vec![0u16; 400];
            read.decode_range(400 * i..400 * (i + 1), &mut out).map(|()| out)
        });
        let one_by_one: Result<Vec<_>> = one_by_one.collect();
        assert_eq!(read.to_vec::<u16>(), one_by_one.map(|blocks| blocks.concat()), "block {block}");
    }
}

#[test]
fn claims_beyond_the_bytes_are_refused() {
    let coded = CodedSymbols::encode(&squares(1000, 13), 100);
    let bytes = bytes_of(&coded);
    for len in [8 * bytes.len(), 1 << 40, usize::MAX] {
        for block_len in [0, 1, 100, usize::MAX] {
            assert!(CodedSymbols::read(&bytes, len, block_len).is_err(), "{len} {block_len}");
        }
    }
    assert!(CodedSymbols::read(&bytes, 1000, 1).is_err());
}

#[test]
fn cut_streams_are_found_by_read_or_verify() {
    let coded = CodedSymbols::encode(&squares(1000, 13), 100);
    let bytes = bytes_of(&coded);
    for end in 0..bytes.len() {
        let outcome = CodedSymbols::read(&bytes[..end], 1000, 100).and_then(|read| read.verify());
        assert!(outcome.is_err(), "cut at {end}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn ranges_are_what_slicing_gives(
        symbols in prop::collection::vec(0u16..30, 0..800), block_len in 0usize..300, a in 0usize..800, b in 0usize..800
    ) {
        let coded = CodedSymbols::encode(&symbols, block_len);
        let read = CodedSymbols::read(&bytes_of(&coded), symbols.len(), block_len).unwrap();
        prop_assert_eq!(read.verify(), Ok(()));
        let (a, b) = (a.min(b).min(symbols.len()), a.max(b).min(symbols.len()));
        let mut out = vec![0u16; b - a];
        read.decode_range(a..b, &mut out).unwrap();
        prop_assert_eq!(&out, &symbols[a..b]);
        prop_assert_eq!(bytes_of(&read), bytes_of(&coded));
    }
}
