//! The peers on one stream: huff0, zstd's frames, constriction, and a plain table decoder.

use constriction::backends::Cursor;
use constriction::symbol::huffman::{DecoderHuffmanTree, EncoderHuffmanTree};
use constriction::symbol::{DefaultQueueDecoder, DefaultQueueEncoder, ReadBitStream, WriteBitStream};
use nnc_huffman::{Code, FOUR_STREAMS_FROM, Histogram};

use crate::huff0::{Huff0, Path};
use crate::plain::PlainDecoder;

/// Symbols to a block, as in zstd.
pub(crate) const BLOCK_LEN: usize = 1 << 17;

/// A stream in huff0's blocks, each with its table.
#[derive(Clone)]
pub(crate) struct Huff0Blocks {
    pub(crate) blocks: Vec<Vec<u8>>,
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

    pub(crate) fn decode(&self, coder: &mut Huff0, out: &mut [u8], path: Path) {
        let parts = self.blocks.iter().zip(out.chunks_mut(BLOCK_LEN));
        parts.for_each(|(block, part)| coder.decode(block, part, path));
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
pub(crate) struct Peers {
    histogram: Histogram,
    pub(crate) huff0: Huff0Blocks,
    pub(crate) zstd: Vec<u8>,
    /// Without a table.
    pub(crate) constriction: Vec<u32>,
    table: Vec<u8>,
    plain: Vec<u8>,
}

impl Peers {
    /// Codes `symbols`, fewer than [`FOUR_STREAMS_FROM`].
    pub(crate) fn new(symbols: &[u8]) -> Self {
        assert!(symbols.len() < FOUR_STREAMS_FROM, "the plain decoder reads one stream");
        let histogram = Histogram::of(symbols);
        let code = Code::from_histogram(&histogram);
        let mut table = Vec::new();
        code.write_table(&mut table);
        Self {
            huff0: Huff0Blocks::encode(symbols),
            zstd: zstd::bulk::compress(symbols, 19).expect("zstd"),
            constriction: constriction_encode(symbols, &histogram),
            table,
            plain: code.encode(symbols).expect("its own symbols"),
            histogram,
        }
    }

    /// What decodes, tables included.
    pub(crate) fn decoders(&self) -> Vec<(&'static str, Run<'_>)> {
        let huff0 = |path| -> Run<'_> {
            let mut coder = Huff0::new();
            Box::new(move |out| self.huff0.decode(&mut coder, out, path))
        };
        vec![
            ("huff0", huff0(Path::Assembly)),
            ("huff0 in C", huff0(Path::C)),
            (
                "zstd -19",
                Box::new(|out| {
                    zstd::bulk::decompress_to_buffer(&self.zstd, out).expect("zstd");
                }),
            ),
            ("constriction", Box::new(|out| constriction_decode(&self.constriction, &self.histogram, out))),
            (
                "plain table",
                Box::new(|out| {
                    let (code, _) = Code::read_table(&self.table).expect("just written");
                    PlainDecoder::new(&code).decode(&self.plain, out);
                }),
            ),
        ]
    }
}

/// A decoder of one stream.
pub(crate) type Run<'a> = Box<dyn FnMut(&mut [u8]) + 'a>;
