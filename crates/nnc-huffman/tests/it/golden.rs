//! Frames by the format version that wrote them: what was written once is read for ever, and this version's is written again
//! the same.

use std::path::PathBuf;

use nnc_huffman::{CodedSymbols, Coder, Config, VERSION, compress_with, decompress};

use crate::inputs::inputs;

/// Length of each golden frame in bytes, so that a costlier format cannot slip in with new files: of version 1, then of
/// version 2 by Huffman codes, by rANS, and by the smallest. The slide's in version 1: 6 of header, 2 of table, 126 bits.
const LENGTHS: [(&str, [usize; 4]); 8] = [
    ("empty", [7, 5, 5, 5]),
    ("constant", [8, 9, 9, 9]),
    ("slide", [24, 26, 29, 18]),
    ("gaps", [925, 927, 945, 916]),
    ("two_symbols_far_apart", [25, 27, 27, 27]),
    ("wide_alphabet", [9093, 9114, 9114, 9114]),
    ("four_streams", [14940, 14954, 15135, 14954]),
    ("two_blocks", [30651, 30685, 30846, 30659]),
];

fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/it/golden", name].iter().collect()
}

fn golden(name: &str, written: Option<&[u8]>) -> Vec<u8> {
    let path = path(name);
    if let Some(written) = written
        && std::env::var("NNC_WRITE_GOLDEN").is_ok_and(|value| value == "1")
    {
        std::fs::write(&path, written).unwrap();
    }
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn golden_frames_are_read_and_written_byte_for_byte() {
    let mut wrong = Vec::new();
    for (input, (name, lengths)) in inputs().into_iter().zip(LENGTHS) {
        assert_eq!(input.name, name);
        let coders = [Coder::Huffman, Coder::Rans, Coder::Smallest];
        for (coder, len) in coders.into_iter().zip(lengths.into_iter().skip(1)) {
            let written = compress_with(&input.symbols, &Config::new(coder));
            let file = format!("v{VERSION}_{coder:?}_{name}.nh").to_lowercase();
            let frame = golden(&file, Some(&written));
            if decompress(&frame, input.symbols.len()) != Ok(input.symbols.clone()) {
                wrong.push(format!("{file}: does not decode to its formula"));
            }
            if written != frame {
                wrong.push(format!("{file}: is written differently now"));
            }
            if frame.len() != len {
                wrong.push(format!("{file}: expected {len} bytes, got {}", frame.len()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn frames_of_version_1_are_read_and_their_coded_symbols_written_byte_for_byte() {
    for (input, (name, lengths)) in inputs().into_iter().zip(LENGTHS) {
        let frame = golden(&format!("v1_{name}.nh"), None);
        assert_eq!(frame.len(), lengths[0], "{name}");
        assert_eq!(decompress(&frame, input.symbols.len()), Ok(input.symbols.clone()), "{name}");
        let block_len = if input.symbols.len() > 1 << 17 { 1 << 17 } else { 0 };
        let mut coded = Vec::new();
        CodedSymbols::encode(&input.symbols, block_len).write(&mut coded);
        assert!(frame.ends_with(&coded), "{name}");
    }
}
