//! Files that claim what they do not hold.

use nnc::archive::Archive;
use nnc_core::Error;

use super::corruption::seal;
use nnc_testing::allocator::peak_bytes;

/// An archive of one weight `w` without a network, whose record is `record`.
fn with_record(record: &[u8]) -> Vec<u8> {
    let len = u8::try_from(record.len()).unwrap();
    assert!(len < 0x80, "a length of one byte");
    let mut bytes = b"NNC\x01\x00\x01\x01w\x00".to_vec();
    bytes.push(len);
    bytes.extend_from_slice(record);
    bytes.extend([0; 4]);
    seal(&mut bytes);
    bytes
}

/// 10^12 as a LEB128 integer.
const HUGE: [u8; 6] = [0x80, 0xa0, 0x94, 0xa5, 0x8d, 0x1d];

#[track_caller]
fn check_refused(record: &[&[u8]], word: &str) {
    let bytes = with_record(&record.concat());
    let (result, peak) = peak_bytes(|| Archive::read(&bytes));
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. } | Error::UnexpectedEnd { .. }), "{error}");
    assert!(error.to_string().contains(word), "{error}");
    assert!(peak < 1 << 18, "{peak} bytes held");
}

/// A file of a few bytes with a weight of 10^12 zeros: gaps × f32, 4-bit gaps, no slot.
pub(crate) fn huge_weight_of_zeros() -> Vec<u8> {
    with_record(&[&[2, 1][..], &HUGE, &[0x33, 0]].concat())
}

#[test]
fn a_huge_weight_of_zeros_opens_for_nothing_and_is_dense_only_on_demand() {
    let bytes = huge_weight_of_zeros();
    let (archive, peak) = peak_bytes(|| Archive::read(&bytes).unwrap());
    assert!(peak < 1 << 16, "{peak} bytes held");
    assert_eq!(archive.dense_bytes(), 4_000_000_000_000);
    assert_eq!(archive.weights[0].2.n_nonzero().unwrap(), 0);
    let ledger = nnc::archive::ledger(&bytes).unwrap();
    assert_eq!(ledger.weights[0].density(), 0.0);
}

#[test]
fn entries_slots_and_scales_must_be_in_the_file() {
    check_refused(&[&[0, 1], &HUGE, &[0; 8]], "expected 4000000000008 bytes");
    check_refused(&[&[1, 1], &HUGE, &[0; 8]], "expected 125000000008 bytes");
    check_refused(&[&[2, 1], &HUGE, &[0x33], &HUGE, &[0; 8]], "expected 500000000015 bytes");
    // A codebook of 10^12 values; an affine grid of 10^12 scales.
    check_refused(&[&[4 << 2, 1], &HUGE, &HUGE, &[0; 8]], "expected 4000000000014 bytes");
    check_refused(&[&[3 << 2, 1], &HUGE, &[0x33, 1, 0], &[0; 8]], "expected 4000000000011 bytes");
    check_refused(&[&[3 << 2, 1], &HUGE, &[0x33, 2, 1], &[0; 8]], "early");
}

#[test]
fn constant_streams_must_be_vouched_for() {
    // All × codebook, coded: one value, then a code whose only symbol is 0.
    let mut code = Vec::new();
    nnc_huffman::CodedSymbols::encode(&[0_u16; 3], 0).write(&mut code);
    check_refused(&[&[4 << 2 | 0x80, 1], &HUGE, &[1], &[0, 0, 0x80, 0x3f], &[0], &code], "equal symbols");
    // Gaps, coded and constant, with values that are coded and constant.
    let n_code = u8::try_from(code.len() + 1).unwrap();
    let gaps = [&[0x03][..], &HUGE, &[n_code], &[0], &code].concat();
    check_refused(&[&[2 | 4 << 2 | 0xc0, 1], &HUGE, &gaps, &[1], &[0], &code], "equal symbols");
}

#[test]
fn blocks_that_do_not_fit_are_refused() {
    // A weight of 4 entries, blocks of 2, skips of 4 bits: one symbol, skip 1.
    let record = |size: u8, skip: u8| [&[3, 1, 4][..], &[size, 0x33, 1, skip], &[0; 8]].concat();
    Archive::read(&with_record(&record(2, 1))).unwrap();
    check_refused(&[&record(0, 1)], "block size");
    check_refused(&[&record(3, 1)], "block size");
    check_refused(&[&record(2, 2)], "at most 2 blocks");
    // A single block as large as memory, with values that are not there, or coded and constant.
    check_refused(&[&[3, 1], &HUGE, &HUGE, &[0x33, 1, 0]], "");
    let mut code = Vec::new();
    nnc_huffman::CodedSymbols::encode(&[0_u16; 3], 0).write(&mut code);
    check_refused(
        &[&[3 | 4 << 2 | 0x80, 1], &HUGE, &HUGE, &[0x33, 1, 0], &[1], &[0; 4], &[0], &code],
        "equal symbols",
    );
    // Skips that are coded and constant, over blocks of one entry.
    let n_code = u8::try_from(code.len() + 1).unwrap();
    let skips = [&[1, 0x03][..], &HUGE, &[n_code], &[0], &code].concat();
    check_refused(&[&[3 | 4 << 2 | 0xc0, 1], &HUGE, &skips, &[1], &[0; 4], &[0], &code], "equal symbols");
}

#[test]
fn coded_streams_cannot_hold_more_symbols_than_bits() {
    let mut code = Vec::new();
    nnc_huffman::CodedSymbols::encode(&[0_u16, 1, 1, 0], 0).write(&mut code);
    let book = [&[2][..], &[0; 4], &[0, 0, 0x80, 0x3f]].concat();
    check_refused(&[&[4 << 2 | 0x80, 1], &HUGE, &book, &[0], &code], "payload");
}

#[test]
fn shapes_that_cannot_be_addressed_are_refused() {
    check_refused(&[&[2, 4], &HUGE, &HUGE, &HUGE, &HUGE, &[0x33, 0]], "shape");
    check_refused(&[&[2, 9], &[1; 9], &[0x33, 0]], "9 dimensions");
    // Row by row nothing, but the strides overflow.
    check_refused(&[&[2, 5], &[0], &HUGE, &HUGE, &HUGE, &HUGE, &[0x33, 0]], "shape");
}

#[test]
fn forms_that_contradict_themselves_are_refused() {
    check_refused(&[&[0x40, 1, 1], &[0; 4]], "contradictory form");
    check_refused(&[&[0x80, 1, 1], &[0; 4]], "contradictory form");
    check_refused(&[&[5 << 2, 1, 1], &[0; 4]], "values of the unknown form 5");
    check_refused(&[&[1, 1, 3], &[0b1001], &[0; 8]], "unused bit of the mask");
    check_refused(&[&[0, 1, 1], &[0; 5]], "1 bytes behind its end");
    check_refused(&[&[0, 1, 0x81, 0], &[0; 4]], "shortest form");
    // One slot, and no value for it.
    check_refused(&[&[2 | 4 << 2, 1, 9], &[0x33, 1, 0], &[0], &[0, 0]], "empty codebook");
}
