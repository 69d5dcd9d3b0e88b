//! The laws of damaged files on one of a real network's size: slow, so only with `cargo xtask test --slow`.

use nnc::archive::Archive;
use nnc::pipeline::compress;
use nnc::recipe::Recipe;
use nnc_core::candle::Device;
use nnc_core::network::zoo::{LeNetConfig, lenet_300_100};

use super::corruption::{check_error, check_safe, seal};

const RECIPE: &str = r#"
    [[layer]]
    match = "ip1.weight"
    prune = { density = 0.08 }
    share = { bits = 6 }

    [[layer]]
    match = "*.weight"
    prune = { density = 0.2 }
    share = { bits = 5 }
    store = { index_bits = 5, huffman = false }
"#;

/// LeNet-300-100 for images of 24 × 24 at its first values: gaps and codes, Huffman-coded and packed, and its graph.
fn large() -> Vec<u8> {
    let config = LeNetConfig { image: [1, 24, 24], ..LeNetConfig::default() };
    let (network, specs) = lenet_300_100(&config).unwrap();
    let params = specs.init(1, &Device::Cpu).unwrap();
    let weights = compress(&params, &Recipe::from_toml(RECIPE).unwrap()).unwrap();
    let bytes = Archive { network: Some(network), weights, ..Archive::default() }.write().unwrap();
    assert!(bytes.len() > 16_000, "{} bytes", bytes.len());
    bytes
}

#[test]
fn every_flipped_bit_of_a_large_file_is_an_error() {
    if !nnc_testing::slow_tests() {
        return;
    }
    let mut bytes = large();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            check_error(&bytes, format_args!("byte {at}, bit {bit}"));
            bytes[at] ^= 1 << bit;
        }
    }
    Archive::read(&bytes).unwrap();
}

#[test]
fn every_truncation_of_a_large_file_is_an_error() {
    if !nnc_testing::slow_tests() {
        return;
    }
    let bytes = large();
    for end in 0..bytes.len() {
        check_error(&bytes[..end], format_args!("cut at {end}"));
        if end > 9 && end % 5 == 0 {
            let mut cut = bytes[..end].to_vec();
            seal(&mut cut);
            check_error(&cut, format_args!("cut at {end} and sealed"));
        }
    }
}

#[test]
fn sealed_changes_of_a_large_file_are_safe() {
    if !nnc_testing::slow_tests() {
        return;
    }
    let original = large();
    // Magic and version stay; then each byte of the head and every seventh behind it, each with another change.
    let n_body = original.len() - 4;
    for at in (4..1_000).chain((1_000..n_body).step_by(7)) {
        let mut bytes = original.clone();
        bytes[at] = match at % 5 {
            0 => 0,
            1 => u8::MAX,
            2 => bytes[at].wrapping_add(1),
            _ => bytes[at] ^ 1 << (at % 8),
        };
        seal(&mut bytes);
        check_safe(&bytes, format_args!("byte {at} = {:#04x}", bytes[at]));
    }
}
