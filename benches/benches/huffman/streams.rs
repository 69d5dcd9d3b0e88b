//! The streams that are coded: geometric ones of known entropy, and those of the compressed LeNets.

use nnc::archive::Reader;
use nnc_core::rng::Rng;
use nnc_core::weight::{Positions, Symbols, Values};

/// Symbols of a geometric stream.
pub(crate) const N: usize = 1 << 24;

/// Streams by their entropy in bits a symbol and the density of the sparse matrix whose gaps they are.
pub(crate) const STREAMS: [(&str, f32); 4] =
    [("2.1", 0.475), ("3.1", 0.272), ("4.2", 0.1385), ("5.2", 0.0707)];

/// The networks of `benches/data`, with the parameters whose streams are coded.
const NETWORKS: [(&str, &[u8], &[&str]); 2] = [
    ("lenet-300-100", include_bytes!("../../data/lenet-300-100-seed7.nnc"), &["ip1.weight"]),
    ("lenet-5", include_bytes!("../../data/lenet-5-seed7.nnc"), &["conv2.weight", "ip1.weight"]),
];

/// Gaps between the entries of a matrix whose entries are there with probability `density`.
pub(crate) fn gaps(density: f32) -> Vec<u8> {
    let mut rng = Rng::keyed(1, "bench/huffman", &[]);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a byte")]
    let gap = |uniform: f32| ((1.0 - uniform).ln() / (1.0 - density).ln()).min(255.0) as u8;
    (0..N).map(|_| gap(rng.uniform())).collect()
}

/// Codes and gaps of the LeNets' larger layers, as they stand in the archives, by name.
pub(crate) fn real() -> Vec<(String, Vec<u8>)> {
    let mut streams = Vec::new();
    for (network, bytes, params) in NETWORKS {
        let archive = Reader::new(bytes).expect("an archive");
        for param in params {
            let weight = archive.weight(param).expect("a parameter of the network");
            if let Values::Codebook(codebook) = weight.values() {
                streams.push((format!("{network}/{param}/codes"), bytes_of(&**codebook.indices())));
            }
            if let Positions::Gaps(gaps) = weight.positions() {
                streams.push((format!("{network}/{param}/gaps"), bytes_of(&**gaps.skips())));
            }
        }
    }
    assert_eq!(streams.len(), 6, "each of the layers is shared and sparse");
    streams
}

fn bytes_of(stream: &dyn Symbols) -> Vec<u8> {
    let symbols = stream.to_vec().expect("an archive that was read");
    symbols.iter().map(|&symbol| u8::try_from(symbol).expect("a byte")).collect()
}
