//! Entropy coding of byte streams, in bytes of symbols a second, on one thread.
//!
//! Streams: geometric ones (what gaps of random sparsity are), and, as group `huffman/lenet`, codes and gaps of the
//! compressed LeNets as they stand in their archives.
//!
//! Ours: `huffman` and `rans`, frames in blocks on each instruction set; `coded_symbols`, what the archive stores.
//!
//! Baselines, on the same streams in the same run: `huff0`, zstd's Huffman coder in blocks of 128 KiB with a table each,
//! its assembly (`huff0`) and its C (`huff0_c`); zstd's frames; constriction's Huffman tree; a plain table decoder, one
//! symbol a lookup. `huffman_turns` runs the same by turns, with sizes, and on two threads.

// The C library's symbols are linked only where its crate is named.
extern crate zstd;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use nnc_huffman::{
    Code, CodedSymbols, Coder, Config, Decoder, FOUR_STREAMS_FROM, Frame, Histogram, Isa, compress_into,
    compress_with,
};

#[path = "huffman/huff0.rs"]
mod huff0;
#[path = "huffman/peers.rs"]
mod peers;
#[path = "huffman/plain.rs"]
mod plain;
#[path = "huffman/streams.rs"]
mod streams;

use huff0::{Huff0, Path};
use peers::{BLOCK_LEN, Huff0Blocks, Peers, constriction_decode, constriction_encode};
use plain::PlainDecoder;
use streams::{N, STREAMS, gaps};

/// Symbols that the slow peers get: a sixteenth.
const N_SLOW: usize = N / 16;

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
    streams::real().iter().for_each(|(name, symbols)| lenet(c, name, symbols));
}

fn decode(c: &mut Criterion, entropy: &str, symbols: &[u8], code: &Code, histogram: &Histogram) {
    let mut group = c.benchmark_group("huffman/decode");
    group.throughput(Throughput::Bytes(N as u64));
    let mut out = vec![0u8; N];

    let blocks = Huff0Blocks::encode(symbols);
    let mut huff0 = Huff0::new();
    for (name, path) in [("huff0", Path::Assembly), ("huff0_c", Path::C), ("huff0_plain_c", Path::PlainC)] {
        let mut run = |out: &mut [u8]| blocks.decode(&mut huff0, out, path);
        run(&mut out);
        assert_eq!(out, symbols);
        group.bench_function(BenchmarkId::new(name, entropy), |b| b.iter(|| run(&mut out)));
    }

    for (name, coder) in [("huffman", Coder::Huffman), ("rans", Coder::Rans)] {
        let bytes = compress_with(symbols, &Config::new(coder));
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

    let coded = CodedSymbols::encode_with(code.clone(), symbols, BLOCK_LEN).expect("known");
    group.bench_function(BenchmarkId::new("coded_symbols", entropy), |b| {
        b.iter(|| one_thread(|| coded.decode_range(0..N, &mut out)).expect("just encoded"));
    });

    let frame = zstd::bulk::compress(symbols, 1).expect("zstd");
    group.bench_function(BenchmarkId::new("zstd", entropy), |b| {
        b.iter(|| zstd::bulk::decompress_to_buffer(&frame, &mut out).expect("zstd"));
    });
    slow_decode(&mut group, entropy, &symbols[..N_SLOW], code, histogram);
}

fn slow_decode(
    group: &mut BenchmarkGroup<'_, WallTime>,
    entropy: &str,
    symbols: &[u8],
    code: &Code,
    histogram: &Histogram,
) {
    let mut out = vec![0; symbols.len()];
    group.throughput(Throughput::Bytes(symbols.len() as u64));
    group.sample_size(10);
    let (plain, block_len) = (PlainDecoder::new(code), FOUR_STREAMS_FROM - 1);
    let blocks: Vec<_> = symbols.chunks(block_len).map(|block| code.encode(block).expect("known")).collect();
    group.bench_function(BenchmarkId::new("plain_table", entropy), |b| {
        b.iter(|| {
            let parts = blocks.iter().zip(out.chunks_mut(block_len));
            parts.for_each(|(block, part)| plain.decode(block, part));
        });
    });
    let words = constriction_encode(symbols, histogram);
    group.bench_function(BenchmarkId::new("constriction", entropy), |b| {
        b.iter(|| constriction_decode(&words, histogram, &mut out));
    });
}

/// One layer's stream: in each iteration all is made anew from bytes, tables too.
fn lenet(c: &mut Criterion, name: &str, symbols: &[u8]) {
    let peers = Peers::new(symbols);
    let mut group = c.benchmark_group("huffman/lenet");
    group.throughput(Throughput::Bytes(symbols.len() as u64));
    let mut out = vec![0; symbols.len()];
    for (peer, mut decode) in peers.decoders() {
        group.bench_function(BenchmarkId::new(peer, name), |b| b.iter(|| decode(&mut out)));
    }
    let mut bytes = Vec::new();
    CodedSymbols::encode(symbols, 0).write(&mut bytes);
    group.bench_function(BenchmarkId::new("coded_symbols", name), |b| {
        b.iter(|| {
            let coded = CodedSymbols::read(&bytes, symbols.len(), 0).expect("just written");
            coded.decode_range(0..symbols.len(), &mut out).expect("just written");
        });
    });
    for (ours, coder) in [("huffman", Coder::Huffman), ("rans", Coder::Rans)] {
        let frame = compress_with(symbols, &Config::new(coder));
        group.bench_function(BenchmarkId::new(ours, name), |b| {
            b.iter(|| {
                Frame::read(&frame).and_then(|frame| frame.decode_into(&mut out)).expect("just written")
            });
        });
    }
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

/// Runs `f` where rayon has one thread, as the peers have.
fn one_thread<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    static POOL: std::sync::LazyLock<rayon::ThreadPool> = std::sync::LazyLock::new(|| {
        rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread")
    });
    POOL.install(f)
}

criterion_group!(benches, huffman);
criterion_main!(benches);
