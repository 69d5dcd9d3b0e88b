//! Huffman coding of geometric byte streams (what gaps of random sparsity are), in bytes of symbols a second.
//!
//! Baselines, on the same streams in the same run: zstd's frames at level 1 (Huffman literals and a few
//! matches) and constriction's Huffman tree; `one_stream` is this crate's decoder held to a single chain of lookups.

use constriction::backends::Cursor;
use constriction::symbol::huffman::{DecoderHuffmanTree, EncoderHuffmanTree};
use constriction::symbol::{DefaultQueueDecoder, DefaultQueueEncoder, ReadBitStream, WriteBitStream};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use nnc_core::rng::Rng;
use nnc_huffman::{Code, CodedSymbols, Decoder, FOUR_STREAMS_FROM, Histogram};

const N: usize = 1 << 20;

/// Symbols to a block, as in zstd.
const BLOCK_LEN: usize = 1 << 17;

/// Streams by their entropy in bits a symbol and the density of the sparse matrix whose gaps they are.
const STREAMS: [(&str, f32); 4] = [("2.1", 0.475), ("3.1", 0.272), ("4.2", 0.1385), ("5.2", 0.0707)];

fn gaps(density: f32) -> Vec<u8> {
    let mut rng = Rng::keyed(1, "bench/huffman", &[]);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a byte")]
    let gap = |uniform: f32| ((1.0 - uniform).ln() / (1.0 - density).ln()).min(255.0) as u8;
    (0..N).map(|_| gap(rng.uniform())).collect()
}

fn huffman(c: &mut Criterion) {
    for (entropy, density) in STREAMS {
        let symbols = gaps(density);
        let histogram = Histogram::of(&symbols);
        let code = Code::from_histogram(&histogram);
        decode(c, entropy, &symbols, &code, &histogram);
        encode(c, entropy, &symbols, &code, &histogram);
        let mut group = c.benchmark_group("huffman/table");
        group.bench_function(BenchmarkId::new("lengths", entropy), |b| {
            b.iter(|| Code::from_histogram(&histogram))
        });
        group.bench_function(BenchmarkId::new("decoder", entropy), |b| b.iter(|| Decoder::new(&code)));
    }
}

fn decode(c: &mut Criterion, entropy: &str, symbols: &[u8], code: &Code, histogram: &Histogram) {
    let mut group = c.benchmark_group("huffman/decode");
    group.throughput(Throughput::Bytes(N as u64));
    let mut out = vec![0u8; N];
    for (name, block_len) in [("four_streams", BLOCK_LEN), ("one_stream", FOUR_STREAMS_FROM - 1)] {
        let decoder = Decoder::new(code);
        let blocks: Vec<_> =
            symbols.chunks(block_len).map(|block| code.encode(block).expect("known")).collect();
        let run = |out: &mut [u8]| {
            for (block, part) in blocks.iter().zip(out.chunks_mut(block_len)) {
                decoder.decode_into(block, part).expect("just encoded");
            }
        };
        run(&mut out);
        assert_eq!(out, symbols);
        group.bench_function(BenchmarkId::new(name, entropy), |b| b.iter(|| run(&mut out)));
    }

    let frame = zstd::bulk::compress(symbols, 1).expect("zstd");
    group.bench_function(BenchmarkId::new("zstd", entropy), |b| {
        b.iter(|| zstd::bulk::decompress_to_buffer(&frame, &mut out).expect("zstd"));
    });

    let words = constriction_encode(symbols, histogram).into_compressed().expect("in memory");
    let tree = DecoderHuffmanTree::from_probabilities::<u64, _>(histogram.counts());
    group.sample_size(10);
    group.bench_function(BenchmarkId::new("constriction", entropy), |b| {
        let fresh = || DefaultQueueDecoder::from_compressed(Cursor::new_at_write_beginning(words.clone()));
        let run = |mut decoder: DefaultQueueDecoder| {
            decoder.decode_iid_symbols(N, &tree).map(|symbol| symbol.expect("just encoded")).sum::<usize>()
        };
        b.iter_batched(fresh, run, BatchSize::LargeInput);
    });
}

fn encode(c: &mut Criterion, entropy: &str, symbols: &[u8], code: &Code, histogram: &Histogram) {
    let mut group = c.benchmark_group("huffman/encode");
    group.throughput(Throughput::Bytes(N as u64));
    group.bench_function(BenchmarkId::new("payload", entropy), |b| {
        b.iter(|| {
            symbols.chunks(BLOCK_LEN).map(|block| code.encode(block).expect("known").len()).sum::<usize>()
        });
    });
    group.bench_function(BenchmarkId::new("whole", entropy), |b| {
        b.iter(|| CodedSymbols::encode(symbols, BLOCK_LEN))
    });
    group.bench_function(BenchmarkId::new("zstd", entropy), |b| {
        b.iter(|| zstd::bulk::compress(symbols, 1).expect("zstd"));
    });
    group.sample_size(10);
    group.bench_function(BenchmarkId::new("constriction", entropy), |b| {
        b.iter(|| constriction_encode(symbols, histogram));
    });
}

fn constriction_encode(symbols: &[u8], histogram: &Histogram) -> DefaultQueueEncoder {
    let tree = EncoderHuffmanTree::from_probabilities::<u64, _>(histogram.counts());
    let mut encoder = DefaultQueueEncoder::new();
    encoder.encode_iid_symbols(symbols.iter().map(|&symbol| usize::from(symbol)), &tree).expect("known");
    encoder
}

criterion_group!(benches, huffman);
criterion_main!(benches);
