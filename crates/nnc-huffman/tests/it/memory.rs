//! What decoding allocates: tables of a fixed size, a small multiple of the input, and the output that the caller allows.

#![allow(clippy::cast_possible_truncation, reason = "small test values")]

use nnc_huffman::{Code, CodedSymbols, Coder, Config, Frame, Symbol, VERSION, compress_with, decompress};
use proptest::prelude::*;

use crate::corruption::small_frames;
use nnc_testing::allocator::peak_bytes;

/// Bytes of tables of a fixed size: 96 KiB that a thread keeps, and those of a decoder.
const TABLES: usize = 192 << 10;

/// Bytes for each byte of input, at most: a code table may have a symbol, of 12 bytes while it is read, for each bit.
const PER_BYTE: usize = 128;

/// Bytes that decoding a block to the caller's bytes allocates at most, where its table is of bytes too.
const BLOCK: usize = 128 << 10;

/// Bytes for each of many blocks that are decoded in one call.
const PER_BLOCK: usize = 128;

/// Runs `work` in a pool of one thread, whose allocations are the ones counted.
fn peak_on_one_thread<T: Send>(work: impl FnOnce() -> T + Send) -> (T, usize) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| peak_bytes(work))
}

/// Decodes a frame both ways, with up to `max_symbols` symbols.
#[track_caller]
fn check_frame<S: Symbol>(frame: &[u8], max_symbols: usize) {
    let (symbols, peak) = peak_bytes(|| decompress::<S>(frame, max_symbols));
    let output = size_of::<S>() * max_symbols;
    // A frame of u16 has its bytes decoded beside, a block at a time.
    let allowed = TABLES + PER_BYTE * frame.len() + output + output / 2;
    assert!(peak <= allowed, "{peak} bytes for {} and {max_symbols} symbols", frame.len());
    if symbols.is_err() {
        // What is refused has not had the caller's output filled for a claim above its maximum.
        let (_, peak) = peak_bytes(|| decompress::<S>(frame, 0));
        assert!(peak <= PER_BYTE * frame.len() + TABLES, "{peak} bytes for {}, none of output", frame.len());
    }
}

#[test]
fn damaged_frames_allocate_no_more_than_they_back() {
    for frame in small_frames() {
        for bit in 0..8 * frame.len() {
            let mut flipped = frame.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            check_frame::<u16>(&flipped, 10_000);
        }
    }
}

#[test]
fn frames_of_many_small_claims_allocate_a_list() {
    // Blocks of 256 symbols in three bytes each, without payload: the list of them is all that there is.
    let head = [b'n', b'H', VERSION, 8];
    let frame = [&head[..], &[0x80, 2, 1].repeat(50_000), &[0]].concat();
    let (read, peak) = peak_on_one_thread(|| Frame::read(&frame).map(|read| read.len()));
    assert_eq!(read, Ok(256 * 50_000));
    assert!(peak <= 24 * frame.len(), "{peak} bytes for {}", frame.len());
    let (outcome, peak) = peak_on_one_thread(|| decompress::<u8>(&frame, 256 * 50_000));
    assert!(outcome.is_err());
    assert!(peak <= 256 * 50_000 + PER_BYTE * frame.len(), "{peak} bytes for {}", frame.len());
    // The same claims beyond what the caller allows.
    let (_, peak) = peak_on_one_thread(|| decompress::<u8>(&frame, 256 * 50_000 - 1));
    assert!(peak <= 24 * frame.len(), "{peak} bytes for {}", frame.len());
}

#[test]
fn tables_of_all_symbols_allocate_within_the_bound() {
    // 65,536 words of 16 bits in eight kibibytes, the most that a table's bits can ask for.
    let mut table = Vec::new();
    Code::from_lengths(&vec![16; 1 << 16]).unwrap().write_table(&mut table);
    for kind in [2, 4] {
        let n_bytes = table.len() + 2048;
        let mut frame = vec![b'n', b'H', VERSION, 10 | 0x80, 0x80, 8];
        let size_and_kind = n_bytes << 3 | kind;
        frame.extend([0, 7, 14].map(|shift| (size_and_kind >> shift) as u8 & 0x7f | 0x80));
        *frame.last_mut().unwrap() &= 0x7f;
        frame.extend(&table);
        frame.extend([0; 2049]);
        check_frame::<u16>(&frame, 1024);
    }
    let (read, peak) = peak_bytes(|| Code::read_table(&table));
    assert_eq!(read.unwrap().1, table.len());
    assert!(peak <= PER_BYTE * table.len(), "{peak} bytes for {}", table.len());
}

#[test]
fn coded_symbols_allocate_no_more_than_they_back() {
    let symbols: Vec<u16> = (0..20_000u32).map(|i| (i * i % 31) as u16).collect();
    for block_len in [0, 64, 1000] {
        let mut bytes = Vec::new();
        CodedSymbols::encode(&symbols, block_len).write(&mut bytes);
        // Counts and block lengths that are not the encoder's.
        for len in [0, 1, 20_000, 40_000, 8 * bytes.len(), usize::MAX] {
            for block_len in [0, 1, block_len, usize::MAX] {
                let (_, peak) = peak_bytes(|| {
                    CodedSymbols::read(&bytes, len, block_len).and_then(|coded| coded.verify())
                });
                assert!(peak <= TABLES + PER_BYTE * bytes.len(), "{peak} bytes for {}", bytes.len());
            }
        }
    }
    // A constant stream of any length is two bytes, and stays so until it is decoded to the caller's memory.
    let mut constant = Vec::new();
    CodedSymbols::encode(&[7u16], 0).write(&mut constant);
    let (read, peak) = peak_bytes(|| CodedSymbols::read(&constant, usize::MAX, 0).unwrap().verify());
    assert_eq!(read, Ok(()));
    assert!(peak <= TABLES, "{peak}");
}

#[test]
fn decoding_to_the_callers_memory_allocates_tables_only() {
    for n in [1 << 10, 1 << 16, 1 << 20] {
        let symbols: Vec<u8> = (0..n as u32).map(|i| (i.wrapping_mul(i) >> 7) as u8 % 31).collect();
        let wide: Vec<u16> = symbols.iter().map(|&symbol| symbol.into()).collect();
        for coder in [Coder::Huffman, Coder::Rans, Coder::Smallest] {
            let config = Config::new(coder).with_block_bits(20).unwrap();
            let bytes = compress_with(&symbols, &config);
            let frame = Frame::read(&bytes).unwrap();
            let mut out = vec![0u8; n];
            for peak in [
                peak_on_one_thread(|| frame.decode_block(0, &mut out).unwrap()).1,
                peak_on_one_thread(|| frame.decode_into(&mut out).unwrap()).1,
            ] {
                assert!(peak <= BLOCK, "{coder:?}: {peak} bytes for {n} symbols");
            }
            assert_eq!(out, symbols);
            // Symbols of two bytes whose values are below 256 are decoded as bytes first.
            let bytes = compress_with(&wide, &config);
            let frame = Frame::read(&bytes).unwrap();
            let mut out = vec![0u16; n];
            let ((), peak) = peak_on_one_thread(|| frame.decode_block(0, &mut out).unwrap());
            assert!(peak <= BLOCK + n, "{coder:?}: {peak} bytes for {n} symbols of two");
        }
        let coded = CodedSymbols::encode(&wide, 1 << 12);
        let mut out = vec![0u16; n];
        let ((), peak) = peak_on_one_thread(|| coded.decode_range(0..n, &mut out).unwrap());
        assert_eq!(out, wide);
        assert!(peak <= BLOCK, "{peak} bytes for {n} coded symbols");
    }
}

#[test]
fn decoding_many_blocks_allocates_a_list_of_them() {
    let symbols: Vec<u8> = (0..1u32 << 20).map(|i| (i.wrapping_mul(i) >> 7) as u8 % 31).collect();
    let bytes = compress_with(&symbols, &Config::new(Coder::Huffman).with_block_bits(8).unwrap());
    let frame = Frame::read(&bytes).unwrap();
    let mut out = vec![0u8; symbols.len()];
    let ((), peak) = peak_on_one_thread(|| frame.decode_into(&mut out).unwrap());
    assert_eq!(out, symbols);
    assert!(peak <= BLOCK + PER_BLOCK * frame.n_blocks(), "{peak} bytes for {} blocks", frame.n_blocks());
}

proptest! {
    #[test]
    fn any_payload_of_any_kind_allocates_within_the_bound(
        payload in prop::collection::vec(any::<u8>(), 0..200), kind in 0u8..8, n_symbols in 1usize..1 << 20
    ) {
        for flag in [0, 0x80] {
            let mut frame = vec![b'n', b'H', VERSION, 20 | flag];
            put_varint(&mut frame, n_symbols);
            put_varint(&mut frame, payload.len() << 3 | usize::from(kind));
            frame.extend_from_slice(&payload);
            frame.push(0);
            if flag == 0 {
                check_frame::<u8>(&frame, 1 << 20);
            } else {
                check_frame::<u16>(&frame, 1 << 20);
            }
        }
    }

    #[test]
    fn any_bytes_as_coded_symbols_allocate_within_the_bound(
        bytes in prop::collection::vec(any::<u8>(), 0..200), len in 0usize..100_000, block_len in 0usize..300
    ) {
        let (_, peak) = peak_bytes(|| CodedSymbols::read(&bytes, len, block_len).map(|coded| coded.code().n_symbols()));
        prop_assert!(peak <= TABLES + PER_BYTE * bytes.len(), "{} bytes for {}", peak, bytes.len());
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push((value & 0x7f | 0x80) as u8);
        value >>= 7;
    }
    out.push(value as u8);
}
