//! Hostile bytes: an `Err` or wrong symbols, never a panic, never an allocation that the bytes have not earned.
//!
//! Counts near `usize::MAX` stand for "absurd": whoever allocated for one of them would panic with a capacity overflow.

use nnc_huffman::{Code, CodedSymbols, Decoder, Error, Symbol, compress, decompress};
use proptest::prelude::*;

use crate::inputs::inputs;

/// What a caller might allow: more than any input has, little enough to allocate.
const MAX_SYMBOLS: usize = 200_000;

#[track_caller]
fn check_survives<S: Symbol>(frame: &[u8]) -> Result<(), Error> {
    let symbols = decompress::<S>(frame, MAX_SYMBOLS)?;
    assert!(symbols.len() <= MAX_SYMBOLS);
    Ok(())
}

fn small_frames() -> Vec<Vec<u8>> {
    let frames: Vec<_> = inputs().iter().map(|input| compress(&input.symbols)).collect();
    let small: Vec<_> = frames.into_iter().filter(|frame| frame.len() < 1000).collect();
    assert!(small.len() >= 4, "the flips need frames to flip");
    small
}

#[test]
fn each_bit_flip_is_survived() {
    for frame in small_frames() {
        for bit in 0..8 * frame.len() {
            let mut flipped = frame.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let outcome = check_survives::<u16>(&flipped);
            match bit / 8 {
                0 | 1 => assert_eq!(outcome, Err(Error::WrongMagic)),
                2 => assert!(matches!(outcome, Err(Error::UnsupportedVersion { .. }))),
                3 => assert!(outcome.is_err()),
                _ => {}
            }
        }
    }
}

#[test]
fn each_byte_value_in_a_header_is_survived() {
    for frame in small_frames() {
        for position in 0..frame.len().min(24) {
            for value in 0..=255 {
                let mut changed = frame.clone();
                changed[position] = value;
                let _ = check_survives::<u16>(&changed);
            }
        }
    }
}

#[test]
fn each_truncation_is_an_error() {
    for frame in small_frames() {
        for end in 0..frame.len() {
            assert!(check_survives::<u16>(&frame[..end]).is_err(), "cut at {end} of {}", frame.len());
        }
    }
}

#[test]
fn appended_bytes_are_an_error() {
    for frame in small_frames() {
        for byte in [0, 0xff] {
            assert!(check_survives::<u16>(&[&frame[..], &[byte]].concat()).is_err());
        }
    }
}

#[test]
fn absurd_counts_allocate_nothing() {
    // Magic, version, u16, then n = 2^63 - 1, one block, and a table: of one symbol, of two, of none.
    let count = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    for lengths in [&[1u8][..], &[1, 1], &[]] {
        let mut frame = vec![b'n', b'H', 1, 16];
        frame.extend(count);
        frame.push(0);
        Code::from_lengths(lengths).unwrap().write_table(&mut frame);
        frame.extend([0; 3]);
        let claimed = (1 << 63) - 1;
        assert_eq!(decompress::<u16>(&frame, 1000), Err(Error::TooManySymbols { claimed, max: 1000 }));
        assert!(
            matches!(decompress::<u16>(&frame, usize::MAX), Err(Error::CountMismatch { .. })),
            "{lengths:?}"
        );
    }
}

#[test]
fn constant_frames_are_held_to_the_callers_bound() {
    let frame = compress(&[9u8; 5000]);
    assert_eq!(frame.len(), 8 + 1);
    assert_eq!(decompress::<u8>(&frame, 4999), Err(Error::TooManySymbols { claimed: 5000, max: 4999 }));
    assert_eq!(decompress::<u8>(&frame, 5000), Ok(vec![9; 5000]));
}

#[test]
fn symbol_types_are_not_mixed_up() {
    assert!(decompress::<u16>(&compress(&[1u8, 2, 3]), 3).unwrap_err().is_caller());
    assert!(decompress::<u8>(&compress(&[1u16, 2, 3]), 3).unwrap_err().is_caller());
    // A byte frame whose table has symbols above 255 is corrupt, not the caller's fault.
    let mut frame = compress(&[1u16, 300, 1]);
    frame[3] = 8;
    assert!(!decompress::<u8>(&frame, 3).unwrap_err().is_caller());
}

proptest! {
    #[test]
    fn any_bytes_after_the_magic_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let frame = [&[b'n', b'H', 1, 16], &bytes[..]].concat();
        let _ = check_survives::<u16>(&frame);
    }

    #[test]
    fn any_bytes_are_read_as_coded_symbols_or_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..80), len in 0usize..2000, block_len in 0usize..300
    ) {
        if let Ok(coded) = CodedSymbols::read(&bytes, len, block_len) {
            // What verifies also decodes, from any start.
            let whole = coded.to_vec::<u16>();
            prop_assert_eq!(coded.verify().is_ok(), whole.is_ok());
            let mut part = vec![0u16; len - len / 3];
            if coded.decode_range(len / 3..len, &mut part).is_ok() && let Ok(whole) = whole {
                prop_assert_eq!(part, &whole[len / 3..]);
            }
        }
    }

    #[test]
    fn long_blocks_survive_any_stream_lengths(
        header in prop::collection::vec(any::<u8>(), 0..12), n_bytes in 0usize..40_000, extra in 0usize..5
    ) {
        let decoder = Decoder::new(&Code::from_lengths(&[1, 2, 3, 3]).unwrap());
        let mut block = header;
        block.resize(n_bytes, 0x5a);
        let mut out = vec![0u8; nnc_huffman::FOUR_STREAMS_FROM + extra];
        let _ = decoder.decode_into(&block, &mut out);
    }
}
