//! Any symbols by any coder: decoding gives them back, and each instruction set writes the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nnc_huffman::{Coder, Config, Isa, compress_with, decompress};

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (coder, shift, symbols) = input;
    let coder = [Coder::Huffman, Coder::Rans, Coder::Smallest][usize::from(coder % 3)];
    let config = Config::new(coder).with_block_bits(8 + u32::from(shift % 13)).expect("8 to 20");
    let frame = compress_with(symbols, &config);
    assert_eq!(decompress::<u8>(&frame, symbols.len()).expect("just written"), symbols);
    for isa in Isa::available() {
        assert_eq!(compress_with(symbols, &config.with_isa(isa)), frame);
    }
    let wide: Vec<u16> = symbols.iter().map(|&symbol| u16::from(symbol) << (shift % 9)).collect();
    let frame = compress_with(&wide, &config);
    assert_eq!(decompress::<u16>(&frame, wide.len()).expect("just written"), wide);
});
