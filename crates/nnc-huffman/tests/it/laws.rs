//! What holds for all frames.

#![allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "small test values")]

use nnc_huffman::{
    Code, CodedSymbols, Coder, Config, Frame, FrameWriter, Histogram, Isa, Kind, compress, compress_with,
    decompress,
};
use proptest::prelude::*;

use crate::inputs::inputs;

#[test]
fn frames_of_each_input_round_trip() {
    for input in inputs() {
        let frame = compress(&input.symbols);
        assert_eq!(decompress(&frame, input.symbols.len()).as_ref(), Ok(&input.symbols), "{}", input.name);
    }
}

#[test]
fn payloads_cost_what_the_histogram_says() {
    for input in inputs().into_iter().filter(|input| input.symbols.len() < nnc_huffman::FOUR_STREAMS_FROM) {
        let histogram = Histogram::of(&input.symbols);
        let code = Code::from_histogram(&histogram);
        let coded = CodedSymbols::encode(&input.symbols, 0);
        let bits = code.cost_bits(&histogram).unwrap();
        assert_eq!(coded.payload_bits(), bits.next_multiple_of(8), "{}", input.name);
        assert_eq!(coded.table_bits(), code.table_bits(), "{}", input.name);
        assert!(bits as f64 >= histogram.entropy_bits() - 1e-6, "{}", input.name);
    }
}

#[test]
fn long_streams_stay_near_their_histograms_cost() {
    let input = inputs().pop().unwrap();
    let histogram = Histogram::of(&input.symbols);
    let bits = Code::from_histogram(&histogram).cost_bits(&histogram).unwrap();
    let coded = CodedSymbols::encode(&input.symbols, 0);
    assert!(coded.payload_bits() - bits <= 8 * (3 * 3 + 4), "three lengths and four paddings");
}

#[test]
fn rans_stays_within_half_a_per_cent_of_the_entropy() {
    let input = inputs().pop().unwrap();
    let symbols: Vec<u16> = input.symbols.iter().copied().cycle().take(1 << 19).collect();
    let frame = compress_with(&symbols, &Config::new(Coder::Rans));
    let entropy = Histogram::of(&symbols).entropy_bits();
    assert!(8.0 * frame.len() as f64 <= 1.005 * entropy, "{} bytes for {entropy} bits", frame.len());
}

#[test]
fn frames_are_the_same_at_any_number_of_threads() {
    let symbols: Vec<u16> = inputs().pop().unwrap().symbols.into_iter().cycle().take(200_000).collect();
    // 49 blocks, more than are coded at once, and one block.
    for block_bits in [12, 20] {
        let config = Config::new(Coder::Huffman).with_block_bits(block_bits).unwrap();
        let outcomes = [1, 2, 3].map(|n_threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            pool.install(|| {
                let frame = compress_with(&symbols, &config);
                (decompress::<u16>(&frame, symbols.len()), frame)
            })
        });
        assert_eq!(outcomes[0].0.as_ref(), Ok(&symbols));
        assert!(outcomes[1..].iter().all(|outcome| *outcome == outcomes[0]));
    }
}

#[test]
fn raw_blocks_bound_the_size() {
    // Too long for the adaptive coder, which learns even this.
    let symbols: Vec<u8> = (0..=255).cycle().take(20_000).collect();
    for coder in [Coder::Huffman, Coder::Rans, Coder::Smallest] {
        let frame = compress_with(&symbols, &Config::new(coder));
        assert_eq!(Frame::read(&frame).unwrap().block_kind(0), Kind::Raw);
        assert_eq!(frame.len(), 20_000 + 4 + 3 + 3 + 1);
    }
}

#[test]
fn large_alphabets_are_wide_blocks() {
    let symbols: Vec<u16> = (0..60_000u32).map(|i| (i * i % 3001) as u16).chain(2500..5000).collect();
    let frame = compress(&symbols);
    assert_eq!(Frame::read(&frame).unwrap().block_kind(0), Kind::Wide);
    assert_eq!(decompress(&frame, symbols.len()), Ok(symbols));
}

proptest! {
    #[test]
    fn byte_frames_round_trip(symbols in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert_eq!(decompress(&compress(&symbols), symbols.len()), Ok(symbols));
    }

    #[test]
    fn wide_frames_round_trip(symbols in prop::collection::vec(any::<u16>(), 0..600)) {
        prop_assert_eq!(decompress(&compress(&symbols), symbols.len()), Ok(symbols));
    }

    #[test]
    fn skewed_frames_round_trip(symbols in prop::collection::vec((any::<u16>(), 0u32..16).prop_map(|(s, n)| s >> n), 0..600)) {
        prop_assert_eq!(decompress(&compress(&symbols), symbols.len()), Ok(symbols));
    }

    #[test]
    fn equal_symbols_give_equal_bytes_in_both_widths(symbols in prop::collection::vec(any::<u8>(), 0..300)) {
        let wide: Vec<u16> = symbols.iter().map(|&symbol| symbol.into()).collect();
        // All but the header's symbol width.
        prop_assert_eq!(&compress(&symbols)[4..], &compress(&wide)[4..]);
    }

    #[test]
    fn each_coder_block_length_and_processor_gives_the_symbols_and_the_same_bytes(
        symbols in prop::collection::vec((any::<u16>(), 0u32..16).prop_map(|(s, n)| s >> n), 0..1500),
        shift in 0u32..16, block_bits in 8u32..12
    ) {
        let symbols: Vec<u16> = symbols.iter().map(|&symbol| symbol >> shift).collect();
        for coder in [Coder::Huffman, Coder::Rans, Coder::Smallest] {
            let config = Config::new(coder).with_block_bits(block_bits).unwrap();
            let frame = compress_with(&symbols, &config.with_isa(Isa::SCALAR));
            prop_assert_eq!(decompress(&frame, symbols.len()), Ok(symbols.clone()));
            for isa in Isa::available() {
                prop_assert_eq!(&compress_with(&symbols, &config.with_isa(isa)), &frame);
                let mut out = vec![0u16; symbols.len()];
                Frame::read(&frame).unwrap().with_isa(isa).decode_into(&mut out).unwrap();
                prop_assert_eq!(&out, &symbols);
            }
        }
    }

    #[test]
    fn streamed_symbols_are_the_frame(
        symbols in prop::collection::vec(0u8..9, 0..1500), cut in 0usize..1500, coder in 0usize..3
    ) {
        let coder = [Coder::Huffman, Coder::Rans, Coder::Smallest][coder];
        let config = Config::new(coder).with_block_bits(8).unwrap();
        let (first, second) = symbols.split_at(cut.min(symbols.len()));
        let mut writer = FrameWriter::new(config);
        writer.extend(first.iter().copied());
        let mut bytes = writer.take_bytes();
        writer.extend_from_slice(second);
        bytes.extend(writer.finish());
        prop_assert_eq!(&bytes, &compress_with(&symbols, &config));

        let frame = Frame::read(&bytes).unwrap();
        prop_assert_eq!(frame.iter::<u8>().unwrap().collect::<Result<Vec<_>, _>>(), Ok(symbols.clone()));
        for index in 0..frame.n_blocks() {
            let range = frame.block_range(index);
            let mut block = vec![0u8; range.len()];
            frame.decode_block(index, &mut block).unwrap();
            prop_assert_eq!(&block, &symbols[range]);
        }
    }

    #[test]
    fn the_smallest_coder_is_no_larger_than_either(symbols in prop::collection::vec(0u8..4, 0..3000), skew in 0u8..4) {
        let symbols: Vec<u8> = symbols.iter().map(|&symbol| symbol.saturating_sub(skew)).collect();
        let len = |coder| compress_with(&symbols, &Config::new(coder).with_block_bits(10).unwrap()).len();
        prop_assert!(len(Coder::Smallest) <= len(Coder::Huffman).min(len(Coder::Rans)));
    }
}
