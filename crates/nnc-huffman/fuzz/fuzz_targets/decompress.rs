//! Any bytes as a frame: an error or symbols, the same on each instruction set.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nnc_huffman::{Frame, Isa, decompress};

const MAX_SYMBOLS: usize = 1 << 22;

fuzz_target!(|bytes: &[u8]| {
    let _ = decompress::<u8>(bytes, MAX_SYMBOLS);
    let _ = decompress::<u16>(bytes, MAX_SYMBOLS);
    let Ok(frame) = Frame::read(bytes) else { return };
    if frame.symbol_bits() != 8 || frame.len() > MAX_SYMBOLS {
        return;
    }
    let outcomes = Isa::available().into_iter().map(|isa| {
        let mut out = vec![0u8; frame.len()];
        frame.clone().with_isa(isa).decode_into(&mut out).map(|()| out).ok()
    });
    let outcomes: Vec<_> = outcomes.collect();
    assert!(outcomes.windows(2).all(|pair| pair[0] == pair[1]));
});
