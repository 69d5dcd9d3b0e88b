//! The peers on one stream: huff0, zstd's frames, constriction, and a plain table decoder.

use constriction::backends::Cursor;
use constriction::symbol::huffman::{DecoderHuffmanTree, EncoderHuffmanTree};
use constriction::symbol::{DefaultQueueDecoder, DefaultQueueEncoder, ReadBitStream, WriteBitStream};
use nnc_huffman::{Code, FOUR_STREAMS_FROM, Histogram};

use crate::huff0::Huff0;
use crate::plain::PlainDecoder;
use crate::turns::{Turns, size_row};

/// Symbols to a block, as in zstd.
pub(crate) const BLOCK_LEN: usize = 1 << 17;

/// A stream in huff0's blocks, each with its table.
#[derive(Clone)]
pub(crate) struct Huff0Blocks {
    blocks: Vec<Vec<u8>>,
}

impl Huff0Blocks {
    pub(crate) fn encode(symbols: &[u8]) -> Self {
        let (mut coder, mut buffer) = (Huff0::new(), vec![0; 2 * BLOCK_LEN]);
        let blocks = symbols.chunks(BLOCK_LEN).map(|block| {
            let n_bytes = coder.encode(block, &mut buffer);
            buffer[..n_bytes].to_vec()
        });
        Self { blocks: blocks.collect() }
    }

    pub(crate) fn len_bytes(&self) -> usize {
        self.blocks.iter().map(Vec::len).sum()
    }

    pub(crate) fn decode(&self, coder: &mut Huff0, out: &mut [u8], assembly: bool) {
        let parts = self.blocks.iter().zip(out.chunks_mut(BLOCK_LEN));
        parts.for_each(|(block, part)| coder.decode(block, part, assembly));
    }
}

/// constriction's queue of words by its Huffman tree, both made anew.
pub(crate) fn constriction_encode(symbols: &[u8], histogram: &Histogram) -> Vec<u32> {
    let tree = EncoderHuffmanTree::from_probabilities::<u64, _>(histogram.counts());
    let mut encoder = DefaultQueueEncoder::new();
    encoder.encode_iid_symbols(symbols.iter().map(|&symbol| usize::from(symbol)), &tree).expect("known");
    encoder.into_compressed().expect("in memory")
}

/// What [`constriction_encode`] made, decoded by a tree that is made anew.
pub(crate) fn constriction_decode(words: &[u32], histogram: &Histogram, out: &mut [u8]) {
    let tree = DecoderHuffmanTree::from_probabilities::<u64, _>(histogram.counts());
    let mut decoder = DefaultQueueDecoder::from_compressed(Cursor::new_at_write_beginning(words.to_vec()));
    let decoded = decoder.decode_iid_symbols(out.len(), &tree);
    for (slot, symbol) in out.iter_mut().zip(decoded) {
        *slot = u8::try_from(symbol.expect("just encoded")).expect("a byte");
    }
}

/// A stream as each peer codes it.
pub(crate) struct Peers<'a> {
    symbols: &'a [u8],
    histogram: Histogram,
    huff0: Huff0Blocks,
    zstd: Vec<u8>,
    constriction: Vec<u32>,
    table: Vec<u8>,
    plain: Vec<u8>,
}

impl<'a> Peers<'a> {
    /// Codes `symbols`, fewer than [`FOUR_STREAMS_FROM`].
    pub(crate) fn new(symbols: &'a [u8]) -> Self {
        assert!(symbols.len() < FOUR_STREAMS_FROM, "the plain decoder reads one stream");
        let histogram = Histogram::of(symbols);
        let code = Code::from_histogram(&histogram);
        let mut table = Vec::new();
        code.write_table(&mut table);
        Self {
            symbols,
            huff0: Huff0Blocks::encode(symbols),
            zstd: zstd::bulk::compress(symbols, 19).expect("zstd"),
            constriction: constriction_encode(symbols, &histogram),
            table,
            plain: code.encode(symbols).expect("its own symbols"),
            histogram,
        }
    }

    /// Prints the peers' sizes; constriction's and the plain decoder's are without a table.
    pub(crate) fn report(&self, stream: &str) {
        let sizes = [
            ("huff0", self.huff0.len_bytes()),
            ("zstd -19", self.zstd.len()),
            ("constriction", size_of_val(&self.constriction[..])),
        ];
        for (name, n_bytes) in sizes {
            size_row(name, stream, crate::bits(n_bytes, self.symbols.len()));
        }
    }

    /// Adds the decoders, tables included.
    pub(crate) fn add_decoders<'b>(&'b self, turns: &mut Turns<'b>) {
        for (name, assembly) in [("huff0", true), ("huff0 in C", false)] {
            let mut coder = Huff0::new();
            turns.add(name, self.symbols, move |out| self.huff0.decode(&mut coder, out, assembly));
        }
        turns.add("zstd -19", self.symbols, |out| {
            zstd::bulk::decompress_to_buffer(&self.zstd, out).expect("zstd");
        });
        turns.add("constriction", self.symbols, |out| {
            constriction_decode(&self.constriction, &self.histogram, out);
        });
        turns.add("plain table", self.symbols, |out| {
            let (code, _) = Code::read_table(&self.table).expect("just written");
            PlainDecoder::new(&code).decode(&self.plain, out);
        });
    }

    /// Adds the encoders, histograms and tables included.
    pub(crate) fn add_encoders<'b>(&'b self, turns: &mut Turns<'b>) {
        let (mut coder, mut buffer) = (Huff0::new(), vec![0; 2 * BLOCK_LEN]);
        turns.add("huff0", &[], move |_| {
            coder.encode(self.symbols, &mut buffer);
        });
        for (name, level) in [("zstd -1", 1), ("zstd -19", 19)] {
            turns.add(name, &[], move |_| {
                zstd::bulk::compress(self.symbols, level).expect("zstd");
            });
        }
        turns.add("constriction", &[], |_| {
            constriction_encode(self.symbols, &Histogram::of(self.symbols));
        });
    }
}
