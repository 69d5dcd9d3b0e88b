//! Frames by the format version that wrote them: what was written once is read for ever, and written again the same.

use std::path::PathBuf;

use nnc_huffman::{VERSION, compress, decompress};

use crate::inputs::inputs;

/// Length of each golden frame in bytes, so that a costlier format cannot slip in with new files. The slide's: 6 of header,
/// 2 of table, 126 bits.
const LENGTHS: [(&str, usize); 8] = [
    ("empty", 7),
    ("constant", 8),
    ("slide", 24),
    ("gaps", 925),
    ("two_symbols_far_apart", 25),
    ("wide_alphabet", 9093),
    ("four_streams", 14940),
    ("two_blocks", 30651),
];

#[test]
fn golden_frames_are_read_and_written_byte_for_byte() {
    let mut wrong = Vec::new();
    for (input, (name, len)) in inputs().into_iter().zip(LENGTHS) {
        assert_eq!(input.name, name);
        let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests/it/golden", &format!("v{VERSION}_{name}.nh")]
            .iter()
            .collect();
        if std::env::var("NNC_WRITE_GOLDEN").is_ok_and(|value| value == "1") {
            std::fs::write(&path, compress(&input.symbols)).unwrap();
        }
        let frame = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        if decompress(&frame, input.symbols.len()) != Ok(input.symbols.clone()) {
            wrong.push(format!("{name}: does not decode to its formula"));
        }
        if compress(&input.symbols) != frame {
            wrong.push(format!("{name}: is written differently now"));
        }
        if frame.len() != len {
            wrong.push(format!("{name}: expected {len} bytes, got {}", frame.len()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
