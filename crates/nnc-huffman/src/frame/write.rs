//! Frames from symbols that arrive one by one.

use super::Config;
use crate::block;
use crate::symbol::Symbol;
use crate::varint::put_varint;

/// Codes a stream as it arrives; holds one block of symbols and the bytes that were not taken yet.
///
/// The bytes are those of [`compress_with`](super::compress_with).
///
/// ```
/// use nnc_huffman::{Config, FrameWriter, compress};
///
/// let mut writer = FrameWriter::new(Config::default());
/// writer.extend((0..1000u16).map(|i| i % 7));
/// let mut file = writer.take_bytes(); // what is ready, to be written away
/// writer.push(9);
/// file.extend(writer.finish());
/// assert_eq!(file, compress(&(0..1000u16).map(|i| i % 7).chain([9]).collect::<Vec<_>>()));
/// ```
#[derive(Debug)]
pub struct FrameWriter<S> {
    config: Config,
    pending: Vec<S>,
    bytes: Vec<u8>,
}

impl<S: Symbol> FrameWriter<S> {
    /// An empty frame.
    pub fn new(config: Config) -> Self {
        let mut bytes = Vec::new();
        config.put_header::<S>(&mut bytes);
        Self { config, pending: Vec::new(), bytes }
    }

    /// Adds a symbol.
    #[inline]
    pub fn push(&mut self, symbol: S) {
        self.pending.push(symbol);
        if self.pending.len() == self.config.block_len() {
            self.write_block();
        }
    }

    /// Adds `symbols`, as [`extend`](Extend::extend) does, but faster.
    pub fn extend_from_slice(&mut self, mut symbols: &[S]) {
        while !symbols.is_empty() {
            let n = symbols.len().min(self.config.block_len() - self.pending.len());
            self.pending.extend_from_slice(&symbols[..n]);
            symbols = &symbols[n..];
            if self.pending.len() == self.config.block_len() {
                self.write_block();
            }
        }
    }

    /// The bytes of all blocks that are full, which the frame goes on behind.
    pub fn take_bytes(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// The last bytes of the frame: those that were not taken, the last block, and the mark behind it.
    pub fn finish(mut self) -> Vec<u8> {
        if !self.pending.is_empty() {
            self.write_block();
        }
        put_varint(&mut self.bytes, 0);
        self.bytes
    }

    fn write_block(&mut self) {
        block::write(self.config.isa, self.config.coder, &self.pending, &mut self.bytes);
        self.pending.clear();
    }
}

impl<S: Symbol> Extend<S> for FrameWriter<S> {
    fn extend<I: IntoIterator<Item = S>>(&mut self, symbols: I) {
        symbols.into_iter().for_each(|symbol| self.push(symbol));
    }
}
