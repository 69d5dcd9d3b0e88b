//! The rows that are recorded: ours and the peers by turns, as CSV on standard output.
//!
//! Each round runs every coder once, so that all of them meet the same minutes of the machine; a row gives the fastest and
//! the median round in GB/s of symbols, and against the first coder of its group. `--rounds N` (15), `--only WORD` for
//! groups whose name has it.
//!
//! Groups: `decode` and `encode` of the geometric streams on one thread against huff0 (zstd's Huffman coder, in assembly
//! and in C); `threads`, the same on one thread and on two; `lenet`, codes and gaps of the compressed LeNets, on one
//! thread, table included, against huff0, zstd's frames, constriction and a plain table decoder. Sizes in bits a symbol.

// The C library's symbols are linked only where its crate is named.
extern crate zstd;

use nnc_huffman::{CodedSymbols, Coder, Config, Frame, Histogram, Isa, compress_into, compress_with};
use rayon::ThreadPool;

#[path = "huffman/huff0.rs"]
mod huff0;
#[path = "huffman/peers.rs"]
mod peers;
#[path = "huffman/plain.rs"]
mod plain;
#[path = "huffman/streams.rs"]
mod streams;
#[path = "huffman/turns.rs"]
mod turns;

use huff0::Path;
use peers::{BLOCK_LEN, Huff0Blocks};
use turns::{Options, Turns, count_row, header, size_row};

fn main() {
    let options = Options::from_args(std::env::args().skip(1));
    header(&options);
    for (entropy, density) in streams::STREAMS {
        if !options.wants_any(&["decode", "encode", "threads"]) {
            break;
        }
        let symbols = streams::gaps(density);
        sizes(&options, entropy, &symbols);
        decode(&options, entropy, &symbols);
        encode(&options, entropy, &symbols);
        threads(&options, entropy, &symbols);
    }
    if options.wants_any(&["lenet"]) {
        streams::real().iter().for_each(|(name, symbols)| lenet(&options, name, symbols));
    }
}

fn pool(n_threads: usize) -> ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().expect("threads")
}

fn sizes(options: &Options, entropy: &str, symbols: &[u8]) {
    if !options.wants_any(&["decode"]) {
        return;
    }
    let n = symbols.len();
    size_row("entropy", entropy, Histogram::of(symbols).entropy_bits_per_symbol());
    size_row("huff0", entropy, bits(huff0_len(&Huff0Blocks::encode(symbols)), n));
    for (name, coder) in [("huffman", Coder::Huffman), ("rans", Coder::Rans)] {
        size_row(name, entropy, bits(compress_with(symbols, &Config::new(coder)).len(), n));
    }
}

#[allow(clippy::cast_precision_loss, reason = "lengths are far below 2^53")]
fn bits(n_bytes: usize, n_symbols: usize) -> f64 {
    8.0 * n_bytes as f64 / n_symbols as f64
}

fn huff0_len(blocks: &Huff0Blocks) -> usize {
    blocks.blocks.iter().map(Vec::len).sum()
}

fn decode(options: &Options, entropy: &str, symbols: &[u8]) {
    let (blocks, one) = (Huff0Blocks::encode(symbols), pool(1));
    let mut turns = Turns::new(options, "decode", entropy, symbols.len());
    let paths =
        [("huff0", Path::Assembly), ("huff0 in C", Path::C), ("huff0 in C without BMI2", Path::PlainC)];
    for (name, path) in paths {
        let (blocks, mut coder) = (&blocks, huff0::Huff0::new());
        turns.add(name, symbols, move |out| blocks.decode(&mut coder, out, path));
    }
    for (name, coder) in [("huffman", Coder::Huffman), ("rans", Coder::Rans)] {
        let bytes = compress_with(symbols, &Config::new(coder));
        for isa in Isa::available() {
            let (bytes, one) = (bytes.clone(), &one);
            turns.add(&format!("{name} {}", isa.name()), symbols, move |out| {
                let frame = Frame::read(&bytes).expect("just written").with_isa(isa);
                one.install(|| frame.decode_into(out)).expect("just written");
            });
        }
    }
    turns.run();
}

fn encode(options: &Options, entropy: &str, symbols: &[u8]) {
    let mut huff0 = huff0::Huff0::new();
    let (mut buffer, one) = (vec![0; 2 * BLOCK_LEN], pool(1));
    let mut turns = Turns::new(options, "encode", entropy, symbols.len());
    turns.add("huff0", &[], move |_| {
        symbols.chunks(BLOCK_LEN).for_each(|block| {
            huff0.encode(block, &mut buffer);
        });
    });
    for (name, coder) in [("huffman", Coder::Huffman), ("rans", Coder::Rans)] {
        for isa in Isa::available() {
            let (config, mut frame, one) = (Config::new(coder).with_isa(isa), Vec::new(), &one);
            turns.add(&format!("{name} {}", isa.name()), &[], move |_| {
                frame.clear();
                one.install(|| compress_into(symbols, &config, &mut frame));
            });
        }
    }
    turns.run();
}

fn threads(options: &Options, entropy: &str, symbols: &[u8]) {
    let pools = [("1 thread", pool(1)), ("2 threads", pool(2))];
    for (name, coder) in [("huffman", Coder::Huffman), ("rans", Coder::Rans)] {
        let config = Config::new(coder);
        let bytes = compress_with(symbols, &config);
        let mut turns = Turns::new(options, &format!("threads decode {name}"), entropy, symbols.len());
        for (threads, pool) in &pools {
            let bytes = &bytes;
            turns.add(threads, symbols, move |out| {
                let frame = Frame::read(bytes).expect("just written");
                pool.install(|| frame.decode_into(out)).expect("just written");
            });
        }
        turns.run();
        let mut turns = Turns::new(options, &format!("threads encode {name}"), entropy, symbols.len());
        for (threads, pool) in &pools {
            let mut frame = Vec::new();
            turns.add(threads, &[], move |_| {
                frame.clear();
                pool.install(|| compress_into(symbols, &config, &mut frame));
            });
        }
        turns.run();
    }
}

/// One layer's stream, small enough for the table to count: all that is needed is read from bytes in each pass.
fn lenet(options: &Options, name: &str, symbols: &[u8]) {
    let n = symbols.len();
    let peers = peers::Peers::new(symbols);
    count_row(name, n);
    size_row("entropy", name, Histogram::of(symbols).entropy_bits_per_symbol());
    size_row("huff0", name, bits(huff0_len(&peers.huff0), n));
    size_row("zstd -19", name, bits(peers.zstd.len(), n));
    size_row("constriction", name, bits(size_of_val(&peers.constriction[..]), n));
    let coded = CodedSymbols::encode(symbols, 0);
    let mut archived = Vec::new();
    coded.write(&mut archived);
    size_row("coded symbols", name, bits(archived.len(), n));
    let mut turns = Turns::new(options, "lenet decode", name, n);
    for (peer, decode) in peers.decoders() {
        turns.add(peer, symbols, decode);
    }
    turns.add("coded symbols", symbols, |out| {
        let coded = CodedSymbols::read(&archived, out.len(), 0).expect("just written");
        coded.decode_range(0..out.len(), out).expect("just written");
    });
    turns.add("coded symbols read before", symbols, |out| {
        coded.decode_range(0..out.len(), out).expect("just written");
    });
    for (coder_name, coder) in
        [("huffman", Coder::Huffman), ("rans", Coder::Rans), ("smallest", Coder::Smallest)]
    {
        let bytes = compress_with(symbols, &Config::new(coder));
        size_row(coder_name, name, bits(bytes.len(), n));
        turns.add(coder_name, symbols, move |out| {
            Frame::read(&bytes).and_then(|frame| frame.decode_into(out)).expect("just written");
        });
    }
    turns.run();
    let mut turns = Turns::new(options, "lenet encode", name, n);
    encoding_peers(&mut turns, symbols);
    let mut buffer = Vec::new();
    turns.add("coded symbols", &[], move |_| {
        buffer.clear();
        CodedSymbols::encode(symbols, 0).write(&mut buffer);
    });
    for (coder_name, coder) in [("huffman", Coder::Huffman), ("rans", Coder::Rans)] {
        let (config, mut frame) = (Config::new(coder), Vec::new());
        turns.add(coder_name, &[], move |_| {
            frame.clear();
            compress_into(symbols, &config, &mut frame);
        });
    }
    turns.run();
}

/// Adds the peers' encoders, histograms and tables included.
fn encoding_peers<'a>(turns: &mut Turns<'a>, symbols: &'a [u8]) {
    let (mut coder, mut buffer) = (huff0::Huff0::new(), vec![0; 2 * BLOCK_LEN]);
    turns.add("huff0", &[], move |_| {
        coder.encode(symbols, &mut buffer);
    });
    turns.add("zstd -1", &[], move |_| {
        zstd::bulk::compress(symbols, 1).expect("zstd");
    });
    turns.add("constriction", &[], move |_| {
        peers::constriction_encode(symbols, &Histogram::of(symbols));
    });
}
