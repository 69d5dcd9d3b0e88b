//! What holds for all frames.

use nnc_huffman::{Code, CodedSymbols, Histogram, compress, decompress};
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
}
