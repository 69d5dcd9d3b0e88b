//! Entropy coding of geometric byte streams (what gaps of random sparsity are), in bytes of symbols a second, on one thread.
//!
//! Ours: `huffman` and `rans`, frames in blocks on each instruction set; `coded_symbols`, what the archive stores, which takes
//! a table lookup for each symbol (and `one_stream`, the plain table decoder: a single chain of them).
//!
//! Baselines, on the same streams in the same run: `huff0`, zstd's Huffman coder in blocks of 128 KiB with a table each,
//! its assembly (`huff0`) and its C (`huff0_c`); zstd's frames at level 1 (Huffman literals and a few matches);
//! constriction's Huffman tree. Sizes in bits a symbol are printed first.

// The C library's symbols are linked only where its crate is named.
extern crate zstd;

use constriction::backends::Cursor;
use constriction::symbol::huffman::{DecoderHuffmanTree, EncoderHuffmanTree};
use constriction::symbol::{DefaultQueueDecoder, DefaultQueueEncoder, ReadBitStream, WriteBitStream};
use criterion::measurement::WallTime;
use criterion::{
    BatchSize, BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use nnc_core::rng::Rng;
use nnc_huffman::{
    Code, Coder, Config, Decoder, FOUR_STREAMS_FROM, Frame, Histogram, Isa, compress_into, compress_with,
};

#[path = "huffman/huff0.rs"]
mod huff0;

use huff0::Huff0;

const N: usize = 1 << 24;

/// Symbols that the slow peers get: a sixteenth.
const N_SLOW: usize = N / 16;

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
        group.bench_function(BenchmarkId::new("histogram", entropy), |b| {
            b.iter(|| Histogram::of(&symbols[..BLOCK_LEN]))
        });
        group.bench_function(BenchmarkId::new("lengths", entropy), |b| {
            b.iter(|| Code::from_histogram(&histogram))
        });
        group.bench_function(BenchmarkId::new("decoder", entropy), |b| b.iter(|| Decoder::new(&code)));
    }
}

fn huff0_blocks(symbols: &[u8]) -> Vec<Vec<u8>> {
    let (mut coder, mut buffer) = (Huff0::new(), vec![0; 2 * BLOCK_LEN]);
    let blocks = symbols.chunks(BLOCK_LEN).map(|block| {
        let n_bytes = coder.encode(block, &mut buffer);
        buffer[..n_bytes].to_vec()
    });
    blocks.collect()
}

fn decode(c: &mut Criterion, entropy: &str, symbols: &[u8], code: &Code, histogram: &Histogram) {
    let mut group = c.benchmark_group("huffman/decode");
    group.throughput(Throughput::Bytes(N as u64));
    let mut out = vec![0u8; N];

    let blocks = huff0_blocks(symbols);
    let mut huff0 = Huff0::new();
    for (name, assembly) in [("huff0", true), ("huff0_c", false)] {
        let mut run = |out: &mut [u8]| {
            let parts = blocks.iter().zip(out.chunks_mut(BLOCK_LEN));
            parts.for_each(|(block, part)| huff0.decode(block, part, assembly));
        };
        run(&mut out);
        assert_eq!(out, symbols);
        group.bench_function(BenchmarkId::new(name, entropy), |b| b.iter(|| run(&mut out)));
    }
    let huff0_len: usize = blocks.iter().map(Vec::len).sum();
    report(entropy, "entropy", histogram.entropy_bits_per_symbol());
    report(entropy, "huff0", bits_per_symbol(huff0_len));

    for (name, coder) in [("huffman", Coder::Huffman), ("rans", Coder::Rans)] {
        let bytes = compress_with(symbols, &Config::new(coder));
        report(entropy, name, bits_per_symbol(bytes.len()));
        for isa in Isa::available() {
            let frame = Frame::read(&bytes).expect("just written").with_isa(isa);
            let run = |out: &mut [u8]| one_thread(|| frame.decode_into(out)).expect("just written");
            out.fill(0);
            run(&mut out);
            assert_eq!(out, symbols);
            let id = BenchmarkId::new(format!("{name}/{}", isa.name()), entropy);
            group.bench_function(id, |b| b.iter(|| run(&mut out)));
        }
    }

    for (name, block_len) in [("coded_symbols", BLOCK_LEN), ("one_stream", FOUR_STREAMS_FROM - 1)] {
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
    constriction_decode(&mut group, entropy, &symbols[..N_SLOW], histogram);
}

fn constriction_decode(
    group: &mut BenchmarkGroup<'_, WallTime>,
    entropy: &str,
    symbols: &[u8],
    histogram: &Histogram,
) {
    let words = constriction_encode(symbols, histogram).into_compressed().expect("in memory");
    let tree = DecoderHuffmanTree::from_probabilities::<u64, _>(histogram.counts());
    group.throughput(Throughput::Bytes(symbols.len() as u64));
    group.sample_size(10);
    group.bench_function(BenchmarkId::new("constriction", entropy), |b| {
        let fresh = || DefaultQueueDecoder::from_compressed(Cursor::new_at_write_beginning(words.clone()));
        let run = |mut decoder: DefaultQueueDecoder| {
            let decoded = decoder.decode_iid_symbols(symbols.len(), &tree);
            decoded.map(|symbol| symbol.expect("just encoded")).sum::<usize>()
        };
        b.iter_batched(fresh, run, BatchSize::LargeInput);
    });
}

fn encode(c: &mut Criterion, entropy: &str, symbols: &[u8], code: &Code, histogram: &Histogram) {
    let mut group = c.benchmark_group("huffman/encode");
    group.throughput(Throughput::Bytes(N as u64));
    let (mut huff0, mut buffer) = (Huff0::new(), vec![0; 2 * BLOCK_LEN]);
    group.bench_function(BenchmarkId::new("huff0", entropy), |b| {
        b.iter(|| symbols.chunks(BLOCK_LEN).map(|block| huff0.encode(block, &mut buffer)).sum::<usize>());
    });
    let mut frame = Vec::new();
    for (name, coder) in [("huffman", Coder::Huffman), ("rans", Coder::Rans), ("smallest", Coder::Smallest)] {
        for isa in Isa::available() {
            let config = Config::new(coder).with_isa(isa);
            let id = BenchmarkId::new(format!("{name}/{}", isa.name()), entropy);
            group.bench_function(id, |b| {
                b.iter(|| {
                    frame.clear();
                    one_thread(|| compress_into(symbols, &config, &mut frame));
                });
            });
        }
    }
    group.bench_function(BenchmarkId::new("coded_symbols", entropy), |b| {
        b.iter(|| {
            symbols.chunks(BLOCK_LEN).map(|block| code.encode(block).expect("known").len()).sum::<usize>()
        });
    });
    group.bench_function(BenchmarkId::new("zstd", entropy), |b| {
        b.iter(|| zstd::bulk::compress(symbols, 1).expect("zstd"));
    });
    group.throughput(Throughput::Bytes(N_SLOW as u64));
    group.sample_size(10);
    group.bench_function(BenchmarkId::new("constriction", entropy), |b| {
        b.iter(|| constriction_encode(&symbols[..N_SLOW], histogram));
    });
}

fn constriction_encode(symbols: &[u8], histogram: &Histogram) -> DefaultQueueEncoder {
    let tree = EncoderHuffmanTree::from_probabilities::<u64, _>(histogram.counts());
    let mut encoder = DefaultQueueEncoder::new();
    encoder.encode_iid_symbols(symbols.iter().map(|&symbol| usize::from(symbol)), &tree).expect("known");
    encoder
}

/// Runs `f` where rayon has one thread, as the peers have.
fn one_thread<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    static POOL: std::sync::LazyLock<rayon::ThreadPool> = std::sync::LazyLock::new(|| {
        rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread")
    });
    POOL.install(f)
}

#[allow(clippy::cast_precision_loss, reason = "lengths are far below 2^53")]
fn bits_per_symbol(n_bytes: usize) -> f64 {
    8.0 * n_bytes as f64 / N as f64
}

#[allow(clippy::print_stdout, reason = "sizes stand beside the speeds")]
fn report(entropy: &str, name: &str, bits: f64) {
    println!("huffman/size/{name}/{entropy}: {bits:.4} bits a symbol");
}

criterion_group!(benches, huffman);
criterion_main!(benches);
