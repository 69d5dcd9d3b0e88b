//! One suite for all kernels: round trips, equality with the scalar twin on good and on arbitrary bytes, edge sizes.

#![allow(clippy::cast_possible_truncation, reason = "small test values")]

#[cfg(unix)]
mod guard;

use proptest::prelude::*;

use super::*;
use crate::bits::BitReader;
use crate::rans::Model;
use crate::{Code, Histogram};

/// Lengths round what kernels do at once: states, streams, steps of 24 symbols, registers, and empty runs.
const LENGTHS: [usize; 18] =
    [1, 2, 5, 6, 7, 13, 63, 64, 65, 143, 144, 145, 1000, 4999, 8191, 8192, 8193, 30_001];

/// Symbols that thin out: a hash's leading zeros times `steps`.
fn symbols(n: usize, steps: u32) -> Vec<u8> {
    let hash = |i: u32| (i + 1).wrapping_mul(0x9e37_79b9) ^ (i >> 3).wrapping_mul(0x85eb_ca6b);
    (0..n as u32).map(|i| (hash(i).leading_zeros() * steps + hash(i) % steps).min(255) as u8).collect()
}

/// The instruction set by name, or `None` where this processor has not got it.
///
/// `NNC_REQUIRE_ISA=bmi2,avx512` makes a missing one a failure.
fn isa(name: &str) -> Option<Isa> {
    let found = Isa::available().into_iter().find(|isa| isa.name() == name);
    let required = std::env::var("NNC_REQUIRE_ISA").unwrap_or_default();
    assert!(found.is_some() || !required.split(',').any(|isa| isa == name), "{name} is required");
    found
}

fn words_of(code: &Code) -> [u64; 256] {
    let mut words = [0; 256];
    for word in code.codewords() {
        words[usize::from(word.symbol)] = u64::from(word.bits) << (64 - word.length) | u64::from(word.length);
    }
    words
}

fn code_for(symbols: &[u8]) -> Code {
    // Two symbols more, so that there is always a code of words.
    let mut counts = Histogram::of(symbols).counts().to_vec();
    counts.resize(256, 0);
    counts[7] += 1;
    counts[9] += 1;
    Code::with_max_length(&Histogram::from_counts(&counts).unwrap(), 12).unwrap()
}

fn model_for(symbols: &[u8]) -> Model {
    let mut counts = Histogram::of(symbols).counts().to_vec();
    counts.resize(256, 0);
    counts[7] += 1;
    counts[9] += 1;
    Model::from_histogram(&Histogram::from_counts(&counts).unwrap())
}

fn cut<'a>(bytes: &'a [u8], ends: &[usize]) -> Vec<&'a [u8]> {
    let starts = std::iter::once(0).chain(ends.iter().copied());
    starts.zip(ends).map(|(start, &end)| &bytes[start..end]).collect()
}

#[track_caller]
fn check_huffman(isa: Isa, symbols: &[u8], n_streams: usize) {
    let code = code_for(symbols);
    let words = words_of(&code);
    let (mut expected, mut got) = (vec![0xaa], vec![0xaa]);
    let ends = scalar::encode_huffman(&words, symbols, n_streams, &mut expected);
    assert_eq!(isa.encode_huffman(&words, symbols, n_streams, &mut got), ends);
    assert_eq!(got, expected, "{} symbols", symbols.len());
    let streams = cut(&got[1..], &ends.iter().map(|end| end - 1).collect::<Vec<_>>());
    let mut table = MultiTable::new();
    table.build::<u8>(&code).unwrap();
    let mut out = vec![0; symbols.len()];
    assert!(isa.decode_huffman(&table, &streams, &mut out));
    assert_eq!(out, symbols);
    table.build::<u16>(&code).unwrap();
    let mut out = vec![0u16; symbols.len()];
    assert!(isa.decode_huffman(&table, &streams, &mut out));
    assert!(out.iter().zip(symbols).all(|(&wide, &symbol)| wide == u16::from(symbol)));
    // A symbol more, or less, is not what the streams hold.
    for n in [symbols.len() - 1, symbols.len() + 1] {
        assert!(!isa.decode_huffman(&table, &streams, &mut vec![0u16; n]), "{n} of {}", symbols.len());
    }
}

#[track_caller]
fn check_rans(isa: Isa, symbols: &[u8]) {
    let model = model_for(symbols);
    let (mut expected, mut got) = (vec![0xaa], vec![0xaa]);
    scalar::encode_rans(&model.encode_symbols(), symbols, &mut expected);
    isa.encode_rans(&model.encode_symbols(), symbols, &mut got);
    assert_eq!(got, expected, "{} symbols", symbols.len());
    let slots = model.decode_slots();
    let mut out = vec![0; symbols.len()];
    assert!(isa.decode_rans(&slots, &got[1..], &mut out));
    assert_eq!(out, symbols);
    for end in [1, got.len() - 1, got.len() - 2] {
        assert!(!isa.decode_rans(&slots, &got[1..end], &mut out), "cut at {end}");
    }
    got.extend([0, 0]);
    assert!(!isa.decode_rans(&slots, &got[1..], &mut out));
}

/// Decodes `N` copies of a stream side by side: as far as it goes, it gives the symbols and consumes their words.
#[track_caller]
fn check_forward<S: Symbol, const N: usize>(isa: Isa, code: &Code, symbols: &[S]) {
    let stream = code.encode(symbols).unwrap();
    let table = isa.build_forward(code).unwrap();
    let mut outs = vec![vec![S::default(); symbols.len()]; N];
    let mut parts = outs.iter_mut();
    let mut lanes: [ForwardLane<'_, '_, S>; N] = std::array::from_fn(|_| ForwardLane {
        reader: BitReader::new(&stream),
        out: parts.next().unwrap(),
        n_done: 0,
    });
    isa.decode_forward(&table, &mut lanes);
    for lane in lanes {
        let done = &symbols[..lane.n_done];
        assert_eq!(&lane.out[..lane.n_done], done);
        let n_bits = 8 * stream.len() as u64 - lane.reader.n_left();
        assert_eq!(n_bits, code.cost_bits(&Histogram::of(done)).unwrap());
        // What is left is less than a step, or less than the eight bytes that it loads.
        assert!(symbols.len() - lane.n_done < 40 || lane.reader.n_left() < 128, "stopped at {}", lane.n_done);
    }
}

macro_rules! kernel_tests {
    ($module:ident, $name:literal) => {
        mod $module {
            use super::*;

            fn this() -> Option<Isa> {
                isa($name)
            }

            #[test]
            fn huffman_streams_round_trip_at_edge_sizes() {
                let Some(isa) = this() else { return };
                for n in LENGTHS {
                    for steps in [1, 3, 11, 40] {
                        for n_streams in [1, N_STREAMS] {
                            check_huffman(isa, &symbols(n, steps), n_streams);
                        }
                    }
                    check_huffman(isa, &vec![7; n], N_STREAMS);
                }
            }

            #[test]
            fn forward_streams_round_trip_at_edge_sizes() {
                let Some(isa) = this() else { return };
                for n in LENGTHS {
                    for steps in [1, 3, 11, 40] {
                        let symbols = symbols(n, steps);
                        let code = code_for(&symbols);
                        let wide: Vec<u16> = symbols.iter().map(|&symbol| symbol.into()).collect();
                        check_forward::<u8, 1>(isa, &code, &symbols);
                        check_forward::<u8, 4>(isa, &code, &symbols);
                        check_forward::<u16, 1>(isa, &code, &wide);
                        check_forward::<u16, 4>(isa, &code, &wide);
                        // Symbols above 255 are laid out three to an entry.
                        let far: Vec<u16> = wide.iter().map(|&symbol| 255 * symbol).chain([0, 510]).collect();
                        let code = Code::with_max_length(&Histogram::of(&far), 12).unwrap();
                        check_forward::<u16, 1>(isa, &code, &far);
                        check_forward::<u16, 4>(isa, &code, &far);
                    }
                }
            }

            #[test]
            fn rans_payloads_round_trip_at_edge_sizes() {
                let Some(isa) = this() else { return };
                for n in LENGTHS {
                    for steps in [1, 3, 11, 40] {
                        check_rans(isa, &symbols(n, steps));
                    }
                    check_rans(isa, &vec![7; n]);
                }
            }

            proptest! {
                #![proptest_config(ProptestConfig::with_cases(48))]
                #[test]
                fn random_symbols_round_trip(
                    symbols in prop::collection::vec((any::<u8>(), 0u32..8).prop_map(|(s, n)| s >> n), 1..9000)
                ) {
                    let Some(isa) = this() else { return Ok(()) };
                    check_huffman(isa, &symbols, 1);
                    check_huffman(isa, &symbols, N_STREAMS);
                    check_rans(isa, &symbols);
                }

                #[test]
                fn arbitrary_streams_decode_as_the_scalar_twin_does(
                    bytes in prop::collection::vec(any::<u8>(), 1..2000), steps in 1u32..40, n in 0usize..12_000
                ) {
                    let Some(isa) = this() else { return Ok(()) };
                    let code = code_for(&symbols(5000, steps));
                    let mut table = MultiTable::new();
                    table.build::<u8>(&code).unwrap();
                    let (mut out, mut expected) = (vec![0; n], vec![0; n]);
                    let streams: Vec<&[u8]> = bytes.chunks(bytes.len().div_ceil(N_STREAMS).max(1)).collect();
                    for streams in [&streams[..], &[&bytes]] {
                        let holds = isa.decode_huffman(&table, streams, &mut out);
                        prop_assert_eq!(holds, scalar::decode_huffman(&table, streams, &mut expected));
                        prop_assert!(!holds || out == expected);
                    }
                    let slots = model_for(&symbols(5000, steps)).decode_slots();
                    let holds = isa.decode_rans(&slots, &bytes, &mut out);
                    prop_assert_eq!(holds, scalar::decode_rans(&slots, &bytes, &mut expected));
                    prop_assert!(!holds || out == expected);
                }
            }
        }
    };
}

kernel_tests!(on_scalar, "scalar");
kernel_tests!(on_bmi2, "bmi2");
kernel_tests!(on_avx512, "avx512");
