//! Hostile bytes: an `Err` or wrong symbols, never a panic, never an allocation that the bytes have not earned.
//!
//! Counts near `usize::MAX` stand for "absurd": whoever allocated for one of them would panic with a capacity overflow.

use std::path::PathBuf;

use nnc_huffman::{
    Code, CodedSymbols, Coder, Config, Decoder, Error, Frame, Kind, Symbol, VERSION, compress, compress_with,
    decompress,
};
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

/// Frames of all coders and versions, small enough to be damaged at each bit.
pub(crate) fn small_frames() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for input in inputs() {
        let blocks = Config::new(Coder::Smallest).with_block_bits(8).unwrap();
        for config in [Config::new(Coder::Huffman), Config::new(Coder::Rans), blocks] {
            frames.push(compress_with(&input.symbols, &config));
        }
        // Six streams, which take 4,096 symbols.
        let long: Vec<u16> =
            input.symbols.iter().copied().cycle().take(4096 * input.symbols.len().min(1)).collect();
        frames.push(compress(&long));
        let v1: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests/it/golden", &format!("v1_{}.nh", input.name)]
            .iter()
            .collect();
        frames.push(std::fs::read(v1).unwrap());
    }
    frames.push(compress(&(0..3000u16).map(|i| i * 17 % 2999).collect::<Vec<_>>()));
    frames.retain(|frame| frame.len() < 1200);
    assert!(frames.len() >= 20, "the flips need frames to flip");
    frames
}

#[test]
pub(crate) fn small_frames_are_of_each_kind() {
    let mut kinds = Vec::new();
    for frame in small_frames().iter().filter(|frame| frame[2] == VERSION) {
        let frame = Frame::read(frame).unwrap();
        kinds.extend((0..frame.n_blocks()).map(|index| frame.block_kind(index)));
    }
    for kind in [Kind::Constant, Kind::Huffman, Kind::Rans, Kind::Adaptive] {
        assert!(kinds.contains(&kind), "{kind:?}");
    }
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
                _ => {}
            }
        }
    }
}

#[test]
fn each_bit_flip_of_a_rans_block_is_found() {
    // The states must end as they began, so that damage shows, as a rule; here, always.
    let symbols: Vec<u8> = (0..600u32).map(|i| (i * i % 31 % 7) as u8).collect();
    let frame = compress_with(&symbols, &Config::new(Coder::Rans));
    assert_eq!(Frame::read(&frame).unwrap().block_kind(0), Kind::Rans);
    let n_found = (64..8 * frame.len()).filter(|bit| {
        let mut flipped = frame.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        decompress::<u8>(&flipped, 1 << 20).is_err()
    });
    assert_eq!(n_found.count(), 8 * frame.len() - 64);
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
    assert_eq!(frame.len(), 4 + 2 + 1 + 1 + 1);
    assert_eq!(decompress::<u8>(&frame, 4999), Err(Error::TooManySymbols { claimed: 5000, max: 4999 }));
    assert_eq!(decompress::<u8>(&frame, 5000), Ok(vec![9; 5000]));
}

#[test]
fn symbol_types_are_not_mixed_up() {
    assert!(decompress::<u16>(&compress(&[1u8, 2, 3]), 3).unwrap_err().is_caller());
    assert!(decompress::<u8>(&compress(&[1u16, 2, 3]), 3).unwrap_err().is_caller());
    // A byte frame whose table has symbols above 255 is corrupt, not the caller's fault.
    let mut frame = compress(&[vec![1u16; 200], vec![300; 50]].concat());
    assert_eq!(Frame::read(&frame).unwrap().block_kind(0), Kind::Huffman);
    frame[3] &= 0x7f;
    assert!(!decompress::<u8>(&frame, 250).unwrap_err().is_caller());
}

#[test]
fn distinct_faults_are_distinct_errors() {
    let frame = compress(&[[0u8; 100], [1; 100]].concat());
    let changed = |position: usize, byte: u8| {
        let mut frame = frame.clone();
        frame[position] = byte;
        decompress::<u8>(&frame, 1000).unwrap_err()
    };
    assert_eq!(changed(0, b'x'), Error::WrongMagic);
    assert_eq!(changed(2, 9), Error::UnsupportedVersion { got: 9 });
    assert!(matches!(changed(3, 17 | 0x80), Error::InvalidArgument { .. }));
    assert!(matches!(changed(3, 21), Error::Corrupt { .. }));
    // Byte 4 and 5 are the block's symbols, 200; one fewer or more is not what the stream holds.
    assert!(matches!(changed(4, 0x80 | 71), Error::CountMismatch { .. }));
    assert!(matches!(changed(4, 0x80 | 73), Error::CountMismatch { .. }));
    assert!(matches!(decompress::<u8>(&frame[..frame.len() - 1], 1000), Err(Error::UnexpectedEnd { .. })));
    assert_eq!(decompress::<u8>(&frame, 199), Err(Error::TooManySymbols { claimed: 200, max: 199 }));
}

proptest! {
    #[test]
    fn any_bytes_after_the_magic_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        for head in [[b'n', b'H', 1, 16], [b'n', b'H', VERSION, 8 | 0x80], [b'n', b'H', VERSION, 17 | 0x80]] {
            let _ = check_survives::<u16>(&[&head, &bytes[..]].concat());
        }
    }

    #[test]
    fn any_payload_of_any_kind_is_survived(
        payload in prop::collection::vec(any::<u8>(), 0..120), kind in 0u8..8, n_symbols in 1u8..128
    ) {
        let size = u8::try_from(payload.len() % 16).unwrap();
        let head = [b'n', b'H', VERSION, 10, n_symbols, size << 3 | kind];
        let frame = [&head, &payload[..usize::from(size)], &[0]].concat();
        let _ = check_survives::<u8>(&frame);
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
